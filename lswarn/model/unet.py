"""The U-Net, and how far it sees.

Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28; depth and widths are our own choices.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lswarn.model.surroundings import SEEN_AROUND


class UNet(nn.Module):
    """Two 3x3 convolutions a level, `depth` halvings, skips across."""

    def __init__(self, inputs: int, outputs: int, base_width: int, depth: int) -> None:
        super().__init__()
        widths = [base_width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(_pair(i, o) for i, o in zip([inputs, *widths], widths, strict=False))
        self.up = nn.ModuleList(_pair(here + below, here) for here, below in pairwise(widths))
        self.out = nn.Conv2d(base_width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        x = x.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        skips = []
        for level, down in enumerate(self.down):
            x = down(functional.max_pool2d(x, 2) if level else x)  # (B, width·2^level, H/2^level, W/2^level)
            skips.append(x)
        for up, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = up(torch.cat([skip, functional.interpolate(x, scale_factor=2.0)], 1))
        return self.out(x)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def sight(depth: int) -> int:
    """How far a model with a U-Net of a depth sees, its inputs' own surroundings included; a multiple of 2**depth."""
    return -(-(halo(depth) + SEEN_AROUND) // 2**depth) * 2**depth


def halo(depth: int) -> int:
    """How far a U-Net of a depth sees of its inputs, rounded up to a multiple of 2**depth.

    Followed backwards through the layers from one cell, [low, high): a 3x3 convolution widens by 1 a side, an
    upsampling halves, a pooling doubles. How far it reaches depends on where in the 2**depth phase the cell lies, so
    the farthest is taken. Holds where blocks start at multiples of 2**depth, wherever they end.
    """
    farthest = 0
    for cell in range(2**depth):
        low, high = cell, cell + 1
        for _ in range(depth):
            low, high = (low - 2) // 2, -(-(high + 2) // 2)
        low, high = low - 2, high + 2
        for _ in range(depth):
            low, high = 2 * low - 2, 2 * high + 2
        farthest = max(farthest, cell - low, high - (cell + 1))
    return -(-farthest // 2**depth) * 2**depth
