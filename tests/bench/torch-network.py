#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints the least milliseconds of the network's forward pass, or training step, in PyTorch (eager, float32).

Usage: torch-network.py inference|training N HEIGHT WIDTH THREADS ROUNDS SECONDS wall|cpu
The rounds end after SECONDS at the latest. cpu counts the process's CPU time, for one thread.
"""
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "oracle"))
import unet

mode = sys.argv[1]
n, height, width, threads, rounds, seconds = map(int, sys.argv[2:8])
clock = time.process_time if sys.argv[8] == "cpu" else time.monotonic
torch.set_num_threads(threads)
torch.manual_seed(1)
net = unet.UNet().train(mode == "training")
# The layout that oneDNN, which PyTorch calls, likes best.
net = net.to(memory_format=torch.channels_last)
picture, target = (torch.rand(n, 3, height, width).to(memory_format=torch.channels_last) for _ in range(2))
adam = torch.optim.Adam(net.parameters(), 1e-3, eps=1e-7)
best = float("inf")
end = time.monotonic() + seconds
for _ in range(rounds):
    start = clock()
    if mode == "training":
        adam.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(net(picture), target).backward()
        adam.step()
    else:
        with torch.inference_mode():
            net(picture)
    best = min(best, clock() - start)
    if time.monotonic() > end:
        break
print(best * 1e3)
