"""Landform: the ten most common geomorphons.

Jasiewicz and Stepinski (2013), Geomorphons: a pattern recognition approach to classification and mapping of landforms.
Geomorphology 182, 147-156, doi 10.1016/j.geomorph.2012.11.005. From each cell one looks in eight directions and notes
whether the terrain in sight lies above the level, below it, or neither; how many of each decides the form.
"""

import math
from enum import IntEnum

import numpy as np
from numba import njit
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

_DIRECTIONS = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)])


def landform(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Geomorphon of each cell, as codes of `Landform`. Worked without the interpreter's lock.

    Args:
        dem: metres, with a halo of `LOOKUP_CELLS`: [h + 2·20, w + 2·20].

    Returns:
        [h, w]. NaN where the cell or a neighbour is unknown; unknown cells farther along a sight line are looked past.
    """
    halo = LOOKUP_CELLS
    out = np.empty((dem.shape[0] - 2 * halo, dem.shape[1] - 2 * halo), np.float32)
    if out.size:
        steps = np.array([int(halo / math.hypot(down, right)) for down, right in _DIRECTIONS])
        tangent = math.tan(math.radians(FLATNESS_DEG))
        _look(np.ascontiguousarray(dem, np.float32), float(resolution_m), _DIRECTIONS, steps, tangent, _FORMS, out)
        inner = dem[halo - 1 : dem.shape[0] - halo + 1, halo - 1 : dem.shape[1] - halo + 1]
        out[~complete(inner)] = np.nan
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _look(
    dem: NDArray[np.float32],
    resolution_m: float,
    directions: NDArray[np.int64],
    steps: NDArray[np.int64],
    flatness: float,
    forms: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:  # pragma: no cover (compiled)
    """Row by row: all cells of a row look one step farther at a time, which becomes vector instructions.

    Nadir angle minus zenith angle of the paper is the sum of two elevation angles, u (steepest up) and d (steepest
    down). Whether it exceeds the flatness f is asked of tangents: for |u + d| < 90°, u + d > f just where
    tan u + tan d > tan f · (1 - tan u · tan d), and 1 - tan u · tan d > 0 says that it is so.
    """
    halo = LOOKUP_CELLS
    height, width = out.shape
    up, down = np.empty(width, np.float32), np.empty(width, np.float32)
    higher, lower = np.empty(width, np.int32), np.empty(width, np.int32)
    for i in range(height):
        here = dem[i + halo, halo : halo + width]
        higher[:] = 0
        lower[:] = 0
        for k in range(len(directions)):
            south, east = directions[k]
            cells = math.sqrt(float(south**2 + east**2))
            up[:] = -np.inf
            down[:] = np.inf
            for step in range(1, steps[k] + 1):
                left = halo + step * east
                there = dem[i + halo + step * south, left : left + width]
                metres = np.float32(step * cells * resolution_m)
                for j in range(width):
                    rise = (there[j] - here[j]) / metres
                    up[j] = rise if rise > up[j] else up[j]  # an unknown one is not greater
                    down[j] = rise if rise < down[j] else down[j]
            for j in range(width):
                u, d = np.float64(up[j]), np.float64(down[j])
                both, rest = u + d, 1 - u * d
                higher[j] += both > flatness * rest if rest > 0 else both > 0
                lower[j] += both < -flatness * rest if rest > 0 else both < 0
        for j in range(width):
            out[i, j] = forms[lower[j], higher[j]]
