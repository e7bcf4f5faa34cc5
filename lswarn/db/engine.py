"""The way in: an engine, a transaction, the revision of the schema. Foreign errors are translated here, once."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import URL, Table, create_engine, make_url, text
from sqlalchemy import Connection as Connection  # what `transaction` yields, for those who pass it on
from sqlalchemy import Engine as Engine
from sqlalchemy.exc import ArgumentError, DBAPIError

from lswarn.db import server
from lswarn.db.tables import SCHEMA
from lswarn.errors import DatabaseDown, DatabaseError, NotMigrated
from lswarn.region import Region
from lswarn.settings import Settings

MIGRATIONS = Path(__file__).parents[2] / "migrations"
CONNECT_TIMEOUT_S = 10
GONE = ("08", "57P")
"""Classes of SQLSTATE that mean that the connection is lost or the server is going down."""


def database_url(settings: Settings) -> str:
    """The database of the environment, else the private one.

    Raises:
        DatabaseDown: neither is there.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    private = server.status(settings.var_dir)
    if not private.running:
        raise DatabaseDown(
            f"no database: LSWARN_DATABASE_URL is not set, and none runs in {private.home}; run: lswarn db start"
        )
    return private.url


def open_database(settings: Settings) -> Engine:
    """Open the database of the environment, else the private one; the same engine for the same address.

    Raises:
        DatabaseDown: no answer.
        NotMigrated: with the command that mends it.
    """
    return _open(database_url(settings))


@cache
def _open(url: str) -> Engine:
    engine = connect(url)
    require_current(engine)
    return engine


def connect(url: str) -> Engine:
    """Open the database, proving that it answers.

    Args:
        url: `postgresql://user:password@host:port/name`.

    Raises:
        DatabaseDown: no answer. The password is in no message.
        DatabaseError: not a PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(
            "the database URL cannot be read; write postgresql://user:password@host:port/name"
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseError(f"the database must be PostgreSQL, not {parsed.get_backend_name()}")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "lswarn"},
    )
    with transaction(engine) as conn:
        conn.execute(text("SELECT 1"))
    return engine


@contextmanager
def transaction(engine: Engine, region: Region | str | None = None) -> Iterator[Connection]:
    """One unit of work: committed whole at the end, or nothing of it.

    Args:
        region: take the lock of this region, or of the one of that name, so that two runs at once queue up and the
            second sees what the first left.

    Raises:
        DatabaseDown: the connection could not be had, or was lost.
        NotMigrated: a table is missing.
        DatabaseError: anything else the database refused.
    """
    with _translated(engine.url), engine.begin() as conn:
        if region is not None:
            name = region if isinstance(region, str) else region.name
            conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"lswarn {name}"})
        yield conn


def migrate(url: str) -> None:
    """Bring the schema to the newest revision; harmless where it is.

    Raises:
        DatabaseDown: no answer.
        DatabaseError: the database is newer than this software, or refuses.
    """
    engine = connect(url)
    try:
        with _translated(engine.url), engine.connect() as conn:
            command.upgrade(alembic_config(conn), "head")
    except CommandError as error:
        raise DatabaseError(f"{shown(engine.url)}: {error}; it was made by a newer lswarn: upgrade this one") from error
    finally:
        engine.dispose()


def require_current(engine: Engine) -> None:
    """Prove that the schema is the one this software was written for.

    Raises:
        NotMigrated: with the command that mends it.
    """
    with transaction(engine) as conn:
        found = MigrationContext.configure(conn, opts={"version_table_schema": SCHEMA}).get_current_revision()
        scripts = ScriptDirectory.from_config(alembic_config(conn))
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise NotMigrated(f"{shown(engine.url)} is at revision {found}, which is newer than this lswarn: upgrade it")
    if found != scripts.get_current_head():
        state = f"is at revision {found}" if found else f"has no schema {SCHEMA}"
        raise NotMigrated(f"{shown(engine.url)} {state}; run: lswarn db migrate")


def alembic_config(conn: Connection) -> Config:
    """Configuration of the migrations, which run over `conn`."""
    config = Config(stdout=io.StringIO(), attributes={"connection": conn})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def copy_rows(
    conn: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    kinds: Sequence[str] | None = None,
) -> None:
    """Put rows into a table by COPY, as part of the transaction of `conn`. Geometries are EWKB in hex.

    Args:
        kinds: PostgreSQL's names of the columns' types: then the rows travel in binary, which is twice as fast. Of what
            has a binary form of its own, such as a geometry or a UUID, the bytes are given, as bytea.
    """
    target = sql.SQL("COPY {} ({}) FROM STDIN{}").format(
        sql.Identifier(*filter(None, (table.schema, table.name))),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(" (FORMAT BINARY)" if kinds else ""),
    )
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the one driver `connect` sets
    with driver.cursor().copy(target) as copy:
        if kinds:
            copy.set_types(kinds)
        for row in rows:
            copy.write_row(row)


def shown(url: URL) -> str:
    """Without the password."""
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        said = (isinstance(cause, psycopg.Error) and cause.diag.message_primary) or str(cause)
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and (
            state is None or state.startswith(GONE)
        ):
            remedy = "start it with `lswarn db start`, or correct LSWARN_DATABASE_URL"
            raise DatabaseDown(f"no connection to {shown(url)}: {said}; {remedy}") from error
        if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
            raise NotMigrated(f"{shown(url)}: {said}; run: lswarn db migrate") from error
        raise DatabaseError(f"{shown(url)}: {said}") from error
