"""Tiles of Web Mercator: pictures of the day's rasters, and vectors of what was found.

    /tiles/{region}/{day}/{classes|rain|critical-high|critical-very-high}/{z}/{x}/{y}.png                   256 × 256
    /tiles/{region}/{day}/{zones|exposed_roads|exposed_settlements|roads|settlements|areas}/{z}/{x}/{y}.pbf
    /tiles/{region}/{day}/{layer}.json     TileJSON of any of them, whose tiles a browser may keep for ever
    /tiles/legend.json                     colours, units and labels of the pictures, and of what is unknown

`day` is a day, or `newest`. Every tile has an ETag of what it was made from; a browser asks again after half a minute,
but never for a tile with the version (`?v=`) that TileJSON names, for what was published never changes, and after an
hour for one with the number of the run (`?run=`) that counts for the day.

A picture is transparent only outside the region. What is unknown is hatched, and so is a day that nobody has worked out
and a file that is gone: then the header X-Lswarn-Unknown says why. Of zones and exposure, what is too small to be drawn
is a point in the vector tile, and `count` says of how many.
"""

import json
import logging
from datetime import date
from typing import Annotated, Any, get_args

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from lswarn.db.drawing import (
    OF_RUN,
    AreasAsked,
    MapRegion,
    VectorLayer,
    find_area_tile,
    find_map_region,
    find_vector_tile,
)
from lswarn.db.engine import open_database
from lswarn.db.reading import reading
from lswarn.db.shown import ShownRun, find_shown_run
from lswarn.web.answers import ALWAYS, problems
from lswarn.web.asked import NAME
from lswarn.web.deps import Config
from lswarn.web.kept import Kept, Recent
from lswarn.web.painting import HATCH, OUTSIDE, STEPS, STYLE, UNITS, RasterLayer, hatch, paint, to_png
from lswarn.web.problems import Problem
from lswarn.web.rasters import NotThere, inside, load_source, load_values
from lswarn.web.tagged import FOR_EVER, SOON, answered, has, version_of

log = logging.getLogger(__name__)
router = APIRouter(tags=["tiles"], responses=ALWAYS)

MAX_ZOOM = 22
NO_STORE = "no-store"
AN_HOUR = "public, max-age=3600"
VECTOR_STYLE = 1
"""Raised whenever the same rows would give another vector tile."""
PBF = "application/vnd.mapbox-vector-tile"

Name = Annotated[str, Path(pattern=NAME, description="Name of a region, as /api/regions has it")]
DayText = Annotated[
    str, Path(pattern=r"^(newest|\d{4}-\d{2}-\d{2})$", description="UTC day, such as 2026-03-18, or `newest`")
]
Zoom = Annotated[int, Path(ge=0, le=MAX_ZOOM)]
At = Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)]
Version = Annotated[str, Query(max_length=64, description="as TileJSON says it: the tile may then be kept for ever")]
RunId = Annotated[
    int | None, Query(alias="run", ge=1, le=2**53, description="the run that is meant: the tile may be kept an hour")
]
Found = tuple[MapRegion, ShownRun | None]

_made = Kept(64 * 2**20)
_standing: Recent[Found] = Recent(1.0)


@router.get("/legend.json")
def legend() -> dict[str, Any]:
    """Colours of the pictures from little to much, with what each stands for, and how the unknown is hatched."""
    layers = {
        layer: {
            "unit": UNITS[layer],
            "steps": [
                {"colour": step.colour, "label": step.label, "from": step.least, "key": step.key} for step in steps
            ],
        }
        for layer, steps in STEPS.items()
    }
    return {"layers": layers, "unknown": HATCH}


@router.get(
    "/{region}/{day}/{layer}/{z}/{x}/{y}.png",
    response_class=Response,
    responses=answered("image/png") | problems(404),
)
def picture(
    request: Request,
    settings: Config,
    region: Name,
    day: DayText,
    layer: RasterLayer,
    z: Zoom,
    x: At,
    y: At,
    v: Version = "",
    meant: RunId = None,
) -> Response:
    """A picture of a raster; hatched where nothing is known, transparent outside the region."""
    area, run = _find(settings, region, day, z, x, y)
    within = inside(area.box, z, x, y)
    if run is None:
        return _hatched(layer, within, "nothing is published of that day")
    try:
        source = load_source(run, layer)
        version = _version(STYLE, layer, source.sha256, area.box)
        cache = _cache(version, v, run, meant)
        if not has(request, version):
            key = (version, z, x, y)
            png = _made.get(key)
            if png is None:
                numbers = paint(layer, *load_values(source, z, x, y)) if within.any() else hatch()
                png = _made.put(key, to_png(layer, np.where(within, numbers, OUTSIDE)))
            return _tile(png, "image/png", version, cache)
    except NotThere as error:
        log.error("region %s, day %s, %s: %s", region, day, layer, error)
        return _hatched(layer, within, "what was published is not to be had")
    return _unchanged(version, cache)


@router.get(
    "/{region}/{day}/{layer}/{z}/{x}/{y}.pbf",
    response_class=Response,
    responses=answered(PBF) | problems(404, 410),
)
def vectors(
    request: Request,
    settings: Config,
    region: Name,
    day: DayText,
    layer: VectorLayer,
    z: Zoom,
    x: At,
    y: At,
    v: Version = "",
    meant: RunId = None,
) -> Response:
    """A vector tile. One that is empty means that nothing lies there; what is not known is 404."""
    area, run = _find(settings, region, day, z, x, y)
    version = _vector_version(area, run, layer, day)
    key = (version, z, x, y)
    tile = None if version is None else _made.get(key)
    if tile is None and not (version and has(request, version)):
        with reading(open_database(settings)) as conn:
            if layer == "areas":
                newest = find_standing(settings, region, "newest")[1]
                tile = find_area_tile(conn, region, _areas_of(run, newest), z, x, y)
            else:
                tile = find_vector_tile(conn, region, run.run_id if run else None, layer, z, x, y)
        if version:
            _made.put(key, tile)
    # How areas stand may change at any time.
    cache = _cache(version, v, run, meant) if version else SOON
    version = version or version_of(tile or b"")
    if tile is None or has(request, version):
        return _unchanged(version, cache)
    return _tile(tile, PBF, version, cache)


def _areas_of(run: ShownRun | None, newest: ShownRun | None) -> AreasAsked:
    """How areas are asked about for a run: as they stand now, or as was said of a past day."""
    if run is None or (newest is not None and run.run_id == newest.run_id):
        return AreasAsked()
    if run.kind == "outlook":
        return AreasAsked(ahead=True)
    return AreasAsked(run.run_id, run.valid_day)


@router.get("/{region}/{day}/{layer}.json", responses=problems(404, 410))
def tile_json(
    request: Request, settings: Config, region: Name, day: DayText, layer: RasterLayer | VectorLayer
) -> Response:
    """TileJSON 3.0 of a layer: where its tiles are, and where it lies. Beside that: run, day, status, grade, legend."""
    area, run = _find(settings, region, day)
    vector = layer in get_args(VectorLayer)
    if vector:
        version = _vector_version(area, run, layer, day)  # type: ignore[arg-type]
    else:
        try:
            version = _version(STYLE, layer, load_source(run, layer).sha256, area.box) if run else ""  # type: ignore[arg-type]
        except NotThere:
            version = ""
    # As it was asked for: behind a proxy nobody knows by what name.
    path = f"{request.url.path.removesuffix('.json')}/{{z}}/{{x}}/{{y}}.{'pbf' if vector else 'png'}"
    west, south, east, north = area.box
    told: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": layer,
        "tiles": [path + (f"?v={version}" if version else "")],
        "bounds": [west, south, east, north],
        "center": [(west + east) / 2, (south + north) / 2, 9],
        "minzoom": 0,
        "maxzoom": 14,
        "attribution": f"lswarn, {area.title}",
        "run": None
        if run is None
        else {
            "run_id": run.run_id,
            "day": run.valid_day.isoformat(),
            "kind": run.kind,
            "status": run.status,
            "grade": run.grade,
        },
    }
    if vector:
        told["vector_layers"] = [{"id": layer, "fields": {}}]
    else:
        told["legend"] = legend()["layers"][layer]
    return JSONResponse(told, headers={"Cache-Control": SOON})


def _find(settings: Config, region: str, day: str, z: int = 0, x: int = 0, y: int = 0) -> Found:
    """What stands for a day."""
    if max(x, y) >= 2**z:
        raise Problem(404, f"there is no tile {z}/{x}/{y}: at zoom {z}, x and y go up to {2**z - 1}")
    return find_standing(settings, region, day)


def find_standing(settings: Config, region: str, day: str) -> Found:
    """A region, and the run that counts for a day; None where nothing is published of it. Known for a second.

    Args:
        day: `newest`, or a day as ISO 8601 writes it.

    Raises:
        Problem: there is no such region, or that is no day.
    """
    asked = parse_day(day)
    key = (settings, region, asked)
    found = _standing.get(key)
    if found is None:
        with reading(open_database(settings)) as conn:
            area = find_map_region(conn, region)
            if area is None:
                raise Problem(404, f"there is no region {region!r}; /api/regions lists those there are")
            found = _standing.put(key, (area, find_shown_run(conn, region, asked)))
    return found


def parse_day(day: str) -> date | None:
    """A day of an address; None for `newest`.

    Raises:
        Problem: it is neither.
    """
    if day == "newest":
        return None
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise Problem(404, f"there is no day {day}; write one such as 2026-03-18, or newest") from None


def _vector_version(area: MapRegion, run: ShownRun | None, layer: VectorLayer, day: str) -> str | None:
    """What a layer is made of; None where that may change at any time.

    Raises:
        Problem: nothing was found, or no more of it is kept: an empty tile would look safe.
    """
    if layer in ("roads", "settlements"):
        return _version(VECTOR_STYLE, layer, area.name, area.assets_digest)
    if run is None and (layer in OF_RUN or day != "newest"):
        raise Problem(404, f"nothing is published of {area.name} for {day}, so nothing is known; /api/runs lists days")
    if layer == "areas" or run is None:
        return None
    if run.pruned_at is not None:
        raise Problem(410, f"what was found on {run.valid_day} was deleted for its age; it was not nothing")
    return _version(VECTOR_STYLE, layer, area.name, run.run_id, run.published_at.isoformat())


def _version(*parts: object) -> str:
    return version_of(json.dumps(parts).encode())


def _cache(version: str, asked: str, run: ShownRun | None, meant: int | None) -> str:
    """How long a tile may be kept."""
    if asked and asked == version:
        return FOR_EVER
    # Not for ever: where a database is made anew, another run gets the same number.
    return AN_HOUR if run is not None and run.run_id == meant else SOON


def _headers(version: str, cache: str) -> dict[str, str]:
    return {"ETag": f'"{version}"', "Cache-Control": cache}


def _tile(body: bytes, media: str, version: str, cache: str) -> Response:
    return Response(body, media_type=media, headers=_headers(version, cache))


def _unchanged(version: str, cache: str) -> Response:
    return Response(status_code=304, headers=_headers(version, cache))


def _hatched(layer: RasterLayer, within: Any, why: str) -> Response:
    png = to_png(layer, np.where(within, hatch(), OUTSIDE).astype(np.uint8))
    return Response(png, media_type="image/png", headers={"Cache-Control": NO_STORE, "X-Lswarn-Unknown": why})
