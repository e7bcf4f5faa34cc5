"""A day from critical rainfall: the same classes as from the model, and nothing read that the rain cannot change."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from lswarn.errors import CheckpointMismatch, NotPrimed
from lswarn.grid import Block, Grid, sample
from lswarn.hazard.assess import Assessment, assess, load_assessment
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import CriticalLayers
from lswarn.hazard.prime import prime
from lswarn.hazard.rasters import ClassTile, ClassTiles, ClassWriter, halve
from lswarn.hazard.recall import PrimedDay, load_probabilities
from lswarn.model.predict import Primed
from lswarn.rain.grade import Grade
from lswarn.rain.measures import SUM, WINDOW_DAYS
from lswarn.rain.window import RainDay, RainWindow, window_days
from lswarn.workers import Threads

GRID = Grid.from_bbox((-84.44, 36.10, -84.10, 36.35), "EPSG:32616", 30)  # three tiles by two, and some cells over
DAY = date(2026, 3, 9)
LON, LAT = np.arange(-84.65, -83.85, 0.1), np.arange(35.95, 36.6, 0.1)
QUIET = {"min_zone_m2": 0.0, "on_progress": lambda done, total: None}


class Hills:
    """Ten factors that are all a wavy ground, gentle in the west, and unknown in some corners and outside the grid."""

    grid = GRID
    digest = "hills"

    def read(self, block: Block) -> np.ndarray:
        rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width]
        steep = np.sin(rows / 37) * np.cos(cols / 23) + 6 * cols / GRID.width - 6
        steep[(cols > 1020) & (rows < 60)] = 3  # steep enough to slide without rain
        outside = (rows < 0) | (cols < 0) | (rows >= GRID.height) | (cols >= GRID.width)
        steep[outside | ((rows < 20) & (cols < 30)) | ((rows + cols) % 97 == 0)] = np.nan
        return np.repeat(steep[None].astype(np.float32), 10, axis=0)


class Slides:
    """A model that says: log-odds = steepness + 4 x rain / 300 mm, and no more beyond 300 mm."""

    model_id = "abc"
    measure = "sum"
    breaks = (0.02, 0.08, 0.25, 0.6)
    rain_max_mm = 300.0
    halo = 3
    rises = True

    def __init__(self) -> None:
        self.asked = 0

    def probability(self, factors: np.ndarray, rain: np.ndarray) -> np.ndarray:
        self.asked += 1
        return expit(factors[0] + 4 * np.minimum(rain, 300) / 300).astype(np.float32)

    def prime(self, factors: np.ndarray) -> Primed:
        ground, wanted = factors[0], logit(np.array(self.breaks))[:, None, None]
        critical = np.maximum((wanted - ground) / 4 * 300, 0)
        critical[critical > 300] = np.inf
        ends = (expit(ground + more).astype(np.float32) for more in (0, 4))
        return Primed(critical.astype(np.float32), *ends)


def window(total: np.ndarray, known: np.ndarray | int = WINDOW_DAYS, sha: str = "0") -> RainWindow:
    field = xr.DataArray(np.broadcast_to(total, (len(LAT), len(LON))).copy(), {"lat": LAT, "lon": LON}, ("lat", "lon"))
    days = tuple(
        RainDay(
            day,
            field / 7,
            "IMERG-Late",
            "V07C",
            f"http://one/{day}",
            f"{sha}{n}",
            None,
            datetime(2026, 3, 10, tzinfo=UTC),
        )
        for n, day in enumerate(window_days(DAY))
    )
    return RainWindow(DAY, SUM, field, xr.zeros_like(field) + known, days, (), Grade.A)


def storm(seed: int, most: float = 320.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, most, (len(LAT), len(LON)))


def two_areas() -> gpd.GeoDataFrame:
    left, bottom, right, top = GRID.bounds
    shapes = [
        shapely.box(left, bottom, left + 9000, top),
        shapely.Polygon([(left + 9000, bottom), (right, bottom), (right - 3000, top - 5000)]),
    ]
    return gpd.GeoDataFrame({"area_id": ["west", "wedge"]}, geometry=shapes, crs=GRID.crs).to_crs("EPSG:4326")


def primed(folder: Path) -> CriticalLayers:
    return prime("hills", Hills(), Slides(), folder, workers=Threads(2), on_progress=lambda done, total: None)


@pytest.fixture(scope="module")
def areas() -> gpd.GeoDataFrame:
    return two_areas()


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> CriticalLayers:
    return primed(tmp_path_factory.mktemp("critical"))


def assessed(folder, areas, model, rain: RainWindow, **options) -> Assessment:
    limit = xr.full_like(rain.total, 250.0)
    return assess("hills", rain, limit, Hills(), model, areas, folder, **(QUIET | options))


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def both(folder, areas, layers, rain):
    return assessed(folder, areas, layers, rain), assessed(folder, areas, Slides(), rain)


@pytest.mark.parametrize("most", [40.0, 320.0])
def test_the_layers_say_what_the_model_says(tmp_path, areas, layers, most):
    primed, full = both(tmp_path, areas, layers, window(storm(1, most)))
    assert primed.key != full.key
    one, other = read(primed.classes), read(full.classes)
    assert (one == other).mean() >= 0.9999
    assert len(np.unique(one)) >= 4
    if (one == other).all():
        assert primed.digests["classes.tif"] == full.digests["classes.tif"]
        assert primed.class_areas.equals(full.class_areas)
        assert primed.zones.geometry.equals(full.zones.geometry)
    assert primed.beyond_m2 == full.beyond_m2
    assert primed.probability is None


def test_rain_right_on_a_threshold_counts(tmp_path, areas, layers):
    tenths = layers.read(Class.HIGH, 0, 1)
    on = int(np.median(tenths[(tenths > 0) & (tenths < 3000)]))
    for mm in (np.float32(on / 10), np.nextafter(np.float32(on / 10), np.float32(0))):
        primed, full = both(tmp_path, areas, layers, window(np.float64(mm)))
        one, other = read(primed.classes), read(full.classes)
        assert (one == other).all()


def test_unknown_rain_and_lower_bounds_are_the_same_both_ways(tmp_path, areas, layers):
    total, known = storm(3), np.full((len(LAT), len(LON)), WINDOW_DAYS)
    total[2, 2] = np.nan
    known[2, 2] = 0
    known[3, 5] = WINDOW_DAYS - 1
    primed, full = both(tmp_path, areas, layers, window(total, known))
    one, other = read(primed.classes), read(full.classes)
    assert (one == other).mean() >= 0.9999
    assert ((one == Class.UNKNOWN) == (other == Class.UNKNOWN)).mean() >= 0.9999
    assert 0.1 < (one == Class.UNKNOWN).mean() < 0.9


def test_without_any_rain_known_all_is_unknown(tmp_path, areas, layers):
    found = assessed(tmp_path, areas, layers, window(np.nan))
    assert (read(found.classes) == Class.UNKNOWN).all()
    assert found.model_id == ""
    assert found.zones.empty
    assert set(found.class_areas["class"]) == {Class.UNKNOWN}


def test_a_dry_day_is_the_ground_without_rain_and_reads_no_layer(tmp_path, areas, layers, monkeypatch):
    assessed(tmp_path, areas, layers, window(0.1))  # areas are burnt once
    monkeypatch.setattr(CriticalLayers, "_read", lambda *_: pytest.fail("a layer was read"))
    dry = assessed(tmp_path, areas, layers, window(0.0))
    monkeypatch.undo()
    full = assessed(tmp_path, areas, Slides(), window(0.0))
    assert dry.digests["classes.tif"] == full.digests["classes.tif"]
    assert dry.classes.read_bytes() == (layers.folder / "dry.tif").read_bytes()
    assert dry.zones.geometry.equals(full.zones.geometry)
    assert len(dry.zones) > 0
    assert dry.zones.probability_mean.to_numpy() == pytest.approx(full.zones.probability_mean.to_numpy(), abs=1e-4)
    assert dry.class_areas.equals(full.class_areas)


def test_probabilities_of_zones_lie_in_their_class_and_near_the_models(tmp_path, areas, layers):
    primed, full = both(tmp_path, areas, layers, window(storm(5)))
    low, high = Slides.breaks[2:]
    for zones in (primed.zones, full.zones):
        warned = zones["class"] == Class.HIGH
        assert zones.probability_mean[warned].between(low - 1e-6, high + 1e-6).all()
        assert (zones.probability_mean[~warned] >= high - 1e-6).all()
    for each in (Class.HIGH, Class.VERY_HIGH):
        one, other = (z[z["class"] == each] for z in (primed.zones, full.zones))
        ours = np.average(one.probability_mean, weights=one.area_m2)
        assert ours == pytest.approx(np.average(other.probability_mean, weights=other.area_m2), abs=0.01)


def test_more_rain_than_the_model_has_seen_is_told(tmp_path, areas, layers):
    rain = window(storm(1, 600))
    found = assessed(tmp_path, areas, layers, rain)
    beyond = sample(rain.total, GRID, GRID.whole) > Slides.rain_max_mm
    assert found.beyond_m2 == beyond.sum() * GRID.cell_m2 > 0
    assert assessed(tmp_path, areas, layers, window(storm(1, 290))).beyond_m2 == 0
    capped = assessed(tmp_path, areas, layers, replace(rain, total=rain.total.clip(max=300)))
    assert (read(capped.classes) <= read(found.classes)).all()


def test_probabilities_of_a_primed_day_can_be_worked_out_later(tmp_path, areas, layers):
    day = window(storm(7))
    primed, full = both(tmp_path, areas, layers, day)
    source = PrimedDay(primed.rain_raster, primed.layers)
    slid = [shapely.Point(*(GRID.transform @ (700, 500))).buffer(2000)]
    ours, theirs = (
        np.hstack([np.stack([p, label]) for p, label, _ in load_probabilities(each, slid, [], day_number=1)])
        for each in (source, full.probability)
    )
    assert np.array_equal(ours[1], theirs[1])
    assert ours[1].any()
    assert np.abs(ours[0] - theirs[0]).max() < 0.004  # breaks lie on the curve; between them it is nearly straight
    classes = [np.digitize(each[0], Slides.breaks) for each in (ours, theirs)]
    assert (classes[0] == classes[1]).mean() > 0.999
    primed.rain_raster.unlink()
    with pytest.raises(FileNotFoundError, match=r"rain\.tif"):
        next(load_probabilities(source, slid, [], day_number=1))
    with pytest.raises(FileNotFoundError, match=r"layers\.json"):
        next(load_probabilities(PrimedDay(full.rain_raster, tmp_path), slid, [], day_number=1))


@settings(max_examples=2, deadline=None)
@given(st.integers(1, 10_000))
def test_however_the_work_is_shared_out_the_bytes_are_the_same(tmp_path_factory, areas, layers, seed):
    rain = window(storm(seed, seed % 300))
    found = [assessed(tmp_path_factory.mktemp("day"), areas, layers, rain, workers=Threads(count)) for count in (1, 3)]
    assert found[0].digests == found[1].digests
    assert found[0].zones.equals(found[1].zones)
    assert found[0].class_areas.equals(found[1].class_areas)


def test_layers_of_other_factors_are_refused(tmp_path, areas, layers):
    class Moved(Hills):
        digest = "moved"

    with pytest.raises(CheckpointMismatch, match="critical layers of other factors; run `lswarn prime`"):
        assess("hills", (rain := window(1.0)), rain.total, Moved(), layers, areas, tmp_path, **QUIET)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (513, 1), (1333, 2100), (700, 1024)])
def test_a_map_of_copied_tiles_has_the_bytes_of_one_made_anew(tmp_path, height, width):
    grid = replace(GRID, height=height, width=width)
    rng = np.random.default_rng(0)
    before = rng.integers(0, 6, grid.shape).astype(np.uint8)
    after = before.copy()
    after[: height // 3, width // 2 :] = 5
    paths = [tmp_path / name for name in ("before.tif", "anew.tif", "copied.tif")]
    for path, classes in ((paths[0], before), (paths[1], after)):
        writer = ClassWriter(path, grid)
        for tile in grid.blocks(512):
            writer.put(ClassTile.of(classes[tile.slices()]))
        writer.finish()
    base = ClassTiles(paths[0], "")
    writer = ClassWriter(paths[2], grid, base)
    for tile in grid.blocks(512):
        same = (before[tile.slices()] == after[tile.slices()]).all()
        at = tile.row // 512, tile.col // 512
        writer.put(base.packed(*at) if same else ClassTile.of(after[tile.slices()]))
    writer.finish()
    base.close()
    assert paths[1].read_bytes() == paths[2].read_bytes()
    with rasterio.open(paths[2]) as dataset:
        assert (dataset.read(1) == after).all()
        assert dataset.crs == rasterio.CRS.from_string(grid.crs)
        assert dataset.transform == grid.transform
        for level, _ in enumerate(dataset.overviews(1)):
            after = halve(after)
            with rasterio.open(paths[2], overview_level=level) as overview:
                assert (overview.read(1) == after).all()
    assert not list(tmp_path.glob("*.tif.*"))


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_an_overview_shows_the_commonest_class_and_of_equals_the_highest(four):
    count = np.bincount(four, minlength=6)
    assert halve(np.array(four, dtype=np.uint8).reshape(2, 2))[0, 0] == np.flatnonzero(count == count.max()).max()


def test_a_damaged_layer_is_refused_by_name(tmp_path, areas):
    layers = primed(tmp_path)
    for name, mm in (("dry.tif", 0.0), ("high.tif", 250.0)):
        path = layers.folder / name
        whole = path.read_bytes()
        assessed(tmp_path / "first", areas, layers, window(mm, sha=name))
        path.write_bytes(whole[:-400] + bytes(400))
        with pytest.raises(NotPrimed, match=rf"{name}: .*run `lswarn prime`"):
            assessed(tmp_path / "again", areas, layers, window(mm, sha=name))
        assert not list((tmp_path / "again" / DAY.isoformat()).iterdir())
        path.write_bytes(whole)


def test_what_is_kept_beside_the_layers_is_made_anew_where_it_is_damaged(tmp_path, areas):
    layers = primed(tmp_path)
    whole = assessed(tmp_path / "first", areas, layers, window(0.0))
    kept = [layers.folder / "zones_dry.npz", *layers.folder.glob("areas-*.npz")]
    assert len(kept) == 2
    for path in kept:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        again = assessed(tmp_path / path.name, areas, layers, window(0.0))
        assert again.digests == whole.digests
        assert again.class_areas.equals(whole.class_areas)
        assert again.zones.equals(whole.zones)
        assert path.read_bytes() == content


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_primed as world
layers, folder, dice = world.primed(Path(sys.argv[2])), Path(sys.argv[3]), random.Random(6)
def stormy(name):
    return world.assessed(folder / name, world.two_areas(), layers, world.window(world.storm(11)))
stormy("warm")
started = time.monotonic()
stormy("timed")
took = time.monotonic() - started
kills = ended = 0
while kills < 20:
    child = os.fork()
    if child == 0:
        try:
            stormy("killed")
        finally:
            os._exit(0)
    time.sleep(dice.uniform(0, took))
    os.kill(child, signal.SIGKILL)
    kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for done in (folder / "killed").glob("*/*/assessment.json"):
        done.parent.rename(folder / f"ended-{ended}")
        ended += 1
stormy("killed")
print(kills)
"""


def test_a_day_killed_at_any_moment_ends_with_the_same_bytes(tmp_path, areas, layers):
    expected = assessed(tmp_path / "whole", areas, layers, window(storm(11)))
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(Path(__file__).parent), str(layers.folder.parent)]
    done = subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) >= 20
    (again,) = (tmp_path / "killed").glob("*/*/assessment.json")
    for folder in (again.parent, *tmp_path.glob("ended-*")):
        found = load_assessment(folder)
        assert (folder / "assessment.json").read_bytes() == expected.classes.with_name("assessment.json").read_bytes()
        assert {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found.digests
        } == expected.digests
        assert found.zones.equals(expected.zones)
