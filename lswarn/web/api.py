"""What is known, as JSON and GeoJSON: regions, runs, areas, exposure, zones, rain, places. Messages are in `desk.py`.

Nothing here means "none" without saying how far it is known: every collection carries the run it is of, with its
status and grade.
"""

from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from lswarn.db import features, places, shown
from lswarn.hazard.point import load_critical_tenths, rain_to_go
from lswarn.web import answers
from lswarn.web.answers import ALWAYS, Page, Regions, RunSummary, collection, features_answer, problems, summary_of
from lswarn.web.asked import (
    LINE,
    AnyRegion,
    BoxText,
    Day,
    Lat,
    Limit,
    Lon,
    Offset,
    RegionName,
    WarnedClass,
    box_of,
    kept_run_of,
    region_of,
    run_of,
)
from lswarn.web.deps import Clock, Reading
from lswarn.web.problems import Problem
from lswarn.web.where import PointAnswer, Rising

router = APIRouter(tags=["what is known"], responses=ALWAYS)


@router.get("/regions")
def regions(conn: Reading) -> Regions:
    """Every region, and how its newest observed day stands."""
    return Regions(shown.find_shown_regions(conn))


@router.get("/runs")
def runs(
    conn: Reading,
    now: Clock,
    region: AnyRegion = None,
    kind: Annotated[Literal["observed", "outlook", "hindcast"] | None, Query(description="Only of this kind")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Page[RunSummary]:
    """Published runs, the newest day first; those that were superseded too."""
    found, total = shown.find_shown_runs(conn, region=region, kind=kind, limit=limit, offset=offset)
    return Page([summary_of(run, now) for run in found], total, limit, offset)


@router.get("/areas", response_class=Response, responses=features_answer("Warning areas") | problems(404))
def areas(conn: Reading, now: Clock, region: RegionName, day: Day = "newest") -> Response:
    """Every warning area and how it stands: none, open, easing or unknown; `level` is 1 orange, 2 red.

    Of a past day it is told as it was said then. Of a day ahead alerts are those of now, and `known` is false.
    """
    newest = shown.find_shown_run(conn, region, None)
    if day == "newest":
        region_of(conn, region)
        found = features.find_areas(conn, region, None, None, ahead=False)
        return collection(found, {"run": None if newest is None else _told(newest, now)})
    run = run_of(conn, region, day)
    of_now = newest is not None and run.run_id == newest.run_id
    if of_now or run.kind == "outlook":
        found = features.find_areas(conn, region, None, None, ahead=not of_now)
    else:
        found = features.find_areas(conn, region, run.run_id, run.valid_day, ahead=False)
    return collection(found, {"run": _told(run, now)})


@router.get("/exposure", response_class=Response, responses=features_answer("What lies in zones") | problems(404, 410))
def exposure(
    conn: Reading,
    now: Clock,
    region: RegionName,
    day: Day = "newest",
    asset: features.Asset = "road",
    warned: WarnedClass = None,
    bbox: BoxText = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Stretches of road, or parts of settlements, in zones of class 4 (high) and 5 (very high); the worst first."""
    run = kept_run_of(conn, region, day)
    found = features.find_exposure(
        conn, run.run_id, asset, warned=int(warned) if warned else None, box=box_of(bbox), limit=limit, offset=offset
    )
    return collection(found, {"run": _told(run, now), "limit": limit, "offset": offset})


@router.get("/zones", response_class=Response, responses=features_answer("Zones") | problems(404, 410))
def zones(
    conn: Reading,
    now: Clock,
    region: RegionName,
    day: Day = "newest",
    warned: WarnedClass = None,
    bbox: BoxText = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Connected cells of class 4 (high) and 5 (very high); the worst first."""
    run = kept_run_of(conn, region, day)
    found = features.find_zones(
        conn, run.run_id, warned=int(warned) if warned else None, box=box_of(bbox), limit=limit, offset=offset
    )
    return collection(found, {"run": _told(run, now), "limit": limit, "offset": offset})


@router.get("/rain", response_class=Response, responses=features_answer("Rain of seven days") | problems(404, 410))
def rain(
    conn: Reading,
    now: Clock,
    region: RegionName,
    day: Day = "newest",
    bbox: BoxText = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> Response:
    """The rain of seven days in its own cells, mm, null where unknown; and the days it is made of.

    critical_mm and safety_factor are told of cells above their critical rainfall. `days` has the seven days: product
    and grade are null on a day without rain, age_h counts from the end of the day.
    """
    run = kept_run_of(conn, region, day)
    found = features.find_rain_cells(conn, run.run_id, box=box_of(bbox), limit=limit, offset=offset)
    told = {"run": _told(run, now), "days": answers.rain_days(run, now), "limit": limit, "offset": offset}
    return collection(found, told)


@router.get("/search", responses=problems(404))
def search(
    conn: Reading,
    region: RegionName,
    q: Annotated[str, Query(min_length=2, max_length=100, pattern=LINE, description="Part of a name or road number")],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> list[places.Place]:
    """Roads and settlements by name or number; accents and capitals do not matter."""
    return places.find_places(conn, region_of(conn, region), q, limit)


@router.get("/where", responses=problems(404, 410))
def where(conn: Reading, now: Clock, region: RegionName, lon: Lon, lat: Lat, day: Day = "newest") -> PointAnswer:
    """Everything known of a point: its class, the rain, how much more it takes, what lies near, its warning area."""
    run = kept_run_of(conn, region, day)
    facts = places.find_point_facts(conn, region, run.run_id, lon, lat)
    if not facts.inside and facts.point_class is None:
        raise Problem(404, f"{lon}, {lat} is not in {region}, so nothing is known of it here")
    layers = run.rasters.get("layers", {}).get("path")
    critical = load_critical_tenths(FilePath(layers), lon, lat) if layers else {}
    rising = [
        Rising(
            each.value,
            *rain_to_go(tenths, facts.rain_mm, rain_max_mm=facts.rain_max_mm, lower_bound=facts.lower_bound),
        )
        for each, tenths in critical.items()
    ]
    return PointAnswer(
        lon=lon,
        lat=lat,
        run=summary_of(run, now),
        **{
            name: getattr(facts, name)
            for name in ("point_class", "rain_mm", "lower_bound", "zone", "area", "near", "inside")
        },
        rising=rising,
    )


def _told(run: shown.ShownRun, now: Any) -> dict[str, Any]:
    names = ("run_id", "valid_day", "kind", "lead_days", "status", "grade", "published_at", "missing")
    return {name: getattr(run, name) for name in names} | {"rain_age_h": answers.rain_age_h(run, now)}
