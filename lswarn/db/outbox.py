"""What was said, to whom, and whether it arrived.

Alerts and their messages are written in the transaction that publishes the run. Delivery comes after it: a worker takes
a delivery on by moving its due time ahead, sends, and marks it. One that dies between sending and marking has the
message sent again once its lease is over, with the same idempotency key; none is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.alerts.message import AlertMessage, Outgoing
from lswarn.alerts.policy import AlertChange, AlertState, Kind, Level
from lswarn.db.engine import transaction
from lswarn.errors import DatabaseError
from lswarn.region import Region

LEASE = timedelta(minutes=15)
"""How long a worker may take over what it claimed before somebody else takes it on."""

BACKOFF = timedelta(minutes=1)
BACKOFF_MAX = timedelta(hours=1)
TRIES = 50
"""Attempts until a delivery is given up: about two days."""


@dataclass(frozen=True)
class AlertEvent:
    """One message of an alert's history; `area_id` and `area_name` are empty for missing rain.

    Attributes:
        sent, pending, dead: deliveries of it.
    """

    alert_id: int | None
    area_id: str
    area_name: str
    kind: Kind
    level: Level
    valid_day: date
    subject: str
    queued_at: datetime
    sent: int
    pending: int
    dead: int


def find_alerts(conn: Connection, region: Region) -> dict[str, AlertState]:
    """The open alerts, by warning area."""
    query = text("""
        SELECT area.source_id AS area_id, level, opened_on, below, told, outlook_only
        FROM lswarn.alert JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        WHERE area.region = :region AND closed_on IS NULL ORDER BY area.source_id""")
    return {
        row.area_id: AlertState(
            row.area_id,
            Level(row.level),
            row.opened_on,
            tuple((date.fromisoformat(day), Level(level)) for day, level in row.below),
            frozenset(row.told),
            row.outlook_only,
        )
        for row in conn.execute(query, {"region": region.name})
    }


def record_alerts(
    conn: Connection,
    region: Region,
    before: Mapping[str, AlertState],
    after: Mapping[str, AlertState],
    changes: Sequence[AlertChange],
    runs: Mapping[date, int],
    decided_on: date,
) -> None:
    """Keep the state a decision left: open what is new, update what stays, close what is gone.

    Args:
        before, after: open alerts by warning area, as the decision found and left them.
        changes: what is to be said; the other alerts keep the run and day of their last message.
        runs: the run that each change came from, by its valid day; without any nothing was decided.
        decided_on: last observed day.

    Raises:
        DatabaseError: an alert of a warning area that is not recorded.
    """
    if not runs:
        return
    facts = {"region": region.name, "day": decided_on}
    newest_run = max(runs.values())
    said = {change.area_id: runs[change.valid_day] for change in changes}
    keep = text("""
        INSERT INTO lswarn.alert (area_id, level, opened_on, changed_on, run_id, below, told, outlook_only)
        SELECT id, :level, :opened_on, :day, :run_id, :below, :told, :outlook_only
        FROM lswarn.warning_area WHERE region = :region AND source_id = :area_id
        ON CONFLICT (area_id, hazard) WHERE closed_on IS NULL DO UPDATE
        SET level = excluded.level, below = excluded.below, told = excluded.told,
            outlook_only = excluded.outlook_only,
            changed_on = CASE WHEN :said THEN excluded.changed_on ELSE alert.changed_on END,
            run_id = CASE WHEN :said THEN excluded.run_id ELSE alert.run_id END
        """).bindparams(_json("below"))
    for state in after.values():
        told = {
            "area_id": state.area_id,
            "level": state.level.value,
            "opened_on": state.opened_on,
            "below": [[day.isoformat(), level.value] for day, level in state.below],
            "told": sorted(state.told),
            "outlook_only": state.outlook_only,
            "said": state.area_id in said,
            "run_id": said.get(state.area_id, newest_run),
        }
        if not conn.execute(keep, facts | told).rowcount:
            raise DatabaseError(f"region {region.name} has no warning area {state.area_id} to keep an alert of")
    close = text("""
        UPDATE lswarn.alert SET level = 0, closed_on = :day, changed_on = :day, run_id = :run_id
        FROM lswarn.warning_area AS area
        WHERE area.id = area_id AND region = :region AND source_id = :area_id AND closed_on IS NULL""")
    for area_id in sorted(before.keys() - after.keys()):
        conn.execute(close, facts | {"area_id": area_id, "run_id": said.get(area_id, newest_run)})


def queue_messages(conn: Connection, region: Region, messages: Sequence[AlertMessage], queued_at: datetime) -> int:
    """Queue messages for every subscriber of their areas; call after `record_alerts`.

    One change of one run is said once, and missing rain once a day, however often it is queued.

    Returns:
        How many messages are new.
    """
    add = text("""
        INSERT INTO lswarn.alert_message
            (region, alert_id, run_id, kind, level, valid_day, subject, text, html, payload, map_png, queued_at)
        SELECT :region,
               (SELECT max(alert.id) FROM lswarn.alert JOIN lswarn.warning_area AS area ON area.id = alert.area_id
                WHERE area.region = :region AND area.source_id = :area_id),
               (SELECT id FROM lswarn.run WHERE region = :region AND valid_day = :valid_day AND superseded_at IS NULL
                AND kind = CASE WHEN :lead_days > 0 THEN 'outlook' ELSE 'observed' END),
               :kind, :level, :valid_day, :subject, :text, :html, :payload, :map_png, :queued_at
        ON CONFLICT DO NOTHING
        RETURNING id""").bindparams(_json("payload"))
    address = text("""
        INSERT INTO lswarn.delivery (message_id, subscriber_id, due_at)
        SELECT :message_id, id, :queued_at FROM lswarn.subscriber
        WHERE region = :region AND retired_at IS NULL
          AND (areas = '{}' OR CAST(:area_id AS text) IS NULL OR :area_id = ANY(areas))""")
    new = 0
    for message in messages:
        facts = {
            "region": region.name,
            "area_id": message.area_id,
            "kind": message.kind.value,
            "level": message.level.value,
            "valid_day": message.valid_day,
            "lead_days": message.lead_days,
            "subject": message.subject,
            "text": message.text,
            "html": message.html,
            "payload": message.payload,
            "map_png": message.map_png,
            "queued_at": queued_at,
        }
        if message_id := conn.execute(add, facts).scalar():
            conn.execute(address, facts | {"message_id": message_id})
            new += 1
    return new


def claim_deliveries(engine: Engine, now: datetime, limit: int) -> list[Outgoing]:
    """Take on up to `limit` due deliveries, oldest first; until `LEASE` is over nobody else gets them.

    Raises:
        DatabaseDown: no connection.
    """
    query = text("""
        WITH taken AS (
            UPDATE lswarn.delivery SET due_at = :lease
            WHERE id IN (SELECT id FROM lswarn.delivery WHERE status = 'pending' AND due_at <= :now
                         ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
            RETURNING id, message_id, subscriber_id, idempotency_key
        )
        SELECT taken.id AS delivery_id, idempotency_key, channel, address, area.source_id AS area_id,
               message.kind, message.level, message.valid_day, subject, text, html, payload, map_png,
               coalesce(run.lead_days, 0) AS lead_days
        FROM taken
        JOIN lswarn.alert_message AS message ON message.id = message_id
        JOIN lswarn.subscriber AS subscriber ON subscriber.id = subscriber_id
        LEFT JOIN lswarn.run AS run ON run.id = message.run_id
        LEFT JOIN lswarn.alert AS alert ON alert.id = alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        ORDER BY taken.id""")
    with transaction(engine) as conn:
        rows = conn.execute(query, {"now": now, "lease": now + LEASE, "limit": limit}).all()
    return [
        Outgoing(
            row.delivery_id,
            str(row.idempotency_key),
            row.channel,
            row.address,
            AlertMessage(
                row.area_id,
                Kind(row.kind),
                Level(row.level),
                row.valid_day,
                row.subject,
                row.text,
                row.html,
                row.payload,
                bytes(row.map_png),
                row.lead_days,
            ),
        )
        for row in rows
    ]


def mark_delivered(conn: Connection, delivery_id: int, at: datetime) -> None:
    """It was accepted. Marked twice, it stays accepted when it first was."""
    _record_attempt(conn, delivery_id, at, None)
    conn.execute(
        text("""UPDATE lswarn.delivery SET status = 'sent', delivered_at = :at
                WHERE id = :id AND status <> 'sent'"""),
        {"id": delivery_id, "at": at},
    )


def mark_failed(conn: Connection, delivery_id: int, at: datetime, error: str, *, permanent: bool) -> None:
    """It was not accepted: try again later, ever later, or give up.

    Args:
        permanent: trying again cannot help.
    """
    _record_attempt(conn, delivery_id, at, error)
    conn.execute(
        text("""
            UPDATE lswarn.delivery
            SET status = CASE WHEN :permanent OR tried >= :tries THEN 'dead' ELSE 'pending' END,
                due_at = CAST(:at AS timestamptz)
                    + least(CAST(:backoff AS interval) * power(2, least(tried, 20) - 1), CAST(:most AS interval))
                    * (0.5 + random())  -- jitter, so that many which failed together do not come back together
            FROM (SELECT count(*) AS tried FROM lswarn.delivery_attempt WHERE delivery_id = :id) AS attempts
            WHERE id = :id AND status = 'pending'"""),
        {
            "id": delivery_id,
            "at": at,
            "permanent": permanent,
            "tries": TRIES,
            "backoff": BACKOFF,
            "most": BACKOFF_MAX,
        },
    )


def find_alert_history(conn: Connection, region: Region) -> list[AlertEvent]:
    """Everything that was said, oldest first."""
    query = text("""
        SELECT alert_id, coalesce(area.source_id, '') AS area_id, coalesce(area.name, '') AS area_name, kind,
               message.level, valid_day, subject, queued_at, sent, pending, dead
        FROM lswarn.alert_message AS message
        LEFT JOIN lswarn.alert AS alert ON alert.id = alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE status = 'sent') AS sent,
                   count(*) FILTER (WHERE status = 'pending') AS pending,
                   count(*) FILTER (WHERE status = 'dead') AS dead
            FROM lswarn.delivery WHERE message_id = message.id
        ) AS deliveries
        WHERE message.region = :region ORDER BY message.id""")
    return [
        AlertEvent(**{**row, "kind": Kind(row["kind"]), "level": Level(row["level"])})
        for row in conn.execute(query, {"region": region.name}).mappings()
    ]


def _record_attempt(conn: Connection, delivery_id: int, at: datetime, error: str | None) -> None:
    conn.execute(
        text("""
            INSERT INTO lswarn.delivery_attempt (delivery_id, attempted_at, address, error)
            SELECT delivery.id, :at, address, :error
            FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id WHERE delivery.id = :id"""),
        {"id": delivery_id, "at": at, "error": error},
    )


def _json(name: str) -> Any:
    return bindparam(name, type_=JSONB)
