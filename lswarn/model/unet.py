"""The network in one file: what it makes of the factors, its U-Net, and how rain enters it.

A network is a trunk (the U-Net, or one of its `rivals`) between an encoder and one of two ways in which rain enters.
Whichever they are, the interface is `forward(factors [B, 10, H, W], rain [B, S, H, W] mm) -> logit [B, S, H, W]` for S
storms over the same ground; H and W are multiples of the network's `phase`. Factors come raw, in their own units, NaN
where unknown: the scaling is part of the network, so nobody can apply another. Nothing tells it where on the map it is.

U-Net: Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28. That it reads these ten factors and the rain of seven
days follows Zhang and Deng 2026, doi 10.1038/s41598-026-46873-4; shape and rain response are our own choices.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lswarn.model.rivals import RESNET_REACH, Perceptron, ResNet
from lswarn.sections import FACTORS, Model

CONTINUOUS = ("slope", "curvature", "river_distance", "fault_distance", "rainfall", "temperature", "seismic_intensity")
DISTANCES = ("river_distance", "fault_distance")
SEEN = (0.001, 0.999)
"""Quantiles of the training ground at which an input is cut off: beyond them the network never learnt what to say."""

BROAD = ("fault_distance", "rainfall", "temperature", "seismic_intensity")
BROAD_SHIFT_STD = 1.0
ROCK_HIDDEN = 0.3
"""While training, the factors that hardly change within a crop are shifted by a random amount a crop, and rock type is
hidden in some crops: from both a network could learn where it is, and that this slope slid, rather than why."""

RARE = -4.0
"""Logit that training starts from: landslides are rare, and to learn that first would take half the steps."""

KNOTS_MM = (0.0, 20.0, 40.0, 70.0, 100.0, 150.0, 200.0, 300.0, 450.0)


@dataclass(frozen=True)
class Encoding:
    """What raw inputs are scaled by, learnt on the training area.

    Attributes:
        mean, std: of each of `CONTINUOUS`, distances as log(1 + m).
        low, high: values beyond these count as these.
        landforms, rock_types: codes seen in training, each an input of its own; any other code is unknown.
        rain_mean_mm, rain_std_mm: of the 7-day rain trained on.
        rain_max_mm: most rain trained on; more counts as this much, since the response beyond it was never seen.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    landforms: tuple[int, ...]
    rock_types: tuple[int, ...]
    rain_mean_mm: float
    rain_std_mm: float
    rain_max_mm: float

    @classmethod
    def measured(cls, cells: NDArray[np.float32], rain: NDArray[np.float32]) -> Self:
        """From sampled cells [10, n] with all factors known, and their rain, mm, of any shape, NaN skipped."""
        by_name = dict(zip(FACTORS, cells.astype(np.float64), strict=True))
        values = [np.log1p(by_name[name]) if name in DISTANCES else by_name[name] for name in CONTINUOUS]
        return cls(
            mean=tuple(float(v.mean()) for v in values),
            std=tuple(float(v.std()) or 1.0 for v in values),  # a constant factor becomes 0 everywhere
            low=tuple(float(np.quantile(v, SEEN[0])) for v in values),
            high=tuple(float(np.quantile(v, SEEN[1])) for v in values),
            landforms=tuple(int(code) for code in np.unique(by_name["landform"])),
            rock_types=tuple(int(code) for code in np.unique(by_name["rock_type"])),
            rain_mean_mm=float(np.nanmean(rain)),
            rain_std_mm=float(np.nanstd(rain)) or 1.0,
            rain_max_mm=float(np.nanmax(rain)),
        )

    @property
    def channels(self) -> int:
        """Inputs of the U-Net made of the ten factors."""
        return len(CONTINUOUS) + 2 + len(self.landforms) + len(self.rock_types)


class Encoder(nn.Module):
    """Raw factors to inputs of a network."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    broad: Tensor
    landforms: Tensor
    rock_types: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        for name in ("mean", "std", "low", "high", "landforms", "rock_types"):
            values = torch.tensor(getattr(encoding, name), dtype=torch.float32)
            self.register_buffer(name, values.view(-1, 1, 1), persistent=False)
        broad = torch.tensor([BROAD_SHIFT_STD * (name in BROAD) for name in CONTINUOUS])
        self.register_buffer("broad", broad.view(-1, 1, 1), persistent=False)

    def forward(self, factors: Tensor) -> Tensor:
        """[B, 10, H, W] to [B, C, H, W]; unknown becomes 0, which is a mean value, no direction and no class."""
        by_name = dict(zip(FACTORS, factors.unbind(1), strict=True))
        plain = torch.stack([by_name[n].log1p() if n in DISTANCES else by_name[n] for n in CONTINUOUS], 1)
        plain = (plain.clamp(self.low, self.high) - self.mean) / self.std
        if self.training:
            plain = plain + self.broad * torch.randn(*plain.shape[:2], 1, 1, device=plain.device)
            known = torch.rand(len(plain), 1, 1, device=plain.device) >= ROCK_HIDDEN
            by_name["rock_type"] = by_name["rock_type"].where(known, torch.nan)
        angle = by_name["aspect"].deg2rad()
        # North is next to north-north-west, so an angle enters as a direction; flat ground (-1) has none.
        direction = torch.stack([angle.sin(), angle.cos()], 1) * (by_name["aspect"] >= 0).unsqueeze(1)
        landform = by_name["landform"].unsqueeze(1) == self.landforms
        rock_type = by_name["rock_type"].unsqueeze(1) == self.rock_types
        return torch.cat([plain, direction, landform, rock_type], 1).nan_to_num(0.0)


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
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class MonotoneNetwork(nn.Module):
    """More rain can never lower the probability of a cell, by construction.

    The trunk reads the ten factors only; at each cell it gives a and b_k of

        logit(r) = a + sum_k softplus(b_k) · phi_k(r)

    where phi_k rises from 0 to 1 between two knots of `KNOTS_MM` and is flat outside them. A rain cell is some hundred
    times wider than ground cells, so within the network's reach a rain channel would hold next to nothing spatial.
    """

    def __init__(self, encoding: Encoding, trunk: nn.Module) -> None:
        super().__init__()
        self.rain_max_mm = encoding.rain_max_mm
        self.encoder = Encoder(encoding)
        self.trunk = trunk

    def forward(self, factors: Tensor, rain: Tensor) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]."""
        logit, rise = self._response(factors)
        r = rain.nan_to_num(0.0).clamp(max=self.rain_max_mm)
        for k, (low, high) in enumerate(pairwise(KNOTS_MM)):
            logit = logit + rise[:, k : k + 1] * ((r - low) / (high - low)).clamp(0, 1)  # (B, S, H, W)
        return logit

    def critical_rain(self, factors: Tensor, logits: Tensor) -> Tensor:
        """The inverse of `forward`: the least rain under which each cell reaches a logit.

        Args:
            factors: [B, 10, H, W].
            logits: [K], any numbers.

        Returns:
            Rain [B, K, H, W], mm, float64: 0 where the logit is reached without rain, inf where `rain_max_mm`, beyond
            which the response is flat, does not reach it.
        """
        start, rise = (part.double() for part in self._response(factors))
        wanted = logits.double().view(1, -1, 1, 1)
        found = torch.where(start >= wanted, 0.0, torch.inf)  # (B, K, H, W)
        for k, (low, high) in enumerate(pairwise(KNOTS_MM)):
            if low >= self.rain_max_mm:
                break
            end = min(high, self.rain_max_mm)
            slope = rise[:, k : k + 1] / (high - low)
            reached = start + slope * (end - low)
            here = found.isinf() & (reached >= wanted)
            found = torch.where(here, (low + (wanted - start) / slope).clamp(max=end), found)
            start = reached
        return found

    def _response(self, factors: Tensor) -> tuple[Tensor, Tensor]:
        """A [B, 1, H, W] and softplus(b_k) [B, K, H, W]."""
        trunk = self.trunk(self.encoder(factors))  # (B, 1 + knots - 1, H, W)
        return trunk[:, :1] + RARE, functional.softplus(trunk[:, 1:])


class ChannelNetwork(nn.Module):
    """The 7-day rain as one more input channel, as published: the reference. Nothing keeps it from falling."""

    def __init__(self, encoding: Encoding, trunk: nn.Module) -> None:
        super().__init__()
        self.encoding = encoding
        self.encoder = Encoder(encoding)
        self.trunk = trunk

    def forward(self, factors: Tensor, rain: Tensor) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]."""
        batch, storms, height, width = rain.shape
        r = (rain.clamp(max=self.encoding.rain_max_mm) - self.encoding.rain_mean_mm) / self.encoding.rain_std_mm
        ground = self.encoder(factors).repeat_interleave(storms, 0)  # (B·S, C, H, W)
        x = torch.cat([ground, r.nan_to_num(0.0).view(-1, 1, height, width)], 1)
        return RARE + self.trunk(x).view(batch, storms, height, width)


Network = MonotoneNetwork | ChannelNetwork


def build(config: Model, encoding: Encoding) -> Network:
    """The network a config describes, with fresh weights from torch's own random state."""
    monotone = config.rain == "monotone"
    inputs, outputs = (encoding.channels, len(KNOTS_MM)) if monotone else (encoding.channels + 1, 1)
    trunk: nn.Module
    if config.network == "bpnn":
        trunk = Perceptron(inputs, outputs, 4 * config.base_width)
    elif config.network == "resnet":
        trunk = ResNet(inputs, outputs, 2 * config.base_width)
    else:
        trunk = UNet(inputs, outputs, config.base_width, config.depth)
    return MonotoneNetwork(encoding, trunk) if monotone else ChannelNetwork(encoding, trunk)


def phase(config: Model) -> int:
    """Height and width that the network of a config is asked about must be multiples of this."""
    return 2**config.depth if config.network == "unet" else 1


def reach(config: Model) -> int:
    """Cells to read around a block so that each of its cells sees all that the network of a config can see."""
    return {"unet": halo(config.depth), "resnet": RESNET_REACH, "bpnn": 0}[config.network]


def halo(depth: int) -> int:
    """How far a U-Net of a depth sees: the `reach` of its blocks, a multiple of 2**depth.

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
