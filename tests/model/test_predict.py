from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lswarn.errors import GridMismatch, ModelError
from lswarn.grid import Grid
from lswarn.model.predict import Predictor, device_of
from lswarn.sections import FACTORS


def by_blocks(predictor, world, rain, side):
    """Probabilities of the whole grid, block by block with halo."""
    grid: Grid = world.factors.grid
    whole = np.full(grid.shape, -1, np.float32)
    halo = predictor.halo
    padded = np.pad(rain, halo, constant_values=np.nan)
    for block in grid.blocks(side):
        rows, cols = block.slices()
        mm = padded[rows.start : rows.stop + 2 * halo, cols.start : cols.stop + 2 * halo]
        found = predictor.probability(world.factors.read(block.with_halo(halo)), mm)
        whole[rows, cols] = found[halo : halo + block.height, halo : halo + block.width]
    return whole


@pytest.mark.parametrize("rain", ["monotone", "channel"])
@pytest.mark.parametrize(("depth", "sides"), [(1, (16, 50, 96)), (2, (16, 64)), (3, (24, 72))])
def test_tiles_equal_the_whole(fresh, world_of, rain, depth, sides):
    """On a grid that no block size divides, with unknown holes; every cell is predicted."""
    world = world_of(91, 117)
    world.factors.values[4, 40:45, 60:80] = np.nan
    predictor = Predictor(fresh(depth, rain), "cpu")
    mm = np.random.default_rng(1).uniform(0, 300, (91, 117)).astype(np.float32)
    whole = by_blocks(predictor, world, mm, 256)
    assert np.array_equal(np.isnan(whole), np.isnan(world.factors.values).any(0))
    assert np.nanstd(np.log(whole)) > 0.05
    for side in sides:
        assert np.allclose(by_blocks(predictor, world, mm, side), whole, rtol=1e-4, atol=0, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 600, width=32), min_size=2, max_size=6), st.integers(0, 5))
def test_more_rain_never_lowers_a_probability(fresh, factors_of, rains, seed):
    predictor = Predictor(fresh(1, seed=seed), "cpu")
    factors = factors_of(20, 30, seed)
    found = [predictor.probability(factors, np.full((20, 30), mm, np.float32)) for mm in sorted(rains)]
    assert all((low <= high).all() for low, high in pairwise(found))


def test_trained_model_too_never_falls_and_does_rise(trained, world):
    predictor = Predictor(trained, "cpu")
    rains = np.linspace(0, 500, 101, dtype=np.float32)[:, None, None] * np.ones((1, 96, 130), np.float32)
    found = predictor.probabilities(world.factors.values, rains)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[-1] > found[0]).mean() > 0.99


def test_beyond_the_most_rain_trained_on(trained, world):
    predictor = Predictor(trained, "cpu")
    assert predictor.rain_max_mm == 300
    at_most, beyond = (
        predictor.probability(world.factors.values, np.full((96, 130), mm, np.float32)) for mm in (300, 900)
    )
    assert np.array_equal(at_most, beyond)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(FACTORS), st.integers(0, 20), st.integers(0, 22), st.sampled_from(["monotone", "channel"]))
def test_unknown_in_unknown_out(fresh, factors_of, name, row, col, rain):
    predictor = Predictor(fresh(1, rain), "cpu")
    factors, mm = factors_of(21, 23), np.full((21, 23), 50, np.float32)
    factors[FACTORS.index(name), row, col] = np.nan
    mm[20 - row, 22 - col] = np.nan
    unknown = np.isnan(predictor.probability(factors, mm))
    assert {tuple(cell) for cell in np.argwhere(unknown)} == {(row, col), (20 - row, 22 - col)}


def test_odds_are_those_of_the_score_over_the_weight(fresh, factors_of):
    checkpoint = fresh(2)
    factors, mm = factors_of(16, 20), np.full((16, 20), 70, np.float32)
    with torch.no_grad():
        logit = checkpoint.network()(torch.from_numpy(factors)[None], torch.from_numpy(mm)[None, None])
    score = torch.sigmoid(logit)[0, 0].numpy()
    weight = checkpoint.positive_weight
    assert np.allclose(
        Predictor(checkpoint, "cpu").probability(factors, mm), score / (score + weight * (1 - score)), rtol=1e-4
    )


def test_arguments_are_left_alone(fresh, factors_of):
    factors, mm = factors_of(9, 11), np.full((9, 11), 70, np.float32)
    before = factors.copy()
    Predictor(fresh(), "cpu").probability(factors, mm)
    assert np.array_equal(factors, before)


def test_shapes_must_fit(fresh, factors_of):
    with pytest.raises(GridMismatch, match=r"\(10, 9, 11\)"):
        Predictor(fresh(), "cpu").probability(factors_of(9, 11), np.zeros((11, 9), np.float32))


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto").type == "cpu"
    with pytest.raises(ModelError, match="LSWARN_DEVICE=auto"):
        device_of("cuda")
