"""Whatever happens to a file's bytes: rain that can be, or an error of ours; never another, never a hang."""

from datetime import UTC, date, datetime

import eccodes
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lswarn.demo import layouts
from lswarn.errors import LswarnError
from lswarn.rain.formats.field import MOST_MM
from lswarn.rain.formats.grib import read_totals, total_field
from lswarn.rain.formats.imerg import decode_half_hour
from lswarn.rain.formats.layout import decode_layout
from lswarn.rain.formats.part import Part
from lswarn.rain.products import PRODUCTS
from lswarn.sections import RainLayout

DAY = date(2026, 1, 31)
BOX = (6.0, 43.0, 8.0, 45.0)
IMERG = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"
HALF = "3B-HHR-E.MS.MRG.3IMERG.20260131-S000000-E002959.0000.V07C.HDF5"
GIS = "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif"
CPC = "PRCP_CU_GAUGE_V1.0GLB_0.50deg.lnx.20260131.RT"

damage = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "cut", "insert", "delete", "ones"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([64, 512, 4096, 1 << 40]),  # headers above all
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, done: list[tuple[str, float, int, int]]) -> bytes:
    made = bytearray(data)
    for what, share, within, value in done:
        at = int(share * min(within, len(made)))
        if what == "set" and made:
            made[at] = value
        elif what == "flip" and made:
            made[at] ^= 1 << value % 8
        elif what == "cut":
            del made[at:]
        elif what == "insert":
            made[at:at] = bytes([value]) * (1 + value % 40)
        elif what == "delete":
            del made[at : at + 1 + value % 40]
        elif what == "ones":
            made[at : at + 4] = b"\x7f\xff\xff\xff" if value % 2 else b"\xff\xff\xff\xff"
    return bytes(made)


def one(product):
    return lambda part: PRODUCTS[product].decode([part], DAY, BOX)


@pytest.fixture(scope="module")
def files(make_rain):
    """Of each layout its name, its bytes and its reader."""
    tenths, whole = make_rain(0.1, 42.05, 5.05), make_rain(0.1, 42.0, 5.0)
    netcdf3 = make_rain(0.25, 40.125, 3.125).rename("rr").to_dataset().to_netcdf(engine="scipy")
    declared = RainLayout(variable="rr", unit="mm")
    return {
        "IMERG daily": (IMERG, layouts.imerg_daily(DAY, tenths, junk=True), one("IMERG-Late")),
        "IMERG half hour": (
            HALF,
            layouts.imerg_half_hour(datetime(2026, 1, 31, tzinfo=UTC), tenths),
            lambda part: decode_half_hour(part, BOX),
        ),
        "IMERG GeoTIFF": (GIS, layouts.imerg_gis(tenths), one("IMERG-Late-GIS")),
        "CHIRPS": ("chirps-v3.0.sat.2026.01.31.tif", layouts.chirps(make_rain(0.05, 42.025, 5.025)), one("CHIRPS-sat")),
        "GSMaP": ("gsmap_nrt.20260131.0.1d.daily.00Z-23Z.dat.gz", layouts.gsmap(tenths), one("GSMaP-NRT")),
        "CPC": (CPC, layouts.cpc(make_rain(0.5, 40.25, 3.25, 20, 20)), one("CPC-Unified")),
        "ERA5-Land": ("tp.nc", layouts.era5_land({DAY: whole}), one("ERA5-Land")),
        "netCDF-3": ("rr.nc", bytes(netcdf3), lambda part: decode_layout([part], DAY, BOX, layout=declared)),
    }


@pytest.mark.parametrize(
    "layout",
    ["IMERG daily", "IMERG half hour", "IMERG GeoTIFF", "CHIRPS", "GSMaP", "CPC", "ERA5-Land", "netCDF-3"],
)
@settings(max_examples=25, derandomize=True, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=damage)
def test_a_damaged_file_is_refused_or_holds_rain_that_can_be(files, tmp_path, layout, done):
    name, data, decode = files[layout]
    path = tmp_path / name
    path.write_bytes(damaged(data, done))
    try:
        mm = decode(Part(name, path, name)).values
    except LswarnError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert not ((mm < 0) | (mm > MOST_MM)).any()


@settings(max_examples=10, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=damage)
def test_a_damaged_grib_message(grib, tmp_path, done):
    """Few, since each is a process; packed as NOAA packs, over which ecCodes does end it (`test_grib` shows one)."""
    path = tmp_path / "f006"
    path.write_bytes(damaged(grib, done))
    try:
        mm = total_field(read_totals([Part("f006", path, "f006")])[0], BOX).values
    except LswarnError as error:
        assert "f006" in str(error)  # noqa: PT017
    else:
        assert not ((mm < 0) | (mm > MOST_MM)).any()


@pytest.fixture(scope="module")
def grib(make_rain):
    handle = eccodes.codes_new_from_message(_tp(make_rain))
    try:
        values = eccodes.codes_get_values(handle)
        eccodes.codes_set(handle, "packingType", "grid_complex_spatial_differencing")
        eccodes.codes_set_values(handle, values)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def _tp(make_rain):
    """The one message of rain in a file of ECMWF, by its index."""
    data, index = layouts.ecmwf(DAY, {24: make_rain(0.25, 42.0, 5.0)}, unit="mm")
    first, last = PRODUCTS["ECMWF"].files(DAY, DAY)[0].record(index.decode())
    return data[first : last + 1]
