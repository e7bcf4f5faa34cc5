from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import box

from lswarn.errors import GridMismatch, RegionError
from lswarn.rain.measures import ARI, SUM
from lswarn.rain.thresholds import critical_rainfall, safety_factor
from lswarn.sections import Threshold, ThresholdZones

NORTH_UP = Affine(0.1, 0, -84.5, 0, -0.1, 36.3)
WHOLE = box(-85, 35, -84, 37)
SOUTH_WEST = box(-84.5, 36, -84.4, 36.1)
DRAWN = {"source": "Survey", "date": "2024-05-06"}


def field(values):
    lats, lons = np.round(36.05 + 0.1 * np.arange(3), 2), np.round(-84.45 + 0.1 * np.arange(4), 2)
    return xr.DataArray(np.broadcast_to(values, (3, 4)).astype("f4"), {"lat": lats, "lon": lons}, ("lat", "lon"))


LIKE = field(0)


def critical(threshold, product="IMERG-Late", measure=SUM):
    return critical_rainfall(threshold, LIKE, product=product, measure=measure)


def write_raster(path, values, transform=NORTH_UP, crs="EPSG:4326", nodata=-1, **tags):
    with rasterio.open(
        path, "w", "GTiff", values.shape[1], values.shape[0], 1, crs, transform, values.dtype, nodata=nodata
    ) as file:
        file.write(values, 1)
        file.update_tags(**tags)
    return Threshold(file=path, source="a test")


def write_zones(path, zones, base=None, **given):
    """Each zone: its value, its shape, and any of `source` and `date`; those left out are as in `DRAWN`."""
    rows = [{"rc": value} | DRAWN | dict(*told) for value, _, *told in zones]
    frame = gpd.GeoDataFrame(rows, geometry=[shape for _, shape, *_ in zones], crs=4326)
    frame.to_crs("EPSG:32616").to_file(path)
    base = {"constant_mm": base, "source": "a test"} if base else {}
    return Threshold(zones=ThresholdZones(**{"file": path, "field": "rc"} | given), **base)


class TestTheBase:
    def test_a_constant(self):
        found = critical(Threshold(constant_mm=150, source="a test"))
        assert (found == 150).all()
        assert found.attrs == {"units": "mm", "long_name": "critical rain in 7 days", "source": "a test"}
        assert all(found[axis].equals(LIKE[axis]) for axis in ("lat", "lon"))
        assert (found["source"] == "a test").all()

    def test_a_raster_north_up_becomes_south_up(self, tmp_path):
        values = np.arange(1, 13, dtype="f4").reshape(3, 4)  # row 0 in the north
        found = critical(write_raster(tmp_path / "rc.tif", values))
        assert (found.values == values[::-1]).all()
        assert (found["source"] == "a test").all()

    def test_a_fine_raster_gives_the_value_under_the_centre(self, tmp_path):
        values = np.full((300, 400), 7, "f4")  # 0.001°
        values[50::100, 50::100] = np.arange(1, 13).reshape(3, 4)  # the cells just south-east of the centres
        threshold = write_raster(tmp_path / "rc.tif", values, Affine(0.001, 0, -84.5001, 0, -0.001, 36.3001))
        assert (critical(threshold).values == np.arange(1, 13).reshape(3, 4)[::-1]).all()

    def test_nodata_and_beyond_the_raster_is_unknown_and_has_no_source(self, tmp_path):
        values = np.array([[100, -1], [120, 130]], "f4")
        found = critical(write_raster(tmp_path / "rc.tif", values))
        assert found.values[2, 0] == 100
        assert found.values[1, :2].tolist() == [120, 130]
        assert int(np.isfinite(found).sum()) == 3
        assert ((found["source"] == "a test") == found.notnull()).all()
        assert ((found["source"] == "") == found.isnull()).all()

    def test_an_undeclared_nodata_value_is_found(self, tmp_path):
        values = np.full((3, 4), -9999, "f4")
        threshold = write_raster(tmp_path / "rc.tif", values, nodata=None)
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif: holds -9999, .* above 0 mm; mark"):
            critical(threshold)

    def test_a_raster_elsewhere(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", np.ones((3, 4), "f4"), Affine(0.1, 0, 10, 0, -0.1, 46))
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif"):
            critical(threshold)

    def test_a_vector_is_no_base(self, tmp_path):
        write_zones(tmp_path / "zones.gpkg", [(90, WHOLE)])
        with pytest.raises(RegionError, match=r"zones\.gpkg: a vector; name it as rain\.threshold\.zones"):
            critical(Threshold(file=tmp_path / "zones.gpkg", source="a test"))

    def test_no_such_file(self, tmp_path):
        with pytest.raises(RegionError, match=r"rain\.threshold: .*rc\.tif"):
            critical(Threshold(file=tmp_path / "rc.tif", source="a test"))


class TestWhatTheRasterWasMadeOf:
    VALUES = np.full((3, 4), 80, "f4")

    def test_another_run_of_the_same_family_will_do(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", self.VALUES, product="IMERG-Final", measure="sum")
        assert (critical(threshold) == 80).all()

    def test_another_product(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", self.VALUES, product="CHIRPS-sat", measure="sum")
        with pytest.raises(
            RegionError, match=r"rc\.tif: .*CHIRPS-sat.*IMERG-Late.*per product.*climatology --product IMERG-Late"
        ):
            critical(threshold)

    def test_another_measure(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", self.VALUES, product="IMERG-Late", measure="sum")
        with pytest.raises(RegionError, match=r"rc\.tif: .*'sum'.*'ari'.*rain climatology"):
            critical(threshold, measure=ARI)

    def test_both_faults_are_told(self, tmp_path):
        threshold = write_raster(tmp_path / "rc.tif", self.VALUES, product="CPC-Unified", measure="effective-0.84")
        with pytest.raises(RegionError) as caught:
            critical(threshold)
        assert len(caught.value.problems) == 2


class TestZones:
    def test_alone_and_in_another_crs(self, tmp_path):
        west, east = box(-84.6, 35.9, -84.3, 36.4), box(-84.3, 35.9, -84.2, 36.2)
        found = critical(write_zones(tmp_path / "zones.gpkg", [(90, west), (200, east)]))
        unknown = np.nan
        expected = [[90, 90, 200, unknown], [90, 90, 200, unknown], [90, 90, unknown, unknown]]
        assert np.array_equal(found.values, np.array(expected, "f4"), equal_nan=True)
        assert found["source"].values[2].tolist() == ["Survey, 2024-05-06"] * 2 + ["", ""]

    def test_a_zone_overrides_the_base_up_and_down(self, tmp_path):
        zones = [(200, SOUTH_WEST, {"source": "Road office", "date": "2023"}), (60, box(-84.4, 36, -84.3, 36.1))]
        found = critical(write_zones(tmp_path / "zones.gpkg", zones, base=150))
        assert found.values[0].tolist() == [200, 60, 150, 150]
        assert (found.values[1:] == 150).all()
        told = ["Road office, 2023", "Survey, 2024-05-06", "a test", "a test"]
        assert found["source"].values[0].tolist() == told
        assert found["source"].dims == ("lat", "lon")

    @pytest.mark.parametrize("order", [1, -1])
    def test_where_zones_overlap_the_lowest_counts_and_is_named(self, tmp_path, order):
        zones = [(180, WHOLE, {"source": "High"}), (60, SOUTH_WEST, {"source": "Low"}), (None, WHOLE)]
        found = critical(write_zones(tmp_path / "zones.gpkg", zones[::order], base=100))
        assert found.values[0, 0] == 60
        assert (found.values.ravel()[1:] == 180).all()
        assert found["source"].values[0, :2].tolist() == ["Low, 2024-05-06", "High, 2024-05-06"]

    @pytest.mark.parametrize(
        ("value", "told"),
        [(date(2024, 5, 6), "2024-05-06"), (pd.Timestamp(2024, 5, 6), "2024-05-06"), (2024, "2024"), (2024.0, "2024")],
    )
    def test_dates_years_and_words(self, tmp_path, value, told):
        found = critical(write_zones(tmp_path / "zones.gpkg", [(90, WHOLE, {"date": value})]))
        assert (found["source"] == f"Survey, {told}").all()

    def test_fields_may_have_other_names(self, tmp_path):
        path = tmp_path / "zones.gpkg"
        gpd.GeoDataFrame({"mm": [90], "who": "We", "when": "May"}, geometry=[WHOLE], crs=4326).to_file(path)
        zones = ThresholdZones(file=path, field="mm", source_field="who", date_field="when")
        assert (critical(Threshold(zones=zones))["source"] == "We, May").all()

    @pytest.mark.parametrize("name", ["source", "date"])
    @pytest.mark.parametrize("nothing", [None, " "])
    def test_a_zone_without_source_or_date_is_named(self, tmp_path, name, nothing):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, WHOLE), (60, SOUTH_WEST, {name: nothing})])
        with pytest.raises(RegionError, match=rf"zones\.gpkg: the zone of 60 mm around 36\.05.*-84\.45.* no '{name}'"):
            critical(threshold)

    def test_no_field_of_sources(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, WHOLE)], source_field="origin")
        with pytest.raises(RegionError, match=r"rain\.threshold\.zones: .*zones\.gpkg: there is no field 'origin'"):
            critical(threshold)

    def test_a_missing_field(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, WHOLE)], field="critical")
        with pytest.raises(RegionError, match=r"(?s)rain\.threshold\.zones.*zones\.gpkg.*'critical'.*rc"):
            critical(threshold)

    def test_a_field_of_words(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [("much", WHOLE)])
        with pytest.raises(RegionError, match=r"zones\.gpkg: field 'rc' is not a number of mm .*much"):
            critical(threshold)

    def test_a_threshold_of_nothing(self, tmp_path):
        threshold = write_zones(tmp_path / "zones.gpkg", [(90, WHOLE), (0, SOUTH_WEST)])
        with pytest.raises(RegionError, match=r"zones\.gpkg: holds 0, .* above 0 mm; mark zones"):
            critical(threshold)


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
