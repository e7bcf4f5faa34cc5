"""What a route may ask for: the settings, the database, a transaction to read in.

    @router.get("/thing")
    def thing(conn: Reading, settings: Config) -> Thing: ...

Routes are plain functions (not `async`): they run in threads, and may wait for the database.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from lswarn.db.engine import Connection, Engine, open_database
from lswarn.db.reading import reading
from lswarn.settings import Settings


def settings_of(request: Request) -> Settings:
    """Settings the server was started with."""
    return request.app.state.settings


def database(settings: Annotated[Settings, Depends(settings_of)]) -> Engine:
    """The database; one engine for all requests of a process. Asked anew each time, so that it recovers by itself.

    Raises:
        DatabaseDown, NotMigrated: the answer is 503.
    """
    return open_database(settings)


def read_database(engine: Annotated[Engine, Depends(database)]) -> Iterator[Connection]:
    """A transaction that can only read, and not for long."""
    with reading(engine) as conn:
        yield conn


def clock() -> datetime:
    """The one place where the web server reads the clock; tests put another in its place."""
    return datetime.now(UTC)


Clock = Annotated[datetime, Depends(clock)]
Config = Annotated[Settings, Depends(settings_of)]
Database = Annotated[Engine, Depends(database)]
Reading = Annotated[Connection, Depends(read_database)]
