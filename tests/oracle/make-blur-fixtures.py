#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/blur.bin: what OpenCV's GaussianBlur makes of small pictures.

Per case, little-endian: int32 height, width, kernel size, sigma in thousandths; then the picture and the
blurred picture, 8-bit RGB, height * width * 3 bytes each.

Usage: make-blur-fixtures.py OUTPUT   (needs python3-opencv and python3-numpy)
"""
import struct
import sys

import cv2
import numpy

KERNELS = [(3, 300), (7, 1000), (11, 1600), (1, 500), (5, 800), (15, 2500), (31, 6000), (7, 50)]

random = numpy.random.default_rng(20)
pictures = []
for height, width in [(1, 1), (1, 9), (8, 1), (2, 3), (5, 4), (3, 40), (13, 17)]:
    pictures.append(random.integers(0, 256, (height, width, 3)))
pictures.append(random.integers(0, 2, (19, 12, 3)) * 255)  # extremes
pictures.append(numpy.indices((12, 13)).sum(0)[..., None] % 2 * numpy.array([255, 255, 254]))  # checkerboard
pictures.append(numpy.full((6, 6, 3), 255))

with open(sys.argv[1], "wb") as output:
    for picture in pictures:
        picture = numpy.ascontiguousarray(picture, numpy.uint8)
        for size, sigma in KERNELS:
            blurred = cv2.GaussianBlur(picture, (size, size), sigma / 1000)
            output.write(struct.pack("<4i", *picture.shape[:2], size, sigma))
            output.write(picture.tobytes() + blurred.tobytes())
