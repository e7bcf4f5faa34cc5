"""How well a model tells landslides from the rest, on ground it has never seen and at true prevalence.

Every known cell under every scene is counted, block by block; `skill` makes figures of the counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import CheckpointMismatch
from lswarn.grid import Block
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.holdout import Cut, Holdout, hold_out
from lswarn.model.predict import Predictor
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import Breaks, ClassRow, Tally, finite, skill

SCENES_AT_ONCE = 8


def tally(
    predictor: Predictor, factors: FactorReader, snapshot: Snapshot, blocks: Iterable[Block], without: Holdout | None
) -> Tally:
    """Count the known cells of some blocks under all scenes, but not those on the held-out ground of `without`."""
    observed, total = Observed(snapshot, factors.grid), Tally.empty()
    for block, score, label, danger in _scored(predictor, factors, observed, blocks):
        if without is not None:
            label[:, without.mask(block)] = np.nan
        total += Tally.of(score, label, danger)
    return total


def tally_judged(
    predictor: Predictor,
    factors: FactorReader,
    snapshot: Snapshot,
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
    observed, totals = Observed(snapshot, factors.grid), [Tally.empty()] * (count + 1)
    for block, score, label, danger in _scored(predictor, factors, observed, holdout.judged()):
        judged = holdout.mask(block, judged=True)
        zone = np.zeros(block.shape, int) if zones is None else zones.number(block) + 1
        for k in np.unique(zone[judged]):
            here = judged & (zone == k)
            totals[k] += Tally.of(score[:, here], label[:, here], danger[:, here])
    return tuple(totals)


def _scored(
    predictor: Predictor, factors: FactorReader, observed: Observed, blocks: Iterable[Block]
) -> Iterator[tuple[Block, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """Log-odds, label and danger [S, h, w] of each block under a few scenes at a time, until it was under all."""
    for block in blocks:
        around = block.with_halo(predictor.halo)
        ground = factors.read(around)
        inner = np.s_[:, predictor.halo : predictor.halo + block.height, predictor.halo : predictor.halo + block.width]
        for first in range(0, observed.scenes, SCENES_AT_ONCE):
            cells = observed.at(around, ground, range(first, min(first + SCENES_AT_ONCE, observed.scenes)))
            score = predictor.log_odds(ground, cells.rain)
            yield block, score[inner], cells.label[inner], cells.danger[inner]


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on the ground its config holds out, those of `skill.Skill` that are kept with it for good."""

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

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON knows them: null for those that are no number."""
        return dict(finite(asdict(self)))


def evaluate(checkpoint: Checkpoint, factors: FactorReader, snapshot: Snapshot, *, device: str = "auto") -> Evaluation:
    """Judge a model on the ground that its config holds out.

    Raises:
        GridMismatch: factors and snapshot are in different CRS.
        CheckpointMismatch: the model was trained on another measure of rain than the snapshot holds.
    """
    if checkpoint.measure != snapshot.measure:
        raise CheckpointMismatch(
            f"model {checkpoint.id} was trained on rain measure {checkpoint.measure!r}, snapshot {snapshot.id} holds "
            f"{snapshot.measure!r}; train a model"
        )
    holdout = hold_out(factors.grid, checkpoint.config)
    (counted,) = tally_judged(Predictor(checkpoint, device), factors, snapshot, holdout)
    return scores(counted, checkpoint.breaks, model_id=checkpoint.id, snapshot_id=snapshot.id)


def scores(counted: Tally, breaks: Breaks, *, model_id: str, snapshot_id: str) -> Evaluation:
    """The figures to keep, from the counts."""
    told = skill([(counted, breaks)])
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
    )


def better(candidate: Evaluation, champion: Evaluation) -> tuple[bool, str]:
    """Whether a candidate may replace the champion, and why: no worse in AUC and in Brier score, on the same cells.

    Unknown (NaN) figures never win.
    """
    if (candidate.snapshot_id, candidate.cells) != (champion.snapshot_id, champion.cells):
        return False, (
            f"not judged on the same cells ({candidate.cells} of snapshot {candidate.snapshot_id}, the champion "
            f"on {champion.cells} of {champion.snapshot_id}): the hold-out settings differ, promote by hand if meant"
        )
    figures = (
        f"AUC {candidate.auc:.4f} (champion {champion.auc:.4f}), Brier {candidate.brier:.3g} ({champion.brier:.3g})"
    )
    if candidate.auc >= champion.auc and candidate.brier <= champion.brier:
        return True, f"no worse than the champion: {figures}"
    return False, f"worse than the champion, or not to be told: {figures}"
