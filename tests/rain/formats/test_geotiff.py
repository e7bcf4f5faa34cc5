from datetime import date

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from lswarn.demo.layouts import chirps, imerg_gis
from lswarn.errors import CorruptGranule, GridMismatch
from lswarn.rain.formats.geotiff import decode_chirps, decode_pps

GIS = "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif"
CHIRPS = "chirps-v3.0.sat.2026.01.31.tif"


@pytest.fixture(scope="module")
def pps_rain(make_rain):
    return make_rain(0.1, 34.05, -84.95)


@pytest.fixture(scope="module")
def chirps_rain(make_rain):
    return make_rain(0.05, 34.025, -84.975)


class TestPps:
    @pytest.fixture
    def decode(self, as_part, day, pps_rain):
        return lambda bounds=None, name=GIS, **made: decode_pps(
            [as_part(name, imerg_gis(made.pop("rain", pps_rain), **made))], day, bounds
        )

    @pytest.mark.parametrize("missing", [9999, 29999, 65535, 20001])
    @pytest.mark.parametrize("tag", [None, 0, 29999])
    def test_every_sentinel_there_has_been_and_no_tag_is_trusted(self, decode, pps_rain, same, missing, tag):
        same(decode(missing=missing, nodata_tag=tag), pps_rain, 1e-5)

    def test_it_is_read_by_its_georeference_which_way_up_it_stands(self, decode, pps_rain, same):
        same(decode(south_first=True), pps_rain, 1e-5)

    def test_the_box_and_its_margin_and_no_more(self, decode):
        assert decode((-84.01, 35.01, -82.99, 36.0)).shape == (30, 32)

    def test_a_hurricane_is_believed(self, decode, pps_rain):
        assert float(decode(rain=xr.full_like(pps_rain, 1258.0)).max()) == 1258

    def test_a_file_without_its_south(self, decode):
        with pytest.raises(GridMismatch, match="lat runs from 40 to 90"):
            decode((-84.01, 35.01, -82.99, 36.0), rain=xr.DataArray([[1.0]], {"lat": [50.05], "lon": [9.95]}, ("lat", "lon")), rows=500)  # noqa: E501  # fmt: skip

    def test_another_day_in_its_name(self, decode):
        with pytest.raises(CorruptGranule, match="is not named for 20260131"):
            decode(name=GIS.replace("20260131", "20260130"))

    @pytest.mark.parametrize("page", [b"<html>401 Unauthorized</html>", b"II*\x00", b""])
    def test_no_tiff(self, as_part, day, page):
        with pytest.raises(CorruptGranule):
            decode_pps([as_part(GIS, page)], day, None)

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
    def test_a_tiff_cut_short(self, as_part, day, pps_rain, share):
        data = imerg_gis(pps_rain)
        with pytest.raises(CorruptGranule, match="damaged or cut short"):
            decode_pps([as_part(GIS, data[: int(share * len(data))])], day, None)


def write(path, values, transform=None, crs="EPSG:4326", unit=None):
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
    }
    transform = transform or from_origin(-180, 90, 0.1, 0.1)
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as raster:
        raster.write(values, 1)
        if unit is not None:
            raster.units = (unit,)


class TestOtherRasters:
    values = np.ones((20, 30), np.uint16)

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            ({"values": np.ones((20, 30), np.float32)}, "holds float32, not the 16-bit integers"),
            ({"unit": "mm/hr"}, "says that its unit is mm/hr"),
            ({"crs": "EPSG:32633"}, "does not say where it lies in degrees"),
            ({"transform": rasterio.Affine.identity()}, "does not say where it lies in degrees"),
            ({"transform": rasterio.Affine(0.1, 0.02, -180, 0.02, -0.1, 90)}, "does not say where it lies in degrees"),
            ({"transform": rasterio.Affine(-0.1, 0, 180, 0, -0.1, 90)}, "its longitudes go from east to west"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_refused_by_name(self, as_part, day, given, fault):
        part = as_part(GIS, b"")
        write(
            part.path,
            given.get("values", self.values),
            given.get("transform"),
            given.get("crs", "EPSG:4326"),
            given.get("unit"),
        )
        with pytest.raises(CorruptGranule, match=fault):
            decode_pps([part], day, None)


class TestChirps:
    @pytest.fixture
    def decode(self, as_part, day, chirps_rain):
        return lambda bounds=None, of=day, **made: decode_chirps(
            [as_part(CHIRPS, chirps(made.pop("rain", chirps_rain), **made))], of, bounds
        )

    @pytest.mark.parametrize("south_first", [False, True])
    def test_land_and_sea(self, decode, chirps_rain, same, south_first):
        read = decode(south_first=south_first)
        same(read, chirps_rain, 1e-4)
        assert read.sel(lat=50.025, lon=100.025, method="nearest") == 0
        assert np.isnan(read.sel(lat=-50.025, lon=100.025, method="nearest"))

    def test_upside_down_against_its_georeference(self, decode):
        with pytest.raises(CorruptGranule, match="is turned: rain is known at sea"):
            decode(upside_down=True)

    def test_a_box_of_sea(self, decode):
        with pytest.raises(CorruptGranule, match=r"every cell of .* is missing"):
            decode((-40.0, 30.0, -39.0, 31.0))

    def test_north_of_sixty(self, decode):
        with pytest.raises(GridMismatch, match="lat runs from -60 to 60"):
            decode((10.0, 59.0, 11.0, 61.0))

    def test_another_day_in_its_name(self, decode):
        with pytest.raises(CorruptGranule, match=r"is not named for 2026\.02\.01"):
            decode(of=date(2026, 2, 1))
