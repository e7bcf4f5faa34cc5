"""Retraining: snapshot, train, evaluate, promote.

The other line. A snapshot freezes what is learnt from; a candidate is trained on one part of the ground and judged on
another that neither it nor the champion has seen, and under the rain of the newest year, which is kept from it. Only a
candidate that is no worse becomes the champion; what came of it stands in its card. `flows/retrain.py` schedules the
same four functions.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from shapely.geometry.base import BaseGeometry

from lswarn.cascade import critical_of, fetch_days, find_known_days, measure_of, window_of
from lswarn.db import assets, inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import CheckpointMismatch, NoModel, TrainingError
from lswarn.factors.stack import open_stack
from lswarn.grid import Grid
from lswarn.model.checkpoint import load_checkpoint, save_checkpoint
from lswarn.model.choice import CHOICE, load_kind
from lswarn.model.drift import Shift, in_words
from lswarn.model.evaluate import Evaluation, unseen_days
from lswarn.model.evaluate import evaluate as evaluate_model
from lswarn.model.gate import Verdict, better
from lswarn.model.newest import newest_year, other_scenes
from lswarn.model.samples import Scene, Snapshot, load_snapshot, save_snapshot
from lswarn.model.stability import hillslopes
from lswarn.model.train import steps_of
from lswarn.model.train import train as train_model
from lswarn.rain.thresholds import critical_rainfall
from lswarn.rain.window import RainWindow, window_days
from lswarn.region import Region
from lswarn.settings import Settings
from lswarn.sources import degrees
from lswarn.upkeep import snapshot_drift, write_card

log = logging.getLogger(__name__)

RAIN_CELL_DEG = 0.1
"""Side of a rain cell where there is no rain: that of IMERG."""

QUIET_SCENES = 8
"""At most so many archived windows without a landslide are learnt from: the rain that did no harm."""


@dataclass(frozen=True)
class Promotion:
    """Whether a candidate became the champion, and why, in words.

    Attributes:
        drift: how far ground and rain have moved from what the champion before learnt from; empty: not asked.
        card: the model's card; None where it could not be written.
    """

    model_id: str
    promoted: bool
    reason: str
    drift: str = ""
    card: Path | None = None


def snapshot(region: Region, settings: Settings, now: datetime) -> Path:
    """Freeze the inventory and the rain that goes with it.

    The rain of every dated landslide, and of every dated place that held, is fetched where it is not archived. One
    whose seven days are not all to be had is left out and told of: rain that is not known is no reason for a landslide.
    An inventory without days needs no rain: its landslides meet the critical rainfall, which the thresholds say.

    Returns:
        Folder of the snapshot, named by its content.

    Raises:
        TrainingError: nothing is left to learn from.
    """
    with transaction(open_database(settings)) as conn:
        known = assets.find_landslides(conn, region)
    for reason, number in known.left_out.items():
        log.info("%d landslides are not learnt from: %s", number, reason)
    slid, held = (places.to_crs(region.crs) for places in (known.teaching, known.stable))
    if slid.empty:
        why = ", ".join(f"{number} {reason}" for reason, number in known.left_out.items()) or "none is known"
        raise TrainingError(
            f"{region.name}: no landslide to learn from ({why}); `lswarn inventory check` says what the inventory "
            "holds, `lswarn inventory load` takes it in"
        )
    event_days = sorted({*slid["day"].dropna(), *held["day"].dropna()})
    needed = {day for event in event_days for day in window_days(event)}
    if needed:  # else no account and no server is asked for anything
        fetch_days(region, settings, sorted(needed), now)
    negatives = region.inventory.negatives
    # Where only given places count as stable, a quiet day would teach nothing.
    quiet = _quiet_days(region, settings, event_days) if negatives.rule == "elsewhere" else []
    scenes = [
        _scene(region, window, *(tuple(places.geometry[places["day"] == window.day]) for places in (slid, held)))
        for window in _complete_windows(region, settings, [*event_days, *quiet])
    ]
    undated = [tuple(places.geometry[places["day"].isna()]) for places in (slid, held)]
    if any(undated) and (scenes or slid["day"].isna().all()):
        critical = scenes[0].critical if scenes else _critical_alone(region)
        scenes.append(Scene(None, critical, critical, *undated))
    if not any(scene.landslides for scene in scenes):
        raise TrainingError(
            f"{region.name}: no landslide with the rain of its seven days; `lswarn rain fetch` it, or add events"
        )
    if negatives.rule == "given" and not any(scene.stable for scene in scenes):
        raise TrainingError(
            f'{region.name}: no place is known that did not slide, and inventory.negatives.rule = "given" lives on '
            'such; `lswarn inventory load` takes them in, or set the rule to "elsewhere"'
        )
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        measure = measure_of(region).name
        taken = Snapshot(region.crs, tuple(scenes), factors.digest, now, measure=measure, negatives=negatives)
    return save_snapshot(taken, settings.region_dir(region.name) / "snapshots")


def _complete_windows(region: Region, settings: Settings, days: Iterable[date]) -> list[RainWindow]:
    """The windows of those days whose seven days are all archived, on one grid."""
    known = find_known_days(region, settings)
    windows: list[RainWindow] = []
    for day in days:
        if missing := [each for each in window_days(day) if each not in known]:
            log.warning("%s is left out: of its seven days %d are not archived", day, len(missing))
        else:
            window = window_of(region, settings, day, like=windows[0].total if windows else None)
            if window.missing:
                log.warning("%s is left out: what is archived does not cover the region's bbox; fetch it again", day)
            else:
                windows.append(window)
    return windows


def _quiet_days(region: Region, settings: Settings, event_days: list[date]) -> list[date]:
    """Archived days, spread evenly over the archive, whose window and the week after it saw no landslide."""
    known = find_known_days(region, settings)
    week = timedelta(days=7)
    quiet = [
        day
        for day in sorted(known)
        if known.issuperset(window_days(day)) and not any(day - week < event < day + week for event in event_days)
    ]
    apart: list[date] = []
    for day in quiet:
        if not apart or day - apart[-1] >= week:
            apart.append(day)
    step = max(1, -(-len(apart) // QUIET_SCENES))
    return apart[::step]


def _scene(
    region: Region, window: RainWindow, landslides: tuple[BaseGeometry, ...], stable: tuple[BaseGeometry, ...]
) -> Scene:
    """A window as a lesson: a cell of which a day is not known teaches nothing."""
    critical = critical_of(region, window).drop_vars("source", errors="ignore")
    return Scene(window.day, window.total.where(~window.lower_bound), critical, landslides, stable)


def _critical_alone(region: Region) -> xr.DataArray:
    """Critical rainfall on cells of `RAIN_CELL_DEG` over the region and a little beyond: no rain says on which."""
    west, south, east, north = degrees(Grid.from_bbox(region.bbox, region.crs, region.resolution_m))
    axes = {
        name: np.arange(np.floor(low / RAIN_CELL_DEG) - 1, np.ceil(high / RAIN_CELL_DEG) + 2) * RAIN_CELL_DEG
        for name, low, high in (("lat", south, north), ("lon", west, east))
    }
    like = xr.DataArray(np.zeros([len(axis) for axis in axes.values()]), axes)
    product = region.rain.sources[0].product
    critical = critical_rainfall(region.rain.threshold, like, product=product, measure=measure_of(region))
    return critical.drop_vars("source")


def train(
    region: Region, settings: Settings, taken: Path, on_step: Callable[[int, int, dict[str, float]], None]
) -> str:
    """Train a candidate from a snapshot, but for its newest year, and keep it.

    Args:
        on_step: told the step, how many there may be, and the parts of its loss.

    Returns:
        Its id.
    """
    folder, snapshot = settings.region_dir(region.name), load_snapshot(taken)
    held = newest_year(snapshot)
    if not held:
        log.warning("no year is kept from training: no landslide has a day, or too few would be left to learn from")
    config = load_kind(region.model, folder / CHOICE)
    steps = steps_of(config)
    with open_stack(region, folder / "factors") as factors:
        checkpoint = train_model(
            config,
            factors,
            snapshot,
            scenes=other_scenes(snapshot, held),
            device=settings.device,
            on_step=lambda step, losses: on_step(step, steps, losses),
            resume=_path(region, settings, "unfinished"),
        )
    save_checkpoint(checkpoint, _path(region, settings, checkpoint.id))
    return checkpoint.id


def evaluate(region: Region, settings: Settings, taken: Path, model_id: str, now: datetime) -> Evaluation:
    """Judge a model on the ground held out from training, and put it into the database with its scores."""
    checkpoint = load_checkpoint(_path(region, settings, model_id))
    scores = _scores(region, settings, taken, model_id)
    with transaction(open_database(settings), region) as conn:
        inputs.record_model(
            conn,
            region,
            model_id,
            path=_path(region, settings, model_id),
            snapshot_id=checkpoint.snapshot_id,
            metrics=scores.as_dict(),
            made_at=now,
        )
    return scores


def promote(region: Region, settings: Settings, taken: Path, model_id: str, scores: Evaluation) -> Promotion:
    """Make a candidate the champion, unless the champion does better on the same ground and rain.

    The verdict is put into the database and the model's card; so is how far the new snapshot has moved from what the
    champion learnt from.
    """
    with transaction(open_database(settings)) as conn:
        champions = [model for model in inputs.find_models(conn, region) if model.role == "champion"]
    shifts: tuple[Shift, ...] = ()
    if not champions:
        verdict = Verdict(True, "it is the first")
    elif champions[0].id == model_id:
        verdict = Verdict(False, "it is the champion already")
    else:
        try:
            verdict = _compare(region, settings, taken, model_id, scores, champions[0].id)
            shifts = snapshot_drift(region, settings, taken, champions[0])
        except CheckpointMismatch as error:
            # Such a champion could not assess a single day: anything that can is better.
            verdict = Verdict(True, f"the champion cannot be used: {error}")
    moved = in_words(shifts) if shifts else ""
    with transaction(open_database(settings), region) as conn:
        if not champions or champions[0].id != model_id:
            inputs.record_verdict(conn, region, model_id, verdict.as_dict() | {"drift": moved})
        if shifts:
            inputs.record_drift(conn, region, champions[0].id, shifts, load_snapshot(taken).made_at)
        if verdict.promoted:
            inputs.promote_model(conn, region, model_id)
    try:
        card = write_card(region, settings, model_id)
    except CheckpointMismatch as error:
        log.warning("model %s has no card: %s", model_id, error)
        card = None
    return Promotion(model_id, verdict.promoted, verdict.reason, moved, card)


def _compare(
    region: Region, settings: Settings, taken: Path, model_id: str, scores: Evaluation, champion_id: str
) -> Verdict:
    """The gate; of the newest year both are judged under the rains alone that neither has learnt from."""
    champion = load_checkpoint(_path(region, settings, champion_id))
    unseen = unseen_days(champion, load_snapshot(taken))
    days = tuple(day for day in scores.newest_days if day in unseen)
    if days and days != scores.newest_days:
        scores = _scores(region, settings, taken, model_id, days)
    return better(scores, _scores(region, settings, taken, champion_id, days))


def promote_by_hand(region: Region, settings: Settings, model_id: str) -> str:
    """Make a recorded model the champion whatever its scores; return its id.

    Raises:
        NoModel: it is not recorded.
        CheckpointMismatch: its file is gone, or is not what it was.
    """
    with transaction(open_database(settings), region) as conn:
        model = inputs.find_model(conn, region, model_id)
        load_checkpoint(model.path)
        inputs.promote_model(conn, region, model.id)
    return model.id


def roll_back(region: Region, settings: Settings) -> str:
    """Put the model back in use that was champion before the present one; return its id.

    Raises:
        NoModel: there was none.
        CheckpointMismatch: its file is gone, or is not what it was.
    """
    with transaction(open_database(settings)) as conn:
        retired = [model for model in inputs.find_models(conn, region) if model.role == "retired"]
    if not retired:
        raise NoModel(f"region {region.name} has had no other champion; `lswarn models list` shows what there is")
    return promote_by_hand(region, settings, max(retired, key=lambda model: model.promoted_at or model.made_at).id)


def _scores(
    region: Region, settings: Settings, taken: Path, model_id: str, days: Sequence[date] | None = None
) -> Evaluation:
    checkpoint = load_checkpoint(_path(region, settings, model_id))
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        return evaluate_model(
            checkpoint,
            factors,
            load_snapshot(taken),
            device=settings.device,
            days=days,
            # The region's, for a champion may have been trained by other physics, and both are asked the same.
            hillslopes=hillslopes(region.model, factors.read_upslope),
        )


def _path(region: Region, settings: Settings, model_id: str) -> Path:
    return settings.region_dir(region.name) / "models" / f"{model_id}.pt"
