"""The zones of a run: an outline that was there before is pointed at, a new one is stored."""

import hashlib
from typing import Any

import geopandas as gpd
import shapely
from sqlalchemy import Column, Connection, Double, Integer, MetaData, SmallInteger, Table, text
from sqlalchemy.dialects import postgresql

from lswarn.db import tables
from lswarn.db.engine import copy_rows
from lswarn.region import Region

FOUND = Table(
    "found",
    MetaData(),
    Column("number", Integer),
    Column("digest", postgresql.UUID),
    Column("class", SmallInteger),
    *(Column(name, Double) for name in ("area_m2", "probability_mean", "probability_max")),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""The zones that are being recorded, in their order."""

UNTOLD = 5_000
"""New shapes from which on the planner is told of them at once: else it takes a wet country for a dry one, and asks
each zone about each area."""

NEW = """
    SELECT number FROM found
    WHERE NOT EXISTS (SELECT FROM lswarn.zone_shape AS shape WHERE shape.digest = found.digest)
    ORDER BY number"""

POINT = """
    INSERT INTO lswarn.run_zone (run_id, shape_id, class, area_m2, probability_mean, probability_max)
    SELECT :run_id, shape.id, class, area_m2, probability_mean, probability_max
    FROM found JOIN lswarn.zone_shape AS shape USING (digest)
    ORDER BY number"""

FORGET = """
    WITH gone AS (
        DELETE FROM lswarn.zone_shape AS shape
        WHERE region = :region AND NOT EXISTS (SELECT FROM lswarn.run_zone AS zone WHERE zone.shape_id = shape.id)
        RETURNING id
    ), roads AS (
        DELETE FROM lswarn.road_part USING gone WHERE shape_id = gone.id
    ), settlements AS (
        DELETE FROM lswarn.settlement_part USING gone WHERE shape_id = gone.id
    )
    SELECT count(*) FROM gone"""


def record_zones(conn: Connection, region: Region, run_id: int, assets_digest: str, zones: gpd.GeoDataFrame) -> int:
    """Record the zones of a run.

    Args:
        conn: of a transaction that holds the region's lock.
        assets_digest: of the assets that lie in them. Under other assets or rules an outline is another shape: what
            lies in a shape never changes.
        zones: EPSG:4326: class, area_m2, probability_mean, probability_max, geometry (Polygon).

    Returns:
        The largest key of a shape there was before: the region's shapes above it are new, and nothing has been cut by
        them yet.
    """
    before = int(conn.execute(text("SELECT coalesce(max(id), 0) FROM lswarn.zone_shape")).scalar_one())
    outlines = shapely.to_wkb(shapely.set_srid(zones.geometry.to_numpy(), 4326), include_srid=True, byte_order=1)
    # The migration that moved older zones hashes the very same bytes.
    basis = hashlib.sha256("\n".join((region.name, assets_digest, region.digest)).encode()).digest()
    digests = [hashlib.sha256(basis + outline).digest()[:16] for outline in outlines]
    FOUND.drop(conn, checkfirst=True)
    FOUND.create(conn)
    names = ["class", "area_m2", "probability_mean", "probability_max"]
    rows: Any = zip(range(len(zones)), digests, *(zones[name].tolist() for name in names), strict=True)
    kinds = ["int4", "bytea", "int2", "float8", "float8", "float8"]
    copy_rows(conn, FOUND, ["number", "digest", *names], rows, kinds)
    conn.execute(text("ANALYZE found (digest, number)"))
    new = {digests[number]: outlines[number] for number in conn.execute(text(NEW)).scalars()}
    fresh = ((region.name, digest, outline) for digest, outline in new.items())
    copy_rows(conn, tables.zone_shape, ["region", "digest", "geometry"], fresh, ["text", "bytea", "bytea"])
    conn.execute(text(POINT), {"run_id": run_id})
    if len(new) > UNTOLD:
        conn.execute(text("ANALYZE lswarn.run_zone, lswarn.zone_shape"))
    return before


def forget_shapes(conn: Connection, region: Region) -> int:
    """Delete the shapes that no run of a region names any more, with all that lies in them; how many shapes.

    Args:
        conn: of a transaction that holds the region's lock.
    """
    return int(conn.execute(text(FORGET), {"region": region.name}).scalar_one())
