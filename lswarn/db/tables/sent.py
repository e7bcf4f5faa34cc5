"""Who is told, and whether it arrived."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from lswarn.db.tables.columns import INSTANT, check, column, key, metadata, of_region, retired

subscriber = Table(
    "subscriber",
    metadata,
    key(),
    of_region(),
    column("name", Text, "As in region.toml"),
    column("channel", Text, "email, webhook, file or apprise"),
    column("address", Text, "Mail address, URL, folder, or the tag of an Apprise address that is kept elsewhere"),
    column("areas", ARRAY(Text), "Source ids of warning areas; empty = all"),
    retired(),
    column("level", SmallInteger, "Told from this level on: 1 orange, 2 red", server_default="1"),
    column("language", Text, "en or es", server_default="en"),
    column("digest", Boolean, "The messages of one run come in one mail", server_default="false"),
    column("allow_private", Boolean, "The webhook may be in a private network", server_default="false"),
    column(
        "lane",
        Text,
        "What fails together: the mail relay, a webhook's host, an Apprise service",
        server_default="email",
    ),
    UniqueConstraint("region", "name"),
    check("channel", "channel IN ('email', 'webhook', 'file', 'apprise')"),
    check("level", "level BETWEEN 1 AND 2"),
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
    column(
        "carried_by",
        BigInteger,
        "The delivery in whose mail this one travels; null: it goes by itself",
        ForeignKey("delivery.id"),
        nullable=True,
    ),
    column("tries", Integer, "Attempts since it was queued, or queued again", server_default="0"),
    UniqueConstraint("message_id", "subscriber_id"),
    UniqueConstraint("idempotency_key"),
    check("status", "status IN ('pending', 'sent', 'dead')"),
    check("delivered", "(status = 'sent') = (delivered_at IS NOT NULL)"),
    check("carried", "carried_by <> id"),
    check("tries", "tries >= 0"),
    Index("ix_delivery_due", "due_at", "id", postgresql_where=text("status = 'pending' AND carried_by IS NULL")),
    Index("ix_delivery_carried_by", "carried_by", postgresql_where=text("carried_by IS NOT NULL")),
    Index("ix_delivery_dead", "id", postgresql_where=text("status = 'dead'")),
    comment="One message on its way to one subscriber",
)

delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    key(),
    column("delivery_id", BigInteger, "Of which delivery", ForeignKey("delivery.id")),
    column("attempted_at", INSTANT, "When"),
    column("address", Text, "Where to; of a webhook its server alone"),
    column("error", Text, "What went wrong; null = accepted", nullable=True),
    Index(None, "delivery_id"),
    comment="Every attempt to deliver",
)

circuit = Table(
    "circuit",
    metadata,
    column("lane", Text, "As in subscriber.lane", primary_key=True),
    column("failures", Integer, "Failures in a row"),
    column("failed_at", INSTANT, "Of the last one"),
    column("open_until", INSTANT, "Nothing is sent before; null while it is closed", nullable=True),
    column("error", Text, "What went wrong last"),
    check("failures", "failures > 0"),
    comment="Lanes that failed and have not worked since; all workers leave an open one alone",
)
