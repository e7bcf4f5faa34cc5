"""Where water gathers around a cell, worked out from the factors of the cells near it.

What lies above a slope decides how wet it gets under a rain. A network could find that out from aspect and curvature by
itself, but a few hundred landslides do not teach it to; they do teach any model what to make of it.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from lswarn.sections import FACTORS

HOLLOW_WIDTHS = (3, 7, 15, 31)
"""Sides, in cells, of the squares over which curvature is averaged."""
STEPS = 15
"""Cells downhill over which water is followed."""
SEEN_AROUND = max(max(HOLLOW_WIDTHS) // 2, STEPS + 1)
"""Cells to each side that every model sees, whatever else it is."""
CHANNELS = len(HOLLOW_WIDTHS) + 1

_DOWNHILL = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Rows and columns from a cell to its neighbours, clockwise from north."""

_TO_NEIGHBOURS = np.array(_DOWNHILL, dtype=np.int64)


def surroundings(factors: Tensor) -> Tensor:
    """Hollows, then what gathers: [B, 10, H, W] to [B, CHANNELS, H, W]; NaN where nothing around is known.

    Worked out on the CPU, in float32, and given back where the factors are. A cell is a sum in the same order in
    whatever block it lies: the same bytes.
    """
    return torch.cat([hollows(factors), gathered(factors)], 1)


def hollows(factors: Tensor) -> Tensor:
    """Mean curvature, 1/m, of the squares of `HOLLOW_WIDTHS` around each cell: below 0 in hollows, above on spurs.

    [B, 10, H, W] to [B, 4, H, W]. Unknown cells are left out; NaN where none in the square is known.
    """
    curvature = _factor(factors, "curvature")
    found = [np.stack([_mean(each, width) for width in HOLLOW_WIDTHS]) for each in curvature]
    return torch.from_numpy(np.stack(found)).to(factors.device)


def gathered(factors: Tensor) -> Tensor:
    """Logarithm of how many cells drain through each within `STEPS` steps, itself included; mean of 3 x 3 cells.

    [B, 10, H, W] to [B, 1, H, W]. Each cell gives to the two neighbours between which its aspect points, in proportion
    (after Tarboton 1997, doi 10.1029/96WR03137); flat cells keep what they get. NaN where nothing around is known.
    """
    aspect = _factor(factors, "aspect")
    found = []
    for each in aspect:
        cells = torch.from_numpy(_drained(each, _TO_NEIGHBOURS, STEPS)).clamp(min=1.0).log().numpy()
        found.append(_mean(np.where(np.isnan(each), np.float32(np.nan), cells), 3))
    return torch.from_numpy(np.stack(found)[:, np.newaxis]).to(factors.device)


def _factor(factors: Tensor, name: str) -> NDArray[np.float32]:
    found: NDArray[np.float32] = factors[:, FACTORS.index(name)].detach().cpu().float().contiguous().numpy()
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _mean(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Of what is known in the square around each cell, [H, W]: sums down, then across, each term by term."""
    height, across = values.shape
    side, most = width // 2, np.float32(width)
    found = np.empty((height, across), np.float32)
    down, known = np.zeros(across + 2 * side, np.float32), np.zeros(across + 2 * side, np.float32)
    sums, counts = np.empty(across, np.float32), np.empty(across, np.float32)
    for row in range(height):
        sums[:], counts[:] = 0, 0
        for near in range(max(row - side, 0), min(row + side + 1, height)):
            for col in range(across):
                there = values[near, col] == values[near, col]
                sums[col] += values[near, col] if there else np.float32(0)
                counts[col] += np.float32(1) if there else np.float32(0)
        for col in range(across):
            down[side + col], known[side + col] = sums[col] / most, counts[col] / most
        sums[:], counts[:] = 0, 0
        for near in range(width):
            for col in range(across):
                sums[col] += down[near + col]
                counts[col] += known[near + col]
        for col in range(across):
            found[row, col] = (sums[col] / most) / (counts[col] / most)
    return found


@njit(nogil=True, cache=True)
def _drained(  # noqa: C901 (one pass) # pragma: no cover (compiled)
    aspect: NDArray[np.float32], neighbours: NDArray[np.int64], steps: int
) -> NDArray[np.float32]:
    """Cells that drain through each within so many steps, itself included, [H, W]; 0 where the aspect is NaN.

    Step k of a row needs step k - 1 of it and of the rows beside it. All steps go down the rows together, each one row
    behind the step before: what they read is still in the cache, and of every step three rows are enough.
    """
    height, width = aspect.shape
    here = np.zeros((height, width), np.float32)
    share = np.zeros((height, len(neighbours), width + 2), np.float32)  # one column of nothing to each side
    for row in range(height):
        for col in range(width):
            angle = aspect[row, col]
            here[row, col] = angle == angle
            if angle >= 0:
                turn = angle / np.float32(45)
                first = np.floor(turn)
                to = int(first)
                share[row, to & 7, col + 1] = np.float32(1) - (turn - first)
                share[row, (to + 1) & 7, col + 1] = turn - first
    rows = np.zeros((steps + 1, 3, width + 2), np.float32)  # of each step the newest three
    found = np.empty((height, width), np.float32)
    for front in range(height + steps):
        if front < height:
            rows[0, front % 3, 1:-1] = here[front]
        for step in range(1, steps + 1):
            row = front - step
            if not 0 <= row < height:
                continue
            reached = rows[step, row % 3, 1:-1]
            reached[:] = here[row]
            for k in range(len(neighbours)):
                above = row - neighbours[k, 0]
                if 0 <= above < height:
                    left = 1 - neighbours[k, 1]
                    gives, part = rows[step - 1, above % 3, left : left + width], share[above, k, left : left + width]
                    for col in range(width):
                        reached[col] += gives[col] * part[col]
            if step == steps:
                found[row] = reached
    return found
