"""What is on its way to one subscriber. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from lswarn.alerts.message import AlertMessage


@dataclass(frozen=True)
class Outgoing:
    """Queued messages on their way to one subscriber: one, or those of one run that share a mail.

    Attributes:
        delivery_id: database key; `idempotency_key` is the same at every attempt.
        channel: `email`, `webhook`, `file` or `apprise`.
        address: mail address, URL, folder, or tag of an Apprise address.
        messages: in the order they were queued; never empty, and more than one only for a digest.
        language: the subscriber's.
        allow_private: a webhook may be in a private network.
        lane: what fails together with it.
        tries: attempts before this one.
    """

    delivery_id: int
    idempotency_key: str
    channel: str
    address: str
    messages: tuple[AlertMessage, ...]
    language: str = "en"
    allow_private: bool = False
    lane: str = ""
    tries: int = 0

    @property
    def message(self) -> AlertMessage:
        """The first of them, and of most the only one."""
        return self.messages[0]

    @property
    def shown(self) -> str:
        """Where to, for logs and records: of a webhook its server alone, for its path and query may hold a token."""
        return server_of(self.address) if self.channel == "webhook" else self.address


def server_of(url: str) -> str:
    """Scheme, host and port of a URL, without anything that may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
