"""What is known of roads, settlements and warning areas, and what they were before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from lswarn.region import Region

HOLDINGS = """
    WITH known AS (
        SELECT 'warning_area' AS kind, retired_at, NULL::double precision AS length_m,
               ST_Area(geography(geometry)) AS area_m2, NULL::integer AS population
        FROM lswarn.warning_area WHERE region = :region
        UNION ALL
        SELECT 'road', retired_at, length_m, NULL, NULL FROM lswarn.road WHERE region = :region
        UNION ALL
        SELECT 'settlement', retired_at, NULL, area_m2, population FROM lswarn.settlement WHERE region = :region
    )
    SELECT kinds.kind,
           count(known.kind) FILTER (WHERE retired_at IS NULL) AS features,
           count(known.kind) FILTER (WHERE retired_at IS NOT NULL) AS retired,
           sum(length_m) FILTER (WHERE retired_at IS NULL) / 1e3 AS length_km,
           sum(area_m2) FILTER (WHERE retired_at IS NULL) / 1e6 AS area_km2,
           sum(population) FILTER (WHERE retired_at IS NULL) AS people,
           count(*) FILTER (WHERE known.kind = 'settlement' AND retired_at IS NULL AND population IS NULL) AS uncounted,
           (SELECT count(*) FROM lswarn.asset_change WHERE region = :region AND kind = kinds.kind) AS changes,
           (SELECT max(changed_at) FROM lswarn.asset_change WHERE region = :region AND kind = kinds.kind) AS changed_at
    FROM (VALUES (1, 'road'), (2, 'settlement'), (3, 'warning_area')) AS kinds (place, kind)
    LEFT JOIN known ON known.kind = kinds.kind
    GROUP BY kinds.place, kinds.kind ORDER BY kinds.place"""

CHANGES = """
    SELECT changed_at, kind, source_id AS id, change, before FROM lswarn.asset_change
    WHERE region = :region ORDER BY asset_change.id DESC LIMIT :most"""


@dataclass(frozen=True)
class Holding:
    """What is known of one kind.

    Attributes:
        kind: road, settlement or warning_area.
        features: so many are in their file.
        retired: so many are gone from it.
        length_km: of roads; None of all else, as are the others where they do not apply.
        area_km2: of settlements and warning areas.
        people: of settlements whose population is known; None where none is.
        uncounted: settlements whose population is unknown.
        changes: so many changes are on record, the last one of `changed_at`.
    """

    kind: str
    features: int
    retired: int
    length_km: float | None
    area_km2: float | None
    people: int | None
    uncounted: int
    changes: int
    changed_at: datetime | None


@dataclass(frozen=True)
class AssetChange:
    """One change: of what, when, whether it changed, retired or returned, and its columns until then."""

    changed_at: datetime
    kind: str
    id: str
    change: str
    before: dict[str, Any]


def find_holdings(conn: Connection, region: Region) -> list[Holding]:
    """Roads, settlements and warning areas in figures; all three, also where there are none."""
    return [Holding(**row) for row in conn.execute(text(HOLDINGS), {"region": region.name}).mappings()]


def find_asset_changes(conn: Connection, region: Region, most: int) -> list[AssetChange]:
    """The last changes, newest first, at most so many."""
    rows = conn.execute(text(CHANGES), {"region": region.name, "most": most}).mappings()
    return [AssetChange(**row) for row in rows]
