"""Tokens of the web server: whoever holds one is known by its digest, and the token itself is kept nowhere."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from lswarn.errors import DatabaseError

Scope = Literal["read", "review", "report"]
"""read: see everything, where reading is not open. review: approve, reject, acknowledge. report: tell of landslides."""

MARK = "lsw_"
"""Tokens begin with it, so that one that strayed into a log or a repository can be found."""


@dataclass(frozen=True)
class TokenHolder:
    """What is known of a token.

    Attributes:
        name: who or what holds it.
        last_used_at: to the minute; None = never.
        revoked_at: None while it is not.
    """

    name: str
    scopes: tuple[Scope, ...]
    made_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def record_token(conn: Connection, name: str, scopes: Collection[Scope], now: datetime, expires_at: datetime) -> str:
    """Make a token.

    Args:
        name: for people; no other token that is in force may have it.

    Returns:
        The token, which is told this once.

    Raises:
        DatabaseError: the name is taken.
    """
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('lswarn tokens', 0))"))
    taken = text("""SELECT 1 FROM lswarn.api_token
                    WHERE name = :name AND revoked_at IS NULL AND expires_at > :now""")
    if conn.execute(taken, {"name": name, "now": now}).scalar():
        raise DatabaseError(f"a token named {name} is in force; run: lswarn tokens revoke {name}, or take another name")
    token = MARK + secrets.token_urlsafe(32)
    conn.execute(
        text("""INSERT INTO lswarn.api_token (name, scopes, digest, made_at, expires_at)
                VALUES (:name, :scopes, :digest, :now, :expires_at)"""),
        {"name": name, "scopes": sorted(set(scopes)), "digest": _digest(token), "now": now, "expires_at": expires_at},
    )
    return token


def find_tokens(conn: Connection) -> list[TokenHolder]:
    """Every token, expired and revoked ones too, the newest last."""
    query = text("""SELECT name, scopes, made_at, expires_at, last_used_at, revoked_at
                    FROM lswarn.api_token ORDER BY id""")
    return [TokenHolder(**{**row, "scopes": tuple(row["scopes"])}) for row in conn.execute(query).mappings()]


def find_holder(conn: Connection, token: str) -> TokenHolder | None:
    """Who holds a token, in force or not; None where there is no such token."""
    query = text("""SELECT name, scopes, made_at, expires_at, last_used_at, revoked_at
                    FROM lswarn.api_token WHERE digest = :digest""")
    row = conn.execute(query, {"digest": _digest(token)}).mappings().one_or_none()
    return None if row is None else TokenHolder(**{**row, "scopes": tuple(row["scopes"])})


def mark_used(conn: Connection, token: str, now: datetime) -> None:
    """Keep when a token was used, to the minute: nobody needs it finer, and a row is not written at every request."""
    query = text("""UPDATE lswarn.api_token SET last_used_at = :now
                    WHERE digest = :digest AND (last_used_at IS NULL OR last_used_at < :now - interval '1 minute')""")
    conn.execute(query, {"digest": _digest(token), "now": now})


def mark_revoked(conn: Connection, name: str, now: datetime) -> int:
    """Put every token of a name out of force, at once.

    Returns:
        How many were in force.

    Raises:
        DatabaseError: no token ever had that name.
    """
    known = text("SELECT count(*) FROM lswarn.api_token WHERE name = :name")
    if not conn.execute(known, {"name": name}).scalar_one():
        raise DatabaseError(f"there is no token named {name}; lswarn tokens list shows those there are")
    query = text("UPDATE lswarn.api_token SET revoked_at = :now WHERE name = :name AND revoked_at IS NULL")
    return conn.execute(query, {"name": name, "now": now}).rowcount


def _digest(token: str) -> bytes:
    # Plain sha256: a token is 256 bits from the system's generator, which nobody guesses, salted or not.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
