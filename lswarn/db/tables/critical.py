"""How much rain assets can take, and how much has fallen."""

from geoalchemy2 import Raster
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from lswarn.db.tables.columns import INSTANT, check, column, metadata, of_region, of_run, warned_class

critical_source = Table(
    "critical_source",
    metadata,
    of_region(),
    column("layers", Text, "Key of the critical layers"),
    column("model_id", Text, "Model they were made with"),
    column("measure", Text, "What its rain is of seven days, by name"),
    column("rain_max_mm", Double, "Most rain of seven days that the model has seen, mm; more is judged as this much"),
    column("assets_digest", Text, "Digest of the asset files that were looked up"),
    column("recorded_at", INSTANT, "When they were looked up", server_default=text("now()")),
    PrimaryKeyConstraint("region"),
    ForeignKeyConstraint(["region", "model_id"], ["model.region", "model.id"]),
    check("rain", "rain_max_mm > 0"),
    comment="Which critical layers asset_critical was taken from",
)

asset_critical = Table(
    "asset_critical",
    metadata,
    of_region(),
    column("kind", Text, "warning_area, road or settlement: the table in which it is"),
    column("asset_id", BigInteger, "Which one"),
    warned_class(),
    column("square", Integer, "Which square, counted from the north-west, row by row"),
    column(
        "critical_mm",
        Double,
        "Rain of seven days from which on a cell of it here is in that class or above, mm, rounded up to tenths;"
        " 0 = without rain; null = no rain that the model has seen puts a known cell there",
        nullable=True,
    ),
    column(
        "ground_unknown",
        Boolean,
        "A factor of some cell of it here is unknown, so that less rain may do; where critical_mm is null, nothing is"
        " known",
    ),
    column("lon", Double, "Longitude of the cell, degrees; where critical_mm is null, of any cell of it here"),
    column("lat", Double, "Latitude of the cell, degrees"),
    PrimaryKeyConstraint("kind", "asset_id", "class", "square"),
    check("kind", "kind IN ('warning_area', 'road', 'settlement')"),
    check("class", "class IN (4, 5)"),
    Index("ix_asset_critical_region", "region"),
    check("critical", "critical_mm >= 0 AND critical_mm < 'Infinity'"),
    comment=(
        "The least critical rainfall of a road, settlement or warning area in each square of 64 by 64 cells that it"
        " touches, and where it is"
    ),
)

run_rain = Table(
    "run_rain",
    metadata,
    of_run(),
    column("lower_bound", Boolean, "Somewhere more rain fell than was measured"),
    column("rast", Raster(spatial_index=False), "Rain of seven days on its own grid, mm, EPSG:4326; NaN = unknown"),
    PrimaryKeyConstraint("run_id"),
    comment="The rain of seven days that a run was made from",
)
