"""What was said. To whom, and whether it arrived, is in `sent`."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.db.tables.columns import INSTANT, check, column, key, metadata, of_region

alert = Table(
    "alert",
    metadata,
    key(),
    column("area_id", BigInteger, "Warning area", ForeignKey("warning_area.id")),
    column("hazard", Text, "Of what is warned", server_default="landslide"),
    column("level", SmallInteger, "What people have been told: 1 orange, 2 red; 0 once closed"),
    column("opened_on", Date, "Last observed day when the first message was given"),
    column("changed_on", Date, "Last observed day when the last message was given"),
    column("closed_on", Date, "Day of the all-clear; null while it is open", nullable=True),
    column(
        "run_id",
        BigInteger,
        "Run that the last message came from; null of a drill",
        ForeignKey("run.id"),
        nullable=True,
    ),
    column(
        "below",
        JSONB,
        "Complete observed days below the level since, with the level they called for and the level they let stay: "
        "[[day, level, level], …]",
    ),
    column("told", ARRAY(Text), "Assets people have been told of: road:ID, settlement:ID"),
    column("outlook_only", Boolean, "Only outlooks have called for the level so far", server_default="false"),
    column(
        "state",
        Text,
        "open: its level is called for; easing: less is; unknown: nobody knows; closed",
        server_default="open",
    ),
    column("status", Text, "actual, or test or exercise: a drill", server_default="actual"),
    column("said_at", INSTANT, "When the last message was given; null where nothing was said", nullable=True),
    column(
        "held",
        JSONB,
        "Places newly hit that are held back for the next message, as it will name them",
        server_default=text("'[]'"),
    ),
    check("level", "level BETWEEN 0 AND 2"),
    check(
        "state",
        "state IN ('open', 'easing', 'unknown', 'closed') AND (state = 'closed') = (closed_on IS NOT NULL)",
    ),
    check("status", "status IN ('actual', 'test', 'exercise') AND (status <> 'actual' OR run_id IS NOT NULL)"),
    check("closed", "(closed_on IS NULL) = (level > 0)"),
    check("days", "opened_on <= changed_on AND opened_on <= closed_on"),
    Index("uq_alert_open", "area_id", "hazard", "status", unique=True, postgresql_where=text("closed_on IS NULL")),
    comment="One situation in one warning area, from its first message to its all-clear; hangs on no run",
)

alert_message = Table(
    "alert_message",
    metadata,
    key(),
    of_region(),
    column("alert_id", BigInteger, "Null for a message about missing rain", ForeignKey("alert.id"), nullable=True),
    column("run_id", BigInteger, "Run it came from; null where there was none", ForeignKey("run.id"), nullable=True),
    column("kind", Text, "open, raise, update, lower, clear or data_missing; review: asks reviewers about a draft"),
    column("level", SmallInteger, "0 none, 1 orange, 2 red"),
    column("valid_day", Date, "Day it speaks of: of an outlook, a day ahead"),
    column("subject", Text, "One line"),
    column("text", Text, "Plain text"),
    column("html", Text, "HTML; shows the map as cid:map"),
    column("payload", JSONB, "What a webhook gets"),
    column("map_png", LargeBinary, "Map; empty where there is none"),
    column("queued_at", INSTANT, "When it was queued"),
    column("status", Text, "actual, or test or exercise: a drill", server_default="actual"),
    column("news", ARRAY(Text), "Assets it is the first to tell of: road:ID, settlement:ID", server_default="{}"),
    column(
        "translations",
        JSONB,
        "The same in other languages: {language: {subject, text, html}}",
        server_default=text("'{}'"),
    ),
    column(
        "about_id",
        BigInteger,
        "The draft that a review asks about; else null",
        ForeignKey("alert_message.id"),
        nullable=True,
    ),
    column(
        "approval",
        Text,
        "auto: no person was asked; waiting; approved; rejected; timed_out: nobody decided, and it went out",
        server_default="auto",
    ),
    column(
        "review_until",
        INSTANT,
        "A draft that nobody has decided on by then goes out; null where nobody was asked",
        nullable=True,
    ),
    column("decided_by", Text, "Who approved, rejected or cancelled; null where no person did", nullable=True),
    column(
        "decided_at",
        INSTANT,
        "When it was decided that it goes out or does not; null while it waits",
        nullable=True,
    ),
    column("reason", Text, "Why, in the words of who decided; null where nothing was said", nullable=True),
    column(
        "released_at",
        INSTANT,
        "When it was addressed to its subscribers; null while it waits and where it was rejected",
        nullable=True,
    ),
    column(
        "cap_rules",
        JSONB,
        "[alerts.cap] of region.toml when it was written; null where there was none yet",
        nullable=True,
    ),
    column("cap_identifier", Text, "Name of its CAP document; null where there is none", nullable=True),
    column("cap_sent", Text, "When that was sent, as it says it; null where there is none", nullable=True),
    column("cap_expires_at", INSTANT, "When that loses force by itself; null where there is none", nullable=True),
    column(
        "cap_references",
        Text,
        "Earlier documents that it follows: sender,identifier,sent and a blank between; null where there is none",
        nullable=True,
    ),
    column("cap", LargeBinary, "That document, XML; null where there is none", nullable=True),
    column("acknowledged_by", Text, "Who has taken note of it first; null = nobody has said so", nullable=True),
    column("acknowledged_at", INSTANT, "When; null = nobody has said so", nullable=True),
    column("acknowledgement", Text, "What they said; null where nothing was said", nullable=True),
    check(
        "kind",
        "kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing', 'review') "
        "AND (kind = 'review') = (about_id IS NOT NULL)",
    ),
    check(
        "alert",
        "(kind = 'data_missing') = (alert_id IS NULL) "
        "AND (alert_id IS NULL OR run_id IS NOT NULL OR status <> 'actual')",
    ),
    check("level", "level BETWEEN 0 AND 2"),
    check("status", "status IN ('actual', 'test', 'exercise')"),
    check(
        "approval",
        "approval IN ('auto', 'waiting', 'approved', 'rejected', 'timed_out') "
        "AND (approval <> 'waiting' OR review_until IS NOT NULL)",
    ),
    check("released", "(released_at IS NULL) = (approval IN ('waiting', 'rejected'))"),
    check("decided", "approval NOT IN ('approved', 'rejected') OR decided_by IS NOT NULL AND decided_at IS NOT NULL"),
    check(
        "cap",
        "(cap IS NULL) = (cap_identifier IS NULL) AND (cap IS NULL) = (cap_sent IS NULL) "
        "AND (cap IS NULL) = (cap_expires_at IS NULL) AND (cap IS NULL OR released_at IS NOT NULL)",
    ),
    check(
        "acknowledged",
        "(acknowledged_by IS NULL) = (acknowledged_at IS NULL) "
        "AND (acknowledged_at IS NULL OR released_at IS NOT NULL)",
    ),
    check("subject", "subject !~ '[\\r\\n]'"),
    Index(
        "uq_alert_message_change",
        "run_id",
        "alert_id",
        "kind",
        unique=True,
        postgresql_where=text("kind <> 'review' AND approval <> 'rejected'"),
    ),
    Index(
        "uq_alert_message_data_missing",
        "region",
        "valid_day",
        unique=True,
        postgresql_where=text("kind = 'data_missing'"),
    ),
    Index("uq_alert_message_cap_identifier", "cap_identifier", unique=True),
    Index("ix_alert_message_waiting", "review_until", postgresql_where=text("approval = 'waiting'")),
    comment="What was said, and the drafts that were not; the history of every alert",
)
