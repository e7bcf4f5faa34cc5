"""Bytes from http(s) servers: the network door of the rain room, and of whatever else is fetched for a region.

What a moment may heal (a reset connection, 429, 5xx, a body cut short) is tried again here; what an hour may heal
(not yet published) and what only a person can heal (access denied) is said at once. Redirects are followed here and
not by requests, since what a redirect may carry along is the question: a token goes to the server that was asked first
and to the account's login server, and nowhere else.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Self
from urllib.parse import urljoin

import requests
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from lswarn.errors import AccessDenied, NotYetPublished, SourceUnavailable
from lswarn.rain.accounts import Account, basic, same_server, server_of
from lswarn.rain.transfer import Lasting, Passing, Span, Transfer, cause, storage

log = logging.getLogger(__name__)

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
LONGEST_PAUSE_S = 60.0  # a server that asks for more is asked again by the next run
RESETS_TRIES = 2  # a server that resets for "not there" is believed at the second time
MOST_HOPS = 10
MOST_TEXT_BYTES = 1 << 25
LOGIN_FORM = re.compile(rb"""type=["']?password""", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What is known of a file besides its bytes.

    Attributes:
        modified_at: aware instant its server gives as Last-Modified; None where it gives none.
        redirected_to: where it really lay, without the query; None where it lay where it was asked for.
    """

    modified_at: datetime | None
    redirected_to: str | None


class _Session(requests.Session):
    """Follows no redirect by itself; nor would it read the body of one, which may never end."""

    def get_redirect_target(self, resp: Response) -> str | None:
        return None


class _Authorise(requests.auth.AuthBase):
    """Always given, also with nothing to show, so that requests puts no .netrc entry in its place."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class _Gates:
    """How many requests each server is answering now, for all threads of this process."""

    def __init__(self) -> None:
        self._busy: dict[str, int] = {}
        self._freed = threading.Condition()

    @contextmanager
    def enter(self, server: str, most: int) -> Iterator[None]:
        with self._freed:
            self._freed.wait_for(lambda: self._busy.get(server, 0) < most)
            self._busy[server] = self._busy.get(server, 0) + 1
        try:
            yield
        finally:
            with self._freed:
                self._busy[server] -= 1
                self._freed.notify_all()


_GATES = _Gates()


class Client:
    """Asks servers under one account; may be used by several threads, and keeps their sessions between requests.

    Args:
        timeout_s: longest silence of a server, and how long a body may come slower than a trickle.
        connections: at most so many requests at a time to one server, counting those of other clients.
        resets: the server answers a question for an unpublished file by resetting the connection.
        named: what gave the address, for messages.
    """

    def __init__(
        self,
        account: Account,
        *,
        timeout_s: float,
        connections: int,
        resets: bool = False,
        named: str = "rain.sources.at",
    ) -> None:
        self._account, self._timeout_s, self._connections, self._resets = account, timeout_s, connections, resets
        self._named = named
        self._session = _Session()
        self._session.headers.update({"User-Agent": "lswarn", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get_text(self, url: str) -> str:
        """A page: a listing, an index, the answer to a search.

        Raises:
            NotYetPublished: 404, 410, or an anonymous server redirects to a web page.
            SourceUnavailable: no answer, after a few tries.
            AccessDenied: 401, 403 or a login form.
            CorruptGranule: it does not end.
        """
        page = BytesIO()
        answer = self._patiently(Transfer(url, page, most_bytes=MOST_TEXT_BYTES))
        body = page.getvalue()
        self.refuse_page(body, url, answer)
        return body.decode("utf-8", "replace")

    def get_file(self, url: str, into: Path, *, span: Span = (0, None), since: datetime | None = None) -> Answer | None:
        """Download a file, or a span of its bytes; where a try breaks off, the next one asks for the rest.

        Args:
            into: overwritten; of no use where an error is raised.
            since: aware instant; None is returned for a file that was not modified since.

        Raises:
            NotYetPublished: 404, 410, or a reset at a server that means this by it.
            SourceUnavailable: no answer after a few tries, or a redirect without end.
            AccessDenied: 401, 403, or it ends at a login.
            CorruptGranule: it does not end, or has no such span.
            StorageFull: there is no room for it.
        """
        with storage(into), into.open("wb") as file:
            return self._patiently(Transfer(url, file, span, since))

    def resume_file(self, url: str, into: Path, *, most_bytes: int) -> Answer | None:
        """Download a file too large for one sitting: what an earlier call left of it is gone on from.

        Args:
            into: what is here of it, also where an error is raised. Beside it lies, as `.of`, of which version it is:
                if the server has another by now, it is begun anew.
            most_bytes: more than this is not the file.

        Raises:
            As `get_file`.
        """
        with storage(into), into.open("r+b" if into.exists() else "w+b") as file:
            transfer = Lasting(url, file, most_bytes=most_bytes, mark=into.with_name(f"{into.name}.of"))
            answer = self._patiently(transfer)
        transfer.mark.unlink()
        return answer

    def refuse_page(self, head: bytes, url: str, answer: Answer | None = None) -> None:
        """See whether what came instead of a file is a login form, or where an anonymous server sends its strays.

        Raises:
            AccessDenied: it is a login form.
            NotYetPublished: an anonymous server redirected to a web page.
        """
        if LOGIN_FORM.search(head):
            raise AccessDenied(f"{url}: answered with a login form; {self._account.remedy()}")
        if answer and answer.redirected_to and not self._account.kind and head.lstrip()[:1] == b"<":
            raise NotYetPublished(f"sent on to {answer.redirected_to}, which is a web page: there is no {url}")

    # ── tries ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _patiently(self, transfer: Transfer) -> Answer | None:
        tries = Retrying(
            retry=retry_if_exception_type(Passing),
            wait=lambda state: _pause_s(_failure(state), state.attempt_number),
            stop=lambda state: self._hopeless(_failure(state), state.attempt_number),
            before_sleep=lambda state: log.info("%s: %s; trying again", transfer.url, _failure(state)),
            sleep=lambda seconds: time.sleep(seconds),
            reraise=True,
        )
        try:
            return tries(self._get_once, transfer)
        except Passing as error:
            if error.reset and self._resets:
                raise NotYetPublished(f"the connection was reset, there is no {transfer.url}") from error
            raise SourceUnavailable(f"{transfer.url}: {error}; try again later") from error

    def _hopeless(self, error: Passing, tries: int) -> bool:
        most = RESETS_TRIES if error.reset and self._resets else len(PAUSES_S) + 1
        return tries >= most or error.after_s > LONGEST_PAUSE_S

    def _get_once(self, transfer: Transfer) -> Answer | None:
        with self._open(transfer.url, transfer.headers()) as answer:
            modified_at, since = _instant(answer.headers.get("Last-Modified")), transfer.since
            if since is not None and answer.status_code == 304:
                return None
            if since is not None and modified_at is not None and modified_at <= since:
                return None  # a server that does not know the question: its body is left unread
            skip = transfer.begin(answer.status_code, answer.headers)
            transfer.read(answer.raw, skip, self._timeout_s)
            return Answer(modified_at, None if answer.url == transfer.url else answer.url.partition("?")[0])

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[Response]:
        """The answer at the end of all redirects, unread; its `url` is where it came from."""
        try:
            server_of(url)
        except ValueError as error:
            raise SourceUnavailable(f"{url}: {error}; is {self._named} right?") from error
        hop = url
        for _ in range(MOST_HOPS):
            with _GATES.enter(server_of(hop), self._connections), self._ask(hop, url, headers) as answer:
                if answer.status_code not in (301, 302, 303, 307, 308):
                    self._judge(answer, url, hop)
                    answer.url = hop
                    yield answer
                    return
                hop = self._next(answer, url, hop)
        raise SourceUnavailable(
            f"{url}: redirected {MOST_HOPS} times, last to {hop.partition('?')[0]}, and never answered; "
            f"is {self._named} right? Else {self._account.remedy()}"
        )

    def _ask(self, hop: str, url: str, headers: dict[str, str]) -> Response:
        try:
            return self._session.get(
                hop,
                headers=headers,
                auth=_Authorise(self._account.shown_at(hop, url, _netrc_login)),
                allow_redirects=False,
                stream=True,
                timeout=self._timeout_s,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            reason = cause(error)
            reset = isinstance(reason, ConnectionResetError)
            raise Passing(f"no answer ({reason or type(reason).__name__})", reset=reset) from error
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise SourceUnavailable(f"{hop.partition('?')[0]}: {error}; is {self._named} right?") from error

    def _next(self, answer: Response, url: str, hop: str) -> str:
        location = answer.headers.get("Location", "")
        if not location:
            raise NotYetPublished(f"answered {answer.status_code} and no address, there is no {url}")
        try:
            onward = urljoin(hop, location)
            server = server_of(onward)
        except ValueError as error:
            raise SourceUnavailable(f"{url}: redirected to {location[:80]!r}, which is no address") from error
        if self._account.is_login(onward) and self._account.shown_at(onward, url, _netrc_login) is None:
            raise AccessDenied(f"{url}: {server} asks for a login; {self._account.remedy()}")
        return onward

    def _judge(self, answer: Response, url: str, hop: str) -> None:
        """Pass what has a body to be read (200, 206), or says that there is nothing new (304, 416)."""
        status, login = answer.status_code, self._account.is_login(hop)
        if status in (401, 403) and not login and not same_server(url, hop):
            raise AccessDenied(
                f"{url}: sent on to {server_of(hop)}, which answered {status} and was shown no account; "
                f"is {self._named} right, and does this server know the account?"
            )
        if status in (401, 403):
            raise AccessDenied(f"{hop.partition('?')[0]}: answered {status}; {self._account.remedy(status)}")
        if status == 200 and login:
            raise AccessDenied(f"{url}: ended at the login of {server_of(hop)}; {self._account.remedy()}")
        if status in (404, 410):
            raise NotYetPublished(f"answered {status}, there is no {url}")
        if status in (408, 429) or status >= 500:
            raise Passing(f"answered {status}", after_s=_retry_after_s(answer))
        if status not in (200, 206, 304, 416):
            raise SourceUnavailable(f"{url}: answered {status}; is {self._named} right?")


def _failure(state: RetryCallState) -> Passing:
    error = state.outcome and state.outcome.exception()
    assert isinstance(error, Passing)  # noqa: S101 (nothing else is tried again)
    return error


def _pause_s(error: Passing, tries: int) -> float:
    return max(PAUSES_S[tries - 1] if tries <= len(PAUSES_S) else 0.0, error.after_s)


def _retry_after_s(answer: Response) -> float:
    try:
        return Retry().parse_retry_after(answer.headers.get("Retry-After", "0"))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _instant(http_date: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(http_date or "")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _netrc_login(host: str) -> str | None:
    """Login that netrc holds for just this machine; its default entry is no leave to show it to anybody."""
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        entry = netrc(path).hosts.get(host)
    except FileNotFoundError:
        return None
    except (NetrcParseError, OSError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s); going on without it", path, error)
        return None
    return basic(entry[0], entry[2]) if entry else None
