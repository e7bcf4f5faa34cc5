"""An inventory without days, with places that did not slide: from its files to a snapshot, and no rain anywhere."""

from datetime import UTC, date, datetime, timedelta

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from pydantic import SecretStr
from shapely import LineString, Point, box

from lswarn import groundwork, retraining
from lswarn.cascade import archive_of
from lswarn.db.assets import record_landslides
from lswarn.db.engine import open_database, transaction
from lswarn.errors import TrainingError
from lswarn.factors.stack import open_stack
from lswarn.grid import Grid
from lswarn.model.samples import Observed, load_snapshot
from lswarn.rain.archive import save_day
from lswarn.rain.window import RainDay
from lswarn.settings import Settings

BBOX, CRS = (-84.30, 36.20, -84.28, 36.215), "EPSG:32616"
NOW = datetime(2026, 3, 14, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path, fresh_database_url):
    return Settings(database_url=SecretStr(fresh_database_url), var_dir=tmp_path / "var")


@pytest.fixture
def region(make_region, tmp_path):
    """Hills with a grid of 25 known places, every other one a landslide; there is no rain."""
    grid = Grid.from_bbox(BBOX, CRS, 30).expanded(60)
    rows, cols = np.indices(grid.shape)
    dem = (600 + 60 * np.sin(rows / 9) * np.cos(cols / 11)).astype(np.float32)
    profile = {"height": grid.height, "width": grid.width, "count": 1, "dtype": "float32", "crs": CRS}
    with rasterio.open(tmp_path / "dem.tif", "w", driver="GTiff", transform=grid.transform, **profile) as raster:
        raster.write(dem, 1)
    files = {
        "roads": [LineString([BBOX[:2], BBOX[2:]])],
        "towns": [Point(-84.29, 36.21)],
        "areas": [box(*BBOX)],
    }
    for name, shapes in files.items():
        gpd.GeoDataFrame({"id": [1]}, geometry=shapes, crs=4326).to_file(tmp_path / f"{name}.gpkg")
    left, bottom, right, top = Grid.from_bbox(BBOX, CRS, 30).bounds
    x, y = np.meshgrid(np.linspace(left + 200, right - 200, 5), np.linspace(bottom + 200, top - 200, 5))
    places = [f"{a:.1f},{b:.1f},{n % 2 == 0}" for n, (a, b) in enumerate(zip(x.ravel(), y.ravel(), strict=True))]
    (tmp_path / "places.csv").write_text("\n".join(["x,y,slide", *places]))
    same = {"constant": 1.0}
    return make_region(
        bbox=BBOX,
        factors={
            "dem": {"file": tmp_path / "dem.tif"},
            **dict.fromkeys(("rock_type", "river_distance", "fault_distance", "rainfall", "seismic_intensity"), same),
            "temperature": {"derive": True},
        },
        assets={
            name: {"file": tmp_path / f"{file}.gpkg", "id": "id"}
            for name, file in (("roads", "roads"), ("settlements", "towns"), ("warning_areas", "areas"))
        },
        inventory={
            "file": tmp_path / "places.csv",
            "crs": CRS,
            "label": "slide",
            "point_radius_m": 5,
            "negatives": {"rule": "given"},
        },
        rain={"sources": [{"product": "IMERG-Late", "at": str(tmp_path)}], "threshold": THRESHOLD},
    )


THRESHOLD = {"constant_mm": 80.0, "source": "made for tests"}


@pytest.fixture
def built(region, settings):
    groundwork.build(region, settings, lambda name, share: None)
    groundwork.load_assets(region, settings)
    return region


def ruled(region, **rule):
    inventory = region.inventory.model_dump() | {"negatives": rule}
    return region.model_validate(region.model_dump() | {"inventory": inventory})


def test_it_needs_no_rain(built, settings, caplog):
    told = groundwork.load_landslides(built, settings, NOW.date())
    assert (told["events"], told["stable_places"], told["unchanged"]) == (13, 12, 25)
    assert told["known"] == {"teaching": 13, "stable_teaching": 12}

    taken = retraining.snapshot(built, settings, NOW)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert retraining.snapshot(built, settings, NOW) == taken
    snapshot = load_snapshot(taken)
    (scene,) = snapshot.scenes
    assert scene.day is None
    assert (len(scene.landslides), len(scene.stable)) == (13, 12)
    assert snapshot.negatives == built.inventory.negatives
    with open_stack(built, settings.region_dir(built.name) / "factors") as factors:
        cells = Observed(snapshot, factors.grid).at(factors.grid.whole, factors.read(factors.grid.whole), [0])
    assert (cells.rain == 80).all()  # the whole region lies inside the cells of the rain
    assert [int((cells.label == kind).sum()) for kind in (1, 0)] == [13, 12]


def test_other_ground_may_count_as_stable(built, settings):
    scene = load_snapshot(retraining.snapshot(ruled(built, rule="elsewhere"), settings, NOW)).scenes[0]
    assert len(scene.stable) == 12


def test_a_rule_that_lives_on_given_places_wants_some(built, settings):
    with transaction(open_database(settings), built) as conn:
        known = groundwork.load_inventory(built.inventory, bbox=built.bbox).events
        record_landslides(conn, built, known.assign(slid=True))
    with pytest.raises(TrainingError, match=r"no place is known that did not slide, and inventory\.negatives\.rule"):
        retraining.snapshot(built, settings, NOW)


def test_an_inventory_without_a_landslide_to_learn_from(built, settings):
    with transaction(open_database(settings), built) as conn:
        known = groundwork.load_inventory(built.inventory, bbox=built.bbox).events
        record_landslides(conn, built, known.assign(accuracy_m=5000.0))
    with pytest.raises(
        TrainingError, match=r"no landslide to learn from \(25 location worse than 100 m\); `lswarn inv"
    ):
        retraining.snapshot(built, settings, NOW)
    with pytest.raises(TrainingError, match=r"no landslide to learn from \(none is known\)"):
        retraining.snapshot(built.model_copy(update={"name": "nowhere"}), settings, NOW)


def archive(region, settings, first, days):
    """Rain of some days, 20 mm each, on cells of 0.1 degree around the region."""
    lon, lat = np.arange(-84.55, -84.0, 0.1), np.arange(35.95, 36.5, 0.1)
    mm = xr.DataArray(np.full((len(lat), len(lon)), 20.0, np.float32), {"lat": lat, "lon": lon}, ("lat", "lon"))
    for day in (first + timedelta(days=n) for n in range(days)):
        save_day(
            archive_of(region, settings), RainDay(day, mm, "IMERG-Late", "V07C", f"http://x/{day}", "0", None, NOW)
        )


def test_places_with_days_are_in_the_rain_of_their_day(built, settings):
    """A landslide and two places that held are of one day, a third place of another."""
    storm, calm = date(2024, 5, 1), date(2024, 6, 1)
    with transaction(open_database(settings), built) as conn:
        known = groundwork.load_inventory(built.inventory, bbox=built.bbox).events
        dated = known.assign(day=[storm, storm, None, storm, None, calm, *[None] * 19])  # every other one slid
        record_landslides(conn, built, dated)
    archive(built, settings, storm - timedelta(days=6), 7 + 31)
    scenes = load_snapshot(retraining.snapshot(built, settings, NOW)).scenes
    assert [(s.day, len(s.landslides), len(s.stable)) for s in scenes] == [(storm, 1, 2), (calm, 0, 1), (None, 12, 9)]
    assert (scenes[0].rain == 140).all()
    quiet = load_snapshot(retraining.snapshot(ruled(built, rule="elsewhere"), settings, NOW)).scenes
    assert [str(s.day) for s in quiet if not s.landslides and not s.stable] == [f"2024-05-{n:02}" for n in (8, 15, 22)]


def test_of_dated_landslides_the_rain_is_wanted(built, settings):
    with transaction(open_database(settings), built) as conn:
        known = groundwork.load_inventory(built.inventory, bbox=built.bbox).events
        record_landslides(conn, built, known.assign(day=date(2024, 5, 1)))
    with pytest.raises(TrainingError, match="no landslide with the rain of its seven days"):
        retraining.snapshot(built, settings, NOW)
