import os
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr

from lswarn.errors import CheckpointMismatch
from lswarn.grid import BLOCK_CELLS, Block, Grid, sample
from lswarn.hazard.assess import Assessment, assess, load_assessment
from lswarn.hazard.classes import Class
from lswarn.rain.grade import Grade
from lswarn.rain.measures import ARI, SUM, WINDOW_DAYS
from lswarn.rain.window import RainDay, RainWindow, window_days

BBOX = (-84.41, 36.16, -84.16, 36.30)
GRID = Grid.from_bbox(BBOX, "EPSG:32616", 30)  # wider than a block, and no multiple of one
DAY = date(2026, 3, 9)


class Slopes:
    """Ten factors that are all the distance from the west edge, unknown in a corner and outside the grid."""

    grid = GRID
    digest = "slopes"

    def read(self, block: Block) -> np.ndarray:
        rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width]
        values = (cols / GRID.width).astype(np.float32)
        outside = (rows < 0) | (cols < 0) | (rows >= GRID.height) | (cols >= GRID.width)
        values[outside | ((rows < 20) & (cols < 30))] = np.nan
        return np.repeat(values[None], 10, axis=0)


class RainTimesSlope:
    """A network with a halo: rain / 400 × the factor."""

    model_id = "abc"
    measure = "sum"
    breaks = (0.1, 0.2, 0.4, 0.6)
    rain_max_mm = 1000.0
    halo = 8

    def __init__(self) -> None:
        self.asked = 0

    def probability(self, factors: np.ndarray, rain: np.ndarray) -> np.ndarray:
        self.asked += 1
        return np.clip(rain / 400 * factors[0], 0, 1).astype(np.float32)


def window(mm: float = 300.0, grade: Grade = Grade.A, sha: str = "0") -> RainWindow:
    lon, lat = np.arange(-84.65, -83.9, 0.1), np.arange(35.95, 36.6, 0.1)
    total = xr.DataArray(np.full((len(lat), len(lon)), mm), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    product, fetched_at = "IMERG-Late", datetime(2026, 3, 10, tzinfo=UTC)
    days = tuple(
        RainDay(day, total / 7, product, "V07C", f"http://one/{day}", f"{sha}{n}", None, fetched_at)
        for n, day in enumerate(window_days(DAY))
    )
    missing = {Grade.D: 1, Grade.E: 2}.get(grade, 0)
    known = xr.full_like(total, WINDOW_DAYS - missing)
    return RainWindow(DAY, SUM, total, known, days[missing:], tuple(d.day for d in days[:missing]), grade)


def outlook(lead_days: int = 2) -> RainWindow:
    """The last days are forecast."""
    seen = window()
    days = tuple(
        replace(day, product="GFS", version="2026-03-08T00Z") if day.day > DAY - timedelta(days=lead_days) else day
        for day in seen.days
    )
    return replace(seen, days=days, grade=Grade.E, lead_days=lead_days)


def critical(like: xr.DataArray, mm: float = 250.0) -> xr.DataArray:
    return xr.full_like(like, mm)


@pytest.fixture
def areas() -> gpd.GeoDataFrame:
    left, bottom, right, top = GRID.bounds
    middle = (left + right) / 2
    return gpd.GeoDataFrame(
        {"area_id": ["west", "east"]},
        geometry=[shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)],
        crs=GRID.crs,
    ).to_crs("EPSG:4326")


def assessed(folder, areas, rain=None, network=None, min_zone_m2=0.0, **options) -> Assessment:
    rain = rain or window()
    return assess(
        "hills",
        rain,
        critical(rain.total),
        Slopes(),
        network or RainTimesSlope(),
        areas,
        folder,
        min_zone_m2=min_zone_m2,
        on_progress=lambda done, total: None,
        **options,
    )


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_every_cell_is_classed_across_blocks_and_edges(tmp_path, areas):
    assert GRID.width > BLOCK_CELLS
    found = assessed(tmp_path, areas)
    classes = read(found.classes)
    factor = Slopes().read(GRID.whole)[0]
    expected = (np.digitize(300 / 400 * factor, RainTimesSlope.breaks) + 1).astype(np.uint8)
    expected[np.isnan(factor)] = Class.UNKNOWN
    # Bilinear rain is constant here but for rounding; only cells on a break may differ.
    assert (classes != expected).mean() < 0.003
    assert ((classes == Class.UNKNOWN) == np.isnan(factor)).all()


def test_smaller_blocks_say_the_same(tmp_path, areas):
    whole, network = assessed(tmp_path / "512", areas), RainTimesSlope()
    parts = assessed(tmp_path / "192", areas, network=network, block_cells=192)
    assert network.asked > 4
    assert parts.digests == whole.digests
    assert parts.zones.area_m2.sum() == pytest.approx(whole.zones.area_m2.sum())
    assert parts.class_areas.equals(whole.class_areas)


def test_rasters_are_cogs_with_overviews(tmp_path, areas):
    found = assessed(tmp_path, areas)
    for path in (found.classes, found.probability):
        with rasterio.open(path) as dataset:
            assert dataset.profile["tiled"]
            assert dataset.overviews(1)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(found.classes) as dataset:
        assert dataset.nodata is None  # unknown is a class that shows, not a hole in the map
        assert dataset.colormap(1)[Class.VERY_HIGH] == (0x72, 0x0D, 0x3D, 255)


def test_probability_is_kept_to_its_step_and_unknown_is_nodata(tmp_path, areas):
    found = assessed(tmp_path, areas)
    with rasterio.open(found.probability) as dataset:
        kept = dataset.read(1, masked=True) * dataset.scales[0]
    factor = Slopes().read(GRID.whole)[0]
    assert np.ma.allclose(kept, 300 / 400 * factor, atol=2e-5)
    assert (kept.mask == np.isnan(factor)).all()


def test_zones_exceedances_and_areas_agree_with_the_raster(tmp_path, areas):
    found = assessed(tmp_path, areas)
    classes = read(found.classes)
    by_class = found.zones.groupby("class")["area_m2"].sum()
    for warned in (Class.HIGH, Class.VERY_HIGH):
        assert by_class[warned] == (classes == warned).sum() * GRID.cell_m2
    assert (found.exceedances.safety_factor == 250 / 300).all()
    assert found.class_areas["area_m2"].sum() == pytest.approx(classes.size * GRID.cell_m2, rel=0.01)
    assert set(found.class_areas["area_id"]) == {"west", "east"}
    assert found.class_areas.query("area_id == 'west'")["class"].max() < Class.VERY_HIGH


def test_the_same_inputs_are_read_back_and_no_network_is_asked(tmp_path, areas):
    first, network = assessed(tmp_path, areas), RainTimesSlope()
    again = assessed(tmp_path, areas, network=network)
    assert network.asked == 0
    assert again.key == first.key
    assert again.digests == first.digests
    assert again.zones.equals(first.zones)
    assert load_assessment(first.classes.parent).area_rain.equals(first.area_rain)


def test_the_key_follows_the_rain_not_its_address(tmp_path, areas):
    first = assessed(tmp_path, areas)
    moved = window()
    moved = replace(moved, days=tuple(replace(day, uri="http://other/") for day in moved.days))
    assert assessed(tmp_path, areas, moved).key == first.key
    assert assessed(tmp_path, areas, window(sha="1")).key != first.key
    assert assessed(tmp_path, areas, min_zone_m2=1e5).key != first.key
    assert assessed(tmp_path, areas, simplify_m=60.0).key != first.key
    assert assessed(tmp_path, areas.iloc[:1]).key != first.key


def test_a_lower_bound_knows_only_what_is_high(tmp_path, areas):
    found = assessed(tmp_path, areas, window(grade=Grade.D))
    classes = read(found.classes)
    assert set(np.unique(classes)) == {Class.UNKNOWN, Class.HIGH, Class.VERY_HIGH}
    assert found.exceedances.lower_bound.all()
    assert not found.complete_areas


def test_without_rain_all_is_unknown_and_no_network_is_asked(tmp_path, areas):
    network = RainTimesSlope()
    rain = window(grade=Grade.E)
    found = assessed(tmp_path, areas, replace(rain, total=rain.total * np.nan), network)
    classes = read(found.classes)
    assert (classes == Class.UNKNOWN).all()
    assert network.asked == 0
    assert found.model_id == ""
    assert found.zones.empty
    assert found.exceedances.empty
    assert found.area_rain["rain_mm"].isna().all()


def test_an_area_with_a_gap_in_its_rain_is_not_complete(tmp_path, areas):
    rain = window()
    rain.total[{"lon": 2, "lat": 3}] = np.nan
    rain.known_days[{"lon": 2, "lat": 3}] = 0
    found = assessed(tmp_path, areas, rain)
    assert found.complete_areas == {"east"}
    classes = read(found.classes)
    assert (classes == Class.UNKNOWN).mean() > 0.1
    assert found.model_id == "abc"


def test_a_hole_in_one_day_is_a_lower_bound_there_alone(tmp_path, areas):
    whole = assessed(tmp_path, areas)
    rain = window()
    rain.known_days[{"lon": 2, "lat": 3}] = WINDOW_DAYS - 1
    found = assessed(tmp_path, areas, rain)
    assert found.key != whole.key
    assert found.complete_areas == {"east"}
    assert found.area_rain.set_index("area_id")["lower_bound"].to_dict() == {"west": True, "east": False}
    one, other = read(whole.classes), read(found.classes)
    near = sample(rain.lower_bound.astype(float), GRID, GRID.whole) > 0
    assert (other[~near] == one[~near]).all()
    assert (other[near & (one >= Class.HIGH)] == one[near & (one >= Class.HIGH)]).all()
    assert (other[near & (one < Class.HIGH)] == Class.UNKNOWN).all()
    assert 0.1 < near.mean() < 0.9


def test_an_outlook_asks_the_model_and_nothing_follows_from_what_it_does_not_find(tmp_path, areas):
    found = assessed(tmp_path, areas, outlook(2))
    assert (found.grade, found.lead_days, found.observed_to) == (Grade.E, 2, DAY - timedelta(days=2))
    assert found.model_id == "abc"
    assert (read(found.classes) == read(assessed(tmp_path, areas).classes)).all()
    assert not found.complete_areas
    assert found.area_rain["forecast_mm"].tolist() == pytest.approx([300 / 7 * 2] * 2)
    assert load_assessment(found.classes.parent).lead_days == 2


def test_a_model_of_another_measure_is_not_asked(tmp_path, areas):
    with pytest.raises(CheckpointMismatch, match="abc was trained on rain measure 'sum', region hills says 'ari'"):
        assessed(tmp_path, areas, replace(window(), measure=ARI))
    assert not list(tmp_path.iterdir())


def test_the_source_of_a_threshold_is_part_of_the_result(tmp_path, areas):
    rain = window()
    keys = set()
    for source in ("one", "two"):
        limit = critical(rain.total).assign_coords(source=(("lat", "lon"), np.full(rain.total.shape, source)))
        found = assess(
            "hills",
            rain,
            limit,
            Slopes(),
            RainTimesSlope(),
            areas,
            tmp_path,
            min_zone_m2=0,
            on_progress=lambda done, total: None,
        )
        assert found.area_rain["critical_source"].tolist() == [source] * 2
        keys.add(found.key)
    assert len(keys) == 2


def test_a_killed_run_leaves_nothing_that_counts(tmp_path, areas):
    class Dies(RainTimesSlope):
        def probability(self, factors, rain):
            if self.asked == 1:
                raise KeyboardInterrupt
            return super().probability(factors, rain)

    with pytest.raises(KeyboardInterrupt):
        assessed(tmp_path, areas, network=Dies())
    assert not list((tmp_path / DAY.isoformat()).iterdir())
    assert assessed(tmp_path, areas).zones.shape[0] > 0


def test_what_a_killed_run_left_is_swept_and_a_rivals_draft_is_not(tmp_path, areas):
    day = tmp_path / DAY.isoformat()
    for name, age_s in (("dead", 90_000), ("rival", 60)):
        (day / f".draft-{name}").mkdir(parents=True)
        os.utime(day / f".draft-{name}", (time.time() - age_s,) * 2)
    assessed(tmp_path, areas)
    assert [path.name for path in day.glob(".draft-*")] == [".draft-rival"]


def test_the_day_is_the_windows(tmp_path, areas):
    found = assessed(tmp_path, areas)
    assert found.day == DAY
    assert [d["day"] for d in found.rain] == [(DAY - timedelta(days=n)).isoformat() for n in range(6, -1, -1)]
