"""Trained convolutions made faster and coarser: normalisation taken into their weights, all of it in bfloat16.

bfloat16 keeps eight bits of a number. It moves odds by some percent, enough to move cells from class to class, so it is
part of a model, not of how the model is asked: calibration, breaks and critical rainfall are all found in it.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Coarse(nn.Module):
    """A trunk in bfloat16 between inputs and outputs in float32.

    Args:
        trunk: trained; it is changed, and no longer its own.
    """

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = _fused(trunk.eval()).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """As the trunk: [B, inputs, H, W] to [B, outputs, H, W]."""
        found: Tensor = self.trunk(x.to(torch.bfloat16))
        return found.float()


def _fused(module: nn.Module) -> nn.Module:
    """With each normalisation that follows a convolution taken into its weights: one pass over memory less."""
    for child in module.children():
        _fused(child)
    if isinstance(module, nn.Sequential):
        for at in range(len(module) - 1):
            convolution, norm = module[at], module[at + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[at] = fuse_conv_bn_eval(convolution, norm)
                module[at + 1] = nn.Identity()
    return module


def coarsen(network: nn.Module) -> None:
    """Bring a network's trunk, and those of its members, to bfloat16; what has no trunk stays as it is."""
    for name, child in network.named_children():
        if name == "trunk":
            network.trunk = Coarse(child)
        else:
            coarsen(child)
