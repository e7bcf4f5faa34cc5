"""STAC: a collection for each region, an item for each run, and the rasters that they name.

/stac                                    a catalogue of the regions
/stac/{region}                           a collection; its items are the runs, the newest first, 100 at a time
/stac/{region}/{run_id}                  an item
/stac/{region}/{run_id}/{classes|rain|probability}.tif    the raster itself, also in parts (Range)
"""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

import pystac
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from lswarn.db.drawing import MapRegion, find_map_region
from lswarn.db.shown import ShownRun, find_one_run, find_shown_regions, find_shown_runs
from lswarn.web.answers import ALWAYS, problems
from lswarn.web.asked import NAME
from lswarn.web.deps import Reading
from lswarn.web.problems import Problem
from lswarn.web.rasters import NotThere, Source, check
from lswarn.web.tagged import FOR_EVER, answered, has, tagged

router = APIRouter(tags=["STAC"], responses=ALWAYS)

PAGE = 100
COG = pystac.MediaType.COG
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
VERSION_EXTENSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
PART: dict[int | str, dict[str, Any]] = {
    206: {"description": "A part of it"},
    416: {"description": "There is no such part of it"},
}
TITLES = {
    "classes": "Susceptibility: 0 unknown, 1 very low, 2 low, 3 moderate, 4 high, 5 very high",
    "rain": "Rain of seven days on its own grid, mm; NaN = unknown",
    "probability": "Landslide probability in steps of 0.00002; 65535 = unknown",
}

Name = Annotated[str, Path(pattern=NAME, description="Name of a region, as /api/regions has it")]
RunId = Annotated[int, Path(ge=1, le=2**53)]
Raster = Literal["classes", "rain", "probability"]


@router.get("", response_class=Response, responses=answered("application/json"))
def catalogue(request: Request, conn: Reading) -> Response:
    """All regions."""
    root = pystac.Catalog("lswarn", "Landslide early warning: a collection for each region", title="lswarn")
    here = _base(request)
    _link(root, "self", here, pystac.MediaType.JSON)
    _link(root, "root", here, pystac.MediaType.JSON)
    for region in find_shown_regions(conn):
        _link(root, "child", f"{here}/{region.name}", pystac.MediaType.JSON, region.title)
    return _answer(request, root.to_dict(include_self_link=True, transform_hrefs=False), "application/json")


@router.get("/{region}", response_class=Response, responses=answered("application/json") | problems(404))
def collection(
    request: Request, conn: Reading, region: Name, offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0
) -> Response:
    """A region: its runs, the newest first; superseded ones are named as such."""
    area = _region(conn, region)
    runs, total = find_shown_runs(conn, region=region, kind=None, limit=PAGE, offset=offset)
    newest, _ = find_shown_runs(conn, region=region, kind=None, limit=1, offset=0)
    oldest, _ = find_shown_runs(conn, region=region, kind=None, limit=1, offset=max(0, total - 1))
    interval: list[datetime | None] = (
        [_begin(oldest[0].valid_day), _end(newest[0].valid_day)] if newest and oldest else [None, None]
    )
    told = pystac.Collection(
        region,
        f"Landslide susceptibility of {area.title}, a run a day" + (f"; made up: {area.made}" if area.made else ""),
        pystac.Extent(pystac.SpatialExtent([list(area.box)]), pystac.TemporalExtent([interval])),
        title=area.title,
        license="other",
    )
    here = f"{_base(request)}/{region}"
    _link(told, "self", here, pystac.MediaType.JSON)
    _link(told, "root", _base(request), pystac.MediaType.JSON)
    _link(told, "parent", _base(request), pystac.MediaType.JSON)
    for run in runs:
        state = ", superseded" if run.superseded_at else ""
        _link(told, "item", f"{here}/{run.run_id}", pystac.MediaType.GEOJSON, f"{run.valid_day} {run.kind}{state}")
    if offset + PAGE < total:
        _link(told, "next", f"{here}?offset={offset + PAGE}", pystac.MediaType.JSON)
    if offset:
        _link(told, "prev", f"{here}?offset={max(0, offset - PAGE)}", pystac.MediaType.JSON)
    return _answer(request, told.to_dict(include_self_link=True, transform_hrefs=False), "application/json")


@router.get("/{region}/{run_id}", response_class=Response, responses=answered("application/geo+json") | problems(404))
def item(request: Request, conn: Reading, region: Name, run_id: RunId) -> Response:
    """A run: of which day and of which rain, how far it can be trusted, and its rasters."""
    area = _region(conn, region)
    run = _run(conn, region, run_id)
    here = f"{_base(request)}/{region}"
    told = pystac.Item(
        str(run_id),
        _polygon(area),
        list(area.box),
        _end(run.valid_day),
        _told(run, area),
        start_datetime=_begin(run.valid_day),
        end_datetime=_end(run.valid_day),
        stac_extensions=[FILE_EXTENSION, VERSION_EXTENSION],
    )
    for name, title in TITLES.items():
        if name in run.rasters and "sha256" in run.rasters[name]:
            # A multihash: 12 is sha256, 20 its length in hex.
            more = {"file:checksum": f"1220{run.rasters[name]['sha256']}"}
            href = f"{here}/{run_id}/{name}.tif"
            told.add_asset(name, pystac.Asset(href, title, media_type=COG, roles=["data"], extra_fields=more))
    _link(told, "self", f"{here}/{run_id}", pystac.MediaType.GEOJSON)
    _link(told, "collection", here, pystac.MediaType.JSON)
    _link(told, "parent", here, pystac.MediaType.JSON)
    _link(told, "root", _base(request), pystac.MediaType.JSON)
    found = told.to_dict(include_self_link=True, transform_hrefs=False) | {"collection": region}
    return _answer(request, found, "application/geo+json")


@router.get(
    "/{region}/{run_id}/{raster}.tif",
    response_class=FileResponse,
    responses=answered(COG.value) | PART | problems(404),
)
def raster_file(request: Request, conn: Reading, region: Name, run_id: RunId, raster: Raster) -> Response:
    """A raster of a run, as it was published: a cloud-optimised GeoTIFF."""
    run = _run(conn, region, run_id)
    told = run.rasters.get(raster, {})
    if "sha256" not in told:
        raise Problem(404, f"run {run_id} has no raster {raster}; /stac/{region}/{run_id} names those it has")
    headers = {"ETag": f'"{told["sha256"][:20]}"', "Cache-Control": FOR_EVER}
    if has(request, told["sha256"][:20]):
        return Response(status_code=304, headers=headers)
    try:
        path = check(Source(told["path"], told["sha256"]))
    except NotThere as error:
        raise Problem(404, f"raster {raster} of run {run_id} is no longer there as it was published") from error
    name = f"{region}-{run.valid_day}-{run.kind}-{raster}.tif"
    return FileResponse(path, media_type=COG.value, headers=headers, filename=name)


def _region(conn: Reading, region: str) -> MapRegion:
    found = find_map_region(conn, region)
    if found is None:
        raise Problem(404, f"there is no region {region}; /api/regions lists those there are")
    return found


def _run(conn: Reading, region: str, run_id: int) -> ShownRun:
    found = find_one_run(conn, region, run_id)
    if found is None:
        raise Problem(404, f"{region} has no run {run_id}; /api/runs?region={region} lists those there are")
    return found


def _told(run: ShownRun, area: MapRegion) -> dict[str, Any]:
    return {
        "title": f"{area.title}, {run.valid_day}, {run.kind}",
        "created": run.published_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "deprecated": run.superseded_at is not None,
        "lswarn:kind": run.kind,
        "lswarn:lead_days": run.lead_days,
        "lswarn:status": run.status,
        "lswarn:grade": run.grade,
        "lswarn:model_id": run.model_id,
        "lswarn:rain": [
            {"day": each.day.isoformat(), "product": each.product, "version": each.version} for each in run.rain
        ],
        "lswarn:missing": [day.isoformat() for day in run.missing],
        "lswarn:made": area.made,
        "lswarn:findings_kept": run.pruned_at is None,
    }


def _polygon(area: MapRegion) -> dict[str, Any]:
    west, south, east, north = area.box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _begin(day: date) -> datetime:
    """Of the seven days that end with one."""
    return datetime.combine(day - timedelta(days=6), time(), UTC)


def _end(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), UTC)


def _base(request: Request) -> str:
    return f"{request.base_url}stac"


def _link(of: pystac.STACObject, rel: str, href: str, media: str, title: str | None = None) -> None:
    of.add_link(pystac.Link(rel, href, media, title))


def _answer(request: Request, told: dict[str, Any], media: str) -> Response:
    return tagged(request, json.dumps(told, ensure_ascii=False).encode(), media)
