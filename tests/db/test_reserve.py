"""From critical layers to the question how much more rain a road can take: as the day's classes have it."""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from pyproj import Transformer
from sqlalchemy import text

from lswarn import reserve
from lswarn.db.assets import record_assets_digest
from lswarn.db.critical import find_pressed, record_rain
from lswarn.db.engine import transaction
from lswarn.grid import Grid, sample
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import NEVER, TILE_CELLS, UNKNOWN, rain_tenths
from lswarn.hazard.rasters import save_rain
from lswarn.settings import Settings

X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))
GRID = Grid("EPSG:32616", Affine(25, 0, X - 4500, 0, -25, Y + 2500), 200, 360)


@dataclass(frozen=True)
class Layers:
    """Critical layers in memory."""

    very_high: np.ndarray
    key: str = "layers-1"
    model_id: str = "net"
    measure: str = "sum"
    rain_max_mm: float = 300.0
    grid: Grid = GRID

    def read(self, layer, row, col):
        lower = np.where(self.very_high < NEVER, self.very_high // 2, self.very_high)
        values = self.very_high if layer is Class.VERY_HIGH else lower.astype(np.uint16)
        return values[row * TILE_CELLS :, col * TILE_CELLS :][:TILE_CELLS, :TILE_CELLS]


@pytest.fixture
def layers():
    ground = np.random.default_rng(2).integers(800, 2900, GRID.shape).astype(np.uint16)
    ground[:, :20], ground[:20] = UNKNOWN, NEVER
    return Layers(ground)


@pytest.fixture
def built(world, fresh_engine, fresh_database_url, tmp_path):
    with transaction(fresh_engine, world.region) as conn:
        world.record(conn)
        record_assets_digest(conn, world.region)
    return Settings(database_url=fresh_database_url, var_dir=tmp_path)


def test_looked_up_once_and_again_when_something_changes(world, built, fresh_engine, layers):
    first = reserve.look_up(world.region, built, layers)
    assert first > 0
    assert reserve.look_up(world.region, built, layers) == 0
    assert reserve.look_up(world.region, built, Layers(layers.very_high, key="layers-2")) == first
    with transaction(fresh_engine) as conn:
        conn.execute(text("UPDATE lswarn.road SET retired_at = now() WHERE source_id = 'r2'"))
        record_assets_digest(conn, world.region)
    assert 0 < reserve.look_up(world.region, built, Layers(layers.very_high, key="layers-2")) < first


def test_reached_where_the_map_of_the_day_says_so(world, built, fresh_engine, layers, tmp_path):
    reserve.look_up(world.region, built, layers)
    random = np.random.default_rng(4)
    axes = {"lat": np.linspace(36.05, 36.45, 5), "lon": np.linspace(-84.45, -84.05, 5)}
    for number in range(4):
        mm = random.uniform(0, [20, 90, 150, 280][number], (5, 5)).astype(np.float32)
        window = xr.DataArray(mm, axes, ("lat", "lon"))
        save_rain(tmp_path / "rain.tif", window)
        rain = rain_tenths(sample(window, GRID, GRID.whole), layers.rain_max_mm)
        with transaction(fresh_engine, world.region) as conn:
            run_id = world.publish(conn, key=f"k{number}").run_id
            record_rain(conn, run_id, tmp_path / "rain.tif")
            areas = {each.source_id: each for each in find_pressed(conn, world.region, kinds=("warning_area",))}
        # The area in the west is the cells between 20 and 180 columns from the left and 20 rows from top and bottom.
        cells = np.s_[19:181, 20:181]
        critical, fallen = layers.very_high[cells].astype(int), rain[cells].astype(int)
        reached = ((critical < NEVER) & (fallen >= critical)).any()
        assert (areas["west"].status == "reached") == reached
        if not reached:
            missing = (critical - fallen)[critical < NEVER].min() / 10
            # The least of each square is asked, not every cell: it is at most as far off as rain differs in a square.
            assert missing <= areas["west"].to_go_mm <= missing + 15


def test_a_shape_on_unknown_ground_only(world, built, fresh_engine, layers):
    nothing = Layers(np.full(GRID.shape, UNKNOWN, np.uint16))
    reserve.look_up(world.region, built, nothing)
    with transaction(fresh_engine) as conn:
        found = conn.execute(text("SELECT DISTINCT critical_mm, ground_unknown FROM lswarn.asset_critical")).all()
    assert found == [(None, True)]
