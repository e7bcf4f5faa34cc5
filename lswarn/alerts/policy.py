"""When to say what: raise at once, step down slowly, and never on incomplete rain. Pure.

An alert belongs to a warning area. Its level is the highest that the area's exposure calls for: it rises the day the
exposure rises, and steps down only after `clear_after_days` complete days below it. Deciding a day again, from the
state that day left, changes nothing and says nothing new.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum
from itertools import takewhile

from lswarn.region import Alerts


class Level(IntEnum):
    """NONE: no very-high zone meets anything. ORANGE: one meets a road or settlement. RED: people live in one."""

    NONE = 0
    ORANGE = 1
    RED = 2


class Kind(StrEnum):
    """What a message says of an alert; DATA_MISSING is about the rain itself, and about no alert."""

    OPEN = "open"
    RAISE = "raise"
    UPDATE = "update"
    LOWER = "lower"
    CLEAR = "clear"
    DATA_MISSING = "data_missing"


@dataclass(frozen=True)
class Hit:
    """One road or settlement inside very-high zones of one warning area on one day.

    Attributes:
        asset: `road` or `settlement`; `asset_id` is its source id.
        name, ref: as people call it; empty where unknown.
        length_m: of road inside; 0 for settlements.
        people: living inside; 0 for roads, None where a settlement's population is unknown.
        probability_max: of the zones it meets.
    """

    asset: str
    asset_id: str
    name: str
    ref: str
    length_m: float
    people: int | None
    probability_max: float

    @property
    def key(self) -> str:
        """`asset:asset_id`, as `AlertState.told` keeps it."""
        return f"{self.asset}:{self.asset_id}"


@dataclass(frozen=True)
class AlertState:
    """An open alert as the last decision left it.

    Attributes:
        area_id: warning area.
        level: what people have been told.
        opened_on: day of the first message.
        below: complete days since then on which less than `level` was called for, with what was; oldest first.
        told: `asset:asset_id` of everything people have been told of.
    """

    area_id: str
    level: Level
    opened_on: date
    below: tuple[tuple[date, Level], ...] = ()
    told: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AlertChange:
    """What is to be said about one warning area.

    Attributes:
        before, after: level people have been told so far, and are to be told now.
        hits: everything hit on the day.
        new: keys of those hits that people have not been told of before.
    """

    area_id: str
    kind: Kind
    before: Level
    after: Level
    hits: tuple[Hit, ...]
    new: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What one day makes of the alerts.

    Attributes:
        changes: what is to be said, by area.
        after: the alerts still open, by area.
    """

    changes: tuple[AlertChange, ...]
    after: dict[str, AlertState]


def level_of(hits: Sequence[Hit], rules: Alerts) -> Level:
    """Level that one area's exposure calls for.

    A settlement of unknown population may be full of people: it counts as RED.
    """
    if not hits:
        return Level.NONE
    people = [hit.people for hit in hits]
    if None in people or sum(count or 0 for count in people) >= rules.red_people:
        return Level.RED
    return Level.ORANGE


def decide(
    day: date,
    before: Mapping[str, AlertState],
    hits: Mapping[str, Sequence[Hit]],
    complete: Container[str],
    rules: Alerts,
) -> Decision:
    """Decide every area's alert for one day.

    Days come in order; the newest may come again, with better rain.

    Args:
        day: valid day.
        before: open alerts by area, as the last decision left them.
        hits: what very-high zones meet, by area; an area left out meets nothing. Where rain is missing, only what is
            certain in spite of it.
        complete: areas whose seven days of rain are all known. In any other the day may open and raise; it counts
            neither towards a step down nor against one, unless what is certain calls for the level itself.
    """
    changes: list[AlertChange] = []
    after: dict[str, AlertState] = {}
    for area_id in sorted(before.keys() | hits.keys()):
        found = tuple(hits.get(area_id, ()))
        old = before.get(area_id, AlertState(area_id, Level.NONE, day))
        state = _next(day, old, found, area_id in complete, rules)
        new = state.told - old.told
        kind = _kind(old.level, state.level, bool(new))
        if kind is not None:
            changes.append(AlertChange(area_id, kind, old.level, state.level, found, new))
        if state.level > Level.NONE:
            after[area_id] = state
    return Decision(tuple(changes), after)


def _next(day: date, old: AlertState, hits: tuple[Hit, ...], complete: bool, rules: Alerts) -> AlertState:
    level, called = old.level, level_of(hits, rules)
    below = [entry for entry in old.below if entry[0] != day]
    if called >= level:
        level, below = called, []
    elif complete:
        below = sorted([*below, (day, called)])
        recent = [low for _, low in below[-rules.clear_after_days :]]
        if len(recent) == rules.clear_after_days:
            level = max(recent)
            # The days that were below the new level too already count towards the next step.
            below = list(takewhile(lambda entry: entry[1] < level, reversed(below)))[::-1]
    return AlertState(old.area_id, level, old.opened_on, tuple(below), old.told | {hit.key for hit in hits})


def _kind(before: Level, after: Level, new: bool) -> Kind | None:
    if after > before:
        return Kind.OPEN if before is Level.NONE else Kind.RAISE
    if after < before:
        return Kind.CLEAR if after is Level.NONE else Kind.LOWER
    return Kind.UPDATE if new else None
