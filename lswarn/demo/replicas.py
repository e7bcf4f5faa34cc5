"""The providers' servers on the loopback, each of their quirks a switch (door: network).

    with RainReplica(load_published(world.granules)) as rain:
        rain.now = datetime(2026, 3, 15, 15, 30, tzinfo=UTC)
        rain.quirks["*"] = [503, "cut"]

A file is listed, found by CMR and served only once it is published.
"""

import hashlib
import html
import json
import re
import secrets
import select
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from lswarn.demo.cmr import granules_json
from lswarn.demo.login import (
    ASKS_BASIC,
    EXPIRED,
    PAGES,
    UNAPPROVED,
    LoginReplica,
    Seen,
    basic,
    same,
    seen_by,
)
from lswarn.demo.loopback import Handler, LoopbackServer

__all__ = ["LoginReplica", "Published", "Quirk", "RainReplica", "Seen"]

Quirk = int | str
DRIP_S = 0.05
"""Pause between two bytes of a dripping body."""


@dataclass(frozen=True)
class Published:
    """A file and the instant from which on it is there (its Last-Modified); a path is read when it is asked for."""

    body: bytes | Path
    at: datetime

    def read(self) -> bytes:
        """Its bytes."""
        return self.body if isinstance(self.body, bytes) else self.body.read_bytes()


class RainReplica(LoopbackServer):
    """Serves files of rain as a provider does.

    Args:
        files: path without a slash at its beginning → file.
        now: see attributes; the real time where left out.
        account: what it asks for: `earthdata` a token or a visit to `login`, `pps` the e-mail as user and password.
        token: that `earthdata` knows.
        email: that `pps` knows.
        unpublished: how a question for a file that is not there is answered: 404, or a reset connection as at PPS.
        listing: of folders; those below `/text/` are always plain text, as at PPS.

    Attributes:
        files: may be changed while it runs.
        now: the instant at which it believes to be.
        quirks: what to do at the next requests of a path (with its slash), or of any (`*`); each request uses up one.
            A status, or `html`, `json`, `login` (status 200, but such a page), `cut` (less than announced), `stub`
            (less, unannounced), `reset`, `drip` (a byte now and then), `stall` (nothing), `loop` (redirected to
            itself), `redirect:URL`, `no-range` (ignores Range), `changed` (other bytes and ETag than before),
            `unconditional` (never 304), `expired` (refuses the token).
        retry_after: header sent with 429 and 5xx; empty for none.
        delay_s: pause before each answer.
        seen: every request, in order.
        busiest: most requests waiting for the beginning of their answer at the same time so far; see `delay_s`.
    """

    def __init__(
        self,
        files: Mapping[str, Published],
        port: int = 0,
        *,
        now: datetime | None = None,
        account: Literal["", "earthdata", "pps"] = "",
        token: str = "",
        email: str = "",
        login: LoginReplica | None = None,
        unpublished: Literal["missing", "reset"] = "missing",
        listing: Literal["html", "text", "none"] = "html",
    ) -> None:
        if account == "earthdata" and login is None:
            raise ValueError("Earthdata needs somewhere to log in: give a LoginReplica")
        self.files = dict(files)
        self.now = now or datetime.now(UTC)
        self.account, self.token, self.email, self.login = account, token, email.lower(), login
        self.unpublished, self.listing = unpublished, listing
        self.quirks: dict[str, list[Quirk]] = {}
        self.retry_after = "0"
        self.delay_s = 0.0
        self.seen: list[Seen] = []
        self.busiest = 0
        self._busy = 0
        self._cookie = secrets.token_hex(8)
        self._lock = threading.Lock()
        super().__init__(type("Door", (_Door,), {"rain": self}), port)

    def requests_of(self, path: str) -> int:
        """How often a path (with its slash) was asked for."""
        return sum(seen.path == path for seen in tuple(self.seen))

    def published(self) -> dict[str, Published]:
        """Path → file, of those that are out at `now`."""
        return {path: file for path, file in tuple(self.files.items()) if file.at <= self.now}

    def made_for(self, seen: Seen) -> Published | None:
        """A file that is made for one question, where a kind of server does so; None: it is none of these questions."""
        return None

    def _begin(self, seen: Seen) -> Quirk:
        """Note a request; how it is to be answered, empty for as it should be."""
        with self._lock:
            self.seen.append(seen)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            waiting = self.quirks.get(seen.path) or self.quirks.get("*")
            return waiting.pop(0) if waiting else ""

    def _end(self) -> None:
        with self._lock:
            self._busy -= 1


class _Door(Handler):
    """One connection to a RainReplica."""

    protocol_version = "HTTP/1.1"
    rain: RainReplica

    def do_GET(self) -> None:  # noqa: N802 (the name is http.server's)
        seen = seen_by(self)
        quirk = self.rain._begin(seen)
        try:
            if self.rain.delay_s:
                self.rain.stopping.wait(self.rain.delay_s)
        finally:
            self.rain._end()  # before the answer: who has its last byte may ask again before we come to count it
        if not self._misbehaves(quirk):
            self._serve(seen, quirk)

    do_HEAD = do_GET  # noqa: N815

    def _misbehaves(self, quirk: Quirk) -> bool:
        """Do what has nothing to do with the file; whether that was it."""
        match quirk:
            case int():
                waits = self.rain.retry_after and (quirk == 429 or quirk >= 500)
                self.answer(quirk, b"", headers={"Retry-After": self.rain.retry_after} if waits else {})
            case "html" | "json" | "login":
                self.answer(200, *PAGES[quirk])
            case "expired":
                self.answer(401, EXPIRED, "application/json", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
            case "reset":
                self._reset()
            case "stall":
                self._wait_for_the_end()
            case "loop":
                self.answer(302, headers={"Location": self.path})
            case str() if quirk.startswith("redirect:"):
                self.answer(302, headers={"Location": quirk.removeprefix("redirect:")})
            case "" | "cut" | "stub" | "drip" | "no-range" | "changed" | "unconditional":
                return False
            case _:
                raise ValueError(f"there is no quirk {quirk!r}")
        return True

    def _serve(self, seen: Seen, quirk: Quirk) -> None:
        rain, path = self.rain, seen.path.removeprefix("/")
        files = rain.published()
        if path == "search/granules.json":  # asks for no login
            out = {name: file.at for name, file in files.items()}
            found = granules_json(out, dict(parse_qsl(seen.query)), self._own_url())
            body, hits = json.dumps(found.content).encode(), {"CMR-Hits": str(found.hits)}
            return self._send_part(found.status, body, "application/json", hits, quirk)
        if not self._lets_in(seen):
            return None
        if (made := rain.made_for(seen)) is not None:
            return self._send(made, quirk)
        below = path.removeprefix("text/") if f"{path}/".startswith("text/") and path not in files else path
        if below in files:
            return self._send(files[below], quirk)
        folder = "" if below == "text" else below.rstrip("/")
        names = [] if rain.listing == "none" else _names(folder, files)
        if names and (rain.listing == "text" or below != path or below == "text"):
            lines = "".join(f"/{folder}{'/' if folder else ''}{name}\n" for name in names)
            return self._send_part(200, lines.encode(), "text/plain", {}, quirk)
        if names:
            return self._send_part(200, _page(folder, names).encode(), "text/html; charset=utf-8", {}, quirk)
        if rain.unpublished == "reset":
            return self._reset()
        return self.answer(404, b"not found\n")

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _lets_in(self, seen: Seen) -> bool:
        """Whether the request may have files; else it has been told so."""
        rain, given = self.rain, seen.authorization or ""
        if rain.account == "pps":
            if rain.email and same(given, basic(rain.email, rain.email)):
                return True
            self.answer(401, b"unauthorized\n", headers=ASKS_BASIC)
            return False
        if rain.account != "earthdata" or rain.login is None:
            return True
        if f"accessToken={rain._cookie}" in (self.headers["Cookie"] or ""):
            return True
        if rain.token and same(given, f"Bearer {rain.token}"):
            if rain.login.approved:
                return True
            self.answer(403, UNAPPROVED, "text/html")
            return False
        query = dict(parse_qsl(seen.query))
        if seen.path == "/login" and rain.login.redeem(query.get("code", "")):
            cookie = f"accessToken={rain._cookie}; Path=/; HttpOnly"
            self.answer(302, headers={"Location": query.get("state") or "/", "Set-Cookie": cookie})
            return False
        asked = {"client_id": "replica", "response_type": "code", "redirect_uri": f"{self._own_url()}/login"}
        to = f"{rain.login.url}/oauth/authorize?{urlencode(asked | {'state': quote(seen.path)})}"
        self.answer(302, headers={"Location": to})
        return False

    def _own_url(self) -> str:
        """As the client called it, so that what it is sent back to is the same host."""
        return f"http://{self.headers['Host'] or urlsplit(self.rain.url).netloc}"

    # ── a file ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, file: Published, quirk: Quirk) -> None:
        body, at, asked = file.read(), file.at.astimezone(UTC).replace(microsecond=0), self.headers
        if quirk == "changed":
            body, at = body + bytes(16), at + timedelta(hours=1)  # no format here minds what follows its end
        tag, modified = f'"{hashlib.sha256(body).hexdigest()[:32]}"', format_datetime(at, usegmt=True)
        headers = {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        if quirk != "unconditional" and _unchanged(asked["If-None-Match"], asked["If-Modified-Since"], tag, at):
            return self.answer(304, headers=headers)
        status, part = 200, body
        if quirk != "no-range" and asked["Range"] and asked["If-Range"] in (None, tag, modified):
            span = _span(asked["Range"], len(body))
            if span is None:
                return self.answer(416, headers={"Content-Range": f"bytes */{len(body)}"})
            if span:
                status, part = 206, body[span.start : span.stop]
                headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{len(body)}"
        return self._send_part(status, part, "application/octet-stream", headers, quirk)

    def _send_part(self, status: int, part: bytes, kind: str, headers: dict[str, str], quirk: Quirk) -> None:
        """Send a body whole, or less of it than there is."""
        if quirk == "stub":
            part = part[: len(part) // 2]
        if quirk not in ("cut", "drip") or self.command == "HEAD":
            return self.answer(status, part, kind, headers)
        self.close_connection = True
        self.send_response(status)
        for name, value in (headers | {"Content-Type": kind, "Content-Length": str(len(part))}).items():
            self.send_header(name, value)
        self.end_headers()
        if quirk == "cut":
            self.wfile.write(part[: len(part) // 2])
        else:
            self._drip(part)
        return None

    def _drip(self, body: bytes) -> None:
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.rain.stopping.wait(DRIP_S):
                return

    def _wait_for_the_end(self) -> None:
        """Of this server, or of the client's patience."""
        self.close_connection = True
        while not self.rain.stopping.wait(DRIP_S):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _reset(self) -> None:
        # A linger of zero makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rain._server.open.discard(self.connection)
        self.connection.close()


def _unchanged(tags: str | None, since: str | None, tag: str, at: datetime) -> bool:
    """Whether what the client has is what there is; as HTTP says, the tag is asked first."""
    if tags is not None:
        return tags.strip() == "*" or tag in (t.strip().removeprefix("W/") for t in tags.split(","))
    try:
        return since is not None and at <= parsedate_to_datetime(since)
    except (TypeError, ValueError):
        return False


def _span(header: str, size: int) -> range | None:
    """The bytes of a Range header: None where there are none such, empty where the header is to be ignored."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if asked is None or not any(asked.groups()):
        return range(0)
    first, last = asked.groups()
    if not first:
        return range(max(size - int(last), 0), size) or None
    if last and int(last) < int(first):
        return range(0)
    return range(int(first), min(int(last) + 1 if last else size, size)) or None


def _names(folder: str, files: Mapping[str, Published]) -> list[str]:
    """What lies directly in a folder, folders with a slash at their end."""
    prefix = f"{folder}/" if folder else ""
    below = (path.removeprefix(prefix).partition("/") for path in files if path.startswith(prefix))
    return sorted({name + slash for name, slash, _ in below})


def _page(folder: str, names: list[str]) -> str:
    links = "\n".join(f'<a href="{html.escape(n)}">{html.escape(n)}</a>' for n in ["../", *names])
    title = html.escape(f"Index of /{folder}")
    head = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
    return f"{head}<body><h1>{title}</h1><pre>\n{links}\n</pre></body></html>\n"
