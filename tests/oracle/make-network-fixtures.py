"""Makes tests/data/network.ini and network.f32: what PyTorch computes with tiny networks, to test ours against.

    python3 tests/oracle/make-network-fixtures.py tests/data

Each group of the .ini is a case: its network, its pictures, and where its arrays stand in the .f32 file
(first;count, in little-endian float32 values). Pictures are NHWC; parameter blocks are laid out as in the
library: the trainable tensors in the order of the table, then the running statistics. Computed in float64.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import configparser
import pathlib
import sys

import numpy
import torch

from unet import PAPER_BN, UNet

STEPS = 10
LEARNING_RATE = 1e-3
# The seeds are ones with which rounding to float32 grows little in ten steps: with others a value next to a
# kink of a ReLU decides.
CASES = (
    # name, seed, base width, bn, head, pictures, height, width
    ("sigmoid", 41, 2, PAPER_BN, "sigmoid", 2, 16, 32),
    ("residual", 29, 2, PAPER_BN, "residual", 2, 32, 48),
)


def block(net, gradient=False):
    """The flat parameter block, or that of the gradients."""
    tensors = [p.grad if gradient else p for p in net.parameters()]
    if not gradient:
        tensors += [b for name, b in net.named_buffers() if "running" in name]
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def randomise(net, random):
    """Nothing at a value that would hide a mistake: no zero bias, no scale of 1; and a small head, so that no
    sigmoid saturates."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if "num_batches" in name:
                continue
            if tensor.dim() == 4:
                area = tensor.shape[2] * tensor.shape[3] if ".up." not in name else 1
                gain = 0.05 if name.startswith("head") else 2
                values = random.normal(0, (gain / (area * tensor.shape[1])) ** 0.5, tensor.shape)
            elif name.endswith("running_var") or name.endswith("bn.weight"):
                values = random.uniform(0.5, 1.5, tensor.shape)
            else:
                values = random.uniform(-0.1, 0.3, tensor.shape)
            tensor.copy_(torch.from_numpy(values.astype("f4")))


def pictures(random, n, height, width):
    """Noise on a gradient, as float32 has it, NCHW."""
    ramp = numpy.linspace(0, 0.6, height * width).reshape(1, 1, height, width)
    values = ramp + random.uniform(0, 0.4, (n, 3, height, width))
    return torch.from_numpy(values.astype("f4").astype("f8"))


def nhwc(tensor):
    return tensor.detach().permute(0, 2, 3, 1)


def arrays(seed, base_width, bn, head, n, height, width):
    random = numpy.random.RandomState(seed)
    net = UNet(base_width, bn, head).double()
    randomise(net, random)
    picture, target = pictures(random, n, height, width), pictures(random, n, height, width)
    yield "parameters", block(net)
    yield "input", nhwc(picture)
    yield "target", nhwc(target)

    net.eval()
    yield "inference", nhwc(net(picture))

    net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-7)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = net(picture)
        loss = torch.nn.functional.mse_loss(output, target)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            yield "training", nhwc(output)
            yield "gradient", block(net, gradient=True)
        optimizer.step()
        if step == 0:
            yield "statistics", block(net)[sum(p.numel() for p in net.parameters()):]
    yield "losses", torch.tensor(losses)
    yield "final", block(net)


def main():
    folder = pathlib.Path(sys.argv[1])
    index = configparser.ConfigParser()
    torch.set_num_threads(1)
    with open(folder / "network.f32", "wb") as data:
        for name, seed, base_width, bn, head, n, height, width in CASES:
            index[name] = {"base_width": base_width, "bn": ",".join(bn), "head": head, "n": n, "height": height,
                           "width": width, "learning_rate": LEARNING_RATE}
            for array, values in arrays(seed, base_width, bn, head, n, height, width):
                index[name][array] = f"{data.tell() // 4};{values.numel()}"
                data.write(values.numpy().astype("<f4").tobytes())
    with open(folder / "network.ini", "w") as text:
        text.write("# Made by tests/oracle/make-network-fixtures.py\n")
        index.write(text, space_around_delimiters=False)


main()
