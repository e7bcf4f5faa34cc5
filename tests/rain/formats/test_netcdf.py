from datetime import date

import numpy as np
import pytest
import xarray as xr

from lswarn.demo.layouts import era5_land
from lswarn.errors import CorruptGranule, GridMismatch
from lswarn.rain.formats.netcdf import decode_era5_land, era5_land_days

NAME = "era5_land_202602.nc"
NEXT = date(2026, 2, 1)


@pytest.fixture(scope="module")
def rain(make_rain):
    return make_rain(0.1, 44.0, 5.0)


@pytest.fixture
def decode(as_part, day, rain):
    """Two days, the second of twice the rain."""
    return lambda bounds=None, of=day, **made: decode_era5_land(
        [as_part(NAME, era5_land({day: rain, NEXT: 2 * rain}, **made))], of, bounds
    )


@pytest.mark.parametrize("old", [False, True])
def test_a_day_is_what_stands_at_midnight_after_it(decode, rain, same, old):
    same(decode(old=old), rain, 5e-3)
    same(decode(of=NEXT, old=old), 2 * rain, 5e-3)


@pytest.mark.parametrize("made", [{"hourly": False}, {"south_first": True}])
def test_however_it_was_ordered(decode, rain, same, made):
    same(decode(**made), rain)


def test_the_box_and_its_margin(decode):
    read = decode((6.0, 45.5, 6.4, 46.0))
    assert (read["lat"].values[[0, -1]] == [44.5, 47.0]).all()  # centres lie upon the tenths


@pytest.mark.parametrize(
    ("of", "made", "fault"),
    [
        (date(2026, 2, 2), {}, r"holds .*, and not 2026-02-03 00:00:00"),
        (None, {"variable": "total"}, "has no variable tp, only total"),
        (None, {"unit": "mm"}, "tp is in mm, not in m"),
        (None, {"unit": None}, "tp is in no unit, not in m"),
    ],
)
def test_another_schema(decode, day, of, made, fault):
    with pytest.raises(CorruptGranule, match=fault):
        decode(of=of or day, **made)


def test_era5_is_not_taken_for_it(as_part, day):
    quarter = xr.DataArray(np.ones((9, 9)), {"lat": 44 + np.arange(9) / 2, "lon": 5 + np.arange(9) / 2}, ("lat", "lon"))
    part = as_part(NAME, era5_land({day: quarter}))
    with pytest.raises(CorruptGranule, match=r"has cells of 0\.5°: not ERA5-Land"):
        decode_era5_land([part], day, None)


def test_a_box_beyond_the_area(decode):
    with pytest.raises(GridMismatch, match="does not cover"):
        decode((4.0, 45.5, 6.4, 46.0))


def test_rain_at_sea_where_land_should_be(as_part, day, make_rain):
    world = xr.concat([make_rain(0.5, 44.75, 40.25, 20, 210), make_rain(0.5, -54.75, 40.25, 20, 210)], "lat")
    tenths = world.interp(lat=np.round(np.arange(-54.7, 54.0, 0.1), 1), lon=np.round(np.arange(44.0, 136.0, 0.1), 1))
    tenths.loc[{"lat": slice(0, 90)}] = np.nan
    tenths.loc[{"lat": slice(-54.0, -45)}] = 1.0
    with pytest.raises(CorruptGranule, match="is turned: rain is known at sea"):
        decode_era5_land([as_part(NAME, era5_land({day: tenths}, hourly=False))], day, (50.0, -50.0, 51.0, -49.0))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_cut_short(as_part, day, rain, share):
    data = era5_land({day: rain})
    with pytest.raises(CorruptGranule, match="damaged or cut short"):
        decode_era5_land([as_part(NAME, data[: int(share * len(data))])], day, None)


def test_which_days_a_file_holds(as_part, day, rain):
    held = era5_land_days(as_part(NAME, era5_land({day: rain, NEXT: rain})))
    assert held[-2:] == [day, NEXT]
