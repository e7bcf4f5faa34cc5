"""Who we are to a rain server, and for how long.

A login is shown to the server that was asked first and to the account's login server, whatever others a redirect leads
to. An Earthdata token is a JSON Web Token: when it was made and when it ends can be read in it without its key, which
proves nothing; the server alone decides.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from urllib.parse import urlsplit

from lswarn.errors import AccessDenied
from lswarn.settings import Settings

AccountKind = Literal["", "earthdata", "pps"]

OLD = timedelta(days=45)
"""An Earthdata token lasts 60 days: from here on a person has two weeks to make a new one."""
ENDING = timedelta(days=7)
TOKEN_PAGE = "https://urs.earthdata.nasa.gov (Generate Token)"  # noqa: S105 (where a token is made)
NEW_TOKEN = f"make a new one at {TOKEN_PAGE} and set LSWARN_EARTHDATA_TOKEN to it"


@dataclass(frozen=True)
class Account:
    """What is shown to a server.

    Attributes:
        kind: whose account it is; empty where the server asks for none that we know of.
        authorization: value of the header; None: nothing, or what netrc holds.
        login: host, and port if need be, of the login server that others send us to; empty: there is none.
    """

    kind: AccountKind = ""
    authorization: str | None = field(default=None, repr=False)
    login: str = ""

    def is_login(self, url: str) -> bool:
        """Whether an address lies on the login server."""
        return bool(self.login) and server_of(url) == server_of(f"{urlsplit(url).scheme}://{self.login}")

    def shown_at(self, url: str, first: str, netrc_login: Callable[[str], str | None]) -> str | None:
        """What is shown at an address to which a way that began at `first` leads: the value of the header, or nothing.

        Args:
            netrc_login: the same for a machine of netrc.
        """
        machine, login = urlsplit(url).hostname or "", self.is_login(url)
        unencrypted = urlsplit(first).scheme == "https" and urlsplit(url).scheme == "http"
        signed = "X-Amz-Signature=" in url or "&Signature=" in url  # a leave by itself, and S3 refuses a second one
        if unencrypted or signed or not (login or same_server(first, url)):
            return None
        if self.kind == "earthdata" and not login:
            return self.authorization  # the login of netrc is for the login server
        return self.authorization or netrc_login(machine)

    def remedy(self, status: int | None = None) -> str:
        """What a person can do about a refusal, answered with a status or with a login form."""
        if self.kind == "earthdata" and status == 403:
            return (
                'approve the application "NASA GESDISC DATA ARCHIVE" for this account '
                "at https://urs.earthdata.nasa.gov (Applications > Authorized Apps)"
            )
        if self.kind == "earthdata":
            return (
                f"renew LSWARN_EARTHDATA_TOKEN at {TOKEN_PAGE}, it lasts 60 days; "
                f"or let netrc hold a login for machine {self.login.partition(':')[0]}"
            )
        if self.kind == "pps":
            return (
                "set LSWARN_PPS_EMAIL to the address registered at https://registration.pps.eosdis.nasa.gov "
                'with "Near-Realtime Products" ticked'
            )
        return "if the server wants a login, let netrc hold one for it"


def account_for(kind: AccountKind, settings: Settings, now: datetime) -> Account:
    """The account for a product's server, from what the environment holds.

    Args:
        now: aware instant; a token that ended before it is not shown to anybody.

    Raises:
        AccessDenied: the token is none or has ended, or the address is none.
    """
    if kind == "earthdata":
        token = settings.earthdata_token
        bearer = None if token is None else f"Bearer {_checked_token(token.get_secret_value(), now)}"
        return Account(kind, bearer, settings.earthdata_login)
    if kind == "pps" and settings.pps_email is not None:
        email = settings.pps_email.get_secret_value().strip().lower()  # PPS knows the address in lower case only
        if not re.fullmatch(r"[^\s@:]+@[^\s@:]+", email):
            raise AccessDenied("LSWARN_PPS_EMAIL is not a mail address; copy the one registered with PPS")
        return Account(kind, basic(email, email))
    return Account(kind)


def basic(user: str, password: str) -> str:
    """Value of an Authorization header, RFC 7617."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def server_of(url: str) -> str:
    """Host and port of an http(s) address.

    Raises:
        ValueError: it is none.
    """
    at = urlsplit(url)
    if at.scheme not in ("http", "https") or not at.hostname:
        raise ValueError(f"{url} is no http(s) address")
    return f"{at.hostname}:{at.port or (443 if at.scheme == 'https' else 80)}"


def same_server(one: str, other: str) -> bool:
    """Whether two addresses lie on one server, spoken to in one way, or on a server and its encrypted twin."""
    twin = server_of(one).removesuffix(":80") == server_of(other).removesuffix(":443")
    if urlsplit(one).scheme == "http" and urlsplit(other).scheme == "https" and twin:
        return True
    return urlsplit(one).scheme == urlsplit(other).scheme and server_of(one) == server_of(other)


def token_warning(token: str, now: datetime) -> str | None:
    """A sentence for operators where an Earthdata token is older than 45 days, about to end or at its end; else None.

    A token that does not say when it was made is not warned of.

    Args:
        now: aware instant.
    """
    made_at, ends_at = _life(token)
    old, ending = made_at is not None and now - made_at > OLD, ends_at is not None and ends_at - now < ENDING
    if not old and not ending:
        return None
    facts = []
    if made_at is not None:
        facts.append(f"is {(now - made_at).days} days old")
    if ends_at is not None:
        facts.append(f"{'ended' if ends_at < now else 'ends'} at {ends_at:%Y-%m-%d %H:%M} UTC")
    return f"the Earthdata token {' and '.join(facts)}: {NEW_TOKEN}"


def _checked_token(token: str, now: datetime) -> str:
    if not re.fullmatch(r"[!-~]+", token := token.strip()):
        raise AccessDenied("LSWARN_EARTHDATA_TOKEN holds spaces, line breaks or no text; copy the token again")
    _, ends_at = _life(token)
    if ends_at is not None and ends_at < now:
        raise AccessDenied(f"the Earthdata token ended at {ends_at:%Y-%m-%d %H:%M} UTC; {NEW_TOKEN}")
    return token


def _life(token: str) -> tuple[datetime | None, datetime | None]:
    """When a token was made and when it ends; None where it does not say."""
    try:
        _, payload, _ = token.strip().split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(claims, dict):
        return None, None
    made_at, ends_at = _instant(claims.get("iat")), _instant(claims.get("exp"))
    # It is good to the last second of its last UTC day, whatever hour it names.
    return made_at, ends_at and datetime.combine(ends_at.date(), time(23, 59, 59), UTC)


def _instant(seconds: object) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
