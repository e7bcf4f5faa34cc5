import json
from datetime import date

import netCDF4
import numpy as np
import pytest
import xarray as xr

from lswarn.demo import storms
from lswarn.demo.granules import SCHEDULE, granule_path, save_granule
from lswarn.demo.world import BBOX
from lswarn.rain.products import decode_imerg_daily, parse_granule

DAY = date(2026, 3, 19)


def test_names_and_folders_are_the_providers():
    path = granule_path("L", DAY)
    assert path == "data/GPM_L3/GPM_3IMERGDL.07/2026/03/3B-DAY-L.MS.MRG.3IMERG.20260319-S000000-E235959.V07C.nc4"
    assert parse_granule(path.rpartition("/")[2]).version == "V07C"
    assert "V07B" in granule_path("E", date(2026, 3, 3))


def test_the_reader_of_real_granules_gets_back_what_was_made(tmp_path):
    rain = storms.daily_rain(DAY, 7)
    save_granule(tmp_path / "g.nc4", DAY, rain)
    with (tmp_path / "g.nc4").open("rb") as file:
        read = decode_imerg_daily(file, DAY, BBOX, name="g.nc4")
    np.testing.assert_array_equal(read.lon, np.round(np.arange(-84.65, -83.8, 0.1), 2))
    xr.testing.assert_allclose(read, rain.sel(lat=read.lat, lon=read.lon, method="nearest").assign_coords(read.coords))


def test_a_granule_is_global_lon_before_lat_and_says_nothing_of_elsewhere(tmp_path):
    save_granule(tmp_path / "g.nc4", DAY, storms.daily_rain(DAY, 7))
    with netCDF4.Dataset(tmp_path / "g.nc4") as file:
        grid = file["precipitation"]
        assert grid.dimensions == ("time", "lon", "lat")
        assert grid.shape == (1, 3600, 1800)
        assert grid[0].count() == len(storms.LATS) * len(storms.LONS)
        assert file["time"].calendar == "julian"
    assert (tmp_path / "g.nc4").stat().st_size < 200_000
    assert [path.name for path in tmp_path.iterdir()] == ["g.nc4"]


def test_the_schedule_names_every_file_and_no_other(world):
    schedule = json.loads((world.granules / SCHEDULE).read_text())
    files = {path.relative_to(world.granules).as_posix() for path in world.granules.rglob("*.nc4")}
    assert set(schedule) == files
    assert len(files) == 2 * len(world.rain_days)
    assert schedule[granule_path("L", DAY)] == storms.published_at("L", DAY).isoformat()


@pytest.mark.parametrize("run", ["E", "L"])
def test_a_part_written_granule_never_has_the_final_name(tmp_path, run):
    path = tmp_path / granule_path(run, DAY)
    broken = storms.daily_rain(DAY, 7).isel(lat=slice(0, 3)).rename(lat="row")
    with pytest.raises(KeyError, match="lat"):
        save_granule(path, DAY, broken)
    assert not path.exists()
