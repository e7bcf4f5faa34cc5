"""How warnings did, held against the landslides that came: the arithmetic. Pure.

An area-day is one warning area on one UTC day. Each is counted once, at each level:

    hit               a landslide, and a warning within the tolerances of it
    miss              a landslide, no warning, and the day was known
    blind             a landslide, no warning, and the day was not known: no run, or rain that is not to be trusted
    false alarm       a warning, and no landslide within the tolerances
    near              a warning on a day without a landslide, but one within the tolerances: neither good nor bad
    correct negative  no landslide, no warning, and the day was known
    unknown           no landslide, no warning, and the day was not known: silence was no knowledge

A warning is judged whatever the day's rain was worth; the absence of one only where low means low.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta

FORMULAS = {
    "POD": "hits / (hits + misses)",
    "POD_blind": "hits / (hits + misses + blind)",
    "FAR": "false alarms / (hits + false alarms)",
    "POFD": "false alarms / (false alarms + correct negatives)",
    "CSI": "hits / (hits + misses + false alarms)",
}
"""Probability of detection (also with the blind days as misses), false alarm ratio, probability of false detection,
critical success index."""

DAY = timedelta(days=1)

AreaDay = tuple[str, date]
"""A warning area's id and a UTC day."""


@dataclass(frozen=True)
class Said:
    """One message of an alert that was released to people.

    Attributes:
        alert_id, order: which alert, and which of its messages came later.
        level: in force by it; 0 ends the alert.
        day: from which day on: the day it speaks of, of an outlook a day ahead.
        told_at: when the first subscriber took it; where nobody is subscribed, when it was released; None: it reached
            nobody.
    """

    area_id: str
    alert_id: int
    order: int
    level: int
    day: date
    told_at: datetime | None


@dataclass(frozen=True)
class Event:
    """A landslide of a known day.

    Attributes:
        area_id: warning area it is counted in.
        near: warning areas within the tolerance of place, `area_id` among them.
    """

    id: str
    area_id: str
    day: date
    near: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What was warned of one landslide, within the tolerances.

    Attributes:
        level: the highest; 0: nothing.
        known: the landslide's own day was known, so that a low level means low.
    """

    level: int
    known: bool


@dataclass(frozen=True)
class Contingency:
    """Area-days of each kind, at one level; sums with `+`. The figures are NaN where there is nothing to tell by."""

    hits: int = 0
    misses: int = 0
    blind: int = 0
    false_alarms: int = 0
    near: int = 0
    correct_negatives: int = 0
    unknown: int = 0

    def __add__(self, other: "Contingency") -> "Contingency":
        return Contingency(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def area_days(self) -> int:
        """All of them."""
        return sum(getattr(self, each.name) for each in fields(self))

    @property
    def pod(self) -> float:
        """Probability of detection."""
        return _share(self.hits, self.hits + self.misses)

    @property
    def pod_blind(self) -> float:
        """Probability of detection, were every blind day a miss."""
        return _share(self.hits, self.hits + self.misses + self.blind)

    @property
    def far(self) -> float:
        """False alarm ratio."""
        return _share(self.false_alarms, self.hits + self.false_alarms)

    @property
    def pofd(self) -> float:
        """Probability of false detection."""
        return _share(self.false_alarms, self.false_alarms + self.correct_negatives)

    @property
    def csi(self) -> float:
        """Critical success index."""
        return _share(self.hits, self.hits + self.misses + self.false_alarms)

    def as_dict(self) -> dict[str, float]:
        """Counts, and figures by the names of `FORMULAS`."""
        counts = {each.name: getattr(self, each.name) for each in fields(self)}
        return counts | {
            "POD": self.pod,
            "POD_blind": self.pod_blind,
            "FAR": self.far,
            "POFD": self.pofd,
            "CSI": self.csi,
        }


@dataclass(frozen=True)
class Lead:
    """How long before a landslide people were told of the warning that was a hit.

    Attributes:
        told_at: None: the warning reached nobody.
        lead_h: from then to the beginning of the landslide's day, hours; the landslide came up to 24 h later than that.
            Negative: told when the day had begun. None where nobody was told.
    """

    event_id: str
    area_id: str
    day: date
    told_at: datetime | None
    lead_h: float | None

    @property
    def ahead(self) -> bool:
        """Told before the landslide's day began: ahead of it for sure."""
        return self.lead_h is not None and self.lead_h >= 0

    @property
    def in_time(self) -> bool:
        """Told before the landslide's day was over: perhaps ahead of it."""
        return self.lead_h is not None and self.lead_h > -24


def days_between(start: date, end: date) -> list[date]:
    """Every day from `start` to `end`, both included."""
    return [start + n * DAY for n in range((end - start).days + 1)]


def levels_by_day(
    said: Sequence[Said], closed: Mapping[int, date | None], days: Collection[date]
) -> dict[AreaDay, int]:
    """The level in force in each area on each day: that of the last word on the day. Days without one are left out.

    Args:
        closed: day of an alert's end, by its id: from then on nothing of it is in force.
        days: asked for.
    """
    alerts: dict[int, list[Said]] = {}
    for each in sorted(said, key=lambda each: each.order):
        alerts.setdefault(each.alert_id, []).append(each)
    levels: dict[AreaDay, int] = {}
    for alert_id, words in alerts.items():
        end = closed.get(alert_id)
        for day in days:
            word = next((each for each in reversed(words) if each.day <= day), None)
            if word is None or word.level == 0 or (end is not None and day >= end):
                continue
            key = (word.area_id, day)
            levels[key] = max(levels.get(key, 0), word.level)
    return levels


def answer(event: Event, warned: Mapping[AreaDay, int], known: Collection[AreaDay], tolerance_days: int) -> Answer:
    """What was warned of a landslide: the highest level in any area near it, on any day near its own."""
    days = days_between(event.day - tolerance_days * DAY, event.day + tolerance_days * DAY)
    level = max(warned.get((area, day), 0) for area in event.near for day in days)
    return Answer(level, (event.area_id, event.day) in known)


def contingency(
    area_id: str,
    days: Collection[date],
    level: int,
    warned: Mapping[AreaDay, int],
    known: Collection[AreaDay],
    events: Mapping[Event, Answer],
    unplaced: Collection[Event],
    tolerance_days: int,
) -> Contingency:
    """Count the days of one area at one level.

    Of several landslides in an area on a day one that was warned of makes a hit, for the area-day is what is counted.

    Args:
        warned: level by area-day; 0 where it is left out.
        known: area-days on which the absence of a warning means something.
        events: landslides of any area, with what was warned of them; those a little before and after `days` too.
        unplaced: landslides of a known day whose place is not: they make no hit and no miss, and no alarm near them is
            called false.
    """
    counted = dict.fromkeys((each.name for each in fields(Contingency)), 0)
    excused = {
        event.day + n * DAY
        for event in (*events, *unplaced)
        if area_id in event.near
        for n in range(-tolerance_days, tolerance_days + 1)
    }
    here: dict[date, list[Answer]] = {}
    for event, said in events.items():
        if event.area_id == area_id:
            here.setdefault(event.day, []).append(said)
    for day in days:
        if answers := here.get(day):
            if max(each.level for each in answers) >= level:
                kind = "hits"
            else:
                kind = "misses" if all(each.known for each in answers) else "blind"
        elif warned.get((area_id, day), 0) >= level:
            kind = "near" if day in excused else "false_alarms"
        else:
            kind = "correct_negatives" if (area_id, day) in known else "unknown"
        counted[kind] += 1
    return Contingency(**counted)


def lead_of(
    event: Event, level: int, warned: Mapping[AreaDay, int], said: Sequence[Said], tolerance_days: int
) -> Lead | None:
    """How early people were told of what was warned of a landslide at a level; None where nothing was.

    The warning that counts is the one in force on the day itself, else the nearest day's, the earlier first; told is
    when the first message of its unbroken stretch at that level was taken.
    """
    nearest = sorted(range(-tolerance_days, tolerance_days + 1), key=lambda n: (abs(n), n))
    told: list[datetime] = []
    found = False
    for area, day in ((area, event.day + n * DAY) for n in nearest for area in sorted(event.near)):
        if warned.get((area, day), 0) < level:
            continue
        found = True
        first = day
        while warned.get((area, first - DAY), 0) >= level:
            first -= DAY
        told += [
            each.told_at
            for each in said
            if each.area_id == area and each.level >= level and first <= each.day <= day and each.told_at is not None
        ]
        if told:
            break
    if not found:
        return None
    told_at = min(told, default=None)
    begins = datetime.combine(event.day, time(), UTC)
    lead_h = None if told_at is None else (begins - told_at).total_seconds() / 3600
    return Lead(event.id, event.area_id, event.day, told_at, lead_h)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
