"""The model of the made country, which learns in seconds on a small piece of it, and the storm that suits it.

Apart from `made.py`, so that a day that needs no network loads none.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import made
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.special import expit, logit
from shapely.geometry import shape

from lswarn.demo import truth
from lswarn.factors.stack import FactorStack, build_stack
from lswarn.grid import Block, sample
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.predict import Predictor
from lswarn.model.samples import Scene, Snapshot
from lswarn.model.train import train
from lswarn.region import Region
from lswarn.sections import FACTORS

SCHOOL_CELLS = 512
SCHOOL_RAIN_MM = (30.0, 80.0, 140.0, 200.0, 260.0, 340.0)
SAMPLES, SAMPLE_CELLS = 24, 128
"""Pieces of ground that the storm is tuned by, and their side."""
RAIN_WEIGHT = 4.0
"""What 100 mm add to the log-odds of the logistic regression, which is half of the blend."""
MOST, FIRST_MM = 0.8, 1.0
"""Of the most rain that the model has seen, so much falls in the middle of a storm; and by how much its edge rains."""


def make_model(folder: Path) -> Checkpoint:
    """Train a blend, the default kind, on a small piece of the country, where the demo's hidden truth lets it slide."""
    region = made.region_of(folder, SCHOOL_CELLS)
    made.make_ground(region, folder)
    factors = build_stack(region, folder / "factors", on_progress=lambda name, share: None)
    grid, rng = factors.grid, np.random.default_rng(made.SEED)
    ground = factors.read(grid.whole)
    rock = np.nan_to_num(ground[FACTORS.index("rock_type")]).astype(np.uint8)
    soil = truth.make_ground(made.Heights(grid)(grid.whole), grid.transform, rock, rng)
    scenes = []
    for number, most_mm in enumerate(SCHOOL_RAIN_MM):
        rain = made.field(region, most_mm * (0.4 + 0.6 * made.ranks(region, made.SEED + number)))
        patches = truth.landslides(truth.failure_probability(soil, sample(rain, grid, grid.whole)), rng)
        slid = [shape(each) for each, _ in shapes(patches, patches > 0, connectivity=4, transform=grid.transform)]
        day = made.FIRST_DAY - timedelta(days=14 * (len(SCHOOL_RAIN_MM) - number))
        scenes.append(Scene(day, rain, xr.full_like(rain, 150.0), tuple(slid)))
    snapshot = Snapshot(grid.crs, tuple(scenes), factors.digest, datetime.now(UTC))
    return train(region.model, factors, snapshot, device="cpu")


def suited(region: Region, factors: FactorStack, model: Checkpoint) -> tuple[Checkpoint, float, float]:
    """The model and the rain at a storm's edge and in its middle, mm, so that a wet day is as it should be.

    So that what is HIGH is so by rain, its logistic regression is made to answer more strongly than it learnt. The
    storm begins just above the lowest critical rainfall. The five classes are moved along the log-odds, all by as much,
    until the wanted share of the country is HIGH or above under it. Told by a sample of the ground.
    """
    stirred = {name: model.state[name] * 0 + RAIN_WEIGHT for name in model.state if name.endswith("rain_weight")}
    model = replace(model, state=model.state | stirred)
    rng, grid, predictor = np.random.default_rng(made.SEED), factors.grid, Predictor(model, "cpu")
    side, halo, most_mm = SAMPLE_CELLS, predictor.halo, MOST * model.rain_max_mm
    inner = np.s_[halo : halo + side, halo : halo + side]
    samples = []
    for _ in range(SAMPLES):
        row, col = (int(corner) for corner in rng.integers(0, np.array(grid.shape) - side) // 32 * 32)
        block = Block(row, col, side, side)
        samples.append((block, factors.read(block.with_halo(halo))))

    def odds(edge_mm: float) -> NDArray[np.float32]:
        rain = made.storm(region, made.WET_SHARE, edge_mm, most_mm)
        each = [
            predictor.log_odds(ground, sample(rain, grid, block.with_halo(halo))[np.newaxis])[0][inner]
            for block, ground in samples
        ]
        return np.nan_to_num(np.stack(each), nan=-np.inf)

    moved = float(np.quantile(odds(FIRST_MM), 1 - made.HIGH_SHARE)) - logit(model.breaks[2])
    low, moderate, high, very_high = (float(expit(logit(each) + moved)) for each in model.breaks)
    suited = replace(model, breaks=(low, moderate, high, very_high))
    critical = [Predictor(suited, "cpu").critical_rainfall(ground)[0][inner] for _, ground in samples]
    least = [each[(each > 0) & np.isfinite(each)] for each in critical]
    edge_mm = float(np.median([each.min() for each in least if each.size] or [FIRST_MM])) + FIRST_MM
    return suited, edge_mm, most_mm
