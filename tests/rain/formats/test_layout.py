from datetime import date

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from lswarn.errors import CorruptGranule
from lswarn.rain.formats.layout import decode_layout, file_date
from lswarn.rain.formats.units import MM_PER
from lswarn.sections import RainLayout

BOX = (5.5, 44.5, 6.5, 45.5)


@pytest.fixture(scope="module")
def rain(make_rain):
    return make_rain(0.25, 42.125, 3.125)


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.floats(0, 48))
def test_no_other_file_shares_more_hours_with_a_day(day, ends_h):
    def shared_h(named: date) -> float:
        end = 24 * (named - day).days + ends_h
        return max(0.0, min(end, 24.0) - max(end - 24, 0.0))

    chosen = file_date(day, ends_h)
    assert shared_h(chosen) >= max(shared_h(date.fromordinal(chosen.toordinal() + by)) for by in (-1, 1)) - 1e-9


@pytest.mark.parametrize(("ends_h", "named"), [(24, 31), (6, 32), (0, 32), (12, 32), (13, 31), (30, 31), (48, 30)])
def test_the_date_in_the_name(ends_h, named):
    assert file_date(date(2026, 1, 31), ends_h).toordinal() == date(2026, 1, 1).toordinal() + named - 1


class TestNetcdf:
    def write(self, part, rain, stamp="2026-01-31", engine="h5netcdf", **attrs):
        field = rain.rename("rr").assign_attrs(attrs)
        if stamp:
            field = field.expand_dims(time=np.array(stamp.split(), "M8[ns]"))
        field.to_dataset().to_netcdf(part.path, engine=engine)
        return part

    @pytest.mark.parametrize("unit", sorted(MM_PER))
    @pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
    def test_any_unit_in_either_netcdf(self, as_part, day, rain, same, unit, engine):
        part = self.write(as_part("rr.nc", b""), rain / MM_PER[unit], engine=engine)
        same(decode_layout([part], day, None, layout=RainLayout(variable="rr", unit=unit)), rain)

    @pytest.mark.parametrize(
        "turn", [lambda r: r[::-1], lambda r: r.T, lambda r: r.rename(lat="latitude", lon="longitude")]
    )
    def test_the_coordinates_say_which_way_it_lies(self, as_part, day, rain, same, turn):
        part = self.write(as_part("rr.nc", b""), turn(rain))
        same(decode_layout([part], day, None, layout=RainLayout(variable="rr", unit="mm")), rain)

    def test_packed_values_and_declared_missing_ones(self, as_part, day, rain, same):
        part = as_part("rr.nc", b"")
        packed = rain.fillna(-99.9).rename("rr").assign_attrs(units="mm")
        packed.to_netcdf(part.path, encoding={"rr": {"dtype": "i2", "scale_factor": 0.1}})
        layout = RainLayout(variable="rr", unit="mm", missing=(-99.9,))
        same(decode_layout([part], day, None, layout=layout), rain, 0.01)

    @pytest.mark.parametrize(
        "stamp", ["2026-01-31", "2026-01-31T12:00", "2026-02-01", "2026-01-30 2026-01-31 2026-02-01", ""]
    )
    def test_the_day_among_its_times(self, as_part, day, rain, same, stamp):
        part = self.write(as_part("rr.nc", b""), rain, stamp)
        read = decode_layout([part], day, BOX, layout=RainLayout(variable="rr", unit="mm"))
        same(read, rain.sel(lat=slice(43.5, 46.5), lon=slice(4.5, 7.5)))

    @pytest.mark.parametrize(
        "stamp", ["2026-02-02", "2026-01-30", "2026-01-29 2026-01-30", "2026-01-31 2026-01-31T12:00"]
    )
    def test_another_day(self, as_part, day, rain, stamp):
        part = self.write(as_part("rr.nc", b""), rain, stamp)
        with pytest.raises(CorruptGranule, match=r"holds \d times, .* and not one of 2026-01-31"):
            decode_layout([part], day, BOX, layout=RainLayout(variable="rr", unit="mm"))

    @pytest.mark.parametrize(
        ("declared", "attrs", "fault"),
        [
            ({"variable": "rain", "unit": "mm"}, {}, "has no variable rain, only rr"),
            (
                {"variable": "rr", "unit": "mm"},
                {"units": "inches"},
                "its unit is inches, and region.toml that it is mm",
            ),
            ({"variable": "rr", "unit": "m"}, {}, "more than can fall .* or is its unit not m"),
        ],
    )
    def test_what_does_not_fit_what_was_declared(self, as_part, day, rain, declared, attrs, fault):
        part = self.write(as_part("rr.nc", b""), rain, **attrs)
        with pytest.raises(CorruptGranule, match=fault):
            decode_layout([part], day, BOX, layout=RainLayout(**declared))

    def test_a_third_dimension(self, as_part, day, rain):
        part = self.write(as_part("rr.nc", b""), rain.expand_dims(member=3))
        with pytest.raises(CorruptGranule, match=r"rr has dimensions .*3 member"):
            decode_layout([part], day, BOX, layout=RainLayout(variable="rr", unit="mm"))


class TestGeotiff:
    def write(self, part, rain, nodata=None, scale=1.0):
        values = np.stack([np.zeros(rain.shape), rain.values[::-1]]).astype("f4")
        profile = {"driver": "GTiff", "height": rain.shape[0], "width": rain.shape[1], "count": 2, "dtype": "float32"}
        transform = from_origin(3.0, 52.0, 0.25, 0.25)
        with rasterio.open(part.path, "w", **profile, transform=transform, crs="EPSG:4326", nodata=nodata) as raster:
            raster.write(values)
            raster.scales = (1.0, scale)
        return part

    def test_band_nodata_scale_and_missing(self, as_part, day, rain, same):
        holes = rain.fillna(-1)
        holes[7, 7] = -99
        known = rain.where(holes >= 0)
        layout = RainLayout(band=2, unit="0.1 mm", missing=(-99 / 2,))
        part = self.write(as_part("rr.tif", b""), xr.where(holes < 0, holes, holes * 20), nodata=-1, scale=0.5)
        same(decode_layout([part], day, None, layout=layout), known, 0.01)

    def test_a_band_that_is_not_there(self, as_part, day, rain):
        part = self.write(as_part("rr.tif", b""), rain.fillna(0))
        with pytest.raises(CorruptGranule, match="has 2 bands, and not band 3"):
            decode_layout([part], day, None, layout=RainLayout(band=3, unit="mm"))

    def test_a_missing_value_that_was_not_declared(self, as_part, day, rain):
        part = self.write(as_part("rr.tif", b""), rain.fillna(-99))
        with pytest.raises(CorruptGranule, match=r"less than none; .* or missing = … not declared"):
            decode_layout([part], day, None, layout=RainLayout(band=2, unit="mm"))
