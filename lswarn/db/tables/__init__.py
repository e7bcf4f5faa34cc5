"""The tables of schema `lswarn`, as SQLAlchemy sees them. The views stand in the migrations alone.

Geometries are EPSG:4326; lengths and areas are computed in the region's metric CRS. Features keep the id of the file
they came from (`source_id`), which is the id used everywhere outside the database.
"""

from lswarn.db.tables.asked import api_token, landslide_photo
from lswarn.db.tables.columns import SCHEMA, metadata
from lswarn.db.tables.critical import asset_critical, critical_source, run_rain
from lswarn.db.tables.found import (
    class_area,
    model,
    model_drift,
    rain_day,
    rainfall_exceedance,
    run,
)
from lswarn.db.tables.said import alert, alert_message
from lswarn.db.tables.sent import circuit, delivery, delivery_attempt, subscriber
from lswarn.db.tables.tiles import class_tile, run_tile
from lswarn.db.tables.watched import asset_change, landslide, region, road, settlement, warning_area
from lswarn.db.tables.zones import exposure_total, road_part, run_zone, settlement_part, zone_lineage, zone_shape

__all__ = [
    "SCHEMA",
    "alert",
    "alert_message",
    "api_token",
    "asset_change",
    "asset_critical",
    "circuit",
    "class_area",
    "class_tile",
    "critical_source",
    "delivery",
    "delivery_attempt",
    "exposure_total",
    "landslide",
    "landslide_photo",
    "metadata",
    "model",
    "model_drift",
    "rain_day",
    "rainfall_exceedance",
    "region",
    "road",
    "road_part",
    "run",
    "run_rain",
    "run_tile",
    "run_zone",
    "settlement",
    "settlement_part",
    "subscriber",
    "warning_area",
    "zone_lineage",
    "zone_shape",
]
