import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt

from lswarn.factors.distance import fill_distances

masks = arrays(
    bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 9).map(lambda v: v == 9)
)


def distances(mask: np.ndarray, strip_rows: int) -> np.ndarray:
    out = np.full(mask.shape, np.nan, np.float32)
    fill_distances(out, lambda start, stop: mask[start:stop], strip_rows=strip_rows)
    return out


def test_three_four_five() -> None:
    mask = np.zeros((6, 9), bool)
    mask[1, 2] = True
    found = distances(mask, 2)
    assert found[1, 2] == 0
    assert found[4, 6] == 5
    assert found[1, 8] == 6


@settings(deadline=None)
@given(masks, st.integers(1, 45))
def test_equals_the_exact_transform_for_any_strip(mask: np.ndarray, strip_rows: int) -> None:
    found = distances(mask, strip_rows)
    if mask.any():
        np.testing.assert_array_equal(found, distance_transform_edt(~mask).astype(np.float32))
    else:
        assert np.isinf(found).all()


def test_equals_the_exact_transform_on_a_sparse_wide_grid() -> None:
    mask = np.random.default_rng(1).random((301, 517)) < 2e-4
    np.testing.assert_array_equal(distances(mask, 64), distance_transform_edt(~mask).astype(np.float32))


def test_each_strip_of_features_is_asked_for_once() -> None:
    asked = []

    def features(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        return np.ones((stop - start, 3), bool)

    fill_distances(np.empty((7, 3), np.float32), features, strip_rows=3)
    assert asked == [(0, 3), (3, 6), (6, 7)]
