"""Which zone comes from which: zones of one run held against those of an earlier one."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from lswarn.db import tables
from lswarn.db.engine import copy_rows

LEAST_M2 = 1.0
"""Less in common is rounding."""
AT_ONCE = 2048
"""Pairs of zones that a thread takes on at a time."""

# Of an unknown day nothing is known, neither what came from it nor what went.
EARLIER = """
    SELECT earlier.id FROM lswarn.run AS earlier
    JOIN lswarn.run AS run ON run.id = :run_id
    WHERE earlier.region = run.region AND earlier.kind = 'observed' AND earlier.valid_day < run.valid_day
      AND earlier.superseded_at IS NULL AND earlier.pruned_at IS NULL AND earlier.model_id IS NOT NULL
      AND run.kind = 'observed' AND run.model_id IS NOT NULL
    ORDER BY earlier.valid_day DESC
    LIMIT 1"""

LATER = """
    SELECT later.id FROM lswarn.run AS later
    JOIN lswarn.run AS run ON run.id = :run_id
    WHERE later.region = run.region AND later.kind = 'observed' AND later.valid_day > run.valid_day
      AND later.superseded_at IS NULL AND later.pruned_at IS NULL AND later.model_id IS NOT NULL
      AND run.kind = 'observed'
    ORDER BY later.valid_day
    LIMIT 1"""

SAME = """
    INSERT INTO lswarn.zone_lineage (run_id, zone_id, earlier_zone_id, overlap_m2)
    SELECT :run_id, zone.id, earlier.id, zone.area_m2
    FROM lswarn.run_zone AS zone
    JOIN lswarn.run_zone AS earlier ON earlier.shape_id = zone.shape_id
    WHERE zone.run_id = :run_id AND earlier.run_id = :earlier_id"""

# Zones of one run do not overlap: one that changed can lie only where another one changed or went.
CHANGED = """
    SELECT zone.id, zone.area_m2, ST_AsBinary(shape.geometry)
    FROM lswarn.run_zone AS zone
    JOIN lswarn.zone_shape AS shape ON shape.id = zone.shape_id
    WHERE zone.run_id = %(run_id)s
      AND zone.shape_id NOT IN (SELECT shape_id FROM lswarn.run_zone WHERE run_id = %(other_id)s)
    ORDER BY zone.id"""


def record_lineage(conn: Connection, run_id: int) -> None:
    """Write down which zones of the observed day before lay where the zones of an observed run lie.

    The day after, where it is there already, is held against this run instead of an older one.
    """
    for each in (run_id, conn.execute(text(LATER), {"run_id": run_id}).scalar()):
        if each is not None:
            _compare(conn, each)


def overlaps(
    zones: NDArray[Any], earlier: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Which of two sets of polygons lie over each other.

    Args:
        zones, earlier: valid polygons in degrees, small enough that the share of an area in degrees is its share in m².

    Returns:
        Numbers of the pairs in both, and the share of the zone's area that is the other's too, above 0.
    """
    first, second = shapely.STRtree(earlier).query(zones)

    def area(start: int) -> NDArray[Any]:
        some = slice(start, start + AT_ONCE)
        return np.asarray(shapely.area(shapely.intersection(zones[first[some]], earlier[second[some]])))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # GEOS lets the others go on
        common = np.concatenate([np.zeros(0), *pool.map(area, range(0, len(first), AT_ONCE))])
    over = common > 0
    first, second = first[over], second[over]
    return first, second, common[over] / shapely.area(zones[first])


def _compare(conn: Connection, run_id: int) -> None:
    facts: dict[str, Any] = {"run_id": run_id}
    facts["earlier_id"] = earlier = conn.execute(text(EARLIER), facts).scalar()
    conn.execute(text("UPDATE lswarn.run SET earlier_run_id = :earlier_id WHERE id = :run_id"), facts)
    conn.execute(text("DELETE FROM lswarn.zone_lineage WHERE run_id = :run_id"), facts)
    if earlier is None:
        return
    conn.execute(text(SAME), facts)
    ids, area_m2, zones = _changed(conn, run_id, earlier)
    earlier_ids, _, earlier_zones = _changed(conn, earlier, run_id)
    first, second, share = overlaps(zones, earlier_zones)
    overlap_m2 = share * area_m2[first]
    real = overlap_m2 > LEAST_M2
    columns = (ids[first[real]], earlier_ids[second[real]], overlap_m2[real])
    rows = ((run_id, *row) for row in zip(*(column.tolist() for column in columns), strict=True))
    names = ["run_id", "zone_id", "earlier_zone_id", "overlap_m2"]
    copy_rows(conn, tables.zone_lineage, names, rows, ["int8", "int8", "int8", "float8"])


def _changed(conn: Connection, run_id: int, other_id: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Zones of a run whose outlines another one has not: keys, areas in m², outlines."""
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the one driver `connect` sets
    with driver.cursor(binary=True) as cursor:
        rows = cursor.execute(CHANGED, {"run_id": run_id, "other_id": other_id}).fetchall()
    ids, areas, outlines = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(ids, np.int64), np.array(areas, float), shapely.from_wkb(np.array(outlines, object))
