"""When to say what: raise at once, step down slowly, and never on incomplete or forecast rain. Pure.

An alert belongs to a warning area. Its level is the highest that the area's exposure calls for: it rises the day the
exposure rises, and steps down only after `clear_after_days` complete days below it. Deciding a day again, from the
state that day left, changes nothing and says nothing new.

An outlook, made of forecast rain, may open and raise an alert too. It counts no day and forgets none: complete observed
days below the level add up all the while, and what outlooks call for only holds the step back. So an alert neither
flaps between what is and what is forecast, nor outlives both.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum, StrEnum
from itertools import takewhile
from types import MappingProxyType

from lswarn.sections import Alerts


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
        below: complete observed days since then on which less than `level` was called for, with what was; oldest first.
        told: `asset:asset_id` of everything people have been told of.
        outlook_only: only outlooks have called for the level so far; the first observed day that does is told of.
    """

    area_id: str
    level: Level
    opened_on: date
    below: tuple[tuple[date, Level], ...] = ()
    told: frozenset[str] = frozenset()
    outlook_only: bool = False


@dataclass(frozen=True)
class AlertChange:
    """What is to be said about one warning area.

    Attributes:
        valid_day: the day it speaks of: of an outlook, the day ahead.
        before, after: level people have been told so far, and are to be told now.
        hits: everything hit on the day.
        new: keys of those hits that people have not been told of before.
        held: an alert that steps down stays at `after` only because outlooks call for it.
        confirmed: what only outlooks called for so far, an observed day calls for now.
    """

    area_id: str
    valid_day: date
    kind: Kind
    before: Level
    after: Level
    hits: tuple[Hit, ...]
    new: frozenset[str] = frozenset()
    held: bool = False
    confirmed: bool = False


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


def expected_levels(outlooks: Mapping[date, Mapping[str, Sequence[Hit]]], rules: Alerts) -> dict[str, Level]:
    """The highest level that any of several outlooks calls for, by area.

    Args:
        outlooks: what very-high zones meet, by valid day and area.
    """
    areas = {area_id for hits in outlooks.values() for area_id in hits}
    return {area_id: level_of(_worst(area_id, outlooks, rules)[1], rules) for area_id in sorted(areas)}


def decide(
    day: date,
    before: Mapping[str, AlertState],
    hits: Mapping[str, Sequence[Hit]],
    complete: Container[str],
    rules: Alerts,
    expected: Mapping[str, Level] = MappingProxyType({}),
) -> Decision:
    """Decide every area's alert for one observed day.

    Days come in order; the newest may come again, with better rain.

    Args:
        day: valid day.
        before: open alerts by area, as the last decision left them.
        hits: what very-high zones meet, by area; an area left out meets nothing. Where rain is missing, only what is
            certain in spite of it.
        complete: areas whose seven days of rain are all known. In any other the day may open and raise; it counts
            neither towards a step down nor against one, unless what is certain calls for the level itself.
        expected: what outlooks of later days call for, by area: no step goes below it. It raises nothing by itself.
    """
    changes: list[AlertChange] = []
    after: dict[str, AlertState] = {}
    for area_id in sorted(before.keys() | hits.keys()):
        found = tuple(hits.get(area_id, ()))
        old = before.get(area_id, AlertState(area_id, Level.NONE, day))
        floor = expected.get(area_id, Level.NONE)
        state, held = _next(day, old, found, area_id in complete, floor, rules)
        changes += _change(day, old, state, found, held)
        if state.level > Level.NONE:
            after[area_id] = state
    return Decision(tuple(changes), after)


def decide_outlooks(
    made_on: date,
    before: Mapping[str, AlertState],
    outlooks: Mapping[date, Mapping[str, Sequence[Hit]]],
    rules: Alerts,
) -> Decision:
    """Decide every area's alert by the outlooks of the days ahead, all in one: open it or raise it, nothing else.

    An area takes the hits of the day that calls for the highest level, of several such days the earliest. Where more
    places are feared at a level that is in force, nothing is said: they are named on the day that rain has fallen.

    Args:
        made_on: last observed day: an alert that opens opens on it.
        before: open alerts by area, as the decision of `made_on` left them.
        outlooks: what very-high zones meet, by valid day and area.
    """
    changes: list[AlertChange] = []
    after = dict(before)
    for area_id in sorted({area_id for hits in outlooks.values() for area_id in hits}):
        old = before.get(area_id, AlertState(area_id, Level.NONE, made_on))
        day, found = _worst(area_id, outlooks, rules)
        level = level_of(found, rules)
        if level > old.level:
            told = old.told | {hit.key for hit in found}
            after[area_id] = replace(old, level=level, told=told, outlook_only=True)
            changes += _change(day, old, after[area_id], found)
    return Decision(tuple(changes), after)


def _worst(
    area_id: str, outlooks: Mapping[date, Mapping[str, Sequence[Hit]]], rules: Alerts
) -> tuple[date, tuple[Hit, ...]]:
    """The day that calls for the highest level in an area, and what is hit there on it."""
    hits = {day: tuple(outlooks[day].get(area_id, ())) for day in sorted(outlooks)}
    worst = max(hits, key=lambda day: level_of(hits[day], rules))  # the first among equals
    return worst, hits[worst]


def _next(
    day: date, old: AlertState, hits: tuple[Hit, ...], complete: bool, floor: Level, rules: Alerts
) -> tuple[AlertState, bool]:
    """The state an observed day leaves, and whether outlooks kept a step from going further down."""
    level, called, held, outlook_only = old.level, level_of(hits, rules), False, old.outlook_only
    below = [entry for entry in old.below if entry[0] != day]
    if called >= level:
        level, below, outlook_only = called, [], False
    elif complete:
        below = sorted([*below, (day, called)])
        recent = [low for _, low in below[-rules.clear_after_days :]]
        if len(recent) == rules.clear_after_days:
            level = min(level, max([floor, *recent]))
            held = level > max(recent)
            outlook_only = held
            # The days that were below the new level too already count towards the next step.
            below = list(takewhile(lambda entry: entry[1] < level, reversed(below)))[::-1]
    told = old.told | {hit.key for hit in hits}
    return AlertState(old.area_id, level, old.opened_on, tuple(below), told, outlook_only), held


def _change(
    day: date, old: AlertState, state: AlertState, hits: tuple[Hit, ...], held: bool = False
) -> Iterator[AlertChange]:
    """What is to be said of one area, if anything is."""
    new = state.told - old.told
    confirmed = old.outlook_only and not state.outlook_only and state.level >= old.level
    if (kind := _kind(old.level, state.level, bool(new) or confirmed)) is not None:
        yield AlertChange(old.area_id, day, kind, old.level, state.level, hits, new, held, confirmed)


def _kind(before: Level, after: Level, news: bool) -> Kind | None:
    if after > before:
        return Kind.OPEN if before is Level.NONE else Kind.RAISE
    if after < before:
        return Kind.CLEAR if after is Level.NONE else Kind.LOWER
    return Kind.UPDATE if news else None
