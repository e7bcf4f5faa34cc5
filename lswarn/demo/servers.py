"""Where warnings arrive, on the loopback: a mail server and a webhook receiver (door: network).

They are real servers speaking real protocols, small and bounded, and each is a context manager. Where rain comes from
is in `replicas`.
"""

import hashlib
import hmac
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from socket import create_server
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook

from lswarn.demo.loopback import HOST, Handler, LoopbackServer

MOST_BYTES = 8 * 2**20
"""Largest mail or webhook body taken."""
TOLERANCE = timedelta(minutes=5)
"""How far a webhook's time stamp may be off, as Standard Webhooks advises."""


class WebhookReceiver(LoopbackServer):
    """Takes signed webhooks: 204 and one JSON file a webhook-id, 401 where signature or time stamp is wrong.

    Args:
        folder: where bodies are kept.
        secret: of the signature, `whsec_…`.
        clock: what time it is for the receiver; the machine's own clock where left out.
    """

    def __init__(
        self, folder: Path, secret: str, port: int = 0, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        webhook = Webhook(secret)
        writing = threading.Lock()

        class Door(Handler):
            def do_POST(self) -> None:  # noqa: N802 (the name is http.server's)
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal():
                    return self.answer(HTTPStatus.LENGTH_REQUIRED, b"length required\n")
                if int(length) > MOST_BYTES:
                    return self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too large\n")
                body = self.rfile.read(int(length))
                if not _signed(webhook, self.headers, body, clock()):
                    return self.answer(HTTPStatus.UNAUTHORIZED, b"bad signature or time stamp\n")
                with writing:  # a repeated id finds its file, and is only thanked
                    path = folder / f"{hashlib.sha256(self.headers['webhook-id'].encode()).hexdigest()[:16]}.json"
                    if not path.exists():
                        _keep(path, body)
                return self.answer(HTTPStatus.NO_CONTENT)

        super().__init__(Door, port)

    @property
    def received(self) -> list[Path]:
        """Bodies kept so far, oldest first."""
        return sorted(self.folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _signed(webhook: Webhook, headers: Any, body: bytes, now: datetime) -> bool:
    """Whether a Standard Webhooks signature fits id, time stamp and body, and the time stamp is about now."""
    try:
        sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        expected = webhook.sign(headers["webhook-id"], sent_at, body.decode())
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    given = (headers["webhook-signature"] or "").split()
    return abs(now - sent_at) <= TOLERANCE and any(hmac.compare_digest(g.encode(), expected.encode()) for g in given)


class MailSink:
    """Takes every mail and keeps it as one .eml file a recipient.

    A mail that comes again, with the same Message-ID, replaces its file: what a mailbox would show.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        if not port:
            with create_server((HOST, 0)) as probe:  # aiosmtpd itself cannot choose a free port
                port = probe.getsockname()[1]
        self.host, self.port = HOST, port
        self._controller = Controller(self, hostname=HOST, port=port, data_size_limit=MOST_BYTES)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """Keep one message; called by the SMTP server."""
        content = envelope.original_content or b""
        message_id = next((line for line in content.splitlines() if line.lower().startswith(b"message-id:")), content)
        for recipient in envelope.rcpt_tos:
            name = "".join(c if c.isalnum() or c in "@.-" else "_" for c in recipient)[:80]
            _keep(self.folder / f"{name}-{hashlib.sha256(message_id).hexdigest()[:12]}.eml", content)
        return "250 kept"

    @property
    def received(self) -> list[Path]:
        """Mails kept so far, oldest first."""
        return sorted(self.folder.glob("*.eml"), key=lambda path: (path.stat().st_mtime_ns, path.name))

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


def _keep(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.rename(path)
