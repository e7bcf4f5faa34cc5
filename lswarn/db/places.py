"""Places: found by their name, or asked about by a point."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, text

NEAR_M = 500
"""What is exposed so near to a point is told, m."""
MOST_NEAR = 10


@dataclass(frozen=True)
class Place:
    """A road, all its stretches together, or a settlement.

    Attributes:
        bbox: west, south, east, north, degrees.
        lon, lat: a point on it.
        population: None of a road, and where it is unknown.
    """

    kind: Literal["road", "settlement"]
    name: str
    ref: str
    bbox: tuple[float, float, float, float]
    lon: float
    lat: float
    population: int | None


@dataclass(frozen=True)
class ZoneThere:
    """The zone that a point lies in; class 4 high, 5 very high."""

    zone_class: int
    area_m2: float
    probability_mean: float
    probability_max: float


@dataclass(frozen=True)
class ExposedNear:
    """What lies in a zone near a point; `people` is None of a road and where it is unknown."""

    kind: Literal["road", "settlement"]
    asset_id: str
    name: str
    ref: str
    exposed_class: int
    distance_m: float
    people: int | None


@dataclass(frozen=True)
class AreaThere:
    """The warning area of a point, as it stands now."""

    area_id: str
    name: str
    state: str
    level: int
    opened_on: str | None
    alert_id: int | None


@dataclass(frozen=True)
class PointFacts:
    """What the database knows of a point under a run.

    Attributes:
        inside: it lies in the region's box.
        point_class: 0 unknown, 1 very low to 5 very high; None off the map, and where the map is not kept.
        rain_mm: of seven days; None = unknown.
        lower_bound: more rain fell somewhere than was measured.
        rain_max_mm: most rain that the model has seen; None where its critical rainfall is not known.
        zone, area: None where there is none.
    """

    inside: bool
    point_class: int | None
    rain_mm: float | None
    lower_bound: bool
    rain_max_mm: float | None
    zone: ZoneThere | None
    area: AreaThere | None
    near: tuple[ExposedNear, ...]


# Letters without their accents: whoever looks for Paez finds Páez.
PLAIN = "regexp_replace(normalize(lower({}), NFD), '[\u0300-\u036f]', '', 'g')"

SEARCH = """
    SELECT 'settlement' AS kind, name, '' AS ref, population, geometry, 1 AS pieces
    FROM lswarn.settlement WHERE region = :region AND retired_at IS NULL AND position(:wanted in {name}) > 0
    UNION ALL
    SELECT 'road', name, ref, NULL, ST_Collect(geometry), count(*)
    FROM lswarn.road
    WHERE region = :region AND retired_at IS NULL
      AND (position(:wanted in {name}) > 0 OR position(:wanted in {ref}) > 0)
    GROUP BY name, ref"""


def plain(words: str) -> str:
    """As it is searched for: small letters without accents, one blank between words."""
    letters = unicodedata.normalize("NFD", " ".join(words.split()).lower())
    return "".join(letter for letter in letters if not "\u0300" <= letter <= "\u036f")


def find_places(conn: Connection, region: str, words: str, limit: int) -> list[Place]:
    """Roads and settlements with some words in their name or number; those that begin with them first."""
    name, ref = PLAIN.format("name"), PLAIN.format("ref")
    found = SEARCH.format(name=name, ref=ref)
    query = text(f"""
        SELECT kind, name, ref, population, ST_X(spot) AS lon, ST_Y(spot) AS lat,
               ARRAY[ST_XMin(geometry), ST_YMin(geometry), ST_XMax(geometry), ST_YMax(geometry)] AS bbox
        FROM (SELECT *, ST_PointOnSurface(geometry) AS spot FROM ({found}) AS found
              ORDER BY NOT (starts_with({name}, :wanted) OR starts_with({ref}, :wanted)), length(name),
                       population DESC NULLS LAST, name, ref
              LIMIT :limit) AS best""")  # noqa: S608 (of our own words alone)
    rows = conn.execute(query, {"region": region, "wanted": plain(words), "limit": limit}).mappings()
    return [Place(**{**row, "bbox": tuple(row["bbox"])}) for row in rows]


def find_point_facts(conn: Connection, region: str, run_id: int, lon: float, lat: float) -> PointFacts:
    """What is known of a point under a run."""
    facts: dict[str, Any] = {"region": region, "run_id": run_id, "lon": lon, "lat": lat}
    point = "ST_SetSRID(ST_MakePoint(:lon, :lat), 4326)"
    # A point far off is not to be projected, as `class_at` has it.
    there = text(f"""
        SELECT ST_Intersects(region.geometry, {point}) AS inside,
               CASE WHEN near.near THEN lswarn.class_in_run(:run_id, {point}) END AS point_class,
               CASE WHEN near.near THEN lswarn.rain_in_run(:run_id, {point}) END AS rain_mm,
               coalesce(run_rain.lower_bound, false) OR run.status = 'lower_bound' AS lower_bound,
               source.rain_max_mm
        FROM lswarn.region AS region
        CROSS JOIN LATERAL (SELECT ST_Expand(region.geometry, 0.5) && {point} AS near) AS near
        JOIN lswarn.run AS run ON run.id = :run_id
        LEFT JOIN lswarn.run_rain AS run_rain ON run_rain.run_id = run.id
        LEFT JOIN lswarn.critical_source AS source ON source.region = run.region AND source.model_id = run.model_id
        WHERE region.name = :region""")  # noqa: S608
    zone = text(f"""
        SELECT class AS zone_class, area_m2, probability_mean, probability_max
        FROM lswarn.susceptibility_zone WHERE run_id = :run_id AND ST_Intersects(geometry, {point})
        ORDER BY class DESC LIMIT 1""")  # noqa: S608
    area = text(f"""
        SELECT area_id, area_name AS name, state, level, CAST(opened_on AS text) AS opened_on, alert_id
        FROM lswarn.area_state WHERE region = :region AND ST_Intersects(geometry, {point})
        ORDER BY level DESC, area_id LIMIT 1""")  # noqa: S608
    reach = f"ST_Expand({point}, :wide, :high)"
    facts |= {
        "wide": NEAR_M / 111_320 / max(0.01, math.cos(math.radians(lat))),
        "high": NEAR_M / 110_570,
        "most": MOST_NEAR,
    }
    near = text(f"""
        SELECT * FROM (
            SELECT DISTINCT ON (kind, asset_id) * FROM (
                SELECT 'road' AS kind, asset.source_id AS asset_id, asset.name, asset.ref, part.class AS exposed_class,
                       ST_Distance(part.geometry::geography, {point}::geography) AS distance_m,
                       CAST(NULL AS integer) AS people
                FROM lswarn.road_exposure AS part JOIN lswarn.road AS asset ON asset.id = part.road_id
                WHERE part.run_id = :run_id AND part.geometry && {reach}
                UNION ALL
                SELECT 'settlement', asset.source_id, asset.name, '', part.class,
                       ST_Distance(part.geometry::geography, {point}::geography), part.people
                FROM lswarn.settlement_exposure AS part JOIN lswarn.settlement AS asset ON asset.id = part.settlement_id
                WHERE part.run_id = :run_id AND part.geometry && {reach}
            ) AS part
            WHERE distance_m <= {NEAR_M}
            ORDER BY kind, asset_id, exposed_class DESC, distance_m
        ) AS near ORDER BY exposed_class DESC, distance_m LIMIT :most""")  # noqa: S608
    one = conn.execute(there, facts).mappings().one()
    zone_row = conn.execute(zone, facts).mappings().one_or_none()
    area_row = conn.execute(area, facts).mappings().one_or_none()
    return PointFacts(
        **one,
        zone=ZoneThere(**zone_row) if zone_row else None,
        area=AreaThere(**area_row) if area_row else None,
        near=tuple(ExposedNear(**row) for row in conn.execute(near, facts).mappings()),
    )
