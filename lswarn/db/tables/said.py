"""What was said, to whom, and whether it arrived."""

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
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from lswarn.db.tables.columns import INSTANT, check, column, key, metadata, of_region, retired

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
    column("run_id", BigInteger, "Run that the last message came from", ForeignKey("run.id")),
    column(
        "below",
        JSONB,
        "Complete observed days below the level since, with the level they called for: [[day, level], …]",
    ),
    column("told", ARRAY(Text), "Assets people have been told of: road:ID, settlement:ID"),
    column("outlook_only", Boolean, "Only outlooks have called for the level so far", server_default="false"),
    check("level", "level BETWEEN 0 AND 2"),
    check("closed", "(closed_on IS NULL) = (level > 0)"),
    check("days", "opened_on <= changed_on AND opened_on <= closed_on"),
    Index("uq_alert_open", "area_id", "hazard", unique=True, postgresql_where=text("closed_on IS NULL")),
    comment="One situation in one warning area, from its first message to its all-clear; hangs on no run",
)

alert_message = Table(
    "alert_message",
    metadata,
    key(),
    of_region(),
    column("alert_id", BigInteger, "Null for a message about missing rain", ForeignKey("alert.id"), nullable=True),
    column("run_id", BigInteger, "Run it came from; null where there was none", ForeignKey("run.id"), nullable=True),
    column("kind", Text, "open, raise, update, lower, clear or data_missing"),
    column("level", SmallInteger, "0 none, 1 orange, 2 red"),
    column("valid_day", Date, "Day it speaks of: of an outlook, a day ahead"),
    column("subject", Text, "One line"),
    column("text", Text, "Plain text"),
    column("html", Text, "HTML; shows the map as cid:map"),
    column("payload", JSONB, "What a webhook gets"),
    column("map_png", LargeBinary, "Map; empty where there is none"),
    column("queued_at", INSTANT, "When it was queued"),
    check("kind", "kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing')"),
    check("alert", "(kind = 'data_missing') = (alert_id IS NULL) AND (alert_id IS NULL OR run_id IS NOT NULL)"),
    check("level", "level BETWEEN 0 AND 2"),
    check("subject", "subject !~ '[\\r\\n]'"),
    Index("uq_alert_message_change", "run_id", "alert_id", "kind", unique=True),
    Index(
        "uq_alert_message_data_missing",
        "region",
        "valid_day",
        unique=True,
        postgresql_where=text("kind = 'data_missing'"),
    ),
    comment="What was said; the history of every alert",
)

subscriber = Table(
    "subscriber",
    metadata,
    key(),
    of_region(),
    column("name", Text, "As in region.toml"),
    column("channel", Text, "email or webhook"),
    column("address", Text, "Mail address or URL"),
    column("areas", ARRAY(Text), "Source ids of warning areas; empty = all"),
    retired(),
    UniqueConstraint("region", "name"),
    check("channel", "channel IN ('email', 'webhook')"),
    comment="Who is told",
)

delivery = Table(
    "delivery",
    metadata,
    key(),
    column("message_id", BigInteger, "What", ForeignKey("alert_message.id")),
    column("subscriber_id", BigInteger, "To whom", ForeignKey("subscriber.id")),
    column(
        "idempotency_key",
        UUID(as_uuid=False),
        "The same at every attempt, so that a receiver can drop a repeat",
        server_default=text("gen_random_uuid()"),
    ),
    column("status", Text, "pending, sent, or dead: given up", server_default="pending"),
    column("due_at", INSTANT, "Next attempt not before; a worker that takes it on moves this ahead as its lease"),
    column("delivered_at", INSTANT, "When it was accepted", nullable=True),
    UniqueConstraint("message_id", "subscriber_id"),
    UniqueConstraint("idempotency_key"),
    check("status", "status IN ('pending', 'sent', 'dead')"),
    check("delivered", "(status = 'sent') = (delivered_at IS NOT NULL)"),
    Index("ix_delivery_due", "due_at", postgresql_where=text("status = 'pending'")),
    comment="One message on its way to one subscriber",
)

delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    key(),
    column("delivery_id", BigInteger, "Of which delivery", ForeignKey("delivery.id")),
    column("attempted_at", INSTANT, "When"),
    column("address", Text, "Where to"),
    column("error", Text, "What went wrong; null = accepted", nullable=True),
    Index(None, "delivery_id"),
    comment="Every attempt to deliver",
)
