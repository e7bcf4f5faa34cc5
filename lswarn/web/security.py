"""Who may: bearer tokens with scopes, told apart by their digest alone.

`may_read` stands before every read (it asks for a token only where `LSWARN_WEB_READ=token`); `Reviewer` before what
decides on messages, `Reporter` before reports of landslides:

    @router.post("/thing")
    def thing(who: Reviewer) -> Thing: ...
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from lswarn.db.engine import open_database, transaction
from lswarn.db.tokens import Scope, TokenHolder, find_holder, mark_used
from lswarn.web.deps import Clock, Config
from lswarn.web.guards import Rates, address_of
from lswarn.web.problems import Problem

ASK = {"WWW-Authenticate": "Bearer"}

bearer = HTTPBearer(auto_error=False, description="`lswarn tokens create NAME --scope review` makes one")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


def may_read(request: Request, settings: Config, now: Clock, given: Credentials) -> None:
    """Let a read pass: anybody where reading is open, else whoever holds a token, of whatever scope."""
    if settings.web_read == "token":
        holder_by(request, settings, now, given, None)


def holder_of(scope: Scope) -> Callable[..., TokenHolder]:
    """A dependency that lets pass whoever holds a token with a scope."""

    def holder(request: Request, settings: Config, now: Clock, given: Credentials) -> TokenHolder:
        return holder_by(request, settings, now, given, scope)

    return holder


Reviewer = Annotated[TokenHolder, Depends(holder_of("review"))]
Reporter = Annotated[TokenHolder, Depends(holder_of("report"))]


def holder_by(
    request: Request, settings: Config, now: Clock, given: HTTPAuthorizationCredentials | None, scope: Scope | None
) -> TokenHolder:
    """Who holds the token that came with a request.

    Args:
        scope: it must have; None = any.

    Raises:
        Problem: 401: there is none, or it is not good; 403: it has other scopes; 429: too many were not good.
    """
    if given is None:
        wanted = f" with scope {scope}" if scope else ""
        raise Problem(401, f"send a token{wanted} in the header Authorization: Bearer …", ASK)
    rates: Rates = request.app.state.rates
    address = address_of(request.scope)
    if not rates.may_try_token(address):
        raise Problem(429, "too many tokens from your address were not good; wait a minute", {"Retry-After": "60"})
    with transaction(open_database(settings)) as conn:
        found = find_holder(conn, given.credentials)
        if found is not None and found.revoked_at is None and found.expires_at > now:
            mark_used(conn, given.credentials, now)
    problem = None
    if found is None:
        problem = "this token is not known; ask whoever runs lswarn for one"
    elif found.revoked_at is not None:
        problem = f"this token was revoked at {found.revoked_at:%Y-%m-%d %H:%M} UTC; ask for another"
    elif found.expires_at <= now:
        problem = f"this token expired at {found.expires_at:%Y-%m-%d %H:%M} UTC; ask for another"
    if problem or found is None:
        rates.token_failed(address)
        raise Problem(401, problem or "", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    if scope is not None and scope not in found.scopes:
        may = ", ".join(found.scopes)
        raise Problem(403, f"this token has scope {may}, and this asks for {scope}; ask for one that has it")
    return found
