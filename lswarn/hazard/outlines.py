"""Outlines of connected cells, in whole cell corners, compiled.

A run is a stretch of cells of one class in one row; all that is done here is done with runs, so that ground where
nothing is warned of costs one look at it. An outline is walked with its cells on the left: around a shell against the
clock, around a hole with it. Where two cells of one piece meet at a corner only, the walk turns right and so stays with
the ground outside: the two cells of such ground at that corner are in different rings, for connected cells lie between
them. Rings are thus simple and touch at points only, as OGC 06-103r4 (6.1.11.1) asks of a polygon, and every piece has
one shell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lswarn.hazard.classes import WARNED

LEAST = int(min(WARNED))
"""Cells of this class and above have outlines."""

ONE = float(2**32)
"""Probabilities are added up as whole numbers of 1 / ONE: then a sum is the same in any order."""

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted of runs, pieces or zones.

    Attributes:
        classes: `Class` values uint8 [n].
        cells: how many [n].
        sums: of their cells' probabilities [n], in 1 / ONE.
        peaks: greatest probability of a cell float32 [n].
    """

    classes: NDArray[np.uint8]
    cells: Longs
    sums: Longs
    peaks: NDArray[np.float32]

    def by(self, number: Ints) -> Self:
        """Tally of groups: `number` says which group each one is in, and every group has a member."""
        count = int(number.max(initial=-1)) + 1
        classes, peaks = np.empty(count, np.uint8), np.zeros(count, np.float32)
        cells, sums = np.zeros(count, np.int64), np.zeros(count, np.int64)
        classes[number] = self.classes
        np.add.at(cells, number, self.cells)
        np.add.at(sums, number, self.sums)
        np.maximum.at(peaks, number, self.peaks)
        return type(self)(classes, cells, sums, peaks)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        """Some of them."""
        return type(self)(self.classes[which], self.cells[which], self.sums[which], self.peaks[which])

    @classmethod
    def together(cls, tallies: Sequence[Self]) -> Self:
        """One after the other."""
        if not tallies:
            return cls(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        classes, cells, sums, peaks = zip(*((t.classes, t.cells, t.sums, t.peaks) for t in tallies), strict=True)
        return cls(np.concatenate(classes), np.concatenate(cells), np.concatenate(sums), np.concatenate(peaks))


@dataclass(frozen=True, eq=False)
class Rings:
    """Outlines.

    Attributes:
        vertices: (row, col) of cell corners [v, 2], ring after ring.
        starts: where each ring begins, and where the last one ends [r + 1].
        of: number of the piece or zone that each is a ring of [r].
    """

    vertices: Ints
    starts: Longs
    of: Ints

    def chosen(self, which: NDArray[np.bool_]) -> Self:
        """Some of them [r]."""
        length = np.diff(self.starts)
        starts = np.concatenate([[0], np.cumsum(length[which])])
        return type(self)(self.vertices[np.repeat(which, length)], starts, self.of[which])

    @classmethod
    def together(cls, rings: Sequence[Self], counts: Sequence[int] | None = None) -> Self:
        """One after the other; where `counts` says how many pieces are in each, those are numbered on."""
        begins = np.cumsum([0, *(len(each.vertices) for each in rings)])
        numbers = np.cumsum([0, *counts]) if counts is not None else np.zeros(len(rings) + 1, np.int64)
        return cls(
            np.concatenate([np.empty((0, 2), np.int32), *(each.vertices for each in rings)]),
            np.concatenate([[0], *(each.starts[1:] + b for each, b in zip(rings, begins[:-1], strict=True))]),
            np.concatenate(
                [np.empty(0, np.int32), *(each.of + n for each, n in zip(rings, numbers[:-1], strict=True))],
                dtype=np.int32,
                casting="same_kind",
            ),
        )


@dataclass(frozen=True, eq=False)
class Runs:
    """Stretches of cells of one class in one row, row by row, from west to east.

    Attributes:
        row, begin, end: [n], of the block; `end` is the first column that is no longer in it.
        starts: [rows + 1], where each row's runs begin.
        tally: [n].
    """

    row: Ints
    begin: Ints
    end: Ints
    starts: Longs
    tally: Tally


def find_runs(classes: NDArray[np.uint8], probability: NDArray[np.float32]) -> Runs:
    """Runs of the warned classes in a block.

    Args:
        classes: `Class` values [h, w], contiguous.
        probability: 0..1 [h, w], contiguous; looked at only where a class is warned.

    Raises:
        ValueError: the probability of a warned cell is not known.
    """
    starts = np.zeros(len(classes) + 1, np.int64)
    _count_runs(classes, starts)
    count = int(starts[-1])
    row, begin, end = (np.empty(count, np.int32) for _ in range(3))
    found, sums, peaks = np.empty(count, np.uint8), np.empty(count, np.int64), np.empty(count, np.float32)
    if not _fill_runs(classes, probability, starts, row, begin, end, found, sums, peaks):
        raise ValueError("a warned cell has no probability")
    return Runs(row, begin, end, starts, Tally(found, (end - begin).astype(np.int64), sums, peaks))


def number_pieces(runs: Runs) -> Ints:
    """Number of the piece that each run is part of [n]: connected by sides, counted from 0 as the runs come."""
    return _number(runs.begin, runs.end, runs.tally.classes, runs.starts)


def trace(runs: Runs, piece: Ints) -> Rings:
    """Rings around pieces, not closed, with vertices only where they turn.

    Args:
        piece: number of the piece of each run [n]; -1 is not traced.
    """
    following = _link_ends(runs.row, runs.begin, runs.end, runs.starts, piece)
    return Rings(*_walk_ends(runs.row, runs.begin, runs.end, piece, following))


@njit(nogil=True, cache=True)
def _count_runs(classes: NDArray[np.uint8], starts: Longs) -> None:  # pragma: no cover (compiled)
    height, width = classes.shape
    for row in range(height):
        line = classes[row]
        count = np.int64(line[0] >= LEAST)
        for col in range(1, width):
            count += (line[col] >= LEAST) & (line[col] != line[col - 1])
        starts[row + 1] = starts[row] + count


@njit(nogil=True, cache=True)
def _fill_runs(
    classes: NDArray[np.uint8],
    probability: NDArray[np.float32],
    starts: Longs,
    rows: Ints,
    begins: Ints,
    ends: Ints,
    found: NDArray[np.uint8],
    sums: Longs,
    peaks: NDArray[np.float32],
) -> bool:  # pragma: no cover (compiled)
    """Fill the arrays of `Runs`; False where a probability is not known."""
    height, width = classes.shape
    known = True
    for row in range(height):
        line, end = classes[row], 0
        for run in range(starts[row], starts[row + 1]):
            begin = end
            while line[begin] < LEAST:
                begin += 1
            end, total, peak = begin, np.int64(0), np.float32(0)
            while end < width and line[end] == line[begin]:
                value = probability[row, end]
                known &= value >= 0
                total += np.int64(value * ONE) if value >= 0 else 0
                peak = max(peak, value)
                end += 1
            rows[run], begins[run], ends[run], found[run] = row, begin, end, line[begin]
            sums[run], peaks[run] = total, peak
    return known


@njit(nogil=True, cache=True)
def root(parent: Ints, one: int) -> int:  # pragma: no cover (compiled)
    """The first of all that are united with this one."""
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one


@njit(nogil=True, cache=True)
def _unite(parent: Ints, one: int, other: int) -> None:  # pragma: no cover (compiled)
    one, other = root(parent, one), root(parent, other)
    parent[max(one, other)] = min(one, other)


@njit(nogil=True, cache=True)
def _number(begin: Ints, end: Ints, classes: NDArray[np.uint8], starts: Longs) -> Ints:  # pragma: no cover (compiled)
    parent = np.arange(len(begin)).astype(np.int32)
    for row in range(1, len(starts) - 1):
        above = starts[row - 1]
        for run in range(starts[row], starts[row + 1]):
            while above < starts[row] and end[above] <= begin[run]:
                above += 1
            other = above
            while other < starts[row] and begin[other] < end[run]:
                if classes[other] == classes[run]:
                    _unite(parent, other, run)
                other += 1
    return number_roots(parent)


@njit(nogil=True, cache=True)
def number_roots(parent: Ints) -> Ints:  # pragma: no cover (compiled)
    """Number of each one's root, counted from 0 in their order."""
    numbers = np.empty(len(parent), np.int32)
    count = 0
    for one in range(len(parent)):
        if parent[one] == one:
            numbers[one] = count
            count += 1
        else:
            numbers[one] = numbers[root(parent, one)]
    return numbers


@njit(nogil=True, cache=True)
def unite_pairs(count: int, one: Longs, other: Longs) -> Ints:  # pragma: no cover (compiled)
    """Number of the set that each of `count` is in, once all pairs are united; counted from 0 in their order."""
    parent = np.arange(count).astype(np.int32)
    for pair in range(len(one)):
        _unite(parent, one[pair], other[pair])
    return number_roots(parent)


@njit(nogil=True, cache=True)
def _link_ends(row: Ints, begin: Ints, end: Ints, starts: Longs, piece: Ints) -> Longs:  # pragma: no cover (compiled)
    """The end of a run that a ring comes to after each end of a run.

    Ends are numbered: 2 i is the west end of run i, walked southwards, and 2 i + 1 its east end, walked northwards.
    Between two ends a ring goes along a row's edge.
    """
    following = np.empty(2 * len(row), np.int64)
    rows = len(starts) - 1
    for line in range(rows):
        first, stop = starts[line], starts[line + 1]
        below, last = stop, starts[line + 2] if line + 1 < rows else stop
        for run in range(first, stop):
            while below < last and end[below] < begin[run]:
                below += 1
            following[2 * run] = _after_west(begin, end, piece, run, first, below, last)
        before = starts[line - 1] if line else first
        above = first - 1
        for run in range(stop - 1, first - 1, -1):
            while above >= before and begin[above] > end[run]:
                above -= 1
            following[2 * run + 1] = _after_east(begin, end, piece, run, stop, above, before)
    return following


@njit(nogil=True, cache=True)
def _after_west(
    begin: Ints, end: Ints, piece: Ints, run: int, first: int, below: int, last: int
) -> int:  # pragma: no cover (compiled)
    """What follows the west end of a run; `below` is the first run below that ends at or beyond its beginning."""
    while below < last and begin[below] <= end[run]:
        if piece[below] == piece[run]:
            if begin[below] >= begin[run]:  # straight on, or right at the end of its southern edge
                return 2 * below
            other = run - 1  # westwards on the run below, up to the next run that stands on it
            while other >= first and end[other] >= begin[below]:
                if piece[other] == piece[run]:
                    return 2 * other + 1
                other -= 1
            return 2 * below
        below += 1
    return 2 * run + 1


@njit(nogil=True, cache=True)
def _after_east(
    begin: Ints, end: Ints, piece: Ints, run: int, stop: int, above: int, before: int
) -> int:  # pragma: no cover (compiled)
    """What follows the east end of a run; `above` is the last run above that begins at or before its end."""
    while above >= before and end[above] >= begin[run]:
        if piece[above] == piece[run]:
            if end[above] <= end[run]:
                return 2 * above + 1
            other = run + 1  # eastwards under the run above, up to the next run that hangs on it
            while other < stop and begin[other] <= end[above]:
                if piece[other] == piece[run]:
                    return 2 * other
                other += 1
            return 2 * above + 1
        above -= 1
    return 2 * run


@njit(nogil=True, cache=True)
def _walk_ends(
    row: Ints, begin: Ints, end: Ints, piece: Ints, following: Longs
) -> tuple[Ints, Longs, Ints]:  # pragma: no cover (compiled)
    wanted = 0
    for run in range(len(row)):
        wanted += piece[run] >= 0
    vertices = np.empty((4 * wanted, 2), np.int32)
    starts, of = np.zeros(2 * wanted + 1, np.int64), np.empty(2 * wanted, np.int32)
    seen = np.zeros(2 * len(row), np.bool_)
    filled = rings = 0
    for first in range(2 * len(row)):
        if seen[first] or piece[first // 2] < 0:
            continue
        at = first
        while not seen[at]:
            seen[at] = True
            run, after = at // 2, following[at]
            col = end[run] if at % 2 else begin[run]
            to = end[after // 2] if after % 2 else begin[after // 2]
            if col != to:
                corner = row[run] + 1 - at % 2
                vertices[filled, 0], vertices[filled, 1] = corner, col
                vertices[filled + 1, 0], vertices[filled + 1, 1] = corner, to
                filled += 2
            at = after
        of[rings] = piece[first // 2]
        rings += 1
        starts[rings] = filled
    return vertices[:filled].copy(), starts[: rings + 1].copy(), of[:rings].copy()
