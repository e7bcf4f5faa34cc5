"""Retraining: snapshot, train, evaluate, promote.

The other line. A snapshot freezes what is learnt from; a candidate is trained on one part of the ground and judged on
another that neither it nor the champion has seen; only a candidate that is no worse becomes the champion.
`flows/retrain.py` schedules the same four functions.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import geopandas as gpd

from lswarn.cascade import critical_of, fetch_days, find_known_days, measure_of, window_of
from lswarn.db import assets, inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import CheckpointMismatch, NoModel, TrainingError
from lswarn.factors.stack import open_stack
from lswarn.model.checkpoint import load_checkpoint, save_checkpoint
from lswarn.model.evaluate import Evaluation, better
from lswarn.model.evaluate import evaluate as evaluate_model
from lswarn.model.samples import Scene, Snapshot, load_snapshot, save_snapshot
from lswarn.model.train import train as train_model
from lswarn.rain.window import RainWindow, window_days
from lswarn.region import Region
from lswarn.settings import Settings

log = logging.getLogger(__name__)

QUIET_SCENES = 8
"""At most so many archived windows without a landslide are learnt from: the rain that did no harm."""


@dataclass(frozen=True)
class Promotion:
    """Whether a candidate became the champion, and why, in words."""

    model_id: str
    promoted: bool
    reason: str


def snapshot(region: Region, settings: Settings, now: datetime) -> Path:
    """Freeze the inventory and the rain that goes with it.

    The rain of every dated landslide is fetched where it is not archived. A landslide whose seven days are not all to
    be had is left out and told of: rain that is not known is no reason for a landslide.

    Returns:
        Folder of the snapshot, named by its content.

    Raises:
        TrainingError: nothing is left to learn from.
    """
    with transaction(open_database(settings)) as conn:
        known = assets.find_landslides(conn, region)
    for reason, number in known.left_out.items():
        log.info("%d landslides are not learnt from: %s", number, reason)
    landslides = known.teaching.to_crs(region.crs)
    dated = landslides[landslides["day"].notna()]
    undated = landslides[landslides["day"].isna()]
    event_days = sorted(set(dated["day"]))
    needed = {day for event in event_days for day in window_days(event)}
    fetch_days(region, settings, sorted(needed), now)

    days = [*event_days, *_quiet_days(region, settings, event_days)]
    scenes = [
        _scene(region, window, dated[dated["day"] == window.day])
        for window in _complete_windows(region, settings, days)
    ]
    if scenes and len(undated):
        critical = scenes[0].critical
        scenes.append(Scene(None, critical, critical, tuple(undated.geometry)))
    if not any(scene.landslides for scene in scenes):
        raise TrainingError(
            f"{region.name}: no landslide with the rain of its seven days; `lswarn rain fetch` it, or add events"
        )
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        taken = Snapshot(region.crs, tuple(scenes), factors.digest, now, measure=measure_of(region).name)
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


def _scene(region: Region, window: RainWindow, landslides: gpd.GeoDataFrame) -> Scene:
    """A window as a lesson: a cell of which a day is not known teaches nothing."""
    critical = critical_of(region, window).drop_vars("source", errors="ignore")
    return Scene(window.day, window.total.where(~window.lower_bound), critical, tuple(landslides.geometry))


def train(region: Region, settings: Settings, taken: Path, on_step: Callable[[int, dict[str, float]], None]) -> str:
    """Train a candidate from a snapshot and keep it.

    Returns:
        Its id.
    """
    folder = settings.region_dir(region.name)
    with open_stack(region, folder / "factors") as factors:
        checkpoint = train_model(
            region.model,
            factors,
            load_snapshot(taken),
            device=settings.device,
            on_step=on_step,
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
    """Make a candidate the champion, unless the champion does better on the same ground and rain."""
    with transaction(open_database(settings)) as conn:
        champions = [model for model in inputs.find_models(conn, region) if model.role == "champion"]
    if not champions:
        wanted, reason = True, "it is the first"
    elif champions[0].id == model_id:
        wanted, reason = False, "it is the champion already"
    else:
        try:
            wanted, reason = better(scores, _scores(region, settings, taken, champions[0].id))
        except CheckpointMismatch as error:
            # Such a champion could not assess a single day: anything that can is better.
            wanted, reason = True, f"the champion cannot be used: {error}"
    if wanted:
        with transaction(open_database(settings), region) as conn:
            inputs.promote_model(conn, region, model_id)
    return Promotion(model_id, wanted, reason)


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


def _scores(region: Region, settings: Settings, taken: Path, model_id: str) -> Evaluation:
    checkpoint = load_checkpoint(_path(region, settings, model_id))
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        return evaluate_model(checkpoint, factors, load_snapshot(taken), device=settings.device)


def _path(region: Region, settings: Settings, model_id: str) -> Path:
    return settings.region_dir(region.name) / "models" / f"{model_id}.pt"
