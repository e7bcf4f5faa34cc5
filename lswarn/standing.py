"""How the rain of some days stands: what is there, how old it is, what is due, and what is overdue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lswarn.cascade import archive_of, archived_days, inside
from lswarn.rain.archive import load_archived
from lswarn.rain.grade import Grade
from lswarn.rain.products import due_at, grade_of
from lswarn.rain.window import RainDay
from lswarn.region import Region
from lswarn.settings import Settings


@dataclass(frozen=True)
class Standing:
    """How the rain of one day stands.

    Attributes:
        product, version: in use; empty where the day is missing.
        grade: of a window made of such days alone; E where the day is missing.
        age_h: hours since it was published (or, where nobody says when, fetched); None where it is missing.
        mean_mm, max_mm, missing_share: over the cells of the region.
        state: whether the best product is there, not yet due, or overdue, in words.
    """

    day: date
    product: str
    version: str
    grade: Grade
    age_h: float | None
    mean_mm: float | None
    max_mm: float | None
    missing_share: float | None
    state: str


def standing(region: Region, settings: Settings, now: datetime, days: Sequence[date]) -> list[Standing]:
    """How the rain of some days stands: what is there, how old it is, what is due and what is overdue."""
    archived = archived_days(region, settings, days)
    return [_standing(region, day, archived.get(day), now) for day in days]


def _standing(region: Region, day: date, rain: RainDay | None, now: datetime) -> Standing:
    better = []
    for source in region.rain.sources:
        if rain is not None and rain.product == source.product:
            break
        due = due_at(source, day)
        late_h = (now - due).total_seconds() / 3600
        better.append(
            f"{source.product} OVERDUE {late_h:.0f} h" if late_h >= 0 else f"{source.product} due {due:%d %b %H:%M} UTC"
        )
    state = "; ".join(better) or "best there is"
    if rain is None:
        return Standing(day, "", "", Grade.E, None, None, None, None, f"MISSING: {state}")
    mean_mm, max_mm, missing_share = _figures(region, rain)
    return Standing(
        day,
        rain.product,
        rain.version,
        grade_of(rain.product),
        round((now - (rain.published_at or rain.fetched_at)).total_seconds() / 3600, 1),
        mean_mm,
        max_mm,
        missing_share,
        state,
    )


def _figures(region: Region, rain: RainDay) -> tuple[float, float, float]:
    """Mean and most, mm, and the share that is missing, over the cells of the region."""
    cells = inside(region, rain)
    return round(float(cells.mean()), 1), round(float(cells.max()), 1), round(float(cells.isnull().mean()), 3)


def archived_rows(region: Region, settings: Settings, days: Sequence[date]) -> list[dict[str, object]]:
    """All that is archived of some days, superseded rain and forecasts too; one dict a granule."""
    used = archived_days(region, settings, days)
    return [
        {
            "day": rain.day,
            "product": rain.product,
            "version": rain.version,
            "in_use": rain.day in used and used[rain.day].sha256 == rain.sha256,
            **dict(zip(("mean_mm", "max_mm", "missing_share"), _figures(region, rain), strict=True)),
            "published_at": rain.published_at,
            "fetched_at": rain.fetched_at,
        }
        for rain in load_archived(archive_of(region, settings), days)
    ]
