"""What the inputs of a model see around a cell, and how fine it reads rain; scaling and classes are in `test_unet`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.model.encoder import CONTINUOUS, HOLLOW_MOST, Encoder, Encoding, tenths
from lswarn.model.surroundings import HOLLOW_WIDTHS, SEEN_AROUND, STEPS, gathered, hollows, surroundings
from lswarn.sections import FACTORS

ASPECT = FACTORS.index("aspect")
CURVATURE = FACTORS.index("curvature")


def seen(curvature):
    """Hollows [3, H, W] of ground of which nothing but its curvature is known."""
    factors = np.full((1, len(FACTORS), *curvature.shape), np.nan, np.float32)
    factors[0, CURVATURE] = curvature
    return hollows(torch.from_numpy(factors))[0].numpy()


def by_hand(curvature):
    """Cell by cell, NaN beyond the border."""
    height, width = curvature.shape
    found = np.full((len(HOLLOW_WIDTHS), height, width), np.nan)
    for k, side in enumerate(HOLLOW_WIDTHS):
        padded = np.pad(curvature, side // 2, constant_values=np.nan)
        for row in range(height):
            for col in range(width):
                square = padded[row : row + side, col : col + side]
                if not np.isnan(square).all():
                    found[k, row, col] = np.nanmean(square)
    return found


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 9))
def test_hollows_are_means_of_what_is_known(height, width, unknown, seed):
    rng = np.random.default_rng(seed)
    curvature = rng.normal(0, 0.01, (height, width)).astype(np.float32)
    curvature[rng.random(curvature.shape) < unknown] = np.nan
    assert seen(curvature) == pytest.approx(by_hand(curvature), abs=1e-8, nan_ok=True)


def test_unknown_cells_are_left_out_and_nothing_known_is_unknown():
    curvature = np.full((40, 40), np.nan, np.float32)
    curvature[20, 20] = 0.02
    found = seen(curvature)
    for k, side in enumerate(HOLLOW_WIDTHS):
        known = ~np.isnan(found[k])
        rows, cols = np.nonzero(known)
        assert (rows.min(), rows.max()) == (cols.min(), cols.max()) == (20 - side // 2, 20 + side // 2)
        assert found[k][known] == pytest.approx(0.02)  # not less for those that are unknown around it


def test_a_bowl_is_below_zero_and_a_dome_above():
    y, x = np.mgrid[-20:21, -20:21] * 30.0
    bowl = (x**2 + y**2) / 4000
    curvature = -(np.gradient(np.gradient(bowl, 30, axis=0), 30, axis=0) +
                  np.gradient(np.gradient(bowl, 30, axis=1), 30, axis=1))  # fmt: skip
    assert (seen(curvature) < 0).all()
    assert (seen(-curvature) > 0).all()


def test_hollows_are_to_the_byte_what_pooling_gives(factors_of):
    """As the models that exist were taught by."""
    factors = torch.from_numpy(factors_of(45, 70))[None]
    factors[:, CURVATURE, 10:30, 20:60] = torch.nan
    bend = factors[:, CURVATURE : CURVATURE + 1]
    both = torch.cat([bend.nan_to_num(0.0), (~bend.isnan()).float()], 1)
    for k, side in enumerate(HOLLOW_WIDTHS):
        rows = torch.nn.functional.avg_pool2d(both, (side, 1), 1, (side // 2, 0))
        square = torch.nn.functional.avg_pool2d(rows, (1, side), 1, (0, side // 2))
        wanted = square[:, :1] / square[:, 1:]
        assert hollows(factors)[:, k : k + 1].numpy().tobytes() == wanted.numpy().tobytes()


def test_tiles_with_their_margin_equal_the_whole(world_of):
    """Byte for byte, at the borders of the grid and of unknown ground too."""
    world = world_of(61, 77)
    world.factors.values[CURVATURE, 20:45, 30:50] = np.nan
    whole = surroundings(torch.from_numpy(world.factors.values)[None])[0].numpy()
    assert np.isnan(whole).any()
    for side in (7, 16, 50):
        for block in world.factors.grid.blocks(side):
            around = torch.from_numpy(world.factors.read(block.with_halo(SEEN_AROUND)))
            tile = surroundings(around[None])[0, :, SEEN_AROUND:-SEEN_AROUND, SEEN_AROUND:-SEEN_AROUND].numpy()
            assert tile.tobytes() == whole[(slice(None), *block.slices())].tobytes()
    even = torch.zeros(1, 10, 60, 60)
    even[:, ASPECT] = 90
    for margin, enough in ((SEEN_AROUND, True), (SEEN_AROUND - 1, False)):
        short = surroundings(even[..., 30 - margin :])[..., margin:]
        assert torch.equal(short, surroundings(even)[..., 30:]) == enough


def test_an_encoder_gives_every_hollow_the_same_weight_and_no_end_of_depth(factors_of):
    factors = factors_of(60, 80)
    encoding = Encoding.measured(factors.reshape(10, -1), np.array([0.0, 400.0], np.float32))
    encoder, at = Encoder(encoding).eval(), slice(len(CONTINUOUS), len(CONTINUOUS) + len(HOLLOW_WIDTHS))
    spread = encoder(torch.from_numpy(factors)[None])[0, at].std((1, 2))
    assert spread.numpy() == pytest.approx(1, abs=0.25)  # of curvature without any order, wherever the cell lies
    factors[CURVATURE] = -9.0
    assert (encoder(torch.from_numpy(factors)[None])[0, at] == -HOLLOW_MOST).all()
    factors[CURVATURE] = np.nan
    assert (encoder(torch.from_numpy(factors)[None])[0, at] == 0).all()
    assert encoder(torch.from_numpy(factors)[None]).shape[1] == encoding.channels


@given(st.floats(0, 2000, width=32), st.floats(0, 2000, width=32))
def test_rain_is_read_in_whole_tenths_rounded_down(one, other):
    """Float32 cannot tell rains that lie nearer to a tenth than its own rounding."""
    rain = torch.tensor(sorted([one, other]))
    read = tenths(rain)
    assert read[0] <= read[1]
    assert (read <= rain * (1 + 1e-6)).all()
    assert (read > rain * (1 - 1e-6) - 0.1).all()
    assert torch.equal(tenths(read), read)


def test_whole_tenths_stay_what_they_are_and_unknown_stays_unknown():
    for kind in (torch.float32, torch.float64):
        rain = torch.arange(20_000, dtype=kind) / 10
        assert torch.equal(tenths(rain), rain)
    assert tenths(torch.tensor([torch.nan])).isnan().all()


def draining(aspect):
    """`gathered` of a field of aspects, turned back into cells."""
    factors = np.zeros((1, 10, *aspect.shape), np.float32)
    factors[0, ASPECT] = aspect
    return np.exp(gathered(torch.from_numpy(factors))[0, 0].numpy())


@pytest.mark.parametrize("degrees", [0, 45, 90, 135, 180, 225, 270, 315])
def test_on_an_even_slope_as_many_cells_drain_through_each_as_steps_are_followed(degrees):
    found = draining(np.full((50, 54), degrees, np.float32))
    assert np.allclose(found[STEPS + 2 : -STEPS - 2, STEPS + 2 : -STEPS - 2], STEPS + 1, rtol=1e-5)


def test_between_two_directions_a_cell_gives_to_both():
    found = draining(np.full((50, 50), 100.0, np.float32))
    assert np.allclose(found[STEPS + 2 : -STEPS - 2, STEPS + 2 : -STEPS - 2], STEPS + 1, rtol=1e-5)


def test_water_gathers_in_a_valley_and_leaves_a_ridge():
    x = np.arange(60)[None, :] * np.ones((50, 1))
    valley = draining(np.where(x < 30, 90, 270).astype(np.float32))
    ridge = draining(np.where(x < 30, 270, 90).astype(np.float32))
    assert valley[25, 29] > STEPS + 1 > ridge[25, 29]


def test_flat_ground_gives_nothing_away_and_the_unknown_counts_for_nothing():
    assert np.allclose(draining(np.full((12, 12), -1, np.float32)), 1)
    aspect = np.full((50, 50), 90, np.float32)
    aspect[:, :10] = np.nan
    found = draining(aspect)
    assert np.isnan(found[:, :8]).all()
    assert found[25, 12] < STEPS < found[25, 35]
