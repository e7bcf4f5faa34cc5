"""What a model makes of raw factors before it learns anything: scaled values, directions and classes.

Factors come raw, in their own units, NaN where unknown: the scaling is learnt on training ground and is part of the
model, so nobody can apply another. Nothing tells a model where on the map it is.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lswarn.model.surroundings import CHANNELS, HOLLOW_WIDTHS, surroundings
from lswarn.sections import FACTORS

CONTINUOUS = ("slope", "curvature", "river_distance", "fault_distance", "rainfall", "temperature", "seismic_intensity")
DISTANCES = ("river_distance", "fault_distance")
SEEN = (0.001, 0.999)
"""Quantiles of the training ground at which an input is cut off: beyond them the network never learnt what to say."""

BROAD = ("fault_distance", "rainfall", "temperature", "seismic_intensity")
BROAD_SHIFT_STD = 1.0
ROCK_HIDDEN = 0.3
"""While training, the factors that hardly change within a crop are shifted by a random amount a crop, and rock type is
hidden in some crops: from both a network could learn where it is, and that this slope slid, rather than why."""


HOLLOW_MOST = 8.0
"""Standard deviations of curvature beyond which a hollow is no deeper."""


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
        """Inputs of a model made of the ten factors."""
        return len(CONTINUOUS) + CHANNELS + 2 + len(self.landforms) + len(self.rock_types)


class Encoder(nn.Module):
    """Raw factors to inputs of a network."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    broad: Tensor
    widths: Tensor
    landforms: Tensor
    rock_types: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        for name in ("mean", "std", "low", "high", "landforms", "rock_types"):
            values = torch.tensor(getattr(encoding, name), dtype=torch.float32)
            self.register_buffer(name, values.view(-1, 1, 1), persistent=False)
        # What is the same everywhere stays so: shifted, it would be chance that looks like a factor.
        varied = zip(CONTINUOUS, encoding.low, encoding.high, strict=True)
        broad = torch.tensor([BROAD_SHIFT_STD * (name in BROAD and low < high) for name, low, high in varied])
        self.register_buffer(
            "widths", torch.tensor(HOLLOW_WIDTHS, dtype=torch.float32).view(-1, 1, 1), persistent=False
        )
        self.register_buffer("broad", broad.view(-1, 1, 1), persistent=False)

    def forward(self, factors: Tensor, around: Tensor | None = None) -> Tensor:
        """[B, 10, H, W] to [B, C, H, W]; unknown becomes 0, which is a mean value, no direction and no class.

        Args:
            around: the `surroundings` of the factors, where they are known already.
        """
        around = surroundings(factors) if around is None else around
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
        bend = CONTINUOUS.index("curvature")
        # A mean over more cells is smaller, about as its square is wider.
        hollow = (around[:, :-1] * self.widths / self.std[bend]).clamp(-HOLLOW_MOST, HOLLOW_MOST)
        landform = by_name["landform"].unsqueeze(1) == self.landforms
        rock_type = by_name["rock_type"].unsqueeze(1) == self.rock_types
        return torch.cat([plain, hollow, around[:, -1:] - 1, direction, landform, rock_type], 1).nan_to_num_(0.0)


def tenths(rain: Tensor) -> Tensor:
    """Rain, mm, rounded down to whole tenths: a model that reads it so has an exact critical rainfall."""
    return torch.floor(10 * rain) / 10
