"""How a warning reads: plain text, HTML with a map, and JSON, from templates. Pure."""

from dataclasses import dataclass, field
from datetime import date

from lswarn.alerts.policy import Kind, Level


@dataclass(frozen=True)
class AlertMessage:
    """One message, ready to be queued.

    Attributes:
        area_id: warning area; None for a message about the whole region (DATA_MISSING).
        kind, level, valid_day: what it says, how bad, of which day.
        subject: one line. `text`, `html`: the bodies. `payload`: what a webhook gets.
        map_png: picture shown in the HTML as `cid:map`; empty where there is none.
    """

    area_id: str | None
    kind: Kind
    level: Level
    valid_day: date
    subject: str
    text: str
    html: str
    payload: dict[str, object] = field(default_factory=dict)
    map_png: bytes = b""


@dataclass(frozen=True)
class Outgoing:
    """A queued message on its way to one subscriber.

    Attributes:
        delivery_id: database key; `idempotency_key` is the same at every attempt.
    """

    delivery_id: int
    idempotency_key: str
    channel: str
    address: str
    message: AlertMessage
