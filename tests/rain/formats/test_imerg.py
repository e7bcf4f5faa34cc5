from datetime import UTC, date, datetime, timedelta

import h5py
import numpy as np
import pytest
import xarray as xr

from lswarn.demo.layouts import imerg_daily, imerg_half_hour
from lswarn.errors import CorruptGranule, GridMismatch
from lswarn.rain.formats.imerg import decode_day, decode_half_hour, decode_half_hours

DAILY = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"
BOX = (-84.01, 35.01, -82.5, 36.5)
MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def rain(make_rain):
    return make_rain(0.1, 34.05, -84.95)


def half_hour_name(start_at: datetime, version: str = "V07C") -> str:
    end_at = start_at + timedelta(seconds=1799)
    minute = 60 * start_at.hour + start_at.minute
    return f"3B-HHR-E.MS.MRG.3IMERG.{start_at:%Y%m%d-S%H%M%S}-E{end_at:%H%M%S}.{minute:04d}.{version}.HDF5"


class TestDaily:
    @pytest.fixture
    def decode(self, as_part, day, rain):
        return lambda bounds=BOX, of=day, **broken: decode_day(
            [as_part(DAILY, imerg_daily(day, broken.pop("rain", rain), **broken))], of, bounds
        )

    @pytest.mark.parametrize("version", ["V06B", "V07B", "V08A"])
    def test_whole(self, decode, rain, same, version):
        same(decode(None, version_of=version, junk=True), rain, 1e-5)

    def test_the_box_and_a_degree_around_it(self, decode, rain, same):
        read = decode()
        assert (read["lat"].values[[0, -1]] == [34.05, 37.45]).all()
        assert (read["lon"].values[[0, -1]] == [-85.05, -81.55]).all()
        same(
            read.sel(lat=slice(34, 37.4), lon=slice(-84.96, -81.5)),
            rain.sel(lat=slice(34, 37.4), lon=slice(-85, -81.5)),
        )

    def test_beyond_the_rain_all_is_missing_and_not_zero(self, decode):
        assert int(decode(None).isnull().sum()) == 1800 * 3600 - 40 * 50 + 1

    @pytest.mark.parametrize("dims", [("time", "lat", "lon"), ("lon", "lat", "time"), ("lat", "time", "lon")])
    def test_axes_are_told_by_their_names_not_their_order(self, decode, dims):
        assert decode(dims=dims).identical(decode())

    def test_a_hurricane_is_believed(self, decode, rain):
        assert float(decode(rain=xr.full_like(rain, 1258.0)).max()) == 1258

    @pytest.mark.parametrize("fill", [-9999.9, -1.0, 9.96921e36])
    def test_whatever_the_fill_is_called_it_is_unknown(self, decode, rain, same, fill):
        same(decode(None, fill=fill), rain)

    @pytest.mark.parametrize(
        ("broken", "fault"),
        [
            ({"variable": "rain"}, "has no variable precipitation or precipitationCal, only .*rain"),
            ({"unit": "mm/hr"}, "its rain is in mm/h, not in mm"),
            ({"unit": "inch"}, "its rain is in inch, not in mm"),
            ({"unit": "K"}, "precipitation is in K, not in mm"),
            ({"unit": None}, "precipitation is in no unit"),
            ({"times": 2}, "not one time, lon and lat"),
            ({"holds": date(2026, 1, 30)}, "holds 2026-01-30, not 2026-01-31"),
            ({"north_first": True}, "lat goes from 89.95 southward"),
            ({"swapped": True}, "its latitudes reach from -179.95 .* is it turned"),
        ],
    )
    def test_another_schema_is_refused_by_name(self, decode, broken, fault):
        with pytest.raises(CorruptGranule, match=rf"rain\.example/3B-DAY.*{fault}.*; fetch it again"):
            decode(**broken)

    @pytest.mark.parametrize(("mm", "fault"), [(np.nan, "every cell of .* is missing"), (5001, "more than can fall")])
    def test_no_rain_and_no_rain_that_can_be(self, decode, rain, mm, fault):
        with pytest.raises(CorruptGranule, match=fault):
            decode(rain=xr.full_like(rain, mm))

    def test_dimensions_that_do_not_fit_their_coordinates(self, as_part, day, rain):
        part = as_part(DAILY, imerg_daily(day, rain))
        with h5py.File(part.path, "r+") as file:
            turned = file["precipitation"][:].transpose(0, 2, 1)
            attrs = dict(file["precipitation"].attrs)
            del file["precipitation"]
            field = file.create_dataset("precipitation", data=turned, chunks=(1, 100, 100), compression="gzip")
            field.attrs["units"] = attrs["units"]
            for dim, axis in zip(field.dims, ("time", "lon", "lat"), strict=True):
                dim.attach_scale(file[axis])
        with pytest.raises(CorruptGranule, match=r"1800 lon x 3600 lat, its coordinates are .* dimensions are swapped"):
            decode_day([part], day, BOX)

    def test_a_date_in_the_header_that_is_another(self, as_part, day, rain):
        part = as_part(DAILY, imerg_daily(day, rain))
        with h5py.File(part.path, "r+") as file:
            file.attrs["FileHeader"] = "StartGranuleDateTime=2026-01-30T00:00:00.000Z;\n"
        with pytest.raises(CorruptGranule, match=r"says two dates: time 2026-01-31 00:00:00, header 2026-01-30"):
            decode_day([part], day, BOX)

    @pytest.mark.parametrize("page", [b"<html><form><input type=password></form></html>", b'{"error":"expired"}', b""])
    def test_a_page_that_came_with_status_200(self, as_part, day, page):
        with pytest.raises(CorruptGranule, match=r"(HTML page|JSON|empty file).*, not HDF5; open the address"):
            decode_day([as_part(DAILY, page)], day, BOX)

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
    def test_a_file_cut_short(self, as_part, day, rain, share):
        data = imerg_daily(day, rain)
        with pytest.raises(CorruptGranule, match="damaged or cut short"):
            decode_day([as_part(DAILY, data[: int(share * len(data))])], day, None)

    def test_a_box_beyond_a_file_of_a_part_of_the_globe(self, as_part, day, rain):
        part = as_part(DAILY, b"")
        time = [np.datetime64("2026-01-31", "ns")]
        field = rain.rename("precipitation").assign_attrs(units="mm").expand_dims(time=time)
        cut_out = field.transpose("time", "lon", "lat")
        cut_out.to_netcdf(part.path, engine="h5netcdf")
        assert decode_day([part], day, (-84.5, 36.5, -84.0, 37.0)).max() > 1
        with pytest.raises(GridMismatch, match=r"lat runs from 34 to 38 and does not cover 36.5 to 38.1"):
            decode_day([part], day, (-84.5, 36.5, -84.0, 38.1))


@pytest.fixture(scope="module")
def granules(rain):
    """48 half hours of growing rain, the last with a hole of its own; as names and bytes."""
    made = {}
    for n in range(48):
        start_at = MIDNIGHT + n * timedelta(minutes=30)
        rate = rain * n / 48
        if n == 47:
            rate[10, 10] = np.nan
        version = "V07B" if n < 28 else "V07C"  # the letter may move within a day
        made[half_hour_name(start_at, version)] = imerg_half_hour(start_at, rate, version=version, junk=n % 5 == 0)
    return made


class TestHalfHours:
    @pytest.fixture
    def parts(self, granules, as_part):
        return [as_part(name, data) for name, data in granules.items()]

    def test_the_day_is_the_sum_of_half_of_each_rate(self, parts, day, rain, same):
        expected = rain * sum(range(48)) / 48 / 2
        expected[10, 10] = np.nan  # 47 of 48 known is unknown
        read = decode_half_hours(parts[::-1], day, (-84.01, 35.01, -82.5, 36.5))
        expected = expected[:34, :34]
        same(read.sel(lat=expected["lat"], lon=expected["lon"]), expected)

    @pytest.mark.parametrize("change", [lambda p: p[:47], lambda p: [*p, p[0]], lambda p: [*p[:47], p[0]]])
    def test_each_half_hour_once(self, parts, day, change):
        with pytest.raises(CorruptGranule, match="not the 48 half hours of 2026-01-31, each once"):
            decode_half_hours(change(parts), day, BOX)

    def test_another_day(self, parts):
        with pytest.raises(CorruptGranule, match="not the 48 half hours of 2026-02-01"):
            decode_half_hours(parts, date(2026, 2, 1), BOX)

    def test_another_start_inside_than_in_its_name(self, parts, day, rain, as_part):
        parts[7] = as_part(parts[7].name, imerg_half_hour(MIDNIGHT, rain))
        with pytest.raises(CorruptGranule, match=r"S033000.* begins 2026-01-31 00:00:00, not 2026-01-31 03:30:00"):
            decode_half_hours(parts, day, BOX)

    @pytest.mark.parametrize("made", [{}, {"with_time": False, "version": "V03E"}, {"flat": True, "version": "V08A"}])
    def test_a_single_one_of_any_version(self, as_part, rain, same, made):
        part = as_part(half_hour_name(MIDNIGHT), imerg_half_hour(MIDNIGHT, rain, junk=True, **made))
        same(decode_half_hour(part, None), rain / 2)

    @pytest.mark.parametrize(
        ("broken", "fault"),
        [
            ({"unit": "mm"}, "its rain is in mm, not in mm/h"),
            ({"variable": "rainfall"}, "has no variable precipitation"),
        ],
    )
    def test_another_schema(self, as_part, rain, broken, fault):
        with pytest.raises(CorruptGranule, match=fault):
            decode_half_hour(as_part(half_hour_name(MIDNIGHT), imerg_half_hour(MIDNIGHT, rain, **broken)), BOX)
