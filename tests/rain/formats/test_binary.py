import gzip
from datetime import date

import numpy as np
import pytest

from lswarn.demo.layouts import cpc, gsmap
from lswarn.errors import CorruptGranule, GridMismatch
from lswarn.rain.formats.binary import decode_cpc, decode_gsmap

GSMAP = "gsmap_nrt.20260131.0.1d.daily.00Z-23Z.dat.gz"
CPC = "PRCP_CU_GAUGE_V1.0GLB_0.50deg.lnx.20260131.RT"


@pytest.fixture(scope="module")
def gsmap_rain(make_rain):
    return make_rain(0.1, 34.05, -2.05)  # across 0°, where the file begins and ends


@pytest.fixture(scope="module")
def cpc_rain(make_rain):
    """Over the land and the sea that prove which way up it is."""
    rain = make_rain(0.5, 30.25, 80.25, 50, 120)
    rain.loc[{"lat": slice(30, 44)}] = np.nan
    return rain


class TestGsmap:
    @pytest.fixture
    def decode(self, as_part, day, gsmap_rain):
        return lambda bounds=None, **made: decode_gsmap([as_part(GSMAP, gsmap(gsmap_rain, **made))], day, bounds)

    @pytest.mark.parametrize("gzipped", [True, False])
    @pytest.mark.parametrize("missing", [-999.9, -99.0, -8.0, -4.0])
    def test_a_rate_of_a_day_from_the_north_and_across_its_seam(self, decode, gsmap_rain, same, gzipped, missing):
        read = decode((-1.0, 35.0, 1.0, 37.0), gzipped=gzipped, missing=missing)
        assert (read["lon"].values[[0, -1]] == [-1.95, 1.95]).all()
        same(read, gsmap_rain.sel(lat=slice(34, 38), lon=slice(-1.96, 1.96)))

    def test_whole(self, decode, gsmap_rain, same):
        same(decode(), gsmap_rain)

    def test_north_of_sixty(self, decode):
        with pytest.raises(GridMismatch, match="lat runs from -60 to 60"):
            decode((10.0, 59.0, 11.0, 61.0))

    @pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
    def test_a_gzip_cut_short(self, as_part, day, gsmap_rain, share):
        data = gsmap(gsmap_rain)
        with pytest.raises(CorruptGranule, match="gzip is damaged or cut short"):
            decode_gsmap([as_part(GSMAP, data[: int(share * len(data))])], day, None)

    def test_another_size(self, as_part, day, gsmap_rain):
        with pytest.raises(CorruptGranule, match="holds 17,279,996 bytes, not 17,280,000"):
            decode_gsmap([as_part(GSMAP, gsmap(gsmap_rain, gzipped=False)[:-4])], day, None)

    def test_bytes_the_wrong_way_round(self, as_part, day, gsmap_rain):
        turned = np.frombuffer(gsmap(gsmap_rain, gzipped=False), "<f4").astype(">f4").tobytes()
        with pytest.raises(CorruptGranule, match=r"does not hold little-endian floats|mm in a day"):
            decode_gsmap([as_part(GSMAP, gzip.compress(turned, 1))], day, None)

    def test_another_day_in_its_name(self, as_part, gsmap_rain):
        with pytest.raises(CorruptGranule, match="is not named for 20260201"):
            decode_gsmap([as_part(GSMAP, gsmap(gsmap_rain))], date(2026, 2, 1), None)

    def test_a_page(self, as_part, day):
        with pytest.raises(CorruptGranule, match=r"an HTML page, beginning 'Not Found', not binary or gzip"):
            decode_gsmap([as_part(GSMAP, b"<html>Not Found</html>")], day, None)


class TestCpc:
    def test_tenths_of_mm_from_the_south(self, as_part, day, cpc_rain, same):
        same(decode_cpc([as_part(CPC, cpc(cpc_rain))], day, None), cpc_rain)
        read = decode_cpc([as_part(CPC, cpc(cpc_rain))], day, (100.0, 50.0, 102.0, 52.0))
        assert (read["lat"].values[[0, -1]] == [49.25, 52.75]).all()

    @pytest.mark.parametrize("turn", [lambda r: r[::-1], lambda r: np.roll(r, 360, axis=1)])
    def test_turned(self, as_part, day, cpc_rain, turn):
        records = np.frombuffer(cpc(cpc_rain), "<f4").reshape(2, 360, 720)
        with pytest.raises(CorruptGranule, match="is turned: rain is known at sea"):
            decode_cpc([as_part(CPC, np.stack([turn(each) for each in records]).tobytes())], day, None)

    def test_bytes_the_wrong_way_round(self, as_part, day, cpc_rain):
        with pytest.raises(CorruptGranule):
            decode_cpc([as_part(CPC, cpc(cpc_rain, byteorder=">"))], day, None)

    @pytest.mark.parametrize(
        "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[: len(data) // 2]]
    )
    def test_another_size(self, as_part, day, cpc_rain, change):
        with pytest.raises(CorruptGranule, match="bytes, not 2,073,600"):
            decode_cpc([as_part(CPC, change(cpc(cpc_rain)))], day, None)
