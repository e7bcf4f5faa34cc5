"""How well a model tells landslides from the rest, on ground it has never seen and at true prevalence.

Every known cell under every scene is counted, block by block; `skill` makes figures of the counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import CheckpointMismatch
from lswarn.grid import Block
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.holdout import Cut, Ground, Holdout, hold_out
from lswarn.model.newest import newest_year
from lswarn.model.predict import Predictor
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import Breaks, ClassRow, Tally, finite, skill
from lswarn.model.stability import Hillslopes

SCENES_AT_ONCE = 8


def tally(
    predictor: Predictor,
    factors: FactorReader,
    observed: Observed,
    blocks: Iterable[Block],
    without: Sequence[Ground | None],
    scenes: Sequence[int] | None = None,
) -> tuple[Tally, ...]:
    """Count the known cells of some blocks, once for each of `without`, less those that it masks.

    Args:
        scenes: positions of those to count under; left out, all.
    """
    totals = [Tally.empty()] * len(without)
    for block, score, label, danger in _scored(predictor, factors, observed, blocks, scenes):
        for k, ground in enumerate(without):
            seen = label if ground is None else np.where(ground.mask(block), np.nan, label)
            totals[k] += Tally.of(score, seen, danger)
    return tuple(totals)


def tally_judged(
    predictor: Predictor,
    factors: FactorReader,
    observed: Observed,
    holdout: Holdout,
    zones: Cut | None = None,
    count: int = 0,
) -> tuple[Tally, ...]:
    """Count the known cells of judged ground under all scenes.

    Args:
        zones: counted apart; the first `count` of its parts.

    Returns:
        One tally of the cells in no zone, and one of each zone: their sum is all judged ground.
    """
    totals = [Tally.empty()] * (count + 1)
    for block, score, label, danger in _scored(predictor, factors, observed, holdout.judged()):
        judged = holdout.mask(block, judged=True)
        zone = np.zeros(block.shape, int) if zones is None else zones.number(block) + 1
        for k in np.unique(zone[judged]):
            here = judged & (zone == k)
            totals[k] += Tally.of(score[:, here], label[:, here], danger[:, here])
    return tuple(totals)


def _scored(
    predictor: Predictor,
    factors: FactorReader,
    observed: Observed,
    blocks: Iterable[Block],
    scenes: Sequence[int] | None = None,
) -> Iterator[tuple[Block, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """Log-odds, label and danger [S, h, w] of each block under a few scenes at a time, until it was under all."""
    scenes = range(observed.scenes) if scenes is None else scenes
    for block in blocks:
        around = block.with_halo(predictor.halo)
        ground = factors.read(around)
        inner = np.s_[:, predictor.halo : predictor.halo + block.height, predictor.halo : predictor.halo + block.width]
        for first in range(0, len(scenes), SCENES_AT_ONCE):
            cells = observed.at(around, ground, scenes[first : first + SCENES_AT_ONCE])
            score = predictor.log_odds(ground, cells.rain)
            yield block, score[inner], cells.label[inner], cells.danger[inner]


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model where it has never been: those of `skill.Skill` that are kept with it for good.

    Attributes:
        auc … calibration_error: on the ground its config holds out, under all rains; see `skill.Skill`.
        newest_auc: on all ground, under the rains of `newest_days`; NaN where there is none.
        newest_days: last days of rains of the newest year that it has not learnt from.
        newest_landslide_cells: how many cells that slid under them it was judged by.
    """

    model_id: str
    snapshot_id: str
    auc: float
    average_precision: float
    brier: float
    brier_skill: float
    physics_consistency: float
    cells: int
    landslide_cells: int
    class_table: tuple[ClassRow, ...]
    calibration_error: float = float("nan")
    newest_auc: float = float("nan")
    newest_days: tuple[date, ...] = ()
    newest_landslide_cells: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON knows them: null for those that are no number."""
        return dict(finite(asdict(self) | {"newest_days": [day.isoformat() for day in self.newest_days]}))


def evaluate(
    checkpoint: Checkpoint,
    factors: FactorReader,
    snapshot: Snapshot,
    *,
    device: str = "auto",
    days: Sequence[date] | None = None,
    hillslopes: Hillslopes | None = None,
) -> Evaluation:
    """Judge a model on the ground that its config holds out, and under the rains of the newest year.

    Args:
        days: last days of the rains of the newest year; left out, all of `unseen_days`.
        hillslopes: asked which cells are in danger; None: the critical rainfall is.

    Raises:
        GridMismatch: factors and snapshot are in different CRS.
        CheckpointMismatch: the model was trained on another measure of rain than the snapshot holds.
    """
    if checkpoint.measure != snapshot.measure:
        raise CheckpointMismatch(
            f"model {checkpoint.id} was trained on rain measure {checkpoint.measure!r}, snapshot {snapshot.id} holds "
            f"{snapshot.measure!r}; train a model"
        )
    predictor, holdout = Predictor(checkpoint, device), hold_out(factors.grid, checkpoint.config)
    observed = Observed(snapshot, factors.grid, hillslopes)
    (counted,) = tally_judged(predictor, factors, observed, holdout)
    days = unseen_days(checkpoint, snapshot) if days is None else days
    scenes = [i for i, scene in enumerate(snapshot.scenes) if scene.day in days]
    (newest,) = tally(predictor, factors, observed, factors.grid.blocks() if scenes else (), [None], scenes)
    return scores(
        counted, checkpoint.breaks, model_id=checkpoint.id, snapshot_id=snapshot.id, newest=newest, days=tuple(days)
    )


def unseen_days(checkpoint: Checkpoint, snapshot: Snapshot) -> tuple[date, ...]:
    """Last days of the rains of a snapshot's newest year that a model has not learnt from.

    None of a model that does not tell what it has learnt from: it may have been these.
    """
    held = [snapshot.scenes[i].day for i in newest_year(snapshot)] if checkpoint.learnt_days else []
    return tuple(day for day in held if day is not None and day not in checkpoint.learnt_days)


def scores(
    counted: Tally,
    breaks: Breaks,
    *,
    model_id: str,
    snapshot_id: str,
    newest: Tally | None = None,
    days: tuple[date, ...] = (),
) -> Evaluation:
    """The figures to keep, from the counts on held-out ground and those under the rains of the newest year."""
    told, year = skill([(counted, breaks)]), skill([(newest or Tally.empty(), breaks)])
    return Evaluation(
        model_id,
        snapshot_id,
        told.auc,
        told.average_precision,
        told.brier,
        told.brier_skill,
        told.physics_consistency,
        told.cells,
        told.landslide_cells,
        told.class_table,
        told.calibration_error,
        year.auc,
        days,
        year.landslide_cells,
    )
