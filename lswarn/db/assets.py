"""What can be hit, and where warnings are given: the region, its assets and its landslides.

Features are known by the id they have in their file. Loading a file again updates them; one that is gone is marked
retired, never deleted, since past exposures speak of it.
"""

import logging
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from geoalchemy2 import Geometry
from sqlalchemy import Boolean, Column, Connection, Date, Double, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import insert

from lswarn.db import tables
from lswarn.db.engine import copy_rows
from lswarn.errors import DatabaseError, RegionError
from lswarn.events import count, lessons
from lswarn.grid import Grid
from lswarn.region import Region

log = logging.getLogger(__name__)

ELSEWHERE = "elsewhere"
"""Id of the warning area that is the rest of the region, so that no exposure falls outside all areas."""

INCOMING = Table(
    "incoming",
    MetaData(),
    *(Column(name, Text) for name in ("source_id", "name", "ref", "kind", "trigger", "source")),
    Column("population", Integer),
    Column("day", Date),
    Column("accuracy_m", Double),
    Column("outline", Boolean),
    Column("slid", Boolean),
    Column("geometry", Geometry("GEOMETRY", srid=4326, spatial_index=False)),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
"""Where a file's features land before they are merged, in one statement a kind."""

MERGE = {
    "warning_area": """
        INSERT INTO lswarn.warning_area (region, source_id, name, geometry)
        SELECT :region, source_id, coalesce(nullif(name, ''), source_id), extent
        FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
        WHERE NOT ST_IsEmpty(extent)
        ON CONFLICT (region, source_id) DO UPDATE
        SET name = excluded.name, geometry = excluded.geometry, retired_at = NULL""",
    "road": """
        INSERT INTO lswarn.road (region, source_id, name, ref, kind, length_m, geometry)
        SELECT :region, source_id, name, ref, kind, length_m, course
        FROM incoming
        CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 2)) AS course) AS lines
        CROSS JOIN LATERAL (SELECT ST_Length(ST_Transform(course, :srid)) AS length_m) AS measure
        WHERE length_m > 0
        ON CONFLICT (region, source_id) DO UPDATE
        SET name = excluded.name, ref = excluded.ref, kind = excluded.kind, length_m = excluded.length_m,
            geometry = excluded.geometry, retired_at = NULL""",
    "settlement": """
        INSERT INTO lswarn.settlement (region, source_id, name, kind, population, area_m2, geometry)
        SELECT :region, source_id, name, kind, population, ST_Area(ST_Transform(extent, :srid)), extent
        FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
        WHERE NOT ST_IsEmpty(extent)
        ON CONFLICT (region, source_id) DO UPDATE
        SET name = excluded.name, kind = excluded.kind, population = excluded.population, area_m2 = excluded.area_m2,
            geometry = excluded.geometry, retired_at = NULL""",
    "landslide": """
        INSERT INTO lswarn.landslide AS known
            (region, source_id, day, accuracy_m, trigger, source, outline, slid, geometry)
        SELECT :region, source_id, day, accuracy_m, trigger, source, outline, coalesce(slid, true), extent
        FROM incoming CROSS JOIN LATERAL (SELECT ST_Multi(ST_CollectionExtract(geometry, 3)) AS extent) AS flat
        WHERE NOT ST_IsEmpty(extent)
        ON CONFLICT (region, source_id) DO UPDATE
        SET day = excluded.day, accuracy_m = excluded.accuracy_m, trigger = excluded.trigger,
            source = excluded.source, outline = excluded.outline, slid = excluded.slid, geometry = excluded.geometry
        WHERE (known.day, known.accuracy_m, known.trigger, known.source, known.outline, known.slid,
               ST_AsBinary(known.geometry))
              IS DISTINCT FROM (excluded.day, excluded.accuracy_m, excluded.trigger, excluded.source,
                                excluded.outline, excluded.slid, ST_AsBinary(excluded.geometry))
        RETURNING xmax = 0 AS added""",
}

RETIRE = """
    UPDATE lswarn.{table} AS known SET retired_at = now()
    WHERE region = :region AND retired_at IS NULL
      AND NOT EXISTS (SELECT FROM incoming WHERE incoming.source_id = known.source_id)"""

LEFT_OUT = """
    SELECT source_id FROM incoming
    WHERE NOT EXISTS (SELECT FROM lswarn.{table} AS known
                      WHERE known.region = :region AND known.source_id = incoming.source_id)
    ORDER BY source_id"""

# The rest is opened by about a metre: a narrower gap between two areas is how they were drawn, not a place.
STRANDED = """
    SELECT source_id FROM lswarn.warning_area AS area JOIN lswarn.alert ON alert.area_id = area.id
    WHERE region = :region AND retired_at IS NOT NULL AND closed_on IS NULL ORDER BY source_id"""

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

    A subscriber who is gone from region.toml is told nothing more: what was still on its way to him is given up.

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
    conn.execute(
        text("UPDATE lswarn.subscriber SET retired_at = now() WHERE region = :region AND retired_at IS NULL"),
        {"region": region.name},
    )
    for subscriber in region.subscribers:
        told = {"channel": subscriber.channel, "address": subscriber.address, "areas": list(subscriber.areas)}
        row = insert(tables.subscriber).values(region=region.name, name=subscriber.name, **told)
        conn.execute(row.on_conflict_do_update("uq_subscriber_region_name", set_={**told, "retired_at": None}))
    conn.execute(
        text("""UPDATE lswarn.delivery SET status = 'dead' FROM lswarn.subscriber
                WHERE subscriber.id = subscriber_id AND region = :region AND retired_at IS NOT NULL
                  AND status = 'pending'"""),
        {"region": region.name},
    )


def record_assets(
    conn: Connection,
    region: Region,
    roads: gpd.GeoDataFrame,
    settlements: gpd.GeoDataFrame,
    warning_areas: gpd.GeoDataFrame,
) -> None:
    """Write down what can be hit, and the areas in which warnings are given.

    The rest of the region becomes a warning area of its own, `elsewhere`. A settlement given as a point becomes a disc.
    A road without length, or an area or settlement without extent, cannot be hit: it is left out with a warning.

    Args:
        roads, settlements, warning_areas: columns id, geometry and, where known, name, ref, kind, population.

    Raises:
        RegionError: an id is missing, given twice or `elsewhere`; a population is negative; an area is no polygon; an
            area with a warning in force is gone from the file.
        DatabaseError: the region is not recorded.
    """
    facts: dict[str, Any] = {"region": region.name, "srid": region.srid}
    if not conn.execute(text("SELECT 1 FROM lswarn.region WHERE name = :region"), facts).scalar():
        raise DatabaseError(f"region {region.name} is not recorded; call record_region first")
    _land(conn, warning_areas, "warning_areas")
    grid = Grid.from_bbox(region.bbox, region.crs, region.resolution_m).expanded(1)
    bounds = dict(zip(("left", "bottom", "right", "top"), grid.bounds, strict=True))
    conn.execute(text(REST), facts | bounds | {"elsewhere": ELSEWHERE})
    _merge(conn, "warning_area", facts)
    _land(conn, roads, "roads")
    _merge(conn, "road", facts)
    _land(conn, _discs(settlements, region, region.assets.settlements.point_radius_m), "settlements")
    _merge(conn, "settlement", facts)


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
    discs = _discs(landslides, region, region.inventory.point_radius_m).assign(outline=outline)
    _land(conn, discs, "inventory")
    added = _merge(conn, "landslide", facts, retire=False)
    return Recorded(added.count(True), added.count(False), len(landslides) - len(added))


def find_landslides(conn: Connection, region: Region) -> Landslides:
    """What may be learnt of the inventory, by the rules of region.toml, and how many events may not be, and why."""
    query = """SELECT source_id AS id, day, accuracy_m, trigger, outline, slid, geometry FROM lswarn.landslide
               WHERE region = :region ORDER BY source_id"""
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


def _land(conn: Connection, features: gpd.GeoDataFrame, key: str) -> None:
    """Put a file's features into `incoming`, whatever was there before."""
    ids = _ids(features["id"], key)
    columns = {
        "source_id": ids,
        **{name: _texts(features, name) for name in ("name", "ref", "kind", "trigger", "source")},
        "population": _population(features, ids, key),
        "day": _nullable(features, "day"),
        "accuracy_m": _nullable(features, "accuracy_m"),
        **{name: _nullable(features, name) for name in ("outline", "slid")},
        "geometry": _ewkb(features),
    }
    INCOMING.drop(conn, checkfirst=True)
    INCOMING.create(conn)
    copy_rows(conn, INCOMING, list(columns), zip(*columns.values(), strict=True))
    conn.execute(text("ANALYZE incoming"))


def _merge(conn: Connection, table: str, facts: dict[str, Any], *, retire: bool = True) -> list[bool]:
    """Returns, where the statement tells, of each row that was written whether it is new."""
    result = conn.execute(text(MERGE[table]), facts)
    added = list(result.scalars()) if result.returns_rows else []
    conn.execute(text(f"ANALYZE lswarn.{table}"))  # or the planner takes a full new table for an empty one
    if left_out := conn.execute(text(LEFT_OUT.format(table=table)), facts).scalars().all():
        log.warning("%d of %s have no extent and are left out: %s", len(left_out), table, ", ".join(left_out[:20]))
    if retire:
        conn.execute(text(RETIRE.format(table=table)), facts)
    if table == "warning_area" and (stranded := conn.execute(text(STRANDED), facts).scalars().all()):
        raise RegionError(
            f"warning_areas: {', '.join(stranded)} left the file with a warning in force, which nothing could end; "
            "keep the area until its all-clear"
        )
    return added


def _ids(ids: pd.Series, key: str) -> list[str]:
    if ids.isna().any():
        raise RegionError(f"{key}: {int(ids.isna().sum())} features have no id; give each its own in the id field")
    if pd.api.types.is_float_dtype(ids) and (ids % 1 == 0).all():
        ids = ids.astype("int64")
    texts = [str(value) for value in ids]
    if twice := sorted(pd.Series(texts)[pd.Series(texts).duplicated()].unique()):
        raise RegionError(f"{key}: the id field is no id, since features share {', '.join(twice[:5])}")
    if key == "warning_areas" and ELSEWHERE in texts:
        raise RegionError(f"{key}: the id {ELSEWHERE!r} is kept for the rest of the region; give the area another one")
    return texts


def _texts(features: gpd.GeoDataFrame, name: str) -> list[str]:
    if name not in features:
        return [""] * len(features)
    return [" ".join(str(value).split()) for value in features[name].astype(object).fillna("")]


def _population(features: gpd.GeoDataFrame, ids: list[str], key: str) -> list[int | None]:
    """Whole people; what is no number is unknown, with a warning."""
    if "population" not in features:
        return [None] * len(features)
    given = features["population"]
    counts = pd.to_numeric(given, errors="coerce")
    if odd := [
        f"{i}: {v!r}" for i, v, count in zip(ids, given, counts, strict=True) if pd.isna(count) and not pd.isna(v)
    ]:
        log.warning("%s: %d populations are no numbers and taken as unknown: %s", key, len(odd), ", ".join(odd[:20]))
    if (counts < 0).any():
        raise RegionError(f"{key}: population {counts.min():g} is negative; leave it empty where it is unknown")
    return [None if pd.isna(count) else round(count) for count in counts]


def _nullable(features: gpd.GeoDataFrame, name: str) -> list[Any]:
    if name not in features:
        return [None] * len(features)
    return [None if pd.isna(value) else value for value in features[name].astype(object)]


def _discs(features: gpd.GeoDataFrame, region: Region, radius_m: float) -> gpd.GeoDataFrame:
    """A polygon as it is; of a point or line, the ground within a radius."""
    thin = shapely.get_dimensions(features.geometry.to_numpy()) < 2
    if not thin.any():
        return features
    shapes = features.geometry.to_crs(4326)
    shapes[thin] = shapes[thin].to_crs(region.crs).buffer(radius_m).to_crs(4326)
    return features.set_geometry(shapes)


def _ewkb(features: gpd.GeoDataFrame) -> Any:
    shapes = shapely.make_valid(shapely.force_2d(features.geometry.to_crs(4326).to_numpy()))
    return shapely.to_wkb(shapely.set_srid(shapes, 4326), hex=True, include_srid=True)
