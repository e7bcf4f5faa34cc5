"""How every region stands, in numbers, for those who watch over the system."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Watched:
    """A region in numbers.

    Attributes:
        run_id, newest_day, status, grade, published_at: of the newest observed run; None before the first.
        rain_day: newest of its days whose rain is known; None where none is.
        rain_days_missing: of its window; None before the first run.
        zones: by class; exposed_roads, exposed_settlements: None where nothing is known of it.
        open_alerts: by level, drills left out. areas: warning areas by state.
    """

    region: str
    title: str
    run_id: int | None
    newest_day: date | None
    status: str | None
    grade: str | None
    published_at: datetime | None
    rain_day: date | None
    rain_days_missing: int | None
    zones: dict[int, int] | None
    exposed_roads: int | None
    exposed_settlements: int | None
    open_alerts: dict[int, int]
    areas: dict[str, int]
    waiting_drafts: int
    pending_deliveries: int
    dead_deliveries: int
    waiting_reports: int


WATCH = """
    SELECT region.name AS region, region.title, run.id AS run_id, run.valid_day AS newest_day, run.status, run.grade,
           run.published_at, cardinality(run.missing) AS rain_days_missing,
           (SELECT max(used.day) FROM jsonb_to_recordset(run.rain) AS used (day date)) AS rain_day,
           zone.high, zone.very_high, exposed.roads, exposed.settlements,
           coalesce(alert.orange, 0) AS orange, coalesce(alert.red, 0) AS red,
           (SELECT jsonb_object_agg(state, areas)
            FROM (SELECT state, count(*) AS areas FROM lswarn.area_state AS area
                  WHERE area.region = region.name GROUP BY state) AS states) AS areas,
           (SELECT count(*) FROM lswarn.alert_message AS message
            WHERE message.region = region.name AND approval = 'waiting') AS waiting_drafts,
           coalesce(sent.pending, 0) AS pending_deliveries, coalesce(sent.dead, 0) AS dead_deliveries,
           (SELECT count(*) FROM lswarn.landslide AS report
            WHERE report.region = region.name AND NOT confirmed AND decided_at IS NULL) AS waiting_reports
    FROM lswarn.region AS region
    LEFT JOIN lswarn.current_run AS run ON run.region = region.name
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE class = 4) AS high, count(*) FILTER (WHERE class = 5) AS very_high
        FROM lswarn.run_zone WHERE run_id = run.id
    ) AS zone ON true
    LEFT JOIN LATERAL (
        SELECT (SELECT count(DISTINCT road_id) FROM lswarn.road_exposure WHERE run_id = run.id) AS roads,
               (SELECT count(DISTINCT settlement_id)
                FROM lswarn.settlement_exposure WHERE run_id = run.id) AS settlements
    ) AS exposed ON true
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE alert.level = 1) AS orange, count(*) FILTER (WHERE alert.level = 2) AS red
        FROM lswarn.alert AS alert JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        WHERE area.region = region.name AND alert.closed_on IS NULL AND alert.status = 'actual'
    ) AS alert ON true
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE delivery.status = 'pending') AS pending,
               count(*) FILTER (WHERE delivery.status = 'dead') AS dead
        FROM lswarn.delivery AS delivery JOIN lswarn.alert_message AS message ON message.id = delivery.message_id
        WHERE message.region = region.name AND delivery.status <> 'sent'
    ) AS sent ON true
    ORDER BY region.name"""


def find_watched(conn: Connection) -> list[Watched]:
    """Every recorded region, in one look."""
    found = []
    for row in conn.execute(text(WATCH)).mappings():
        facts = dict(row)
        known = facts["status"] not in (None, "unknown")
        high, very_high = facts.pop("high"), facts.pop("very_high")
        roads, settlements = facts.pop("roads"), facts.pop("settlements")
        facts |= {
            "zones": {4: high, 5: very_high} if known else None,
            "exposed_roads": roads if known else None,
            "exposed_settlements": settlements if known else None,
            "open_alerts": {1: facts.pop("orange"), 2: facts.pop("red")},
            "areas": facts["areas"] or {},
        }
        found.append(Watched(**facts))
    return found
