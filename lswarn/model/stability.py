"""The second sentence of physics: an infinite slope, wetted from the land above it, told instead of a rain threshold.

The safety factor of an endless slope of angle θ, in the form of SINMAP (Pack, Tarboton and Goodwin 1998, The SINMAP
approach to terrain stability mapping, 8th Congress of the International Association of Engineering Geology):

    w  = min(1, R·a / (T·sin θ))
    FS = (C + cos θ · (1 - r·w) · tan φ) / sin θ

with the recharge R, m/day; the specific catchment area a, m: land that drains through a cell over the width of the
cell; and of `sections.InfiniteSlope` the transmissivity T, cohesion C, friction angle φ and water to soil r. The
wetness w is that of a steady flow: R is the mean rain of the seven days, as if it had fallen for ever and all of it had
sunk in. What it calls stable may still slide, what it calls unstable need not: one soil stands for a whole region.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lswarn.grid import Block
from lswarn.model.loss import FLAT_DEG
from lswarn.sections import InfiniteSlope, Model

DAYS = 7
"""Rain is the sum of so many days; recharge is their mean."""
LEAST_SINE = 1e-6
"""Level ground has no safety factor; with this it has a very large one."""


def wetness(
    rain_mm: NDArray[np.float32], catchment_m: NDArray[np.float32], slope_deg: NDArray[np.float32], soil: InfiniteSlope
) -> NDArray[np.float32]:
    """Share w of the soil's depth that is under water, 0..1, of arrays that broadcast.

    Args:
        rain_mm: sum of seven days.
        catchment_m: specific catchment area.

    Returns:
        NaN where any of the three is NaN. Never falls as rain rises.
    """
    recharge_m_day = rain_mm / np.float32(1000 * DAYS)
    carried = np.float32(soil.transmissivity_m2_day) * _sine(slope_deg)
    return np.minimum(np.float32(1), recharge_m_day * catchment_m / carried)


def safety_factor(
    rain_mm: NDArray[np.float32], catchment_m: NDArray[np.float32], slope_deg: NDArray[np.float32], soil: InfiniteSlope
) -> NDArray[np.float32]:
    """Safety factor FS, 0 or more, below 1 where the slope fails; as `wetness`. Never rises as rain rises."""
    dry = 1 - np.float32(soil.water_to_soil) * wetness(rain_mm, catchment_m, slope_deg, soil)
    friction = np.cos(np.radians(slope_deg)) * dry * np.float32(np.tan(np.radians(soil.friction_deg)))
    return (np.float32(soil.cohesion) + friction) / _sine(slope_deg)


def danger(
    rain_mm: NDArray[np.float32], catchment_m: NDArray[np.float32], slope_deg: NDArray[np.float32], soil: InfiniteSlope
) -> NDArray[np.float32]:
    """Danger d = clip(1 - FS, 0, 1) of arrays that broadcast.

    0 where the slope is at most `loss.FLAT_DEG`, and where any of the three is NaN: where physics knows nothing it says
    nothing.
    """
    d = np.clip(1 - safety_factor(rain_mm, catchment_m, slope_deg, soil), 0, 1)
    return np.where(slope_deg > FLAT_DEG, np.nan_to_num(d), 0).astype(np.float32)


@dataclass(frozen=True)
class Hillslopes:
    """The soil of a region and the land above each of its cells: all that is asked beside rain and slope.

    Attributes:
        soil: of the whole region.
        upslope: specific catchment area, m, of any block, NaN where unknown.
    """

    soil: InfiniteSlope
    upslope: Callable[[Block], NDArray[np.float32]]

    def danger(self, block: Block, rain_mm: NDArray[np.float32], slope_deg: NDArray[np.float32]) -> NDArray[np.float32]:
        """Danger [S, h, w] of a block under rains [S, h, w], mm in seven days, on slopes [h, w]."""
        return danger(rain_mm, self.upslope(block), slope_deg, self.soil)


def hillslopes(config: Model, upslope: Callable[[Block], NDArray[np.float32]]) -> Hillslopes | None:
    """What `samples.Observed` is to ask for the danger; None: the rain thresholds.

    Args:
        upslope: `FactorReader.read_upslope`; called only where the config asks for the infinite slope.
    """
    return None if config.soil is None else Hillslopes(config.soil, upslope)


def _sine(slope_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(np.sin(np.radians(slope_deg)), np.float32(LEAST_SINE))
