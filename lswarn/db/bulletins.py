"""Alerts and messages, for whoever reads them from outside: nobody's address, and drafts only for reviewers."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

ALERTS = """
    FROM lswarn.alert AS alert
    JOIN lswarn.warning_area AS area ON area.id = alert.area_id
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE released_at IS NOT NULL) AS messages,
               count(*) FILTER (WHERE approval = 'waiting') AS drafts_waiting,
               count(acknowledged_at) AS acknowledged
        FROM lswarn.alert_message AS message WHERE message.alert_id = alert.id AND kind <> 'review'
    ) AS said
    WHERE (:drafts OR messages > 0) AND (CAST(:region AS text) IS NULL OR area.region = :region)
      AND (CAST(:state AS text) IS NULL OR alert.state = :state)
      AND (CAST(:alert_id AS bigint) IS NULL OR alert.id = :alert_id)"""

MESSAGES = """
    FROM lswarn.alert_message AS message
    LEFT JOIN lswarn.alert AS alert ON alert.id = message.alert_id
    LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
    WHERE message.kind <> 'review' AND (:drafts OR released_at IS NOT NULL)
      AND (CAST(:region AS text) IS NULL OR message.region = :region)
      AND (CAST(:alert_id AS bigint) IS NULL OR message.alert_id = :alert_id)
      AND (CAST(:approval AS text) IS NULL OR approval = :approval)
      AND (CAST(:message_id AS bigint) IS NULL OR message.id = :message_id)"""


@dataclass(frozen=True)
class AlertSummary:
    """One situation in one warning area.

    Attributes:
        level: 0 none (closed), 1 orange, 2 red.
        state: open; easing: less than its level is called for; unknown: nobody knows; closed.
        status: actual, or test or exercise: a drill.
        closed_on: None while it is open.
        outlook_only: only forecasts have called for its level so far.
        messages: how many were let out; drafts_waiting: how many wait for a person; acknowledged: how many somebody
            has taken note of.
    """

    alert_id: int
    region: str
    area_id: str
    area_name: str
    level: int
    state: str
    status: str
    opened_on: date
    changed_on: date
    closed_on: date | None
    outlook_only: bool
    messages: int
    drafts_waiting: int
    acknowledged: int


@dataclass(frozen=True)
class DeliveryCounts:
    """To how many a message is on its way, has come, and was given up."""

    pending: int
    sent: int
    dead: int


@dataclass(frozen=True)
class Bulletin:
    """A message.

    Attributes:
        alert_id, area_id, area_name: None of a message about missing rain.
        kind: open, raise, update, lower, clear or data_missing.
        approval: auto: no person was asked; waiting; approved; rejected; timed_out: nobody decided, and it went out.
        issued_at: when it was let out; None while it waits, and where it was rejected.
        cap: where its CAP document is to be had on this server; None where it has none.
        acknowledged_by, acknowledged_at, acknowledgement: who took note of it first; None where nobody has.
    """

    message_id: int
    alert_id: int | None
    region: str
    area_id: str | None
    area_name: str | None
    kind: str
    level: int
    valid_day: date
    status: str
    subject: str
    text: str
    approval: str
    queued_at: datetime
    review_until: datetime | None
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    issued_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    acknowledgement: str | None
    deliveries: DeliveryCounts
    cap: str | None


@dataclass(frozen=True)
class Translated:
    """A message in another language."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class FullBulletin(Bulletin):
    """A message in full; `html` shows its map as cid:map, which is at …/map.png.

    Attributes:
        translations: by language.
    """

    html: str
    translations: dict[str, Translated]
    has_map: bool


def find_alert_summaries(
    conn: Connection,
    *,
    drafts: bool,
    region: str | None = None,
    state: str | None = None,
    alert_id: int | None = None,
    limit: int = 1,
    offset: int = 0,
) -> tuple[list[AlertSummary], int]:
    """Alerts: those that are open first, then the newest; and how many there are in all.

    Args:
        drafts: whether one of which nothing was let out yet is among them.
        region, state, alert_id: only these; None = all.
    """
    facts: dict[str, Any] = {"drafts": drafts, "region": region, "state": state, "alert_id": alert_id}
    total = conn.execute(text(f"SELECT count(*) {ALERTS}"), facts).scalar_one()
    query = text(f"""
        SELECT alert.id AS alert_id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
               alert.state, alert.status, opened_on, changed_on, closed_on, outlook_only, messages, drafts_waiting,
               acknowledged
        {ALERTS}
        ORDER BY closed_on IS NOT NULL, alert.level DESC, alert.id DESC LIMIT :limit OFFSET :offset""")
    rows = conn.execute(query, facts | {"limit": limit, "offset": offset}).mappings()
    return [AlertSummary(**row) for row in rows], total


def find_bulletins(
    conn: Connection,
    *,
    drafts: bool,
    region: str | None = None,
    alert_id: int | None = None,
    approval: str | None = None,
    oldest_first: bool = False,
    limit: int,
    offset: int,
) -> tuple[list[Bulletin], int]:
    """Messages, and how many there are in all.

    Args:
        drafts: whether those are among them that wait, and those that were rejected.
        region, alert_id, approval: only these; None = all.
    """
    facts: dict[str, Any] = {"drafts": drafts, "region": region, "alert_id": alert_id, "approval": approval}
    facts |= {"message_id": None}
    total = conn.execute(text(f"SELECT count(*) {MESSAGES}"), facts).scalar_one()
    order = "ASC" if oldest_first else "DESC"
    query = text(f"""SELECT {_columns()} {MESSAGES} ORDER BY message.id {order} LIMIT :limit OFFSET :offset""")
    rows = conn.execute(query, facts | {"limit": limit, "offset": offset}).mappings()
    return [Bulletin(**_facts(dict(row))) for row in rows], total


def find_bulletin(conn: Connection, message_id: int, *, drafts: bool) -> FullBulletin | None:
    """A message in full; None where there is none, or it is a draft and those are not asked for."""
    facts: dict[str, Any] = {"drafts": drafts, "message_id": message_id}
    facts |= dict.fromkeys(("region", "alert_id", "approval"))
    query = text(f"""SELECT {_columns()}, html, translations, octet_length(map_png) > 0 AS has_map {MESSAGES}""")
    row = conn.execute(query, facts).mappings().one_or_none()
    if row is None:
        return None
    told = _facts(dict(row))
    return FullBulletin(
        **told | {"translations": {each: Translated(**words) for each, words in told["translations"].items()}}
    )


def find_map_png(conn: Connection, message_id: int, *, drafts: bool) -> bytes | None:
    """The map of a message; None where it has none, or is a draft and those are not asked for."""
    query = text("""SELECT map_png FROM lswarn.alert_message
                    WHERE id = :id AND (:drafts OR released_at IS NOT NULL) AND octet_length(map_png) > 0""")
    png = conn.execute(query, {"id": message_id, "drafts": drafts}).scalar()
    return None if png is None else bytes(png)


def mark_acknowledged(conn: Connection, message_id: int, *, by: str, said: str, at: datetime) -> bool:
    """Keep who took note of a message first.

    Returns:
        False where somebody has before, or it was not let out, or there is none.
    """
    query = text("""
        UPDATE lswarn.alert_message
        SET acknowledged_by = :by, acknowledged_at = :at, acknowledgement = nullif(:said, '')
        WHERE id = :id AND acknowledged_at IS NULL AND released_at IS NOT NULL AND kind <> 'review'""")
    return conn.execute(query, {"id": message_id, "by": by, "said": said, "at": at}).rowcount == 1


def _columns() -> str:
    counts = ", ".join(
        f"(SELECT count(*) FROM lswarn.delivery WHERE message_id = message.id"  # noqa: S608
        f" AND delivery.status = '{status}') AS {status}"
        for status in ("pending", "sent", "dead")
    )
    return f"""
        message.id AS message_id, message.alert_id, message.region, area.source_id AS area_id, area.name AS area_name,
        message.kind, message.level, message.valid_day, message.status, message.subject, message.text,
        message.approval, message.queued_at, message.review_until, message.decided_by, message.decided_at,
        message.reason, message.released_at AS issued_at, acknowledged_by, acknowledged_at, acknowledgement,
        cap_identifier, {counts}"""


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    counts = DeliveryCounts(*(row.pop(each) for each in ("pending", "sent", "dead")))
    identifier = row.pop("cap_identifier")
    cap = None if identifier is None else f"/cap/{row['region']}/{identifier}.xml"
    return row | {"deliveries": counts, "cap": cap}
