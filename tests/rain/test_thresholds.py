import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import box

from lswarn.errors import GridMismatch, RegionError
from lswarn.rain.thresholds import critical_rainfall, safety_factor
from lswarn.region import Threshold


def field(values):
    lats, lons = np.round(36.05 + 0.1 * np.arange(3), 2), np.round(-84.45 + 0.1 * np.arange(4), 2)
    return xr.DataArray(np.broadcast_to(values, (3, 4)).astype("f4"), {"lat": lats, "lon": lons}, ("lat", "lon"))


LIKE = field(0)


def write_raster(path, values, transform, crs="EPSG:4326", nodata=-1):
    with rasterio.open(
        path, "w", "GTiff", values.shape[1], values.shape[0], 1, crs, transform, values.dtype, nodata=nodata
    ) as file:
        file.write(values, 1)
    return Threshold(file=path, source="a test")


def write_zones(path, zones, **given):
    frame = gpd.GeoDataFrame({"rc": [value for value, _ in zones]}, geometry=[shape for _, shape in zones], crs=4326)
    frame.to_crs("EPSG:32616").to_file(path)
    return Threshold(**{"file": path, "field": "rc", "source": "a test"} | given)


class TestCriticalRainfall:
    def test_a_constant(self):
        critical = critical_rainfall(Threshold(constant_mm=150, source="a test"), LIKE)
        assert (critical == 150).all()
        assert critical.attrs == {"units": "mm", "long_name": "critical rain of seven days", "source": "a test"}
        assert all(critical[axis].equals(LIKE[axis]) for axis in ("lat", "lon"))

    def test_a_raster_north_up_becomes_south_up(self, tmp_path):
        values = np.arange(1, 13, dtype="f4").reshape(3, 4)  # row 0 in the north
        threshold = write_raster(tmp_path / "rc.tif", values, Affine(0.1, 0, -84.5, 0, -0.1, 36.3))
        assert (critical_rainfall(threshold, LIKE).values == values[::-1]).all()

    def test_a_fine_raster_gives_the_value_under_the_centre(self, tmp_path):
        values = np.full((300, 400), 7, "f4")  # 0.001°
        values[50::100, 50::100] = np.arange(1, 13).reshape(3, 4)  # the cells just south-east of the centres
        threshold = write_raster(tmp_path / "rc.tif", values, Affine(0.001, 0, -84.5001, 0, -0.001, 36.3001))
        assert (critical_rainfall(threshold, LIKE).values == np.arange(1, 13).reshape(3, 4)[::-1]).all()

    def test_nodata_and_beyond_the_raster_is_unknown(self, tmp_path):
        values = np.array([[100, -1], [120, 130]], "f4")
        threshold = write_raster(tmp_path / "rc.tif", values, Affine(0.1, 0, -84.5, 0, -0.1, 36.3))
        critical = critical_rainfall(threshold, LIKE).values
        assert critical[2, 0] == 100
        assert critical[1, :2].tolist() == [120, 130]
        assert int(np.isfinite(critical).sum()) == 3

    def test_an_undeclared_nodata_value_is_found(self, tmp_path):
        values = np.full((3, 4), -9999, "f4")
        threshold = write_raster(tmp_path / "rc.tif", values, Affine(0.1, 0, -84.5, 0, -0.1, 36.3), nodata=None)
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif: holds -9999, .* above 0 mm; mark"):
            critical_rainfall(threshold, LIKE)

    def test_a_raster_elsewhere(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", np.ones((3, 4), "f4"), Affine(0.1, 0, 10, 0, -0.1, 46))
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif"):
            critical_rainfall(threshold, LIKE)

    def test_zones_in_another_crs(self, tmp_path):
        west, east = box(-84.6, 35.9, -84.3, 36.4), box(-84.3, 35.9, -84.2, 36.2)
        critical = critical_rainfall(write_zones(tmp_path / "zones.gpkg", [(90, west), (200, east)]), LIKE)
        unknown = np.nan
        expected = [[90, 90, 200, unknown], [90, 90, 200, unknown], [90, 90, unknown, unknown]]
        assert np.array_equal(critical.values, np.array(expected, "f4"), equal_nan=True)

    def test_where_zones_overlap_the_lowest_counts(self, tmp_path):
        whole = box(-85, 35, -84, 37)
        zones = [(180, whole), (60, box(-84.5, 36, -84.4, 36.1)), (None, whole)]
        critical = critical_rainfall(write_zones(tmp_path / "zones.gpkg", zones), LIKE).values
        assert critical[0, 0] == 60
        assert (critical.ravel()[1:] == 180).all()

    def test_a_missing_field(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, box(-85, 35, -84, 37))], field="critical")
        with pytest.raises(RegionError, match=r"(?s)rain\.threshold.*zones\.gpkg.*'critical'.*rc"):
            critical_rainfall(threshold, LIKE)

    def test_a_field_of_words(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [("much", box(-85, 35, -84, 37))])
        with pytest.raises(RegionError, match=r"zones\.gpkg: field 'rc' is not a number of mm .*much"):
            critical_rainfall(threshold, LIKE)

    def test_a_vector_without_saying_which_field(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, box(-85, 35, -84, 37))], field=None)
        with pytest.raises(RegionError, match=r"zones\.gpkg: a vector; say which field"):
            critical_rainfall(threshold, LIKE)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif"):
            critical_rainfall(Threshold(file=tmp_path / "rc.tif", source="a test"), LIKE)


class TestSafetyFactor:
    def test_the_ratio(self):
        total = field([[0, 50, 100, 200], [np.nan, 50, 100, 200], [0, 50, 100, 200]])
        critical = field([[100], [100], [np.nan]])
        expected = [[np.inf, 2, 1, 0.5], [np.nan, 2, 1, 0.5], [np.nan] * 4]
        assert np.array_equal(safety_factor(critical, total).values, np.array(expected, "f4"), equal_nan=True)

    def test_another_grid(self):
        with pytest.raises(GridMismatch, match="critical rainfall and the rain of seven days lie on different grids"):
            safety_factor(field(100), field(50)[:, 1:])

    @given(
        total=arrays(np.float32, (3, 4), elements=st.floats(0, 3000, width=32)),
        more=st.floats(0, 500),
        critical=st.floats(1, 1000),
    )
    def test_more_rain_never_raises_it_and_below_one_is_an_exceedance(self, total, more, critical):
        rain, wetter = field(total), field(total + np.float32(more))
        factor = safety_factor(field(critical), rain)
        assert (safety_factor(field(critical), wetter) <= factor).all()
        assert ((factor < 1) == (rain > np.float32(critical))).all()
