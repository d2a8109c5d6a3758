#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/loss.bin: losses of small pictures and their gradients, by PyTorch in double precision.

Per pair of arrays, little-endian: int32 n, height, width, channels; float32 prediction and target, NHWC; then
for each loss (MSE, MAE, 1 - SSIM, Charbonnier, log-MSE) float64 epsilon and value, float32 gradient by the
prediction. SSIM is tf.image.ssim's; NaN with a gradient of zeros where a picture is smaller than its window.

Usage: make-loss-fixtures.py OUTPUT   (needs python3-torch and python3-numpy)
"""
import struct
import sys

import numpy
import torch
import torch.nn.functional as functional


def ssim(a, b):
    """NHWC; a 11x11 Gaussian of sigma 1.5, valid windows, max_val 1, one value per picture."""
    channels = a.shape[3]
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line)
    window = (window / window.sum()).expand(channels, 1, 11, 11)

    def mean(x):
        return functional.conv2d(x.permute(0, 3, 1, 2), window, groups=channels)

    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = mean(a), mean(b)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    covariance = 2 * mean(a * b) - 2 * mean_a * mean_b
    variances = mean(a * a + b * b) - mean_a**2 - mean_b**2
    return (luminance * (covariance + c2) / (variances + c2)).mean((1, 2, 3))


LOSSES = [
    (0, lambda p, t, e: ((p - t) ** 2).mean()),
    (0, lambda p, t, e: (p - t).abs().mean()),
    (0, lambda p, t, e: (1 - ssim(p, t)).mean()),
    (1e-3, lambda p, t, e: torch.sqrt((p - t) ** 2 + e * e).mean()),
    (1e-4, lambda p, t, e: torch.log(((p - t) ** 2).mean((1, 2, 3)) + e).mean()),
]

random = numpy.random.default_rng(7)
pairs = []
for shape in [(1, 1, 1, 3), (3, 1, 5, 1), (2, 4, 3, 3), (1, 11, 11, 3), (2, 13, 17, 3), (1, 12, 11, 1)]:
    pairs.append((random.random(shape), random.random(shape)))
shape = (1, 11, 13, 3)
target = random.random(shape)
pairs.append((target + random.normal(0, 1e-3, shape), target))  # nearly right
pairs.append((target, target))
pairs.append((random.integers(0, 2, shape), random.integers(0, 2, shape)))
pairs.append((numpy.zeros(shape), numpy.ones(shape)))
pairs.append((numpy.ones(shape), numpy.ones(shape)))

with open(sys.argv[1], "wb") as output:
    for pair in pairs:
        prediction, target = (numpy.ascontiguousarray(x, "<f4") for x in pair)
        output.write(struct.pack("<4i", *prediction.shape) + prediction.tobytes() + target.tobytes())
        for index, (epsilon, loss) in enumerate(LOSSES):
            p = torch.tensor(prediction.astype("f8"), requires_grad=True)
            t = torch.tensor(target.astype("f8"))
            value, gradient = numpy.nan, numpy.zeros(prediction.shape)
            if index != 2 or min(prediction.shape[1:3]) >= 11:
                result = loss(p, t, epsilon)
                result.backward()
                value, gradient = result.item(), p.grad.numpy()
            output.write(struct.pack("<2d", epsilon, value) + gradient.astype("<f4").tobytes())
