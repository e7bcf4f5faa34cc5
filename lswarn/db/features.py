"""What there is on the map, as GeoJSON that the database itself writes: exposure, zones, rain, areas."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, text

Asset = Literal["road", "settlement"]
Box = tuple[float, float, float, float]

EVERYWHERE: Box = (-180.0, -90.0, 180.0, 90.0)

PART = """
    SELECT part.id, asset.source_id AS asset_id, asset.name, {ref} AS ref, asset.kind, area.source_id AS area_id,
           area.name AS area_name, part.class, {measured}, round(part.probability_mean::numeric, 4) AS probability_mean,
           round(part.probability_max::numeric, 4) AS probability_max, part.geometry
    FROM lswarn.{asset}_exposure AS part
    JOIN lswarn.{asset} AS asset ON asset.id = part.{asset}_id
    JOIN lswarn.warning_area AS area ON area.id = part.area_id
    WHERE part.run_id = :run_id AND (CAST(:class AS integer) IS NULL OR part.class = :class)
      AND part.geometry && ST_MakeEnvelope(:west, :south, :east, :north, 4326)"""

EXPOSURE = {
    "road": PART.format(asset="road", ref="asset.ref", measured="round(part.length_m::numeric, 1) AS length_m"),
    "settlement": PART.format(
        asset="settlement",
        ref="''",
        measured="round(part.area_m2::numeric) AS area_m2, round(part.area_share::numeric, 4) AS area_share, people",
    ),
}

ZONES = """
    SELECT zone.id, zone.class, round(zone.area_m2::numeric) AS area_m2,
           round(zone.probability_mean::numeric, 4) AS probability_mean,
           round(zone.probability_max::numeric, 4) AS probability_max, zone.geometry
    FROM lswarn.susceptibility_zone AS zone
    WHERE zone.run_id = :run_id AND (CAST(:class AS integer) IS NULL OR zone.class = :class)
      AND zone.geometry && ST_MakeEnvelope(:west, :south, :east, :north, 4326)"""

WORST_ROAD = "part.class DESC, part.length_m DESC, part.id"
WORST_SETTLEMENT = "part.class DESC, part.area_m2 DESC, part.id"
WORST_ZONE = "zone.class DESC, zone.area_m2 DESC, zone.id"
WETTEST = "nullif(cell.val, 'NaN') DESC NULLS LAST, cell.y, cell.x"

# A cell above its critical rainfall is the very cell of the grid, as its middle tells.
RAIN = """
    SELECT cell.y * 65536 + cell.x AS id, round(nullif(cell.val, 'NaN')::numeric, 1) AS rain_mm,
           round(above.critical_mm::numeric, 1) AS critical_mm, round(above.safety_factor::numeric, 3) AS safety_factor,
           cell.lower_bound OR coalesce(above.lower_bound, false) AS lower_bound, cell.geom AS geometry
    FROM (SELECT (ST_PixelAsPolygons(rast, 1, false)).*, lower_bound
          FROM lswarn.run_rain WHERE run_id = :run_id) AS cell
    LEFT JOIN lswarn.rainfall_exceedance AS above
      ON above.run_id = :run_id AND ST_Intersects(above.geometry, ST_Centroid(cell.geom))
    WHERE cell.geom && ST_MakeEnvelope(:west, :south, :east, :north, 4326)"""

AREAS_NOW = """
    SELECT area_id AS id, area_id, area_name AS name, state, level, opened_on, changed_on, alert_id,
           drafts_waiting, unknown_since, valid_day IS NOT NULL AND unknown_since IS NULL AND NOT :ahead AS known,
           geometry
    FROM lswarn.area_state AS area
    WHERE region = :region
    ORDER BY level DESC, area_id"""

# What was said of a day, as it is known today; that an alert was easing on a past day is kept nowhere.
AREAS_THEN = """
    SELECT area.source_id AS id, area.source_id AS area_id, area.name,
           CASE WHEN alert.id IS NOT NULL THEN 'open' WHEN known.known THEN 'none' ELSE 'unknown' END AS state,
           coalesce(alert.level, 0) AS level, alert.opened_on, alert.changed_on, alert.id AS alert_id,
           0 AS drafts_waiting, CAST(NULL AS date) AS unknown_since, known.known, area.geometry
    FROM lswarn.warning_area AS area
    CROSS JOIN (SELECT published_at, status FROM lswarn.run WHERE id = :run_id) AS run
    CROSS JOIN LATERAL (
        SELECT run.status = 'complete' AND coalesce(bool_or(class > 0 AND area_m2 > 0), false) AS known
        FROM lswarn.class_area WHERE run_id = :run_id AND area_id = area.id
    ) AS known
    LEFT JOIN LATERAL (
        SELECT alert.id, alert.opened_on, said.valid_day AS changed_on, said.level
        FROM lswarn.alert AS alert
        JOIN LATERAL (
            SELECT level, valid_day FROM lswarn.alert_message AS message
            WHERE message.alert_id = alert.id AND kind <> 'review' AND released_at IS NOT NULL
              AND message.valid_day <= :day
            ORDER BY message.id DESC LIMIT 1
        ) AS said ON said.level > 0
        WHERE alert.area_id = area.id AND alert.status = 'actual' AND alert.opened_on <= :day
          AND (alert.closed_on IS NULL OR alert.closed_on > :day)
        ORDER BY alert.id DESC LIMIT 1
    ) AS alert ON true
    WHERE area.region = :region AND (area.retired_at IS NULL OR area.retired_at > run.published_at)
    ORDER BY level DESC, area.source_id"""


@dataclass(frozen=True)
class Features:
    """A page of features.

    Attributes:
        written: GeoJSON of each, with commas between; geometries EPSG:4326 to six decimals.
        matched: how many there are in all; returned: how many of them are here.
    """

    written: str
    matched: int
    returned: int


def find_exposure(
    conn: Connection, run_id: int, asset: Asset, *, warned: int | None, box: Box, limit: int, offset: int
) -> Features:
    """Stretches of road, or parts of settlements, in the zones of a run; the worst first.

    Args:
        warned: only in zones of this class, 4 or 5; None = both.
        box: only where it meets this: west, south, east, north, degrees.
    """
    order = WORST_ROAD if asset == "road" else WORST_SETTLEMENT
    return _page(conn, EXPOSURE[asset], order, _facts(run_id, warned, box), limit, offset)


def find_zones(conn: Connection, run_id: int, *, warned: int | None, box: Box, limit: int, offset: int) -> Features:
    """The zones of a run, the worst first; as `find_exposure`."""
    return _page(conn, ZONES, WORST_ZONE, _facts(run_id, warned, box), limit, offset)


def find_rain_cells(conn: Connection, run_id: int, *, box: Box, limit: int, offset: int) -> Features:
    """The cells of the rain a run was made from, the wettest first and the unknown last.

    rain_mm is null where it is unknown; critical_mm and safety_factor where it is not above its critical rainfall.
    """
    return _page(conn, RAIN, WETTEST, _facts(run_id, None, box), limit, offset)


def find_areas(conn: Connection, region: str, run_id: int | None, day: date | None, *, ahead: bool) -> Features:
    """Every warning area and how it stands.

    Args:
        run_id: of the run of a past day; None = as it stands now.
        day: that past day.
        ahead: it is asked for a day that is still to come, of which nothing is known: alerts are those of now.
    """
    facts: dict[str, Any] = {"region": region, "run_id": run_id, "day": day, "ahead": ahead}
    query = AREAS_NOW if run_id is None else AREAS_THEN
    told = text(f"SELECT ST_AsGeoJSON(area, 'geometry', 6) FROM ({query}) AS area")  # noqa: S608
    rows = list(conn.execute(told, facts).scalars())
    return Features(",".join(rows), len(rows), len(rows))


def _facts(run_id: int, warned: int | None, box: Box) -> dict[str, Any]:
    return {"run_id": run_id, "class": warned} | dict(zip(("west", "south", "east", "north"), box, strict=True))


def _page(conn: Connection, query: str, order: str, facts: dict[str, Any], limit: int, offset: int) -> Features:
    # In one snapshot (see `reading`), so that the count and the page agree.
    matched = conn.execute(text(f"SELECT count(*) FROM ({query}) AS found"), facts).scalar_one()  # noqa: S608
    page = text(f"""SELECT ST_AsGeoJSON(page, 'geometry', 6)
                    FROM ({query} ORDER BY {order} LIMIT :limit OFFSET :offset) AS page""")  # noqa: S608
    rows = list(conn.execute(page, facts | {"limit": limit, "offset": offset}).scalars())
    return Features(",".join(rows), matched, len(rows))
