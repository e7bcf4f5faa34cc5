"""What was said: alerts and their messages.

Both are written in the transaction that publishes the run. A message that waits for a person is a draft, see
`drafts.py`; how what is released comes to its subscribers is in `outbox.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import AlertChange, AlertState, Hit, Kind, Level, LowDay, Stage
from lswarn.alerts.review import needs_review, news_of
from lswarn.db.outbox import queue_deliveries
from lswarn.errors import DatabaseError
from lswarn.region import Region


@dataclass(frozen=True)
class AlertEvent:
    """One message of an alert's history; `area_id` and `area_name` are empty for missing rain.

    Attributes:
        status: `actual`, or that it was a `test` or an `exercise`.
        approval: `auto`, `waiting`, `approved`, `rejected` or `timed_out`; `decided_by`: empty where nobody was asked.
        sent, pending, dead: deliveries of it.
    """

    message_id: int
    alert_id: int | None
    area_id: str
    area_name: str
    kind: Kind
    level: Level
    valid_day: date
    status: str
    approval: str
    decided_by: str
    queued_at: datetime
    sent: int
    pending: int
    dead: int
    subject: str


@dataclass(frozen=True)
class AreaState:
    """How one warning area stands.

    Attributes:
        state: `none`, `open`, `easing`, or `unknown`: not all of its rain is known, or nothing was published yet.
        opened_on, changed_on: of its alert; None where there is none.
        unknown_since: None where all of its rain is known.
        drafts_waiting: messages of its alert that wait for a person.
    """

    area_id: str
    area_name: str
    state: str
    level: Level
    opened_on: date | None
    changed_on: date | None
    unknown_since: date | None
    drafts_waiting: int


@dataclass(frozen=True)
class NewestRun:
    """The newest observed day, as `Briefing` wants it.

    Attributes:
        rain: one dict a day of the window (day, product, version, …), oldest first; `missing`: days without.
        model_id: empty where no model was asked.
    """

    run_id: int
    valid_day: date
    grade: str
    rain: list[dict[str, str]]
    missing: list[date]
    model_id: str


@dataclass(frozen=True)
class Queued:
    """Keys of messages that are new: those on their way, and the drafts that wait for a person."""

    released: tuple[int, ...]
    waiting: tuple[int, ...]


def find_alerts(conn: Connection, region: Region) -> dict[str, AlertState]:
    """The open alerts, by warning area; drills are none."""
    query = text("""
        SELECT area.source_id AS area_id, level, opened_on, below, told, outlook_only, state, said_at, held
        FROM lswarn.alert JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        WHERE area.region = :region AND closed_on IS NULL AND status = 'actual' ORDER BY area.source_id""")
    return {
        row.area_id: AlertState(
            row.area_id,
            Level(row.level),
            row.opened_on,
            tuple(LowDay(date.fromisoformat(day), Level(called), Level(stays)) for day, called, stays in row.below),
            frozenset(row.told),
            row.outlook_only,
            Stage(row.state),
            row.said_at,
            tuple(Hit(**hit) for hit in row.held),
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
        INSERT INTO lswarn.alert
            (area_id, level, opened_on, changed_on, run_id, below, told, outlook_only, state, said_at, held)
        SELECT id, :level, :opened_on, :day, :run_id, :below, :told, :outlook_only, :state, :said_at, :held
        FROM lswarn.warning_area WHERE region = :region AND source_id = :area_id
        ON CONFLICT (area_id, hazard, status) WHERE closed_on IS NULL DO UPDATE
        SET level = excluded.level, below = excluded.below, told = excluded.told,
            outlook_only = excluded.outlook_only, state = excluded.state, said_at = excluded.said_at,
            held = excluded.held,
            changed_on = CASE WHEN :said THEN excluded.changed_on ELSE alert.changed_on END,
            run_id = CASE WHEN :said THEN excluded.run_id ELSE alert.run_id END
        """).bindparams(_json("below"), _json("held"))
    for state in after.values():
        told = {
            "area_id": state.area_id,
            "level": state.level.value,
            "opened_on": state.opened_on,
            "below": [[low.day.isoformat(), low.called.value, low.stays.value] for low in state.below],
            "told": sorted(state.told),
            "outlook_only": state.outlook_only,
            "state": state.stage.value,
            "said_at": state.said_at,
            "held": [asdict(hit) for hit in state.held],
            "said": state.area_id in said,
            "run_id": said.get(state.area_id, newest_run),
        }
        if not conn.execute(keep, facts | told).rowcount:
            raise DatabaseError(f"region {region.name} has no warning area {state.area_id} to keep an alert of")
    close = text("""
        UPDATE lswarn.alert
        SET level = 0, state = 'closed', closed_on = :day, changed_on = :day, run_id = :run_id, held = '[]'
        FROM lswarn.warning_area AS area
        WHERE area.id = area_id AND region = :region AND source_id = :area_id AND closed_on IS NULL
          AND status = 'actual'""")
    for area_id in sorted(before.keys() - after.keys()):
        conn.execute(close, facts | {"area_id": area_id, "run_id": said.get(area_id, newest_run)})


def mark_known_areas(conn: Connection, region: Region, day: date, known: Collection[str]) -> None:
    """Keep of which warning areas all rain of the newest day is known, and since when it is not of the others."""
    query = text("""
        UPDATE lswarn.warning_area
        SET unknown_since = CASE WHEN NOT source_id = ANY(:known) THEN least(unknown_since, :day) END
        WHERE region = :region AND retired_at IS NULL""")
    conn.execute(query, {"region": region.name, "day": day, "known": list(known)})


def queue_messages(conn: Connection, region: Region, messages: Sequence[AlertMessage], queued_at: datetime) -> Queued:
    """Queue messages for every subscriber of their areas, or keep them as drafts; call after `record_alerts`.

    One change of one run is said once, and missing rain once a day, however often it is queued.
    """
    add = text("""
        INSERT INTO lswarn.alert_message
            (region, alert_id, run_id, kind, level, valid_day, subject, text, html, payload, map_png, queued_at, status,
             news, translations, approval, review_until, decided_at, released_at, cap_rules)
        SELECT :region,
               (SELECT max(alert.id) FROM lswarn.alert JOIN lswarn.warning_area AS area ON area.id = alert.area_id
                WHERE area.region = :region AND area.source_id = :area_id AND alert.status = :status),
               (SELECT id FROM lswarn.run WHERE region = :region AND valid_day = :valid_day AND superseded_at IS NULL
                AND kind = CASE WHEN :lead_days > 0 THEN 'outlook' ELSE 'observed' END AND :status = 'actual'),
               :kind, :level, :valid_day, :subject, :text, :html, :payload, :map_png, :queued_at, :status,
               :news, :translations, :approval, :review_until, :released_at, :released_at, :cap_rules
        ON CONFLICT DO NOTHING
        RETURNING id""").bindparams(_json("payload"), _json("translations"), _json("cap_rules"))
    patience = timedelta(minutes=region.alerts.review_minutes)
    released: list[int] = []
    waiting: list[int] = []
    for message in messages:
        draft = needs_review(message, region.alerts)
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
            "status": message.status,
            "news": news_of(message),
            "translations": {language: asdict(words) for language, words in message.translations.items()},
            "approval": "waiting" if draft else "auto",
            "review_until": queued_at + patience if draft else None,
            "released_at": None if draft else queued_at,
            "cap_rules": region.alerts.cap.model_dump(mode="json"),
        }
        if message_id := conn.execute(add, facts).scalar():
            (waiting if draft else released).append(message_id)
    queue_deliveries(conn, released, queued_at)
    return Queued(tuple(released), tuple(waiting))


def find_newest_run(conn: Connection, region: Region) -> NewestRun:
    """The newest observed day, and what was known on it.

    Raises:
        DatabaseError: nothing has been published yet.
    """
    query = text("""SELECT id AS run_id, valid_day, grade, rain, missing, coalesce(model_id, '') AS model_id
                    FROM lswarn.current_run WHERE region = :region""")
    row = conn.execute(query, {"region": region.name}).mappings().one_or_none()
    if row is None:
        raise DatabaseError(f"{region.name}: no day has been published yet; run: lswarn run")
    return NewestRun(**row)


def find_alert_id(conn: Connection, region: Region, area_id: str) -> int | None:
    """Database key of the open alert of a warning area; None where there is none."""
    query = text("SELECT id FROM lswarn.alert_now WHERE region = :region AND area_id = :area_id")
    return conn.execute(query, {"region": region.name, "area_id": area_id}).scalar()


def find_area_states(conn: Connection, region: Region) -> list[AreaState]:
    """How every warning area stands, those without an alert too."""
    query = text("""SELECT area_id, area_name, state, level, opened_on, changed_on, unknown_since, drafts_waiting
                    FROM lswarn.area_state WHERE region = :region ORDER BY level DESC, area_id""")
    rows = conn.execute(query, {"region": region.name}).mappings()
    return [AreaState(**{**row, "level": Level(row["level"])}) for row in rows]


def record_drill(conn: Connection, region: Region, area_id: str, status: str, day: date) -> None:
    """Open an alert that is only a drill; one that was left open is closed.

    Args:
        status: `test` or `exercise`.

    Raises:
        DatabaseError: there is no such warning area.
    """
    close_drill(conn, region, area_id, status)
    query = text("""
        INSERT INTO lswarn.alert (area_id, level, opened_on, changed_on, below, told, status)
        SELECT id, 2, :day, :day, '[]', '{}', :status
        FROM lswarn.warning_area WHERE region = :region AND source_id = :area_id AND retired_at IS NULL""")
    facts = {"region": region.name, "area_id": area_id, "status": status, "day": day}
    if not conn.execute(query, facts).rowcount:
        raise DatabaseError(f"region {region.name} has no warning area {area_id}; `lswarn alerts areas` shows them")


def close_drill(conn: Connection, region: Region, area_id: str, status: str) -> None:
    """End the drills of a warning area."""
    query = text("""
        UPDATE lswarn.alert SET level = 0, state = 'closed', closed_on = changed_on
        FROM lswarn.warning_area AS area
        WHERE area.id = area_id AND region = :region AND source_id = :area_id AND closed_on IS NULL
          AND status = :status""")
    conn.execute(query, {"region": region.name, "area_id": area_id, "status": status})


def find_alert_history(conn: Connection, region: Region) -> list[AlertEvent]:
    """Everything that was said, oldest first."""
    query = text("""
        SELECT message.id AS message_id, alert_id, coalesce(area.source_id, '') AS area_id,
               coalesce(area.name, '') AS area_name, kind, message.level, valid_day, message.status, approval,
               coalesce(decided_by, '') AS decided_by, queued_at, sent, pending, dead, subject
        FROM lswarn.alert_message AS message
        LEFT JOIN lswarn.alert AS alert ON alert.id = alert_id
        LEFT JOIN lswarn.warning_area AS area ON area.id = alert.area_id
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE status = 'sent') AS sent,
                   count(*) FILTER (WHERE status = 'pending') AS pending,
                   count(*) FILTER (WHERE status = 'dead') AS dead
            FROM lswarn.delivery WHERE message_id = message.id
        ) AS deliveries
        WHERE message.region = :region AND kind <> 'review' ORDER BY message.id""")
    return [
        AlertEvent(**{**row, "kind": Kind(row["kind"]), "level": Level(row["level"])})
        for row in conn.execute(query, {"region": region.name}).mappings()
    ]


def _json(name: str) -> Any:
    return bindparam(name, type_=JSONB)
