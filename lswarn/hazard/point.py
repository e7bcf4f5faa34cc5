"""Critical rainfall of one cell, from the critical layers on disk (door: disk)."""

from pathlib import Path

import rasterio
from rasterio.errors import RasterioError
from rasterio.warp import transform
from rasterio.windows import Window

from lswarn.hazard.classes import Class
from lswarn.hazard.critical import NEVER, UNKNOWN

WARNED = (Class.HIGH, Class.VERY_HIGH)


def load_critical_tenths(layers: Path, lon: float, lat: float) -> dict[Class, int]:
    """From how much rain on the cell at a point is in a class, tenths of a millimetre; see `hazard.critical`.

    Args:
        layers: folder of the critical layers.

    Returns:
        For HIGH and VERY_HIGH: tenths, NEVER, or UNKNOWN: outside the grid, or the layers are gone.
    """
    found = dict.fromkeys(WARNED, UNKNOWN)
    for each in WARNED:
        try:
            with rasterio.open(layers / f"{each.name.lower()}.tif") as file:
                (x,), (y,) = transform("EPSG:4326", file.crs, [lon], [lat])
                row, col = file.index(x, y)
                if 0 <= row < file.height and 0 <= col < file.width:
                    found[each] = int(file.read(1, window=Window(col, row, 1, 1))[0, 0])
        except (RasterioError, ValueError, OverflowError):
            continue
    return found


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
    fallen = int((rain_mm or 0.0) * 10 + 1e-6)
    if fallen >= critical:
        return "reached", critical / 10, 0.0
    return ("at_most" if lower_bound else "known"), critical / 10, (critical - fallen) / 10
