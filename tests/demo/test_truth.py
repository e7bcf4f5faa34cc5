import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from lswarn.demo import truth
from lswarn.demo.truth import Ground, failure_probability, landslides, make_ground, safety_factor

PART = st.floats(0.01, 0.9)


def ground(sine=0.5, catchment_m=100.0, cohesion=0.1, tan_friction=0.6, transmissivity=30.0) -> Ground:
    return Ground(
        *(np.full((1, 1), v, np.float32) for v in (sine, catchment_m, cohesion, tan_friction, transmissivity))
    )


def rain(mm: float) -> np.ndarray:
    return np.full((1, 1), mm, np.float32)


def test_safety_factor_by_hand():
    # sin 30° = 0.5, cos 30° = 0.8660; dry: (0.1 + 0.8660·0.6) / 0.5
    assert safety_factor(ground(), rain(0))[0, 0] == pytest.approx(1.2392, abs=1e-4)
    # 700 mm a week is 0.1 m a day: w = 0.1·100 / (30·0.5) = 2/3, friction by (1 − 0.5·2/3)
    assert safety_factor(ground(), rain(700))[0, 0] == pytest.approx((0.1 + 0.8660 * 0.6 * 2 / 3) / 0.5, abs=1e-4)
    # soaked: w = 1
    assert safety_factor(ground(), rain(5000))[0, 0] == pytest.approx((0.1 + 0.8660 * 0.6 / 2) / 0.5, abs=1e-4)


def test_half_of_the_rate_fails_at_a_safety_factor_of_one():
    at_one = ground(cohesion=0.5 - 0.8660254 * 0.6)
    assert failure_probability(at_one, rain(0))[0, 0] == pytest.approx(truth.RATE / 2, rel=1e-4)


@given(PART, PART, st.floats(0, 500), st.floats(0, 500))
def test_more_rain_never_makes_a_slope_safer(sine, cohesion, one, other):
    less, more = sorted((one, other))
    place = ground(sine=sine, cohesion=cohesion)
    assert failure_probability(place, rain(less))[0, 0] <= failure_probability(place, rain(more))[0, 0] + 1e-7


def test_unknown_stays_unknown_and_flat_ground_stands():
    assert np.isnan(failure_probability(ground(sine=np.nan), rain(300))).all()
    assert np.isnan(failure_probability(ground(), rain(np.nan))).all()
    assert failure_probability(ground(sine=0.0), rain(500))[0, 0] == 0


def test_ground_of_a_tilted_plane():
    # Falls 3 m in 5 m to the east: sin = 3/√34, and water gathers downhill.
    dem = np.broadcast_to(9000 - 0.6 * 30 * np.arange(400), (300, 400)).astype(np.float32)
    made = make_ground(
        dem, Affine(30.0, 0.0, 0.0, 0.0, -30.0, 0.0), np.full(dem.shape, 2, np.uint8), np.random.default_rng(1)
    )
    np.testing.assert_allclose(made.sine, 3 / np.sqrt(34), rtol=1e-4)
    assert made.catchment_m[150, 350] > 3 * made.catchment_m[150, 35]
    assert np.median(made.cohesion) == pytest.approx(truth.ROCKS[2].cohesion, rel=0.3)


def test_landslides_are_patches_at_the_given_rate():
    probability = np.full((400, 300), 0.05, np.float32)
    probability[:, :100] = np.nan
    found = landslides(probability, np.random.default_rng(3))
    assert not found[:, :100].any()
    sizes = np.bincount(found.ravel())[1:]
    assert sizes.min() >= truth.LEAST_CELLS
    assert len(sizes) == found.max()
    assert 0.035 < (found[:, 100:] > 0).mean() < 0.055
    np.testing.assert_array_equal(found, landslides(probability, np.random.default_rng(3)))


def test_no_probability_no_landslide():
    assert not landslides(np.zeros((50, 70), np.float32), np.random.default_rng(0)).any()
