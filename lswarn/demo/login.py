"""Earthdata Login on the loopback, and what the replicas share with it (door: network)."""

import base64
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from lswarn.demo.loopback import HOST, Handler, LoopbackServer

PAGES = {
    "html": (b"<!DOCTYPE html><html><h1>Service is down for maintenance</h1></html>", "text/html"),
    "json": (b'{"error": "internal", "message": "An unexpected error occurred"}', "application/json"),
    "login": (
        b'<!DOCTYPE html><html><title>Earthdata Login</title><form action="/login" method="post">'
        b'<input name="username"><input name="password" type="password"></form></html>',
        "text/html",
    ),
}
EXPIRED = b'{"error": "invalid_token", "error_description": "Token expired or invalid"}'
ASKS_BASIC = {"WWW-Authenticate": 'Basic realm="Please enter your credentials"'}
UNAPPROVED = b"<html>You have to approve the application NASA GESDISC DATA ARCHIVE</html>"


@dataclass(frozen=True)
class Seen:
    """A request: `host` without its port, `path` with a slash at its beginning, headers as they came."""

    method: str
    host: str
    path: str
    query: str
    authorization: str | None
    range: str | None
    if_modified_since: str | None


class LoginReplica(LoopbackServer):
    """Earthdata Login: takes a bearer token or Basic credentials, and sends back with a code.

    Args:
        name: by which clients call it; `localhost` makes it another host than the servers of files.
        approved: whether the user approved the application; without that 403.
        form: who brings no credentials gets the login page with status 200; else 401.

    Attributes:
        seen: every request, in order.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        token: str = "",
        user: str = "",
        password: str = "",
        name: str = HOST,
        approved: bool = True,
        form: bool = True,
    ) -> None:
        self.token, self.user, self.password, self.approved, self.form = token, user, password, approved, form
        self.seen: list[Seen] = []
        self._codes: set[str] = set()
        login = self

        class Door(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802 (the name is http.server's)
                login.seen.append(seen_by(self))
                given, query = self.headers["Authorization"], dict(parse_qsl(urlsplit(self.path).query))
                if urlsplit(self.path).path != "/oauth/authorize" or "redirect_uri" not in query:
                    self.answer(404, b"not found\n")
                elif given is None and login.form:
                    self.answer(200, *PAGES["login"])
                elif given is None:
                    self.answer(401, b"HTTP Basic: Access denied.\n", headers=ASKS_BASIC)
                elif not login.knows(given):
                    self.answer(401, EXPIRED, "application/json")
                elif not login.approved:
                    self.answer(403, UNAPPROVED, "text/html")
                else:
                    code = secrets.token_hex(8)
                    login._codes.add(code)
                    back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query.get('state', '')})}"
                    self.answer(302, headers={"Location": back})

            do_HEAD = do_GET  # noqa: N815

        super().__init__(Door, port, name)

    def knows(self, authorization: str) -> bool:
        """Whether an Authorization header holds the token, or the user's name and password."""
        bearer = bool(self.token) and same(authorization, f"Bearer {self.token}")
        return bearer or (bool(self.user) and same(authorization, basic(self.user, self.password)))

    def redeem(self, code: str) -> bool:
        """Whether a code is one of those given out; it is good once."""
        try:
            self._codes.remove(code)
        except KeyError:
            return False
        return True


def seen_by(door: Handler) -> Seen:
    """The request that a handler is about to answer."""
    split, headers = urlsplit(door.path), door.headers
    host = (headers["Host"] or "").partition(":")[0]
    return Seen(
        door.command, host, unquote(split.path), split.query, headers["Authorization"], headers["Range"],
        headers["If-Modified-Since"],
    )  # fmt: skip


def same(given: str, right: str) -> bool:
    """Whether two Authorization headers are one."""
    return hmac.compare_digest(given.encode(), right.encode())


def basic(user: str, password: str) -> str:
    """The Authorization header of a user with a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
