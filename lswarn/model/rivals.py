"""The two networks that the publication holds its U-Net against, in the U-Net's place behind the same inputs and heads.

Zhang and Deng 2026, doi 10.1038/s41598-026-46873-4, compare with a back-propagation neural network (BPNN) and a
residual network (ResNet, He et al. 2016, doi 10.1109/CVPR.2016.90), whose shapes were not available to us: these are
small ones of our own. Both work at full resolution and may be asked about any height and width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = 2
RESNET_REACH = 1 + 2 * BLOCKS
"""Cells that a residual network sees to each side: one for each 3x3 convolution."""


class Perceptron(nn.Sequential):
    """Two hidden layers for every cell by itself, as 1x1 convolutions: what its neighbours are like it never learns."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__(
            *_normed(nn.Conv2d(inputs, width, 1, bias=False)),
            nn.ReLU(),
            *_normed(nn.Conv2d(width, width, 1, bias=False)),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        return super().forward(_fast(x))


class ResNet(nn.Module):
    """One convolution, then `BLOCKS` blocks of two that add to what they were given."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_normed(_wide(inputs, width)), nn.ReLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(*_normed(_wide(width, width)), nn.ReLU(), *_normed(_wide(width, width)))
            for _ in range(BLOCKS)
        )
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        x = self.stem(_fast(x))
        for block in self.blocks:
            x = functional.relu(x + block(x))
        return self.out(x)


def _wide(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _normed(convolution: nn.Conv2d) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return convolution, nn.BatchNorm2d(convolution.out_channels)


def _fast(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
