"""What a verification comes to: the figures that the page shows and programs read. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np

from lswarn.alerts.verification.counts import FORMULAS, AreaDay, Contingency, Lead
from lswarn.alerts.verification.edumap import CLASSES, CRITERION, GRADES, INDICATORS, LEVELS, DurationMatrix


class ReliabilityRow(Protocol):
    """Cells given a probability from `low` up to `high`."""

    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def cells(self) -> int: ...  # noqa: D102
    @property
    def landslide_cells(self) -> int: ...  # noqa: D102
    @property
    def probability(self) -> float: ...  # noqa: D102
    @property
    def rate(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class LevelScore:
    """How one level did.

    Attributes:
        name: `orange` means orange or red, `high` high or very high.
        areas: id, name and counts of each warning area; `total` is their sum.
        leads: of the landslides that were hits, where telling is asked for.
    """

    name: str
    total: Contingency
    areas: tuple[tuple[str, str, Contingency], ...]
    leads: tuple[Lead, ...] = ()

    @property
    def median_lead_h(self) -> float:
        """Of those who were told; NaN where nobody was."""
        known = [lead.lead_h for lead in self.leads if lead.lead_h is not None]
        return float(np.median(known)) if known else float("nan")


@dataclass(frozen=True)
class ClassShare:
    """One class: its share of the ground on all known days, and of the landslides on their days (NaN: none)."""

    name: str
    ground_share: float
    landslides: int
    landslide_share: float
    frequency_ratio: float


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of all complete days against what came. NaN: nothing there to tell by.

    Attributes:
        days: whose rasters were there. gone: complete days whose raster is gone from disk.
    """

    days: int
    gone: int
    cells: int
    landslide_cells: int
    auc: float
    brier: float
    brier_skill: float
    calibration_error: float
    rows: Sequence[ReliabilityRow]


@dataclass(frozen=True)
class LandslideRow:
    """What was warned of one landslide: levels by name, `not known` where nothing can be said; `area` is an id."""

    id: str
    day: date
    area: str
    area_name: str
    alert: str
    class_here: str
    class_near: str
    lead_h: float | None


@dataclass(frozen=True)
class Verification:
    """All of it.

    Attributes:
        made, made_at, software: what of the inputs is made up; when, and by what it was verified.
        days: of the period, by what was known on them; the sum is all.
        judged: landslides of the period that count. left_out: how many do not, and why.
        alerts, classes: by level, the lowest first.
        shares: of the five classes, very low first; `unshared`: landslides whose class is not known.
        levels, known: in force by area-day, and where its absence means something; for the picture.
        hindcast_days: days on which classes and probabilities are those of a hindcast.
    """

    region: str
    title: str
    made: str
    made_at: str
    software: str
    start: date
    end: date
    tolerance_days: int
    tolerance_m: float
    days: dict[str, int]
    hindcast_days: int
    judged: int
    left_out: dict[str, int]
    alerts: tuple[LevelScore, ...]
    classes: tuple[LevelScore, ...]
    shares: tuple[ClassShare, ...]
    unshared: int
    matrix: DurationMatrix
    probabilities: Probabilities
    landslides: tuple[LandslideRow, ...]
    levels: dict[AreaDay, int]
    known: frozenset[AreaDay]

    @property
    def day_count(self) -> int:
        """Days of the period."""
        return (self.end - self.start).days + 1


def as_dict(found: Verification) -> dict[str, Any]:
    """A verification as nested dicts; figures that are no number stay NaN."""

    def level(score: LevelScore) -> dict[str, Any]:
        return {
            **score.total.as_dict(),
            "areas": {area_id: {"name": name, **each.as_dict()} for area_id, name, each in score.areas},
        }

    def lead(score: LevelScore) -> dict[str, Any]:
        return {
            "warned_of": len(score.leads),
            "told_before_the_day": sum(each.ahead for each in score.leads),
            "told_before_it_was_over": sum(each.in_time for each in score.leads),
            "reached_nobody": sum(each.told_at is None for each in score.leads),
            "median_h": score.median_lead_h,
        }

    return {
        **{name: getattr(found, name) for name in ("region", "made", "made_at", "software")},
        **{name: str(getattr(found, name)) for name in ("start", "end")},
        **{name: getattr(found, name) for name in ("tolerance_days", "tolerance_m", "days", "hindcast_days")},
        "landslides": {"judged": found.judged, "left_out": found.left_out},
        "formulas": FORMULAS,
        "alerts": {score.name: level(score) | {"lead": lead(score)} for score in found.alerts},
        "classes": {score.name: level(score) for score in found.classes},
        "class_shares": [asdict(share) for share in found.shares],
        "class_not_known": found.unshared,
        "edumap": {
            "levels": LEVELS,
            "classes": CLASSES,
            "area_days": found.matrix.days,
            "unknown": found.matrix.unknown,
            "criterion": CRITERION,
            "grades": GRADES,
            "formulas": INDICATORS,
            **found.matrix.indicators(),
        },
        "probabilities": {
            **{name: value for name, value in vars(found.probabilities).items() if name != "rows"},
            "reliability": [vars(row) for row in found.probabilities.rows],
        },
        "events": [asdict(row) | {"day": str(row.day)} for row in found.landslides],
    }
