"""What verification asks of the database: the runs of past days, what was said, and the landslides that came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
from sqlalchemy import Connection, text

from lswarn.alerts.verification.counts import AreaDay, Said
from lswarn.db.store import Kind
from lswarn.region import Region

UNKNOWN_SHARE = 0.01
"""An area is known on a day if at most this share of it is unknown beyond what always is, such as lakes."""


@dataclass(frozen=True)
class RunDay:
    """The run that counts for a day.

    Attributes:
        status: complete; lower_bound, modelled: nothing follows from a low class; unknown.
        classes, probability: its rasters, which may be gone from disk; a primed day has no raster of probabilities.
        rain, layers: what such a day's probabilities can be worked out from, its rain and its critical layers, which
            may be gone too; None of a day that has the raster.
    """

    run_id: int
    valid_day: date
    kind: Kind
    status: str
    grade: str
    model_id: str
    classes: Path
    probability: Path | None
    rain: Path | None = None
    layers: Path | None = None


@dataclass(frozen=True)
class ClassAreas:
    """What runs found in warning areas.

    Attributes:
        highest: highest class by area-day; 0 where nothing is known.
        known: area-days of complete runs of which no more than always is unknown.
        area_m2: by class (0 to 5), of all area-days together.
    """

    highest: Mapping[AreaDay, int]
    known: frozenset[AreaDay]
    area_m2: tuple[float, ...]


def find_run_days(
    conn: Connection, region: Region, start: date, end: date, *, hindcasts: bool = False
) -> dict[date, RunDay]:
    """The observed run of each day that has one.

    Args:
        hindcasts: on a day without an observed run, take its hindcast.
    """
    query = text("""
        SELECT DISTINCT ON (valid_day) id AS run_id, valid_day, kind, status, grade,
               coalesce(model_id, '') AS model_id, rasters
        FROM lswarn.run
        WHERE region = :region AND superseded_at IS NULL AND valid_day BETWEEN :start AND :end
          AND (kind = 'observed' OR (kind = 'hindcast' AND :hindcasts))
        ORDER BY valid_day, kind DESC""")  # observed comes before hindcast
    facts = {"region": region.name, "start": start, "end": end, "hindcasts": hindcasts}
    return {
        row.valid_day: RunDay(
            row.run_id,
            row.valid_day,
            row.kind,
            row.status,
            row.grade,
            row.model_id,
            Path(row.rasters["classes"]["path"]),
            *(
                Path(row.rasters[name]["path"]) if name in row.rasters else None
                for name in ("probability", "rain", "layers")
            ),
        )
        for row in conn.execute(query, facts)
    }


def find_class_areas(conn: Connection, runs: Sequence[RunDay]) -> ClassAreas:
    """The highest class of each warning area in some runs, and whether it was known there."""
    query = text("""
        SELECT run_id, area.source_id AS area_id, class, area_m2
        FROM lswarn.class_area JOIN lswarn.warning_area AS area ON area.id = area_id
        WHERE run_id = ANY(:runs)""")
    by_id = {run.run_id: run for run in runs}
    highest: dict[AreaDay, int] = {}
    unknown: dict[AreaDay, float] = {}
    whole: dict[AreaDay, float] = {}
    area_m2 = [0.0] * 6
    for row in conn.execute(query, {"runs": list(by_id)}).mappings():
        key, number = (row["area_id"], by_id[row["run_id"]].valid_day), row["class"]
        if row["area_m2"] <= 0:
            continue
        highest[key] = max(highest.get(key, 0), number)
        whole[key] = whole.get(key, 0.0) + row["area_m2"]
        unknown[key] = unknown.get(key, 0.0) + (row["area_m2"] if number == 0 else 0.0)
        area_m2[number] += row["area_m2"]
    always: dict[str, float] = {}
    for (area_id, _), amount in unknown.items():
        always[area_id] = min(always.get(area_id, amount), amount)
    complete = {run.valid_day for run in runs if run.status == "complete"}
    known = frozenset(
        (area_id, day)
        for (area_id, day), amount in unknown.items()
        if day in complete
        and highest[area_id, day] > 0
        and amount - always[area_id] <= UNKNOWN_SHARE * whole[area_id, day]
    )
    return ClassAreas(highest, known, tuple(area_m2))


def find_said(conn: Connection, region: Region, start: date, end: date) -> tuple[list[Said], dict[int, date | None]]:
    """Every message of the alerts that were open at any time from `start` to `end`, and the day each alert ended.

    Drills, and drafts that were not released, are none.
    """
    query = text("""
        SELECT message.id, message.alert_id, area.source_id AS area_id, message.level, message.valid_day,
               alert.closed_on,
               CASE WHEN count(delivery.id) = 0 THEN message.released_at ELSE min(delivery.delivered_at) END AS told_at
        FROM lswarn.alert_message AS message
        JOIN lswarn.alert ON alert.id = message.alert_id
        JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        LEFT JOIN lswarn.delivery ON delivery.message_id = message.id
        WHERE message.region = :region AND alert.status = 'actual' AND message.kind <> 'review'
          AND message.released_at IS NOT NULL AND alert.opened_on <= :end
          AND (alert.closed_on IS NULL OR alert.closed_on >= :start)
        GROUP BY message.id, area.source_id, alert.closed_on
        ORDER BY message.id""")
    rows = conn.execute(query, {"region": region.name, "start": start, "end": end}).all()
    said = [Said(row.area_id, row.alert_id, row.id, row.level, row.valid_day, row.told_at) for row in rows]
    return said, {row.alert_id: row.closed_on for row in rows}


def find_known_landslides(conn: Connection, region: Region) -> gpd.GeoDataFrame:
    """Every landslide of the inventory, EPSG:4326: id, day (None = unknown), accuracy_m, trigger, outline, geometry."""
    query = text("""SELECT source_id AS id, day, accuracy_m, trigger, outline, geometry FROM lswarn.landslide
                    WHERE region = :region AND slid AND confirmed ORDER BY source_id""")
    known = gpd.read_postgis(query, conn, geom_col="geometry", crs=4326, params={"region": region.name})
    known["accuracy_m"] = known["accuracy_m"].astype(float)
    return known


def find_areas(conn: Connection, region: Region, start: date) -> gpd.GeoDataFrame:
    """Warning areas that were watched on `start` or later, EPSG:4326: area_id, name, retired_on (or None), geometry."""
    query = text("""SELECT source_id AS area_id, name, CAST(retired_at AS date) AS retired_on, geometry
                    FROM lswarn.warning_area
                    WHERE region = :region AND (retired_at IS NULL OR retired_at > :start) ORDER BY source_id""")
    return gpd.read_postgis(query, conn, geom_col="geometry", crs=4326, params={"region": region.name, "start": start})
