"""What stands before every door: how much may come in, how often, and what a browser is told to keep to.

From the outside in: the watch (latency, the access log), headers, the rate, the size of a body, tokens in an address.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Iterable
from urllib.parse import unquote_plus

from fastapi import FastAPI
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lswarn.db.tokens import MARK
from lswarn.settings import Settings
from lswarn.web.metrics import Metrics
from lswarn.web.problems import problem_response

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
MAX_REPORT = 6 * 1024 * 1024
"""Bytes of a body: of most requests, and of a report of a landslide, whose photo may have 5 MB."""

MAX_ADDRESS = 8 * 1024
"""Bytes of a path with its query."""

BAD_TOKENS = 10
WRITES = 60
"""A minute and address."""

PACKED = ("/api/", "/static/", "/ogc", "/stac/")
"""What is worth packing; tiles are packed already."""

SECRET_NAMES = re.compile(r"(?:^|&)(?:token|access_token|api_?key|authorization|bearer|password)=", re.IGNORECASE)

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; child-src 'self' blob:; frame-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, no script and no style inside a page. The map draws in a worker that it makes itself."""

HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "geolocation=(self), camera=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
"""Of every answer that does not say otherwise itself."""


class Rates:
    """How often an address may ask; counted in this process alone."""

    def __init__(self, per_minute: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._all = RateLimitItemPerMinute(per_minute)
        self._writes = RateLimitItemPerMinute(WRITES)
        self._bad = RateLimitItemPerMinute(BAD_TOKENS)

    def may_ask(self, address: str) -> bool:
        """Count a request."""
        return self._limiter.hit(self._all, "all", address)

    def may_write(self, address: str) -> bool:
        """Count what is not a mere read."""
        return self._limiter.hit(self._writes, "write", address)

    def may_try_token(self, address: str) -> bool:
        """Whether not too many tokens of that address have been bad."""
        return self._limiter.test(self._bad, "bad", address)

    def token_failed(self, address: str) -> None:
        """Count a bad token."""
        self._limiter.hit(self._bad, "bad", address)


def address_of(scope: Scope) -> str:
    """Who asks: an IPv4 address, or the /64 of an IPv6 address, which one house has to itself."""
    host = (scope.get("client") or ("unknown",))[0]
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def add_guards(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Put the guards before an application."""
    app.state.rates = Rates(settings.web_rate)
    app.add_middleware(Packing)
    app.add_middleware(Gate, rates=app.state.rates)
    app.add_middleware(Manners, private=settings.web_read == "token", metrics=metrics)


class Packing:
    """Pack what is worth it, for whoever takes it packed."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._packing = GZipMiddleware(app, minimum_size=1024, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        packed = scope["type"] == "http" and scope["path"].startswith(PACKED)
        await (self._packing if packed else self._plain)(scope, receive, send)


class Gate:
    """Refuse at once what is too often, too large, or has a token where it does not belong."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, detail, *headers = refusal
        # What is still to come of a body is not read: the connection ends with the answer.
        extra = {"Connection": "close"} if status in (411, 413) else {}
        await problem_response(status, detail, extra | dict(*headers))(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | tuple[int, str, dict[str, str]] | None:
        address, headers = address_of(scope), Headers(scope=scope)
        if not self._rates.may_ask(address) or (
            scope["method"] not in ("GET", "HEAD", "OPTIONS") and not self._rates.may_write(address)
        ):
            return 429, "too many requests from your address; wait a minute", {"Retry-After": "60"}
        query = scope["query_string"].decode("latin-1")
        if len(scope["raw_path"] or b"") + len(query) > MAX_ADDRESS:
            return 414, f"an address may have {MAX_ADDRESS} bytes"
        if SECRET_NAMES.search(query) or MARK in unquote_plus(query) or MARK in scope["path"]:
            return 400, (
                "a token does not belong in an address, where logs and histories keep it: take it as known to others, "
                "revoke it, and send another in the header Authorization: Bearer …"
            )
        if "transfer-encoding" in headers:
            return 411, "say how long the body is, in the header Content-Length"
        most = MAX_REPORT if scope["path"] == "/api/events" else MAX_BODY
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            return 413, f"a body may have {most} bytes here"
        return None


class Manners:
    """Give every answer its headers, measure how long it took, and write the access log."""

    def __init__(self, app: ASGIApp, private: bool, metrics: Metrics) -> None:
        self._app = app
        self._private = private
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            took_s = time.perf_counter() - begun
            self._metrics.observe(scope["method"], _pattern(scope), status, took_s)
            # The path alone: a query may hold what should not be kept.
            level = logging.WARNING if status >= 500 else logging.DEBUG
            log.log(level, "%s %s %d %.0f ms", scope["method"], scope["path"], status, took_s * 1000)

    def _dress(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in _missing(headers, HEADERS.items()):
            headers[name] = value
        if scope["scheme"] == "https":
            headers.setdefault("strict-transport-security", "max-age=31536000")
        if self._private:
            headers["cache-control"] = headers["cache-control"].replace("public", "private")


def _missing(headers: MutableHeaders, wanted: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in wanted if name not in headers]


def _pattern(scope: Scope) -> str:
    """The pattern of the route that answered: of a router within the application it lacks the router's own prefix."""
    pattern = getattr(scope.get("route"), "path", "")
    first = "/" + scope["path"].split("/", 2)[1]
    if not pattern:
        return "/static" if first == "/static" else "other"
    return pattern if pattern.startswith(first) else first + pattern
