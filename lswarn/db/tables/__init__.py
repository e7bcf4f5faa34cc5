"""The tables of schema `lswarn`, as SQLAlchemy sees them. The views stand in the migrations alone.

Geometries are EPSG:4326; lengths and areas are computed in the region's metric CRS. Features keep the id of the file
they came from (`source_id`), which is the id used everywhere outside the database.
"""

from lswarn.db.tables.columns import SCHEMA, metadata
from lswarn.db.tables.found import (
    class_area,
    exposure_total,
    model,
    model_drift,
    rain_day,
    rainfall_exceedance,
    road_exposure,
    run,
    settlement_exposure,
    susceptibility_zone,
    zone_lineage,
)
from lswarn.db.tables.said import alert, alert_message
from lswarn.db.tables.sent import circuit, delivery, delivery_attempt, subscriber
from lswarn.db.tables.tiles import class_tile, run_tile
from lswarn.db.tables.watched import asset_change, landslide, region, road, settlement, warning_area

__all__ = [
    "SCHEMA",
    "alert",
    "alert_message",
    "asset_change",
    "circuit",
    "class_area",
    "class_tile",
    "delivery",
    "delivery_attempt",
    "exposure_total",
    "landslide",
    "metadata",
    "model",
    "model_drift",
    "rain_day",
    "rainfall_exceedance",
    "region",
    "road",
    "road_exposure",
    "run",
    "run_tile",
    "settlement",
    "settlement_exposure",
    "subscriber",
    "susceptibility_zone",
    "warning_area",
    "zone_lineage",
]
