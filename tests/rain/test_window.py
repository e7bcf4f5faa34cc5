from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.errors import GridMismatch, IncompleteWindow
from lswarn.rain.window import Grade, rain_window, window_days

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
    assert (window.grade, window.missing, window.lower_bound) == (Grade.A, (), False)
    assert tuple(each.day for each in window.days) == WEEK


@pytest.mark.parametrize(
    ("products", "grade"),
    [
        (["IMERG-Late"] * 7, Grade.A),
        (["IMERG-Final"] * 5 + ["IMERG-Late"] * 2, Grade.A),
        (["IMERG-Late"] * 6 + ["IMERG-Early"], Grade.B),
        (["IMERG-Early"] * 7, Grade.B),
        (["IMERG-Late"] * 6, Grade.D),
        (["IMERG-Late"] * 5, Grade.E),
        (["IMERG-Late"], Grade.E),
    ],
)
def test_grades(make_day, products, grade):
    days = {day: make_day(day, product=product) for day, product in zip(WEEK, products, strict=False)}
    window = rain_window(DAY, days)
    assert window.grade is grade
    assert window.missing == WEEK[len(products) :]
    assert window.grade.complete == (len(products) == 7)


def test_six_days_are_a_lower_bound(make_day):
    window = rain_window(DAY, {day: make_day(day, 10) for day in WEEK if day != WEEK[3]})
    assert window.lower_bound
    assert window.missing == (WEEK[3],)
    assert (window.total == 60).all()


def test_five_days_are_no_total(make_day):
    window = rain_window(DAY, {day: make_day(day, 10) for day in WEEK[:5]})
    assert window.total.isnull().all()
    assert window.total.shape == (3, 4)


def test_no_day_at_all(make_day):
    with pytest.raises(IncompleteWindow, match=r"none of the days 2026-02-24 to 2026-03-02 is archived; fetch them"):
        rain_window(DAY, {DAY + timedelta(1): make_day(DAY + timedelta(1))})


def test_after_a_week_without_rain_all_is_unknown_on_the_grid_of_old(make_day):
    window = rain_window(DAY, {}, make_day(DAY - timedelta(30), 10))
    assert window.grade is Grade.E
    assert window.total.shape == (3, 4)
    assert window.total.isnull().all()
    assert window.missing == WEEK
    assert window.days == ()


def test_days_on_different_grids(make_day):
    days = {day: make_day(day) for day in WEEK}
    days[WEEK[2]] = make_day(WEEK[2], precipitation=days[WEEK[2]].precipitation[:, :3])
    with pytest.raises(GridMismatch, match=r"2026-02-24 and of 2026-02-26 .* 3 x 4 cells .* 3 x 3 cells .* bbox"):
        rain_window(DAY, days)


RAIN = arrays(np.float32, (7, 3, 4), elements=st.floats(0, 1500, width=32) | st.just(np.nan))


@given(rain=RAIN)
def test_a_hole_in_any_day_is_a_hole_in_the_total_and_nothing_else_is(make_day, rain):
    total = rain_window(DAY, {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}).total
    assert (np.isnan(total.values) == np.isnan(rain).any(axis=0)).all()


@given(rain=RAIN, order=st.permutations(range(7)))
def test_the_order_of_arrival_does_not_matter(make_day, rain, order):
    days = {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}
    assert rain_window(DAY, {WEEK[at]: days[WEEK[at]] for at in order}).total.identical(rain_window(DAY, days).total)


@given(rain=RAIN, more=st.floats(0, 500), at=st.integers(0, 6))
def test_more_rain_on_any_day_never_lowers_the_total(make_day, rain, more, at):
    days = {day: make_day(day, each) for day, each in zip(WEEK, rain, strict=True)}
    wetter = days | {WEEK[at]: make_day(WEEK[at], rain[at] + more)}
    before, after = rain_window(DAY, days).total.values, rain_window(DAY, wetter).total.values
    assert ((after >= before) | np.isnan(before)).all()
