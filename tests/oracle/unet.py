"""The network in PyTorch, for the fixtures and for reading weights files.

The attributes are named so that state_dict() has the names of a weights file: enc0.conv1.weight,
enc0.bn.running_mean, dec3.up.weight, head.weight. Tensors are NCHW here, NHWC in the library.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = ("enc0", "enc1", "enc2", "enc3", "mid", "dec3", "dec2", "dec1", "dec0")
PAPER_BN = ("enc0", "enc2", "mid", "dec2", "dec0")
HEADS = ("sigmoid", "residual")


class Block(nn.Module):
    """Two convolutions with ReLU, then batch normalisation where bn says so; a decoder's block begins with
    its up-convolution."""

    def __init__(self, inputs, outputs, bn, up=False):
        super().__init__()
        if up:
            self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv1 = nn.Conv2d(2 * outputs if up else inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if bn:
            # Keras's epsilon, and its momentum 0.99 in PyTorch's terms.
            self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x, skip=None):
        if skip is not None:
            x = torch.cat([self.up(x), skip], dim=1)
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return self.bn(x) if hasattr(self, "bn") else x


class UNet(nn.Module):
    def __init__(self, base_width=32, bn=PAPER_BN, head="sigmoid"):
        super().__init__()
        if head not in HEADS or not set(bn) <= set(BLOCKS):
            raise ValueError(f"head {head!r} or bn {bn!r} is unknown")
        widths = [base_width << level for level in range(5)]
        for level in range(4):
            inputs = widths[level - 1] if level else 3
            setattr(self, f"enc{level}", Block(inputs, widths[level], f"enc{level}" in bn))
        self.mid = Block(widths[3], widths[4], "mid" in bn)
        for level in reversed(range(4)):
            name = f"dec{level}"
            setattr(self, name, Block(widths[level + 1], widths[level], name in bn, up=True))
        self.head = nn.Conv2d(widths[0], 3, 1)
        self.head_name = head

    def forward(self, picture):
        """picture: [n, 3, height, width] in [0, 1], height and width multiples of 16."""
        skips, x = [], picture
        for level in range(4):
            skips.append(getattr(self, f"enc{level}")(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.mid(x)
        for level in reversed(range(4)):
            x = getattr(self, f"dec{level}")(x, skips[level])
        x = self.head(x)
        return torch.sigmoid(x) if self.head_name == "sigmoid" else picture + x
