from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import TrainingError
from lswarn.grid import Block
from lswarn.model.loss import physics_loss
from lswarn.model.samples import Observed
from lswarn.model.stability import danger, hillslopes, safety_factor, wetness
from lswarn.sections import FACTORS, InfiniteSlope, Model

SOIL = InfiniteSlope(cohesion=0.1, friction_deg=35, transmissivity_m2_day=60)
LOOSE = InfiniteSlope(cohesion=0, friction_deg=25, transmissivity_m2_day=10)
WHOLE = Block(0, 0, 96, 130)

mm = st.floats(0, 1000, width=32)
catchment = st.floats(10, 1e6, width=32)
slope = st.floats(0, 89, width=32)
soils = st.builds(
    InfiniteSlope,
    cohesion=st.floats(0, 1),
    friction_deg=st.floats(5, 60),
    transmissivity_m2_day=st.floats(0.01, 10_000),
    water_to_soil=st.floats(0.3, 0.8),
)


def one(value):
    return np.array([value], np.float32)


@pytest.fixture
def asked(world):
    """What is observed where the infinite slope is asked, of loose soil."""
    config = Model(physics_source="infinite-slope", soil=LOOSE)
    return Observed(world.snapshot, world.factors.grid, hillslopes(config, world.factors.read_upslope))


def test_by_hand():
    # 70 mm in a week are 0.01 m a day; 600 m above carry 6 m²/day, of 60 · sin 30° = 30.
    given = one(70), one(600), one(30), SOIL
    assert wetness(*given) == pytest.approx(0.2)
    assert safety_factor(*given) == pytest.approx((0.1 + np.cos(np.pi / 6) * 0.9 * np.tan(np.radians(35))) / 0.5)
    wet = safety_factor(one(70), one(9000), one(30), SOIL)  # no wetter than full
    assert wet == pytest.approx((0.1 + np.cos(np.pi / 6) * 0.5 * np.tan(np.radians(35))) / 0.5)
    assert danger(one(70), one(9000), one(30), SOIL) == pytest.approx(1 - wet)
    assert danger(*given) == 0


def test_dry_loose_ground_stands_up_to_its_friction_angle():
    fs = [safety_factor(one(0), one(500), one(degrees), LOOSE)[0] for degrees in (24.9, 25, 25.1)]
    assert fs[0] > 1 > fs[2]
    assert fs[1] == pytest.approx(1)


def test_level_ground_is_safe_and_gentle_slopes_are_not_spoken_of():
    assert safety_factor(one(400), one(1e5), one(0), SOIL) > 1e3
    swamp = InfiniteSlope(cohesion=0, friction_deg=5, transmissivity_m2_day=1)
    assert safety_factor(one(400), one(1e5), one(10), swamp) < 1
    assert danger(one(400), one(1e5), one(10), swamp) == 0
    assert danger(one(400), one(1e5), one(10.1), swamp) > 0


@pytest.mark.parametrize("unknown", range(3))
def test_unknown_in_unknown_out_and_without_danger(unknown):
    values = [one(400), one(1e4), one(40)]
    assert danger(*values, LOOSE) > 0.5
    values[unknown] = one(np.nan)
    assert np.isnan(safety_factor(*values, LOOSE))
    assert danger(*values, LOOSE) == 0


@given(mm, mm, catchment, slope, soils)
def test_more_rain_is_never_safer(low, high, above, degrees, soil):
    low, high = sorted((low, high))
    cell = one(above), one(degrees), soil
    dry, wet = (wetness(one(r), *cell) for r in (low, high))
    assert 0 <= dry <= wet <= 1
    assert safety_factor(one(low), *cell) >= safety_factor(one(high), *cell) >= 0
    assert 0 <= danger(one(low), *cell) <= danger(one(high), *cell) <= 1


@given(st.floats(70, 300), st.floats(100, 1000), st.floats(20, 40), st.floats(1.05, 3))
def test_until_the_soil_is_full_the_safety_factor_falls(rain, above, degrees, times):
    deep = InfiniteSlope(cohesion=0.2, friction_deg=35, transmissivity_m2_day=5000)
    less, more = (safety_factor(one(r), one(above), one(degrees), deep) for r in (rain, times * rain))
    assert more < less


@given(mm, catchment, st.floats(11, 60), st.sampled_from(["linear", "log"]))
def test_penalty_is_zero_on_a_consistent_field_and_positive_on_a_broken_one(rain, above, degrees, form):
    """Consistent: every slope that fails is called unsafe. Broken: one that fails is called safe."""
    d = torch.from_numpy(danger(one(rain) * np.float32([0, 1]), one(above), one(degrees), LOOSE))
    told = []
    for called in (200.0, -4.0):
        logit = torch.where(d > 0, called, -9.0).requires_grad_()
        _, parts = physics_loss(
            logit, torch.zeros(2), d, positive_weight=1.0, physics_weight=1.0, physics=form, source="infinite-slope"
        )
        told.append(parts["infinite_slope"])
        alone = torch.full((2,), torch.nan)
        masked, _ = physics_loss(logit, alone, d, positive_weight=1.0, physics_weight=1.0, physics=form)
        (gradient,) = torch.autograd.grad(masked, logit)
        assert (gradient == 0).all()
    assert told[0] == 0
    assert (told[1] > 0) == bool((d > 0).any())


def test_a_config_of_thresholds_asks_nobody():
    def upslope(block):
        raise AssertionError("nobody should ask")

    assert hillslopes(Model(), upslope) is None


def test_danger_of_cells_is_that_of_their_slope_rain_and_land_above(world, asked):
    found, thresholds = (
        o.at(WHOLE, world.factors.values, range(3)) for o in (asked, Observed(world.snapshot, world.factors.grid))
    )
    steepness, above = world.factors.values[FACTORS.index("slope")], world.factors.read_upslope(WHOLE)
    assert np.array_equal(found.danger, danger(found.rain, above, steepness, LOOSE))
    assert found.danger.shape == found.rain.shape == found.label.shape
    assert 0 < (found.danger > 0).mean() < 0.9
    assert np.array_equal(found.label, thresholds.label, equal_nan=True)
    assert not np.array_equal(found.danger > 0, thresholds.danger > 0)


def test_any_block_says_the_same_and_outside_says_nothing(world, asked):
    whole = asked.at(WHOLE, world.factors.values, range(3)).danger
    block = Block(80, 100, 40, 50)
    part = asked.at(block, world.factors.read(block), [2, 0]).danger
    assert np.array_equal(part[:, :16, :30], whole[[2, 0], 80:, 100:])
    assert (part[:, 16:] == 0).all()
    assert (part[:, :, 30:] == 0).all()


def test_rain_that_is_no_sum_wets_no_slope(world):
    taken = replace(world.snapshot, measure="ari")
    config = Model(physics_source="infinite-slope", soil=LOOSE)
    with pytest.raises(TrainingError, match=r"measure 'ari'; .* set rain.measure = \"sum\" and take a new snapshot"):
        Observed(taken, world.factors.grid, hillslopes(config, world.factors.read_upslope))
