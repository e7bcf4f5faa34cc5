"""How much rain of seven days starts landslides, and how near the rain of a day comes to it."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from lswarn.errors import RegionError
from lswarn.grid import Grid
from lswarn.rain.measures import Measure
from lswarn.rain.products import family_of
from lswarn.rain.window import require_same_grid
from lswarn.sections import Threshold, ThresholdZones
from lswarn.sources import Bounds, degrees, is_raster, load_vector, warped

CONTEXT = "rain.threshold"
ZONES_CONTEXT = "rain.threshold.zones"


def critical_rainfall(threshold: Threshold, like: xr.DataArray, *, product: str, measure: Measure) -> xr.DataArray:
    """Critical rainfall Rc on the rain grid, and where each of its values comes from.

    A raster gives the value of its cell under each rain cell's centre. A zone overrides that in the cells whose centre
    it holds; where several overlap, the lowest counts, which warns first.

    Args:
        like: any field on the rain grid, dimensions (lat, lon) ascending and evenly spaced, degrees.
        product: in whose terms the region's rain is; a raster made of the record of another family is refused.
        measure: of the region; a raster made of another one is refused.

    Returns:
        mm in the region's measure, above 0; NaN where the raster is nodata or ends, and no zone lies. Its coordinate
        `source` (lat, lon) says whence: the threshold's `source`, or `SOURCE, DATE` of the zone; empty where NaN.

    Raises:
        RegionError: a file cannot be used, does not reach the grid, holds something that is no rainfall, was made for
            another product or measure; a zone says not where it comes from, or when it was drawn.
    """
    like = like.transpose("lat", "lon")
    values, sources = np.full(like.shape, np.nan, np.float32), np.full(like.shape, threshold.source, dtype=object)
    if threshold.file is not None:
        values = _of_raster(threshold.file, like, product, measure)
    elif threshold.constant_mm is not None:
        values[:] = threshold.constant_mm
    if threshold.zones is not None:
        lowest, told = _of_zones(threshold.zones, like)
        zoned = np.isfinite(lowest)
        values, sources = np.where(zoned, lowest, values), np.where(zoned, told, sources)
    sources[np.isnan(values)] = ""
    attrs = {"units": "mm", "long_name": f"critical {measure.title}", "source": threshold.source}
    axes = {axis: like[axis] for axis in ("lat", "lon")} | {"source": (("lat", "lon"), sources.astype(str))}
    return xr.DataArray(values, axes, ("lat", "lon"), "critical_rainfall", attrs)


def safety_factor(critical: xr.DataArray, total: xr.DataArray) -> xr.DataArray:
    """SF = Rc / R7: below 1 the critical rainfall is exceeded.

    Where `total` is a lower bound (grade D), the result is an upper bound.

    Args:
        critical: Rc, mm, above 0.
        total: R7, mm, 0 or more, in the same measure.

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


def raster_grid(like: xr.DataArray) -> Grid:
    """The rain grid as rasters see it: row 0 in the north, edges instead of centres."""
    lat, lon = (like[axis].values.astype(float) for axis in ("lat", "lon"))
    north, east = ((axis[-1] - axis[0]) / (len(axis) - 1) for axis in (lat, lon))
    return Grid("EPSG:4326", Affine(east, 0, lon[0] - east / 2, 0, -north, lat[-1] + north / 2), len(lat), len(lon))


def _of_raster(file: Path, like: xr.DataArray, product: str, measure: Measure) -> NDArray[np.float32]:
    if not is_raster(file, context=CONTEXT):
        raise RegionError(f"{CONTEXT}: {file}: a vector; name it as {ZONES_CONTEXT} = {{ file, field }}")
    grid = raster_grid(like)
    with warped(file, grid, resampling="nearest", context=CONTEXT) as raster:
        _require_same_terms(file, raster.dataset.tags(), product, measure)
        values = raster.read(grid.whole)[::-1]  # row 0 of a grid is in the north
    _require_rainfall(values, f"{CONTEXT}: {file}", "cells without a threshold as nodata")
    return values


def _require_same_terms(file: Path, tags: dict[str, str], product: str, measure: Measure) -> None:
    """A percentile of one product's record means nothing to the rain of another. Rasters without tags are trusted."""
    faults = []
    if "product" in tags and family_of(tags["product"]) != family_of(product):
        faults.append(
            f"{CONTEXT}: {file}: made of the record of {tags['product']}, and the region's rain is that of {product}; "
            f"thresholds are per product: make one with `lswarn rain climatology --product {product}`"
        )
    if "measure" in tags and tags["measure"] != measure.name:
        faults.append(
            f"{CONTEXT}: {file}: holds the measure {tags['measure']!r}, and the region's is {measure.name!r}; "
            "make it again with `lswarn rain climatology`, or change rain.measure"
        )
    if faults:
        raise RegionError(*faults)


def _require_rainfall(values: NDArray[np.float32], what: str, remedy: str) -> None:
    if not (bad := values[(values <= 0) | np.isinf(values)]).size:
        return
    raise RegionError(f"{what}: holds {bad.min():g}, and critical rainfall is finite and above 0 mm; mark {remedy}")


def _of_zones(zones: ThresholdZones, like: xr.DataArray) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """The lowest value of the zones at each cell's centre, NaN where none lies, and whence it comes."""
    frame = _load_zones(zones, degrees(raster_grid(like)))
    lon, lat = np.meshgrid(like["lon"], like["lat"])
    centres = gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon.ravel(), lat.ravel()), crs="EPSG:4326")
    met = centres.sjoin(frame, predicate="intersects").sort_values("mm", kind="stable")
    lowest = met[~met.index.duplicated()].reindex(centres.index)
    return lowest["mm"].to_numpy(np.float32).reshape(like.shape), lowest["told"].to_numpy(object).reshape(like.shape)


def _load_zones(zones: ThresholdZones, bbox: Bounds) -> gpd.GeoDataFrame:
    """Zones with a threshold: `mm`, and `told`, where it comes from and of which date it is."""
    where, names = f"{ZONES_CONTEXT}: {zones.file}", (zones.source_field, zones.date_field)
    fields = [*dict.fromkeys((zones.field, *names))]
    frame = load_vector(zones.file, layer=zones.layer, fields=fields, crs="EPSG:4326", bbox=bbox, context=ZONES_CONTEXT)
    try:
        frame["mm"] = frame[zones.field].astype(float)
    except (ValueError, TypeError) as error:
        raise RegionError(f"{where}: field {zones.field!r} is not a number of mm ({error})") from error
    frame = frame[frame["mm"].notna()]
    _require_rainfall(frame["mm"].to_numpy(), where, "zones without a threshold as null")
    texts = [[_text(value) for value in frame[name]] for name in names]
    if faults := [
        f"{where}: the zone of {mm:g} mm around {middle.y:.4f}, {middle.x:.4f} (lat, lon) has no {name!r}; "
        "say where its critical rainfall comes from, and of which date it is"
        for name, told in zip(names, texts, strict=True)
        for text, mm, middle in zip(told, frame["mm"], frame.representative_point(), strict=True)
        if not text
    ]:
        raise RegionError(*faults)
    told = [f"{source}, {day}" for source, day in zip(*texts, strict=True)]
    return frame.assign(told=told)[["mm", "told", "geometry"]]


def _text(value: Any) -> str:
    """Of a field of words, dates or years; empty where there is nothing."""
    if pd.isna(value):
        return ""
    if isinstance(value, date):  # and with it every datetime
        return f"{value:%Y-%m-%d}"
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
