"""What is answered: pages, GeoJSON, and the shapes of both in the description of the interface."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Generic, TypeVar

from fastapi import Response

from lswarn.db.features import Features
from lswarn.db.shown import RainUsed, ShownRegion, ShownRun
from lswarn.errors import RegionError
from lswarn.rain.products import grade_of
from lswarn.web.problems import MEDIA_TYPE

Item = TypeVar("Item")

GEOJSON = "application/geo+json"


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of many.

    Attributes:
        total: how many there are in all.
        limit: at most so many are here; offset: so many before them were left out.
    """

    items: list[Item]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True)
class Regions:
    """All regions."""

    items: list[ShownRegion]


@dataclass(frozen=True)
class RunSummary:
    """A run.

    Attributes:
        kind: observed; outlook: of a day that was not over; hindcast.
        status: complete; lower_bound (rain is missing), modelled: nothing follows from a zone's absence; unknown.
        grade: A to E: how far its rain can be trusted.
        model_id: None where none was asked.
        rain: the days whose rain is known; missing: the days whose rain is not.
        rain_age_h: hours since the end of the newest day whose rain is known, forecasts left out; None: none is.
        superseded: another run has taken its place. kept: what it found has not been deleted for its age.
    """

    run_id: int
    region: str
    valid_day: date
    kind: str
    lead_days: int
    status: str
    grade: str
    model_id: str | None
    published_at: datetime
    rain: list[RainUsed]
    missing: list[date]
    rain_age_h: float | None
    superseded: bool
    kept: bool


def summary_of(run: ShownRun, now: datetime) -> RunSummary:
    """A run as it is told of."""
    return RunSummary(
        run.run_id,
        run.region,
        run.valid_day,
        run.kind,
        run.lead_days,
        run.status,
        run.grade,
        run.model_id,
        run.published_at,
        list(run.rain),
        list(run.missing),
        rain_age_h(run, now),
        run.superseded_at is not None,
        run.pruned_at is None,
    )


def rain_age_h(run: ShownRun, now: datetime) -> float | None:
    """Hours since the end of the newest day whose rain is known; what is forecast is not known."""
    last = run.valid_day - timedelta(days=run.lead_days)
    known = [each.day for each in run.rain if each.day <= last]
    return age_h(max(known), now) if known else None


def age_h(day: date, now: datetime) -> float:
    """Hours since the end of a UTC day; negative before it."""
    return round((now - datetime.combine(day + timedelta(days=1), time(), UTC)).total_seconds() / 3600, 1)


def rain_days(run: ShownRun, now: datetime) -> list[dict[str, Any]]:
    """The seven days of a run's rain, with product, grade and age; without product where a day is missing."""
    used = {each.day: each for each in run.rain}
    days = sorted({*used, *run.missing})
    return [
        {
            "day": day.isoformat(),
            "product": used[day].product if day in used else None,
            "version": used[day].version if day in used else None,
            "grade": _grade(used[day].product) if day in used else None,
            "forecast": day > run.valid_day - timedelta(days=run.lead_days),
            "age_h": age_h(day, now),
        }
        for day in days
    ]


def _grade(product: str | None) -> str | None:
    try:
        return None if product is None else str(grade_of(product))
    except (KeyError, RegionError):  # of an older lswarn, perhaps
        return None


def collection(found: Features, told: dict[str, Any]) -> Response:
    """GeoJSON as the database wrote it, with what there is to know of it as a whole."""
    head = {"type": "FeatureCollection", "numberMatched": found.matched, "numberReturned": found.returned} | told
    written = (
        json.dumps(head, default=_day_or_instant, ensure_ascii=False)[:-1] + ', "features": [' + found.written + "]}"
    )
    return Response(written, media_type=GEOJSON)


def _day_or_instant(value: date) -> str:
    return value.isoformat()


RUN_SCHEMA = {
    "type": "object",
    "required": ["run_id", "valid_day", "kind", "status", "grade"],
    "properties": {
        "run_id": {"type": "integer"},
        "valid_day": {"type": "string", "format": "date"},
        "kind": {"enum": ["observed", "outlook", "hindcast"]},
        "lead_days": {"type": "integer"},
        "status": {
            "enum": ["complete", "lower_bound", "modelled", "unknown"],
            "description": "Only under `complete` does no feature mean that there is none",
        },
        "grade": {"enum": ["A", "B", "C", "D", "E"]},
        "published_at": {"type": "string"},
        "rain_age_h": {"type": ["number", "null"]},
    },
}


def features_answer(what: str) -> dict[int | str, dict[str, Any]]:
    """How a route that answers with features is described."""
    schema = {
        "type": "object",
        "required": ["type", "features", "numberMatched", "numberReturned"],
        "properties": {
            "type": {"const": "FeatureCollection"},
            "numberMatched": {"type": "integer"},
            "numberReturned": {"type": "integer"},
            "run": {"anyOf": [RUN_SCHEMA, {"type": "null"}]},
            "features": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["type", "geometry", "properties"],
                    "properties": {
                        "type": {"const": "Feature"},
                        "geometry": {"type": "object"},
                        "properties": {"type": "object"},
                    },
                },
            },
        },
    }
    return {200: {"description": what, "content": {GEOJSON: {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How errors are described."""
    told = {
        400: "A token in the address",
        401: "No token, or one that is not good",
        403: "The token may not do that",
        404: "There is no such thing",
        409: "It is not as the request takes it to be",
        410: "Deleted for its age",
        411: "The length of the body is missing",
        413: "Too large",
        415: "Not a kind of content that is taken here",
        422: "A value is not possible",
        429: "Too many requests",
        503: "The database does not answer",
    }
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": told[status], "content": schema} for status in statuses}


ALWAYS = problems(400, 401, 413, 411, 422, 429, 503)
"""What any route may answer."""
