"""The hidden truth of the demo world: an infinite slope, wetted by seven days of rain. Nobody downstream may ask it.

Safety factor in the SINMAP form (Pack, Tarboton & Goodwin 1998), with cohesion made dimensionless by soil depth:

    w  = min(1, R·a / (T·sin θ))
    FS = (C + cos θ · (1 − r·w) · tan φ) / sin θ,   r = 0.5

The demo world is small by definition, so here, and only here, a field covers the whole of it at once.
"""

from dataclasses import dataclass

import numpy as np
import pyflwdir
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from scipy.special import ndtr

Field = NDArray[np.float32]

WATER_TO_SOIL = 0.5
SPREAD = 0.15
"""Standard deviation of the safety factor's own uncertainty at a place."""
RATE = 0.12
"""Share of fully unstable ground that does fail in one storm."""
PATCH_CELLS = 1.3
"""Correlation length of failing, cells: what makes a landslide a patch."""
LEAST_CELLS = 3
HIDDEN_M = 900.0
"""Correlation length of the hidden variation of the soil."""


@dataclass(frozen=True)
class Rock:
    """A made rock type and the soil on it: dimensionless cohesion, friction angle, transmissivity m²/day."""

    name: str
    cohesion: float
    friction_deg: float
    transmissivity_m2_day: float


ROCKS = {
    1: Rock("dolomite", 0.16, 34.0, 60.0),
    2: Rock("shale", 0.06, 28.0, 32.0),
    3: Rock("coal measures", 0.08, 29.0, 40.0),
    4: Rock("sandstone", 0.13, 33.0, 56.0),
}


@dataclass(frozen=True)
class Ground:
    """What decides, cell by cell, when a slope gives way; NaN where the terrain is unknown."""

    sine: Field
    catchment_m: Field
    cohesion: Field
    tan_friction: Field
    transmissivity_m2_day: Field


def make_ground(dem: Field, transform: Affine, rock: NDArray[np.uint8], rng: np.random.Generator) -> Ground:
    """Derive the ground from terrain [h, w] m (NaN unknown), rock codes and hidden smooth variation."""
    resolution_m = transform.a
    dy, dx = np.gradient(dem, resolution_m)
    gradient = np.hypot(dx, dy)
    flow = pyflwdir.from_dem(np.where(np.isnan(dem), -9999, dem), nodata=-9999, transform=transform, outlets="edge")
    per_width = np.log(np.clip(flow.upstream_area("m2"), resolution_m**2, None) / resolution_m)
    catchment = np.exp(gaussian_filter(per_width, 45.0 / resolution_m))  # D8 is too thin: water spreads on slopes

    def by_rock(name: str, deviation: float) -> Field:
        values = np.array([np.nan, *(getattr(ROCKS[code], name) for code in sorted(ROCKS))])
        hidden = gaussian_filter(rng.standard_normal(dem.shape), HIDDEN_M / resolution_m)
        return (values[rock] * np.exp(deviation * hidden / hidden.std())).astype(np.float32)

    return Ground(
        sine=(gradient / np.hypot(1, gradient)).astype(np.float32),
        catchment_m=catchment.astype(np.float32),
        cohesion=by_rock("cohesion", 0.35),
        tan_friction=np.tan(np.radians(by_rock("friction_deg", 0.05))),
        transmissivity_m2_day=by_rock("transmissivity_m2_day", 0.3),
    )


def safety_factor(ground: Ground, rain_mm: Field) -> Field:
    """Safety factor under seven-day rain; NaN where either is unknown, very large on flat ground."""
    sine = np.maximum(ground.sine, 1e-3)
    recharge_m_day = rain_mm / 1000 / 7
    wet = np.minimum(1, recharge_m_day * ground.catchment_m / (ground.transmissivity_m2_day * sine))
    friction = np.sqrt(1 - sine**2) * (1 - WATER_TO_SOIL * wet) * ground.tan_friction
    return np.asarray((ground.cohesion + friction) / sine, np.float32)


def failure_probability(ground: Ground, rain_mm: Field) -> Field:
    """Probability that a cell fails in the week, 0..RATE; NaN where unknown. Never falls as rain rises."""
    return np.asarray(RATE * ndtr((1 - safety_factor(ground, rain_mm)) / SPREAD), np.float32)


def landslides(probability: Field, rng: np.random.Generator) -> NDArray[np.int32]:
    """Draw one week's landslides: 0 where the ground holds, else the number of the patch.

    Smooth noise, made uniform, is held against the probability: so neighbours fail together while every cell keeps
    its rate (patches below `LEAST_CELLS` are dropped).
    """
    noise = gaussian_filter(rng.standard_normal(probability.shape), PATCH_CELLS)
    patches, count = label(ndtr(noise / noise.std()) < np.nan_to_num(probability))
    keep = np.bincount(patches.ravel(), minlength=count + 1) >= LEAST_CELLS
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0)
    return np.asarray(number[patches], np.int32)
