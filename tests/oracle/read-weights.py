#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Weights files between the library and Python, both ways.

  numpy        a reader and a writer of a few lines, with nothing but struct, json and numpy
  torch        the network in PyTorch takes the tensors as they are and gives the library's output
  safetensors  the safetensors package reads the files; a file that it wrote loads once it is sealed

Usage: read-weights.py EXCHANGE-WEIGHTS numpy|torch|safetensors; exits with 77 where the package is missing.
"""
import hashlib
import importlib.util
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

program, package = sys.argv[1:]
for needed in {"numpy", package}:
    if importlib.util.find_spec(needed) is None:
        print(f"no {needed} here: skipped")
        sys.exit(77)

import numpy  # noqa: E402

ZEROS = b"0" * 64


def bf16_to_float(bits):
    return (bits.astype(numpy.uint32) << 16).view(numpy.float32)


def rounded(values, dtype):
    """What the file should hold of float32 values, as float32."""
    if dtype == "F16":
        return values.astype(numpy.float16).astype(numpy.float32)
    if dtype == "BF16":
        bits = values.view(numpy.uint32)
        return bf16_to_float((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    return values


def is_statistic(name):
    return name.endswith((".running_mean", ".running_var"))


def block(tensors):
    """The library's block: what is trained, then the running statistics."""
    names = sorted(tensors, key=is_statistic)
    return numpy.concatenate([tensors[name].ravel() for name in names])


def read(path, dtypes=None):
    """The tensors (float32, in the order of the data) and the metadata of a weights file; fills dtypes."""
    file = path.read_bytes()
    (length,) = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + length])
    data = file[8 + length :]
    metadata = header.pop("__metadata__")
    assert length % 8 == 0, "the data are not aligned"
    assert hashlib.sha256(data).hexdigest() == metadata["sha256"]
    digest = metadata["header_sha256"].encode()
    assert file[: 8 + length].count(digest) == 1
    assert hashlib.sha256(file[: 8 + length].replace(digest, ZEROS)).hexdigest().encode() == digest
    if dtypes is not None:
        dtypes.update((name, entry["dtype"]) for name, entry in header.items())
    tensors, at = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert begin == at, f"a hole before {name}"
        at = end
        dtype = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry["dtype"]]
        values = numpy.frombuffer(data[begin:end], dtype).reshape(entry["shape"])
        tensors[name] = bf16_to_float(values) if entry["dtype"] == "BF16" else values.astype(numpy.float32)
    assert at == len(data)
    return tensors, metadata


def seal(header, data):
    """A weights file of a header (length and JSON) and data whose metadata have 64 digits in sha256, and 64
    zeros in header_sha256."""
    old = json.loads(header[8:])["__metadata__"]["sha256"].encode()
    header = header.replace(b'"sha256":"' + old, b'"sha256":"' + hashlib.sha256(data).hexdigest().encode())
    mark = b'"header_sha256":"'
    return header.replace(mark + ZEROS, mark + hashlib.sha256(header).hexdigest().encode()) + data


def write(path, tensors, metadata):
    """In F32, with the tensors in another order than the library's and without padding."""
    header, data = {}, b""
    for name in sorted(tensors, reverse=True):
        values = tensors[name].astype("<f4").tobytes()
        header[name] = {
            "shape": list(tensors[name].shape),
            "data_offsets": [len(data), len(data) + len(values)],
            "dtype": "F32",
        }
        data += values
    header["__metadata__"] = metadata | {"sha256": "0" * 64, "header_sha256": "0" * 64}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    path.write_bytes(seal(struct.pack("<Q", len(text)) + text, data))


def raw(path, suffix):
    return numpy.fromfile(path.with_suffix(suffix), "<f4")


def check_numpy(path):
    dtypes = {}
    tensors, metadata = read(path, dtypes)
    dtype = path.stem.split("-")[-1]
    expected = {
        "format": "deblurunet",
        "format_version": "1",
        "base_width": path.stem.split("-")[0],
        "head": path.stem.split("-")[2],
        "tile": "256x448",
        "provenance": 'a "test" \\ \u00e9\U0001f600\n',
    }
    assert expected.items() <= metadata.items(), metadata
    # Variances may pass what F16 can hold, so that the running statistics are always F32.
    assert dtypes == {name: "F32" if is_statistic(name) else dtype for name in tensors}
    values = raw(path, ".parameters")
    n = sum(tensors[name].size for name in tensors if not is_statistic(name))
    values = numpy.concatenate([rounded(values[:n], dtype), values[n:]])
    numpy.testing.assert_array_equal(block(tensors), values)

    # And back: the library must find what Python wrote.
    copy = path.with_suffix(".python.safetensors")
    write(copy, tensors, metadata)
    block(tensors).tofile(path.with_suffix(".python"))
    subprocess.run([program, "read", copy, path.with_suffix(".python")], check=True)


def check_output(path, state, metadata):
    """state: name -> torch tensor."""
    import torch
    import unet

    bn = () if metadata["bn"] == "none" else metadata["bn"].split(",")
    network = unet.UNet(int(metadata["base_width"]), bn, metadata["head"])
    network.load_state_dict({name: values.float() for name, values in state.items()}, strict=True)
    network.eval().double()
    picture = torch.from_numpy(raw(path, ".input").reshape(2, 32, 48, 3)).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = network(picture.double()).permute(0, 2, 3, 1).numpy()
    difference = abs(output.ravel() - raw(path, ".output")).max()
    print(f"{path.name}: spread of the output {output.std():.3f}, largest difference {difference:.2e}")
    assert output.std() > 0.01, "an output that says nothing"
    assert difference < 2e-5 * max(1, abs(output).max())


def check_torch(path):
    import torch

    tensors, metadata = read(path)
    check_output(path, {name: torch.from_numpy(values) for name, values in tensors.items()}, metadata)


def check_safetensors(path):
    import safetensors
    from safetensors import numpy as safetensors_numpy

    tensors, metadata = read(path)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == metadata
        assert set(file.keys()) == set(tensors)
        for name in tensors:
            if not path.stem.endswith("BF16"):  # which NumPy has not
                numpy.testing.assert_array_equal(file.get_tensor(name).astype(numpy.float32), tensors[name])
    if importlib.util.find_spec("torch"):
        import safetensors.torch

        check_output(path, safetensors.torch.load_file(path), metadata)

    written = path.with_suffix(".package.safetensors")
    blank = metadata | {"sha256": "0" * 64, "header_sha256": "0" * 64}
    safetensors_numpy.save_file(tensors, written, blank)
    file = written.read_bytes()
    size = 8 + struct.unpack("<Q", file[:8])[0]
    written.write_bytes(seal(file[:size], file[size:]))
    block(tensors).tofile(path.with_suffix(".package"))
    subprocess.run([program, "read", written, path.with_suffix(".package")], check=True)


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([program, "write", folder], check=True)
    paths = sorted(pathlib.Path(folder).glob("*.safetensors"))
    assert len(paths) == 9
    for path in paths:
        {"numpy": check_numpy, "torch": check_torch, "safetensors": check_safetensors}[package](path)
    print(f"{len(paths)} files: good")
