"""Critical rainfall of one cell, from the critical layers on disk (door: disk)."""

import logging
import math
from pathlib import Path

import numpy as np
from pyproj import Transformer

from lswarn.errors import NotPrimed
from lswarn.hazard.classes import WARNED, Class
from lswarn.hazard.critical import NEVER, TILE_CELLS, UNKNOWN, layers_at, rain_tenths

log = logging.getLogger(__name__)


def load_critical_tenths(folder: Path, lon: float, lat: float) -> dict[Class, int]:
    """From how much rain on the cell at a point is in a class, tenths of a millimetre; see `hazard.critical`.

    Args:
        folder: of the critical layers, as a run names it.

    Returns:
        For HIGH and VERY_HIGH: tenths, NEVER, or UNKNOWN: outside the grid, or the layers are gone or damaged.
    """
    unknown = dict.fromkeys(WARNED, UNKNOWN)
    try:
        with layers_at(folder) as layers:
            x, y = Transformer.from_crs("EPSG:4326", layers.grid.crs, always_xy=True).transform(lon, lat)
            if not (math.isfinite(x) and math.isfinite(y)):
                return unknown
            at_col, at_row = ~layers.grid.transform @ (x, y)
            row, col = math.floor(at_row), math.floor(at_col)
            if not (0 <= row < layers.grid.height and 0 <= col < layers.grid.width):
                return unknown
            tile, within = (row // TILE_CELLS, col // TILE_CELLS), (row % TILE_CELLS, col % TILE_CELLS)
            return {each: int(layers.read(each, *tile)[within]) for each in WARNED}
    except NotPrimed as error:
        log.warning("%s", error)
        return unknown


def rain_to_go(
    critical: int, rain_mm: float | None, *, rain_max_mm: float | None, lower_bound: bool
) -> tuple[str, float | None, float | None]:
    """How much more rain until a cell is in a class; the status as `lswarn.rain_to_go_now` has it.

    Args:
        critical: tenths, NEVER or UNKNOWN.
        rain_mm: that has fallen; None = unknown.
        rain_max_mm: most rain that the model has seen; None where it is not known.
        lower_bound: more may have fallen.

    Returns:
        status, critical rainfall, mm, and what is missing, mm; None where there is none.
    """
    if critical == UNKNOWN or (rain_mm is None and critical > 0):
        return "unknown", None if critical >= NEVER else critical / 10, None
    if critical == NEVER:
        beyond = rain_max_mm is not None and rain_mm is not None and rain_mm > rain_max_mm
        return ("beyond_model" if beyond else "never"), None, None
    fallen = 0 if rain_mm is None else _tenths(rain_mm, rain_max_mm)
    if fallen >= critical:
        return "reached", critical / 10, 0.0
    return ("at_most" if lower_bound else "known"), critical / 10, (critical - fallen) / 10


def _tenths(rain_mm: float, rain_max_mm: float | None) -> int:
    """As the day itself reads it."""
    most = (NEVER - 1) / 10 if rain_max_mm is None else rain_max_mm
    return int(rain_tenths(np.array([rain_mm], np.float32), most)[0])
