import json
from datetime import UTC, date, datetime, time, timedelta

import eccodes
import netCDF4
import numpy as np
import pytest
import rasterio
import requests

from lswarn.demo import granules, storms
from lswarn.demo.granules import SCHEDULE, early_path, forecast_path, late_path, load_published
from lswarn.demo.providers import Providers
from lswarn.demo.replicas import RainReplica
from lswarn.rain.fetch import fetch_day
from lswarn.sections import RainSource
from lswarn.settings import Settings

DAY = date(2026, 3, 19)
HERE = {"lat": 36.35, "lon": -84.15}


@pytest.fixture(scope="module")
def published(world):
    return load_published(world.granules)


def test_names_and_folders_are_the_providers():
    assert late_path(DAY) == (
        "data/GPM_L3/GPM_3IMERGDL.07/2026/03/3B-DAY-L.MS.MRG.3IMERG.20260319-S000000-E235959.V07C.nc4"
    )
    assert early_path(DAY) == (
        "imerg/gis/early/2026/03/3B-HHR-E.MS.MRG.3IMERG.20260319-S233000-E235959.1410.V07C.1day.tif"
    )
    assert forecast_path(DAY, 6) == "gfs.20260319/00/atmos/gfs.t00z.pgrb2.0p25.f006"
    assert "V07B" in late_path(date(2026, 3, 3))
    assert "V07B" in early_path(date(2026, 3, 3))


def test_the_late_run_is_the_made_rain(published):
    made = storms.daily_rain(DAY, 7)
    with netCDF4.Dataset(published[late_path(DAY)].body) as file:
        grid = file["precipitation"][0]
        rows = [int(np.abs(file["lat"][:] - lat).argmin()) for lat in made.lat]
        cols = [int(np.abs(file["lon"][:] - lon).argmin()) for lon in made.lon]
        np.testing.assert_array_equal(grid[cols][:, rows].T, made)
        assert grid.count() == made.size  # it says nothing of elsewhere


def test_the_early_run_is_there_to_a_tenth_of_a_mm(published):
    made = storms.early_rain(DAY, 7)
    with rasterio.open(published[early_path(DAY)].body) as file:
        here = next(file.sample([(HERE["lon"], HERE["lat"])]))[0] / 10
        assert (file.read(1) != 29999).sum() == made.size
    assert here == pytest.approx(float(made.sel(HERE, method="nearest")), abs=0.051)


def test_a_forecast_day_is_the_sum_of_its_four_buckets(published):
    day = DAY + timedelta(days=1)
    total = np.zeros((721, 1440))
    for step in (30, 36, 42, 48):
        body, index = (published[forecast_path(DAY, step) + suffix].read() for suffix in ("", ".idx"))
        lines = index.decode().splitlines()
        row = next(n for n, line in enumerate(lines) if f":APCP:surface:{step - 6}-{step} hour acc" in line)
        start, end = (int(line.split(":")[1]) for line in lines[row : row + 2])
        handle = eccodes.codes_new_from_message(body[start:end])
        total += eccodes.codes_get_values(handle).reshape(total.shape)
        eccodes.codes_release(handle)
    made = storms.forecast_rain(DAY, day, 7)
    assert total[215, 1103] == pytest.approx(float(made.interp(lat=36.25, lon=-84.25)), rel=0.01)  # 36.25 N, 275.75 E
    assert 0 < total.max() < 1.01 * float(made.max())
    assert sum(granules.QUARTERS) == pytest.approx(1)


def test_the_schedule_names_every_file_and_no_other(world, published):
    schedule = json.loads((world.granules / SCHEDULE).read_text())
    files = {path.relative_to(world.granules).as_posix() for path in world.granules.rglob("*") if path.is_file()}
    assert set(schedule) == set(published) == files - {SCHEDULE}
    for day in world.rain_days:
        assert published[late_path(day)].at == storms.published_at("L", day)
        assert published[early_path(day)].at == storms.published_at("E", day)
    for issue in storms.forecast_issues():
        for step in range(6, 73, 6):
            at = datetime.combine(issue, time(5), UTC)
            assert published[forecast_path(issue, step)].at == published[forecast_path(issue, step) + ".idx"].at == at
    assert len(published) == 2 * len(world.rain_days) + 2 * 12 * len(storms.forecast_issues())
    assert sum(file.body.stat().st_size for file in published.values()) < 12e6


def test_a_file_is_served_once_it_is_published(published):
    at = storms.published_at("L", DAY)
    query = {"short_name": "GPM_3IMERGDL", "temporal": f"{DAY}T00:00:01Z,{DAY}T23:59:59Z"}
    with RainReplica(published, now=at - timedelta(seconds=1)) as rain:

        def found():
            return requests.get(f"{rain.url}/search/granules.json", query, timeout=5).json()["feed"]["entry"]

        assert found() == []
        rain.now = at
        href = found()[0]["links"][0]["href"]
        assert requests.get(href, timeout=5).content == published[late_path(DAY)].read()
        folder, _, name = early_path(DAY).rpartition("/")
        assert f"/{folder}/{name}" in requests.get(f"{rain.url}/text/{folder}/", timeout=5).text.splitlines()


@pytest.mark.parametrize("product", ["IMERG-Late", "IMERG-Early-GIS", "GFS"])
def test_the_real_fetcher_gets_the_made_rain(published, product):
    now, bbox = datetime.combine(DAY + timedelta(days=3), time(15, 30), UTC), (-84.4, 36.2, -84.1, 36.4)
    with Providers() as providers:
        providers.serve(published)
        providers.now = now
        at, issue, made = {
            "IMERG-Late": (f"{providers.addresses.earthdata}/search/granules.json", None, storms.daily_rain(DAY, 7)),
            "IMERG-Early-GIS": (
                f"{providers.addresses.pps}/text/imerg/gis/early/{{year}}/{{month}}/",
                None,
                storms.early_rain(DAY, 7),
            ),
            "GFS": (
                f"{providers.addresses.noaa}/gfs.{{year}}{{month}}{{day}}/00/atmos/",
                DAY - timedelta(days=1),
                storms.forecast_rain(DAY - timedelta(days=1), DAY, 7),
            ),
        }[product]
        settings = Settings(**providers.accounts, timeout_s=5)
        got = fetch_day(RainSource(product=product, at=at), DAY, bbox, now=now, settings=settings, issue=issue)
    inside = got.precipitation.sel(lat=slice(35.9, 36.7), lon=slice(-84.7, -83.8))
    np.testing.assert_allclose(inside, made.interp(lat=inside.lat, lon=inside.lon), atol=0.051)


def test_a_part_written_file_never_has_its_final_name(tmp_path, monkeypatch):
    monkeypatch.setattr(granules, "_granules", lambda seed: iter([("a/b.nc4", "not bytes", None)]))
    with pytest.raises(TypeError):
        granules.save_granules(tmp_path, 7)
    assert not (tmp_path / "a/b.nc4").exists()
    assert not (tmp_path / SCHEDULE).exists()
