"""How a model is made: what it may learn from, what it learns, what its scores are worth, and all of it in one file."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lswarn.errors import TrainingError
from lswarn.model.calibrate import isotonic, natural_breaks, rise, shift
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.course import OnStep, sizes_of
from lswarn.model.crops import Crops
from lswarn.model.drift import Reference
from lswarn.model.encoder import Encoding
from lswarn.model.faults import require_known
from lswarn.model.ground import draw_ground
from lswarn.model.holdout import Holdout, hold_out, hold_out_inner
from lswarn.model.members import School, Taught, by_steps, teach
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import LOG_ODDS
from lswarn.model.stability import hillslopes
from lswarn.sections import Model

log = logging.getLogger(__name__)

LEAST_LANDSLIDES = 20


def steps_of(config: Model) -> int:
    """How many steps a training tells of, at most."""
    return config.steps * len(sizes_of(config, choice=True)) if by_steps(config) else 1


def train(
    config: Model,
    factors: FactorReader,
    snapshot: Snapshot,
    *,
    device: str = "auto",
    holdout: Holdout | None = None,
    scenes: Sequence[int] | None = None,
    on_step: OnStep = lambda step, parts: None,
    resume: Path | None = None,
    processes: int | None = None,
) -> Checkpoint:
    """Train a model and make a checkpoint of it. The same inputs and seed give the same one on the same machine.

    Args:
        holdout: ground that teaches nothing; left out, what `hold_out` makes of the config.
        scenes: positions, in the snapshot, of those that teach; left out, all.
        on_step: told the step, from 1, and the parts of its loss, up to `steps_of`; not where several processes learn.
        resume: file in which the state is kept every few steps, until all is done. Where it holds that of this very
            training (one that was killed), it goes on from there, and comes to the same checkpoint.
        processes: that learn together; left out, one for each GPU.

    Raises:
        TrainingError: fewer than `LEAST_LANDSLIDES` on training ground, no ground with all factors known, a loss that
            is no number any more.
        GridMismatch: the snapshot is in another CRS than the factors.
    """
    holdout = holdout or hold_out(factors.grid, config)
    observed = Observed(snapshot, factors.grid, hillslopes(config, factors.read_upslope))
    teaching = tuple(range(observed.scenes) if scenes is None else scenes)
    slid = observed.cells_of[np.isin(observed.scene_of, teaching)]
    ground = hold_out_inner(factors.grid, holdout, slid, config)
    crops = Crops(factors, observed, holdout, config, teaching)
    if crops.landslides < LEAST_LANDSLIDES:
        raise TrainingError(
            f"{crops.landslides} landslides on training ground, at least {LEAST_LANDSLIDES} are needed: "
            "extend the inventory or the region"
        )
    cells, rain = draw_ground(factors, holdout), np.stack([snapshot.scenes[k].rain.values for k in teaching])
    require_known(cells, factors, holdout)
    draft = Checkpoint(
        config=config,
        encoding=Encoding.measured(cells, rain),
        positive_weight=1.0,
        breaks=(0.2, 0.4, 0.6, 0.8),
        factors_digest=factors.digest,
        snapshot_id=snapshot.id,
        metrics={},
        state={},
        measure=snapshot.measure,
        learnt_days=tuple(day for day in (snapshot.scenes[k].day for k in teaching) if day is not None),
        reference=Reference.measured(cells, rain),
    )
    school = School(factors, snapshot, observed, ground, teaching, device)
    made = teach(school, draft, crops, on_step=on_step, resume=resume, processes=processes)
    trained = _calibrated(school, made)
    if not by_steps(config):
        on_step(1, {"total": trained.metrics.get("inner_loss", np.nan)})
    if resume is not None:
        resume.unlink(missing_ok=True)
    return trained


def _calibrated(school: School, made: Taught) -> Checkpoint:
    """What its scores are worth, as told by ground that taught it nothing; the level, by all training ground."""
    trained, inner = school.counted(made.kept)
    undone = inner_undone = shift(trained)
    if made.tried is not made.kept:
        seen, inner = school.counted(made.tried)
        inner_undone = shift(seen)
    corners = isotonic(inner, inner_undone, trained, undone)
    breaks = natural_breaks(trained, rise(corners, LOG_ODDS - undone))
    return replace(made.kept, positive_weight=float(np.exp(undone)), calibration=corners, breaks=breaks)
