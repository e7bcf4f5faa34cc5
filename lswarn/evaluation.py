"""Honest skill: several models, trained and judged on the same spatial folds (`lswarn evaluate`).

Beside the line of retraining, which asks whether one candidate may replace the champion, this one asks what a kind of
model is worth on ground it has never seen. For every model and fold: train without the fold, count what it says there;
then figures of the counts, `evaluation.json` and `evaluation.html`. The counts of a fold are kept under the digest of
all that they hang on, so an evaluation that was killed goes on where it stood, and one of more models adds only these.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lswarn import __version__
from lswarn.errors import ModelError, TrainingError
from lswarn.factors.stack import open_stack
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.choice import CHOICE, Choice, choose, save_choice
from lswarn.model.evaluate import tally, tally_judged
from lswarn.model.folds import (
    Folds,
    HotSpot,
    Polygons,
    Scattered,
    cluster_hot_spots,
    load_polygons,
    make_folds,
    name_hot_spots,
)
from lswarn.model.holdout import Holdout
from lswarn.model.networks import phase, reach
from lswarn.model.predict import Predictor
from lswarn.model.progress import key_of
from lswarn.model.report import Facts, write_report
from lswarn.model.samples import FactorReader, Observed, Snapshot, load_snapshot, rule_in_words
from lswarn.model.skill import BINS, Counted, ModelSkill, Tally, finite, model_skill
from lswarn.model.stability import hillslopes
from lswarn.model.train import LEAST_LANDSLIDES, steps_of, train
from lswarn.model.verdict import verdict
from lswarn.region import Region
from lswarn.sections import Model
from lswarn.settings import Settings

log = logging.getLogger(__name__)

MODELS: Mapping[str, Mapping[str, object]] = {
    "slope": {"network": "slope", "rain": "monotone"},
    "logistic": {"network": "logistic", "rain": "monotone"},
    "boosting": {"network": "boosting", "rain": "channel"},
    "boosting-monotone": {"network": "boosting", "rain": "monotone"},
    "unet-monotone": {"network": "unet", "rain": "monotone"},
    "unet-channel": {"network": "unet", "rain": "channel"},
    "bpnn": {"network": "bpnn", "rain": "channel"},
    "resnet": {"network": "resnet", "rain": "channel"},
    "blend": {"network": "blend", "rain": "monotone"},
    "ensemble": {"network": "ensemble", "rain": "monotone"},
}
"""What a model's name changes in the region's `[model]`."""
DANGER = {
    "threshold": "whose rain exceeded the critical rainfall",
    "infinite-slope": "whose factor of safety, that of an infinite slope wetted by the rain, fell below 1",
}
"""Of a `physics_source`: which cells on slopes the penalty speaks for."""
NO_PHYSICS = "-no-physics"
"""Ending of a name: the same model with lambda = 0."""
WITH_PHYSICS = ("unet-monotone", "unet-channel", "bpnn", "resnet", "ensemble")
"""Names that may end so: of models trained by the loss that the penalty is a part of."""

REMEMBERED_BLOCKS, REMEMBERED_CELLS = 16, 256
"""Blocks of training ground, drawn at random, and their side: enough for the success-rate curve."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation came to, and where it lies.

    Attributes:
        models: in the order they were named.
        choice: which of them the region is to be trained with; None: it says nothing of that, and what stood stays.
        said: what beats what, in sentences.
        told: all of it, as JSON knows it.
    """

    models: tuple[ModelSkill, ...]
    choice: Choice | None
    said: tuple[str, ...]
    told: dict[str, Any]
    json_path: Path
    html_path: Path


def config_of(name: str, base: Model) -> Model:
    """The region's model settings, as a model's name changes them.

    Raises:
        ModelError: there is no model of that name.
    """
    plain = name.removesuffix(NO_PHYSICS)
    if plain not in MODELS:
        raise ModelError(
            f"there is no model {name!r}; there are {', '.join(MODELS)}, and {', '.join(WITH_PHYSICS)} also as "
            f"NAME{NO_PHYSICS}"
        )
    if name != plain and plain not in WITH_PHYSICS:
        raise ModelError(
            f"there is no model {name!r}: {plain} is trained without the physics penalty as it is; name {plain}"
        )
    changed = {**MODELS[plain], **({"physics_weight": 0.0} if name != plain else {})}
    return Model.model_validate(base.model_dump() | changed)


def require_models(names: Sequence[str], region: Region) -> None:
    """Refuse unknown names before anything is fetched.

    Raises:
        ModelError: there is no model of one of the names, or no name.
    """
    if not names:
        raise ModelError(f"no model is named; there are {', '.join(MODELS)}")
    for name in names:
        config_of(name, region.model)


def evaluate(
    region: Region,
    settings: Settings,
    taken: Path,
    *,
    models: Sequence[str],
    folds: str,
    hot_spots: Path | None,
    now: datetime,
    on_progress: Callable[[float, float, str], None],
) -> Evaluated:
    """Train and judge models on the same folds of a snapshot.

    Args:
        taken: folder of the snapshot.
        models: names, see `MODELS`. Where all `choice.CANDIDATES` are among them, which of them the region is to be
            trained with is kept for `retraining`.
        folds: `blocks:N`, `strips:N` or a vector file, see `folds.make_folds`.
        hot_spots: vector file of polygons; left out, clusters of the inventory.
        on_progress: told the steps done, those there are, and what is being done.

    Raises:
        ModelError: an unknown model.
        TrainingError: fewer than 20 landslides; folds that cannot be; or a model that could not be trained.
        RegionError: a vector file cannot be read.
    """
    configs = {name: config_of(name, region.model) for name in models}
    snapshot, root = load_snapshot(taken), settings.region_dir(region.name) / "evaluations"
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        grid, at = factors.grid, Observed(snapshot, factors.grid).cells_of
        on_grid = ((at >= 0) & (at < grid.shape)).all(1).sum()
        if on_grid < LEAST_LANDSLIDES:
            raise TrainingError(
                f"{region.name}: {on_grid} landslides with known rain lie in the region, at least {LEAST_LANDSLIDES} "
                "are needed: extend the inventory or the region"
            )
        guard, step = max(map(reach, configs.values())), max(map(phase, configs.values()))
        cut = make_folds(folds, grid, at, guard=guard, phase=step)
        spots = (
            name_hot_spots(load_polygons(hot_spots, grid, context="--hot-spots"), at)
            if hot_spots
            else cluster_hot_spots(grid, at)
        )
        runs = _Runs(factors, snapshot, spots, root / "folds", settings.device, on_progress)
        holdouts = [cut.without(fold) for fold in range(cut.count)]
        holdouts.append(Holdout(Scattered(grid, cut.count), frozenset({0}), 0, hides=False))
        keys, counted = runs.count(configs, holdouts)
    judged = tuple(model_skill(name, counted[name][:-1], counted[name][-1]) for name in configs)
    folder = root / hashlib.sha256(json.dumps([folds, list(configs), keys]).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    chosen = choose(judged, evaluation=folder.name, folds=_named(cut), made_at=now.astimezone(UTC))
    said = verdict(judged, chosen, region.model.network)
    facts = _facts(region, snapshot, cut, spots, grid.resolution_m, now)
    told = {
        **asdict(facts),
        "said": said,
        "choice": chosen and asdict(chosen) | {"made_at": facts.made_at},
        "models": [
            asdict(each)
            | {"config": configs[each.name].model_dump(), "trainings": [dict(one.facts) for one in counted[each.name]]}
            for each in judged
        ],
    }
    _save_text(folder / "evaluation.json", json.dumps(finite(told), indent=1, ensure_ascii=False, allow_nan=False))
    pairs = [(name, name + NO_PHYSICS) for name in configs]
    trainings = {name: [one.facts for one in counted[name][:-1]] for name in configs}
    write_report(
        folder / "evaluation.html", facts, judged, cut, spots, grid, at, pairs=pairs, said=said, trainings=trainings
    )
    if chosen:
        save_choice(chosen, settings.region_dir(region.name) / CHOICE)
    return Evaluated(judged, chosen, said, finite(told), folder / "evaluation.json", folder / "evaluation.html")


@dataclass(frozen=True)
class _Runs:
    """Trainings and counts of an evaluation, those already done read back."""

    factors: FactorReader
    snapshot: Snapshot
    spots: tuple[HotSpot, ...]
    folder: Path
    device: str
    on_progress: Callable[[float, float, str], None]

    def count(
        self, configs: Mapping[str, Model], holdouts: Sequence[Holdout]
    ) -> tuple[list[str], dict[str, list[Counted]]]:
        """The keys of all counts, and the counts by model in the order of the holdouts."""
        total, done = sum(map(steps_of, configs.values())) * len(holdouts), 0
        keys: list[str] = []
        counted: dict[str, list[Counted]] = {name: [] for name in configs}
        for number, holdout in enumerate(holdouts, 1):
            for name, config in configs.items():
                fold = f"fold {number} of {len(holdouts) - 1}" if number < len(holdouts) else "cells at random"
                key, origin = self._key(config, holdout), done
                path = self.folder / f"{key}.npz"
                if (found := load_counted(path)) is None:
                    try:
                        found = self._run(config, holdout, path, self._teller(origin, total, f"{name}, {fold}"))
                    except TrainingError as error:
                        raise TrainingError(f"{name}, {fold} held out: {error}") from error
                    save_counted(found, path)
                done += steps_of(config)
                self.on_progress(done, total, f"{name}, {fold}")
                keys.append(key)
                counted[name].append(found)
        return keys, counted

    def _teller(self, origin: int, total: int, what: str) -> Callable[[int, dict[str, float]], None]:
        def tell(step: int, losses: dict[str, float]) -> None:
            loss = f", loss {losses['total']:.3f}" if "total" in losses else ""
            self.on_progress(origin + step, total, what + loss)

        return tell

    def _run(
        self, config: Model, holdout: Holdout, path: Path, on_step: Callable[[int, dict[str, float]], None]
    ) -> Counted:
        began, factors, snapshot = perf_counter(), self.factors, self.snapshot
        checkpoint = train(
            config,
            factors,
            snapshot,
            device=self.device,
            holdout=holdout,
            on_step=on_step,
            resume=path.with_suffix(".resume"),
        )
        predictor = Predictor(checkpoint, self.device)
        zones = Polygons(factors.grid, tuple(spot.shape for spot in self.spots))
        observed = Observed(snapshot, factors.grid, hillslopes(config, factors.read_upslope))
        judged = tally_judged(predictor, factors, observed, holdout, zones, len(self.spots))
        blocks = [block for block in factors.grid.blocks(REMEMBERED_CELLS) if not holdout.mask(block).all()]
        drawn = np.random.default_rng(0).permutation(len(blocks))[:REMEMBERED_BLOCKS]
        (trained,) = tally(predictor, factors, observed, [blocks[k] for k in sorted(drawn)], [holdout])
        return Counted(judged, trained, checkpoint.breaks, perf_counter() - began, _told_of(checkpoint))

    def _key(self, config: Model, holdout: Holdout) -> str:
        spots = hashlib.sha256(b"".join(spot.shape.wkb for spot in self.spots)).hexdigest()
        origins = (self.factors.digest, self.snapshot.id, spots, __version__)
        return key_of(config, self.factors.grid, holdout, *origins)[:32]


def _facts(
    region: Region, snapshot: Snapshot, folds: Folds, spots: Sequence[HotSpot], cell_m: float, now: datetime
) -> Facts:
    with_date = [scene for scene in snapshot.scenes if scene.day is not None]
    return Facts(
        region=region.name,
        title=region.title,
        made=region.made,
        snapshot_id=snapshot.id,
        software=f"lswarn {__version__}",
        made_at=now.astimezone(UTC).isoformat(timespec="minutes"),
        cell_m=cell_m,
        storms=sum(bool(scene.landslides) for scene in with_date),
        quiet=sum(not scene.landslides for scene in with_date),
        dated_landslides=sum(len(scene.landslides) for scene in with_date),
        negatives=rule_in_words(snapshot),
        undated_landslides=sum(len(scene.landslides) for scene in snapshot.scenes if scene.day is None),
        first_day=str(min((scene.day for scene in with_date if scene.day), default="")),
        last_day=str(max((scene.day for scene in with_date if scene.day), default="")),
        measure=snapshot.measure,
        danger=DANGER[region.model.physics_source],
        folds=_named(folds),
        guard_cells=folds.guard,
        fold_landslides=folds.landslides,
        hot_spots=tuple((spot.name, spot.landslides) for spot in spots),
    )


def _named(folds: Folds) -> str:
    return folds.spec if ":" in folds.spec else Path(folds.spec).name


def _told_of(checkpoint: Checkpoint) -> dict[str, float]:
    """Figures of a training, and the size of network that it chose."""
    if checkpoint.size is None:
        return dict(checkpoint.metrics)
    base_width, depth = checkpoint.size
    return checkpoint.metrics | {"base_width": base_width, "depth": depth}


def save_counted(counted: Counted, path: Path) -> None:
    """Write the counts of one fold; the path holds either all of them or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tallies = np.array([astuple(each) for each in (*counted.zones, counted.trained)])
    facts = json.dumps(dict(counted.facts))
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as draft:
        part = Path(draft) / path.name
        np.savez_compressed(part, tallies=tallies, breaks=counted.breaks, seconds=counted.seconds, facts=facts)
        part.replace(path)


def load_counted(path: Path) -> Counted | None:
    """Read what `save_counted` wrote; None where there is nothing, or nothing of use."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            *zones, trained = (Tally(*each) for each in kept["tallies"].reshape(-1, 3, BINS))
            low, moderate, high, very_high = map(float, kept["breaks"])
            breaks, facts = (low, moderate, high, very_high), json.loads(str(kept["facts"]))
            return Counted(tuple(zones), trained, breaks, float(kept["seconds"]), facts)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("%s: damaged (%s); this fold is done again", path, type(error).__name__)
        return None


def _save_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)
