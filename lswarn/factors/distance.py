"""Exact Euclidean distance to the nearest feature, in bounded memory, on all cores.

Meijster, Roerdink and Hesselink (2000), A general algorithm for computing distance transforms in linear time, doi
10.1007/0-306-47025-X_36: first the distance along each column, by a sweep down and one up; then, row by row, the lower
envelope of the parabolas that the columns stand for. The sweeps carry one row of state from strip to strip, and the
rows of the second pass know nothing of each other, so that no border between strips can be seen in the result.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lswarn.factors.scratch import Scratch
from lswarn.grid import Block
from lswarn.workers import Workers

STRIP_ROWS = 128


def fill_distances(
    out: Scratch,
    features: Callable[[Block], NDArray[np.bool_]],
    *,
    workers: Workers,
    on_progress: Callable[[float], None] = lambda share: None,
    strip_rows: int = STRIP_ROWS,
) -> None:
    """Fill `out` with the distance from each cell centre to the nearest centre of a feature's cell, in cells.

    Args:
        out: overwritten. If there is no feature at all, every cell is infinitely far.
        features: the mask of feature cells in a strip, which is as wide as `out`. Asked once a strip, from any thread.
        workers: threads; they share `out`.
        on_progress: told the share that is done.
        strip_rows: rows worked at a time; the result does not depend on it.
    """
    height, width = out.shape
    strips = [Block(row, 0, min(strip_rows, height - row), width) for row in range(0, height, strip_rows)]
    steps = 3 * len(strips)
    nearest = np.full(width, np.inf, np.float32)  # float32 counts exactly up to 16 million rows
    for done, (strip, mask) in enumerate(workers.over(features, strips)):
        out.write(strip, _down(np.ascontiguousarray(mask, np.bool_), nearest))
        on_progress(done / steps)
    nearest[:] = np.inf
    for done, strip in enumerate(reversed(strips), len(strips)):
        columns = out.read(strip)
        _up(columns, nearest)
        out.write(strip, columns)
        on_progress(done / steps)

    def across(strip: Block) -> None:
        out.write(strip, _across(out.read(strip)))

    for done, _ in enumerate(workers.over(across, strips), 2 * len(strips)):
        on_progress(done / steps)


@njit(nogil=True, cache=True)
def _down(mask: NDArray[np.bool_], nearest: NDArray[np.float32]) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Distances up the columns; `nearest`, those of the row above, becomes those of the last row."""
    columns = np.empty(mask.shape, np.float32)
    for row in range(len(mask)):
        for col in range(len(nearest)):
            nearest[col] = np.float32(0) if mask[row, col] else nearest[col] + np.float32(1)
            columns[row, col] = nearest[col]
    return columns


@njit(nogil=True, cache=True)
def _up(columns: NDArray[np.float32], nearest: NDArray[np.float32]) -> None:  # pragma: no cover (compiled)
    """Distances along the columns, of those up them; `nearest`, those of the row below, becomes those of the first."""
    for row in range(len(columns) - 1, -1, -1):
        for col in range(len(nearest)):
            nearest[col] = min(columns[row, col], nearest[col] + np.float32(1))
            columns[row, col] = nearest[col]


@njit(nogil=True, cache=True)
def _across(columns: NDArray[np.float32]) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Distances along columns to distances in the plane, each row for itself."""
    result = np.full(columns.shape, np.inf, np.float32)
    for row in range(len(columns)):
        _envelope(columns[row], result[row])
    return result


@njit(nogil=True, cache=True)
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
