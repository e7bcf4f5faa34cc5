from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from lswarn.demo import storms
from lswarn.demo.storms import (
    DAYS,
    Storm,
    daily_rain,
    early_rain,
    forecast_rain,
    published_at,
    rain_days,
    weekly_rain,
)
from lswarn.rain.window import window_days


def test_a_storm_is_a_bell_around_its_centre_on_its_days_only():
    # Axis to the north: one deviation of 11.132 km is one cell of 0.1° up.
    storm = Storm("s", date(2026, 1, 2), (100.0, 40.0), -84.25, 36.25, along_km=11.132, across_km=5.0, bearing_deg=0)
    row, col = (int(np.abs(a - b).argmin()) for a, b in ((storms.LATS, 36.25), (storms.LONS, -84.25)))
    rain = storm.mm(date(2026, 1, 2))
    assert rain[row, col] == pytest.approx(100)
    assert rain[row + 1, col] == rain[row - 1, col] == pytest.approx(100 * np.exp(-0.5))
    assert rain[row, col + 1] < rain[row + 1, col]
    assert storm.mm(date(2026, 1, 3))[row, col] == pytest.approx(40)
    assert not storm.mm(date(2026, 1, 1)).any()
    assert not storm.mm(date(2026, 1, 4)).any()


def test_a_day_rains_the_same_whenever_it_is_asked():
    first = daily_rain(DAYS[5], 7)
    daily_rain(DAYS[0], 7)
    assert daily_rain(DAYS[5], 7).identical(first)
    assert not daily_rain(DAYS[5], 8).identical(first)


def test_a_week_is_the_sum_of_its_days():
    week = sum(daily_rain(day, 7).values.astype(float) for day in window_days(DAYS[8]))
    np.testing.assert_allclose(weekly_rain(DAYS[8], 7), week, rtol=1e-5)


def test_the_early_run_differs_and_sees_less():
    late, early = (sum(rain(day, 7) for day in DAYS) for rain in (daily_rain, early_rain))
    assert 0.7 * late.sum() < early.sum() < 0.95 * late.sum()
    assert not np.allclose(early, late * storms.EARLY_SCALE, rtol=0.05)


def test_a_forecast_errs_more_the_further_it_looks_and_each_in_its_own_way():
    def error(ahead):
        days = [(issue, issue + timedelta(days=ahead)) for issue in storms.forecast_issues()]
        ratios = [np.log(forecast_rain(issue, day, 7) / daily_rain(day, 7)).std() for issue, day in days]
        return float(np.mean(ratios))

    errors = [error(ahead) for ahead in range(storms.FORECAST_DAYS)]
    assert errors == sorted(errors)
    assert errors[0] == pytest.approx(storms.FORECAST_RIPPLE, rel=0.1)
    assert errors[2] == pytest.approx(3 * storms.FORECAST_RIPPLE, rel=0.1)
    day = DAYS[4]
    assert not np.allclose(forecast_rain(DAYS[3], day, 7), forecast_rain(DAYS[2], day, 7), rtol=0.2)
    assert forecast_rain(DAYS[3], day, 7).identical(forecast_rain(DAYS[3], day, 7))


def test_there_is_a_forecast_for_each_of_the_ten_runs():
    assert set(storms.forecast_issues()) >= {day + timedelta(days=1) for day in DAYS}


def test_the_story_has_ten_days_with_rain_on_5_to_8():
    main = next(storm for storm in storms.COMING if storm.name == "main storm")
    assert len(DAYS) == 10
    assert [day for day in DAYS if main.mm(day).any()] == list(DAYS[4:8])


def test_past_storms_reach_from_dry_to_far_beyond_the_coming_ones():
    totals = sorted(float(weekly_rain(day, 7).max()) for day in storms.TRAINING_DAYS)
    assert totals[0] < 20
    assert totals[-1] > max(float(weekly_rain(day, 7).max()) for day in DAYS)


def test_every_day_of_every_window_is_served():
    needed = {d for day in (*DAYS, *storms.TRAINING_DAYS) for d in window_days(day)}
    assert set(rain_days()) == needed
    assert list(rain_days()) == sorted(needed)


@pytest.mark.parametrize(("run", "day", "hours"), [("E", 0, 4.5), ("L", 0, 14.75), ("E", 5, 4.5)])
def test_files_are_published_hours_after_their_day(run, day, hours):
    end = datetime.combine(DAYS[day] + timedelta(days=1), datetime.min.time(), UTC)
    assert published_at(run, DAYS[day]) == end + timedelta(hours=hours)


def test_one_day_is_late_and_one_is_first_seen_by_the_early_run():
    next_run = {
        day: datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC).replace(hour=15, minute=30)
        for day in DAYS
    }
    there = {day: {run for run in "EL" if published_at(run, day) <= next_run[day]} for day in DAYS}
    assert there.pop(storms.LATE_DAY) == set()
    assert there.pop(storms.EARLY_ONLY_DAY) == {"E"}
    assert all(runs == {"E", "L"} for runs in there.values())
    a_day = timedelta(days=1)
    for day in (storms.LATE_DAY, storms.EARLY_ONLY_DAY):
        assert all(published_at(run, day) <= next_run[day] + a_day for run in "EL")
