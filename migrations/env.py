"""How migrations run: one deployer at a time, each migration in its own transaction, and never hanging on a lock.

Called by `lswarn.db.engine`, which hands over the connection.
"""

from alembic import context
from geoalchemy2 import alembic_helpers
from sqlalchemy import Connection, text

from lswarn.db.tables import SCHEMA, metadata

LOCK_KEY = 0x6C737761726E  # "lswarn"


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Our own schema alone; PostGIS keeps its tables in others."""
    return kind != "schema" or name == SCHEMA


def run(connection: Connection) -> None:
    """Wait for other deployers, then migrate."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text("SET lock_timeout = '10s'"))
    connection.execute(text("SET statement_timeout = '10min'"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))  # home of the version table
    # A role named like the schema has it in its path, where names would be reflected without their schema.
    connection.execute(text("SET search_path = public"))
    connection.dialect.default_schema_name = "public"
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            version_table_schema=SCHEMA,
            include_schemas=True,
            include_name=include_name,
            include_object=alembic_helpers.include_object,
            process_revision_directives=alembic_helpers.writer,
            render_item=alembic_helpers.render_item,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("RESET search_path"))
        connection.execute(text("RESET lock_timeout"))
        connection.execute(text("RESET statement_timeout"))
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        connection.commit()


run(context.config.attributes["connection"])
