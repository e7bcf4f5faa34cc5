"""What is watched: the region, where warnings are given, what can be hit, and what slid before."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.db.tables.columns import (
    INSTANT,
    VALID,
    added,
    check,
    column,
    key,
    metadata,
    of_region,
    retired,
    shape,
    spatial,
)

region = Table(
    "region",
    metadata,
    Column("name", Text, primary_key=True, comment="Identifier, as in region.toml"),
    column("title", Text, "For people"),
    column("srid", Integer, "EPSG code of the metric CRS in which lengths and areas are computed"),
    shape("POLYGON", "The box that is watched"),
    column("rules_digest", Text, "sha256 of region.toml as last recorded"),
    column("assets_digest", Text, "Digest of the asset files as last recorded", server_default=""),
    column("made", Text, "What of the inputs is made up; empty for a real region", server_default=""),
    comment="What is watched",
)

warning_area = Table(
    "warning_area",
    metadata,
    key(),
    of_region(),
    column("source_id", Text, "Id in the file; elsewhere = the rest of the region, in no other area"),
    column("name", Text, "For people"),
    shape("MULTIPOLYGON", "Extent"),
    retired(),
    added(),
    column(
        "unknown_since",
        Date,
        "First of the observed days, up to the newest, on which not all of its rain was known; null = it is known",
        nullable=True,
    ),
    UniqueConstraint("region", "source_id"),
    check("geometry", VALID),
    spatial("warning_area"),
    comment="Areas in which warnings are given",
)

road = Table(
    "road",
    metadata,
    key(),
    of_region(),
    column("source_id", Text, "Id in the file"),
    column("name", Text, "As people call it; empty where unknown", server_default=""),
    column("ref", Text, "Number on the signs; empty where unknown", server_default=""),
    column("kind", Text, "Class of road in the file; empty where unknown", server_default=""),
    column("length_m", Double, "Length, m"),
    shape("MULTILINESTRING", "Course"),
    retired(),
    added(),
    UniqueConstraint("region", "source_id"),
    check("length", "length_m > 0"),
    spatial("road"),
    comment="Roads that can be hit",
)

settlement = Table(
    "settlement",
    metadata,
    key(),
    of_region(),
    column("source_id", Text, "Id in the file"),
    column("name", Text, "As people call it; empty where unknown", server_default=""),
    column("kind", Text, "Class of settlement in the file; empty where unknown", server_default=""),
    column("population", Integer, "People living there; null = unknown, which is not none", nullable=True),
    column("area_m2", Double, "Area, m²"),
    shape("MULTIPOLYGON", "Extent; a settlement given as a point is a disc around it"),
    retired(),
    added(),
    UniqueConstraint("region", "source_id"),
    check("geometry", VALID),
    check("area", "area_m2 > 0"),
    check("population", "population >= 0"),
    spatial("settlement"),
    comment="Settlements and buildings that can be hit",
)

asset_change = Table(
    "asset_change",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Key within this database; of two changes the later one has the larger",
    ),
    of_region(),
    column("kind", Text, "warning_area, road or settlement: the table in which it is"),
    column("source_id", Text, "Id in the file"),
    column("change", Text, "changed; retired: gone from its file; returned: there again after it was gone"),
    column("changed_at", INSTANT, "When it was loaded", server_default=text("now()")),
    column("before", JSONB, "Its columns as they were until then"),
    shape("GEOMETRY", "Course or extent as it was until then"),
    check("kind", "kind IN ('warning_area', 'road', 'settlement')"),
    check("change", "change IN ('changed', 'retired', 'returned')"),
    Index("ix_asset_change_region_kind_source_id", "region", "kind", "source_id"),
    spatial("asset_change"),
    comment=(
        "What a road, settlement or warning area was before a load of its file changed it; a new one has nothing before"
    ),
)

landslide = Table(
    "landslide",
    metadata,
    key(),
    of_region(),
    column("source_id", Text, "Id in the inventory"),
    column("day", Date, "Day of the event; null = unknown", nullable=True),
    column("accuracy_m", Double, "How far off its location may be, m; null = unknown", nullable=True),
    column("trigger", Text, "What set it off, as the inventory spells it; empty where unknown", server_default=""),
    column("source", Text, "Who reported it, as the inventory says; empty where unknown", server_default=""),
    column("outline", Boolean, "Drawn as an outline; else a disc around a point", server_default="true"),
    column("slid", Boolean, "It slid; false: a place that is given as not having slid", server_default="true"),
    shape("MULTIPOLYGON", "Extent; a landslide given as a point is a disc around it"),
    column(
        "confirmed",
        Boolean,
        "It may teach, and warnings are judged by it; false: a report that nobody has confirmed",
        server_default="true",
    ),
    column(
        "reported_at", INSTANT, "When it was reported over the web; null = it came with an inventory", nullable=True
    ),
    column(
        "reported_by",
        Text,
        "Name of the token it was reported with; null = it came with an inventory",
        nullable=True,
    ),
    column("note", Text, "What whoever reported it said; empty where nothing", server_default=""),
    column("decided_by", Text, "Who confirmed or dismissed the report; null where nobody has", nullable=True),
    column("decided_at", INSTANT, "When; null where nobody has", nullable=True),
    UniqueConstraint("region", "source_id"),
    check("geometry", VALID),
    check("accuracy", "accuracy_m >= 0"),
    check("confirmed", "confirmed OR reported_at IS NOT NULL"),
    check("reported", "(reported_at IS NULL) = (reported_by IS NULL)"),
    check("decided", "(decided_at IS NULL) = (decided_by IS NULL)"),
    Index("ix_landslide_waiting", "region", postgresql_where=text("NOT confirmed")),
    spatial("landslide"),
    comment="The inventory of landslides that happened, and of places given as not having slid",
)
