"""How much rain of seven days starts landslides, and how near the rain of a day comes to it."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from lswarn.errors import RegionError
from lswarn.grid import Grid
from lswarn.rain.window import require_same_grid
from lswarn.region import Threshold
from lswarn.sources import degrees, is_raster, load_vector, warped

CONTEXT = "rain.threshold"


def critical_rainfall(threshold: Threshold, like: xr.DataArray) -> xr.DataArray:
    """Critical 7-day rainfall Rc on the rain grid.

    A raster gives the value of its cell under each rain cell's centre. Zones give the value of the zone around the
    centre; where several overlap, the lowest, which warns first.

    Args:
        like: any field on the rain grid, dimensions (lat, lon) ascending and evenly spaced, degrees.

    Returns:
        mm in seven days, above 0; NaN where the raster is nodata or ends, or no zone lies.

    Raises:
        RegionError: the file cannot be used, does not reach the grid, or holds something that is no rainfall.
    """
    like = like.transpose("lat", "lon")
    if threshold.file is None:
        values = np.full(like.shape, threshold.constant_mm, np.float32)
    elif threshold.field is None:
        values = _of_raster(threshold.file, like)
    else:
        values = _of_zones(threshold.file, threshold.layer, threshold.field, like)
    if (values <= 0).any():
        raise RegionError(
            f"{CONTEXT}: {threshold.file}: holds {np.nanmin(values):g}, and critical rainfall is above 0 mm; "
            "mark cells or zones without a threshold as nodata (raster) or null (field)"
        )
    attrs = {"units": "mm", "long_name": "critical rain of seven days", "source": threshold.source}
    return like.copy(data=values).rename("critical_rainfall").assign_attrs(attrs)


def safety_factor(critical: xr.DataArray, total: xr.DataArray) -> xr.DataArray:
    """SF = Rc / R7: below 1 the critical rainfall is exceeded.

    Where `total` is a lower bound (grade D), the result is an upper bound.

    Args:
        critical: Rc, mm, above 0.
        total: R7, mm, 0 or more.

    Returns:
        Ratio on the same grid; infinite without rain, NaN where either is.

    Raises:
        GridMismatch: the two lie on different grids.
    """
    require_same_grid(critical, total, "critical rainfall and the rain of seven days")
    with np.errstate(divide="ignore", over="ignore"):
        ratio = critical.transpose("lat", "lon").values / total.transpose("lat", "lon").values
    attrs = {"units": "1", "long_name": "safety factor Rc/R7"}
    return xr.DataArray(ratio, {axis: total[axis] for axis in ("lat", "lon")}, ("lat", "lon"), "safety_factor", attrs)


def _of_raster(file: Path, like: xr.DataArray) -> NDArray[np.float32]:
    if not is_raster(file, context=CONTEXT):
        raise RegionError(f"{CONTEXT}: {file}: a vector; say which field = … holds the critical rainfall, mm")
    grid = _grid(like)
    with warped(file, grid, resampling="nearest", context=CONTEXT) as raster:
        return raster.read(grid.whole)[::-1]  # row 0 of a grid is in the north


def _of_zones(file: Path, layer: str | None, field: str, like: xr.DataArray) -> NDArray[np.float32]:
    bbox = degrees(_grid(like))
    zones = load_vector(file, layer=layer, fields=[field], crs="EPSG:4326", bbox=bbox, context=CONTEXT)
    try:
        zones[field] = zones[field].astype(float)
    except (ValueError, TypeError) as error:
        raise RegionError(f"{CONTEXT}: {file}: field {field!r} is not a number of mm ({error})") from error
    lon, lat = np.meshgrid(like["lon"], like["lat"])
    centres = gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon.ravel(), lat.ravel()), crs="EPSG:4326")
    lowest = centres.sjoin(zones, how="left", predicate="intersects").groupby(level=0)[field].min()
    return lowest.to_numpy(np.float32).reshape(like.shape)


def _grid(like: xr.DataArray) -> Grid:
    """The rain grid as rasters see it: row 0 in the north, edges instead of centres."""
    lat, lon = (like[axis].values.astype(float) for axis in ("lat", "lon"))
    north, east = ((axis[-1] - axis[0]) / (len(axis) - 1) for axis in (lat, lon))
    return Grid("EPSG:4326", Affine(east, 0, lon[0] - east / 2, 0, -north, lat[-1] + north / 2), len(lat), len(lon))
