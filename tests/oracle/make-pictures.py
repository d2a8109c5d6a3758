#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/pictures: one small picture in many forms, good and bad, and small videos.

upright.rgb is what the good ones show: 40 rows of 56 pixels, 8-bit RGB. video.rgb is what video.mkv (lossless
10-bit 4:4:4, BT.709, limited range) shows: 5 frames of 24 rows of 32, converted in double precision.

Usage: make-pictures.py OUTPUT_FOLDER   (needs python3-pil, python3-numpy, python3-opencv, gst-launch-1.0)
"""
import os
import struct
import subprocess
import sys

import cv2
import numpy
from PIL import Image

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
os.chdir(folder)

y, x = numpy.mgrid[0:40, 0:56]
upright = numpy.stack([20 + 4 * x, 30 + 5 * y, 235 - 2 * x - 2 * y], 2).astype(numpy.uint8)
upright[4:12, 6:20] = [250, 20, 30]  # a mark that is on no axis of symmetry
open("upright.rgb", "wb").write(upright.tobytes())
picture = Image.fromarray(upright)

picture.save("plain.jpg", quality=97, subsampling=0)
picture.save("half.jpg", quality=97, subsampling=2)
picture.save("progressive.jpg", quality=97, subsampling=0, progressive=True)
picture.save("plain.png")
picture.save("plain.bmp")
picture.save("plain.tif")
picture.save("plain.webp", lossless=True)
picture.convert("RGBA").save("opaque.png")
picture.quantize(256).save("palette.png")
picture.convert("L").save("gray.png")
picture.convert("L").save("gray.jpg", quality=97)
sixteen = upright.astype(numpy.uint16) * 257
cv2.imwrite("rgb16.png", sixteen[:, :, ::-1])
cv2.imwrite("rgba16.png", numpy.dstack([sixteen[:, :, ::-1], numpy.full((40, 56), 65535, numpy.uint16)]))

# EXIF: how the stored picture has to be turned to be upright.
stored = {
    2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
    6: numpy.rot90(upright, 1), 7: numpy.rot90(upright, 2).transpose(1, 0, 2), 8: numpy.rot90(upright, -1),
}
for orientation, pixels in stored.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(numpy.ascontiguousarray(pixels)).save(
        f"turned{orientation}.jpg", quality=97, subsampling=0, exif=exif.tobytes())

# Bad ones.
picture.convert("CMYK").save("cmyk.jpg", quality=80)
transparent = picture.convert("RGBA")
transparent.putalpha(Image.fromarray((255 - x).astype(numpy.uint8)))
transparent.save("transparent.png")
picture.crop((0, 0, 1, 1)).save("one.png")
data = bytearray(open("plain.jpg", "rb").read())
at = data.index(b"\xff\xc0")
data[at + 5:at + 9] = struct.pack(">2H", 60000, 60000)
open("bomb.jpg", "wb").write(data)
Image.new("1", (20000, 20000)).save("bomb.png", compress_level=9)
data = open("bomb.png", "rb").read()[:200]  # the size is all that may be read of it
open("bomb.png", "wb").write(data)
bomb = Image.new("RGB", (16383, 16383))
bomb.save("bomb.webp", lossless=True, quality=0, method=0)

# Video: smooth, so that it is small; expected colours in double precision.
frames, expected = [], []
y, x = numpy.mgrid[0:24, 0:32]
for frame in range(5):
    luma = 64 + (x * 20 + y * 7 + frame * 40) % 877
    cb = 512 + 13 * (x - 16) + frame
    cr = 512 - 17 * (y - 12) - frame
    frames.append(numpy.stack([luma, cb, cr]).astype("<u2"))
    kr, kb = 0.2126, 0.0722
    l, b, r = (luma - 64) / 876, (cb - 512) / 896, (cr - 512) / 896
    red, blue = l + 2 * (1 - kr) * r, l + 2 * (1 - kb) * b
    green = (l - kr * red - kb * blue) / (1 - kr - kb)
    expected.append((numpy.stack([red, green, blue], 2).clip(0, 1) * 255).round().astype(numpy.uint8))
open("video.rgb", "wb").write(numpy.stack(expected).tobytes())
open("video.raw", "wb").write(numpy.stack(frames).tobytes())
subprocess.run(
    "gst-launch-1.0 -q filesrc location=video.raw ! rawvideoparse format=y444-10le width=32 height=24 framerate=25/1 "
    "colorimetry=bt709 ! avenc_ffv1 ! matroskamux ! filesink location=video.mkv", shell=True, check=True)
os.remove("video.raw")

# A video that is stored on its side: 48 wide and 32 high, the left half bright; upright the upper half is.
numpy.tile(numpy.where(numpy.arange(48) < 24, 220, 30).astype(numpy.uint8), (2, 32, 1)).tofile("turned.raw")
subprocess.run(
    "gst-launch-1.0 -q filesrc location=turned.raw ! rawvideoparse format=gray8 width=48 height=32 framerate=25/1 ! "
    "videoconvert ! video/x-raw,format=I420 ! avenc_mpeg4 ! mp4mux ! filesink location=turned.mp4", shell=True, check=True)
os.remove("turned.raw")
data = bytearray(open("turned.mp4", "rb").read())
at = data.index(b"tkhd") + 44  # the matrix (ISO/IEC 14496-12, 8.3.2): a quarter turn clockwise
data[at:at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
open("turned.mp4", "wb").write(data)
