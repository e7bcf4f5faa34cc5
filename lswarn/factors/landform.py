"""Landform: the ten most common geomorphons.

Jasiewicz and Stepinski (2013), Geomorphons: a pattern recognition approach to classification and mapping of landforms.
Geomorphology 182, 147-156, doi 10.1016/j.geomorph.2012.11.005. From each cell one looks in eight directions and notes
whether the terrain in sight lies above the level, below it, or neither; how many of each decides the form.
"""

import math
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from lswarn.factors.terrain import complete

LOOKUP_CELLS = 20
"""How far one looks, in cells (600 m at 30 m); also the halo that `landform` needs."""

FLATNESS_DEG = 1.0
"""Sight lines that differ by no more than this are level."""


class Landform(IntEnum):
    """The ten forms; the codes stand in the stack."""

    FLAT = 1
    SUMMIT = 2
    RIDGE = 3
    SHOULDER = 4
    SPUR = 5
    SLOPE = 6
    HOLLOW = 7
    FOOTSLOPE = 8
    VALLEY = 9
    DEPRESSION = 10


_LETTERS = dict(zip("FPRHSLOTVD", Landform, strict=True))
_FORMS = np.array(
    [  # columns: 0 to 8 directions in which the terrain is higher; "." cannot happen, eight being all there are
        [_LETTERS.get(letter, 0) for letter in row]
        for row in (
            "FFFTTVVVD",  # lower in none
            "FFTTTVVV.",  # lower in one direction
            "FHLLOOV..",
            "HHLLLO...",
            "HHSLL....",
            "RRSS.....",
            "RRR......",
            "RR.......",
            "P........",  # lower in all eight
        )
    ],
    np.float32,
)
"""Form by the count of lower and of higher directions (the paper's fig. 4)."""

_DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def landform(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Geomorphon of each cell, as codes of `Landform`.

    Args:
        dem: metres, with a halo of `LOOKUP_CELLS`: [h + 2·20, w + 2·20].

    Returns:
        [h, w]. NaN where the cell or a neighbour is unknown; unknown cells farther along a sight line are looked past.
    """
    halo = LOOKUP_CELLS
    height, width = (size - 2 * halo for size in dem.shape)
    z = dem[halo:-halo, halo:-halo]
    higher, lower = np.zeros((height, width), int), np.zeros((height, width), int)
    for down, right in _DIRECTIONS:
        cells = math.hypot(down, right)
        steepest_up, steepest_down = np.full(z.shape, -np.inf, np.float32), np.full(z.shape, np.inf, np.float32)
        for step in range(1, int(halo / cells) + 1):
            row, col = halo + step * down, halo + step * right
            rise = (dem[row : row + height, col : col + width] - z) / (step * cells * resolution_m)
            np.fmax(steepest_up, rise, out=steepest_up)
            np.fmin(steepest_down, rise, out=steepest_down)
        # Nadir angle minus zenith angle of the paper: the two elevation angles added.
        balance = np.degrees(np.arctan(steepest_up) + np.arctan(steepest_down))
        higher += balance > FLATNESS_DEG
        lower += balance < -FLATNESS_DEG
    inner = dem[halo - 1 : dem.shape[0] - halo + 1, halo - 1 : dem.shape[1] - halo + 1]
    return np.where(complete(inner), _FORMS[lower, higher], np.float32(np.nan))
