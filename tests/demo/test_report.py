import base64
import io
import re
from dataclasses import replace
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from PIL import Image
from shapely import LineString, box

from lswarn.alerts.policy import Kind, Level
from lswarn.demo.report import LEVEL_COLOURS, ReportDay, ReportMessage, write_report
from lswarn.rain.window import Grade

FIRST = date(2026, 3, 14)
CRS = "EPSG:32616"
X, Y = 750_000, 4_010_000


@pytest.fixture
def land(tmp_path):
    """30 × 20 cells of 100 m; one area, road and town."""
    profile = {"driver": "GTiff", "count": 1, "height": 30, "width": 20, "crs": CRS}
    profile |= {"transform": rasterio.Affine(100, 0, X, 0, -100, Y + 3000)}
    dem = np.add.outer(np.arange(30.0), np.arange(20.0)).astype(np.float32)
    dem[:, :2] = np.nan
    with rasterio.open(tmp_path / "dem.tif", "w", dtype="float32", nodata=np.nan, **profile) as file:
        file.write(dem, 1)
    classes = np.ones((30, 20), np.uint8)
    classes[:, :2], classes[10:14, 8:12] = 0, 5
    with rasterio.open(tmp_path / "classes.tif", "w", dtype="uint8", nodata=0, **profile) as file:
        file.write(classes, 1)

    def features(geometry, **columns):
        return gpd.GeoDataFrame({name: [value] for name, value in columns.items()}, geometry=[geometry], crs=CRS)

    return {
        "dem": tmp_path / "dem.tif",
        "areas": features(box(X, Y, X + 2000, Y + 3000), id="a", name="<Elk> & Valley"),
        "roads": features(LineString([(X, Y + 1800), (X + 2000, Y + 1800)])),
        "settlements": features(box(X + 300, Y + 300, X + 900, Y + 900), name="Town"),
    }


def report_day(tmp_path, number, *, mm=150.0, zones=True, grade=Grade.A, level=Level.RED, note=""):
    lats, lons = [36.05, 36.15, 36.25, 36.35], [-84.35, -84.25, -84.15]
    rain = xr.DataArray(np.full((4, 3), mm), {"lat": lats, "lon": lons}, ("lat", "lon"))
    critical = rain.copy(data=np.tile([100.0, 150.0, 200.0], (4, 1)))
    zone = box(X + 800, Y + 1600, X + 1200, Y + 2000)
    found = gpd.GeoDataFrame({"class": [5]}, geometry=[zone], crs=CRS).to_crs("EPSG:4326")
    above = gpd.GeoDataFrame(geometry=[box(-84.4, 36.2, -84.3, 36.3)], crs="EPSG:4326")
    return ReportDay(
        FIRST + timedelta(days=number), grade, tmp_path / "classes.tif", rain, critical,
        found if zones else found.iloc[:0], above if zones else above.iloc[:0], {"a": level}, 0.4, 3, note,
    )  # fmt: skip


def write(tmp_path, land, days, messages=()):
    path = tmp_path / "report.html"
    write_report(path, title="A <b>region</b>", made="All & everything", days=days, messages=messages, **land)
    return path.read_text("utf-8")


def pictures(page):
    found = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def test_the_page_tells_days_levels_and_messages(tmp_path, land):
    days = [report_day(tmp_path, 0), report_day(tmp_path, 1, level=Level.NONE, note="a file came late")]
    said = [
        ReportMessage(FIRST, "a", Kind.OPEN, Level.RED, "Red: <script>alert(1)</script>"),
        ReportMessage(FIRST, None, Kind.DATA_MISSING, Level.NONE, "rain is missing"),
    ]
    page = write(tmp_path, land, days, said)
    assert "All &amp; everything" in page
    assert "&lt;Elk&gt; &amp; Valley: open" in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<b>region" not in page
    assert "a file came late" in page
    assert "data missing" in page
    assert page.count(f'background: {LEVEL_COLOURS[Level.RED]}; color: #fff">open') == 2
    assert page.count("No alert is open") == 1
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_each_day_has_a_picture_with_its_zone_and_alert(tmp_path, land):
    red, calm = pictures(
        write(tmp_path, land, [report_day(tmp_path, 0), report_day(tmp_path, 1, level=Level.NONE, zones=False)])
    )
    assert red.shape == calm.shape

    def share(picture, colour):
        return (np.abs(picture.astype(int) - colour).max(axis=2) < 24).mean()

    assert share(red, (192, 24, 43)) > 0.005 > share(calm, (192, 24, 43))  # the border of a red area
    assert share(red, (0, 87, 231)) > share(calm, (0, 87, 231))  # road in the zone


def test_a_day_of_unknown_rain_can_be_drawn(tmp_path, land):
    page = write(tmp_path, land, [report_day(tmp_path, 0, mm=np.nan, zones=False, grade=Grade.E)])
    assert "unknown</td>" in page
    assert len(pictures(page)) == 1


def test_without_messages_it_says_so(tmp_path, land):
    assert "no alert was opened" in write(tmp_path, land, [report_day(tmp_path, 0, level=Level.NONE)])


def test_a_sliver_of_an_area_is_no_fault(tmp_path, land):
    sliver = gpd.GeoDataFrame({"id": ["s"], "name": ["Elsewhere"]}, geometry=[box(X, Y, X + 1, Y + 3000)], crs=CRS)
    land["areas"] = pd.concat([land["areas"], sliver], ignore_index=True)
    assert "Elsewhere" in write(tmp_path, land, [replace(report_day(tmp_path, 0), levels={"s": Level.RED})])


def test_how_much_rain_it_takes_is_drawn(tmp_path, land):
    tenths = np.full((30, 20), 650, np.uint16)
    tenths[:10], tenths[10:20, :10] = 65534, 65535
    with rasterio.open(tmp_path / "classes.tif") as like:
        profile = like.profile | {"dtype": "uint16", "nodata": None}
    with rasterio.open(tmp_path / "very_high.tif", "w", **profile) as file:
        file.write(tenths, 1)
    path = tmp_path / "report.html"
    days = [report_day(tmp_path, 0)]
    write_report(path, title="T", made="", days=days, messages=(), critical=tmp_path / "very_high.tif", **land)
    page = path.read_text("utf-8")
    assert "How much rain it takes" in page
    drawn, _ = pictures(page)

    def share(colour):
        return (np.abs(drawn.astype(int) - colour).max(axis=2) < 30).mean()

    assert share((168, 50, 63)) > 0.2  # 65 mm
    assert share((232, 239, 233)) > 0.1  # never
    assert "How much rain" not in write(tmp_path, land, days)
