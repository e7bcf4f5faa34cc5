"""A day in the database: its publication, and what it hit.

A run is published whole or not at all, and publishing a day again replaces that day. Observed runs, outlooks of days
ahead, and hindcasts of past days stand beside each other. `publish` runs on a connection from `engine.transaction` that
holds the region's lock.
"""

from dataclasses import dataclass
from datetime import date, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

import geopandas as gpd
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from lswarn.alerts.policy import Hit
from lswarn.db import tables
from lswarn.db.critical import record_rain
from lswarn.db.engine import copy_rows
from lswarn.db.exposure import Exposure as Exposure  # part of what `publish` says, for those who pass it on
from lswarn.db.exposure import find_exposure, record_exposure
from lswarn.db.lineage import record_lineage
from lswarn.db.tiles import forget_orphans, record_tiles
from lswarn.db.zones import forget_shapes, record_zones
from lswarn.errors import DatabaseError
from lswarn.rain.grade import Grade
from lswarn.region import Region

if TYPE_CHECKING:
    from lswarn.hazard.assess import Assessment  # not at run time: with it comes torch

FINDINGS = (
    tables.run_rain,
    tables.run_tile,
    tables.zone_lineage,
    tables.exposure_total,
    tables.run_zone,
    tables.rainfall_exceedance,
    tables.class_area,
)
"""What a run found, in an order in which it can be deleted. Shapes and tiles stay, for other runs may name them."""

MOST_ROADS = 3_000
"""Roads that a map shows for orientation, the longest; exposed ones are all on it."""

EVENTS = "event-"
"""What the id of a landslide begins with that a made region reports of its days."""

Kind = Literal["observed", "outlook", "hindcast"]
"""`outlook`: of a day that was not over; `hindcast`: of a past day, with what had been published by then."""


@dataclass(frozen=True)
class Published:
    """The run that now counts for its day. `repeated`: it was there already, and nothing changed."""

    run_id: int
    repeated: bool
    exposure: Exposure


@dataclass(frozen=True)
class RunRow:
    """One publication of one day.

    Attributes:
        lead_days: how many of its seven days are forecast.
        status: complete; lower_bound, modelled: nothing follows from a zone's absence; unknown.
        current: not superseded.
    """

    run_id: int
    valid_day: date
    kind: Kind
    lead_days: int
    status: str
    grade: str
    model_id: str
    published_at: datetime
    current: bool


@dataclass(frozen=True)
class MapLayers:
    """What a map of one warning area shows, EPSG:4326.

    Attributes:
        area: the warning area. `zones`: class, geometry, within its bounding box.
        roads: name, ref, exposed, geometry: the longest roads there whole, and all stretches in zones as exposed.
        settlements: name, exposed, geometry.
    """

    area: BaseGeometry
    zones: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    settlements: gpd.GeoDataFrame


def publish(
    conn: Connection,
    region: Region,
    assessment: "Assessment",
    *,
    software: str,
    published_at: datetime,
    kind: Kind = "observed",
) -> Published:
    """Make an assessment the run of its kind that counts for its day, with everything that lies in its zones.

    The same assessment of the same assets again changes nothing. Another one of the same day and kind replaces what was
    found; the superseded run itself stays on record.

    Args:
        kind: an outlook is what holds forecast rain, and nothing else is.

    Raises:
        DatabaseError: the region, or a warning area the assessment names, is not recorded.
    """
    facts: dict[str, Any] = {"region": region.name, "day": assessment.day, "kind": kind}
    known = conn.execute(text("SELECT assets_digest FROM lswarn.region WHERE name = :region"), facts).scalar()
    if known is None:
        raise DatabaseError(f"region {region.name} is not recorded; run: lswarn region build")
    made_from = (assessment.key, known)
    query = """SELECT id, key, assets_digest, pruned_at FROM lswarn.run
               WHERE region = :region AND valid_day = :day AND kind = :kind AND superseded_at IS NULL"""
    before = conn.execute(text(query), facts).one_or_none()
    if before and made_from == (before.key, before.assets_digest) and before.pruned_at is None:
        return Published(before.id, True, find_exposure(conn, before.id))
    if before:
        query = "UPDATE lswarn.run SET superseded_at = :at WHERE id = :run_id"
        conn.execute(text(query), {"at": published_at, "run_id": before.id})
    run_id = _record_run(conn, region, assessment, kind, known, software, published_at)
    new = record_zones(conn, region, run_id, known, assessment.zones)
    _record_findings(conn, region, run_id, assessment)
    record_tiles(conn, run_id, assessment.classes)
    if assessment.rain_raster:
        short = bool(assessment.area_rain.get("lower_bound", pd.Series(dtype=bool)).any())
        record_rain(conn, run_id, assessment.rain_raster, lower_bound=short)
    exposure = record_exposure(conn, region, run_id, new)
    if kind == "observed":
        record_lineage(conn, run_id)
    if before:
        _forget_findings(conn, before.id)
    return Published(run_id, False, exposure)


def _forget_findings(conn: Connection, run_id: int) -> None:
    for table in FINDINGS:
        conn.execute(table.delete().where(table.c.run_id == run_id))


def _status(found: "Assessment") -> str:
    if not found.model_id:
        return "unknown"
    if found.grade is Grade.E or found.lead_days:
        return "modelled"
    return "lower_bound" if found.grade is Grade.D else "complete"


def _record_run(
    conn: Connection,
    region: Region,
    found: "Assessment",
    kind: Kind,
    assets_digest: str,
    software: str,
    published_at: datetime,
) -> int:
    paths = {"classes": found.classes, "probability": found.probability, "rain": found.rain_raster}
    rasters = {name: {"path": str(path), "sha256": found.digests[path.name]} for name, path in paths.items() if path}
    if found.layers:  # what the probabilities of a primed day are worked out from
        rasters["layers"] = {"path": str(found.layers)}
    run = insert(tables.run).values(
        region=region.name,
        valid_day=found.day,
        kind=kind,
        lead_days=found.lead_days,
        key=found.key,
        status=_status(found),
        grade=found.grade.value,
        model_id=found.model_id or None,
        rain=list(found.rain),
        missing=list(found.missing),
        rules_digest=region.digest,
        assets_digest=assets_digest,
        software=software,
        rasters=rasters,
        published_at=published_at,
    )
    return int(conn.execute(run.returning(tables.run.c.id)).scalar_one())


def _record_findings(conn: Connection, region: Region, run_id: int, found: "Assessment") -> None:
    cells = found.exceedances
    columns = ["rain_mm", "critical_mm", "safety_factor", "lower_bound"]
    shapes = shapely.to_wkb(shapely.set_srid(cells.geometry.to_numpy(), 4326), hex=True, include_srid=True)
    values = zip(repeat(run_id), *(cells[column].tolist() for column in columns), shapes, strict=False)
    copy_rows(conn, tables.rainfall_exceedance, ["run_id", *columns, "geometry"], values)
    query = text("SELECT source_id, id FROM lswarn.warning_area WHERE region = :region AND retired_at IS NULL")
    known = {row.source_id: row.id for row in conn.execute(query, {"region": region.name})}
    areas = found.class_areas
    if strangers := set(areas["area_id"]) - known.keys():
        raise DatabaseError(f"warning areas {', '.join(sorted(strangers))} of {region.name} are not recorded")
    rows = zip(repeat(run_id), areas["area_id"].map(known), areas["class"], areas["area_m2"], strict=False)
    copy_rows(conn, tables.class_area, ["run_id", "area_id", "class", "area_m2"], rows)


def find_hits(conn: Connection, run_id: int, lowest: int = 5) -> dict[str, list[Hit]]:
    """What lies in zones, by warning area: one `Hit` an asset, summed over zones.

    People of a settlement are its population times the share inside, rounded once. Settlements come after roads, and
    what is hit hardest comes first.

    Args:
        lowest: class of the zones that count, or above: 5 very high, 4 high and very high together.
    """
    query = text("""
        SELECT area.source_id AS area_id, asset, asset_id, hit.name, ref, length_m, people, probability_max
        FROM (
            SELECT area_id, 'road' AS asset, road.source_id AS asset_id, name, ref,
                   CAST(sum(CAST(part.length_m AS numeric)) AS double precision) AS length_m,
                   0 AS people, max(probability_max) AS probability_max
            FROM lswarn.road_exposure AS part JOIN lswarn.road AS road ON road.id = road_id
            WHERE run_id = :run_id AND class >= :lowest
            GROUP BY area_id, road.id
            UNION ALL
            SELECT area_id, 'settlement', settlement.source_id, name, '', 0,
                   round(least(sum(area_share), 1) * population)::integer, max(probability_max)
            FROM lswarn.settlement_exposure AS part
            JOIN lswarn.settlement AS settlement ON settlement.id = settlement_id
            WHERE run_id = :run_id AND class >= :lowest
            GROUP BY area_id, settlement.id
        ) AS hit (area, asset, asset_id, name, ref, length_m, people, probability_max)
        JOIN lswarn.warning_area AS area ON area.id = hit.area
        ORDER BY area_id, asset, people DESC NULLS FIRST, length_m DESC, asset_id""")
    hits: dict[str, list[Hit]] = {}
    for row in conn.execute(query, {"run_id": run_id, "lowest": lowest}).mappings():
        fields = dict(row)
        hits.setdefault(fields.pop("area_id"), []).append(Hit(**fields))
    return hits


def find_outlook_hits(conn: Connection, region: Region, after: date) -> dict[date, dict[str, list[Hit]]]:
    """What lies in very-high zones on the days ahead, by day and warning area; see `find_hits`.

    Args:
        after: last observed day. Every later day with an outlook that counts is there, also where nothing is hit.
    """
    query = text("""SELECT valid_day, id FROM lswarn.run WHERE region = :region AND kind = 'outlook'
                    AND superseded_at IS NULL AND valid_day > :after ORDER BY valid_day""")
    runs = conn.execute(query, {"region": region.name, "after": after}).all()
    return {run.valid_day: find_hits(conn, run.id) for run in runs}


def newest_day(conn: Connection, region: Region) -> date | None:
    """Newest observed day that is published; None before the first."""
    query = text("SELECT max(valid_day) FROM lswarn.current_run WHERE region = :region")
    return conn.execute(query, {"region": region.name}).scalar()


def find_runs(conn: Connection, region: Region, limit: int = 30) -> list[RunRow]:
    """The last publications of every kind, newest first, superseded ones among them."""
    query = text("""
        SELECT id AS run_id, valid_day, kind, lead_days, status, grade, coalesce(model_id, '') AS model_id,
               published_at, superseded_at IS NULL AS current
        FROM lswarn.run WHERE region = :region ORDER BY id DESC LIMIT :limit""")
    return [RunRow(**row) for row in conn.execute(query, {"region": region.name, "limit": limit}).mappings()]


def find_map_layers(conn: Connection, run_id: int, area_id: str) -> MapLayers:
    """What a map of one warning area shows.

    Raises:
        DatabaseError: there is no such warning area.
    """
    facts = {"run_id": run_id, "area_id": area_id}
    queries = {
        "area": """
            SELECT area.id, area.region, area.geometry FROM lswarn.warning_area AS area
            JOIN lswarn.run AS run ON run.region = area.region
            WHERE run.id = :run_id AND area.source_id = :area_id""",
        "zones": """
            SELECT class, zone.geometry FROM lswarn.susceptibility_zone AS zone
            JOIN lswarn.warning_area AS area ON area.id = :area AND zone.geometry && area.geometry
            WHERE run_id = :run_id ORDER BY class, zone.id""",
        "roads": """
            SELECT name, ref, exposed, geometry
            FROM ((SELECT road.id, name, ref, false AS exposed, road.geometry FROM lswarn.road AS road
                   WHERE region = :region AND retired_at IS NULL
                     AND geometry && (SELECT geometry FROM lswarn.warning_area WHERE id = :area)
                   ORDER BY length_m DESC, id LIMIT :most_roads)
                  UNION ALL
                  SELECT road.id, name, ref, true, part.geometry FROM lswarn.road_exposure AS part
                  JOIN lswarn.road AS road ON road.id = road_id
                  WHERE run_id = :run_id AND class = 5) AS drawn
            WHERE geometry && (SELECT geometry FROM lswarn.warning_area WHERE id = :area)
            ORDER BY exposed, id""",
        "settlements": """
            SELECT settlement.name, settlement.geometry,
                   EXISTS (SELECT FROM lswarn.settlement_exposure
                           WHERE run_id = :run_id AND settlement_id = settlement.id AND class = 5) AS exposed
            FROM lswarn.settlement AS settlement
            JOIN lswarn.warning_area AS area ON area.id = :area AND settlement.geometry && area.geometry
            WHERE settlement.region = :region AND settlement.retired_at IS NULL
            ORDER BY exposed, settlement.id""",
    }

    def layer(name: str) -> gpd.GeoDataFrame:
        # Shapes all at once: geopandas reads them one by one.
        rows = conn.execute(text(queries[name]), facts)
        found = pd.DataFrame([tuple(row) for row in rows], columns=list(rows.keys()))
        shapes = shapely.from_wkb(found.pop("geometry").to_numpy())
        return gpd.GeoDataFrame(found, geometry=shapes, crs=4326)

    area = layer("area")
    if area.empty:
        raise DatabaseError(f"run {run_id} knows no warning area {area_id}")
    facts |= {"area": int(area["id"].iloc[0]), "region": str(area["region"].iloc[0]), "most_roads": MOST_ROADS}
    return MapLayers(area.geometry.iloc[0], layer("zones"), layer("roads"), layer("settlements"))


def forget_days(conn: Connection, region: Region) -> None:
    """Delete everything days have left of a made region: rain, runs, what they found, what was said, and the
    landslides of these days.

    Raises:
        DatabaseError: the region is real; nobody is to forget that somebody was warned.
    """
    if not region.made:
        raise DatabaseError(f"{region.name} is a real region: its days are not to be forgotten")
    of_region = {
        tables.delivery_attempt: "delivery_id IN (SELECT d.id FROM lswarn.delivery AS d JOIN lswarn.alert_message AS m"
        " ON m.id = d.message_id WHERE m.region = :region)",
        tables.delivery: "message_id IN (SELECT id FROM lswarn.alert_message WHERE region = :region)",
        tables.alert_message: "region = :region",
        tables.alert: "area_id IN (SELECT id FROM lswarn.warning_area WHERE region = :region)",
        **dict.fromkeys(FINDINGS, "run_id IN (SELECT id FROM lswarn.run WHERE region = :region)"),
        tables.run: "region = :region",
        tables.rain_day: "region = :region",
        tables.landslide: "region = :region AND starts_with(source_id, :events)",
    }
    for table, rule in of_region.items():
        conn.execute(table.delete().where(text(rule)), {"region": region.name, "events": EVENTS})
    forget_orphans(conn)
    forget_shapes(conn, region)
