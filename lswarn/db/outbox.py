"""To whom it is said, and whether it arrived.

Messages are queued in the transaction that publishes the run (`alerts.py`), and addressed when they are released;
delivery comes after it: a worker takes a delivery on by moving its due time ahead, sends, and marks it. One that dies
between sending and marking has the message sent again once its lease is over, with the same idempotency key; none is
lost. Messages that share a mail are one delivery each: the first carries the others, and is what workers see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine, Row, text

from lswarn.alerts.message import AlertMessage, Translation
from lswarn.alerts.outgoing import Outgoing
from lswarn.alerts.policy import Kind, Level
from lswarn.db.engine import transaction

LEASE = timedelta(minutes=15)
"""How long a worker may take over what it claimed before somebody else takes it on."""

FARTHEST = timedelta(hours=2)
"""Nothing is put off for longer: what is due later than that was queued by a clock that was wrong."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up on its way to one subscriber.

    Attributes:
        channel, lane: how it was sent; `name` is the subscriber's.
        last_error: empty where it was never tried.
    """

    delivery_id: int
    region: str
    name: str
    channel: str
    lane: str
    subject: str
    valid_day: date
    tries: int
    last_error: str


def queue_deliveries(
    conn: Connection, message_ids: Sequence[int], at: datetime, *, names: Sequence[str] | None = None
) -> int:
    """Address messages that may go out to their subscribers. Repeated, it adds nothing.

    A subscriber is told of his areas, from his level on: and whoever was last told of an alert at his level or above is
    told that it stepped down, and whoever was told of it at all is told that it ended. Missing rain concerns everybody.

    Args:
        message_ids: of one run. For a subscriber who wants a digest they go in one mail, also where one address has
            several subscriptions.
        at: when they are due.
        names: only to these subscribers, whatever they chose; left out, to all whom it concerns.

    Returns:
        How many deliveries are new.
    """
    told = """(SELECT earlier.level
               FROM lswarn.delivery AS known JOIN lswarn.alert_message AS earlier ON earlier.id = known.message_id
               WHERE known.subscriber_id = subscriber.id AND earlier.alert_id = message.alert_id
                 AND earlier.id < message.id AND earlier.kind <> 'review'
               ORDER BY earlier.id DESC LIMIT 1)"""
    concerns = f"""(
        (areas = '{{}}' OR area.source_id IS NULL OR area.source_id = ANY(areas))
        AND (message.alert_id IS NULL OR message.level >= subscriber.level
             OR {told} >= CASE WHEN message.level = 0 THEN 0 ELSE subscriber.level END))"""
    address = text(f"""
        INSERT INTO lswarn.delivery (message_id, subscriber_id, due_at)
        SELECT message.id, subscriber.id, :at
        FROM lswarn.alert_message AS message
        JOIN lswarn.subscriber AS subscriber ON subscriber.region = message.region AND retired_at IS NULL
        LEFT JOIN lswarn.alert AS alert ON alert.id = message.alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        WHERE message.id = ANY(:ids)
          AND {"subscriber.name = ANY(:names)" if names is not None else concerns}
        ORDER BY message.id, subscriber.id
        ON CONFLICT (message_id, subscriber_id) DO NOTHING
        RETURNING id""")  # noqa: S608 (of our own words alone)
    facts = {"ids": list(message_ids), "at": at} | ({"names": list(names)} if names is not None else {})
    new = list(conn.execute(address, facts).scalars())
    share = text("""
        WITH mail AS (
            SELECT delivery.id, min(delivery.id) OVER (PARTITION BY channel, address, language) AS first
            FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id
            WHERE delivery.id = ANY(:new) AND digest
        )
        UPDATE lswarn.delivery SET carried_by = first FROM mail WHERE mail.id = delivery.id AND first <> mail.id""")
    if len(message_ids) > 1 or len(new) > 1:
        conn.execute(share, {"new": new})
    return len(new)


def claim_deliveries(engine: Engine, now: datetime, limit: int) -> list[Outgoing]:
    """Take on up to `limit` due deliveries, oldest first; until `LEASE` is over nobody else gets them.

    Those of a lane whose circuit is open stay where they are. What is due farther ahead than anything is put off was
    queued before the clock was set back, and is due at once.

    Raises:
        DatabaseDown: no connection.
    """
    claim = text("""
        WITH due AS MATERIALIZED (
            SELECT delivery.id
            FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id
            WHERE status = 'pending' AND carried_by IS NULL
              AND (due_at <= :now OR due_at > CASE tries WHEN 0 THEN :leases ELSE :farthest END)
              AND NOT EXISTS (SELECT FROM lswarn.circuit
                              WHERE circuit.lane = subscriber.lane AND open_until > :now AND open_until <= :farthest)
            ORDER BY due_at, delivery.id LIMIT :limit FOR UPDATE OF delivery SKIP LOCKED
        )
        UPDATE lswarn.delivery SET due_at = :lease FROM due WHERE due.id = delivery.id RETURNING delivery.id""")
    parts = text("""
        SELECT coalesce(carried_by, delivery.id) AS carrier, message_id, idempotency_key, tries, channel, address,
               language, allow_private, lane
        FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id
        WHERE (delivery.id = ANY(:ids) OR carried_by = ANY(:ids)) AND status = 'pending'
        ORDER BY carrier, carried_by NULLS FIRST, message_id""")
    # Two leases: a worker whose clock is a little behind must not take what another has in hand.
    times = {"now": now, "lease": now + LEASE, "leases": now + 2 * LEASE, "farthest": now + FARTHEST}
    with transaction(engine) as conn:
        ids = list(conn.execute(claim, times | {"limit": limit}).scalars())
        if not ids:
            return []
        rows = conn.execute(parts, {"ids": ids}).all()
        messages = find_messages(conn, {row.message_id for row in rows})
    carried: dict[int, list[Row]] = {}
    for row in rows:
        carried.setdefault(row.carrier, []).append(row)
    return [
        Outgoing(
            carrier,
            str(first.idempotency_key),
            first.channel,
            first.address,
            tuple(messages[id_] for id_ in dict.fromkeys(row.message_id for row in (first, *others))),
            language=first.language,
            allow_private=first.allow_private,
            lane=first.lane,
            tries=first.tries,
        )
        for carrier, (first, *others) in carried.items()
    ]


def find_messages(conn: Connection, ids: set[int]) -> dict[int, AlertMessage]:
    """Messages as they were queued, by their keys."""
    query = text("""
        SELECT message.id, area.source_id AS area_id, message.kind, message.level, message.valid_day, subject, text,
               html, payload, map_png, coalesce(run.lead_days, 0) AS lead_days, message.status, translations
        FROM lswarn.alert_message AS message
        LEFT JOIN lswarn.run AS run ON run.id = message.run_id
        LEFT JOIN lswarn.alert AS alert ON alert.id = alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        WHERE message.id = ANY(:ids)""")
    return {
        row.id: AlertMessage(
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
            row.status,
            {language: Translation(**words) for language, words in row.translations.items()},
        )
        for row in conn.execute(query, {"ids": list(ids)})
    }


_ATTEMPT = """
    INSERT INTO lswarn.delivery_attempt (delivery_id, attempted_at, address, error)
    SELECT delivery.id, :at, coalesce(substring(address FROM '^https?://[^/?#]*'), address), :error
    FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id WHERE delivery.id = :id"""


def mark_delivered(conn: Connection, delivery_id: int, at: datetime) -> None:
    """It was accepted, with all it carried, and its lane works. Marked twice, it stays accepted when it first was.

    The disk is not waited for: should the server lose its power within the next half second, the message is sent again
    under its key, as after any other crash.
    """
    query = text(f"""
        WITH attempt AS ({_ATTEMPT}),
        works AS (
            DELETE FROM lswarn.circuit USING lswarn.delivery, lswarn.subscriber
            WHERE delivery.id = :id AND subscriber.id = subscriber_id AND circuit.lane = subscriber.lane
        ),
        unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
        UPDATE lswarn.delivery SET status = 'sent', delivered_at = :at, tries = tries + 1 FROM unhurried
        WHERE (id = :id OR carried_by = :id) AND status <> 'sent'""")  # noqa: S608 (of our own words alone)
    conn.execute(query, {"id": delivery_id, "at": at, "error": None})


def mark_failed(conn: Connection, delivery_id: int, at: datetime, error: str, *, again_at: datetime | None) -> None:
    """It was not accepted.

    Args:
        again_at: when to try again; None to give up.
    """
    query = text(f"""
        WITH attempt AS ({_ATTEMPT})
        UPDATE lswarn.delivery
        SET status = CASE WHEN CAST(:again_at AS timestamptz) IS NULL THEN 'dead' ELSE 'pending' END,
            due_at = coalesce(:again_at, due_at), tries = tries + 1
        WHERE (id = :id OR carried_by = :id) AND status = 'pending'""")  # noqa: S608 (of our own words alone)
    conn.execute(query, {"id": delivery_id, "at": at, "error": error, "again_at": again_at})


def mark_waiting(conn: Connection, delivery_ids: Sequence[int], at: datetime) -> None:
    """They were claimed and not tried: whoever comes next may have them."""
    query = text("UPDATE lswarn.delivery SET due_at = :at WHERE id = ANY(:ids) AND status = 'pending'")
    conn.execute(query, {"ids": list(delivery_ids), "at": at})


def find_dead_letters(conn: Connection, region: str | None = None) -> list[DeadLetter]:
    """What was given up on its way to somebody who still is a subscriber, oldest first; of one region or of all."""
    query = text("""
        SELECT delivery.id AS delivery_id, subscriber.region, name, channel, lane, subject, valid_day, tries,
               coalesce((SELECT error FROM lswarn.delivery_attempt
                         WHERE delivery_id = coalesce(carried_by, delivery.id) AND error IS NOT NULL
                         ORDER BY id DESC LIMIT 1), '') AS last_error
        FROM lswarn.delivery
        JOIN lswarn.subscriber ON subscriber.id = subscriber_id
        JOIN lswarn.alert_message AS message ON message.id = message_id
        WHERE delivery.status = 'dead' AND retired_at IS NULL
          AND (CAST(:region AS text) IS NULL OR subscriber.region = :region)
        ORDER BY delivery.id""")
    return [DeadLetter(**row) for row in conn.execute(query, {"region": region}).mappings()]


def queue_dead_again(conn: Connection, at: datetime) -> int:
    """Queue what was given up once more, with its old key and all its attempts ahead of it.

    Returns:
        How many deliveries.
    """
    query = text("""
        UPDATE lswarn.delivery SET status = 'pending', due_at = :at, tries = 0 FROM lswarn.subscriber
        WHERE subscriber.id = subscriber_id AND status = 'dead' AND retired_at IS NULL""")
    return conn.execute(query, {"at": at}).rowcount
