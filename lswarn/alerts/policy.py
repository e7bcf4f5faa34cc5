"""When to say what: raise at once, step down slowly, and never on incomplete rain. Pure.

An alert belongs to a warning area. Its level is the highest that the area's exposure calls for: it rises the day the
exposure rises, and steps down only after `clear_after_days` complete days below it. Deciding a day again, from the
state that day left, changes nothing and says nothing new.
"""

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum


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
    """What is to be said about one warning area."""

    area_id: str
    kind: Kind
    before: Level
    after: Level
    hits: tuple[Hit, ...]
