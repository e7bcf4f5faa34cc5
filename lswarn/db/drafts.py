"""Messages that wait for a person, what became of them, and the CAP documents of those that went out.

A draft is decided on once, by whoever comes first: a person, or the clock. What is held back was never said, so the
alert goes back to what people have been told.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.alerts.message import AlertMessage
from lswarn.db.outbox import find_messages, queue_deliveries
from lswarn.errors import DatabaseError
from lswarn.sections import Cap

BY_CLOCK = "lswarn"
"""Who decided where no person did."""


@dataclass(frozen=True)
class Story:
    """A message, and what became of it.

    Attributes:
        approval: `auto`, `waiting`, `approved`, `rejected` or `timed_out`.
        review_until, decided_by, decided_at, reason, released_at: None where there is none.
        cap_identifier, cap_references, cap: of its CAP document; None where it has none, or follows nothing.
    """

    message: AlertMessage
    approval: str
    review_until: datetime | None
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    released_at: datetime | None
    cap_identifier: str | None
    cap_references: str | None
    cap: bytes | None


@dataclass(frozen=True)
class Sent:
    """What there is to say of a message that goes out, for its CAP document.

    Attributes:
        area: warning area, or all of them where rain is missing; zones: of very high class there, None for none. Both
            EPSG:4326.
        references: sender, identifier and time sent of earlier documents of its alert; of a warning that is taken back
            also those that have expired.
    """

    message: AlertMessage
    released_at: datetime
    region: str
    rules: Cap
    run_id: int | None
    area: BaseGeometry
    zones: BaseGeometry | None
    references: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Document:
    """A CAP document that was given.

    Attributes:
        sent: as it stands in it.
    """

    identifier: str
    sent: str
    released_at: datetime
    expires_at: datetime
    subject: str
    xml: bytes


def find_draft(conn: Connection, region: str, message_id: int) -> AlertMessage:
    """A message that waits, kept from being decided on by anybody else until the transaction ends.

    Raises:
        DatabaseError: there is none, or it waits no more: who has decided, and what.
    """
    query = text("""SELECT approval, decided_by, decided_at, reason FROM lswarn.alert_message
                    WHERE id = :id AND region = :region AND kind <> 'review' FOR UPDATE""")
    row = conn.execute(query, {"id": message_id, "region": region}).one_or_none()
    if row is None:
        raise DatabaseError(f"{region} has no message {message_id}; lswarn alerts list shows those there are")
    if row.approval != "waiting":
        who = f" by {row.decided_by}" if row.decided_by else ""
        when = f" at {row.decided_at:%Y-%m-%d %H:%M} UTC" if row.decided_at else ""
        raise DatabaseError(
            f"message {message_id} does not wait for anybody: {row.approval.replace('_', ' ')}{who}{when}"
        )
    return find_messages(conn, {message_id})[message_id]


def find_message(conn: Connection, region: str, message_id: int) -> Story:
    """A message of whatever kind, with what became of it.

    Raises:
        DatabaseError: there is none.
    """
    query = text("""
        SELECT approval, review_until, decided_by, decided_at, reason, released_at, cap_identifier, cap_references, cap
        FROM lswarn.alert_message WHERE id = :id AND region = :region""")
    row = conn.execute(query, {"id": message_id, "region": region}).mappings().one_or_none()
    if row is None:
        raise DatabaseError(f"{region} has no message {message_id}; lswarn alerts list shows those there are")
    facts = {**row, "cap": None if row["cap"] is None else bytes(row["cap"])}
    return Story(find_messages(conn, {message_id})[message_id], **facts)


def find_overdue(conn: Connection, now: datetime) -> dict[int, AlertMessage]:
    """Drafts that nobody has decided on in time, of all regions; kept from others until the transaction ends."""
    query = text("""SELECT id FROM lswarn.alert_message WHERE approval = 'waiting' AND review_until <= :now
                    ORDER BY id FOR UPDATE SKIP LOCKED""")
    ids = list(conn.execute(query, {"now": now}).scalars())
    return dict(sorted(find_messages(conn, set(ids)).items()))


def mark_released(
    conn: Connection, message_id: int, message: AlertMessage, *, approval: str, by: str, reason: str, at: datetime
) -> None:
    """Let a draft out; earlier drafts of the same alert are superseded by it, for it says everything.

    Args:
        message: as it goes out.
        approval: `approved` by a person, or `timed_out`.
    """
    query = text("""
        UPDATE lswarn.alert_message
        SET approval = :approval, decided_by = nullif(:by, ''), decided_at = :at, reason = nullif(:reason, ''),
            released_at = :at, subject = :subject, text = :text, html = :html, payload = :payload,
            translations = :translations
        WHERE id = :id""").bindparams(bindparam("payload", type_=JSONB), bindparam("translations", type_=JSONB))
    facts: dict[str, Any] = {"id": message_id, "approval": approval, "by": by, "reason": reason, "at": at}
    facts |= {name: getattr(message, name) for name in ("subject", "text", "html", "payload")}
    facts |= {"translations": {language: asdict(words) for language, words in message.translations.items()}}
    conn.execute(query, facts)
    earlier = text("""
        UPDATE lswarn.alert_message AS draft
        SET approval = 'rejected', decided_by = :by, decided_at = :at, reason = :reason
        FROM lswarn.alert_message AS message
        WHERE message.id = :id AND draft.alert_id = message.alert_id AND draft.id < :id
          AND draft.approval = 'waiting'""")
    replaced = {"id": message_id, "by": by or BY_CLOCK, "at": at, "reason": f"replaced by message {message_id}"}
    conn.execute(earlier, replaced)
    queue_deliveries(conn, [message_id], at)


def mark_rejected(conn: Connection, message_id: int, *, by: str, reason: str, at: datetime) -> None:
    """Hold a draft back for good, and let its alert be what people have been told it is.

    An alert nobody has been told of ends with it; one that was to end goes on. The next run that calls for it asks
    anew. Where a later message of the alert is there, that one says what the alert is, and nothing else changes.
    """
    facts = {"id": message_id, "by": by, "reason": reason, "at": at}
    conn.execute(
        text("""UPDATE lswarn.alert_message
                SET approval = 'rejected', decided_by = :by, decided_at = :at, reason = nullif(:reason, '')
                WHERE id = :id"""),
        facts,
    )
    take_back = text("""
        UPDATE lswarn.alert
        SET level = stands, below = '[]', said_at = stood.released_at,
            told = ARRAY(SELECT each FROM unnest(told) AS each WHERE each <> ALL (rejected.news)),
            state = CASE WHEN stands > 0 THEN 'open' ELSE 'closed' END,
            closed_on = CASE WHEN stands > 0 THEN NULL ELSE changed_on END
        FROM lswarn.alert_message AS rejected
        LEFT JOIN LATERAL (
            SELECT level, released_at FROM lswarn.alert_message AS message
            WHERE message.alert_id = rejected.alert_id AND kind <> 'review' AND approval <> 'rejected'
            ORDER BY message.id DESC LIMIT 1
        ) AS stood ON true
        CROSS JOIN LATERAL (SELECT coalesce(stood.level, 0) AS stands) AS known
        WHERE rejected.id = :id AND alert.id = rejected.alert_id
          AND NOT EXISTS (SELECT FROM lswarn.alert_message AS later
                          WHERE later.alert_id = alert.id AND later.id > :id AND kind <> 'review'
                            AND approval <> 'rejected')
          AND NOT EXISTS (SELECT FROM lswarn.alert AS newer
                          WHERE (newer.area_id, newer.hazard, newer.status)
                              = (alert.area_id, alert.hazard, alert.status) AND newer.id > alert.id)""")
    conn.execute(take_back, facts)


def queue_review(
    conn: Connection, about_id: int, message: AlertMessage, reviewers: tuple[str, ...], at: datetime
) -> None:
    """Queue a message about a draft, to reviewers alone, whatever else they chose to hear."""
    add = text("""
        INSERT INTO lswarn.alert_message
            (region, alert_id, run_id, kind, level, valid_day, subject, text, html, payload, map_png, queued_at, status,
             decided_at, released_at, about_id)
        SELECT region, alert_id, run_id, 'review', level, valid_day, :subject, :text, :html, :payload, map_png, :at,
               status, :at, :at, id
        FROM lswarn.alert_message WHERE id = :about_id
        RETURNING id""").bindparams(bindparam("payload", type_=JSONB))
    facts: dict[str, Any] = {"about_id": about_id, "at": at}
    facts |= {name: getattr(message, name) for name in ("subject", "text", "html", "payload")}
    queue_deliveries(conn, [conn.execute(add, facts).scalar_one()], at, names=reviewers)


def find_asked(conn: Connection, message_id: int) -> tuple[str, ...]:
    """Names of the subscribers who were asked about a draft."""
    query = text("""
        SELECT DISTINCT name FROM lswarn.alert_message AS review
        JOIN lswarn.delivery ON delivery.message_id = review.id
        JOIN lswarn.subscriber ON subscriber.id = subscriber_id
        WHERE review.about_id = :id ORDER BY name""")
    return tuple(conn.execute(query, {"id": message_id}).scalars())


def find_review_until(conn: Connection, message_ids: tuple[int, ...]) -> dict[int, datetime]:
    """By when drafts are to be decided on."""
    query = text("SELECT id, review_until FROM lswarn.alert_message WHERE id = ANY(:ids)")
    return {row.id: row.review_until for row in conn.execute(query, {"ids": list(message_ids)})}


def find_regions_of(conn: Connection, message_ids: tuple[int, ...]) -> list[str]:
    """Names of the regions that messages are of."""
    query = text("SELECT DISTINCT region FROM lswarn.alert_message WHERE id = ANY(:ids) ORDER BY region")
    return list(conn.execute(query, {"ids": list(message_ids)}).scalars())


def mark_decided(conn: Connection, message_ids: tuple[int, ...], *, by: str, reason: str) -> None:
    """Keep who had messages sent that no draft came before, and why."""
    query = text("""UPDATE lswarn.alert_message SET decided_by = :by, reason = nullif(:reason, '')
                    WHERE id = ANY(:ids)""")
    conn.execute(query, {"ids": list(message_ids), "by": by, "reason": reason})


def mark_drafts_replaced(conn: Connection, alert_id: int, *, by: str, reason: str, at: datetime) -> int:
    """Hold back every draft of an alert, whose end is decided otherwise.

    Returns:
        How many messages of the alert were ever released.
    """
    conn.execute(
        text("""UPDATE lswarn.alert_message
                SET approval = 'rejected', decided_by = :by, decided_at = :at, reason = nullif(:reason, '')
                WHERE alert_id = :alert_id AND approval = 'waiting'"""),
        {"alert_id": alert_id, "by": by, "reason": reason, "at": at},
    )
    count = text("""SELECT count(*) FROM lswarn.alert_message
                    WHERE alert_id = :alert_id AND released_at IS NOT NULL AND kind <> 'review'""")
    return int(conn.execute(count, {"alert_id": alert_id}).scalar_one())


# ── documents ────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_sent(conn: Connection, message_id: int) -> Sent | None:
    """What a CAP document is made from; None where it has one, or was never to have one."""
    facts = {"id": message_id}
    query = text("""
        SELECT message.region, message.run_id, message.alert_id, cap_rules, released_at,
               ST_AsBinary(coalesce(area.geometry, everywhere.geometry)) AS area,
               (SELECT ST_AsBinary(ST_Collect(zone.geometry)) FROM lswarn.susceptibility_zone AS zone
                WHERE zone.run_id = message.run_id AND class = 5 AND zone.geometry && area.geometry) AS zones
        FROM lswarn.alert_message AS message
        LEFT JOIN lswarn.alert AS alert ON alert.id = alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        CROSS JOIN LATERAL (SELECT ST_Union(geometry) AS geometry FROM lswarn.warning_area AS each
                            WHERE area.id IS NULL AND each.region = message.region AND retired_at IS NULL) AS everywhere
        WHERE message.id = :id AND cap IS NULL AND cap_rules IS NOT NULL AND released_at IS NOT NULL""")
    row = conn.execute(query, facts).one_or_none()
    if row is None:
        return None
    message = find_messages(conn, {message_id})[message_id]
    chain = text("""
        SELECT cap_rules ->> 'sender', cap_identifier, cap_sent FROM lswarn.alert_message
        WHERE alert_id = :alert_id AND id < :id AND cap IS NOT NULL AND (:all OR cap_expires_at > :at)
        ORDER BY id""")
    data = message.payload.get("data")
    withdrawn = isinstance(data, dict) and bool(data.get("withdrawn"))
    told = conn.execute(chain, facts | {"alert_id": row.alert_id, "all": withdrawn, "at": row.released_at})
    return Sent(
        message,
        row.released_at,
        row.region,
        Cap.model_validate(row.cap_rules),
        row.run_id,
        shapely.from_wkb(bytes(row.area)),
        shapely.from_wkb(bytes(row.zones)) if row.zones is not None else None,
        tuple((sender, identifier, sent) for sender, identifier, sent in told),
    )


def record_document(
    conn: Connection, message_id: int, *, identifier: str, sent: str, expires_at: datetime, references: str, xml: bytes
) -> None:
    """Keep a message's CAP document. It is never changed again."""
    query = text("""
        UPDATE lswarn.alert_message
        SET cap_identifier = :identifier, cap_sent = :sent, cap_expires_at = :expires_at,
            cap_references = nullif(:references, ''), cap = :xml
        WHERE id = :id AND cap IS NULL""")
    facts = {"identifier": identifier, "sent": sent, "expires_at": expires_at, "references": references, "xml": xml}
    conn.execute(query, facts | {"id": message_id})


def find_documents(conn: Connection, region: str, since: datetime) -> list[Document]:
    """The CAP documents given since an instant, and older ones still in force; newest first."""
    query = text("""
        SELECT cap_identifier AS identifier, cap_sent AS sent, released_at, cap_expires_at AS expires_at, subject,
               cap AS xml
        FROM lswarn.alert_message
        WHERE region = :region AND cap IS NOT NULL AND (released_at >= :since OR cap_expires_at >= :since)
        ORDER BY id DESC""")
    rows = conn.execute(query, {"region": region, "since": since}).mappings()
    return [Document(**{**row, "xml": bytes(row["xml"])}) for row in rows]


def find_document(conn: Connection, region: str, name: str) -> Document | None:
    """A CAP document by its identifier, or by the identifier as a file is named by it; None where there is none."""
    query = text("""
        SELECT cap_identifier AS identifier, cap_sent AS sent, released_at, cap_expires_at AS expires_at, subject,
               cap AS xml
        FROM lswarn.alert_message
        WHERE region = :region AND cap IS NOT NULL
          AND :name IN (cap_identifier, regexp_replace(cap_identifier, '[^A-Za-z0-9._-]', '-', 'g'))
        ORDER BY cap_identifier <> :name, id LIMIT 1""")
    row = conn.execute(query, {"region": region, "name": name}).mappings().one_or_none()
    return None if row is None else Document(**{**row, "xml": bytes(row["xml"])})
