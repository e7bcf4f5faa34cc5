"""What lies in the zones of a run, cut where zone and warning area end.

A shape is cut once, when it is new; a run whose zones have been seen before has only to be counted. Each kind of asset
is cut by one statement that is driven from the shapes through the spatial index of the assets. It makes a table, since
PostgreSQL computes what it makes a table of on several cores, and what it inserts on one.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from lswarn.region import Region


@dataclass(frozen=True)
class Exposure:
    """What a run found, all told: zones of class high and above, and what lies in them."""

    zones: int
    exceedances: int
    roads: int
    road_m: float
    settlements: int
    people: int


# ST_SetSRID changes nothing but that no index of shapes fits. Else the planner may drive from the assets, of which
# there are many and few are hit, and the index would find shapes of every day of the year.
CUT = """
    CREATE TEMPORARY TABLE {asset}_piece ON COMMIT DROP AS
    SELECT shape_id, asset_id, {measure}(ST_Transform(geometry, :srid)) AS measure, geometry
    FROM (
        SELECT shape.id AS shape_id, asset.id AS asset_id,
               ST_Multi(ST_CollectionExtract(ST_Intersection(asset.geometry, shape.geometry), {dimension})) AS geometry
        FROM lswarn.zone_shape AS shape
        JOIN lswarn.{asset} AS asset ON ST_Intersects(ST_SetSRID(shape.geometry, 4326), asset.geometry)
        WHERE shape.id > :before AND shape.region = :region
          AND asset.region = :region AND asset.retired_at IS NULL
        OFFSET 0
    ) AS piece"""

# Warning areas have many vertices, and few shapes lie across a border: shapes in which something lies are asked where
# they are, not pieces. Sorted by area, for PostGIS prepares a geometry that it is asked about many times running.
PLACE = """
    CREATE TEMPORARY TABLE place ON COMMIT DROP AS
    SELECT shape_id, area_id, ST_Covers(area, shape) AS inside
    FROM (
        SELECT shape.id AS shape_id, shape.geometry AS shape, area.id AS area_id, area.geometry AS area
        FROM (SELECT shape_id FROM road_piece UNION SELECT shape_id FROM settlement_piece) AS hit
        JOIN lswarn.zone_shape AS shape ON shape.id = hit.shape_id
        JOIN lswarn.warning_area AS area ON area.geometry && shape.geometry
        WHERE area.region = :region AND area.retired_at IS NULL
        ORDER BY area.id
        OFFSET 0
    ) AS pair
    WHERE ST_Intersects(area, shape)"""

PART = """
    SELECT shape_id, row_number() OVER (PARTITION BY shape_id ORDER BY asset_id, area_id) AS number, asset_id, area_id,
           measure, part.geometry
    FROM (
        SELECT shape_id, asset_id, area_id, measure, geometry
        FROM {asset}_piece JOIN place USING (shape_id)
        WHERE place.inside
        UNION ALL
        SELECT shape_id, asset_id, area_id, {measure}(ST_Transform(piece.geometry, :srid)), piece.geometry
        FROM (
            SELECT shape_id, asset_id, area_id,
                   ST_Multi(ST_CollectionExtract(ST_Intersection(piece.geometry, area.geometry), {dimension}))
                   AS geometry
            FROM {asset}_piece AS piece
            JOIN place USING (shape_id)
            JOIN lswarn.warning_area AS area ON area.id = area_id AND ST_Intersects(piece.geometry, area.geometry)
            WHERE NOT place.inside
            OFFSET 0
        ) AS piece
    ) AS part
    WHERE measure > 0"""

KEEP = {
    "road": """
        INSERT INTO lswarn.road_part (shape_id, number, road_id, area_id, length_m, geometry)
        {part}
        ORDER BY shape_id, number""",
    "settlement": """
        INSERT INTO lswarn.settlement_part
            (shape_id, number, settlement_id, area_id, area_m2, area_share, people, geometry)
        SELECT shape_id, number, asset_id, area_id, measure, area_share, round(area_share * population), part.geometry
        FROM ({part}) AS part
        JOIN lswarn.settlement ON settlement.id = asset_id
        CROSS JOIN LATERAL (SELECT least(measure / settlement.area_m2, 1) AS area_share) AS share
        ORDER BY shape_id, number""",
}

CUTS = {
    "road": {"asset": "road", "measure": "ST_Length", "dimension": 2},
    "settlement": {"asset": "settlement", "measure": "ST_Area", "dimension": 3},
}

# Metres are added as decimals: the same in whatever order the rows come.
COUNT = """
    WITH road_hit AS MATERIALIZED (
        SELECT area_id, class, road_id, sum(CAST(length_m AS numeric)) AS road_m
        FROM lswarn.road_exposure WHERE run_id = :run_id GROUP BY area_id, class, road_id
    ), road AS (
        SELECT area_id, class, false AS whole, count(*) AS roads, sum(road_m) AS road_m
        FROM road_hit GROUP BY area_id, class
        UNION ALL
        SELECT NULL, NULL, true, count(DISTINCT road_id), sum(road_m) FROM road_hit
    ), settlement_hit AS MATERIALIZED (
        SELECT area_id, class, settlement_id, sum(people) AS people, bool_or(people IS NULL) AS uncounted
        FROM lswarn.settlement_exposure WHERE run_id = :run_id GROUP BY area_id, class, settlement_id
    ), settlement AS (
        SELECT area_id, class, false AS whole, count(*) AS settlements, sum(people) AS people,
               count(*) FILTER (WHERE uncounted) AS uncounted
        FROM settlement_hit GROUP BY area_id, class
        UNION ALL
        SELECT NULL, NULL, true, count(DISTINCT settlement_id), sum(people), 0 FROM settlement_hit
    )"""

TOTAL = """, told AS (
        INSERT INTO lswarn.exposure_total
            (run_id, area_id, class, roads, road_m, settlements, people, settlements_uncounted)
        SELECT :run_id, area_id, class, coalesce(roads, 0), coalesce(road_m, 0), coalesce(settlements, 0),
               coalesce(people, 0), coalesce(uncounted, 0)
        FROM (SELECT * FROM road WHERE NOT whole) AS road
        FULL JOIN (SELECT * FROM settlement WHERE NOT whole) AS settlement USING (area_id, class)
    )"""

ALL = """
    SELECT (SELECT count(*) FROM lswarn.run_zone WHERE run_id = :run_id) AS zones,
           (SELECT count(*) FROM lswarn.rainfall_exceedance WHERE run_id = :run_id) AS exceedances,
           roads, CAST(coalesce(road_m, 0) AS double precision) AS road_m, settlements, coalesce(people, 0) AS people
    FROM road CROSS JOIN settlement
    WHERE road.whole AND settlement.whole"""


FEW = 5_000
"""Up to so many new shapes it takes longer to start the database's workers than to do without."""


def record_exposure(conn: Connection, region: Region, run_id: int, before: int) -> Exposure:
    """Cut what lies in new shapes, and write down the totals of a run, whose zones stand already.

    Args:
        before: what `record_zones` returned: shapes with a larger key are new.
    """
    facts: dict[str, Any] = {"region": region.name, "run_id": run_id, "srid": region.srid, "before": before}
    new = conn.execute(text("SELECT count(*) FROM lswarn.zone_shape WHERE id > :before AND region = :region"), facts)
    if fresh := int(new.scalar_one()):
        if fresh <= FEW:
            conn.execute(text("SET LOCAL max_parallel_workers_per_gather TO 0"))
        _cut(conn, facts)
        conn.execute(text("SET LOCAL max_parallel_workers_per_gather TO DEFAULT"))
    return Exposure(**conn.execute(text(COUNT + TOTAL + ALL), facts).mappings().one())


def _cut(conn: Connection, facts: dict[str, Any]) -> None:
    conn.execute(text("DROP TABLE IF EXISTS pg_temp.place, pg_temp.road_piece, pg_temp.settlement_piece"))
    for cut in CUTS.values():
        conn.execute(text(CUT.format(**cut)), facts)
    conn.execute(text(PLACE), facts)
    for asset, cut in CUTS.items():
        conn.execute(text(KEEP[asset].format(part=PART.format(**cut))), facts)


def find_exposure(conn: Connection, run_id: int) -> Exposure:
    """What a run found, in numbers."""
    return Exposure(**conn.execute(text(COUNT + ALL), {"run_id": run_id}).mappings().one())
