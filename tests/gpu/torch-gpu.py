#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""PyTorch's speed on the same network and GPU, in lines of a name, a TAB and a value.

Usage: torch-gpu.py eager|compile|training
"""
import pathlib
import sys
import time

import torch

folder = pathlib.Path(__file__).resolve().parent
for oracle in (folder / "oracle", folder.parent / "oracle"):
    sys.path.insert(0, str(oracle))
import unet

TYPES = {"f16": torch.float16, "bf16": torch.bfloat16}
SECONDS = 1
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)


def figure(name, value):
    print(f"torch/{name}\t{value:.6g}", flush=True)


def rate(step):
    """Calls a second, after some to warm up."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    start, rounds = time.monotonic(), 0
    while time.monotonic() - start < SECONDS:
        for _ in range(4):
            step()
        torch.cuda.synchronize()
        rounds += 4
    return rounds / (time.monotonic() - start)


def pictures(n, height, width, dtype):
    picture = torch.rand(n, 3, height, width, device="cuda", dtype=dtype)
    return picture.to(memory_format=torch.channels_last)


def inference(name, modes, batches):
    for type_name, dtype in TYPES.items():
        for mode in modes:
            net = unet.UNet(head="residual").cuda().eval().to(dtype).to(memory_format=torch.channels_last)
            if mode:
                net = torch.compile(net, mode=mode)
            for n in batches:
                picture = pictures(n, 256, 448, dtype)
                with torch.inference_mode():
                    start = time.monotonic()
                    net(picture)
                    torch.cuda.synchronize()
                    label = f"{name}{'_' + mode if mode else ''}/{type_name}/batch{n}"
                    figure(f"{label}/prepare_ms", (time.monotonic() - start) * 1e3)
                    figure(f"{label}/tiles_per_second", n * rate(lambda: net(picture)))


def training():
    for compiled in (False, True):
        for n, height, width in ((8, 96, 96), (32, 96, 96), (8, 256, 448)):
            net = unet.UNet(head="residual").cuda().train().to(memory_format=torch.channels_last)
            run = torch.compile(net) if compiled else net
            on_gpu = [pictures(n, height, width, torch.float32) for _ in range(2)]
            on_host = [picture.cpu() for picture in on_gpu]
            adam = torch.optim.Adam(net.parameters(), 1e-3, eps=1e-7, fused=True)

            def step(picture, target):
                adam.zero_grad(set_to_none=True)
                with torch.autocast("cuda", torch.bfloat16):
                    result = run(picture)
                torch.nn.functional.mse_loss(result.float(), target).backward()
                adam.step()

            kind = "training_compile" if compiled else "training_eager"
            label = f"{kind}/bf16/{n}x{height}x{width}"
            # What bench-gpu calls so; and with pictures that are there already, without its crops and blurs.
            figure(f"{label}/uploaded_steps_per_second", rate(lambda: step(*(p.cuda() for p in on_host))))
            figure(f"{label}/resident_steps_per_second", rate(lambda: step(*on_gpu)))


if sys.argv[1] == "eager":
    inference("eager", [None], (1, 8, 25))
elif sys.argv[1] == "compile":
    # Both with CUDA graphs; the second looks for the best kernels too, which takes minutes.
    inference("compile", ["reduce-overhead"], (1, 8, 25))
    inference("compile", ["max-autotune"], (8,))
else:
    training()
