"""Is a region fit to be built? Every file that region.toml names is opened, and all faults are told at once."""

import math
from collections.abc import Iterator
from datetime import date
from itertools import combinations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from lswarn.assets import AssetName, fields_of, load_asset, people_of
from lswarn.errors import RegionError
from lswarn.factors.layers import load_features, too_large_for_flow, too_large_for_upslope
from lswarn.grid import Grid
from lswarn.inventory import load_inventory
from lswarn.region import Region
from lswarn.sections import FACTORS, Asset, Source
from lswarn.sources import Bounds, warped

GLANCE_CELLS = 512
"""A raster is judged on a grid of at most so many cells a side."""

ZERO_SHARE = 0.005
ZERO_STEP_M = 10.0
"""Connected zeros on this share of the region, bounded by a step this high, are a filling and not the sea."""


def check(region: Region, today: date | None = None) -> list[str]:
    """Everything that is wrong with the files a region names: one sentence a fault, empty if it can be built.

    Each sentence begins with the key in region.toml and names the file, the value found and the remedy.

    Args:
        today: no landslide can have happened after it; left out: that is not asked.
    """
    grid = Grid.from_bbox(region.bbox, region.crs, region.resolution_m)
    problems: list[str] = []
    rasters: dict[str, Bounds] = {}
    for name in ("dem", *FACTORS):
        problems += _caught(_factor_problems(region, name, grid, rasters))
    for (one, a), (other, b) in combinations(rasters.items(), 2):
        if not shapely.box(*a).intersects(shapely.box(*b)):
            files = (getattr(region.factors, name).file for name in (one, other))
            problems.append(
                f"factors.{one}, factors.{other}: {' and '.join(map(str, files))} do not overlap inside the region: "
                f"{one} covers {_km(a)}, {other} {_km(b)} of {region.crs}; every cell would be unknown"
            )
    if region.factors.river_distance.derive and (problem := too_large_for_flow(grid)):
        problems.append(problem)
    if region.model.soil is not None and (problem := too_large_for_upslope(grid)):
        problems.append(problem)
    assets = region.assets
    problems += _caught(_asset_problems(region, "roads", assets.roads, "line"))
    problems += _caught(_asset_problems(region, "settlements", assets.settlements, "polygon or point"))
    problems += _caught(_asset_problems(region, "warning_areas", assets.warning_areas, "polygon"))
    problems += _caught(_inventory_problems(region, today))
    return problems


def _caught(problems: Iterator[str]) -> list[str]:
    """The problems that are told, and the one that stops the telling."""
    found: list[str] = []
    try:
        found.extend(problems)
    except RegionError as error:
        found.extend(error.problems)
    return found


def _factor_problems(region: Region, name: str, grid: Grid, rasters: dict[str, Bounds]) -> Iterator[str]:
    """Faults of one factor; notes what of the region its raster covers."""
    source: Source = getattr(region.factors, name)
    if source.file is None or load_features(region, name, grid):
        return
    key = f"factors.{name}"
    if source.field or source.layer:
        yield f"{key}: {source.file}: it is a raster, which has neither field nor layer: take them out"
    glance = _glance(region)
    with warped(
        source.file, glance, band=source.band, nodata=source.nodata, resampling="nearest", context=key
    ) as raster:
        rasters[name] = raster.bounds
        values = raster.read(glance.whole)
    if np.isnan(values).all():
        yield f"{key}: {source.file}: band {source.band} holds nothing but nodata inside the region"
    if name == "dem" and (share := zero_filled(values)):
        yield (
            f"{key}: {source.file}: {share:.0%} of the region are elevations of exactly 0 behind a step: a border or a "
            "gap filled with zeros, which would count as land at the foot of a cliff; set nodata = 0"
        )


def zero_filled(dem: NDArray[np.float32]) -> float:
    """Share of a DEM, m, that is zero but cannot be the sea: large connected areas of it with a step around.

    The sea meets its coast within some metres of zero; a filled border meets whatever terrain there is.
    """
    areas, _ = label(dem == 0, np.ones((3, 3)))
    cells = np.bincount(areas.ravel())
    share = 0.0
    for number in np.flatnonzero(cells[1:] >= ZERO_SHARE * dem.size) + 1:
        area = areas == number
        shore = np.abs(dem[binary_dilation(area, np.ones((3, 3))) & ~area])
        if np.isfinite(shore).any() and np.nanmedian(shore) > ZERO_STEP_M:
            share += float(area.mean())
    return share


def _asset_problems(region: Region, name: AssetName, asset: Asset, shapes: str) -> Iterator[str]:
    key = f"assets.{name}"
    frame, fields = load_asset(region, name).features, fields_of(asset, name)
    yield from _identity_problems(f"{key}: {asset.file}", frame["id"], fields["id"])
    yield from _shape_problems(f"{key}: {asset.file}", frame, shapes)
    people = frame["population"].map(people_of).astype(float)
    wrong = (people.isna() & frame["population"].notna()) | (people < 0)
    # Of OpenStreetMap anybody writes anything; it is loaded as unknown, with a warning.
    if wrong.any() and not asset.is_extract:
        given = _examples(frame["population"], fields["population"], wrong)
        yield f"{key}: {asset.file}: {given}: a population is a number ≥ 0, or empty"


def _inventory_problems(region: Region, today: date | None) -> Iterator[str]:
    load_inventory(region.inventory, bbox=region.bbox, today=today)
    yield from ()


def _identity_problems(what: str, ids: pd.Series, field: str) -> Iterator[str]:
    """An id must name one feature, for ever."""
    if empty := int(ids.isna().sum()):
        yield f"{what}: field {field!r} is empty in {empty} of {len(ids)} features; each needs an id of its own"
    repeated = ids.duplicated(keep=False) & ids.notna()
    if repeated.any():
        yield f"{what}: {_examples(ids, field, repeated)}: an id may stand once; choose another field"


def _shape_problems(what: str, frame: gpd.GeoDataFrame, shapes: str) -> Iterator[str]:
    """Geometries of another kind than "polygon", "line", "point", or two of them joined by "or"."""
    names = {"line": "LineString", "polygon": "Polygon", "point": "Point"}
    fitting = [names[shape] for shape in shapes.split(" or ")]
    # What make_valid leaves of a bow-tie may be a collection; it still has its area.
    wrong = ~frame.geom_type.isin([*fitting, *(f"Multi{name}" for name in fitting), "GeometryCollection"])
    if wrong.any():
        kinds = ", ".join(sorted(set(frame.geom_type[wrong])))
        yield f"{what}: {int(wrong.sum())} of {len(frame)} geometries are {kinds}; each should be a {shapes}"


def _examples(column: pd.Series, field: str, wrong: "pd.Series[bool]") -> str:
    values = list(dict.fromkeys(str(value) for value in column[wrong]))
    more = ", …" if len(values) > 3 else ""
    features = f"{int(wrong.sum())} of {len(column)} features"
    return f"field {field!r} holds {', '.join(map(repr, values[:3]))}{more} in {features}"


def _glance(region: Region) -> Grid:
    """The region on few enough cells to hold a whole raster."""
    fine = Grid.from_bbox(region.bbox, region.crs, region.resolution_m)
    times = math.ceil(max(fine.shape) / GLANCE_CELLS)
    return Grid.from_bbox(region.bbox, region.crs, region.resolution_m * times)


def _km(bounds: Bounds) -> str:
    left, bottom, right, top = (value / 1000 for value in bounds)
    return f"{left:.0f} to {right:.0f} km east, {bottom:.0f} to {top:.0f} km north"
