"""The colours of raster tiles, and how they become PNG. Pure.

A tile is painted in numbers of a palette: 0 is outside the region and transparent, 1 and 2 are the ground and the
stripes of what is unknown, and from 3 on stand the steps of a layer. What is unknown is never transparent, and its
stripes run on from tile to tile.
"""

import io
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lswarn.hazard.classes import Class
from lswarn.hazard.critical import NEVER, UNKNOWN

RasterLayer = Literal["classes", "rain", "critical-high", "critical-very-high"]
TILE = 256
"""Pixels a side."""
OUTSIDE, GROUND, STRIPE, FIRST = 0, 1, 2, 3
STYLE = 1
"""Raised whenever the same values would give another picture."""

_STRIPE_PX = 8
"""From stripe to stripe; it divides `TILE`."""
_UNKNOWN = (Class.UNKNOWN.colour, "#5f646e")


@dataclass(frozen=True)
class Step:
    """A colour and what it stands for.

    Attributes:
        label: for people, in English.
        least: from this value on, in the layer's unit; None where it stands for no amount.
        key: for translations: unknown, never, dry, a class by its name, or empty for an amount.
    """

    colour: str
    label: str
    least: float | None = None
    key: str = ""


RAIN_MM = (0, 1, 10, 25, 50, 75, 100, 150, 200, 300, 400)
_RAIN = ("#f7fbff", "#e3eef9", "#cfe1f2", "#b5d4e9", "#93c3df", "#6daed5", "#4b97c9", "#2f7ebc", "#1864aa", "#0a4a90",
         "#08306b")  # fmt: skip
CRITICAL_MM = (0, 25, 50, 75, 100, 150, 200, 300, 400)
_DRY = "#2d1160"
_CRITICAL = ("#51127c", "#721f81", "#932b80", "#b73779", "#d8456c", "#f1605d", "#fc8961", "#feb078", "#fed799")
_NEVER = "#f6f4ee"


def _amounts(least: tuple[int, ...], colours: tuple[str, ...]) -> tuple[Step, ...]:
    labels = [f"{low} to {high} mm" for low, high in pairwise(least)] + [f"{least[-1]} mm and more"]
    return tuple(Step(colour, label, mm) for colour, label, mm in zip(colours, labels, least, strict=True))


_CRITICAL_STEPS = (
    Step(_DRY, "in it without rain", None, "dry"),
    *_amounts(CRITICAL_MM, _CRITICAL),
    Step(_NEVER, "by no rain that the model has seen", None, "never"),
)

STEPS: dict[RasterLayer, tuple[Step, ...]] = {
    "classes": tuple(Step(each.colour, each.label, each.value, each.name.lower()) for each in Class if each),
    "rain": _amounts(RAIN_MM, _RAIN),
    "critical-high": _CRITICAL_STEPS,
    "critical-very-high": _CRITICAL_STEPS,
}
"""The colours of each layer, from little to much; what is unknown is hatched in all of them."""

HATCH = {"ground": _UNKNOWN[0], "stripe": _UNKNOWN[1], "label": Class.UNKNOWN.label}
UNITS: dict[RasterLayer, str] = {
    "classes": "",
    "rain": "mm of rain in 7 days",
    "critical-high": "mm of rain in 7 days from which on it is high",
    "critical-very-high": "mm of rain in 7 days from which on it is very high",
}


def paint(layer: RasterLayer, values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Numbers of the palette for a tile's values.

    Args:
        values: [256, 256]; classes, mm of rain, or tenths of a millimetre of critical rainfall.
        known: same shape; where there is a value at all. What is not known is hatched.
    """
    if layer == "classes":
        steps = np.maximum(values.astype(np.int16) - 1, 0)
        unknown = values == Class.UNKNOWN
    elif layer == "rain":
        unknown = np.isnan(values)
        steps = np.maximum(np.digitize(np.nan_to_num(values), RAIN_MM) - 1, 0)
    else:
        unknown = values == UNKNOWN
        steps = np.digitize(values, [10 * mm for mm in CRITICAL_MM])
        steps = np.where(values == 0, 0, np.where(values == NEVER, len(CRITICAL_MM) + 1, steps))
    return np.where(unknown | ~known, hatch(), FIRST + steps).astype(np.uint8)


@cache
def hatch() -> NDArray[np.uint8]:
    """A tile of which nothing is known."""
    across, down = np.meshgrid(np.arange(TILE), np.arange(TILE))
    return np.where((across + down) % _STRIPE_PX < 2, STRIPE, GROUND).astype(np.uint8)


@cache
def _palette(layer: RasterLayer) -> bytes:
    colours = ("#000000", *_UNKNOWN, *(step.colour for step in STEPS[layer]))
    return b"".join(bytes.fromhex(colour[1:]) for colour in colours)


def to_png(layer: RasterLayer, numbers: NDArray[np.uint8]) -> bytes:
    """A picture of [h, w] numbers of the palette: a byte a pixel, where colours would take four."""
    image = Image.fromarray(numbers, "L")
    image.putpalette(_palette(layer))
    file = io.BytesIO()
    image.save(file, "PNG", transparency=b"\0", compress_level=3)
    return file.getvalue()
