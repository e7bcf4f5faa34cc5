"""How well a model tells landslides from the rest, on ground it has never seen and at true prevalence.

Every known cell under every scene is counted, block by block, into histograms of the log-odds: memory is bounded by
their bins, however large the region.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from lswarn.errors import CheckpointMismatch
from lswarn.grid import Block
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.holdout import Holdout, hold_out
from lswarn.model.predict import Predictor
from lswarn.model.samples import FactorReader, Observed, Snapshot

BINS, LIMIT = 5000, 25.0
LOG_ODDS = (np.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
"""Centres of the bins; within one, odds differ by one percent."""
SCENES_AT_ONCE = 8


@dataclass(frozen=True)
class Tally:
    """Cells counted by log-odds, each array [bins]; sums with `+`.

    Attributes:
        stable, slid: cells labelled 0 and 1.
        endangered: of both, those on slopes whose rain exceeds the critical rain.
    """

    stable: NDArray[np.int64]
    slid: NDArray[np.int64]
    endangered: NDArray[np.int64]

    def __add__(self, other: Self) -> "Tally":
        return Tally(self.stable + other.stable, self.slid + other.slid, self.endangered + other.endangered)


def tally(
    predictor: Predictor, factors: FactorReader, snapshot: Snapshot, blocks: Iterable[Block], without: Holdout | None
) -> Tally:
    """Count the known cells of some blocks under all scenes, but not those on the held-out ground of `without`."""
    observed = Observed(snapshot, factors.grid)
    total = Tally(*np.zeros((3, BINS), np.int64))
    for block in blocks:
        around = block.with_halo(predictor.halo)
        ground = factors.read(around)
        inner = np.s_[:, predictor.halo : predictor.halo + block.height, predictor.halo : predictor.halo + block.width]
        for first in range(0, observed.scenes, SCENES_AT_ONCE):
            cells = observed.at(around, ground, range(first, min(first + SCENES_AT_ONCE, observed.scenes)))
            score = predictor.log_odds(ground, cells.rain)[inner].clip(-LIMIT, LIMIT)
            label, danger = cells.label[inner], cells.danger[inner]
            if without is not None:
                label[:, without.mask(block)] = np.nan
            groups = (label == 0, label == 1, (danger > 0) & ~np.isnan(label))
            total += Tally(*(np.histogram(score[group], BINS, (-LIMIT, LIMIT))[0] for group in groups))
    return total


@dataclass(frozen=True)
class ClassRow:
    """One susceptibility class (1 very low … 5 very high) on the judged ground.

    Attributes:
        area_share, landslide_share: of all judged cells, and of landslide cells, in the class.
        frequency_ratio: landslide share over area share, NaN in an empty class; it should rise from class to class.
        probability, rate: mean predicted probability, and share of cells that slid; equal when calibrated.
    """

    number: int
    area_share: float
    landslide_share: float
    frequency_ratio: float
    probability: float
    rate: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on held-out ground. NaN: nothing there to tell by.

    Attributes:
        auc: chance that a landslide cell scores above another cell; ties count half.
        average_precision: area under precision over recall, at true prevalence.
        brier, brier_skill: mean squared error of the probability; 1 - brier / that of the constant true rate.
        physics_consistency: share of cells on slopes, with rain above critical, that the model puts in HIGH or above.
        cells, landslide_cells: judged, each under each scene.
        class_table: five rows, very low first.
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

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON knows them: null for those that are no number."""
        return dict(_finite(asdict(self)))


def _finite(figures: Any) -> Any:
    match figures:
        case dict():
            return {name: _finite(value) for name, value in figures.items()}
        case list() | tuple():
            return [_finite(value) for value in figures]
        case float() if not np.isfinite(figures):
            return None
    return figures


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
    predictor = Predictor(checkpoint, device)
    holdout = hold_out(factors.grid, checkpoint.config)
    counted = tally(predictor, factors, snapshot, holdout.judged(), None)
    return scores(counted, checkpoint.breaks, model_id=checkpoint.id, snapshot_id=snapshot.id)


def scores(counted: Tally, breaks: tuple[float, float, float, float], *, model_id: str, snapshot_id: str) -> Evaluation:
    """All figures from the counts."""
    stable, slid, both = counted.stable, counted.slid, counted.stable + counted.slid
    p = expit(LOG_ODDS)
    of_class = np.digitize(LOG_ODDS, logit(breaks))
    with np.errstate(divide="ignore", invalid="ignore"):
        cells, positives = np.float64(both.sum()), np.float64(slid.sum())
        rate = positives / cells
        above = np.cumsum(both[::-1])[::-1]  # alarms, were the threshold here
        precision = np.nan_to_num(np.cumsum(slid[::-1])[::-1] / above)
        brier = (stable @ p**2 + slid @ (1 - p) ** 2) / cells
        rows = []
        for number in range(5):
            here = of_class == number
            area, slides = both[here].sum() / cells, slid[here].sum() / positives
            mean = (both @ np.where(here, p, 0)) / both[here].sum()
            rows.append(ClassRow(number + 1, area, slides, slides / area, mean, slid[here].sum() / both[here].sum()))
        return Evaluation(
            model_id=model_id,
            snapshot_id=snapshot_id,
            auc=float(slid @ (np.cumsum(stable) - stable / 2) / (positives * stable.sum())),
            average_precision=float(slid @ precision / positives),
            brier=float(brier),
            brier_skill=float(1 - brier / (rate * (1 - rate))),
            physics_consistency=float(counted.endangered[of_class >= 3].sum() / np.float64(counted.endangered.sum())),
            cells=int(cells),
            landslide_cells=int(positives),
            class_table=tuple(rows),
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
