"""Zones, and what lies in them.

An outline that comes back day after day is stored once, and what lies in it is cut once: a run points at shapes, and
the parts of roads and settlements belong to the shape. Readers see all of it together in the views
`susceptibility_zone`, `road_exposure` and `settlement_exposure`.
"""

from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID

from lswarn.db.tables.columns import (
    VALID,
    check,
    column,
    key,
    metadata,
    of_region,
    of_run,
    probability,
    shape,
    spatial,
    warned_class,
)

zone_shape = Table(
    "zone_shape",
    metadata,
    key(),
    of_region(),
    column(
        "digest",
        UUID(as_uuid=False),
        "Of its region, the digests of assets and rules, and its outline: the first half of their sha256",
    ),
    shape("POLYGON", "Extent"),
    UniqueConstraint("digest"),
    check("geometry", VALID),
    spatial("zone_shape"),
    comment=(
        "Outlines of zones; one that stays the same from day to day, under the same assets and rules, is stored once"
    ),
)

# No keys but its own, here and below: one statement writes all rows of a run, of what it has just written itself.
run_zone = Table(
    "run_zone",
    metadata,
    key(),
    column("run_id", BigInteger, "Run that found it"),
    column("shape_id", BigInteger, "Its outline"),
    warned_class(),
    column("area_m2", Double, "Area, m²"),
    probability("mean"),
    probability("max"),
    check("class", "class IN (4, 5)"),
    check("area", "area_m2 > 0"),
    # A mean of float32 cells may lie a rounding above their maximum.
    check(
        "probability", "0 <= probability_mean AND probability_mean <= probability_max + 1e-6 AND probability_max <= 1"
    ),
    Index("ix_run_zone_run_id_shape_id", "run_id", "shape_id"),
    comment="Which shapes are the zones of a run, and of which class; with their outlines: susceptibility_zone",
)


def _part(what: str, parts: str) -> list[Any]:
    return [
        column("shape_id", BigInteger, "Shape it lies in"),
        column("number", Integer, f"Of the {parts} in that shape, from 1"),
        column(f"{what}_id", BigInteger, f"Which {what}"),
        column("area_id", BigInteger, "Warning area it lies in"),
        PrimaryKeyConstraint("shape_id", "number"),
        # With the key of its zone it makes the key of what the views show, whose last twenty bits it is.
        check("number", "number BETWEEN 1 AND 1048575"),
    ]


road_part = Table(
    "road_part",
    metadata,
    *_part("road", "stretches"),
    column("length_m", Double, "Length inside, m"),
    shape("MULTILINESTRING", "The stretch inside"),
    check("length", "length_m > 0"),
    comment="Stretch of one road in one shape and one warning area; of a run: road_exposure",
)

settlement_part = Table(
    "settlement_part",
    metadata,
    *_part("settlement", "parts"),
    column("area_m2", Double, "Area inside, m²"),
    column("area_share", Double, "Share of the settlement's area inside, 0 to 1"),
    column("people", Integer, "Share times population, rounded; null where the population is unknown", nullable=True),
    shape("MULTIPOLYGON", "The part inside"),
    check("share", "area_m2 > 0 AND area_share > 0 AND area_share <= 1"),
    check("people", "people >= 0"),
    comment="Part of one settlement in one shape and one warning area; of a run: settlement_exposure",
)

exposure_total = Table(
    "exposure_total",
    metadata,
    of_run(),
    column("area_id", BigInteger, "Warning area", ForeignKey("warning_area.id")),
    warned_class(),
    column("roads", BigInteger, "Roads with a stretch inside"),
    column("road_m", Double, "Length of these stretches, m"),
    column("settlements", BigInteger, "Settlements with a part inside"),
    column("people", BigInteger, "Of settlements whose population is known"),
    column("settlements_uncounted", BigInteger, "Settlements hit whose population is unknown"),
    PrimaryKeyConstraint("run_id", "area_id", "class"),
    check("class", "class IN (4, 5)"),
    check("known", "roads >= 0 AND road_m >= 0 AND settlements >= 0 AND people >= 0 AND settlements_uncounted >= 0"),
    comment="What lay in zones of one class in one warning area; no row where nothing did",
)

zone_lineage = Table(
    "zone_lineage",
    metadata,
    column("run_id", BigInteger, "Run that found the zone; which run the earlier zone is of, it says itself"),
    column("zone_id", BigInteger, "Zone"),
    column("earlier_zone_id", BigInteger, "Zone of the earlier run; it may have been deleted since"),
    column("overlap_m2", Double, "Area that both have, m²"),
    PrimaryKeyConstraint("run_id", "zone_id", "earlier_zone_id"),
    check("overlap", "overlap_m2 > 0"),
    comment="Which zones of an earlier day lay where a zone lies, of either class",
)
