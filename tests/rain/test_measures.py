import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.rain.measures import ARI, SUM, WINDOW_DAYS, effective, find_measure

weeks = st.lists(st.floats(0, 1500), min_size=WINDOW_DAYS, max_size=WINDOW_DAYS).map(np.array)
measures = st.one_of(st.just(SUM), st.just(ARI), st.floats(0.01, 0.99).map(effective))


def of(measure, days):
    """The window's last day first, as the weights are."""
    return float(np.dot(measure.weights, days))


def test_the_sum():
    assert of(SUM, [1, 2, 4, 8, 16, 32, 64]) == 127


def test_the_antecedent_index_by_hand():
    # 1 + 1/4 + 1/9 + 1/16 + 1/25 + 1/36 + 1/49 = 1.511797
    assert sum(ARI.weights) == pytest.approx(1)
    assert of(ARI, [70, 0, 0, 0, 0, 0, 0]) == pytest.approx(70 / 1.511797, rel=1e-6)
    assert of(ARI, [0, 0, 0, 0, 0, 0, 70]) == pytest.approx(70 / 1.511797 / 49, rel=1e-6)


def test_the_antecedent_index_of_steady_rain_is_that_rain():
    assert of(ARI, [12.5] * 7) == pytest.approx(12.5)


def test_effective_rain_by_hand():
    assert effective(0.5).weights == (1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)
    assert effective(0.84).name == "effective-0.84"


@pytest.mark.parametrize(("name", "found"), [("sum", SUM), ("ari", ARI), ("effective", effective(0.9))])
def test_measures_by_the_names_of_region_toml(name, found):
    assert find_measure(name, 0.9) == found


def test_names_tell_measures_apart():
    names = [measure.name for measure in (SUM, ARI, effective(0.84), effective(0.85))]
    assert len(set(names)) == 4


@given(measures)
def test_a_week_has_seven_days_and_the_newest_weighs_most(measure):
    assert len(measure.weights) == WINDOW_DAYS
    assert all(weight > 0 for weight in measure.weights)
    assert sorted(measure.weights, reverse=True) == list(measure.weights)


@given(measures, weeks, st.integers(0, 6), st.floats(0, 500))
def test_more_rain_on_any_day_never_lowers_it(measure, week, day, more):
    wetter = week.copy()
    wetter[day] += more
    assert of(measure, wetter) >= of(measure, week)


@given(measures, weeks, st.integers(0, 6))
def test_what_is_known_alone_is_a_lower_bound(measure, week, unknown):
    known = week.copy()
    known[unknown] = 0
    assert of(measure, known) <= of(measure, week)


@given(st.floats(0.01, 0.98), weeks)
def test_slower_decay_is_never_less(k, week):
    assert of(effective(k + 0.01), week) >= of(effective(k), week)
    assert of(effective(k), week) <= of(SUM, week)
