"""Trees by bits say what a walk says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lswarn.model.boosting import walk
from lswarn.model.forest import MOST_LEAVES, by_level, planted

GROUND = 4
RAINS = np.arange(0, 401) / 10


def grown(rng, trees, leaves):
    """Random trees under which rain only adds, node after node, as arrays of `Nodes`."""
    feature, threshold, left, right, value, roots = ([] for _ in range(6))

    def node(many, lowest, highest):
        at = len(feature)
        for column in (feature, threshold, left, right, value):
            column.append(0)
        if many == 1:
            feature[at], value[at] = -1, rng.uniform(lowest, highest)
            return at
        asked, part = int(rng.integers(GROUND + 1)), int(rng.integers(1, many))
        feature[at] = asked
        threshold[at] = rng.uniform(-1, 41) if asked == GROUND else rng.normal()
        middle = rng.uniform(lowest, highest)
        bounds = ((lowest, middle), (middle, highest)) if asked == GROUND else ((lowest, highest),) * 2
        left[at] = node(part, *bounds[0])
        right[at] = node(many - part, *bounds[1])
        return at

    for _ in range(trees):
        roots.append(len(feature))
        node(int(rng.integers(1, leaves + 1)), -1.0, 1.0)
    kinds = (np.int32, np.float64, np.int32, np.int32, np.float64, np.int32)
    columns = (feature, threshold, left, right, value, roots)
    return tuple(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([1, 2, 16, 17, 33, MOST_LEAVES]))
def test_every_rain_gives_the_sum_of_the_walk(seed, trees, leaves):
    rng = np.random.default_rng(seed)
    nodes = grown(rng, trees, leaves)
    cells = rng.normal(size=(37, GROUND)).astype(np.float32)
    asked = nodes[1][(nodes[0] >= 0) & (nodes[0] < GROUND)]
    cells[: len(asked), 0] = asked[:37]  # some lie on a threshold, as near as float32 can
    wanted = walk(cells, np.broadcast_to(RAINS, (37, len(RAINS))).copy(), nodes)

    forest = planted(nodes, GROUND)
    begins = np.searchsorted(RAINS, forest.rain_threshold, side="right")
    levels = np.unique(np.append(begins[begins < len(RAINS)], 0))
    level = np.where(begins < len(RAINS), np.searchsorted(levels, begins), len(levels))
    sums = np.empty((len(levels), 37))
    by_level(
        np.ascontiguousarray(cells.T), level, forest.feature, forest.threshold, forest.kept, forest.nodes,
        forest.rain_kept, forest.rains, forest.value, forest.leaves, sums,
    )  # fmt: skip
    assert (np.diff(sums, axis=0) >= 0).all()
    found = sums[np.searchsorted(levels, np.arange(len(RAINS)), side="right") - 1]
    assert np.abs(found.T - wanted).max() < 1e-12
    if (forest.rain_threshold >= 0).all():
        assert np.array_equal(found[0], wanted[:, 0])


def test_a_tree_of_more_leaves_than_bits_is_refused():
    rng, most = np.random.default_rng(0), 0
    while most <= MOST_LEAVES:
        nodes = grown(rng, 1, 2 * MOST_LEAVES)
        most = int((nodes[0] < 0).sum())
    with pytest.raises(ValueError, match=f"a tree has {most} leaves"):
        planted(nodes, GROUND)
