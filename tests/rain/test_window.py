from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.errors import GridMismatch, IncompleteWindow
from lswarn.rain.grade import Grade
from lswarn.rain.measures import ARI, SUM, effective
from lswarn.rain.window import rain_window, window_days

DAY = date(2026, 3, 2)
WEEK = window_days(DAY)


def test_seven_days_over_the_end_of_february():
    assert WEEK[0] == date(2026, 2, 24)
    assert [later - earlier for earlier, later in pairwise(WEEK)] == [timedelta(1)] * 6
    assert WEEK[-1] == DAY


def test_the_total_is_the_sum_of_the_seven(make_day):
    days = {day: make_day(day, 2.0**number) for number, day in enumerate(WEEK)}
    days[DAY + timedelta(1)] = make_day(DAY + timedelta(1), 1000)
    days[WEEK[0] - timedelta(1)] = make_day(WEEK[0] - timedelta(1), 1000)
    window = rain_window(DAY, days)
    assert (window.total == 127).all()
    assert window.total.attrs["units"] == "mm"
    assert (window.grade, window.missing, window.lead_days) == (Grade.A, (), 0)
    assert window.complete.all()
    assert not window.lower_bound.any()
    assert tuple(each.day for each in window.days) == WEEK


def test_other_measures_weigh_the_days(make_day):
    days = {day: make_day(day, 2.0**number) for number, day in enumerate(WEEK)}
    for measure in (ARI, effective(0.8)):
        expected = sum(weight * 2.0 ** (6 - back) for back, weight in enumerate(measure.weights))
        window = rain_window(DAY, days, measure=measure)
        assert window.total.values == pytest.approx(expected, rel=1e-6)
        assert window.total.attrs["long_name"] == f"{measure.title} to 2026-03-02"


@pytest.mark.parametrize(
    ("products", "grade"),
    [
        (["IMERG-Late"] * 7, Grade.A),
        (["IMERG-Final"] * 5 + ["IMERG-Late"] * 2, Grade.A),
        (["IMERG-Late"] * 6 + ["IMERG-Early"], Grade.B),
        (["IMERG-Early-GIS"] * 7, Grade.B),
        (["IMERG-Late"] * 6 + ["CHIRPS-prelim"], Grade.C),
        (["IMERG-Late"] * 6 + ["met-office"], Grade.C),
        (["IMERG-Late"] * 6, Grade.D),
        (["IMERG-Late"] * 6 + ["GFS"], Grade.E),
        (["IMERG-Late"] * 5 + ["GFS"], Grade.E),
        (["IMERG-Late"] * 5, Grade.E),
        (["IMERG-Late"], Grade.E),
    ],
)
def test_grades(make_day, products, grade):
    days = {day: make_day(day, product=product) for day, product in zip(WEEK, products, strict=False)}
    window = rain_window(DAY, days)
    assert window.grade is grade
    assert window.missing == WEEK[len(products) :]
    assert window.complete.all() == (grade.complete and len(products) == 7)
    assert window.total.isnull().all() == (len(products) < 6)


def test_six_days_are_a_lower_bound(make_day):
    window = rain_window(DAY, {day: make_day(day, 10) for day in WEEK if day != WEEK[3]})
    assert window.lower_bound.all()
    assert window.missing == (WEEK[3],)
    assert (window.total == 60).all()


def test_five_days_are_no_total_unless_the_region_says_so(make_day):
    days = {day: make_day(day, 10) for day in WEEK[:5]}
    window = rain_window(DAY, days)
    assert window.total.isnull().all()
    assert not window.lower_bound.any()
    assert window.total.shape == (3, 4)
    patient = rain_window(DAY, days, min_known_days=5)
    assert (patient.total == 50).all()
    assert (patient.grade, patient.lower_bound.all()) == (Grade.D, True)


def test_a_window_that_ends_in_forecasts(make_day):
    days = {day: make_day(day, product="GFS" if day > WEEK[4] else "IMERG-Late") for day in WEEK}
    window = rain_window(DAY, days, observed_to=WEEK[4])
    assert (window.grade, window.lead_days) == (Grade.E, 2)
    assert (window.total == 7).all()
    assert not window.complete.any()
    assert not window.lower_bound.any()


def test_no_day_at_all(make_day):
    with pytest.raises(IncompleteWindow, match=r"none of the days 2026-02-24 to 2026-03-02 is archived; fetch them"):
        rain_window(DAY, {DAY + timedelta(1): make_day(DAY + timedelta(1))})


def test_after_a_week_without_rain_all_is_unknown_on_the_grid_of_old(make_day):
    window = rain_window(DAY, {}, like=make_day(DAY - timedelta(30), 10).precipitation)
    assert window.grade is Grade.E
    assert window.total.shape == (3, 4)
    assert window.total.isnull().all()
    assert window.missing == WEEK
    assert window.days == ()


def fine(day_rain, value):
    """The same box in cells of half the size."""
    lat, lon = (day_rain.precipitation[axis].values for axis in ("lat", "lon"))
    axes = {
        axis: np.round(np.arange(values[0] - 0.025, values[-1] + 0.05, 0.05), 4)
        for axis, values in (("lat", lat), ("lon", lon))
    }
    return xr.DataArray(np.full((len(axes["lat"]), len(axes["lon"])), value, np.float32), axes, ("lat", "lon"))


def test_another_product_is_brought_onto_the_grid_of_the_best(make_day):
    days = {day: make_day(day, 1) for day in WEEK}
    days[WEEK[2]] = make_day(WEEK[2], product="CHIRPS-prelim", precipitation=fine(days[DAY], 5))
    window = rain_window(DAY, days, order=["IMERG-Late", "CHIRPS-prelim"])
    assert window.total.shape == (3, 4)
    assert window.total.values == pytest.approx(11)
    assert rain_window(DAY, days, order=["CHIRPS-prelim", "IMERG-Late"]).total.shape == (6, 8)


def test_a_window_is_cut_to_the_box_and_two_cells_around_it(make_day):
    wide = xr.DataArray(
        np.ones((20, 30), np.float32),
        {"lat": np.round(35.05 + 0.1 * np.arange(20), 2), "lon": np.round(-85.95 + 0.1 * np.arange(30), 2)},
        ("lat", "lon"),
    )
    days = {day: make_day(day, precipitation=wide) for day in WEEK}
    total = rain_window(DAY, days, bbox=(-84.41, 36.16, -84.07, 36.34)).total
    assert (float(total["lat"][0]), float(total["lat"][-1])) == (35.95, 36.55)
    assert (float(total["lon"][0]), float(total["lon"][-1])) == (-84.65, -83.85)
    with pytest.raises(GridMismatch, match="does not cover"):
        rain_window(DAY, days, bbox=(-84.41, 36.16, -82, 36.34))


RAIN = arrays(np.float32, (7, 3, 4), elements=st.floats(0, 1500, width=32) | st.just(np.nan))
MEASURES = st.sampled_from([SUM, ARI, effective(0.84)])


@given(rain=RAIN, measure=MEASURES)
def test_one_hole_makes_a_lower_bound_and_two_make_a_hole(make_day, rain, measure):
    window = rain_window(DAY, {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}, measure=measure)
    holes = np.isnan(rain).sum(axis=0)
    assert (np.isnan(window.total.values) == (holes > 1)).all()
    assert (window.lower_bound.values == (holes == 1)).all()
    assert (window.complete.values == (holes == 0)).all()


@given(rain=RAIN, order=st.permutations(range(7)))
def test_the_order_of_arrival_does_not_matter(make_day, rain, order):
    days = {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}
    assert rain_window(DAY, {WEEK[at]: days[WEEK[at]] for at in order}).total.identical(rain_window(DAY, days).total)


@given(rain=RAIN, more=st.floats(0, 500), at=st.integers(0, 6), measure=MEASURES)
def test_more_rain_on_any_day_never_lowers_the_total(make_day, rain, more, at, measure):
    days = {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}
    wetter = days | {WEEK[at]: make_day(WEEK[at], rain[at] + more)}
    before, after = (rain_window(DAY, each, measure=measure).total.values for each in (days, wetter))
    assert ((after >= before) | np.isnan(before)).all()


@given(rain=RAIN, at=st.integers(0, 6))
def test_what_is_learnt_of_a_hole_never_lowers_a_total(make_day, rain, at):
    """A lower bound is one: whatever fell in the hole, the total was at least this."""
    filled = rain.copy()
    filled[at] = np.nan_to_num(filled[at], nan=7.0)
    before, after = (
        rain_window(DAY, {day: make_day(day, each) for day, each in zip(WEEK, values, strict=True)}).total.values
        for values in (rain, filled)
    )
    assert ((after >= before) | np.isnan(before)).all()
