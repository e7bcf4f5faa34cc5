"""What lies in the zones of a run, cut where zone and warning area end.

Each kind of asset is cut by one statement that is driven from the zones through the spatial index of the assets. It
makes a table, since PostgreSQL computes what it makes a table of on several cores, and what it inserts on one. What lay
in a zone that the run before had too, in the very same shape, is carried over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from lswarn.db.lineage import keep_shapes
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


# Warning areas have many vertices, and few zones lie across a border: zones are asked where they lie, not stretches.
# Sorted by area, for PostGIS prepares a geometry that it is asked about many times running.
PLACE = """
    CREATE TEMPORARY TABLE place ON COMMIT DROP AS
    SELECT zone_id, area_id, ST_Covers(area, zone) AS inside
    FROM (
        SELECT zone.id AS zone_id, zone.geometry AS zone, area.id AS area_id, area.geometry AS area
        FROM lswarn.susceptibility_zone AS zone
        JOIN lswarn.warning_area AS area ON area.geometry && zone.geometry
        WHERE {fresh} AND area.region = :region AND area.retired_at IS NULL
        ORDER BY area.id
        OFFSET 0
    ) AS pair
    WHERE ST_Intersects(area, zone)"""

# ST_SetSRID changes nothing but that no index of zones fits. Else the planner may drive from the assets, of which there
# are many and few are hit, and the index would find zones of every day of the year.
CUT = """
    CREATE TEMPORARY TABLE piece ON COMMIT DROP AS
    SELECT zone.id AS zone_id, asset.id AS asset_id,
           ST_CollectionExtract(ST_Intersection(asset.geometry, zone.geometry), {dimension}) AS geometry
    FROM lswarn.susceptibility_zone AS zone
    JOIN lswarn.{asset} AS asset ON ST_Intersects(ST_SetSRID(zone.geometry, 4326), asset.geometry)
    WHERE {fresh} AND asset.region = :region AND asset.retired_at IS NULL"""

PART = """
    FROM piece
    JOIN place ON place.zone_id = piece.zone_id
    JOIN lswarn.susceptibility_zone AS zone ON zone.id = piece.zone_id
    JOIN lswarn.warning_area AS area
      ON area.id = place.area_id AND (place.inside OR ST_Intersects(piece.geometry, area.geometry))
    CROSS JOIN LATERAL (
        SELECT ST_Multi(
            CASE WHEN place.inside THEN piece.geometry
                 ELSE ST_CollectionExtract(ST_Intersection(piece.geometry, area.geometry), {dimension}) END
        ) AS geometry
    ) AS part"""

RECORD = {
    "road": """
        INSERT INTO lswarn.road_exposure
            (run_id, zone_id, road_id, area_id, class, length_m, probability_mean, probability_max, geometry)
        SELECT :run_id, zone.id, asset_id, area.id, class, length_m, probability_mean, probability_max, part.geometry"""
    + PART.format(dimension=2)
    + """
        CROSS JOIN LATERAL (SELECT ST_Length(ST_Transform(part.geometry, :srid)) AS length_m) AS measure
        WHERE length_m > 0
        ORDER BY zone.id, asset_id, area.id""",
    "settlement": """
        INSERT INTO lswarn.settlement_exposure
            (run_id, zone_id, settlement_id, area_id, class, area_m2, area_share, people, probability_mean,
             probability_max, geometry)
        SELECT :run_id, zone.id, asset_id, area.id, class, measure.area_m2, area_share,
               round(area_share * population), probability_mean, probability_max, part.geometry"""
    + PART.format(dimension=3)
    + """
        JOIN lswarn.settlement ON settlement.id = asset_id
        CROSS JOIN LATERAL (SELECT ST_Area(ST_Transform(part.geometry, :srid)) AS area_m2) AS measure
        CROSS JOIN LATERAL (SELECT least(measure.area_m2 / settlement.area_m2, 1) AS area_share) AS share
        WHERE measure.area_m2 > 0
        ORDER BY zone.id, asset_id, area.id""",
}

# The shape is the zone's of the run before; its class and probability are today's.
CARRY = """
    INSERT INTO lswarn.{table}
        (run_id, zone_id, {columns}, class, probability_mean, probability_max, geometry)
    SELECT :run_id, zone.id, {values}, zone.class, zone.probability_mean, zone.probability_max, part.geometry
    FROM lswarn.{table} AS part
    JOIN kept ON kept.earlier_id = part.zone_id
    JOIN lswarn.susceptibility_zone AS zone ON zone.id = kept.zone_id
    WHERE part.run_id = :earlier_id"""

CARRIED = {
    "road_exposure": ("road_id", "area_id", "length_m"),
    "settlement_exposure": ("settlement_id", "area_id", "area_m2", "area_share", "people"),
}

TOTAL = """
    INSERT INTO lswarn.exposure_total
        (run_id, area_id, class, roads, road_m, settlements, people, settlements_uncounted)
    SELECT :run_id, area_id, class, coalesce(sum(roads), 0), coalesce(sum(road_m), 0), coalesce(sum(settlements), 0),
           coalesce(sum(people), 0), coalesce(sum(uncounted), 0)
    FROM (
        SELECT area_id, class, count(DISTINCT road_id) AS roads, sum(CAST(length_m AS numeric)) AS road_m,
               0 AS settlements, 0 AS people, 0 AS uncounted
        FROM lswarn.road_exposure WHERE run_id = :run_id GROUP BY area_id, class
        UNION ALL
        SELECT area_id, class, 0, 0, count(DISTINCT settlement_id), sum(people),
               count(DISTINCT settlement_id) FILTER (WHERE people IS NULL)
        FROM lswarn.settlement_exposure WHERE run_id = :run_id GROUP BY area_id, class
    ) AS found
    GROUP BY area_id, class"""

# The nearest day is the most alike; of the same day, the run that is being replaced. What lay in a zone is the same
# only under the same assets and the same rules, which say how wide a settlement is that was given as a point.
ALIKE = """
    SELECT earlier.id FROM lswarn.run AS earlier
    JOIN lswarn.run AS run ON run.id = :run_id AND earlier.id <> run.id
    WHERE earlier.region = run.region AND earlier.assets_digest = run.assets_digest
      AND earlier.rules_digest = run.rules_digest AND earlier.pruned_at IS NULL AND earlier.model_id IS NOT NULL
      AND (earlier.superseded_at IS NULL OR earlier.id = :replaced)
    ORDER BY abs(earlier.valid_day - run.valid_day), earlier.id DESC
    LIMIT 1"""


def record_exposure(conn: Connection, region: Region, run_id: int, replaced: int | None = None) -> None:
    """Write down what lies in the zones of a run, whose zones stand already, and its totals.

    Args:
        replaced: run of the same day whose findings are about to be deleted: its exposure may be carried over.
    """
    facts: dict[str, Any] = {"region": region.name, "run_id": run_id, "srid": region.srid, "replaced": replaced}
    earlier = conn.execute(text(ALIKE), facts).scalar()
    fresh = None if earlier is None else keep_shapes(conn, run_id, earlier)
    if fresh is not None:
        for table, columns in CARRIED.items():
            names, values = ", ".join(columns), ", ".join(f"part.{column}" for column in columns)
            carry = CARRY.format(table=table, columns=names, values=values)
            conn.execute(text(carry), facts | {"earlier_id": earlier})
    if fresh is None or fresh:
        _cut(conn, facts, fresh)
    conn.execute(text(TOTAL), facts)


def _cut(conn: Connection, facts: dict[str, Any], fresh: Sequence[int] | None) -> None:
    """Cut roads and settlements by zones.

    Args:
        fresh: keys of the zones; None: all of the run.
    """
    which = "zone.run_id = :run_id" if fresh is None else "zone.id = ANY(CAST(:fresh AS bigint[]))"
    facts = facts | {"fresh": fresh}
    conn.execute(text("DROP TABLE IF EXISTS pg_temp.place"))
    conn.execute(text(PLACE.format(fresh=which)), facts)
    for asset, dimension in (("road", 2), ("settlement", 3)):
        conn.execute(text("DROP TABLE IF EXISTS pg_temp.piece"))
        conn.execute(text(CUT.format(fresh=which, asset=asset, dimension=dimension)), facts)
        conn.execute(text(RECORD[asset]), facts)


def find_exposure(conn: Connection, run_id: int) -> Exposure:
    """What a run found, in numbers. Metres are added as decimals: the same in whatever order the rows come."""
    query = text("""
        SELECT (SELECT count(*) FROM lswarn.susceptibility_zone WHERE run_id = :run_id) AS zones,
               (SELECT count(*) FROM lswarn.rainfall_exceedance WHERE run_id = :run_id) AS exceedances,
               roads, road_m, settlements, people
        FROM (SELECT count(DISTINCT road_id) AS roads,
                     CAST(coalesce(sum(CAST(length_m AS numeric)), 0) AS double precision) AS road_m
              FROM lswarn.road_exposure WHERE run_id = :run_id) AS road
        CROSS JOIN (SELECT count(DISTINCT settlement_id) AS settlements, coalesce(sum(people), 0) AS people
                    FROM lswarn.settlement_exposure WHERE run_id = :run_id) AS settlement""")
    return Exposure(**conn.execute(query, {"run_id": run_id}).mappings().one())
