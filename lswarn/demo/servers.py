"""The other side of every door, on the loopback: a rain archive, a mail server and a webhook receiver (door: network).

They are real servers speaking real protocols, small and bounded, and each is a context manager:

    with RainServer(world.granules) as rain, MailSink(folder / "mail") as mail:
        rain.now = datetime(2026, 3, 15, 15, 30, tzinfo=UTC)
"""

import hashlib
import hmac
import html
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks import Webhook

from lswarn.demo.granules import SCHEDULE

HOST = "127.0.0.1"
MOST_BYTES = 8 * 2**20
"""Largest mail or webhook body taken."""
TOLERANCE = timedelta(minutes=5)
"""How far a webhook's time stamp may be off, as Standard Webhooks advises."""
_PATIENCE_S = 20.0


class _Http:
    """An HTTP server on a thread of its own, for as long as it is entered."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int) -> None:
        self._server = ThreadingHTTPServer((HOST, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, also where 0 was asked for."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Root address, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RainServer(_Http):
    """Serves granules as the archive does: a listing per folder, and a file only once it is published.

    Attributes:
        now: the instant at which the server believes to be; before a file's publication it is neither listed nor found.
    """

    def __init__(self, folder: Path, port: int = 0, *, now: datetime | None = None) -> None:
        schedule = json.loads((folder / SCHEDULE).read_text("utf-8"))
        self._published = {path: datetime.fromisoformat(at) for path, at in schedule.items()}
        self._folder = folder
        self.now = now or datetime.now(UTC)
        rain = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path).strip("/")
                files = rain.published()
                if path in files:
                    _answer(self, HTTPStatus.OK, (rain._folder / path).read_bytes(), "application/octet-stream")
                elif listing := _listing(path, files):
                    _answer(self, HTTPStatus.OK, listing.encode(), "text/html; charset=utf-8")
                else:
                    _answer(self, HTTPStatus.NOT_FOUND, b"not found\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
                pass

        super().__init__(Handler, port)

    def published(self) -> frozenset[str]:
        """Paths of the files that are out at `now`."""
        return frozenset(path for path, at in self._published.items() if at <= self.now)


def _listing(folder: str, files: frozenset[str]) -> str:
    """An index page of what lies directly in a folder; empty where nothing does."""
    prefix = f"{folder}/" if folder else ""
    below = (path.removeprefix(prefix).partition("/") for path in files if path.startswith(prefix))
    names = sorted({name + slash for name, slash, _ in below})
    if not names:
        return ""
    links = "\n".join(f'<a href="{html.escape(n)}">{html.escape(n)}</a>' for n in ["../", *names])
    title = html.escape(f"Index of /{folder}")
    head = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
    return f"{head}<body><h1>{title}</h1><pre>\n{links}\n</pre></body></html>\n"


class WebhookReceiver(_Http):
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

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal():
                    return _answer(self, HTTPStatus.LENGTH_REQUIRED, b"length required\n")
                if int(length) > MOST_BYTES:
                    return _answer(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too large\n")
                body = self.rfile.read(int(length))
                if not _signed(webhook, self.headers, body, clock()):
                    return _answer(self, HTTPStatus.UNAUTHORIZED, b"bad signature or time stamp\n")
                with writing:  # a repeated id finds its file, and is only thanked
                    path = folder / f"{hashlib.sha256(self.headers['webhook-id'].encode()).hexdigest()[:16]}.json"
                    if not path.exists():
                        _keep(path, body)
                return _answer(self, HTTPStatus.NO_CONTENT)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
                pass

        super().__init__(Handler, port)

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


def _answer(to: BaseHTTPRequestHandler, status: HTTPStatus, body: bytes = b"", kind: str = "text/plain") -> None:
    to.send_response(status)
    if status is not HTTPStatus.NO_CONTENT:
        to.send_header("Content-Type", kind)
        to.send_header("Content-Length", str(len(body)))
    to.send_header("Connection", "close")
    to.end_headers()
    to.wfile.write(body)


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
