"""What those ask who keep it alive: /health, /ready, /metrics. Open to all: they tell of no place and no person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from lswarn import __version__
from lswarn.db.engine import open_database
from lswarn.db.reading import reading
from lswarn.db.watch import Watched, find_watched
from lswarn.errors import LswarnError
from lswarn.web.answers import age_h
from lswarn.web.deps import Clock, Config

router = APIRouter(tags=["operations"])

LATE_H = 48.0
"""A day is due by the afternoon of the next: one that ended longer ago than this has not come."""


@dataclass(frozen=True)
class Health:
    """The process answers; nothing more is said."""

    status: str
    version: str


@dataclass(frozen=True)
class RegionReadiness:
    """How fresh a region is; None before its first run, or where no rain is known."""

    region: str
    newest_day: date | None
    run_age_h: float | None
    rain_age_h: float | None
    grade: str | None
    status: str | None


@dataclass(frozen=True)
class Readiness:
    """Whether what is shown is what should be.

    Attributes:
        reasons: why it is not ready, a sentence each; empty where it is.
    """

    ready: bool
    reasons: list[str]
    regions: list[RegionReadiness]


def watched(settings: Config) -> list[Watched] | str:
    """How every region stands; why it cannot be told, in words, where the database does not answer."""
    try:
        with reading(open_database(settings)) as conn:
            return find_watched(conn)
    except LswarnError as error:
        return type(error).__name__


Watch = Annotated[list[Watched] | str, Depends(watched)]


@router.get("/health")
def health() -> Health:
    """Whether the process is alive."""
    return Health("alive", __version__)


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
def ready(found: Watch, now: Clock) -> Response:
    """Whether the database answers, and the newest run and its rain are no older than they should be."""
    told = readiness(found, now)
    return JSONResponse(jsonable_encoder(told), 200 if told.ready else 503, {"Cache-Control": "no-store"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, found: Watch, now: Clock) -> Response:
    """All of it, for Prometheus; see `lswarn.web.metrics` for the names."""
    registry = CollectorRegistry()
    registry.register(_Regions(found, now))
    written = generate_latest(registry) + generate_latest(request.app.state.metrics.shared())
    return Response(written, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def readiness(found: list[Watched] | str, now: datetime) -> Readiness:
    """Judge how every region stands."""
    if isinstance(found, str):
        return Readiness(False, [f"the database does not answer ({found})"], [])
    reasons, regions = [], []
    for each in found:
        run_h = None if each.newest_day is None else age_h(each.newest_day, now)
        rain_h = None if each.rain_day is None else age_h(each.rain_day, now)
        regions.append(RegionReadiness(each.region, each.newest_day, run_h, rain_h, each.grade, each.status))
        if run_h is None:
            reasons.append(f"{each.region}: nothing has been published yet")
        elif run_h > LATE_H:
            reasons.append(f"{each.region}: the newest day is {each.newest_day}, which ended {run_h:.0f} h ago")
        if run_h is not None and rain_h is None:
            reasons.append(f"{each.region}: no rain is known")
        elif rain_h is not None and rain_h > LATE_H:
            reasons.append(f"{each.region}: the newest rain is of {each.rain_day}, which ended {rain_h:.0f} h ago")
    if not found:
        reasons.append("no region is recorded; run: lswarn region build")
    return Readiness(not reasons, reasons, regions)


class _Regions:
    """How the regions stand, in the form Prometheus reads. What is not known has no sample: it is not 0."""

    def __init__(self, found: list[Watched] | str, now: datetime) -> None:
        self._found = found
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        down = isinstance(self._found, str)
        yield GaugeMetricFamily("lswarn_database_up", "Whether the database answers", value=0 if down else 1)
        if isinstance(self._found, str):
            return
        for name, help_, label, values in self._gauges(self._found):
            family = GaugeMetricFamily(name, help_, labels=("region", *label))
            for labels, value in values:
                if value is not None:
                    family.add_metric(labels, float(value))
            yield family

    def _gauges(self, found: list[Watched]) -> Iterator[tuple[str, str, tuple[str, ...], list[tuple[list[str], Any]]]]:
        now = self._now
        run_s = [(each, None if each.newest_day is None else age_h(each.newest_day, now) * 3600) for each in found]
        rain_s = [(each, None if each.rain_day is None else age_h(each.rain_day, now) * 3600) for each in found]
        one: dict[str, tuple[str, list[Any]]] = {
            "newest_day_timestamp_seconds": (
                "End of the newest observed day",
                [None if each.newest_day is None else _end_of(each.newest_day).timestamp() for each in found],
            ),
            "run_published_timestamp_seconds": (
                "When the run of the newest observed day was published",
                [each.published_at.timestamp() if each.published_at else None for each in found],
            ),
            "run_age_seconds": ("Since the end of the newest observed day", [age for _, age in run_s]),
            "rain_age_seconds": ("Since the end of its newest day whose rain is known", [age for _, age in rain_s]),
            "rain_days_missing": ("Days of its window without rain", [each.rain_days_missing for each in found]),
            "exposed_roads": ("Roads in its zones", [each.exposed_roads for each in found]),
            "exposed_settlements": ("Settlements in its zones", [each.exposed_settlements for each in found]),
            "waiting_drafts": ("Messages that wait for a person", [each.waiting_drafts for each in found]),
            "pending_deliveries": ("Messages on their way", [each.pending_deliveries for each in found]),
            "dead_deliveries": ("Messages that were given up", [each.dead_deliveries for each in found]),
            "waiting_reports": ("Reports that nobody has decided on", [each.waiting_reports for each in found]),
        }
        yield "lswarn_region_info", "A recorded region", ("title",), [([each.region, each.title], 1) for each in found]
        for name, (help_, values) in one.items():
            yield f"lswarn_{name}", help_, (), list(zip([[each.region] for each in found], values, strict=True))
        yield "lswarn_run_grade", "Grade of its rain", ("grade",), _one_of(found, "grade", "ABCDE")
        states = ("complete", "lower_bound", "modelled", "unknown")
        yield "lswarn_run_status", "What a zone's absence is worth", ("status",), _one_of(found, "status", states)
        for name, help_, label, by in (
            ("zones", "Zones of the newest observed day", "class", [each.zones or {} for each in found]),
            ("open_alerts", "Open alerts: 1 orange, 2 red", "level", [each.open_alerts for each in found]),
        ):
            yield (
                f"lswarn_{name}",
                help_,
                (label,),
                [
                    ([each.region, str(key)], count)
                    for each, counts in zip(found, by, strict=True)
                    for key, count in counts.items()
                ],
            )
        yield (
            "lswarn_areas",
            "Warning areas by state",
            ("state",),
            [
                ([each.region, state], each.areas.get(state, 0))
                for each in found
                for state in ("none", "open", "easing", "unknown")
            ],
        )


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _one_of(found: list[Watched], name: str, values: Any) -> list[tuple[list[str], Any]]:
    """1 for the value that each region has, 0 for the others; nothing before its first run."""
    return [
        ([each.region, value], int(getattr(each, name) == value))
        for each in found
        if getattr(each, name) is not None
        for value in values
    ]
