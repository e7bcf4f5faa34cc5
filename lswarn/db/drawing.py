"""What a map is drawn from: vector tiles of what a run found, and of what is there anyway.

Vector tiles are of Web Mercator, EPSG:3857, with one layer, named as it was asked for. What is too small to be drawn at
a zoom is never left out: of zones and what lies in them it becomes a point, and near ones become one point that counts
them (`count`), for an empty place on a map looks safe.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, text

from lswarn.db.features import AREAS_NOW, AREAS_THEN, Box

VectorLayer = Literal["zones", "exposed_roads", "exposed_settlements", "roads", "settlements", "areas"]
OF_RUN: frozenset[VectorLayer] = frozenset({"zones", "exposed_roads", "exposed_settlements"})
"""Layers that a run found; roads and settlements are there without one."""

SMALL_PX = 1.5
"""What is smaller than so many pixels, of which a tile has 512 a side, is drawn as a point."""
MOST = 20_000
"""Of roads and settlements that are merely there, so many of the largest are in a tile."""


@dataclass(frozen=True)
class MapRegion:
    """A region as a map needs it.

    Attributes:
        box: west, south, east, north; degrees.
        assets_digest: of its roads, settlements and warning areas.
        made: what of it is made up; empty for a real region.
    """

    name: str
    title: str
    box: Box
    assets_digest: str
    made: str


@dataclass(frozen=True)
class AreasAsked:
    """Of when warning areas are told; as `features.find_areas` has it.

    Attributes:
        run_id, day: of a past day; None = as they stand now.
        ahead: of a day that is still to come.
    """

    run_id: int | None = None
    day: date | None = None
    ahead: bool = False


def find_map_region(conn: Connection, region: str) -> MapRegion | None:
    """A region by its name; None where it is not recorded."""
    query = text("""
        SELECT name, title, assets_digest, made, ST_XMin(geometry) AS west, ST_YMin(geometry) AS south,
               ST_XMax(geometry) AS east, ST_YMax(geometry) AS north
        FROM lswarn.region WHERE name = :region""")
    row = conn.execute(query, {"region": region}).one_or_none()
    if row is None:
        return None
    box = (row.west, row.south, row.east, row.north)
    return MapRegion(row.name, row.title, box, row.assets_digest, row.made)


def find_vector_tile(
    conn: Connection, region: str, run_id: int | None, layer: VectorLayer, z: int, x: int, y: int
) -> bytes:
    """A vector tile; empty where nothing of the layer lies there.

    Args:
        run_id: whose zones; of no account for roads and settlements that are merely there.
    """
    return _tile(conn, _TILES[layer], {"region": region, "run_id": run_id, "layer": layer}, z, x, y)


def find_area_tile(conn: Connection, region: str, asked: AreasAsked, z: int, x: int, y: int) -> bytes:
    """A vector tile of the warning areas, and how each stands."""
    facts = {"region": region, "run_id": asked.run_id, "day": asked.day, "ahead": asked.ahead, "layer": "areas"}
    return _tile(conn, _areas(AREAS_NOW if asked.run_id is None else AREAS_THEN), facts, z, x, y)


def _tile(conn: Connection, query: str, facts: dict[str, Any], z: int, x: int, y: int) -> bytes:
    pixel = 360 / 2**z / 512
    place = {"z": z, "x": x, "y": y, "pixel": pixel, "small": SMALL_PX * pixel, "most": MOST}
    return bytes(conn.execute(text(query), facts | place).scalar_one() or b"")


_BOUNDS = """
    bounds AS MATERIALIZED (
        SELECT ST_TileEnvelope(:z, :x, :y) AS frame,
               ST_Transform(ST_TileEnvelope(:z, :x, :y, margin => 0.0157), 4326) AS box
    )
"""

_SPOTS = 64
"""Near points become one in each of so many by so many squares of a tile."""
_DRAWN = "ST_AsMVTGeom(ST_Transform(geometry, 3857), frame, 4096, 64, true)"
_MIDDLE = """ST_SetSRID(ST_MakePoint((ST_XMax(geometry) + ST_XMin(geometry)) / 2,
                                     (ST_YMax(geometry) + ST_YMin(geometry)) / 2), 4326)"""
_EXTENT = "greatest(ST_XMax(geometry) - ST_XMin(geometry), ST_YMax(geometry) - ST_YMin(geometry))"


def _pointed(source: str, columns: str, sums: str) -> str:
    """A tile of what must be seen at every zoom.

    Args:
        source: query of `id`, `class`, `geometry` and the columns, with `bounds` among its tables.
        columns: what else is told of each.
        sums: the same of several that one point stands for.
    """
    return f"""
        WITH {_BOUNDS},
        found AS MATERIALIZED ({source}),
        drawn AS MATERIALIZED (
            SELECT found.*, CASE WHEN {_EXTENT} >= :small THEN {_DRAWN} END AS shape
            FROM found CROSS JOIN bounds
        ),
        small AS MATERIALIZED (
            SELECT drawn.*, ST_Transform(CASE WHEN {_EXTENT} >= :small THEN ST_PointOnSurface(geometry)
                                         ELSE {_MIDDLE} END, 3857) AS spot
            FROM drawn WHERE shape IS NULL
        ),
        spots AS (
            SELECT min(id) AS id, class, count(*)::integer AS count, {sums}, avg(ST_X(spot)) AS x, avg(ST_Y(spot)) AS y
            FROM small CROSS JOIN bounds WHERE spot && frame
            GROUP BY class, floor({_SPOTS} * (ST_X(spot) - ST_XMin(frame)) / (ST_XMax(frame) - ST_XMin(frame))),
                     floor({_SPOTS} * (ST_Y(spot) - ST_YMin(frame)) / (ST_YMax(frame) - ST_YMin(frame)))
        )
        SELECT ST_AsMVT(tile, :layer, 4096, 'shape', 'id')
        FROM (
            SELECT id, class, 1 AS count, {columns}, shape FROM drawn WHERE shape IS NOT NULL
            UNION ALL
            SELECT id, class, count, {columns},
                   ST_AsMVTGeom(ST_SetSRID(ST_MakePoint(x, y), 3857), frame, 4096, 64, true) AS shape
            FROM spots CROSS JOIN bounds
            ORDER BY class, id
        ) AS tile
    """  # noqa: S608 - of constants of this file


def _present(table: str, columns: str, size: str, where: str) -> str:
    """A tile of what is merely there: the largest, should there be too many."""
    return f"""
        WITH {_BOUNDS},
        found AS MATERIALIZED (
            SELECT id, {columns}, geometry FROM lswarn.{table} CROSS JOIN bounds
            WHERE region = :region AND retired_at IS NULL AND geometry && box AND {where}
            ORDER BY {size} DESC, id LIMIT :most
        )
        SELECT ST_AsMVT(tile, :layer, 4096, 'shape', 'id')
        FROM (
            SELECT id, {columns},
                   coalesce(CASE WHEN {_EXTENT} >= :small THEN {_DRAWN} END,
                            ST_AsMVTGeom(ST_Transform({_MIDDLE}, 3857), frame, 4096, 0, true)) AS shape
            FROM found CROSS JOIN bounds ORDER BY id
        ) AS tile WHERE shape IS NOT NULL
    """  # noqa: S608 - of constants of this file


_TILES: dict[str, str] = {
    "zones": _pointed(
        """SELECT id, class, area_m2, probability_max, geometry
           FROM lswarn.susceptibility_zone CROSS JOIN bounds WHERE run_id = :run_id AND geometry && box""",
        "area_m2, probability_max",
        "sum(area_m2) AS area_m2, max(probability_max) AS probability_max",
    ),
    "exposed_roads": _pointed(
        """SELECT part.id, class, road_id, name, ref, kind, part.length_m, probability_max, part.geometry
           FROM lswarn.road_exposure AS part JOIN lswarn.road AS road ON road.id = road_id CROSS JOIN bounds
           WHERE run_id = :run_id AND part.geometry && box""",
        "road_id, name, ref, kind, length_m, probability_max",
        """min(road_id) AS road_id, min(name) AS name, min(ref) AS ref, min(kind) AS kind, sum(length_m) AS length_m,
           max(probability_max) AS probability_max""",
    ),
    # Where nobody knows how many live in one, nobody knows how many live in all together.
    "exposed_settlements": _pointed(
        """SELECT part.id, class, settlement_id, name, kind, people, area_share, probability_max, part.geometry
           FROM lswarn.settlement_exposure AS part JOIN lswarn.settlement AS settlement ON settlement.id = settlement_id
           CROSS JOIN bounds WHERE run_id = :run_id AND part.geometry && box""",
        "settlement_id, name, kind, people, area_share, probability_max",
        """min(settlement_id) AS settlement_id, min(name) AS name, min(kind) AS kind,
           CASE WHEN count(people) = count(*) THEN sum(people)::integer END AS people,
           max(area_share) AS area_share, max(probability_max) AS probability_max""",
    ),
    "roads": _present("road", "name, ref, kind, length_m", "length_m", f"{_EXTENT} >= 2 * :pixel"),
    "settlements": _present("settlement", "name, kind, population, area_m2", "area_m2", "true"),
}


def _areas(states: str) -> str:
    """A tile of warning areas. Day and ids are text: a tile knows no others."""
    return f"""
        WITH {_BOUNDS}
        SELECT ST_AsMVT(tile, :layer, 4096, 'shape')
        FROM (
            SELECT area_id, name, state, level, known, alert_id, opened_on::text, changed_on::text,
                   unknown_since::text, {_DRAWN} AS shape
            FROM ({states}) AS area CROSS JOIN bounds
            WHERE geometry && box
            ORDER BY area_id
        ) AS tile WHERE shape IS NOT NULL
    """  # noqa: S608 - of constants of this room
