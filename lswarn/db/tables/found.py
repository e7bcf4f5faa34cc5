"""What is known and what was found: rain, networks, and the runs of the days; their zones are in `zones`."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from lswarn.db.tables.columns import (
    INSTANT,
    check,
    column,
    key,
    metadata,
    of_region,
    of_run,
    shape,
    spatial,
)

rain_day = Table(
    "rain_day",
    metadata,
    key(),
    of_region(),
    column("day", Date, "The provider's UTC day"),
    column("product", Text, "Such as IMERG-Late"),
    column("version", Text, "Such as V07B; of a forecast, the instant it was issued"),
    column("uri", Text, "Where the granule came from"),
    column("sha256", Text, "Digest of its bytes"),
    column("published_at", INSTANT, "When its provider says it was published; null = unknown", nullable=True),
    column("forecast", Boolean, "Made before the day was over", server_default=text("false")),
    column("fetched_at", INSTANT, "When it was fetched"),
    column(
        "superseded_at", INSTANT, "Since when a better granule of that day is there; null = the best", nullable=True
    ),
    UniqueConstraint("region", "day", "product", "version", "sha256"),
    comment="Rain granules fetched, kept also when superseded",
)

model = Table(
    "model",
    metadata,
    of_region(),
    column("id", Text, "Content hash of the checkpoint"),
    column("role", Text, "candidate, champion (in use, one a region) or retired"),
    column("path", Text, "Checkpoint file"),
    column("snapshot_id", Text, "Training snapshot it learned from"),
    column("metrics", JSONB, "How it did on held-out blocks"),
    column("made_at", INSTANT, "When it was trained"),
    column("promoted_at", INSTANT, "When it last became champion", nullable=True),
    PrimaryKeyConstraint("region", "id"),
    check("role", "role IN ('candidate', 'champion', 'retired')"),
    Index("uq_model_champion", "region", unique=True, postgresql_where=text("role = 'champion'")),
    comment="Trained networks",
)

model_drift = Table(
    "model_drift",
    metadata,
    column("region", Text, "Region it belongs to"),
    column("model_id", Text, "Network that learnt from what was before"),
    column("of", Text, "ground; or of rain, the period it fell in"),
    column("subject", Text, "Factor, or rain"),
    column(
        "psi",
        Double,
        "Population stability index: by convention below 0.1 little, above 0.25 much; null = not told",
        nullable=True,
    ),
    column("cells", BigInteger, "Known values it was told by"),
    column("made_at", INSTANT, "When it was asked"),
    PrimaryKeyConstraint("region", "model_id", "of", "subject"),
    ForeignKeyConstraint(["region", "model_id"], ["model.region", "model.id"]),
    check("psi", "psi >= 0"),
    check("cells", "cells >= 0"),
    comment="How far ground and rain have moved from what a model learnt from; the newest of each kind",
)

run = Table(
    "run",
    metadata,
    key(),
    of_region(),
    column("valid_day", Date, "Last UTC day of the seven days of rain"),
    column(
        "kind",
        Text,
        "observed; outlook: of a day that was not over; hindcast: of a past day, with what had been published by then",
        server_default="observed",
    ),
    column(
        "lead_days", SmallInteger, "How many of the seven days are forecast: 0 but for an outlook", server_default="0"
    ),
    column("key", Text, "sha256 of everything it was made from: same key, same result"),
    column(
        "status",
        Text,
        "complete; lower_bound: rain is missing, modelled: rain is modelled, not observed: in both nothing follows from"
        " a zone's absence; unknown: nothing is known at all",
    ),
    column("grade", Text, "A to E: how far the rain can be trusted"),
    column("model_id", Text, "Network used; null where none was asked", nullable=True),
    column("rain", JSONB, "Granules of the window: day, product, version, sha256, uri"),
    column("missing", ARRAY(Date), "Days of the window without rain"),
    column("rules_digest", Text, "sha256 of region.toml"),
    column("assets_digest", Text, "Digest of the asset files"),
    column("software", Text, "Version of lswarn"),
    column("rasters", JSONB, "Class and probability rasters by name: path and sha256"),
    column("published_at", INSTANT, "When it was published"),
    column(
        "superseded_at", INSTANT, "When a later run of that day and kind replaced it; null = it counts", nullable=True
    ),
    column(
        "pruned_at",
        INSTANT,
        "When its map, zones and exposure were deleted for their age; null = they are kept",
        nullable=True,
    ),
    column(
        "earlier_run_id",
        BigInteger,
        "Observed run of an earlier day that its zones were compared with; null = with none",
        ForeignKey("run.id"),
        nullable=True,
    ),
    ForeignKeyConstraint(["region", "model_id"], ["model.region", "model.id"]),
    check("grade", "grade IN ('A', 'B', 'C', 'D', 'E')"),
    check(
        "status",
        "status = CASE WHEN model_id IS NULL THEN 'unknown' WHEN grade = 'E' OR lead_days > 0 THEN 'modelled'"
        " WHEN grade = 'D' THEN 'lower_bound' ELSE 'complete' END",
    ),
    check("kind", "kind IN ('observed', 'outlook', 'hindcast')"),
    check("lead", "lead_days >= 0 AND (kind = 'outlook') = (lead_days > 0)"),
    Index("uq_run_current", "region", "valid_day", "kind", unique=True, postgresql_where=text("superseded_at IS NULL")),
    comment="One publication of one day and kind; what a superseded run found is deleted, the run itself is kept",
)

class_area = Table(
    "class_area",
    metadata,
    of_run(),
    column("area_id", BigInteger, "Warning area", ForeignKey("warning_area.id")),
    column("class", SmallInteger, "Susceptibility: 0 unknown, 1 very low, 2 low, 3 moderate, 4 high, 5 very high"),
    column("area_m2", Double, "Area of that class, m²"),
    PrimaryKeyConstraint("run_id", "area_id", "class"),
    check("class", "class BETWEEN 0 AND 5"),
    check("area", "area_m2 >= 0"),
    comment="Area of each class in each warning area",
)

rainfall_exceedance = Table(
    "rainfall_exceedance",
    metadata,
    key(),
    of_run(),
    column("rain_mm", Double, "Rain of seven days, in the region's measure, mm"),
    column("critical_mm", Double, "Critical rain of seven days, in the same measure, mm"),
    column("safety_factor", Double, "critical_mm / rain_mm"),
    column("lower_bound", Boolean, "More rain fell than was measured"),
    shape("POLYGON", "Cell of the rain grid"),
    check("rain", "rain_mm > 0 AND critical_mm > 0 AND safety_factor > 0"),
    Index(None, "run_id"),
    spatial("rainfall_exceedance"),
    comment="Rain cells above their critical rainfall",
)
