from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lswarn.demo import layouts
from lswarn.errors import AccessDenied, CorruptGranule, GridMismatch, SourceUnavailable
from lswarn.rain.inspect import describe
from lswarn.sections import RainLayout, RainSource

DAY = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def field(step, south, west):
    """30 × 30 cells of 2 mm, one of them wettest at 12 mm, one unknown."""
    axes = {"lat": np.round(south + step * np.arange(30), 4), "lon": np.round(west + step * np.arange(30), 4)}
    rain = xr.DataArray(np.full((30, 30), 2.0), axes, ("lat", "lon"))
    rain[10, 20], rain[3, 4] = 12.0, np.nan
    return rain


TENTHS = field(0.1, 42.05, 5.05)
GRIB = field(0.25, 42.0, 5.0)
FILES = {
    "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4": (
        lambda: layouts.imerg_daily(DAY, TENTHS),
        "IMERG-Late",
        "V07C",
        "UTC day",
        "mm",
        TENTHS,
    ),
    "3B-HHR-E.MS.MRG.3IMERG.20260131-S120000-E122959.0720.V07C.HDF5": (
        lambda: layouts.imerg_half_hour(NOON, TENTHS * 2),
        "IMERG-Early-30min",
        "V07C",
        "half hour 12:00 to 12:30 UTC",
        "mm/h",
        TENTHS,
    ),
    "3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif": (
        lambda: layouts.imerg_gis(TENTHS),
        "IMERG-Late-GIS",
        "V07C",
        "UTC day",
        "0.1 mm",
        TENTHS,
    ),
    "chirps-v3.0.rnl.2026.01.31.tif": (
        lambda: layouts.chirps(field(0.05, 42.025, 5.025)),
        "CHIRPS-rnl",
        "v3.0",
        "day",
        "mm",
        field(0.05, 42.025, 5.025),
    ),
    "gsmap_gauge.20260131.0.1d.daily.00Z-23Z.dat.gz": (
        lambda: layouts.gsmap(TENTHS),
        "GSMaP-gauge",
        "v8",
        "UTC day",
        "mm/h, mean of the day",
        TENTHS,
    ),
    "PRCP_CU_GAUGE_V1.0GLB_0.50deg.lnx.20260131.RT": (
        lambda: layouts.cpc(field(0.5, 42.25, 5.25)),
        "CPC-Unified",
        "V1.0",
        "gauge day",
        "0.1 mm",
        field(0.5, 42.25, 5.25),
    ),
    "era5_land.nc": (
        lambda: layouts.era5_land({DAY: field(0.1, 42.0, 5.0)}),
        "ERA5-Land",
        "v1",
        "UTC day",
        "m since 00 UTC",
        field(0.1, 42.0, 5.0),
    ),
    "gfs.t00z.pgrb2.0p25.f006": (
        lambda: layouts.gfs(DAY, {6: GRIB})[0],
        "GFS",
        "2026-01-31T00Z",
        "2026-01-31 00 to 2026-01-31 06 UTC",
        "kg m**-2",
        GRIB,
    ),
    "20260131000000-24h-oper-fc.grib2": (
        lambda: layouts.ecmwf(DAY, {24: GRIB})[0],
        "ECMWF",
        "2026-01-31T00Z",
        "2026-01-31 00 to 2026-02-01 00 UTC",
        "m",
        GRIB,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_product_is_recognised_and_told(tmp_path, name):
    make, product, version, period, unit, rain = FILES[name]
    (tmp_path / name).write_bytes(make())
    wettest = rain[10, 20]
    told = describe(tmp_path / name, at=(float(wettest["lat"]) + 0.01, float(wettest["lon"]) - 0.01))
    assert told | {"product": product, "version": version, "day": DAY, "period": period, "unit": unit} == told
    assert told["max_mm"] == pytest.approx(12, abs=0.05)
    assert told["max_at"] == told["at_cell"] == f"{float(wettest['lat']):g}, {float(wettest['lon']):g}"
    assert told["at_mm"] == pytest.approx(12, abs=0.05)
    assert 0 <= told["min_mm"] <= told["mean_mm"] <= told["max_mm"]
    assert 0 <= told["missing_share"] < 1
    assert len(told["sha256"]) == 64


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4", "IMERG-(run unknown)"),
        ("3B-HHR-E.MS.MRG.3IMERG.20260131-S120000-E122959.0720.V07C.HDF5", "IMERG-Early-30min"),  # its header says so
        ("3B-HHR-L.MS.MRG.3IMERG.20260131-S233000-E235959.1410.V07C.1day.tif", "IMERG (GeoTIFF of PPS)"),
        ("chirps-v3.0.rnl.2026.01.31.tif", "CHIRPS"),
        ("PRCP_CU_GAUGE_V1.0GLB_0.50deg.lnx.20260131.RT", "CPC-Unified"),
        ("gfs.t00z.pgrb2.0p25.f006", "GFS"),
    ],
)
def test_a_renamed_file_is_recognised_by_its_bytes(tmp_path, name, product):
    (tmp_path / "download").write_bytes(FILES[name][0]())
    assert describe(tmp_path / "download")["product"] == product


def test_a_hole_is_null_and_a_point_outside_is_refused(tmp_path):
    name = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"
    (tmp_path / name).write_bytes(FILES[name][0]())
    hole = describe(tmp_path / name, at=(42.35, 5.45 + 360))
    assert (hole["at_mm"], hole["at_cell"]) == (None, "42.35, 5.45")
    with pytest.raises(GridMismatch, match=r"lat 91 lies outside of -89\.95 to 89\.95"):
        describe(tmp_path / name, at=(91.0, 5.0))


def test_a_gis_file_of_other_hours_says_which(tmp_path):
    name = "3B-HHR-E.MS.MRG.3IMERG.20260131-S023000-E025959.0150.V07C.1day.tif"
    (tmp_path / name).write_bytes(layouts.imerg_gis(TENTHS))
    told = describe(tmp_path / name)
    assert (told["product"], told["day"], told["period"]) == (
        "IMERG-Early-GIS",
        None,
        "24 h to 2026-01-31 02:59:59 UTC",
    )


def test_every_total_of_a_forecast_file_is_told(tmp_path):
    (tmp_path / "f012").write_bytes(layouts.gfs(DAY, {6: GRIB, 12: GRIB})[0])
    assert describe(tmp_path / "f012")["totals"] == [
        "2026-01-31 06 to 2026-01-31 12 UTC",
        "2026-01-31 00 to 2026-01-31 12 UTC",
    ]


def test_a_declared_layout(tmp_path):
    path = tmp_path / "rr_20260201.nc"
    TENTHS.rename("rr").to_netcdf(path, engine="h5netcdf")
    source = RainSource(
        product="Agro",
        at="/x/rr_{year}{month}{day}.nc",
        latency_h=9,
        layout=RainLayout(variable="rr", unit="mm", ends_h=6),
    )
    told = describe(path, source=source)
    assert (told["product"], told["day"], told["unit"]) == ("Agro", DAY, "mm")
    assert told["period"] == "24 h to 6 UTC of 2026-02-01"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"<html><body>Earthdata Login</body></html>", "an HTML page, beginning 'Earthdata Login'"),
        (b'{"error": "no"}', "JSON, beginning"),
        (b"", "an empty file"),
        (b"\x00\x01\x02" * 99, "binary, 297 bytes"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5, damaged or cut short"),
        (b"II*\x00" + bytes(50), "damaged or cut short"),
    ],
)
def test_what_it_is_not_is_said_by_what_it_looks_like(tmp_path, data, fault):
    (tmp_path / "download").write_bytes(data)
    with pytest.raises(CorruptGranule, match=f"download: .*{fault}"):
        describe(tmp_path / "download")


def test_another_netcdf_is_told_by_its_variables(tmp_path):
    xr.Dataset({"wind": ("x", [1.0]), "gust": ("x", [2.0])}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(CorruptGranule, match=r"no file of a known product: HDF5 with .*wind, gust"):
        describe(tmp_path / "a.nc")


def test_no_such_file(tmp_path):
    with pytest.raises(SourceUnavailable, match="No such file"):
        describe(tmp_path / "a.nc")
    with pytest.raises(SourceUnavailable, match="is it a file"):
        describe(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made."""
    path = tmp_path / "a.nc"
    path.write_bytes(b"x")

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessDenied, match="may not be read"):
        describe(path)
