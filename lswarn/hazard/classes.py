"""The five susceptibility classes, and the sixth: unknown."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Class(IntEnum):
    """Susceptibility class of a cell. UNKNOWN is a value of its own, never a low class."""

    UNKNOWN = 0
    VERY_LOW = 1
    LOW = 2
    MODERATE = 3
    HIGH = 4
    VERY_HIGH = 5

    @property
    def label(self) -> str:
        """For people: `very high`."""
        return self.name.lower().replace("_", " ")

    @property
    def colour(self) -> str:
        """On every map, `#rrggbb`: darker with the class, so that it holds for the colour-blind and on a grey print."""
        return ("#a7abb3", "#fff6d5", "#fddf8b", "#f7a64a", "#e2603b", "#720d3d")[self]


UNKNOWN_HATCH = "////"
"""How UNKNOWN is hatched on a map, so that it is no mere shade."""

PROBABILITY_STEP = 2e-5
"""Rasters of probability count in these steps, as uint16; 65535 is unknown."""
UNKNOWN_PROBABILITY = 65535

WARNED = (Class.HIGH, Class.VERY_HIGH)
"""Classes that become zones."""


def classify(
    probability: NDArray[np.float32],
    breaks: tuple[float, float, float, float],
    *,
    lower_bound: NDArray[np.bool_] | bool = False,
) -> NDArray[np.uint8]:
    """Class of each cell.

    Args:
        probability: 0..1, NaN = unknown.
        breaks: ascending; a cell is of the class above a break when its probability is equal to or above it.
        lower_bound: where more rain fell than was measured. A cell that is HIGH all the same is so; of any other such
            cell nothing is known.

    Returns:
        `Class` values as uint8, UNKNOWN where the probability is NaN.
    """
    found = (np.digitize(probability, breaks) + Class.VERY_LOW).astype(np.uint8)
    found[np.isnan(probability) | (lower_bound & (found < Class.HIGH))] = Class.UNKNOWN
    return found
