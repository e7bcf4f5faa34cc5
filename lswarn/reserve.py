"""How much more rain it takes: the critical rainfall of every road, settlement and warning area, looked up once.

The layers say what each cell can take. What the cells of a road come to does not change from day to day, so it is
looked up when the layers or the assets have changed, and the database answers for any day by its rain alone.
"""

import logging

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from lswarn.db import critical
from lswarn.db.engine import open_database, transaction
from lswarn.hazard.critical import NEVER, CriticalLayers
from lswarn.hazard.least import LeastCritical, least_critical
from lswarn.region import Region
from lswarn.settings import Settings
from lswarn.workers import Threads, Workers

log = logging.getLogger(__name__)

BATCH = 50_000
"""So many shapes at a time: some hundred megabytes at most."""


def look_up(region: Region, settings: Settings, layers: CriticalLayers, *, workers: Workers | None = None) -> int:
    """Write down what the assets of a region can take; nothing is done where that stands there already.

    Reads first and writes in one transaction at the end, so that a day that runs meanwhile does not wait, and one that
    is killed leaves what was there.

    Args:
        layers: of the champion.
        workers: who does the tiles; left out: threads.

    Returns:
        How many rows were written; 0: they stood there already.

    Raises:
        NotPrimed: a layer is damaged.
        DatabaseError: the region or the model is not recorded.
    """
    with transaction(open_database(settings)) as conn:
        if critical.is_current(conn, region, layers.key):
            return 0
        digest = critical.find_assets_digest(conn, region)
        found = [
            _rows(layers, kind, ids, least)
            for kind in critical.KINDS
            for ids, shapes in critical.find_shapes(conn, region, kind, BATCH)
            for least in least_critical(layers, _metric(shapes, layers), workers or Threads())
        ]
    source = critical.CriticalSource(layers.key, layers.model_id, layers.measure, layers.rain_max_mm)
    with transaction(open_database(settings), region) as conn:
        critical.record_critical(conn, region, source, found, digest)
    count = sum(len(each.asset_id) for each in found)
    log.info("%s: critical rainfall of roads, settlements and warning areas looked up: %d places", region.name, count)
    return count


def _metric(shapes: NDArray[np.object_], layers: CriticalLayers) -> NDArray[np.object_]:
    to_metric = Transformer.from_crs("EPSG:4326", layers.grid.crs, always_xy=True)
    return shapely.transform(shapes, to_metric.transform, interleaved=False)


def _rows(layers: CriticalLayers, kind: str, ids: NDArray[np.int64], least: LeastCritical) -> critical.CriticalRows:
    place = layers.grid.transform
    x, y = place.c + place.a * (least.col + 0.5), place.f + place.e * (least.row + 0.5)
    lon, lat = Transformer.from_crs(layers.grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    known = least.critical < NEVER
    return critical.CriticalRows(
        kind,
        ids[least.shape],
        least.square,
        least.warned,
        np.where(known, least.critical / 10, np.nan),
        least.ground_unknown,
        lon,
        lat,
    )
