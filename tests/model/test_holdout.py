import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from lswarn.errors import TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.holdout import hold_out
from lswarn.model.networks import reach
from lswarn.sections import Model


def grid(height, width):
    return Grid("EPSG:32616", Affine(30, 0, 0, 0, -30, 0), height, width)


@settings(max_examples=40)
@given(st.integers(200, 700), st.integers(90, 900), st.integers(1, 2), st.floats(0.05, 0.85), st.integers(0, 9))
def test_judged_ground_is_farther_from_training_than_the_network_sees(height, width, depth, share, seed):
    holdout = hold_out(grid(height, width), Model(depth=depth, holdout=share, seed=seed))
    held = holdout.mask(Block(0, 0, height, width))
    assert 0 < held.sum() < height * width
    seen = max(reach(Model(network=network, depth=depth)) for network in ("unet", "resnet", "boosting", "ensemble"))
    for block in holdout.judged():
        assert block.height > 0
        assert block.width > 0
        assert (block.row % 2**depth, block.col % 2**depth) == (0, 0)
        assert held[block.slices()].all()
        rows, cols = block.with_halo(seen).slices()
        near = held[max(rows.start, 0) : rows.stop, max(cols.start, 0) : cols.stop]
        assert near.all()


def test_share_and_seed():
    whole = Block(0, 0, 1000, 1300)
    masks = [hold_out(grid(1000, 1300), Model(depth=1, seed=seed)).mask(whole) for seed in (0, 0, 1)]
    assert masks[0].mean() == pytest.approx(0.25, abs=0.05)
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_mask_of_a_block_is_part_of_the_whole():
    holdout = hold_out(grid(300, 410), Model(depth=1))
    block = Block(37, 101, 90, 55)
    assert np.array_equal(holdout.mask(block), holdout.mask(Block(0, 0, 300, 410))[block.slices()])


def test_too_small_to_hold_out():
    with pytest.raises(TrainingError, match=r"90 x 100 cells .* depth 3"):
        hold_out(grid(90, 100), Model(depth=3))
