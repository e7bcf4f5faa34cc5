"""Exact Euclidean distance to the nearest feature, in bounded memory.

Meijster, Roerdink and Hesselink (2000), A general algorithm for computing distance transforms in linear time, doi
10.1007/0-306-47025-X_36: first the distance along each column, by a sweep down and one up; then, row by row, the lower
envelope of the parabolas that the columns stand for. The sweeps carry one row of state from strip to strip, and the
second pass needs whole rows only, so that no border between strips can be seen in the result.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

STRIP_ROWS = 512


def fill_distances(
    out: NDArray[np.float32], features: Callable[[int, int], NDArray[np.bool_]], *, strip_rows: int = STRIP_ROWS
) -> None:
    """Fill `out` with the distance from each cell centre to the nearest centre of a feature's cell, in cells.

    Args:
        out: [height, width], overwritten; a memory-mapped file where the region is larger than memory.
        features: gives rows `start` to `stop` of the mask of feature cells, [stop - start, width]. Asked once a strip.
        strip_rows: rows held in memory at a time; the result does not depend on it.

    If there is no feature at all, every cell is infinitely far.
    """
    height, width = out.shape
    strips = [(start, min(start + strip_rows, height)) for start in range(0, height, strip_rows)]
    above = np.full(width, np.inf, np.float32)  # float32 counts exactly up to 16 million rows
    for start, stop in strips:
        for row, mask in enumerate(features(start, stop), start):
            out[row] = above = np.where(mask, np.float32(0), above + 1)
    below = np.full(width, np.inf, np.float32)
    for start, stop in reversed(strips):
        strip = np.array(out[start:stop])
        for row in reversed(range(stop - start)):
            strip[row] = below = np.minimum(strip[row], below + 1)
        out[start:stop] = _across(strip)


@njit()
def _across(columns: NDArray[np.float32]) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Distances along columns to distances in the plane, each row for itself."""
    result = np.full(columns.shape, np.inf, np.float32)
    for row in range(len(columns)):
        _envelope(columns[row], result[row])
    return result


@njit()
def _envelope(columns: NDArray[np.float32], out: NDArray[np.float32]) -> None:  # pragma: no cover (compiled)
    """One row: the lowest of the parabolas that stand on its columns; in whole numbers, hence exact."""
    width = len(columns)
    squared = np.empty(width, np.int64)  # height of a column's parabola
    foot, first = np.empty(width, np.int64), np.empty(width, np.int64)  # the columns stood on, and where each begins
    last = -1
    for col in range(width):
        if np.isinf(columns[col]):
            continue
        squared[col] = np.int64(columns[col]) ** 2
        while last >= 0:
            begin, other = first[last], foot[last]
            if (begin - other) ** 2 + squared[other] <= (begin - col) ** 2 + squared[col]:
                break
            last -= 1
        begin = 0
        if last >= 0:
            other = foot[last]
            begin = 1 + (col**2 - other**2 + squared[col] - squared[other]) // (2 * (col - other))
        if begin < width:
            last += 1
            foot[last], first[last] = col, begin
    if last >= 0:
        for col in range(width - 1, -1, -1):
            out[col] = np.sqrt((col - foot[last]) ** 2 + squared[foot[last]])
            if col == first[last]:
                last -= 1
