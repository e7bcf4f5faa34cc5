"""The duration matrix of EDuMaP: how long which warning was in force under how many landslides. Pure.

A two-by-two table knows neither levels nor how many landslides came. The method of Calvello and Piciullo (2016, Natural
Hazards and Earth System Sciences 16, 103, doi 10.5194/nhess-16-103-2016) groups landslides into events, holds them
against the warnings and adds up the time. What counts as right is for the analyst to say: `CRITERION` and `GRADES` are
our choice, and the page prints them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lswarn.alerts.verification.counts import DAY, AreaDay, Event

LEVELS = ("none", "orange", "red")
"""Rows: level in force. A fourth row holds days that were not known, on which nothing was in force."""

CLASSES = ("none", "1", "2 to 9", "10 or more")
"""Columns: landslides of the event."""
_LEAST = (1, 2, 10)

GAP_DAYS = 2
"""Landslides of one area whose days lie closer together than this are one event."""

CRITERION = (
    ("right silence", "missed", "missed", "missed"),
    ("false", "right", "right", "missed"),
    ("false", "right", "right", "right"),
)
"""What a cell means: an orange alert is too little for ten landslides and more."""

GRADES = (
    ("green", "yellow", "red", "purple"),
    ("yellow", "green", "green", "red"),
    ("purple", "yellow", "green", "green"),
)
"""How grave a cell's mistake is: green none, yellow slight, red grave, purple serious."""

INDICATORS = {
    "efficiency": "right / (right + missed + false)",
    "hit_rate": "right / (right + missed)",
    "predictive_power": "right / (right + false)",
    "error_rate": "(red + purple) / all but right silence",
    "serious_mistakes": "purple / all but right silence",
}
"""All in area-days. Right silence is so much the most of the time that every share of it would look good."""


@dataclass(frozen=True)
class LandslideEvent:
    """Landslides of one area that came together: first and last day, and how many."""

    area_id: str
    first: date
    last: date
    landslides: int

    @property
    def column(self) -> int:
        """Position in `CLASSES`."""
        return sum(self.landslides >= least for least in _LEAST)


@dataclass(frozen=True)
class DurationMatrix:
    """Area-days by level in force and by class of landslide event.

    Attributes:
        days: rows as `LEVELS`, columns as `CLASSES`.
        unknown: of days that were not known and on which nothing was in force, as a row.
        events: what the columns were told by.
    """

    days: tuple[tuple[int, ...], ...]
    unknown: tuple[int, ...]
    events: tuple[LandslideEvent, ...]

    def total(self, meaning: str) -> int:
        """Area-days whose cell has that meaning in `CRITERION`, or that grade in `GRADES`."""
        table = GRADES if meaning in {grade for row in GRADES for grade in row} else CRITERION
        return sum(
            days
            for row, meant in zip(self.days, table, strict=True)
            for days, each in zip(row, meant, strict=True)
            if each == meaning
        )

    def indicators(self) -> dict[str, float]:
        """Figures by the names of `INDICATORS`; NaN where there is nothing to tell by."""
        right, missed, false = (self.total(each) for each in ("right", "missed", "false"))
        told = sum(map(sum, self.days)) - self.total("right silence")
        purple = self.total("purple")
        shares = {
            "efficiency": (right, right + missed + false),
            "hit_rate": (right, right + missed),
            "predictive_power": (right, right + false),
            "error_rate": (self.total("red") + purple, told),
            "serious_mistakes": (purple, told),
        }
        return {name: part / whole if whole else float("nan") for name, (part, whole) in shares.items()}


def landslide_events(events: Collection[Event]) -> list[LandslideEvent]:
    """Landslides grouped into events, by area and day."""
    found: list[LandslideEvent] = []
    for each in sorted(events, key=lambda event: (event.area_id, event.day)):
        last = found[-1] if found else None
        if last and last.area_id == each.area_id and each.day - last.last < timedelta(days=GAP_DAYS):
            found[-1] = LandslideEvent(last.area_id, last.first, each.day, last.landslides + 1)
        else:
            found.append(LandslideEvent(each.area_id, each.day, each.day, 1))
    return found


def duration_matrix(
    area_ids: Sequence[str],
    days: Collection[date],
    warned: Mapping[AreaDay, int],
    known: Collection[AreaDay],
    events: Collection[Event],
    unplaced: Collection[Event],
    tolerance_days: int,
) -> DurationMatrix:
    """Add up the area-days.

    A day of a landslide event is in that event's column. So is a day within `tolerance_days` of one on which a warning
    was in force: it is neither too early nor too late (of several such events, the largest counts). A warning near a
    landslide of uncertain place is left out: nobody knows in which column it belongs.

    Args:
        warned: level (0, 1, 2) by area-day; 0 where it is left out.
        known: area-days on which the absence of a warning means something.
        events, unplaced: as in `verify.contingency`.
    """
    grouped = landslide_events(events)
    matrix, unknown = [[0] * len(CLASSES) for _ in LEVELS], [0] * len(CLASSES)
    for area_id in area_ids:
        here = [event for event in grouped if event.area_id == area_id]
        vague = [event.day for event in unplaced if area_id in event.near]
        # An event at the border is the neighbour's too, as far as its warnings go.
        beyond = [each.day for each in events if area_id in each.near and each.area_id != area_id]
        for day in days:
            level = warned.get((area_id, day), 0)
            reach = tolerance_days * DAY if level else timedelta()
            column = max((each.column for each in here if each.first - reach <= day <= each.last + reach), default=0)
            if level and not column and any(abs(each - day) <= reach for each in (*vague, *beyond)):
                continue
            row = matrix[level] if level or (area_id, day) in known else unknown
            row[column] += 1
    return DurationMatrix(tuple(map(tuple, matrix)), tuple(unknown), tuple(grouped))
