"""What is kept up of a model once it is trained: whether ground and rain are still those it learnt from; its card."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lswarn import __version__
from lswarn.cascade import find_known_days, measure_of, window_of
from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import CheckpointMismatch, TrainingError
from lswarn.factors.stack import open_stack
from lswarn.model.card import Facts, model_card, save_card
from lswarn.model.checkpoint import Checkpoint, load_checkpoint
from lswarn.model.drift import Shift
from lswarn.model.drift import drift as drift_of
from lswarn.model.ground import draw_ground
from lswarn.model.holdout import hold_out
from lswarn.model.samples import Snapshot, load_snapshot
from lswarn.rain.window import window_days
from lswarn.region import Region
from lswarn.settings import Settings

log = logging.getLogger(__name__)

YEAR_DAYS = 365


@dataclass(frozen=True)
class Drift:
    """How far ground and rain have moved from what a model learnt from."""

    model_id: str
    shifts: tuple[Shift, ...]


def drift(region: Region, settings: Settings, now: datetime, model_id: str | None = None) -> Drift:
    """How far the region's factors, and the archived rain of the newest 365 days, have moved from what a model learnt.

    Written down in the database. Of the rain every seventh day's window counts, so that each day counts once.

    Args:
        model_id: or its beginning; left out, the champion.

    Raises:
        NoModel: there is none.
        CheckpointMismatch: it cannot be read, or is from before models told what they learnt from.
    """
    model = _recorded(region, settings, model_id)
    checkpoint = load_checkpoint(model.path)
    if checkpoint.reference is None:
        raise CheckpointMismatch(
            f"{model.path}: does not tell how ground and rain were spread that it learnt from; run `lswarn train`: a "
            "model of this software does"
        )
    if checkpoint.measure == measure_of(region).name:
        rain, period = _newest_rain(region, settings)
    else:
        rain, period = _joined([]), f"{measure_of(region).name}, not {checkpoint.measure} of seven days"
    shifts = _shifts(region, settings, checkpoint, rain, period)
    with transaction(open_database(settings), region) as conn:
        inputs.record_drift(conn, region, model.id, shifts, now)
    return Drift(model.id, shifts)


def snapshot_drift(region: Region, settings: Settings, taken: Path, model: inputs.ModelRow) -> tuple[Shift, ...]:
    """How far a snapshot's ground, and the rain of its newest year, have moved; empty where the model does not tell."""
    dated = [scene for scene in load_snapshot(taken).scenes if scene.day is not None]
    year = max((scene.day.year for scene in dated if scene.day), default=None)
    rain = [scene.rain.values.ravel() for scene in dated if scene.day and scene.day.year == year]
    checkpoint = load_checkpoint(model.path)
    return _shifts(region, settings, checkpoint, _joined(rain), str(year) if year else "no dated rain")


def _shifts(
    region: Region, settings: Settings, checkpoint: Checkpoint, rain: NDArray[np.float32], period: str
) -> tuple[Shift, ...]:
    """Of the ground that the model was trained on, so that like is compared with like; empty where it does not tell."""
    if checkpoint.reference is None:
        return ()
    with open_stack(region, settings.region_dir(region.name) / "factors") as factors:
        ground = draw_ground(factors, hold_out(factors.grid, checkpoint.config))
    return drift_of(checkpoint.reference, ground, rain, period)


def _newest_rain(region: Region, settings: Settings) -> tuple[NDArray[np.float32], str]:
    """Rain of seven days, mm, in every seventh window of the newest archived 365 days, and what to call them."""
    known = find_known_days(region, settings)
    if not known:
        return _joined([]), "no archived rain"
    last = max(known)
    rain = []
    for day in (last - timedelta(days=n) for n in range(0, YEAR_DAYS, 7)):
        if known.issuperset(window_days(day)):
            window = window_of(region, settings, day)
            rain.append(window.total.where(~window.lower_bound).values.ravel())
    return _joined(rain), f"{YEAR_DAYS} days to {last}"


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.empty(0, np.float32), *parts])


def write_card(region: Region, settings: Settings, model_id: str | None = None) -> Path:
    """Write a recorded model's card anew, beside its file, and say where.

    Args:
        model_id: or its beginning; left out, the champion.

    Raises:
        NoModel: there is none.
        CheckpointMismatch: it cannot be read.
    """
    model = _recorded(region, settings, model_id)
    with transaction(open_database(settings)) as conn:
        shifts = inputs.find_drift(conn, region, model.id)
    snapshot: Snapshot | None
    try:
        snapshot = load_snapshot(settings.region_dir(region.name) / "snapshots" / model.snapshot_id)
    except TrainingError as error:
        log.info("the card of model %s says nothing of its snapshot: %s", model.id, error)
        snapshot = None
    facts = Facts(
        region=region,
        model_id=model.id,
        role=model.role,
        made_at=model.made_at,
        checkpoint=load_checkpoint(model.path),
        figures=model.metrics,
        snapshot=snapshot,
        drift=tuple(Shift(each.of, each.subject, each.psi, each.cells) for each in shifts),
        software=f"lswarn {__version__}",
    )
    path = settings.region_dir(region.name) / "models" / f"{model.id}.md"
    save_card(model_card(facts), path)
    return path


def _recorded(region: Region, settings: Settings, model_id: str | None) -> inputs.ModelRow:
    with transaction(open_database(settings)) as conn:
        if model_id is None:
            return inputs.find_champion(conn, region)
        return inputs.find_model(conn, region, model_id)
