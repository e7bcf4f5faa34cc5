"""When to say what: raise at once, step down slowly, and never on incomplete or forecast rain. Pure.

An alert belongs to a warning area. Its level is the highest that the area's exposure calls for: it rises the day the
exposure rises, and steps down only after `clear_after_days` complete days below it. Deciding a day again, from the
state that day left, changes nothing and says nothing new.

It takes more to raise an alert than to keep it: zones of very high class raise it, and a place that it was given for
counts towards staying while it lies in a zone of high class still, for at most `stay_days` complete days. So an alert
does not flap while a probability goes to and fro about one break, and yet it ends where much ground is always high.

New places at a level in force are held back for `cooldown_h` after a message, and named in the next one. Whatever
changes the level is never held back.

An outlook, made of forecast rain, may open and raise an alert too. It counts no day and forgets none: complete observed
days below the level add up all the while, and what outlooks call for only holds the step back. So an alert neither
flaps between what is and what is forecast, nor outlives both.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from itertools import takewhile
from types import MappingProxyType

from lswarn.sections import Alerts

RENEWED_BEFORE = timedelta(hours=36)
"""An alert in force is said again so long before what was last said of it expires: a run that fails may be made up."""


class Level(IntEnum):
    """NONE: no very-high zone meets anything. ORANGE: one meets a road or settlement. RED: people live in one."""

    NONE = 0
    ORANGE = 1
    RED = 2


class Kind(StrEnum):
    """What a message says of an alert; DATA_MISSING is about the rain itself, and about no alert.

    REVIEW is decided by no policy: it asks a person about a draft. A warning that a person takes back ends by a CLEAR.
    """

    OPEN = "open"
    RAISE = "raise"
    UPDATE = "update"
    LOWER = "lower"
    CLEAR = "clear"
    DATA_MISSING = "data_missing"
    REVIEW = "review"


class Stage(StrEnum):
    """Where an alert stands in its life.

    OPEN: its level is called for. EASING: less is, and it waits for enough such days. UNKNOWN: not all rain of the
    newest day is known, and what is known does not call for the level. CLOSED: it has ended.
    """

    OPEN = "open"
    EASING = "easing"
    UNKNOWN = "unknown"
    CLOSED = "closed"


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
class LowDay:
    """A complete observed day on which less than an alert's level was called for.

    Attributes:
        called: level that very-high zones called for.
        stays: level that is let stay for the places the alert was given for, which lie in high zones still.
    """

    day: date
    called: Level
    stays: Level


@dataclass(frozen=True)
class AlertState:
    """An open alert as the last decision left it.

    Attributes:
        area_id: warning area.
        level: what people have been told.
        opened_on: day of the first message.
        below: complete observed days since then on which less than `level` was called for; oldest first.
        told: `asset:asset_id` of everything people have been told of.
        outlook_only: only outlooks have called for the level so far; the first observed day that does is told of.
        stage: where it stands; never CLOSED.
        said_at: aware instant of the last message; None where that is not known.
        held: places newly hit that are held back for the next message, as they were when they were hit hardest.
    """

    area_id: str
    level: Level
    opened_on: date
    below: tuple[LowDay, ...] = ()
    told: frozenset[str] = frozenset()
    outlook_only: bool = False
    stage: Stage = Stage.OPEN
    said_at: datetime | None = None
    held: tuple[Hit, ...] = ()


@dataclass(frozen=True)
class AlertChange:
    """What is to be said about one warning area.

    Attributes:
        valid_day: the day it speaks of: of an outlook, the day ahead.
        before, after: level people have been told so far, and are to be told now.
        hits: everything hit on the day.
        new: keys of those hits that people have not been told of before.
        missed: what was hit on earlier days and held back, and is hit no more; people have not been told of it either.
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
    missed: tuple[Hit, ...] = ()

    @property
    def reminder(self) -> bool:
        """Whether all it says is that the alert is still in force: what was said would lose force else."""
        return self.kind is Kind.UPDATE and not self.news and not self.confirmed

    @property
    def news(self) -> frozenset[str]:
        """Keys of all that people are told of for the first time."""
        return self.new | {hit.key for hit in self.missed}


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
    *,
    near: Mapping[str, Sequence[Hit]] = MappingProxyType({}),
    now: datetime | None = None,
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
        near: what zones of high and very high class meet together, by area. It opens and raises nothing.
        now: aware instant of deciding; left out, nothing is held back and nothing said again.
    """
    changes: list[AlertChange] = []
    after: dict[str, AlertState] = {}
    for area_id in sorted(before.keys() | hits.keys()):
        found = tuple(hits.get(area_id, ()))
        old = before.get(area_id, AlertState(area_id, Level.NONE, day))
        floor = expected.get(area_id, Level.NONE)
        stays = _stays(old, found, near.get(area_id, ()), rules)
        state, held = _next(day, old, found, area_id in complete, floor, stays, rules)
        state, change = _tell(day, old, state, found, held, rules, now)
        changes += change
        if state.level > Level.NONE:
            after[area_id] = state
    return Decision(tuple(changes), after)


def decide_outlooks(
    made_on: date,
    before: Mapping[str, AlertState],
    outlooks: Mapping[date, Mapping[str, Sequence[Hit]]],
    rules: Alerts,
    *,
    now: datetime | None = None,
) -> Decision:
    """Decide every area's alert by the outlooks of the days ahead, all in one: open it or raise it, nothing else.

    An area takes the hits of the day that calls for the highest level, of several such days the earliest. Where more
    places are feared at a level that is in force, nothing is said: they are named on the day that rain has fallen.

    Args:
        made_on: last observed day: an alert that opens opens on it.
        before: open alerts by area, as the decision of `made_on` left them.
        outlooks: what very-high zones meet, by valid day and area.
        now: aware instant of deciding.
    """
    changes: list[AlertChange] = []
    after = dict(before)
    for area_id in sorted({area_id for hits in outlooks.values() for area_id in hits}):
        old = before.get(area_id, AlertState(area_id, Level.NONE, made_on))
        day, found = _worst(area_id, outlooks, rules)
        level = level_of(found, rules)
        if level > old.level:
            state = replace(old, level=level, outlook_only=True, stage=Stage.OPEN)
            after[area_id], change = _tell(day, old, state, found, False, rules, now)
            changes += change
    return Decision(tuple(changes), after)


def _worst(
    area_id: str, outlooks: Mapping[date, Mapping[str, Sequence[Hit]]], rules: Alerts
) -> tuple[date, tuple[Hit, ...]]:
    """The day that calls for the highest level in an area, and what is hit there on it."""
    hits = {day: tuple(outlooks[day].get(area_id, ())) for day in sorted(outlooks)}
    worst = max(hits, key=lambda day: level_of(hits[day], rules))  # the first among equals
    return worst, hits[worst]


def _stays(old: AlertState, hits: Sequence[Hit], near: Sequence[Hit], rules: Alerts) -> Level:
    """The level let stay for the places an alert is given for, by the zones of high class and above they lie in.

    What is hit today is among them: people are told of it today, and the day asked again must come to the same.
    """
    given_for = old.told | {hit.key for hit in (*old.held, *hits)}
    return min(old.level, level_of([hit for hit in near if hit.key in given_for], rules))


def _next(
    day: date, old: AlertState, hits: tuple[Hit, ...], complete: bool, floor: Level, stays: Level, rules: Alerts
) -> tuple[AlertState, bool]:
    """The state an observed day leaves, and whether outlooks kept a step from going further down."""
    level, called, held, outlook_only = old.level, level_of(hits, rules), False, old.outlook_only
    below = [low for low in old.below if low.day != day]
    if called >= level:
        level, below, outlook_only, stage = called, [], False, Stage.OPEN
    elif complete:
        stage = Stage.EASING
        below = sorted([*below, LowDay(day, called, max(called, stays))], key=lambda low: low.day)
        recent = below[-rules.clear_after_days :]
        if len(recent) == rules.clear_after_days:
            # Places in high zones have held it long enough: from now on only very-high ones count.
            worn_out = len(below) >= rules.clear_after_days + rules.stay_days
            wanted = max(low.called if worn_out else low.stays for low in recent)
            level = min(level, max(floor, wanted))
            held = level > wanted
            outlook_only = held
            # The days that were below the new level too already count towards the next step.
            below = list(takewhile(lambda low: low.called < level, reversed(below)))[::-1]
        stage = Stage.OPEN if called >= level else stage
    else:
        stage = Stage.UNKNOWN
    return replace(old, level=level, below=tuple(below), outlook_only=outlook_only, stage=stage), held


def _tell(
    day: date,
    old: AlertState,
    state: AlertState,
    hits: tuple[Hit, ...],
    held: bool,
    rules: Alerts,
    now: datetime | None,
) -> tuple[AlertState, Iterable[AlertChange]]:
    """What is to be said of one area, if anything is, and the state that saying it, or holding it back, leaves."""
    new = {hit.key: hit for hit in hits if hit.key not in old.told}
    waiting = {hit.key: hit for hit in old.held}
    confirmed = old.outlook_only and not state.outlook_only and state.level >= old.level
    if state.level > old.level:
        kind = Kind.OPEN if old.level is Level.NONE else Kind.RAISE
    elif state.level < old.level:
        kind = Kind.CLEAR if state.level is Level.NONE else Kind.LOWER
    elif confirmed or ((new or waiting) and not _cools(old, rules, now)) or _fades(old, rules, now):
        kind = Kind.UPDATE
    else:
        worst = {key: max(new.get(key, hit), hit, key=_how_hard) for key, hit in waiting.items()}
        return replace(state, held=tuple((new | worst).values())), ()
    told = old.told.union(new, waiting)
    missed = tuple(hit for key, hit in waiting.items() if key not in new)
    change = AlertChange(old.area_id, day, kind, old.level, state.level, hits, frozenset(new), held, confirmed, missed)
    return replace(state, told=told, held=(), said_at=now), (change,)


def _cools(old: AlertState, rules: Alerts, now: datetime | None) -> bool:
    """Whether the last message is so fresh that a repeat can wait."""
    return now is not None and old.said_at is not None and now < old.said_at + timedelta(hours=rules.cooldown_h)


def _fades(old: AlertState, rules: Alerts, now: datetime | None) -> bool:
    """Whether what was last said of an alert in force loses force before the day after tomorrow."""
    if now is None or old.said_at is None or old.level is Level.NONE:
        return False
    return now > old.said_at + timedelta(hours=rules.cap.expires_h) - RENEWED_BEFORE


def _how_hard(hit: Hit) -> tuple[float, float, float]:
    return (float("inf") if hit.people is None else hit.people, hit.length_m, hit.probability_max)
