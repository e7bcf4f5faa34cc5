"""Read back with plain libraries, at places reckoned by hand from the documents: never with lswarn's readers."""

import gzip
import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import eccodes
import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from lswarn.demo import layouts
from lswarn.demo.axes import IMERG_LATS, IMERG_LONS, NORTH_FIRST, Axis, block

DAY = date(2026, 3, 14)
NEXT = DAY + timedelta(days=1)


def field(step, west=-84.25, south=36.25, shape=(3, 4)):
    """Rain that differs from cell to cell, 0.1 mm and up; the last cell is unknown."""
    mm = 0.1 + np.arange(np.prod(shape), dtype=float).reshape(shape) * 1.7
    mm[-1, -1] = np.nan
    lats, lons = south + step * np.arange(shape[0]), west + step * np.arange(shape[1])
    return xr.DataArray(mm, {"lat": np.round(lats, 3), "lon": np.round(lons, 3)}, ("lat", "lon"))


TENTHS, TWENTIETHS, HALVES = field(0.1), field(0.05, -84.225, 36.225), field(0.5, -84.25, 36.25)
WHOLE_TENTHS, QUARTERS = field(0.1, -84.2, 36.2), field(0.25, -84.25, 36.25)


class TestAxes:
    @given(st.integers(0, 1799), st.integers(0, 3599))
    def test_a_cell_is_found_where_it_stands(self, row, col):
        assert NORTH_FIRST.index(NORTH_FIRST.values[[row]]) == row
        assert layouts.GSMAP_LONS.index(layouts.GSMAP_LONS.values[[col]]) == col
        west = (layouts.GSMAP_LONS.values[[col]] + 180) % 360 - 180
        assert layouts.GSMAP_LONS.index(west) == col

    @pytest.mark.parametrize("values", [[0.0], [0.07], [90.05], [-90.05]])
    def test_what_is_between_or_beyond_the_cells_is_refused(self, values):
        with pytest.raises(ValueError, match="not cell centres"):
            IMERG_LATS.index(np.array(values))

    def test_a_block_knows_what_it_was_not_given(self):
        box, values = block(TENTHS.isel(lat=[0, 2]), Axis(36.05, 0.1, 9), IMERG_LONS)
        assert box == (slice(2, 5), slice(957, 961))
        assert np.isnan(values[1]).all()
        np.testing.assert_array_equal(values[0], TENTHS[0])


def imerg(body, **kwargs):
    return netCDF4.Dataset("inmemory.nc", memory=body, **kwargs)


class TestImergDaily:
    def test_it_is_flat_global_and_lon_before_lat(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS)) as file:
            rain = file["precipitation"]
            assert (rain.dimensions, rain.shape, rain.dtype) == (("time", "lon", "lat"), (1, 3600, 1800), np.float32)
            assert (rain.units, rain._FillValue) == ("mm/day", np.float32(-9999.9))
            assert file["lat"][0] < file["lat"][-1]
            assert (file["time"].calendar, file["time"].units[:21]) == ("julian", "days since 1970-01-01")
            assert file["time"][0] == (DAY - date(1970, 1, 1)).days
            assert not file.groups
            assert rain[0, 957, 1262] == pytest.approx(0.1)  # 84.25 W, 36.25 N
            assert rain[0].count() == TENTHS.size - 1
            assert np.ma.is_masked(rain[0, 960, 1264])

    def test_v06_called_things_otherwise(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS, version_of="V06")) as file:
            assert file["precipitationCal"].units == "mm"

    def test_missing_is_the_value_even_without_the_attribute(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS, fill=None)) as file:
            assert "_FillValue" not in file["precipitation"].ncattrs()
            assert file["precipitation"][0, 0, 0] == file["precipitation"][0, 960, 1264] == np.float32(-9999.9)

    def test_other_orders_that_say_so(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS, dims=("time", "lat", "lon"))) as file:
            assert file["precipitation"][0, 1262, 958] == pytest.approx(1.8)
        with imerg(layouts.imerg_daily(DAY, TENTHS, north_first=True)) as file:
            assert file["lat"][0] > 0
            assert file["precipitation"][0, 958, 1799 - 1262] == pytest.approx(1.8)

    def test_lies(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS, upside_down=True)) as file:
            assert file["lat"][0] < 0
            assert file["precipitation"][0, 958, 1799 - 1262] == pytest.approx(1.8)
        with imerg(layouts.imerg_daily(DAY, TENTHS, swapped=True)) as file:
            assert (len(file["lat"]), len(file["lon"])) == (3600, 1800)
            assert file["precipitation"].dimensions == ("time", "lat", "lon")
        with imerg(layouts.imerg_daily(DAY, TENTHS, holds=NEXT)) as file:
            assert file.BeginDate == str(NEXT)
            assert file["time"][0] == (NEXT - date(1970, 1, 1)).days
        with imerg(layouts.imerg_daily(DAY, TENTHS, times=2, unit=None, variable="rain")) as file:
            assert file["rain"].shape[0] == 2
            assert "units" not in file["rain"].ncattrs()

    def test_junk_lies_beside_the_rain(self):
        with imerg(layouts.imerg_daily(DAY, TENTHS, junk=True)) as file:
            assert {"time_bnds", "precipitation_cnt"} < set(file.variables)
            assert file.groups

    def test_a_file_ends_where_it_says(self):
        body = layouts.imerg_daily(DAY, TENTHS)
        assert body[:8] == b"\x89HDF\r\n\x1a\n"
        assert len(body) < 100_000
        with pytest.raises(OSError, match="truncated"):
            h5py.File(io.BytesIO(body[:-1]))
        assert layouts.imerg_daily(DAY, TENTHS) == body


class TestImergHalfHour:
    AT = datetime(2026, 3, 14, 13, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("switches", "where", "dims"),
        [
            ({}, "Grid/precipitation", b"time,lon,lat"),
            ({"with_time": False}, "Grid/precipitation", b"lon,lat"),
            ({"version": "V06B"}, "Grid/precipitationCal", b"time,lon,lat"),
            ({"flat": True}, "precipitation", b"time,lon,lat"),
            ({"junk": True}, "Grid/precipitation", b"time,lon,lat"),
        ],
    )
    def test_layouts_of_its_versions(self, switches, where, dims):
        with h5py.File(io.BytesIO(layouts.imerg_half_hour(self.AT, TENTHS, **switches))) as file:
            rain = file[where]
            assert (rain.attrs["DimensionNames"], rain.attrs["units"]) == (dims, b"mm/hr")
            values = rain[:].reshape(3600, 1800)
            assert values[958, 1262] == pytest.approx(1.8)
            assert values[960, 1264] == values[0, 0] == np.float32(-9999.9)
            assert [dim[0].name.rpartition("/")[2] for dim in rain.dims] == dims.decode().split(",")

    def test_its_header_tells_name_and_times(self):
        with h5py.File(io.BytesIO(layouts.imerg_half_hour(self.AT, TENTHS, run="L"))) as file:
            header = dict(line.split("=", 1) for line in file.attrs["FileHeader"].decode().split(";\n") if line)
            assert header["FileName"] == "3B-HHR-L.MS.MRG.3IMERG.20260314-S133000-E135959.0810.V07C.RT-H5"
            assert header["StartGranuleDateTime"] == "2026-03-14T13:30:00.000Z"
            assert header["StopGranuleDateTime"] == "2026-03-14T13:59:59.999Z"
            since = datetime(1980, 1, 6, tzinfo=UTC) + timedelta(seconds=int(file["Grid/time"][0]))
            assert since == self.AT

    def test_junk_is_what_real_files_hold(self):
        with h5py.File(io.BytesIO(layouts.imerg_half_hour(self.AT, TENTHS, junk=True))) as file:
            assert {"NA", "+ FileHeader", "precipitation", "Grid"} == set(file)
            assert "precipitationQualityIndex" in file["Grid"]


def tiff(body):
    with MemoryFile(body) as memory, memory.open() as file:
        return file.profile, file.read(1), file.transform


class TestGeoTiffs:
    def test_gis_is_tenths_of_mm_north_first(self):
        profile, values, transform = tiff(layouts.imerg_gis(TENTHS))
        assert (profile["width"], profile["height"], profile["dtype"]) == (3600, 1800, "uint16")
        assert profile["nodata"] is None
        assert (transform.c, transform.f) == (-180, 90)
        assert list(values[1799 - 1262, 957:961]) == [1, 18, 35, 52]
        assert values[1799 - 1264, 960] == values[0, 0] == 29999

    def test_gis_as_it_was(self):
        _, values, _ = tiff(layouts.imerg_gis(TENTHS, missing=9999, outside=65535))
        assert (values[1799 - 1264, 960], values[0, 0]) == (9999, 65535)
        assert tiff(layouts.imerg_gis(TENTHS, rows=1700))[1].shape == (1700, 3600)
        assert tiff(layouts.imerg_gis(TENTHS, nodata_tag=0))[0]["nodata"] == 0

    def test_south_first_says_so_and_upside_down_does_not(self):
        _, right, north_first = tiff(layouts.imerg_gis(TENTHS))
        _, values, south_first = tiff(layouts.imerg_gis(TENTHS, south_first=True))
        np.testing.assert_array_equal(values[::-1], right)
        assert south_first.e == -north_first.e > 0
        assert south_first.f + south_first.e * len(values) == pytest.approx(north_first.f)
        _, values, transform = tiff(layouts.imerg_gis(TENTHS, upside_down=True))
        np.testing.assert_array_equal(values[::-1], right)
        assert transform == north_first

    def test_chirps_has_no_sea_and_no_tag(self):
        profile, values, transform = tiff(layouts.chirps(TWENTIETHS))
        assert (profile["width"], profile["height"], profile["dtype"]) == (7200, 2400, "float32")
        assert profile["nodata"] is None
        row, col = rasterio.transform.rowcol(transform, -84.225, 36.225)
        assert (row, col) == (475, 1915)
        assert values[row, col + 1] == pytest.approx(1.8)
        assert values[row - 2, col + 3] == -9999
        east = int((100 + 180) / 0.05)
        assert [values[row, east] for row in (2, 200, 2200, 2397)] == [0, 0, -9999, -9999]  # 59.9, 50 N; 50, 59.9 S


class TestFlatFiles:
    def test_gsmap_is_a_mean_rate_from_the_north_and_from_greenwich(self):
        values = np.frombuffer(gzip.decompress(layouts.gsmap(TENTHS)), "<f4").reshape(1200, 3600)
        assert values[237, 2757] == pytest.approx(0.1 / 24)  # 36.25 N, 275.75 E
        assert values[237, 2758] == pytest.approx(1.8 / 24)
        assert values[235, 2760] == values[0, 0] == np.float32(-999.9)
        plain = np.frombuffer(layouts.gsmap(TENTHS, gzipped=False, missing=-99, upside_down=True), "<f4")
        assert plain.reshape(1200, 3600)[1199 - 235, 2760] == -99

    def test_cpc_has_two_records_from_the_south(self):
        rain, gauges = np.frombuffer(layouts.cpc(HALVES), "<f4").reshape(2, 360, 720)
        assert list(rain[252, 551:553]) == pytest.approx([1.0, 18.0])  # 36.25 N, 275.75 E, 0.1 mm
        assert (gauges[252, 551], gauges[254, 554]) == (1, -999)
        assert rain[254, 554] == rain[0, 0] == -999
        assert np.frombuffer(layouts.cpc(HALVES, byteorder=">"), ">f4")[252 * 720 + 551] == 1


class TestEra5Land:
    @pytest.mark.parametrize("old", [False, True])
    def test_a_day_is_the_value_of_the_next_midnight(self, old):
        body = layouts.era5_land({DAY: WHOLE_TENTHS, NEXT: WHOLE_TENTHS * 2}, old=old)
        with xr.open_dataset(io.BytesIO(body), engine="h5netcdf") as file:
            tp = file["tp"].rename({"time" if old else "valid_time": "time"})
            assert (tp.dims, tp.attrs["units"]) == (("time", "latitude", "longitude"), "m")
            assert tp.latitude[0] > tp.latitude[-1]
            point = tp.sel(latitude=36.2, longitude=-84.1, method="nearest") * 1000
            assert point.sel(time="2026-03-15T00") == pytest.approx(1.8, abs=0.002)
            assert point.sel(time="2026-03-14T12") == pytest.approx(0.9, abs=0.002)
            assert point.sel(time="2026-03-16T00") == pytest.approx(3.6, abs=0.002)
            assert point.sel(time="2026-03-15T01") == pytest.approx(3.6 / 24, abs=0.002)
            assert tp.sel(time="2026-03-14T00").isnull().all()
            assert np.isnan(tp.sel(time="2026-03-16T00")[0, -1])
            assert tp.encoding["dtype"] == (np.int16 if old else np.float32)

    def test_midnights_alone(self):
        with xr.open_dataset(io.BytesIO(layouts.era5_land({DAY: WHOLE_TENTHS}, hourly=False)), engine="h5netcdf") as f:
            assert f.sizes["valid_time"] == 2


def messages(body):
    """Offset → handle of each GRIB message."""
    at = 0
    while at < len(body):
        handle = eccodes.codes_new_from_message(body[at:])
        yield at, handle
        at += eccodes.codes_get(handle, "totalLength")
        eccodes.codes_release(handle)


def keys(handle, *names):
    return tuple(eccodes.codes_get(handle, name) for name in names)


def at(handle, lat, lon):
    lats, lons, values = (eccodes.codes_get_array(handle, k) for k in ("latitudes", "longitudes", "values"))
    return values[(lats == lat) & (np.abs((lons - lon + 180) % 360 - 180) < 1e-9)].item()


class TestGribs:
    def test_gfs_holds_the_bucket_and_the_total(self):
        body, idx = layouts.gfs(DAY, {6: QUARTERS, 12: QUARTERS * 2})
        lines = idx.decode().splitlines()
        found = {}
        for line, (offset, handle) in zip(lines, messages(body), strict=True):
            assert line.split(":")[1:3] == [str(offset), "d=2026031400"]
            found[":".join(line.split(":")[3:])] = (
                keys(handle, "shortName", "units", "stepRange"),
                at(handle, 36.25, -84.0),
            )
            assert keys(handle, "Ni", "Nj", "dataDate") == (1440, 721, 20260314)
            assert keys(handle, "latitudeOfFirstGridPointInDegrees", "longitudeOfFirstGridPointInDegrees") == (90, 0)
        assert found["APCP:surface:6-12 hour acc fcst:"] == (("tp", "kg m**-2", "6-12"), pytest.approx(3.6, abs=1e-4))
        assert found["APCP:surface:0-12 hour acc fcst:"] == (("tp", "kg m**-2", "0-12"), pytest.approx(5.4, abs=1e-4))
        assert len(found) == 4
        assert len(body) < 10_000

    def test_gfs_as_wgrib2_says_it(self):
        def when(body_and_idx):
            return [line.split(":")[5] for line in body_and_idx[1].decode().splitlines() if ":APCP:" in line]

        assert when(layouts.gfs(DAY, {6: QUARTERS})) == ["0-6 hour acc fcst"] * 2
        day = dict.fromkeys(range(6, 25, 6), QUARTERS)
        assert when(layouts.gfs(DAY, day)) == ["18-24 hour acc fcst", "0-1 day acc fcst"]
        assert when(layouts.gfs(DAY, {30: QUARTERS})) == ["24-30 hour acc fcst"]
        body, idx = layouts.gfs(DAY, day, last=True)
        assert when((body, idx)) == ["0-1 day acc fcst", "18-24 hour acc fcst"]
        assert ":18-24 hour" in idx.decode().splitlines()[-1]
        assert len(when(layouts.gfs(DAY, day, total=False))) == 1

    @pytest.mark.parametrize(("unit", "said", "value"), [("m", "m", 0.0018), ("mm", "kg m**-2", 1.8)])
    def test_ecmwf_counts_from_the_issue_and_from_the_date_line(self, unit, said, value):
        body, index = layouts.ecmwf(DAY, {24: QUARTERS}, unit=unit)
        records = [json.loads(line) for line in index.splitlines()]
        for record, (offset, handle) in zip(records, messages(body), strict=True):
            assert (record["_offset"], record["_length"]) == (offset, eccodes.codes_get(handle, "totalLength"))
            assert (record["param"], record["step"]) == (eccodes.codes_get(handle, "shortName"), "24")
            if record["param"] == "tp":
                assert keys(handle, "units", "stepRange", "centre", "levtype") == (said, "0-24", "ecmf", "sfc")
                assert keys(handle, "longitudeOfFirstGridPointInDegrees") == (180,)
                assert at(handle, 36.25, -84.0) == pytest.approx(value, rel=1e-4)
                assert at(handle, 0, 0) == 0
        assert [record["param"] for record in records].count("tp") == 1


@pytest.mark.parametrize(
    "encode",
    [
        lambda: layouts.imerg_daily(DAY, TENTHS),
        lambda: layouts.imerg_half_hour(TestImergHalfHour.AT, TENTHS),
        lambda: layouts.imerg_gis(TENTHS),
        lambda: layouts.chirps(TWENTIETHS),
        lambda: layouts.gsmap(TENTHS),
        lambda: layouts.cpc(HALVES),
        lambda: layouts.era5_land({DAY: WHOLE_TENTHS}),
        lambda: layouts.gfs(DAY, {6: QUARTERS})[0],
        lambda: layouts.ecmwf(DAY, {24: QUARTERS})[0],
    ],
)
def test_files_are_small_and_the_same_each_time(encode):
    # NetCDF-4 writes down the second in which it was written, which may just have turned.
    assert any(encode() == encode() for _ in range(3))
    assert len(encode()) < 2_100_000


def test_eccodes_and_pyproj_live_in_one_process():
    """Loaded the other way around they break the heap; `lswarn.demo` sees to the order."""
    code = "import lswarn.demo.gribs, pyproj; print(pyproj.CRS('EPSG:32616').to_wkt()[:7])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "PROJCRS\n"), done.stderr
