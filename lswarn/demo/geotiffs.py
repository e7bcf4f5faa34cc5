"""Made rain as GeoTIFFs, as PPS and the Climate Hazards Center lay them out. Pure.

All but a few cells of such a file are always the same: those are packed once, and the rain is written over them.
"""

from functools import cache

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window

from lswarn.demo.axes import IMERG_LONS, NORTH_FIRST, Axis, Box, block

GIS_MISSING = 29999
"""PPS's own; its files of earlier years hold 9999."""
CHIRPS_MISSING = -9999.0
CHIRPS_LATS, CHIRPS_LONS = Axis(59.975, -0.05, 2400), Axis(-179.975, 0.05, 7200)


def imerg_gis(
    rain: xr.DataArray,
    *,
    missing: int = GIS_MISSING,
    outside: int | None = None,
    nodata_tag: float | None = None,
    south_first: bool = False,
    upside_down: bool = False,
    rows: int = 1800,
) -> bytes:
    """A GeoTIFF of PPS: 16-bit integers of 0.1 mm, north first.

    Args:
        missing: value of unknown cells; 9999 in files of earlier years.
        outside: value beyond `rain`, if other than missing.
        nodata_tag: real files have none to be trusted.
        south_first: from the south upwards, and its georeferencing says so.
        upside_down: the data run against the georeferencing.
        rows: fewer than all cut the south off.
    """
    box, mm = block(rain, NORTH_FIRST, IMERG_LONS)
    tenths = np.where(np.isnan(mm), missing, np.round(np.nan_to_num(mm) * 10)).astype(np.uint16)
    blank = _blank_gis(missing if outside is None else outside, nodata_tag, south_first, rows)
    return _written_over(blank, box, tenths, rows, from_south=south_first != upside_down)


def chirps(
    rain: xr.DataArray,
    *,
    missing: float = CHIRPS_MISSING,
    nodata_tag: float | None = None,
    south_first: bool = False,
    upside_down: bool = False,
) -> bytes:
    """A CHIRPS v3 (or CHIRPS-GEFS) GeoTIFF: 60° N to 60° S, float32 mm of the day, sea missing and no tag to say so.

    Around `rain` no drop falls on land (see `is_land`). Switches as of `imerg_gis`.
    """
    box, mm = block(rain, CHIRPS_LATS, CHIRPS_LONS)
    known = np.where(np.isnan(mm), missing, mm).astype(np.float32)
    from_south = south_first != upside_down
    blank = _blank_chirps(missing, nodata_tag, south_first, from_south)
    return _written_over(blank, box, known, CHIRPS_LATS.size, from_south=from_south)


def is_land(lats: NDArray[np.floating], lons: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The continents in few strokes, (lat, lon): enough to tell north from south and east from west."""
    boxes = (  # south, north, west, east
        (25, 60, -124, -70), (-35, 10, -78, -40), (-54, -35, -74, -63), (10, 25, -105, -88),  # the Americas
        (36, 60, -9, 60), (10, 60, 60, 140), (5, 36, -16, 60), (-34, 5, 10, 40), (-38, -12, 114, 152),  # the Old World
    )  # fmt: skip
    lons = (lons + 180) % 360 - 180
    land = np.zeros((len(lats), len(lons)), bool)
    for south, north, west, east in boxes:
        land[np.ix_((lats > south) & (lats < north), (lons > west) & (lons < east))] = True
    return land


@cache
def _blank_gis(outside: int, nodata: float | None, south_first: bool, rows: int) -> bytes:
    return _geotiff(np.full((rows, IMERG_LONS.size), outside, np.uint16), 90, 0.1, nodata, south_first)


@cache
def _blank_chirps(missing: float, nodata: float | None, south_first: bool, from_south: bool) -> bytes:
    land = is_land(CHIRPS_LATS.values, CHIRPS_LONS.values)
    blank = np.where(land[::-1] if from_south else land, np.float32(0), np.float32(missing))
    return _geotiff(blank, 60, 0.05, nodata, south_first)


def _geotiff(values: NDArray, north: float, step: float, nodata: float | None, south_first: bool) -> bytes:
    south = north - step * len(values)
    transform = Affine(step, 0, -180, 0, step, south) if south_first else Affine(step, 0, -180, 0, -step, north)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=values.shape[1], height=len(values), count=1, dtype=values.dtype, crs="EPSG:4326",
            transform=transform, nodata=nodata, compress="deflate", zlevel=1, blockysize=60,
        ) as file:  # fmt: skip
            file.write(values[np.newaxis])
        return bytes(memory.read())


def _written_over(blank: bytes, box: Box, values: NDArray, rows: int, *, from_south: bool) -> bytes:
    """A GeoTIFF with some of its cells anew; `box` and `values` count from the north, `rows` is how many it has."""
    values = values[: max(0, rows - box[0].start)]  # what it does not reach is left out
    if not values.size:
        return blank
    top = rows - box[0].start - len(values) if from_south else box[0].start
    with MemoryFile() as memory:
        memory.write(blank)  # a copy: opened on the bytes themselves, GDAL would write into them
        with rasterio.open(memory.name, "r+") as file:
            window = Window(box[1].start, top, values.shape[1], len(values))
            file.write((values[::-1] if from_south else values)[np.newaxis], window=window)
        memory.seek(0)
        return bytes(memory.read())
