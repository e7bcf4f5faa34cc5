"""The cascade on the demo's three servers: which product a day's rain comes from, and when it is looked for again."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
import xarray as xr
from sqlalchemy import text

from lswarn import cascade, standing
from lswarn.db.engine import open_database, transaction
from lswarn.demo import layouts, storms
from lswarn.demo.granules import late_path
from lswarn.demo.replicas import Published
from lswarn.errors import RegionError, SourceUnavailable
from lswarn.rain.archive import load_archived, save_day
from lswarn.rain.grade import Grade
from lswarn.rain.quantile_map import SHARES, QuantileMap
from lswarn.rain.window import window_days
from lswarn.sections import RainSource

LATE, EARLY = "IMERG-Late", "IMERG-Early-GIS"


@pytest.fixture
def at(house):
    """At such an instant, fetch; what each day's rain then is, as product and version."""

    def fetch(instant, *days, **options):
        house.rain.now = instant
        cascade.fetch_days(house.region, house.settings, days, instant, **options)
        found = cascade.archived_days(house.region, house.settings, days)
        return [(found[day].product, found[day].version) if day in found else None for day in days]

    return fetch


def morning(day):
    """05:30 UTC on the day after: the early run is out, the late one is not."""
    return datetime.combine(day + timedelta(days=1), time(5, 30), UTC)


def test_an_early_granule_gives_way_to_the_late_one_and_both_are_kept(house, at):
    day = house.world.days[1]
    assert at(morning(day), day)[0][0] == EARLY
    assert at(house.run_at(day), day)[0][0] == LATE
    with transaction(open_database(house.settings)) as conn:
        query = """SELECT product, superseded_at IS NULL, published_at FROM lswarn.rain_day WHERE day = :day
                   ORDER BY fetched_at"""
        kept = [tuple(row) for row in conn.execute(text(query), {"day": day})]
    published = [storms.published_at(run, day) for run in "EL"]
    assert kept == [(EARLY, False, published[0]), (LATE, True, published[1])]


def test_what_is_archived_of_the_best_product_is_asked_for_but_not_downloaded_again(house, at):
    day = house.world.days[1]
    at(house.run_at(day), day)
    house.rain.earthdata.seen.clear()
    at(house.run_at(day), day)
    asked = [seen for seen in house.rain.earthdata.seen if seen.path == f"/{late_path(day)}"]
    assert all(seen.if_modified_since for seen in asked)
    assert len(load_archived(cascade.archive_of(house.region, house.settings), [day])) == 1


def test_a_day_of_long_ago_is_not_asked_for_again(house, at):
    day = house.world.days[1]
    at(house.run_at(day), day)
    house.rain.earthdata.seen.clear()
    at(house.run_at(day) + timedelta(days=31), day)
    assert house.rain.earthdata.seen == []


def test_a_new_version_takes_the_place_of_the_old_one(house, at):
    day = house.world.days[1]
    ((_, before),) = at(house.run_at(day), day)
    body = layouts.imerg_daily(day, storms.daily_rain(day, 7) * 2)
    path = late_path(day).replace(before, "V08A")
    house.rain.earthdata.files[path] = Published(body, house.run_at(day) + timedelta(hours=1))
    assert at(house.run_at(day), day) == [(LATE, before)]
    assert at(house.run_at(day) + timedelta(days=1), day) == [(LATE, "V08A")]
    del house.rain.earthdata.files[path]


def test_a_broken_file_falls_to_the_next_product_and_heals(house, at):
    day = house.world.days[1]
    house.rain.earthdata.quirks[f"/{late_path(day)}"] = ["html"]
    assert at(house.run_at(day), day)[0][0] == EARLY
    assert at(house.run_at(day), day)[0][0] == LATE


def test_a_source_that_does_not_answer_is_asked_for_one_day_alone(house, monkeypatch):
    asked = []

    def silence(source, day, *_, **__):
        asked.append((source.product, day))
        raise SourceUnavailable("nobody there")

    monkeypatch.setattr(cascade, "fetch_day", silence)
    monkeypatch.setattr(cascade, "AT_ONCE", 1)
    days = house.world.days[:3]
    told = cascade.fetch_days(house.region, house.settings, days, house.run_at(days[-1]))
    assert asked == [(LATE, days[0]), (EARLY, days[0])]
    assert "does not answer" in told[days[2]]


def test_days_are_fetched_together_within_the_limit_of_a_server(house, at):
    days = window_days(house.world.days[0])
    house.rain.earthdata.delay_s, house.rain.earthdata.busiest = 0.05, 0
    try:
        assert {found[0] for found in at(house.run_at(days[-1]), *days)} == {LATE}
    finally:
        house.rain.earthdata.delay_s = 0
    assert 1 < house.rain.earthdata.busiest <= house.region.rain.sources[0].connections


def test_as_of_an_instant_only_what_was_due_is_used(house, at):
    days = window_days(house.world.days[1])
    now = house.run_at(days[-1])
    at(now, *days)
    at(now, *days, as_of=morning(days[-1]))
    window = cascade.window_of(house.region, house.settings, days[-1], as_of=morning(days[-1]))
    assert [each.product for each in window.days] == [LATE] * 6 + [EARLY]
    assert (window.grade, cascade.window_of(house.region, house.settings, days[-1]).grade) == (Grade.B, Grade.A)


def test_an_outlook_takes_the_newest_issue_that_is_out(house, at):
    day = house.world.days[1]
    at(house.run_at(day), *window_days(day))
    issued = day + timedelta(days=1)

    def outlook(instant):
        house.rain.now = instant
        cascade.fetch_forecasts(house.region, house.settings, day, 2, instant)
        windows = cascade.outlook_of(house.region, house.settings, day, 2)
        return [(window.day, window.lead_days, window.days[-1].version[:10]) for window in windows]

    ahead = [day + timedelta(days=1), day + timedelta(days=2)]
    before_it_is_out = datetime.combine(issued, time(2), UTC)
    assert outlook(before_it_is_out) == [(ahead[0], 1, str(day)), (ahead[1], 2, str(day))]
    assert outlook(house.run_at(day)) == [(ahead[0], 1, str(issued)), (ahead[1], 2, str(issued))]
    window = cascade.outlook_of(house.region, house.settings, day, 2)[1]
    assert [each.product for each in window.days] == [LATE] * 5 + ["GFS"] * 2
    assert window.grade is Grade.E
    observed = cascade.window_of(house.region, house.settings, day).total
    assert window.total.shape == observed.shape
    inside = window.total.sel(lat=slice(36.1, 36.5), lon=slice(-84.5, -84.0))
    assert inside.notnull().all()


def test_without_a_forecast_there_is_no_outlook(house, at):
    day = house.world.days[1]
    at(house.run_at(day), *window_days(day))
    house.rain.noaa.quirks["*"] = [404] * 99
    cascade.fetch_forecasts(house.region, house.settings, day, 2, house.run_at(day))
    house.rain.noaa.quirks.clear()
    assert cascade.outlook_of(house.region, house.settings, day, 2) == []


def test_a_stand_in_is_brought_into_the_terms_of_the_first_product(house, at, monkeypatch):
    """Here it sees half of the rain, and its map doubles it again."""
    day = house.world.days[1]
    days = window_days(day)
    at(house.run_at(day), *days)
    archive = cascade.archive_of(house.region, house.settings)
    rain = cascade.archived_days(house.region, house.settings, days)
    (gone,) = archive.glob(f"*/{day:%Y%m%d}_{LATE}_*.nc")
    gone.unlink()
    save_day(archive, replace(rain[day], product="gauges", precipitation=rain[day].precipitation / 2))

    half = xr.concat([rain[day].precipitation * 0 + mm for mm in SHARES * 300], "share").assign_coords(share=SHARES)
    chart = QuantileMap("gauges", LATE, days[0], day, 400, half, half * 2)
    monkeypatch.setattr(cascade, "load_quantile_map", lambda path, source, target: chart)
    layout = {"band": 1, "unit": "mm"}
    gauges = RainSource(product="gauges", at="/nowhere", latency_h=9, layout=layout)

    def region(source):
        rules = house.region.rain.model_copy(update={"sources": (house.region.rain.sources[0], source)})
        return house.region.model_copy(update={"rain": rules})

    mapped = cascade.window_of(region(gauges.model_copy(update={"quantile_map": Path("map.nc")})), house.settings, day)
    assert mapped.days[-1].version == f"{rain[day].version} mapped {chart.digest[:8]}"
    assert mapped.grade is Grade.C
    expected = sum(each.precipitation for each in rain.values())
    near = mapped.total.sel(lat=slice(36.2, 36.4), lon=slice(-84.4, -84.1))
    assert near.values == pytest.approx(expected.sel(near.coords).values, rel=1e-4)
    assert (cascade.window_of(region(gauges), house.settings, day).total.sel(near.coords) < near).all()
    with pytest.raises(RegionError, match="gauges and IMERG-Late do not measure alike"):
        cascade.fetch_days(region(gauges), house.settings, [day], house.run_at(day))


def test_how_it_stands(house, at):
    day = house.world.days[6]  # both its files come a day late
    assert day == storms.LATE_DAY
    now = house.run_at(day)
    at(now, *window_days(day))
    days = [day - timedelta(days=back) for back in reversed(range(8))]
    rows = {row.day: row for row in standing.standing(house.region, house.settings, now, days)}
    assert rows[day].product == ""
    assert rows[day].state == "MISSING: IMERG-Late OVERDUE 0 h; IMERG-Early-GIS OVERDUE 11 h"
    early = house.world.days[5]
    assert (rows[early].product, rows[early].grade) == (LATE, Grade.A)
    next_day = day + timedelta(days=1)
    (tomorrow,) = standing.standing(house.region, house.settings, morning(next_day), [next_day])
    assert tomorrow.state.startswith("MISSING: IMERG-Late due ")
    assert rows[min(rows)].state == "MISSING: IMERG-Late OVERDUE 168 h; IMERG-Early-GIS OVERDUE 179 h"
    assert rows[house.world.days[4]].age_h == pytest.approx(48.8, abs=0.1)
