"""Boosted trees, laid out so that a whole row of cells goes through them at once.

A cell does not walk down a tree. Of every tree it starts with all leaves, as bits of one number, from left to right; an
inner node whose threshold the cell exceeds strikes out the leaves to its left, whether the cell would have come to that
node or not. The leftmost leaf that is left is the one a walk ends in (Lucchese et al. 2015, QuickScorer, doi
10.1145/2766462.2767733). There is no branch to guess, so many cells are compared by one instruction; and what rain
strikes out is the same for every cell, so that one look at the ground answers for all rains.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

MOST_LEAVES = 64
"""Leaves a tree may have, as bits of the widest whole number."""


@dataclass(frozen=True)
class Forest:
    """Trees as rows of nodes and leaves, tree after tree.

    Attributes:
        feature: [N], the input that a node which looks at the ground asks for.
        threshold: [N], float32; cells above it lose the leaves to the left: the float64 threshold rounded down, which
            parts float32 inputs just the same.
        kept: [N], the leaves that such a cell keeps, as bits.
        nodes: [T + 1], where the nodes of each tree begin, and the end of the last.
        rain_threshold: [R], mm, ascending within a tree.
        rain_kept: [R], the leaves that are left where it is exceeded, and all lower ones with it.
        rains: [T + 1], where the rain nodes of each tree begin.
        value: [L], what a leaf adds.
        leaves: [T], where the leaves of each tree begin.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    kept: NDArray[np.unsignedinteger[Any]]
    nodes: NDArray[np.int64]
    rain_threshold: NDArray[np.float64]
    rain_kept: NDArray[np.unsignedinteger[Any]]
    rains: NDArray[np.int64]
    value: NDArray[np.float64]
    leaves: NDArray[np.int64]


def planted(arrays: tuple[NDArray[Any], ...], rain: int) -> Forest:
    """Lay out trees.

    Args:
        arrays: those of `boosting.Nodes`, proven by its `check`.
        rain: the input that is rain.

    Raises:
        ValueError: a tree has more than `MOST_LEAVES` leaves.
    """
    feature, threshold, left, right, value, roots = arrays
    ground: list[tuple[int, float, int]] = []
    rains: list[tuple[float, int]] = []
    values: list[float] = []
    starts: tuple[list[int], list[int], list[int]] = ([0], [0], [])
    most = 1
    for root in roots.tolist():
        found: list[float] = []
        by_rain: list[tuple[float, int]] = []
        waiting = [(root, -1, 0)]  # a node, the node whose left side ends before it, and where that side began
        while waiting:
            node, of, first = waiting.pop()
            if of >= 0:
                struck = (1 << len(found)) - (1 << first)  # the leaves to the left of that node
                if feature[of] == rain:
                    by_rain.append((float(threshold[of]), struck))
                else:
                    ground.append((int(feature[of]), float(threshold[of]), struck))
            if feature[node] < 0:
                found.append(float(value[node]))
            else:
                waiting += [(int(right[node]), node, len(found)), (int(left[node]), -1, 0)]
        most = max(most, len(found))
        gone = 0
        for limit, struck in sorted(by_rain):
            gone |= struck
            rains.append((limit, gone))
        starts[2].append(len(values))
        values += found
        starts[0].append(len(ground))
        starts[1].append(len(rains))
    if most > MOST_LEAVES:
        raise ValueError(f"a tree has {most} leaves, more than {MOST_LEAVES}")
    bits = np.uint16 if most <= 16 else np.uint32 if most <= 32 else np.uint64
    everything = (1 << 8 * bits().itemsize) - 1
    limits = np.array([limit for _, limit, _ in ground], np.float64)
    lower = limits.astype(np.float32)
    lower = np.where(lower > limits, np.nextafter(lower, np.float32(-np.inf)), lower)
    return Forest(
        feature=np.array([asked for asked, _, _ in ground], np.int32),
        threshold=lower,
        kept=np.array([everything & ~struck for *_, struck in ground], bits),
        nodes=np.array(starts[0]),
        rain_threshold=np.array([limit for limit, _ in rains], np.float64),
        rain_kept=np.array([everything & ~gone for _, gone in rains], bits),
        rains=np.array(starts[1]),
        value=np.array(values),
        leaves=np.array(starts[2]),
    )


def _count_zeros(context: Any, bits: Any) -> Any:  # pragma: no cover (compiled)
    """Place of the lowest bit that is set, by the one instruction that numba has no name for."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        none_is_undefined = context.get_constant(types.boolean, True)
        return builder.zext(builder.cttz(given[0], none_is_undefined), context.get_value_type(types.int64))

    return types.int64(bits), code


_leftmost: Any = intrinsic(_count_zeros)


@njit(nogil=True, cache=True)
def left_over(  # pragma: no cover (compiled)
    tree: int,
    cells: NDArray[np.float32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    kept: NDArray[Any],
    nodes: NDArray[np.int64],
    leaves: NDArray[Any],
) -> None:
    """Which leaves of a tree the ground leaves to cells [C, n], into `leaves` [n]."""
    everything = ~kept.dtype.type(0)
    leaves[:] = everything
    for node in range(nodes[tree], nodes[tree + 1]):
        asked, limit, keeps = cells[feature[node]], threshold[node], kept[node]
        for i in range(len(leaves)):
            leaves[i] &= keeps if asked[i] > limit else everything


@njit(nogil=True, cache=True)
def by_level(  # pragma: no cover (compiled)
    cells: NDArray[np.float32],
    level: NDArray[np.int64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    kept: NDArray[Any],
    nodes: NDArray[np.int64],
    rain_kept: NDArray[Any],
    rains: NDArray[np.int64],
    value: NDArray[np.float64],
    first: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """What all trees say of cells [C, n] under every level of rain, into `sums` [levels, n].

    Each tree adds what it says without rain to level 0, and at the level of a rain node by how much it rises there.
    Nothing is ever taken away, so that the sums never fall from level to level, rounding included.

    Args:
        level: [R], of each rain node; ascending within a tree, 0: a threshold that any rain exceeds.
    """
    count = cells.shape[1]
    leaves, before = np.empty(count, kept.dtype), np.empty(count)
    sums[:] = 0
    for tree in range(len(first)):
        left_over(tree, cells, feature, threshold, kept, nodes, leaves)
        start, node, end = first[tree], rains[tree], rains[tree + 1]
        everything = ~kept.dtype.type(0)
        keeps = everything
        while node < end and level[node] == 0:
            keeps = rain_kept[node]
            node += 1
        for i in range(count):
            before[i] = value[start + _leftmost(leaves[i] & keeps)]
            sums[0, i] += before[i]
        while node < end:
            at = level[node]
            while node < end and level[node] == at:
                keeps = rain_kept[node]
                node += 1
            if at >= len(sums):
                break
            for i in range(count):
                now = value[start + _leftmost(leaves[i] & keeps)]
                sums[at, i] += now - before[i]
                before[i] = now
    for at in range(1, len(sums)):
        for i in range(count):
            sums[at, i] += sums[at - 1, i]
