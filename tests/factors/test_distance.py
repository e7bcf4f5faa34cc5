import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt

from lswarn.factors.distance import fill_distances
from lswarn.factors.scratch import Scratch
from lswarn.grid import Block
from lswarn.workers import Threads

masks = arrays(
    bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 9).map(lambda v: v == 9)
)


def distances(mask: np.ndarray, strip_rows: int, threads: int = 2) -> np.ndarray:
    with Scratch(Path(tempfile.gettempdir()), mask.shape) as out:
        fill_distances(out, lambda strip: mask[strip.slices()], workers=Threads(threads), strip_rows=strip_rows)
        return out.read(Block(0, 0, *mask.shape))


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


def test_each_strip_of_features_is_asked_for_once(tmp_path: Path) -> None:
    asked, told = [], []

    def features(strip: Block) -> np.ndarray:
        asked.append((strip.row, strip.height))
        return np.ones(strip.shape, bool)

    with Scratch(tmp_path, (7, 3)) as out:
        fill_distances(out, features, workers=Threads(1), strip_rows=3, on_progress=told.append)
    assert asked == [(0, 3), (3, 3), (6, 1)]
    assert told == sorted(told)
    assert len(told) == 9


def test_scratch_gives_back_what_any_block_was_given(tmp_path: Path) -> None:
    with Scratch(tmp_path, (5, 7)) as out:
        assert not list(tmp_path.iterdir())  # it has no name, and so cannot be left behind
        out.write(Block(1, 2, 3, 4), np.arange(12, dtype=np.float32).reshape(3, 4))
        out.write(Block(4, 0, 1, 7), np.full((1, 7), np.nan, np.float32))
        assert out.read(Block(2, 3, 2, 2)).tolist() == [[5, 6], [9, 10]]
        assert not out.read(Block(0, 0, 1, 7)).any()
        assert np.isnan(out.read(Block(4, 0, 1, 7))).all()
