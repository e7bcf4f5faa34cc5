"""Reading for others: a transaction that can change nothing and is cut off when it takes too long."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from lswarn.db.engine import transaction

LONGEST_S = 10
"""A question that takes longer is cut off: one that comes from outside must not hold up the daily run."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads; what it sees is of one moment.

    Raises:
        DatabaseDown: the connection could not be had, or was lost.
        DatabaseError: anything else the database refused, a question that took too long among it.
    """
    with transaction(engine) as conn:
        conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        conn.execute(text(f"SET LOCAL statement_timeout = '{LONGEST_S}s'"))
        # To start workers takes a hundred times as long as most of these questions.
        conn.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
        yield conn
