"""Figures of skill, made of counted cells. Pure: no network, no files.

Cells are counted into histograms of the log-odds a model gave them: memory is bounded by the bins, however large the
region, and counts of several folds are added. Every known cell under every scene counts, at true prevalence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

BINS, LIMIT = 5000, 25.0
LOG_ODDS = (np.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
"""Centres of the bins; within one, odds differ by one percent."""

Breaks = tuple[float, float, float, float]

RELIABILITY_EDGES = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Probabilities between which forecasts are held against what came, by ratio: landslides are rare."""
AREA_SHARES = (0.0, 0.001, 0.002, 0.005, *(k / 100 for k in range(1, 101)))
"""Points at which curves are told."""


@dataclass(frozen=True)
class Tally:
    """Cells counted by log-odds, each array [bins]; sums with `+`.

    Attributes:
        stable, slid: cells labelled 0 and 1.
        endangered: of both, those in danger, by the physics that is configured (`loss.danger`, `stability.danger`).
    """

    stable: NDArray[np.int64]
    slid: NDArray[np.int64]
    endangered: NDArray[np.int64]

    def __add__(self, other: Self) -> "Tally":
        return Tally(self.stable + other.stable, self.slid + other.slid, self.endangered + other.endangered)

    @classmethod
    def empty(cls) -> Self:
        """Nothing counted yet."""
        return cls(*np.zeros((3, BINS), np.int64))

    @classmethod
    def of(cls, log_odds: NDArray[Any], label: NDArray[Any], danger: NDArray[Any]) -> Self:
        """Count cells: their log-odds, label (1, 0, NaN unknown) and danger (see `loss`), of one shape."""
        groups = (label == 0, label == 1, (danger > 0) & ~np.isnan(label))
        score = np.clip(log_odds, -LIMIT, LIMIT)
        return cls(*(np.histogram(score[group], BINS, (-LIMIT, LIMIT))[0] for group in groups))


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
class ReliabilityRow:
    """Cells given a probability from `low` up to `high`: how many, its mean there, and the share that slid (or NaN)."""

    low: float
    high: float
    cells: int
    landslide_cells: int
    probability: float
    rate: float


@dataclass(frozen=True)
class Curve:
    """A curve from (0, 0) to (1, 1) that never falls; empty where there is nothing to tell by."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Skill:
    """Figures of a model on some ground. NaN: nothing there to tell by.

    Attributes:
        auc: area under the ROC curve: chance that a landslide cell scores above another cell; ties count half.
        average_precision: area under precision over recall, at true prevalence.
        brier, brier_skill: mean squared error of the probability; 1 - brier / that of the constant true rate.
        calibration_error: mean distance between probability and rate over the rows of `reliability`, by cells.
        physics_consistency: share of cells on slopes, with rain above critical, that the model puts in HIGH or above.
        cells, landslide_cells: judged, each under each scene.
        class_table: five rows, very low first; `rises`: its frequency ratio does, over the classes that have cells.
        reliability: forecasts against what came.
        roc: share of landslide cells above a threshold (y) over that of all other cells (x).
        rate: share of landslide cells (y) in the most probable share of all cells (x): of ground trained on, the
            success-rate curve; of unseen ground, the prediction-rate curve (Chung and Fabbri 2003,
            doi 10.1023/B:NHAZ.0000007172.62651.2b).
    """

    auc: float
    average_precision: float
    brier: float
    brier_skill: float
    calibration_error: float
    physics_consistency: float
    cells: int
    landslide_cells: int
    class_table: tuple[ClassRow, ...]
    rises: bool
    reliability: tuple[ReliabilityRow, ...]
    roc: Curve
    rate: Curve


def skill(parts: Sequence[tuple[Tally, Breaks]]) -> Skill:
    """All figures from the counts of one or several folds, each with the class breaks of the model that scored it."""
    total = sum((tally for tally, _ in parts), Tally.empty())
    stable, slid, both = total.stable, total.slid, total.stable + total.slid
    p = expit(LOG_ODDS)
    with np.errstate(divide="ignore", invalid="ignore"):
        cells, positives = np.float64(both.sum()), np.float64(slid.sum())
        prevalence = positives / cells
        above = np.cumsum(both[::-1])[::-1]  # alarms, were the threshold here
        precision = np.nan_to_num(np.cumsum(slid[::-1])[::-1] / above)
        brier = (stable @ p**2 + slid @ (1 - p) ** 2) / cells
        table, endangered = _classes(parts, cells, positives)
        reliability = _reliability(total)
        told = [row for row in reliability if row.cells]
        apart = sum(row.cells * abs(row.probability - row.rate) for row in told)
        ratios = [row.frequency_ratio for row in table if row.area_share > 0]
        return Skill(
            auc=float(slid @ (np.cumsum(stable) - stable / 2) / (positives * stable.sum())),
            average_precision=float(slid @ precision / positives),
            brier=float(brier),
            brier_skill=float(1 - brier / (prevalence * (1 - prevalence))),
            calibration_error=float(apart / cells),
            physics_consistency=float(endangered[3:].sum() / endangered.sum()),
            cells=int(cells),
            landslide_cells=int(positives),
            class_table=table,
            rises=len(ratios) > 1 and bool((np.diff(ratios) > 0).all()),
            reliability=reliability,
            roc=_curve(stable, slid),
            rate=_curve(both, slid),
        )


@dataclass(frozen=True)
class Counted:
    """What one model, trained without one fold, was counted to say.

    Attributes:
        zones: of the fold held out: first the cells in no hot spot, then those of each; together all that were judged.
        trained: of ground it was trained on, or of a sample of it.
        breaks: its class breaks.
        seconds: that training and counting took.
        facts: figures of the training by name, what inner held-out ground chose among them.
    """

    zones: tuple[Tally, ...]
    trained: Tally
    breaks: Breaks
    seconds: float
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> Tally:
        """All that was judged."""
        return sum(self.zones, Tally.empty())


@dataclass(frozen=True)
class ModelSkill:
    """What a kind of model is worth.

    Attributes:
        overall: of all folds together; their probabilities come from as many models, trained apart.
        folds, hot_spots: of each.
        trained: on ground that was trained on, for the success-rate curve: how well it remembers.
        random: where cells were held out at random instead: what a careless split would claim.
        fold_auc: mean of the folds' AUC: unlike that of all together, it holds no model's score against another's.
        spread: most minus least AUC of the hot spots.
        optimism: AUC that the random split claims over `fold_auc`.
        seconds: that all of it took.
    """

    name: str
    overall: Skill
    folds: tuple[Skill, ...]
    hot_spots: tuple[Skill, ...]
    trained: Skill
    random: Skill
    fold_auc: float
    spread: float
    optimism: float
    seconds: float


def model_skill(name: str, folds: Sequence[Counted], random: Counted) -> ModelSkill:
    """What the counts of all folds, and of the random split, come to."""
    by_fold = tuple(skill([(fold.judged, fold.breaks)]) for fold in folds)
    hot_spots = tuple(
        skill([(fold.zones[zone], fold.breaks) for fold in folds]) for zone in range(1, len(folds[0].zones))
    )
    careless, fold_auc = skill([(random.judged, random.breaks)]), _mean_auc(by_fold)
    return ModelSkill(
        name=name,
        overall=skill([(fold.judged, fold.breaks) for fold in folds]),
        folds=by_fold,
        hot_spots=hot_spots,
        trained=skill([(fold.trained, fold.breaks) for fold in folds]),
        random=careless,
        fold_auc=fold_auc,
        spread=spread(hot_spots),
        optimism=careless.auc - fold_auc,
        seconds=sum(fold.seconds for fold in (*folds, random)),
    )


def spread(figures: Sequence[Skill]) -> float:
    """Most minus least AUC, of those that are known; NaN of fewer than two."""
    known = [each.auc for each in figures if np.isfinite(each.auc)]
    return max(known) - min(known) if len(known) > 1 else float("nan")


def finite(figures: Any) -> Any:
    """Figures (nested dicts and sequences) as JSON knows them: null for those that are no number."""
    match figures:
        case dict():
            return {name: finite(value) for name, value in figures.items()}
        case list() | tuple():
            return [finite(value) for value in figures]
        case float() if not np.isfinite(figures):
            return None
    return figures


def _mean_auc(figures: Sequence[Skill]) -> float:
    known = [each.auc for each in figures if np.isfinite(each.auc)]
    return float(np.mean(known)) if known else float("nan")


def _classes(
    parts: Sequence[tuple[Tally, Breaks]], cells: np.float64, positives: np.float64
) -> tuple[tuple[ClassRow, ...], NDArray[np.float64]]:
    """The class table, and how many endangered cells are in each class."""
    counts = np.zeros((4, 5))  # cells, landslide cells, endangered cells, sum of probabilities
    for tally, breaks in parts:
        of_class = np.digitize(LOG_ODDS, logit(breaks))
        both = tally.stable + tally.slid
        for row, weights in zip(counts, (both, tally.slid, tally.endangered, both * expit(LOG_ODDS)), strict=True):
            row += np.bincount(of_class, weights, 5)
    area, slides = counts[0] / cells, counts[1] / positives
    columns = (area, slides, slides / area, counts[3] / counts[0], counts[1] / counts[0])
    return tuple(ClassRow(k + 1, *(float(column[k]) for column in columns)) for k in range(5)), counts[2]


def _reliability(total: Tally) -> tuple[ReliabilityRow, ...]:
    p, both = expit(LOG_ODDS), total.stable + total.slid
    of_row = np.digitize(p, RELIABILITY_EDGES[1:-1])
    rows = len(RELIABILITY_EDGES) - 1
    cells, slid, mass = (np.bincount(of_row, weights, rows) for weights in (both, total.slid, both * p))
    return tuple(
        ReliabilityRow(low, high, int(n), int(s), float(m / n), float(s / n))
        for low, high, n, s, m in zip(RELIABILITY_EDGES, RELIABILITY_EDGES[1:], cells, slid, mass, strict=False)
    )


def _curve(across: NDArray[np.int64], up: NDArray[np.int64]) -> Curve:
    """Shares above each threshold, the highest first; within a bin, where order is unknown, a straight line."""
    if not across.sum() or not up.sum():
        return Curve((), ())
    x, y = (np.concatenate([[0.0], np.cumsum(counts[::-1]) / counts.sum()]) for counts in (across, up))
    return Curve((0.0, *AREA_SHARES), (0.0, *(float(v) for v in np.interp(AREA_SHARES, x, y))))
