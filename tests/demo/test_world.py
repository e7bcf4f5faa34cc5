import json
from dataclasses import fields

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely import Point, box, union_all

from lswarn.demo import places, storms, truth
from lswarn.demo.world import BBOX, CRS, STAMP, make_land, make_world, warning_areas
from lswarn.factors.check import check
from lswarn.grid import Grid, sample
from lswarn.rain.measures import SUM
from lswarn.rain.thresholds import critical_rainfall
from lswarn.region import load_region

SEED = 7


@pytest.fixture
def folder(world):
    return world.region_toml.parent


@pytest.fixture(scope="module")
def grid(world):
    region = load_region(world.region_toml)
    return Grid.from_bbox(region.bbox, region.crs, region.resolution_m)


def read(folder, name):
    return gpd.read_file(folder / f"{name}.gpkg")


def test_region_toml_is_a_region_without_problems(world):
    region = load_region(world.region_toml)
    assert check(region) == []
    assert [(source.product, source.at) for source in (*region.rain.sources, *region.rain.forecasts)] == [
        ("IMERG-Late", "http://127.0.0.1:1/search/granules.json"),
        ("IMERG-Early-GIS", "http://127.0.0.1:2/text/imerg/gis/early/{year}/{month}/"),
        ("GFS", "http://127.0.0.1:3/gfs.{year}{month}{day}/00/atmos/"),
    ]
    assert [s.channel for s in region.subscribers] == ["email", "email", "webhook"]
    assert "Made" in region.made
    areas = set(read(world.region_toml.parent, "areas")["id"])
    assert {area for subscriber in region.subscribers for area in subscriber.areas} <= areas


def test_the_terrain_lies_where_it_is(folder, grid):
    with rasterio.open(folder / "dem.tif") as file:
        assert (file.height, file.width, file.transform) == (*grid.shape, grid.transform)
        assert np.isnan(file.nodata)
        dem = file.read(1)
        # Cross Mountain rises in the south-west; the valley at LaFollette lies low.
        to_metres = gpd.GeoSeries.from_xy([-84.245, -84.12], [36.21, 36.37], crs="EPSG:4326").to_crs(CRS)
        mountain, valley = (float(next(file.sample([(p.x, p.y)]))[0]) for p in to_metres)
    assert 230 < np.nanmin(dem) < np.nanmax(dem) < 1100
    assert 0 < np.isnan(dem).mean() < 0.1
    assert mountain > valley + 250


def test_rock_and_climate_cover_every_cell(folder, grid):
    whole = box(*grid.bounds)
    rock = read(folder, "rock")
    assert sorted(rock["code"]) == sorted(truth.ROCKS)
    assert rock.union_all().buffer(1).covers(whole)
    for name, low, high in (("normals", 1000, 2000), ("seismic", 0.02, 0.3)):
        with rasterio.open(folder / f"{name}.tif") as file:
            assert box(*file.bounds).covers(box(*BBOX).buffer(0.04))
            assert ((file.read(1) > low) & (file.read(1) < high)).all()


def test_towns_lie_at_their_real_places(folder):
    towns = read(folder, "towns").set_index("id")
    for town in places.TOWNS:
        outline = towns.geometry[town.id]
        centre = gpd.GeoSeries([Point(town.lon, town.lat)], crs="EPSG:4326").to_crs(towns.crs)[0]
        assert outline.buffer(100).contains(centre)
        assert outline.area / 1e6 == pytest.approx(town.km2, rel=0.1)
        assert towns.population[town.id] == town.population


def test_roads_join_the_towns_and_avoid_needless_climbs(folder):
    roads, towns = read(folder, "roads"), read(folder, "towns")
    assert roads["id"].is_unique
    assert roads.geometry.is_valid.all()
    for town in towns.geometry:
        assert roads.intersects(town).sum() >= 2
    assert roads.length.between(1000, 15_000).all()


def test_areas_cover_the_box_once():
    areas = list(warning_areas().geometry)
    assert len(areas) == len(places.AREAS) == 6
    assert sum(area.area for area in areas) == pytest.approx(box(*BBOX).area, rel=1e-9)
    assert union_all(areas).area == pytest.approx(box(*BBOX).area, rel=1e-9)


def test_critical_rainfall_is_known_at_every_rain_cell_in_use(world):
    like = storms.daily_rain(storms.DAYS[0], SEED).sel(lat=slice(35.9, 36.7), lon=slice(-84.7, -83.8))
    threshold = load_region(world.region_toml).rain.threshold
    critical = critical_rainfall(threshold, like, product="IMERG-Late", measure=SUM)
    assert set(np.unique(critical)) == set(places.CRITICAL_MM)


def test_landslides_lie_where_and_when_the_truth_lets_them(folder, grid):
    inventory = read(folder, "inventory")
    inventory["date"] = inventory["date"].astype(str).str[:10]
    assert inventory["id"].is_unique
    assert set(inventory["date"]) <= {day.isoformat() for day in storms.TRAINING_DAYS}
    per_week = inventory.groupby("date").size()
    assert per_week["2025-02-18"] > 5 * per_week.get("2024-10-08", 0)  # the wettest week and the driest

    land = make_land(grid, SEED)
    rain = sample(storms.weekly_rain(storms.TRAINING_DAYS[-1], SEED), grid, grid.whole)
    likely = truth.failure_probability(land.ground, rain)
    centres = inventory[inventory["date"] == storms.TRAINING_DAYS[-1].isoformat()].representative_point()
    cols, rows = ~grid.transform @ (centres.x.to_numpy(), centres.y.to_numpy())
    assert likely[rows.astype(int), cols.astype(int)].mean() > 5 * np.nanmean(likely)


def test_a_second_start_reuses_the_world_and_only_rewrites_addresses(world, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    resolution_m = json.loads((folder / STAMP).read_text())["resolution_m"]
    rain = places.Addresses("http://127.0.0.1:9", "http://127.0.0.1:10", "http://127.0.0.1:11")
    again = make_world(folder, rain=rain, webhook_url="http://127.0.0.1:8/hook", resolution_m=resolution_m)
    assert all(getattr(again, f.name) == getattr(world, f.name) for f in fields(world))
    changed = {path.name for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert changed == {"region.toml"}
    region = load_region(again.region_toml)
    assert region.rain.sources[0].at == "http://127.0.0.1:9/search/granules.json"
    assert region.rain.sources[1].at == "http://127.0.0.1:10/text/imerg/gis/early/{year}/{month}/"
    assert region.subscribers[2].address == "http://127.0.0.1:8/hook"


def test_the_same_seed_makes_the_same_land_and_another_does_not(grid):
    one, same, other = (make_land(grid, seed) for seed in (SEED, SEED, 8))
    for field in fields(one.ground):
        np.testing.assert_array_equal(getattr(one.ground, field.name), getattr(same.ground, field.name))
    np.testing.assert_array_equal(one.rock, same.rock)
    np.testing.assert_array_equal(one.dem, other.dem)
    assert (one.rock != other.rock).any()


def test_a_half_written_world_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr("lswarn.demo.world.save_granules", lambda root, seed: None)  # of no matter here, and slow
    rain = places.Addresses("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    (tmp_path / "towns.gpkg").write_bytes(b"half a file")
    (tmp_path / STAMP).write_text(json.dumps({"code": "of another version", "seed": SEED, "resolution_m": 360.0}))
    make_world(tmp_path, rain=rain, webhook_url="http://127.0.0.1:4/hook", resolution_m=360.0)
    assert len(read(tmp_path, "towns")) == len(places.TOWNS)
    assert json.loads((tmp_path / STAMP).read_text())["code"] != "of another version"
