"""Rings of pieces that meet at the edges of blocks, made into rings of the whole, compiled.

What two pieces of one zone have in common along the edge between their blocks is cut out of their rings; the chains
that remain are tied together where they end. All in whole cell corners, hence exactly.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lswarn.hazard.outlines import Ints, Longs, Rings


def mend(rings: Rings, frame: Ints, seams: tuple[Longs, Longs], stride: int) -> Rings:
    """Rings of zones from the rings of their pieces.

    Args:
        rings: of all pieces, by the numbers of their zones.
        frame: of each ring's block [r, 4]: first row, first column, and those behind its last.
        seams: where zones go on beyond an edge, ascending: edges from west to east by their western corner, and
            those from north to south by their northern one, as `row * stride + col`.
        stride: greater than any column.
    """
    if not len(rings.of):
        return rings
    room = 2 * len(rings.vertices) + len(rings.of) + 4 * (len(seams[0]) + len(seams[1]))
    vertices, starts, zone = _cut(
        rings.vertices, rings.starts, rings.of, frame, _twice(rings.vertices, stride), seams[0], seams[1], stride, room
    )
    places = _places(vertices[starts[:-1]], stride)
    order = np.argsort(places, kind="stable")
    return Rings(*_tie(vertices, starts, zone, places[order], order, stride))


def tidy(rings: Rings, classes: NDArray[np.uint8]) -> tuple[Rings, Longs]:
    """Rings closed, with vertices only where they turn, in the one order that the zones themselves give.

    Args:
        rings: of zones, by their numbers.
        classes: of the zones.

    Returns:
        The rings from zone to zone, of which they now have the number in that order, shell before holes; and the old
        numbers of the zones. They go from north to south by their northernmost row, then from west to east.
    """
    first = _first(rings.vertices, rings.starts)
    row, col = rings.vertices[first].T
    after = np.where(first + 1 < rings.starts[1:], first + 1, rings.starts[:-1])
    hole = rings.vertices[after, 0] == row  # around a shell, cells on the left, the walk goes south from there
    west = np.minimum.reduceat(rings.vertices[:, 1], rings.starts[:-1]) if len(row) else col
    zones = rings.of[~hole]
    zones = zones[np.lexsort((col[~hole], classes[zones], west[~hole], row[~hole]))]
    rank = np.zeros(len(classes), np.int32)
    rank[zones] = np.arange(len(zones))
    order = np.lexsort((col, row, hole, rank[rings.of]))
    vertices, starts = _turns(rings.vertices, rings.starts, first, order)
    return Rings(vertices, starts, rank[rings.of][order]), zones


def _places(vertices: Ints, stride: int) -> Longs:
    return vertices[:, 0].astype(np.int64) * stride + vertices[:, 1]


def _twice(vertices: Ints, stride: int) -> NDArray[np.bool_]:
    """Vertices where another ring turns as well. Two pieces that meet there at a corner may be one zone elsewhere."""
    places = _places(vertices, stride)
    order = np.argsort(places)
    same = places[order[1:]] == places[order[:-1]]
    found = np.zeros(len(vertices), np.bool_)
    found[order[1:][same]] = found[order[:-1][same]] = True
    return found


@njit(nogil=True, cache=True)
def _among(values: Longs, value: int) -> bool:  # pragma: no cover (compiled)
    at = np.searchsorted(values, value)
    return bool(at < len(values) and values[at] == value)


@njit(nogil=True, cache=True)
def _on_frame(vertex: Ints, frame: Ints) -> bool:  # pragma: no cover (compiled)
    row, col = vertex
    return row == frame[0] or row == frame[2] or col == frame[1] or col == frame[3]


@njit(nogil=True, cache=True)
def _along_frame(one: Ints, other: Ints, frame: Ints) -> bool:  # pragma: no cover (compiled)
    if one[0] == other[0]:
        return one[0] == frame[0] or one[0] == frame[2]
    return one[1] == frame[1] or one[1] == frame[3]


@njit(nogil=True, cache=True)
def _cut(
    vertices: Ints,
    starts: Longs,
    zone: Ints,
    frame: Ints,
    twice: NDArray[np.bool_],
    level: Longs,
    upright: Longs,
    stride: int,
    room: int,
) -> tuple[Ints, Longs, Ints]:  # pragma: no cover (compiled)
    """Chains: rings without the seams, and cut at every corner on the frame of a block or of two rings."""
    chains = np.empty((room, 2), np.int32)
    heads, of = np.zeros(room + 1, np.int64), np.empty(room, np.int32)
    at = np.zeros(2, np.int64)  # vertices written, chains finished
    for ring in range(len(zone)):
        begin, count = starts[ring], starts[ring + 1] - starts[ring]
        first = 0
        while first < count and not (twice[begin + first] or _on_frame(vertices[begin + first], frame[ring])):
            first += 1
        first %= count
        _open(chains, at, vertices[begin + first])
        for step in range(first, first + count):
            to = begin + (step + 1) % count
            one, other = vertices[begin + step % count], vertices[to]
            if _along_frame(one, other, frame[ring]):
                _follow(chains, heads, of, at, zone[ring], one, other, level, upright, stride)
            else:
                _open(chains, at, other)
            if twice[to] or _on_frame(other, frame[ring]):
                _close(heads, of, at, zone[ring])
                _open(chains, at, other)
        _close(heads, of, at, zone[ring])
    return chains[: at[0]].copy(), heads[: at[1] + 1].copy(), of[: at[1]].copy()


@njit(nogil=True, cache=True)
def _open(chains: Ints, at: Longs, vertex: Ints) -> None:  # pragma: no cover (compiled)
    chains[at[0]] = vertex
    at[0] += 1


@njit(nogil=True, cache=True)
def _close(heads: Longs, of: Ints, at: Longs, zone: int) -> None:  # pragma: no cover (compiled)
    """Finish a chain; one that goes nowhere is forgotten."""
    if at[0] - heads[at[1]] > 1:
        of[at[1]] = zone
        at[1] += 1
        heads[at[1]] = at[0]
    else:
        at[0] = heads[at[1]]


@njit(nogil=True, cache=True)
def _follow(
    chains: Ints, heads: Longs, of: Ints, at: Longs, zone: int, one: Ints, other: Ints, level: Longs, upright: Longs,
    stride: int,
) -> None:  # fmt: skip  # pragma: no cover (compiled)
    """Go along the frame of a block, cell by cell, and leave out the seams."""
    place, step = one.copy(), np.sign(other - one)
    keys = level if step[0] == 0 else upright
    straight = False
    while place[0] != other[0] or place[1] != other[1]:
        near = place + np.minimum(step, 0)
        place += step
        if _among(keys, np.int64(near[0]) * stride + near[1]):
            _close(heads, of, at, zone)
            _open(chains, at, place)
            straight = False
        elif straight:
            chains[at[0] - 1] = place
        else:
            _open(chains, at, place)
            straight = True


@njit(nogil=True, cache=True)
def _tie(
    vertices: Ints, starts: Longs, zone: Ints, places: Longs, order: Longs, stride: int
) -> tuple[Ints, Longs, Ints]:  # pragma: no cover (compiled)
    """Rings from chains: each goes on with one that begins where it ends."""
    tied = np.empty((len(vertices), 2), np.int32)
    rings, of = np.zeros(len(zone) + 1, np.int64), np.empty(len(zone), np.int32)
    seen = np.zeros(len(zone), np.bool_)
    filled = count = 0
    for first in range(len(zone)):
        if seen[first]:
            continue
        chain = first
        while not seen[chain]:
            seen[chain] = True
            for at in range(starts[chain], starts[chain + 1] - 1):
                tied[filled] = vertices[at]
                filled += 1
            chain = _next(vertices, starts, zone, places, order, stride, chain)
        of[count] = zone[first]
        count += 1
        rings[count] = filled
    return tied[:filled].copy(), rings[: count + 1].copy(), of[:count].copy()


@njit(nogil=True, cache=True)
def _next(
    vertices: Ints, starts: Longs, zone: Ints, places: Longs, order: Longs, stride: int, chain: int
) -> int:  # pragma: no cover (compiled)
    """The chain that follows: where two do, cells meet at a corner only, and the ring turns right; see `outlines`."""
    end = starts[chain + 1] - 1
    place = np.int64(vertices[end, 0]) * stride + vertices[end, 1]
    came = np.sign(vertices[end] - vertices[end - 1])
    found = -1
    for at in range(np.searchsorted(places, place), len(places)):
        if places[at] != place:
            break
        other = order[at]
        if zone[other] == zone[chain]:
            goes = np.sign(vertices[starts[other] + 1] - vertices[starts[other]])
            if found < 0 or (goes[0] == came[1] and goes[1] == -came[0]):
                found = other
    return found


@njit(nogil=True, cache=True)
def _first(vertices: Ints, starts: Longs) -> Longs:  # pragma: no cover (compiled)
    """Index of the westernmost of each ring's northernmost vertices."""
    found = starts[:-1].copy()
    for ring in range(len(found)):
        for at in range(starts[ring] + 1, starts[ring + 1]):
            row, col = vertices[at]
            top, left = vertices[found[ring]]
            if row < top or (row == top and col < left):
                found[ring] = at
    return found


@njit(nogil=True, cache=True)
def _turns(
    vertices: Ints, starts: Longs, first: Longs, order: Longs
) -> tuple[Ints, Longs]:  # pragma: no cover (compiled)
    """Rings in another order, each from its first corner on and closed, with vertices only where it turns."""
    tidied = np.empty((len(vertices) + len(order), 2), np.int32)
    begins = np.zeros(len(order) + 1, np.int64)
    filled = 0
    for number, ring in enumerate(order):
        begin, count = starts[ring], starts[ring + 1] - starts[ring]
        last = vertices[begin + (first[ring] - begin - 1) % count]
        for step in range(first[ring] - begin, first[ring] - begin + count):
            here, after = vertices[begin + step % count], vertices[begin + (step + 1) % count]
            if (last[0] == here[0]) != (here[0] == after[0]):
                tidied[filled] = here
                filled += 1
            last = here
        tidied[filled] = tidied[begins[number]]
        filled += 1
        begins[number + 1] = filled
    return tidied[:filled].copy(), begins
