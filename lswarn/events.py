"""What an inventory says of a landslide: its day, how well its place is known, what set it off; and what it may teach.

The spellings are those of NASA's Global Landslide Catalog and COOLR, of Esri's exports, and of plain files. Nothing is
guessed: what is not understood is refused (days) or unknown (accuracy), and a trigger that is not known is `other`.
"""

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from lswarn.sections import Inventory

TRIGGERS = ("rain", "melt", "earthquake", "other", "unknown")
"""Families of triggers; `other` is one that is told and none of the first three."""

NOTHING = {"", "unknown", "unk", "unspecified", "none", "null", "nan", "na", "n", "a"}
WORDS = {
    # In this order: what an earthquake loosened and rain brought down teaches nothing about rain.
    "earthquake": {"earthquake", "quake", "seismic", "coseismic"},
    "rain": {
        *("rain", "rains", "rainfall", "rainstorm", "downpour", "monsoon", "precipitation", "storm"),
        *("cyclone", "typhoon", "hurricane", "flooding", "flood"),
    },
    "melt": {"snowmelt", "snowfall", "melt", "thaw"},
}

YEAR_FIRST = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]\s*\d.*)?")
MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?:[T ,]\s*\d.*)?")
ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)")
NO_DAY = re.compile(r"\d{4}(?:[-/]\d{1,2})?")
NUMBER = re.compile(r"-?\d+(?:\.0*)?")
WITHIN = re.compile(r"(?:known )?(?:within |<=? ?|~ ?|± ?)?(\d+(?:\.\d+)?) ?(km|kilomet(?:er|re)s?|m|met(?:er|re)s?)?")
EXACT = {"exact", "exactly", "known exact", "known exactly"}

LEAST_EPOCH_MS = 1e10
"""From here on a number is milliseconds since 1970 (a day of 1970 or later, or before 1969-09); below, 20170519."""

M_PER_DEGREE = 111_195.0
COINCIDENT_M = 1.0
"""Places so near are one place."""


def day_of(value: Any) -> date | None:
    """The day that was written.

    Understood are YYYY-MM-DD and YYYY/MM/DD, m/d/yyyy and m/d/yy as NASA writes them (the month first), each with or
    without a time; YYYYMMDD; milliseconds since 1970, as Esri exports them. An instant with a time zone counts on its
    UTC day, one without on the day as written.

    Returns:
        None where nothing is written, or only a year or a month: such an event is undated.

    Raises:
        ValueError: it is none of these, or no day of the calendar.
    """
    if isinstance(value, datetime):
        return None if pd.isna(value) else (value.astimezone(UTC) if value.tzinfo else value).date()
    if isinstance(value, date):
        return value
    if isinstance(value, int | float | np.number):
        return None if math.isnan(value) else _numbered(float(value))
    text = "" if value is None or pd.isna(value) else str(value).strip()
    if _is_nothing(text) or NO_DAY.fullmatch(text):
        return None
    if NUMBER.fullmatch(text):
        return _numbered(float(text))
    if ZONED.fullmatch(text):
        return datetime.fromisoformat(text).astimezone(UTC).date()
    if found := YEAR_FIRST.fullmatch(text):
        year, month, day = map(int, found.groups())
    elif found := MONTH_FIRST.fullmatch(text):
        month, day, year = map(int, found.groups())
        if len(found[3]) == 2:  # as in the catalogue's first exports, which reach back to 1988
            year += 2000 if year < 69 else 1900
    else:
        raise ValueError(f"{text!r} is no day")
    return date(year, month, day)


def _numbered(number: float) -> date | None:
    if abs(number) >= LEAST_EPOCH_MS:
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)).date()
        except OverflowError as error:
            raise ValueError(f"{number:g} is no day") from error
    if number == int(number) and 1000 <= number <= 9999:
        return None  # a year
    if number == int(number) and 10000101 <= number <= 99991231:
        return date(int(number) // 10000, int(number) // 100 % 100, int(number) % 100)
    raise ValueError(f"{number:g} is no day")


def accuracy_of(value: Any) -> float | None:
    """How far off a location may be, m, from metres or from spellings such as `exact` (0), `5km`, `Known within 1 km`.

    Returns:
        None where it is unknown.

    Raises:
        ValueError: it is not understood, or negative.
    """
    if isinstance(value, int | float | np.number):
        number = float(value)
        if math.isnan(number):
            return None
        if not 0 <= number < math.inf:
            raise ValueError(f"{number:g} is no distance")
        return number
    text = "" if value is None or pd.isna(value) else " ".join(re.split(r"[\s_]+", str(value).strip().lower()))
    if _is_nothing(text):
        return None
    if text in EXACT:
        return 0.0
    if not (found := WITHIN.fullmatch(text)):
        raise ValueError(f"{text!r} is no accuracy")
    return float(found[1]) * (1000 if (found[2] or "").startswith("k") else 1)


def trigger_of(text: str) -> str:
    """Family of a trigger as it was spelled: one of `TRIGGERS`."""
    words = _words(text)
    for family, known in WORDS.items():
        if words & known:
            return family
    return "unknown" if words <= NOTHING else "other"


def slid_of(labels: Sequence[str], stable: Collection[str]) -> list[bool]:
    """Whether rows so labelled are landslides: not where the label is among `stable`, in capitals or not."""
    words = {" ".join(word.split()).casefold() for word in stable}
    return [label.casefold() not in words for label in labels]


def same_events(events: gpd.GeoDataFrame) -> dict[str, str]:
    """Reports that seem to tell of one landslide twice: the same day, and each within the other's accuracy.

    Two outlines are one landslide if they share more than half of the smaller one; a point and anything else if they
    are no farther apart than the worse of their accuracies, as far as these are known. Undated events are not compared.

    Args:
        events: EPSG:4326; id, day, accuracy_m (NaN = unknown), outline (False: a point, or the disc around one),
            geometry.

    Returns:
        Id of a report → id of the better located one that it seems to repeat.
    """
    dated = events[events["day"].notna()]
    dated = dated[dated["day"].duplicated(keep=False)].assign(unsure=dated["accuracy_m"].fillna(0.0))
    dated = dated.sort_values(["outline", "unsure", "id"], ascending=[False, True, True])
    repeats: dict[str, str] = {}
    for _, group in dated.groupby("day"):
        kept: set[int] = set()
        partners: dict[int, list[int]] = {}
        for a, b in _near(group):
            partners.setdefault(int(b), []).append(int(a))
        ids = group["id"].tolist()
        for each in range(len(ids)):
            twin = next((other for other in sorted(partners.get(each, ())) if other in kept), None)
            if twin is None:
                kept.add(each)
            else:
                repeats[ids[each]] = ids[twin]
    return repeats


def _near(group: gpd.GeoDataFrame) -> NDArray[np.intp]:
    """Pairs [n, 2] of positions, the first before the second, that may be one landslide."""
    outline = group["outline"].to_numpy(bool)
    shapes = np.where(outline, group.geometry.to_numpy(), shapely.centroid(group.geometry.to_numpy()))
    reach = group["unsure"].to_numpy(float) + COINCIDENT_M
    narrowing = np.cos(np.radians(np.minimum(np.abs(shapely.bounds(shapes)[:, [1, 3]]).max(1), 89.0)))
    tree = shapely.STRtree(shapes)
    pairs = tree.query(shapes, predicate="dwithin", distance=reach / M_PER_DEGREE / narrowing).T
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    one, other = shapes[pairs[:, 0]], shapes[pairs[:, 1]]
    both = outline[pairs].all(1)
    smaller = np.minimum(shapely.area(one), shapely.area(other))
    shared = np.zeros(len(pairs))
    shared[both] = shapely.area(shapely.intersection(one[both], other[both]))
    ends = shapely.get_coordinates(shapely.shortest_line(one, other)).reshape(-1, 2, 2)
    step = (ends[:, 1] - ends[:, 0]) * M_PER_DEGREE
    step[:, 0] *= np.cos(np.radians(ends[:, 0, 1]))
    near = np.hypot(*step.T) <= reach[pairs].max(1)
    return pairs[np.where(both, shared > smaller / 2, near)]


def lessons(events: gpd.GeoDataFrame, inventory: Inventory) -> list[str]:
    """Why each event may not be learnt from; "" where it may.

    The rule. An earthquake never teaches rain; other triggers do if their family, or their own spelling, is among
    `inventory.triggers`. The place must be good to `inventory.max_accuracy_m`; where that is unknown, an outline is
    taken as it was drawn, and a point teaches nothing. What seems to be told twice is learnt once. A place given as not
    having slid has no trigger, and is not compared; its location must be as good.

    Args:
        events: as in `same_events`, and trigger (as it was spelled, "" = unknown), and where some did not slide: slid.
    """
    slid = np.ones(len(events), bool) if "slid" not in events else events["slid"].to_numpy(bool)
    wanted = {"_".join(sorted(_words(name))) for name in inventory.triggers}
    reasons = []
    columns = (events[name] for name in ("trigger", "accuracy_m", "outline"))
    for trigger, accuracy_m, outline, happened in zip(*columns, slid, strict=True):
        family = trigger_of(trigger)
        if happened and (family == "earthquake" or not wanted & {family, "_".join(sorted(_words(trigger)))}):
            reasons.append(f"trigger {family}")
        elif pd.isna(accuracy_m) and not outline:
            reasons.append("location of unknown accuracy")
        elif accuracy_m > inventory.max_accuracy_m:
            reasons.append(f"location worse than {inventory.max_accuracy_m:g} m")
        else:
            reasons.append("")
    taught = events[np.array([not reason for reason in reasons], bool) & slid]
    repeats = same_events(taught)
    return [
        "the same event as another" if not reason and happened and event in repeats else reason
        for reason, event, happened in zip(reasons, events["id"], slid, strict=True)
    ]


def count(words: Collection[str]) -> dict[str, int]:
    """How often each is there, the most frequent first; "" is not counted."""
    return {str(word): int(n) for word, n in pd.Series([w for w in words if w], dtype=object).value_counts().items()}


def _words(text: str) -> set[str]:
    return set(re.split(r"[\W_]+", text.lower())) - {""}


def _is_nothing(text: str) -> bool:
    return _words(text) <= NOTHING
