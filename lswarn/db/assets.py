"""What can be hit, and where warnings are given: the region, its assets and its landslides.

Features are known by the id they have in their file. Loading a file again updates them; one that is gone is marked
retired, never deleted, since past exposures speak of it.
"""

import logging
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from lswarn.assets import AssetName
from lswarn.db import tables
from lswarn.db.incoming import discs, land
from lswarn.db.subscribers import record_subscribers
from lswarn.errors import DatabaseError, RegionError
from lswarn.events import count, lessons
from lswarn.grid import Grid
from lswarn.region import Region

log = logging.getLogger(__name__)

ELSEWHERE = "elsewhere"
"""Id of the warning area that is the rest of the region, so that no exposure falls outside all areas."""

TABLE: dict[AssetName, str] = {"roads": "road", "settlements": "settlement", "warning_areas": "warning_area"}
GIVEN = {"road": ("name", "ref", "kind"), "settlement": ("name", "kind", "population"), "warning_area": ("name",)}
MEASURED = {"road": ("length_m",), "settlement": ("area_m2",), "warning_area": ()}

# What of a file can be hit or warned of, as it is kept. A statement that makes a table takes no parameters; the number
# of the CRS is ours.
ARRIVING = {
    "warning_area": """
        SELECT source_id, coalesce(nullif(name, ''), source_id) AS name, extent AS geometry
        FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
        WHERE NOT ST_IsEmpty(extent)""",
    "road": """
        SELECT source_id, name, ref, kind, length_m, course AS geometry
        FROM incoming
        CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 2)) AS course) AS lines
        CROSS JOIN LATERAL (SELECT ST_Length(ST_Transform(course, {srid:d})) AS length_m) AS measure
        WHERE length_m > 0""",
    "settlement": """
        SELECT source_id, name, kind, population, ST_Area(ST_Transform(extent, {srid:d})) AS area_m2, extent AS geometry
        FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
        WHERE NOT ST_IsEmpty(extent)""",
}

# What it was before, of everything that a file changes or brings back. A length that is measured otherwise, in another
# CRS, is no change of the road.
REMEMBER = """
    INSERT INTO lswarn.asset_change (region, kind, source_id, change, before, geometry)
    SELECT :region, '{table}', known.source_id, CASE WHEN known.retired_at IS NULL THEN 'changed' ELSE 'returned' END,
           jsonb_build_object({facts}, 'retired_at', known.retired_at), known.geometry
    FROM lswarn.{table} AS known JOIN arriving AS new ON new.source_id = known.source_id
    WHERE known.region = :region AND (known.retired_at IS NOT NULL OR {given_differ})
    RETURNING change"""

MERGE = """
    WITH written AS (
        INSERT INTO lswarn.{table} AS known (region, source_id, {columns}, geometry)
        SELECT :region, source_id, {columns}, geometry FROM arriving
        ON CONFLICT (region, source_id) DO UPDATE
        SET {updates}, geometry = excluded.geometry, retired_at = NULL
        WHERE known.retired_at IS NOT NULL OR {differ}
        RETURNING xmax = 0 AS added
    )
    SELECT count(*) FILTER (WHERE added) FROM written"""

RETIRE = """
    WITH gone AS (
        UPDATE lswarn.{table} AS known SET retired_at = now()
        WHERE region = :region AND retired_at IS NULL
          AND NOT EXISTS (SELECT FROM arriving WHERE arriving.source_id = known.source_id)
        RETURNING *
    )
    INSERT INTO lswarn.asset_change (region, kind, source_id, change, before, geometry)
    SELECT :region, '{table}', source_id, 'retired', jsonb_build_object({facts}, 'retired_at', NULL), geometry
    FROM gone AS known
    RETURNING source_id"""

MERGE_LANDSLIDES = """
    INSERT INTO lswarn.landslide AS known
        (region, source_id, day, accuracy_m, trigger, source, outline, slid, geometry)
    SELECT :region, source_id, day, accuracy_m, trigger, source, outline, coalesce(slid, true), extent
    FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
    WHERE NOT ST_IsEmpty(extent)
    ON CONFLICT (region, source_id) DO UPDATE
    SET day = excluded.day, accuracy_m = excluded.accuracy_m, trigger = excluded.trigger,
        source = excluded.source, outline = excluded.outline, slid = excluded.slid, geometry = excluded.geometry,
        confirmed = true  -- a report that its inventory has taken in
    WHERE (known.day, known.accuracy_m, known.trigger, known.source, known.outline, known.slid,
           ST_AsBinary(known.geometry), known.confirmed)
          IS DISTINCT FROM (excluded.day, excluded.accuracy_m, excluded.trigger, excluded.source,
                            excluded.outline, excluded.slid, ST_AsBinary(excluded.geometry), true)
    RETURNING xmax = 0 AS added"""

LEFT_OUT = """
    SELECT source_id FROM incoming
    WHERE NOT EXISTS (SELECT FROM {kept} AS kept WHERE kept.source_id = incoming.source_id) ORDER BY source_id"""

DIGEST = """
    UPDATE lswarn.region SET assets_digest = (
        SELECT encode(sha256(convert_to(coalesce(string_agg(told, ' ' ORDER BY told COLLATE "C"), ''), 'UTF8')), 'hex')
        FROM (
            SELECT md5(('area', source_id, name, ST_AsBinary(geometry))::text) AS told
            FROM lswarn.warning_area WHERE region = :region AND retired_at IS NULL
            UNION ALL
            SELECT md5(('road', source_id, name, ref, kind, ST_AsBinary(geometry))::text)
            FROM lswarn.road WHERE region = :region AND retired_at IS NULL
            UNION ALL
            SELECT md5(('town', source_id, name, kind, population, ST_AsBinary(geometry))::text)
            FROM lswarn.settlement WHERE region = :region AND retired_at IS NULL
        ) AS assets
    )
    WHERE name = :region RETURNING assets_digest"""

STRANDED = """
    SELECT source_id FROM lswarn.warning_area AS area JOIN lswarn.alert ON alert.area_id = area.id
    WHERE region = :region AND retired_at IS NOT NULL AND closed_on IS NULL ORDER BY source_id"""

# The rest is opened by about a metre: a narrower gap between two areas is how they were drawn, not a place.
REST = """
    INSERT INTO incoming (source_id, name, geometry)
    SELECT :elsewhere, 'Elsewhere', rest
    FROM (SELECT ST_Union(geometry) AS areas FROM incoming) AS known
    CROSS JOIN LATERAL (
        SELECT ST_Transform(ST_Segmentize(ST_MakeEnvelope(:left, :bottom, :right, :top, :srid), 1000), 4326) AS extent
    ) AS grid
    CROSS JOIN LATERAL (
        SELECT ST_Buffer(ST_Buffer(CASE WHEN areas IS NULL THEN extent ELSE ST_Difference(extent, areas) END,
                                   -1e-5, 'join=mitre'), 1e-5, 'join=mitre') AS rest
    ) AS opened
    WHERE NOT ST_IsEmpty(rest)"""


def record_region(conn: Connection, region: Region, assets_digest: str) -> None:
    """Write down the region and its subscribers.

    Args:
        assets_digest: of the asset files, as now recorded by `record_assets`.
    """
    facts = {
        "title": region.title,
        "srid": region.srid,
        "geometry": f"SRID=4326;{shapely.box(*region.bbox).wkt}",
        "rules_digest": region.digest,
        "assets_digest": assets_digest,
        "made": region.made,
    }
    conn.execute(insert(tables.region).values(name=region.name, **facts).on_conflict_do_update("pk_region", set_=facts))
    record_subscribers(conn, region)


@dataclass(frozen=True)
class Loaded:
    """What a file did to what is known of its kind.

    Attributes:
        new, changed, unchanged: features of the file; `changed` by what is given of them, or by geometry.
        returned: were gone from the file before and are there again.
        retired: are gone from the file now.
        left_out: ids of those that cannot be hit, for they have no length or extent.
    """

    new: int
    changed: int
    unchanged: int
    returned: int
    retired: int
    left_out: tuple[str, ...]


def record_assets(
    conn: Connection,
    region: Region,
    roads: gpd.GeoDataFrame,
    settlements: gpd.GeoDataFrame,
    warning_areas: gpd.GeoDataFrame,
) -> dict[AssetName, Loaded]:
    """Write down what can be hit, and the areas in which warnings are given: `record_asset` for all three.

    Raises:
        RegionError, DatabaseError: as `record_asset`.
    """
    frames: dict[AssetName, gpd.GeoDataFrame] = {
        "warning_areas": warning_areas,
        "roads": roads,
        "settlements": settlements,
    }
    return {name: record_asset(conn, region, name, frame) for name, frame in frames.items()}


def record_asset(
    conn: Connection,
    region: Region,
    name: AssetName,
    features: gpd.GeoDataFrame,
) -> Loaded:
    """Write down all features of one kind: known ones are updated, those that are gone from the file are retired.

    What a feature was before it changed is kept in `asset_change`. The rest of the region becomes a warning area of its
    own, `elsewhere`. A settlement given as a point becomes a disc of
    `point_radius_m`. A road without length, or an area or settlement
    without extent, cannot be hit: it is left out with a warning.

    Args:
        features: columns id, geometry and, where known, name, ref, kind, population.

    Raises:
        RegionError: an id is missing, given twice or `elsewhere`; a population is negative; an area with a warning in
            force is gone from the file.
        DatabaseError: the region is not recorded.
    """
    facts: dict[str, Any] = {"region": region.name, "srid": region.srid}
    if not conn.execute(text("SELECT 1 FROM lswarn.region WHERE name = :region"), facts).scalar():
        raise DatabaseError(f"region {region.name} is not recorded; call record_region first")
    if name == "settlements":
        features = discs(features, region, region.assets.settlements.point_radius_m)
    land(conn, features, name)
    if name == "warning_areas":
        if ELSEWHERE in set(features["id"].map(str)):
            raise RegionError(f"{name}: the id {ELSEWHERE!r} is kept for the rest of the region; give the area another")
        grid = Grid.from_bbox(region.bbox, region.crs, region.resolution_m).expanded(1)
        bounds = dict(zip(("left", "bottom", "right", "top"), grid.bounds, strict=True))
        conn.execute(text(REST), facts | bounds | {"elsewhere": ELSEWHERE})
    return _merge(conn, TABLE[name], facts)


def record_assets_digest(conn: Connection, region: Region) -> str:
    """Keep with the region the digest of all that can be hit, as it is now: runs say with what they were exposed."""
    return str(conn.execute(text(DIGEST), {"region": region.name}).scalar_one())


@dataclass(frozen=True)
class Recorded:
    """What recording did: so many were new, so many changed, and so many were there already as they are."""

    new: int
    updated: int
    unchanged: int


@dataclass(frozen=True)
class Landslides:
    """The inventory as a model may see it.

    Attributes:
        teaching: events that may be learnt from, EPSG:4326: id, day (`datetime.date` or None), geometry (MultiPolygon).
        left_out: why others may not, and how many (the rule is in `events.lessons`).
        stable: places known not to have slid, as `teaching`; day None: at no time that is known.
    """

    teaching: gpd.GeoDataFrame
    left_out: dict[str, int]
    stable: gpd.GeoDataFrame


def record_landslides(conn: Connection, region: Region, landslides: gpd.GeoDataFrame) -> Recorded:
    """Add landslides to the inventory, updating those it has. Points become discs of `inventory.point_radius_m`.

    Args:
        landslides: columns id, geometry, and where known day (`datetime.date`; null = unknown), accuracy_m (NaN =
            unknown), trigger, source, slid (left out: all did); as `inventory.Reading.events`.

    Raises:
        RegionError: an id is missing or given twice.
        DatabaseError: the region is not recorded.
    """
    facts = {"region": region.name}
    if not conn.execute(text("SELECT 1 FROM lswarn.region WHERE name = :region"), facts).scalar():
        raise DatabaseError(f"region {region.name} is not recorded; run: lswarn region build")
    outline = shapely.get_dimensions(landslides.geometry.to_numpy()) == 2
    land(conn, discs(landslides, region, region.inventory.point_radius_m).assign(outline=outline), "inventory")
    added = list(conn.execute(text(MERGE_LANDSLIDES), facts).scalars())
    conn.execute(text("ANALYZE lswarn.landslide"))
    _left_out(conn, "landslide", "(SELECT source_id FROM lswarn.landslide WHERE region = :region)", facts)
    return Recorded(added.count(True), added.count(False), len(landslides) - len(added))


def find_landslides(conn: Connection, region: Region) -> Landslides:
    """What may be learnt of the inventory, by the rules of region.toml, and how many events may not be, and why."""
    query = """SELECT source_id AS id, day, accuracy_m, trigger, outline, slid, geometry FROM lswarn.landslide
               WHERE region = :region AND confirmed ORDER BY source_id"""
    known = _read(conn, query, region=region.name)
    known["accuracy_m"] = known["accuracy_m"].astype(float)
    reasons = lessons(known, region.inventory)
    good, slid = np.array([not reason for reason in reasons], bool), known["slid"].to_numpy(bool)
    teaching, stable = (
        known.loc[good & kind, ["id", "day", "geometry"]].reset_index(drop=True) for kind in (slid, ~slid)
    )
    return Landslides(teaching, count(reasons), stable)


def find_warning_areas(conn: Connection, region: Region) -> gpd.GeoDataFrame:
    """Warning areas with `elsewhere`, EPSG:4326: area_id, name, geometry (MultiPolygon)."""
    query = """SELECT source_id AS area_id, name, geometry FROM lswarn.warning_area
               WHERE region = :region AND retired_at IS NULL ORDER BY source_id"""
    return _read(conn, query, region=region.name)


def _read(conn: Connection, query: str, **facts: Any) -> gpd.GeoDataFrame:
    return gpd.read_postgis(text(query), conn, geom_col="geometry", crs=4326, params=facts)


def _merge(conn: Connection, table: str, facts: dict[str, Any]) -> Loaded:
    """From `incoming` to a table of assets and their history."""
    given, columns = GIVEN[table], (*GIVEN[table], *MEASURED[table])
    words = {
        "table": table,
        "columns": ", ".join(columns),
        "updates": ", ".join(f"{column} = excluded.{column}" for column in columns),
        "facts": ", ".join(f"'{column}', known.{column}" for column in columns),
        "given_differ": _differ(given, "new"),
        "differ": _differ(columns, "excluded"),
    }
    conn.execute(text("DROP TABLE IF EXISTS pg_temp.arriving"))
    arriving = ARRIVING[table].format(srid=facts["srid"])
    conn.execute(text(f"CREATE TEMPORARY TABLE arriving ON COMMIT DROP AS {arriving}"))
    conn.execute(text("ANALYZE arriving"))
    live = f"SELECT count(*) FROM lswarn.{table} WHERE region = :region AND retired_at IS NULL"  # noqa: S608
    before = conn.execute(text(live), facts).scalar_one()
    changes = list(conn.execute(text(REMEMBER.format(**words)), facts).scalars())
    new = conn.execute(text(MERGE.format(**words)), facts).scalar_one()
    conn.execute(text(f"ANALYZE lswarn.{table}"))  # or the planner takes a full new table for an empty one
    gone = list(conn.execute(text(RETIRE.format(**words)), facts).scalars())
    left_out = _left_out(conn, table, "arriving", facts)
    if table == "warning_area" and (stranded := conn.execute(text(STRANDED), facts).scalars().all()):
        raise RegionError(
            f"warning_areas: {', '.join(stranded)} left the file with a warning in force, which nothing could end; "
            "keep the area until its all-clear"
        )
    if 2 * len(gone) > before:
        log.warning(
            "%d of %d in table %s are gone from the file and are retired; is it the right one?",
            len(gone),
            before,
            table,
        )
    changed, returned = changes.count("changed"), changes.count("returned")
    total = conn.execute(text("SELECT count(*) FROM arriving")).scalar_one()
    return Loaded(new, changed, total - new - changed - returned, returned, len(gone), left_out)


def _differ(columns: tuple[str, ...], other: str) -> str:
    """SQL that asks whether two rows tell different things; every vertex of a geometry counts."""
    sides = (
        f"({', '.join(f'{row}.{column}' for column in columns)}, ST_AsBinary({row}.geometry))"
        for row in ("known", other)
    )
    return " IS DISTINCT FROM ".join(sides)


def _left_out(conn: Connection, table: str, kept: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Ids of what landed but was not kept, with a warning."""
    ids = conn.execute(text(LEFT_OUT.format(kept=kept)), facts).scalars().all()
    if ids:
        log.warning("%d of %s have no extent and are left out: %s", len(ids), table, ", ".join(ids[:20]))
    return tuple(ids)
