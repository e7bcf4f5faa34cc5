"""The tables of schema `lswarn`, as SQLAlchemy sees them. The views stand in the migrations alone.

Geometries are EPSG:4326; lengths and areas are computed in the region's metric CRS. Features keep the id of the file
they came from (`source_id`), which is the id used everywhere outside the database.
"""

from typing import Any

from geoalchemy2 import Geometry
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

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


def _col(name: str, kind: Any, comment: str, *rest: Any, nullable: bool = False, **options: Any) -> Column:
    return Column(name, kind, *rest, comment=comment, nullable=nullable, **options)


def _id() -> Column:
    return Column("id", BigInteger, Identity(always=True), primary_key=True, comment="Key within this database")


def _region() -> Column:
    return _col("region", Text, "Region it belongs to", ForeignKey("region.name"))


def _run() -> Column:
    return _col("run_id", BigInteger, "Run that found it", ForeignKey("run.id"))


def _retired() -> Column:
    return _col("retired_at", INSTANT, "When it vanished from its file; null while it is there", nullable=True)


def _class() -> Column:
    return _col("class", SmallInteger, "Susceptibility: 4 high, 5 very high")


def _probability(which: str) -> Column:
    return _col(
        f"probability_{which}", Double, f"{which.capitalize()} landslide probability of the zone's cells, 0 to 1"
    )


def _shape(kind: str, comment: str) -> Column:
    return _col("geometry", Geometry(kind, srid=4326, spatial_index=False), comment)


def _spatial(table: str) -> Index:
    return Index(f"ix_{table}_geometry", "geometry", postgresql_using="gist")


def _check(name: str, rule: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)


VALID = "ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)"

# What can be hit

region = Table(
    "region",
    metadata,
    Column("name", Text, primary_key=True, comment="Identifier, as in region.toml"),
    _col("title", Text, "For people"),
    _col("srid", Integer, "EPSG code of the metric CRS in which lengths and areas are computed"),
    _shape("POLYGON", "The box that is watched"),
    _col("rules_digest", Text, "sha256 of region.toml as last recorded"),
    _col("assets_digest", Text, "Digest of the asset files as last recorded", server_default=""),
    _col("made", Text, "What of the inputs is made up; empty for a real region", server_default=""),
    comment="What is watched",
)

warning_area = Table(
    "warning_area",
    metadata,
    _id(),
    _region(),
    _col("source_id", Text, "Id in the file; elsewhere = the rest of the region, in no other area"),
    _col("name", Text, "For people"),
    _shape("MULTIPOLYGON", "Extent"),
    _retired(),
    UniqueConstraint("region", "source_id"),
    _check("geometry", VALID),
    _spatial("warning_area"),
    comment="Areas in which warnings are given",
)

road = Table(
    "road",
    metadata,
    _id(),
    _region(),
    _col("source_id", Text, "Id in the file"),
    _col("name", Text, "As people call it; empty where unknown", server_default=""),
    _col("ref", Text, "Number on the signs; empty where unknown", server_default=""),
    _col("kind", Text, "Class of road in the file; empty where unknown", server_default=""),
    _col("length_m", Double, "Length, m"),
    _shape("MULTILINESTRING", "Course"),
    _retired(),
    UniqueConstraint("region", "source_id"),
    _check("length", "length_m > 0"),
    _spatial("road"),
    comment="Roads that can be hit",
)

settlement = Table(
    "settlement",
    metadata,
    _id(),
    _region(),
    _col("source_id", Text, "Id in the file"),
    _col("name", Text, "As people call it; empty where unknown", server_default=""),
    _col("kind", Text, "Class of settlement in the file; empty where unknown", server_default=""),
    _col("population", Integer, "People living there; null = unknown, which is not none", nullable=True),
    _col("area_m2", Double, "Area, m²"),
    _shape("MULTIPOLYGON", "Extent; a settlement given as a point is a disc around it"),
    _retired(),
    UniqueConstraint("region", "source_id"),
    _check("geometry", VALID),
    _check("area", "area_m2 > 0"),
    _check("population", "population >= 0"),
    _spatial("settlement"),
    comment="Settlements and buildings that can be hit",
)

landslide = Table(
    "landslide",
    metadata,
    _id(),
    _region(),
    _col("source_id", Text, "Id in the inventory"),
    _col("day", Date, "Day of the event; null = unknown", nullable=True),
    _shape("MULTIPOLYGON", "Extent; a landslide given as a point is a disc of its positional uncertainty"),
    UniqueConstraint("region", "source_id"),
    _check("geometry", VALID),
    _spatial("landslide"),
    comment="The inventory of landslides that happened",
)

# What is known

rain_day = Table(
    "rain_day",
    metadata,
    _id(),
    _region(),
    _col("day", Date, "The provider's UTC day"),
    _col("product", Text, "Such as IMERG-Late"),
    _col("version", Text, "Such as V07B"),
    _col("uri", Text, "Where the granule came from"),
    _col("sha256", Text, "Digest of its bytes"),
    _col("fetched_at", INSTANT, "When it was fetched"),
    _col("superseded_at", INSTANT, "Since when a better granule of that day is there; null = the best", nullable=True),
    UniqueConstraint("region", "day", "product", "version", "sha256"),
    comment="Rain granules fetched, kept also when superseded",
)

model = Table(
    "model",
    metadata,
    _region(),
    _col("id", Text, "Content hash of the checkpoint"),
    _col("role", Text, "candidate, champion (in use, one a region) or retired"),
    _col("path", Text, "Checkpoint file"),
    _col("snapshot_id", Text, "Training snapshot it learned from"),
    _col("metrics", JSONB, "How it did on held-out blocks"),
    _col("made_at", INSTANT, "When it was trained"),
    _col("promoted_at", INSTANT, "When it last became champion", nullable=True),
    PrimaryKeyConstraint("region", "id"),
    _check("role", "role IN ('candidate', 'champion', 'retired')"),
    Index("uq_model_champion", "region", unique=True, postgresql_where=text("role = 'champion'")),
    comment="Trained networks",
)

run = Table(
    "run",
    metadata,
    _id(),
    _region(),
    _col("valid_day", Date, "Last UTC day of the seven days of rain"),
    _col("key", Text, "sha256 of everything it was made from: same key, same result"),
    _col(
        "status", Text, "complete; lower_bound: nothing follows from a zone's absence; unknown: nothing is known at all"
    ),
    _col("grade", Text, "A to E: how far the rain can be trusted"),
    _col("model_id", Text, "Network used; null where none was asked", nullable=True),
    _col("rain", JSONB, "Granules of the window: day, product, version, sha256, uri"),
    _col("missing", ARRAY(Date), "Days of the window without rain"),
    _col("rules_digest", Text, "sha256 of region.toml"),
    _col("assets_digest", Text, "Digest of the asset files"),
    _col("software", Text, "Version of lswarn"),
    _col("rasters", JSONB, "Class and probability rasters by name: path and sha256"),
    _col("published_at", INSTANT, "When it was published"),
    _col("superseded_at", INSTANT, "When a later run of that day replaced it; null = it counts", nullable=True),
    ForeignKeyConstraint(["region", "model_id"], ["model.region", "model.id"]),
    _check(
        "grade",
        "status = CASE WHEN grade IN ('A', 'B', 'C') THEN 'complete'"
        " WHEN grade = 'D' THEN 'lower_bound' WHEN grade = 'E' THEN 'unknown' ELSE '' END",
    ),
    _check("model", "(status = 'unknown') = (model_id IS NULL)"),
    Index("uq_run_current", "region", "valid_day", unique=True, postgresql_where=text("superseded_at IS NULL")),
    comment="One publication of one day; what a superseded run found is deleted, the run itself is kept",
)

# What was found

class_area = Table(
    "class_area",
    metadata,
    _run(),
    _col("area_id", BigInteger, "Warning area", ForeignKey("warning_area.id")),
    _col("class", SmallInteger, "Susceptibility: 0 unknown, 1 very low, 2 low, 3 moderate, 4 high, 5 very high"),
    _col("area_m2", Double, "Area of that class, m²"),
    PrimaryKeyConstraint("run_id", "area_id", "class"),
    _check("class", "class BETWEEN 0 AND 5"),
    _check("area", "area_m2 >= 0"),
    comment="Area of each class in each warning area",
)

susceptibility_zone = Table(
    "susceptibility_zone",
    metadata,
    _id(),
    _run(),
    _class(),
    _col("area_m2", Double, "Area, m²"),
    _probability("mean"),
    _probability("max"),
    _shape("POLYGON", "Extent"),
    _check("class", "class IN (4, 5)"),
    _check("area", "area_m2 > 0"),
    # A mean of float32 cells may lie a rounding above their maximum.
    _check(
        "probability", "0 <= probability_mean AND probability_mean <= probability_max + 1e-6 AND probability_max <= 1"
    ),
    _check("geometry", VALID),
    Index(None, "run_id"),
    _spatial("susceptibility_zone"),
    comment="Connected cells of class high or very high",
)

rainfall_exceedance = Table(
    "rainfall_exceedance",
    metadata,
    _id(),
    _run(),
    _col("rain_mm", Double, "Rain of seven days, mm"),
    _col("critical_mm", Double, "Critical rain of seven days, mm"),
    _col("safety_factor", Double, "critical_mm / rain_mm"),
    _col("lower_bound", Boolean, "More rain fell than was measured"),
    _shape("POLYGON", "Cell of the rain grid"),
    _check("rain", "rain_mm > 0 AND critical_mm > 0 AND safety_factor > 0"),
    Index(None, "run_id"),
    _spatial("rainfall_exceedance"),
    comment="Rain cells above their critical rainfall",
)


def _exposed(what: str) -> list[Any]:
    return [
        _id(),
        _run(),
        _col("zone_id", BigInteger, "Zone it lies in", ForeignKey("susceptibility_zone.id")),
        _col(f"{what}_id", BigInteger, f"Which {what}", ForeignKey(f"{what}.id")),
        _col("area_id", BigInteger, "Warning area it lies in", ForeignKey("warning_area.id")),
        _class(),
    ]


road_exposure = Table(
    "road_exposure",
    metadata,
    *_exposed("road"),
    _col("length_m", Double, "Length inside, m"),
    _probability("mean"),
    _probability("max"),
    _shape("MULTILINESTRING", "The stretch inside"),
    UniqueConstraint("zone_id", "road_id", "area_id"),
    _check("class", "class IN (4, 5)"),
    _check("length", "length_m > 0"),
    Index(None, "run_id"),
    Index(None, "road_id"),
    _spatial("road_exposure"),
    comment="Stretch of one road in one zone and one warning area",
)

settlement_exposure = Table(
    "settlement_exposure",
    metadata,
    *_exposed("settlement"),
    _col("area_m2", Double, "Area inside, m²"),
    _col("area_share", Double, "Share of the settlement's area inside, 0 to 1"),
    _col("people", Integer, "Share times population, rounded; null where the population is unknown", nullable=True),
    _probability("mean"),
    _probability("max"),
    _shape("MULTIPOLYGON", "The part inside"),
    UniqueConstraint("zone_id", "settlement_id", "area_id"),
    _check("class", "class IN (4, 5)"),
    _check("share", "area_m2 > 0 AND area_share > 0 AND area_share <= 1"),
    _check("people", "people >= 0"),
    Index(None, "run_id"),
    Index(None, "settlement_id"),
    _spatial("settlement_exposure"),
    comment="Part of one settlement in one zone and one warning area",
)

# What was said, to whom, and whether it arrived

alert = Table(
    "alert",
    metadata,
    _id(),
    _col("area_id", BigInteger, "Warning area", ForeignKey("warning_area.id")),
    _col("hazard", Text, "Of what is warned", server_default="landslide"),
    _col("level", SmallInteger, "What people have been told: 1 orange, 2 red; 0 once closed"),
    _col("opened_on", Date, "Day of the first message"),
    _col("changed_on", Date, "Day of the last message"),
    _col("closed_on", Date, "Day of the all-clear; null while it is open", nullable=True),
    _col("run_id", BigInteger, "Run that the last message came from", ForeignKey("run.id")),
    _col("below", JSONB, "Complete days below the level since, with the level they called for: [[day, level], …]"),
    _col("told", ARRAY(Text), "Assets people have been told of: road:ID, settlement:ID"),
    _check("level", "level BETWEEN 0 AND 2"),
    _check("closed", "(closed_on IS NULL) = (level > 0)"),
    _check("days", "opened_on <= changed_on AND opened_on <= closed_on"),
    Index("uq_alert_open", "area_id", "hazard", unique=True, postgresql_where=text("closed_on IS NULL")),
    comment="One situation in one warning area, from its first message to its all-clear; hangs on no run",
)

alert_message = Table(
    "alert_message",
    metadata,
    _id(),
    _region(),
    _col("alert_id", BigInteger, "Null for a message about missing rain", ForeignKey("alert.id"), nullable=True),
    _col("run_id", BigInteger, "Run it came from; null where there was none", ForeignKey("run.id"), nullable=True),
    _col("kind", Text, "open, raise, update, lower, clear or data_missing"),
    _col("level", SmallInteger, "0 none, 1 orange, 2 red"),
    _col("valid_day", Date, "Day it speaks of"),
    _col("subject", Text, "One line"),
    _col("text", Text, "Plain text"),
    _col("html", Text, "HTML; shows the map as cid:map"),
    _col("payload", JSONB, "What a webhook gets"),
    _col("map_png", LargeBinary, "Map; empty where there is none"),
    _col("queued_at", INSTANT, "When it was queued"),
    _check("kind", "kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing')"),
    _check("alert", "(kind = 'data_missing') = (alert_id IS NULL) AND (alert_id IS NULL OR run_id IS NOT NULL)"),
    _check("level", "level BETWEEN 0 AND 2"),
    _check("subject", "subject !~ '[\\r\\n]'"),
    Index("uq_alert_message_change", "run_id", "alert_id", "kind", unique=True),
    Index(
        "uq_alert_message_data_missing",
        "region",
        "valid_day",
        unique=True,
        postgresql_where=text("kind = 'data_missing'"),
    ),
    comment="What was said; the history of every alert",
)

subscriber = Table(
    "subscriber",
    metadata,
    _id(),
    _region(),
    _col("name", Text, "As in region.toml"),
    _col("channel", Text, "email or webhook"),
    _col("address", Text, "Mail address or URL"),
    _col("areas", ARRAY(Text), "Source ids of warning areas; empty = all"),
    _retired(),
    UniqueConstraint("region", "name"),
    _check("channel", "channel IN ('email', 'webhook')"),
    comment="Who is told",
)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    _col("message_id", BigInteger, "What", ForeignKey("alert_message.id")),
    _col("subscriber_id", BigInteger, "To whom", ForeignKey("subscriber.id")),
    _col(
        "idempotency_key",
        UUID(as_uuid=False),
        "The same at every attempt, so that a receiver can drop a repeat",
        server_default=text("gen_random_uuid()"),
    ),
    _col("status", Text, "pending, sent, or dead: given up", server_default="pending"),
    _col("due_at", INSTANT, "Next attempt not before; a worker that takes it on moves this ahead as its lease"),
    _col("delivered_at", INSTANT, "When it was accepted", nullable=True),
    UniqueConstraint("message_id", "subscriber_id"),
    UniqueConstraint("idempotency_key"),
    _check("status", "status IN ('pending', 'sent', 'dead')"),
    _check("delivered", "(status = 'sent') = (delivered_at IS NOT NULL)"),
    Index("ix_delivery_due", "due_at", postgresql_where=text("status = 'pending'")),
    comment="One message on its way to one subscriber",
)

delivery_attempt = Table(
    "delivery_attempt",
    metadata,
    _id(),
    _col("delivery_id", BigInteger, "Of which delivery", ForeignKey("delivery.id")),
    _col("attempted_at", INSTANT, "When"),
    _col("address", Text, "Where to"),
    _col("error", Text, "What went wrong; null = accepted", nullable=True),
    Index(None, "delivery_id"),
    comment="Every attempt to deliver",
)
