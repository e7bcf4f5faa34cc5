"""The twin experiment: models against a truth that is known. `python ops/bench/twin.py`.

The demo world slides by a hidden infinite slope (`lswarn/demo/truth.py`). A model learns from three quarters of it,
under the storms of the past; it is judged on the last one, a guard band away, under storms that it has not seen, drawn
here from a seed, with landslides drawn anew. Each quarter has its turn. Beside the models stand:

    oracle      the true probability; nobody can do better
    attainable  the true probability, averaged over redraws of the soil's hidden variation: the most that can be known
                from terrain, rock and rain

Nothing of it can be had in the real world, where no one knows the probability of a place.

AUC of the worst and the best quarter, mean of all, and its ratio to what is attainable; Brier skill; `spread`, the most
minus the least AUC of the five hot spots, all quarters together; `falls`, the share of judged cells whose probability
falls somewhere as rain rises from 0 to 450 mm; `agrees`, the share of judged cells, under each new storm, whose class
by critical rainfall is that of the full network, for models that have one; `tenths`, the same with the rain in steps of
0.1 mm.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.special import logit
from shapely.geometry import shape

from lswarn.demo import places, storms, truth
from lswarn.demo.world import BBOX, CRS, Land, make_land, make_world
from lswarn.errors import ModelError
from lswarn.evaluation import config_of
from lswarn.factors.stack import FactorStack, build_stack
from lswarn.grid import Grid, sample
from lswarn.model.evaluate import tally_judged
from lswarn.model.folds import Folds, HotSpot, Polygons, cluster_hot_spots, make_folds
from lswarn.model.holdout import Holdout
from lswarn.model.networks import phase, reach
from lswarn.model.predict import Predictor
from lswarn.model.samples import Observed, Scene, Snapshot
from lswarn.model.skill import Breaks, Tally, finite, skill, spread
from lswarn.model.train import train
from lswarn.rain.measures import find_measure
from lswarn.rain.thresholds import critical_rainfall
from lswarn.region import load_region
from lswarn.sections import Model

MODELS = ",".join(
    (
        *("slope", "logistic", "boosting", "boosting-monotone", "unet-monotone", "unet-monotone-no-physics"),
        *("unet-channel", "bpnn", "resnet", "blend", "ensemble"),
    )
)
WORLD_SEED = 7
NEW_STORMS = 12
MOST_MM, DRIZZLE_MM = 350.0, 7.0
"""At a new storm's centre and everywhere, in its week: as the past had it. What more would do was never learnt."""
FIRST_DAY = date(2027, 1, 10)
REDRAWS = 30
STEPS_MM = np.arange(0, 451, 10, dtype=np.float32)
RAINS_AT_ONCE = 4
NO_BREAKS: Breaks = (0.2, 0.4, 0.6, 0.8)
"""Of the truth, whose classes nobody asks for."""


@dataclass(frozen=True)
class Twin:
    """The world and its factors, what is learnt from, what is judged by, and the quarters and hot spots."""

    land: Land
    factors: FactorStack
    config: Model
    past: Snapshot
    new: Snapshot
    quarters: Folds
    spots: tuple[HotSpot, ...]


def make_twin(folder: Path, resolution_m: float, seed: int, names: Sequence[str], steps: int | None) -> Twin:
    """Write the demo world, or find it there, build its factors, and draw the new storms."""
    nowhere = places.Addresses(*["http://127.0.0.1:1"] * 3)
    world = make_world(folder, rain=nowhere, webhook_url=nowhere.pps, seed=WORLD_SEED, resolution_m=resolution_m)
    region = load_region(world.region_toml)
    factors = build_stack(region, folder / "factors", on_progress=lambda name, share: None)
    land, grid = make_land(factors.grid, WORLD_SEED), factors.grid
    source, measure = region.rain.sources[0], find_measure(region.rain.measure, region.rain.effective_k)

    def snapshot(scenes: Sequence[tuple[date, xr.DataArray, tuple[Any, ...]]]) -> Snapshot:
        critical = critical_rainfall(region.rain.threshold, scenes[0][1], product=source.product, measure=measure)
        critical = critical.drop_vars("source")
        told = tuple(Scene(day, rain, critical, slid) for day, rain, slid in scenes)
        return Snapshot(grid.crs, told, factors.digest, datetime.now(UTC), measure=measure.name)

    known = gpd.read_file(folder / "inventory.gpkg")
    past = snapshot(
        [
            (day, storms.weekly_rain(day, WORLD_SEED), tuple(known.geometry[known["date"] == day.isoformat()]))
            for day in storms.TRAINING_DAYS
        ]
    )
    rng = np.random.default_rng((seed, 1))
    new = snapshot([_new_scene(number, rng, land, grid) for number in range(NEW_STORMS)])
    at = Observed(new, grid).cells_of
    config = region.model.model_copy(update={"steps": steps} if steps else {})
    configs = [config_of(name, config) for name in names]
    quarters = make_folds("strips:4", grid, at, guard=max(map(reach, configs)), phase=max(map(phase, configs)))
    return Twin(land, factors, config, past, new, quarters, cluster_hot_spots(grid, at))


def _new_scene(
    number: int, rng: np.random.Generator, land: Land, grid: Grid
) -> tuple[date, xr.DataArray, tuple[Any, ...]]:
    """A week's storm somewhere over the world, and the landslides that the truth lets happen under it."""
    west, south, east, north = BBOX
    day = FIRST_DAY + timedelta(days=14 * number)
    lon, lat = rng.uniform((west, south), (east, north))
    total_mm, along_km, bearing_deg = rng.uniform((0, 24, 0), (MOST_MM, 60, 180))
    storm = storms.Storm(f"new {number}", day, (total_mm,), lon, lat, along_km, 16.0, bearing_deg)
    axes = {"lat": storms.LATS, "lon": storms.LONS}
    rain = xr.DataArray((storm.mm(day) + DRIZZLE_MM).astype(np.float32), axes, ("lat", "lon"))
    probability = truth.failure_probability(land.ground, sample(rain, grid, grid.whole))
    patches = truth.landslides(probability, rng)
    found = shapes(patches, patches > 0, connectivity=4, transform=grid.transform)
    return day, rain, tuple(shape(polygon) for polygon, _ in found)


def probabilities(twin: Twin, redraws: int) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """Name and probability [h, w] under each new storm, of the truth and of what is attainable of it."""
    grid, land = twin.factors.grid, twin.land
    rains = [sample(scene.rain, grid, grid.whole) for scene in twin.new.scenes]
    yield "oracle", [truth.failure_probability(land.ground, rain) for rain in rains]
    means = [np.zeros(grid.shape, np.float32) for _ in rains]
    for number in range(redraws):
        rng = np.random.default_rng((WORLD_SEED, 2, number))
        ground = truth.make_ground(land.dem, grid.transform, land.rock, rng)
        for mean, rain in zip(means, rains, strict=True):
            mean += truth.failure_probability(ground, rain) / redraws
    yield "attainable", means


def judge_truth(twin: Twin, holdout: Holdout, told: list[NDArray[np.float32]]) -> tuple[Tally, ...]:
    """As `tally_judged`, of probabilities that are known everywhere."""
    observed, zones = Observed(twin.new, twin.factors.grid), _zones(twin)
    totals = [Tally.empty()] * (len(twin.spots) + 1)
    for block in holdout.judged():
        rows, cols = block.slices()
        cells = observed.at(block, twin.factors.read(block), range(observed.scenes))
        with np.errstate(divide="ignore"):
            score = logit(np.stack([each[rows, cols] for each in told]))
        judged, zone = holdout.mask(block, judged=True), zones.number(block) + 1
        for k in np.unique(zone[judged]):
            here = judged & (zone == k)
            totals[k] += Tally.of(score[:, here], cells.label[:, here], cells.danger[:, here])
    return tuple(totals)


@dataclass(frozen=True)
class Quarter:
    """A model on the quarter that it has not learnt from.

    Attributes:
        zones: counts, first outside the hot spots, then in each.
        falls, agrees: cells, see the head of this file; `agrees` under the rain as it is and in tenths of a millimetre.
        cells, pairs: that could fall, and that could agree; no pairs without critical rainfall.
    """

    zones: tuple[Tally, ...]
    breaks: Breaks
    falls: int = 0
    cells: int = 0
    agrees: tuple[int, int] = (0, 0)
    pairs: int = 0
    seconds: float = 0.0


def judge_model(twin: Twin, holdout: Holdout, name: str, device: str) -> Quarter:
    """Train a model without a quarter, and judge it there."""
    began = time.perf_counter()
    checkpoint = train(config_of(name, twin.config), twin.factors, twin.past, device=device, holdout=holdout)
    seconds = time.perf_counter() - began
    predictor = Predictor(checkpoint, device)
    zones = tally_judged(
        predictor, twin.factors, Observed(twin.new, twin.factors.grid), holdout, _zones(twin), len(twin.spots)
    )
    quarter = Quarter(zones, checkpoint.breaks, seconds=seconds)
    observed = Observed(twin.new, twin.factors.grid)
    for block in holdout.judged():
        around = block.with_halo(predictor.halo)
        ground, margin = twin.factors.read(around), predictor.halo
        inner = np.s_[..., margin : margin + block.height, margin : margin + block.width]
        judged = holdout.mask(block, judged=True) & ~np.isnan(ground[inner]).any(0)
        falls = _falls(predictor, ground)[inner] & judged
        quarter = replace(quarter, falls=quarter.falls + int(falls.sum()), cells=quarter.cells + int(judged.sum()))
        try:
            critical = predictor.critical_rainfall(ground)[inner]
        except ModelError:  # it may fall as rain rises, and has none
            continue
        agreed = list(quarter.agrees)
        for scene in range(observed.scenes):
            exact = observed.at(around, ground, [scene]).rain
            for k, rain in enumerate((exact, exact.round(1))):
                full = np.digitize(predictor.probabilities(ground, rain)[0][inner], predictor.breaks)
                agreed[k] += int((judged & (full == (rain[0][inner] >= critical).sum(0))).sum())
        pairs = quarter.pairs + observed.scenes * int(judged.sum())
        quarter = replace(quarter, agrees=(agreed[0], agreed[1]), pairs=pairs)
    return quarter


def _falls(predictor: Predictor, ground: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells whose probability falls somewhere as rain rises."""
    before = np.full(ground.shape[1:], -np.inf, np.float32)
    falls = np.zeros(ground.shape[1:], bool)
    for first in range(0, len(STEPS_MM), RAINS_AT_ONCE):
        some = STEPS_MM[first : first + RAINS_AT_ONCE, None, None]
        for score in predictor.log_odds(ground, np.broadcast_to(some, (len(some), *ground.shape[1:])).copy()):
            falls |= score < before
            before = score
    return falls


def _zones(twin: Twin) -> Polygons:
    return Polygons(twin.factors.grid, tuple(spot.shape for spot in twin.spots))


def figures(quarters: Sequence[Quarter]) -> dict[str, Any]:
    """What is printed of a model."""
    each = [skill([(sum(one.zones, Tally.empty()), one.breaks)]) for one in quarters]
    spots = [skill([(one.zones[zone], one.breaks) for one in quarters]) for zone in range(1, len(quarters[0].zones))]
    pairs = sum(one.pairs for one in quarters)
    return {
        "auc_of_quarters": [found.auc for found in each],
        "auc": float(np.mean([found.auc for found in each])),
        "brier_skill": float(np.mean([found.brier_skill for found in each])),
        "auc_of_hot_spots": [found.auc for found in spots],
        "spread": spread(spots),
        "falls": sum(one.falls for one in quarters) / cells if (cells := sum(one.cells for one in quarters)) else None,
        "agrees": sum(one.agrees[0] for one in quarters) / pairs if pairs else None,
        "agrees_in_tenths": sum(one.agrees[1] for one in quarters) / pairs if pairs else None,
        "cells": [one.cells for one in each],
        "landslide_cells": [one.landslide_cells for one in each],
        "seconds_of_training": [one.seconds for one in quarters],
    }


SHARES = ("falls", "agrees", "agrees_in_tenths")


def show(name: str, told: dict[str, Any], attainable: float) -> None:
    """One line of the table."""
    each, seconds = told["auc_of_quarters"], sum(told["seconds_of_training"])
    shares = [f"{told[what]:9.4%}" if told[what] is not None else f"{'–':>9s}" for what in SHARES]
    print(
        f"{name:26s} {min(each):.4f}  {max(each):.4f}  {told['auc']:.4f}  {told['auc'] / attainable:6.4f}  "
        f"{told['brier_skill']:+.4f}  {told['spread']:.4f}  {' '.join(shares)}  {seconds:5.0f} s",
        flush=True,
    )


def main() -> None:
    """Run the experiment; print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, help="names of `lswarn evaluate`, with commas")
    parser.add_argument("--resolution", type=float, default=30.0, help="of the cells, m")
    parser.add_argument("--steps", type=int, help="of training; left out: as the demo has it")
    parser.add_argument("--redraws", type=int, default=REDRAWS, help="of the hidden fields")
    parser.add_argument("--seed", type=int, default=0, help="of the new storms")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--world", type=Path, help="folder to keep the world in, or to find it in; else none is kept")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    asked = parser.parse_args()
    names = asked.models.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        twin = make_twin(asked.world or Path(scratch), asked.resolution, asked.seed, names, asked.steps)
        slid = [len(scene.landslides) for scene in twin.new.scenes]
        print(f"{twin.factors.grid.height} x {twin.factors.grid.width} cells of {asked.resolution:g} m in {CRS}; "
              f"{sum(len(scene.landslides) for scene in twin.past.scenes)} landslides of the past to learn from; "
              f"new storms with {slid} landslides")  # fmt: skip
        print(f"{'':26s} worst   best    mean    ratio   Brier s. spread      falls    agrees    tenths  trained")
        holdouts = [twin.quarters.without(fold) for fold in range(twin.quarters.count)]
        told = {
            name: figures([Quarter(judge_truth(twin, holdout, known), NO_BREAKS) for holdout in holdouts])
            for name, known in probabilities(twin, asked.redraws)
        }
        attainable = told["attainable"]["auc"]
        for name in told:
            show(name, told[name], attainable)
        for name in names:
            told[name] = figures([judge_model(twin, holdout, name, asked.device) for holdout in holdouts])
            show(name, told[name], attainable)
    for each in told.values():
        each["ratio"] = each["auc"] / attainable
    if asked.json:
        whole = {"asked": {name: str(value) for name, value in vars(asked).items()}, "models": told}
        asked.json.write_text(json.dumps(finite(whole), indent=1, allow_nan=False), "utf-8")


if __name__ == "__main__":
    main()
