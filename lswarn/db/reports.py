"""Landslides that people report. None teaches, and no warning is judged by one, before it is confirmed."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from lswarn.errors import DatabaseError
from lswarn.sections import Inventory

RADIUS_M = float(Inventory.model_fields["point_radius_m"].default)
"""Of the disc that a reported point stands for."""


@dataclass(frozen=True)
class Report:
    """A reported landslide.

    Attributes:
        report_id: as in `lswarn.landslide.source_id`.
        lon, lat: its middle, degrees.
        accuracy_m: how far off that may be.
        decided_by, decided_at: who confirmed or dismissed it; None while nobody has.
    """

    report_id: str
    region: str
    lon: float
    lat: float
    seen_on: date
    accuracy_m: float
    note: str
    has_photo: bool
    reported_by: str
    reported_at: datetime
    confirmed: bool
    decided_by: str | None
    decided_at: datetime | None


REPORTS = """
    SELECT source_id AS report_id, region, ST_X(middle) AS lon, ST_Y(middle) AS lat, day AS seen_on, accuracy_m, note,
           EXISTS (SELECT FROM lswarn.landslide_photo WHERE landslide_id = landslide.id) AS has_photo, reported_by,
           reported_at, confirmed, decided_by, decided_at
    FROM lswarn.landslide CROSS JOIN LATERAL (SELECT ST_Centroid(geometry) AS middle) AS place
    WHERE reported_at IS NOT NULL"""


def find_regions_at(conn: Connection, lon: float, lat: float) -> list[str]:
    """Regions whose box holds a point."""
    query = text("""SELECT name FROM lswarn.region
                    WHERE ST_Intersects(geometry, ST_SetSRID(ST_MakePoint(:lon, :lat), 4326)) ORDER BY name""")
    return list(conn.execute(query, {"lon": lon, "lat": lat}).scalars())


def record_report(
    conn: Connection,
    region: str,
    *,
    lon: float,
    lat: float,
    seen_on: date,
    accuracy_m: float,
    note: str,
    photo: bytes | None,
    by: str,
    at: datetime,
) -> tuple[Report, bool]:
    """Keep a report, unconfirmed. The same report again is the same row.

    Args:
        photo: JPEG; None = none.
        by: name of the token it came with.

    Returns:
        The report, and whether it is new.
    """
    told = "\n".join((region, f"{lon:.6f}", f"{lat:.6f}", seen_on.isoformat(), f"{accuracy_m:g}", note, by))
    report_id = "report-" + hashlib.sha256(told.encode()).hexdigest()[:16]
    add = text("""
        INSERT INTO lswarn.landslide
            (region, source_id, day, accuracy_m, source, outline, slid, geometry, confirmed, reported_at, reported_by,
             note)
        SELECT name, :report_id, :seen_on, :accuracy_m, 'report', false, true,
               ST_Multi(ST_Transform(ST_Buffer(
                   ST_Transform(ST_SetSRID(ST_MakePoint(:lon, :lat), 4326), srid), :radius), 4326)),
               false, :at, :by, :note
        FROM lswarn.region WHERE name = :region
        ON CONFLICT (region, source_id) DO NOTHING
        RETURNING id""")
    facts = {"region": region, "report_id": report_id, "lon": lon, "lat": lat, "seen_on": seen_on}
    facts |= {"accuracy_m": accuracy_m, "note": note, "by": by, "at": at, "radius": RADIUS_M}
    key = conn.execute(add, facts).scalar()
    if key is not None and photo is not None:
        keep = text("INSERT INTO lswarn.landslide_photo VALUES (:id, 'image/jpeg', :photo)")
        conn.execute(keep, {"id": key, "photo": photo})
    query = text(f"{REPORTS} AND region = :region AND source_id = :report_id")
    row = conn.execute(query, {"region": region, "report_id": report_id}).mappings().one()
    return Report(**row), key is not None


def find_reports(
    conn: Connection, *, region: str | None = None, waiting: bool, limit: int = 1000, offset: int = 0
) -> tuple[list[Report], int]:
    """Reports, the newest first; and how many there are in all.

    Args:
        region: None = of all regions.
        waiting: only those that nobody has decided on.
    """
    where = f"""{REPORTS} AND (CAST(:region AS text) IS NULL OR region = :region)
                AND (NOT :waiting OR decided_at IS NULL)"""
    facts = {"region": region, "waiting": waiting, "limit": limit, "offset": offset}
    total = conn.execute(text(f"SELECT count(*) FROM ({where}) AS report"), facts).scalar_one()  # noqa: S608
    page = text(f"{where} ORDER BY reported_at DESC, id LIMIT :limit OFFSET :offset")
    return [Report(**row) for row in conn.execute(page, facts).mappings()], total


def find_photo(conn: Connection, region: str, report_id: str) -> bytes | None:
    """The photo of a report, JPEG; None where there is none."""
    query = text("""SELECT bytes FROM lswarn.landslide_photo JOIN lswarn.landslide ON id = landslide_id
                    WHERE region = :region AND source_id = :report_id""")
    photo = conn.execute(query, {"region": region, "report_id": report_id}).scalar()
    return None if photo is None else bytes(photo)


def mark_report(conn: Connection, region: str, report_id: str, *, confirmed: bool, by: str, at: datetime) -> None:
    """Confirm a report, which may teach from then on, or dismiss it. A later decision replaces an earlier one.

    Raises:
        DatabaseError: there is no such report.
    """
    query = text("""UPDATE lswarn.landslide SET confirmed = :confirmed, decided_by = :by, decided_at = :at
                    WHERE region = :region AND source_id = :report_id AND reported_at IS NOT NULL""")
    facts = {"region": region, "report_id": report_id, "confirmed": confirmed, "by": by, "at": at}
    if not conn.execute(query, facts).rowcount:
        raise DatabaseError(f"{region} has no report {report_id}; lswarn events reports shows those there are")
