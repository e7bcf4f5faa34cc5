"""How a region stands, in one look."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from lswarn.db.circuit import find_failing_lanes
from lswarn.db.outbox import find_dead_letters

MOST_LETTERS = 5
"""So many of what was given up are named; `lswarn deliver --list-dead` names all."""


@dataclass(frozen=True)
class LastRun:
    """The newest observed day that is published.

    Attributes:
        status: complete; lower_bound or modelled, under which nothing follows from a count; unknown, under which no
            count means none.
    """

    valid_day: date
    grade: str
    status: str


@dataclass(frozen=True)
class Outlook:
    """The furthest of the days ahead that an outlook was made of, and what it hits should the rain fall as forecast."""

    valid_day: date
    lead_days: int
    exposed_roads: int
    exposed_settlements: int


@dataclass(frozen=True)
class Status:
    """The newest day, what it hit, and what is still to be said.

    Attributes:
        last_run: None before the first.
        zones, exceedances, exposed_roads, exposed_settlements: of the last run.
        outlook: None where none reaches beyond the last run.
        open_alerts: warning areas with an open alert.
        waiting_drafts: messages that wait for a person.
        pending_deliveries, failed_deliveries: on their way, and given up.
        dead_letters: of those given up, the newest that somebody still waits for, in words.
        failing_lanes: mail relay, hosts and services that took nothing since their last failures, in words.
    """

    region: str
    last_run: LastRun | None
    zones: int
    exceedances: int
    exposed_roads: int
    exposed_settlements: int
    outlook: Outlook | None
    open_alerts: int
    waiting_drafts: int
    pending_deliveries: int
    failed_deliveries: int
    dead_letters: tuple[str, ...] = ()
    failing_lanes: tuple[str, ...] = ()


def find_regions(conn: Connection) -> list[str]:
    """Names of the recorded regions."""
    return list(conn.execute(text("SELECT name FROM lswarn.region ORDER BY name")).scalars())


def find_status(conn: Connection, region: str) -> Status:
    """How a region stands, by its name."""
    facts = {"region": region}
    run = conn.execute(
        text("SELECT id, valid_day, grade, status FROM lswarn.current_run WHERE region = :region"), facts
    ).one_or_none()
    counts = conn.execute(
        text("""
            SELECT (SELECT count(*) FROM lswarn.susceptibility_zone WHERE run_id = :run_id) AS zones,
                   (SELECT count(*) FROM lswarn.rainfall_exceedance WHERE run_id = :run_id) AS exceedances,
                   (SELECT count(DISTINCT road_id) FROM lswarn.road_exposure WHERE run_id = :run_id) AS exposed_roads,
                   (SELECT count(DISTINCT settlement_id) FROM lswarn.settlement_exposure
                    WHERE run_id = :run_id) AS exposed_settlements,
                   (SELECT count(*) FROM lswarn.alert_now WHERE region = :region) AS open_alerts,
                   (SELECT count(*) FROM lswarn.alert_message
                    WHERE region = :region AND approval = 'waiting') AS waiting_drafts,
                   count(*) FILTER (WHERE delivery.status = 'pending') AS pending_deliveries,
                   count(*) FILTER (WHERE delivery.status = 'dead') AS failed_deliveries
            FROM lswarn.delivery JOIN lswarn.alert_message AS message ON message.id = message_id
            WHERE message.region = :region"""),
        facts | {"run_id": run.id if run else None},
    ).mappings()
    ahead = conn.execute(
        text("""
            SELECT valid_day, lead_days,
                   (SELECT count(DISTINCT road_id) FROM lswarn.road_exposure WHERE run_id = run.id) AS exposed_roads,
                   (SELECT count(DISTINCT settlement_id) FROM lswarn.settlement_exposure
                    WHERE run_id = run.id) AS exposed_settlements
            FROM lswarn.outlook_run AS run WHERE region = :region ORDER BY valid_day DESC LIMIT 1"""),
        facts,
    ).mappings()
    dead = find_dead_letters(conn, region)[-MOST_LETTERS:]
    outlooks = [Outlook(**row) for row in ahead]
    return Status(
        region=region,
        last_run=LastRun(run.valid_day, run.grade, run.status) if run else None,
        outlook=outlooks[0] if outlooks else None,
        dead_letters=tuple(f"{each.name}: {each.subject} ({each.last_error or 'not tried'})" for each in dead),
        failing_lanes=tuple(
            f"{each.lane}: {each.failures} times in a row, {each.error}" for each in find_failing_lanes(conn, region)
        ),
        **counts.one(),
    )
