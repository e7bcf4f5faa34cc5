"""A small made world: slopes that slide where they are steep and it rained much."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import torch
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from shapely import box

from lswarn.grid import Block, Grid
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.encoder import Encoding
from lswarn.model.networks import build
from lswarn.model.samples import Scene, Snapshot
from lswarn.model.train import train
from lswarn.sections import FACTORS, Model


@dataclass(frozen=True)
class Factors:
    """A factor reader over an array [10, height, width]."""

    grid: Grid
    values: NDArray[np.float32]
    digest: str = "made"

    def read(self, block: Block) -> NDArray[np.float32]:
        pad = max(0, -block.row, -block.col, block.row + block.height, block.col + block.width)
        padded = np.pad(self.values, ((0, 0), (pad, pad), (pad, pad)), constant_values=np.nan)
        rows, cols = Block(block.row + pad, block.col + pad, block.height, block.width).slices()
        return padded[:, rows, cols]

    def read_upslope(self, block: Block) -> NDArray[np.float32]:
        """The nearer to a river, the more land drains through a cell: 30 m to 3 km of it."""
        return 3000 / (1 + self.read(block)[FACTORS.index("river_distance")] / 12)


@dataclass(frozen=True)
class World:
    factors: Factors
    snapshot: Snapshot


def made_factors(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 9.0
    bumps = np.sin(x + rng.uniform(0, 6)) + np.cos(y + rng.uniform(0, 6))
    by_name = {
        "slope": 18 + 9 * bumps,
        "curvature": rng.normal(0, 0.01, bumps.shape),
        "aspect": rng.uniform(-20, 360, bumps.shape).clip(-1),
        "landform": rng.integers(1, 11, bumps.shape),
        "rock_type": 1 + (x > 5),
        "river_distance": 30 * rng.integers(0, 40, bumps.shape),
        "fault_distance": 3000 + 100 * x,
        "rainfall": 1200 + 10 * y,
        "temperature": 12 - y / 4,
        "seismic_intensity": np.full_like(x, 0.1),
    }
    return np.stack([by_name[name] for name in FACTORS]).astype(np.float32)


def field(value: float | NDArray) -> xr.DataArray:
    """A rain grid of 4 x 5 cells of 0.1 degree around the made grid."""
    lat, lon = 35.8 + 0.1 * np.arange(4), -84.3 + 0.1 * np.arange(5)
    values = np.broadcast_to(np.asarray(value, np.float32), (4, 5)).copy()
    return xr.DataArray(values, coords={"lat": lat, "lon": lon}, dims=("lat", "lon"))


def made_grid(height: int, width: int) -> Grid:
    return Grid("EPSG:32616", Affine(30, 0, 750_000, 0, -30, 3_990_000), height, width)


def made_world(height: int = 96, width: int = 130) -> World:
    grid, values = made_grid(height, width), made_factors(height, width)
    scenes = []
    for number, (rain, steepest) in enumerate(((150.0, 30.0), (300.0, 26.0), (5.0, 99.0))):
        cells = np.argwhere(values[0] > steepest)
        corners = [grid.transform @ (c, r) for r, c in cells]
        landslides = tuple(box(x, y - 30, x + 30, y) for x, y in corners)
        scenes.append(Scene(date(2024, 5, 1) + timedelta(days=9 * number), field(rain), field(120.0), landslides))
    return World(Factors(grid, values), Snapshot(grid.crs, tuple(scenes), "made", datetime(2025, 1, 1, tzinfo=UTC)))


SMALL = Model(network="unet", base_width=4, depth=1, steps=60, batch=4, crop=32)


@pytest.fixture(scope="session")
def world() -> World:
    return made_world()


@pytest.fixture(scope="session")
def small() -> Model:
    return SMALL


@pytest.fixture(scope="session")
def trained(world: World) -> Checkpoint:
    return train(SMALL, world.factors, world.snapshot, device="cpu")


@pytest.fixture(scope="session")
def joint(world: World) -> Checkpoint:
    """An ensemble of network, boosting and logistic regression."""
    config = SMALL.model_copy(update={"network": "ensemble", "steps": 30})
    return train(config, world.factors, world.snapshot, device="cpu")


@pytest.fixture(scope="session")
def fresh() -> Callable[..., Checkpoint]:
    """A checkpoint with random weights and running statistics that fit, of any network, depth and kind of rain."""

    def make(depth: int = 2, rain: str = "monotone", seed: int = 0, network: str = "unet") -> Checkpoint:
        config = Model(network=network, base_width=4, depth=depth, rain=rain)
        ground = made_factors(40, 48)
        encoding = Encoding.measured(ground.reshape(10, -1), np.array([0.0, 100.0, 400.0], np.float32))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            built = build(config, encoding).train()
            for name, tensor in built.state_dict().items():
                if name.endswith("bias"):
                    tensor.normal_()
            for module in built.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = None  # the statistics are those of one look: with others a network may be dead
            built(torch.from_numpy(ground[None]), torch.rand(1, 2, 40, 48) * 400)
        return Checkpoint(
            config, encoding, 20.0, (0.01, 0.02, 0.05, 0.1), "made", "snapshot", {"loss": 0.5}, built.state_dict()
        )

    return make


@pytest.fixture(scope="session")
def factors_of() -> Callable[..., NDArray[np.float32]]:
    return made_factors


@pytest.fixture(scope="session")
def world_of() -> Callable[..., World]:
    return made_world


@pytest.fixture(scope="session")
def field_of() -> Callable[..., xr.DataArray]:
    return field
