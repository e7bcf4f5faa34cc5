"""What the tables are made of: the columns, indexes and rules that several of them have."""

from typing import Any

from geoalchemy2 import Geometry
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Text,
    text,
)

SCHEMA = "lswarn"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
)

INSTANT = DateTime(timezone=True)


def column(name: str, kind: Any, comment: str, *rest: Any, nullable: bool = False, **options: Any) -> Column:
    """A column that says what it means, and is never null unless it says what null means."""
    return Column(name, kind, *rest, comment=comment, nullable=nullable, **options)


def key() -> Column:
    """The key of a row, made by the database."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Key within this database")


def of_region() -> Column:
    """Whose row it is."""
    return column("region", Text, "Region it belongs to", ForeignKey("region.name"))


def of_run() -> Column:
    """Which run found it."""
    return column("run_id", BigInteger, "Run that found it", ForeignKey("run.id"))


def retired() -> Column:
    """Nothing from a file is deleted: past days speak of it."""
    return column("retired_at", INSTANT, "When it vanished from its file; null while it is there", nullable=True)


def added() -> Column:
    """Since when it is known."""
    what = "When it was first loaded; null = before that was kept"
    return column("added_at", INSTANT, what, nullable=True, server_default=text("now()"))


def warned_class() -> Column:
    """The class of a zone, or of what lies in one."""
    return column("class", SmallInteger, "Susceptibility: 4 high, 5 very high")


def probability(which: str) -> Column:
    """`mean` or `max` of a zone's cells."""
    return column(
        f"probability_{which}", Double, f"{which.capitalize()} landslide probability of the zone's cells, 0 to 1"
    )


def shape(kind: str, comment: str) -> Column:
    """A geometry in degrees; its index is `spatial`."""
    return column("geometry", Geometry(kind, srid=4326, spatial_index=False), comment)


def spatial(table: str) -> Index:
    """The index of a table's geometry."""
    return Index(f"ix_{table}_geometry", "geometry", postgresql_using="gist")


def check(name: str, rule: str) -> CheckConstraint:
    """A rule that every row obeys."""
    return CheckConstraint(rule, name=name)


VALID = "ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)"
"""What every polygon is."""
