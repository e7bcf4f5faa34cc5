"""What each factor is made of, and how its values are read, wherever they come from.

A factor is a constant, a raster warped onto the grid, a vector (a field burned into polygons, or the distance to
features), or derived from the DEM. Whichever it is, it ends as a `Reader`: a block in, its values out.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.io import DatasetReader

from lswarn.errors import RegionError
from lswarn.factors.distance import fill_distances
from lswarn.factors.landform import LOOKUP_CELLS, landform
from lswarn.factors.rivers import MAX_FLOW_CELLS, upslope_km2
from lswarn.factors.terrain import aspect_deg, curvature, slope_deg
from lswarn.grid import Block, Grid
from lswarn.region import Region
from lswarn.sections import UNITS, Source
from lswarn.sources import degrees, is_raster, load_vector, raster_digest, read_block, warped

DISTANCES = ("river_distance", "fault_distance")
CATEGORIES = ("landform", "rock_type")
UNMIXABLE = (*CATEGORIES, "aspect")
"""Factors whose values are never averaged: codes, and angles that wrap."""

UPSLOPE = "upslope_area"
"""A layer beside the factors, in m: land that drains through a cell over the cell's width."""

DISTANCE_MARGIN_M = 10_000.0
"""Features so far outside the region still count."""

METHOD = 1
"""Raised whenever the same sources would give other values."""

Reader = Callable[[Block], NDArray[np.float32]]


@dataclass(frozen=True)
class Features:
    """A vector source in the region's CRS, and what its codes stand for.

    Attributes:
        frame: `geometry`, and the field's value in `value` where there is a field.
        legend: text of each code, where the field holds text.
    """

    frame: gpd.GeoDataFrame
    legend: dict[int, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 of geometries, to the millimetre, and values; the file may be rewritten without changing it."""
        shapes = shapely.transform(self.frame.geometry.values, lambda xy: np.round(xy, 3) + 0.0)  # no minus zero
        values = self.frame["value"].tolist() if "value" in self.frame else []
        return hashlib.sha256(b"".join(shapely.to_wkb(shapes)) + json.dumps([values, self.legend]).encode()).hexdigest()


def load_features(region: Region, name: str, grid: Grid) -> Features | None:
    """The vector a factor comes from; None where it comes from anything else.

    Text becomes codes 1, 2, … in alphabetical order. Features without a value are left out: unknown.

    Raises:
        RegionError: as `load_vector`, and where the entry, its field and its geometries do not fit each other.
    """
    source: Source = getattr(region.factors, name)
    key = f"factors.{name}"
    if source.file is None or is_raster(source.file, context=key):
        return None
    if name == "dem":
        raise RegionError(f"{key}: {source.file}: it is a vector: a raster of elevations is needed")
    if name in DISTANCES:
        if source.field or source.unit:
            raise RegionError(
                f"{key}: {source.file}: distances are to the features themselves: take out field and unit"
            )
        around = grid.expanded(_cells(DISTANCE_MARGIN_M, grid))
        return Features(load_vector(source.file, layer=source.layer, crs=grid.crs, bbox=degrees(around), context=key))
    if source.field is None:
        raise RegionError(f'{key}: {source.file}: it is a vector: say which field holds the value with field = "…"')
    frame = load_vector(
        source.file, layer=source.layer, fields=[source.field], crs=grid.crs, bbox=degrees(grid), context=key
    ).rename(columns={source.field: "value"})
    frame = frame[frame["value"].notna()].reset_index(drop=True)
    if frame.empty:
        raise RegionError(f"{key}: {source.file}: field {source.field!r} is empty in every feature of the region")
    kinds = sorted(set(frame.geom_type))
    if not {"Polygon", "MultiPolygon"} & set(kinds):
        raise RegionError(
            f"{key}: {source.file}: polygons are needed to give cells a value; there are {', '.join(kinds)}"
        )
    legend: dict[int, str] = {}
    if not pd.api.types.is_numeric_dtype(frame["value"]):
        if name not in CATEGORIES:
            example = str(frame["value"].iloc[0])
            raise RegionError(
                f"{key}: {source.file}: field {source.field!r} holds text ({example!r}); numbers are needed"
            )
        texts = frame["value"].astype(str)
        legend = dict(enumerate(sorted(set(texts)), 1))
        frame["value"] = texts.map({text: code for code, text in legend.items()})
    frame["value"] = _standard(name, source, frame["value"].to_numpy(np.float32))
    return Features(frame, legend)


def factor_digest(region: Region, name: str, grid: Grid, features: Features | None, dem: str) -> str:
    """What decides a factor's values: its entry, but not where the file lies or its licence; content, grid and method.

    Args:
        dem: digest of the DEM, for factors derived from it.
    """
    source: Source = getattr(region.factors, name)
    if features is not None:
        content = features.digest
    elif source.file is not None:
        content = raster_digest(source.file)
    else:
        content = dem if source.derive else ""
    entry = source.model_dump(exclude={"file", "licence"})
    what = [METHOD, name, grid.crs, grid.transform[:6], grid.shape, entry, content]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def upslope_digest(grid: Grid, dem: str) -> str:
    """What decides the values of `open_upslope`; `dem` is the DEM's own digest."""
    what = [METHOD, UPSLOPE, grid.crs, grid.transform[:6], grid.shape, dem]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


@contextmanager
def open_upslope(dem: Path, grid: Grid) -> Iterator[Reader]:
    """The specific catchment area of `UPSLOPE`, as `rivers.upslope_km2` finds it, its own cell included.

    What drains in from beyond the margin of the DEM is not known of: near the edge of the region the land above a cell
    is rather too small.

    Args:
        dem: in metres, on the grid expanded by `LOOKUP_CELLS`.

    Raises:
        RegionError: water cannot be followed over so many cells.
    """
    if problem := too_large_for_upslope(grid):
        raise RegionError(problem)
    with rasterio.open(dem) as terrain:
        heights = read_block(terrain, Block(0, 0, terrain.height, terrain.width))[0]
    per_width = upslope_km2(heights, grid.resolution_m) * np.float32(1e6 / grid.resolution_m)
    yield lambda block: per_width[_shifted(block, LOOKUP_CELLS).slices()]


@contextmanager
def open_factor(
    region: Region, name: str, grid: Grid, features: Features | None, dem: Path, scratch: Path
) -> Iterator[Reader]:
    """Open a factor (or `dem` itself) for reading block by block, in its standard unit.

    Args:
        features: from `load_features`.
        dem: DEM in metres on the grid expanded by `LOOKUP_CELLS`, for factors derived from it.
        scratch: folder with room for one uncompressed factor, where distances are worked out.

    Raises:
        RegionError: the source cannot be used.
    """
    source: Source = getattr(region.factors, name)
    key = f"factors.{name}"
    if source.constant is not None:
        value = np.float32(source.constant)
        yield lambda block: _standard(name, source, np.full(block.shape, value))
    elif source.derive:
        with rasterio.open(dem) as terrain:
            if name == "river_distance":
                with _river_distances(terrain, source, grid, scratch) as read:
                    yield read
            else:
                yield _derived(name, source, grid, terrain)
    elif features is None:
        assert source.file is not None  # noqa: S101 (one of three, says Source)
        with warped(
            source.file, grid, band=source.band, nodata=source.nodata, resampling=_resampling(name), context=key
        ) as raster:
            yield lambda block: _standard(name, source, raster.read(block))
    elif name in DISTANCES:
        margin = _cells(DISTANCE_MARGIN_M, grid)
        around = grid.expanded(margin)

        def touched(start: int, stop: int) -> NDArray[np.bool_]:
            strip = Block(start, 0, stop - start, around.width)
            return _burn(features.frame, around, strip, all_touched=True) == 1

        with _distances(
            grid, margin, touched, scratch, f"{key}: {source.file}: no feature in or near the region"
        ) as read:
            yield read
    else:
        yield lambda block: _burn(features.frame, grid, block)


def _standard(name: str, source: Source, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the declared unit to the standard one."""
    scale, offset = UNITS[name][source.unit or next(iter(UNITS[name]))]
    return (scale * values + offset).astype(np.float32)


def _resampling(name: str) -> Literal["bilinear", "nearest", "cubic"]:
    if name in UNMIXABLE:
        return "nearest"
    return "cubic" if name == "dem" else "bilinear"  # a bilinear surface has creases, which slope and curvature see


def _cells(metres: float, grid: Grid) -> int:
    return int(np.ceil(metres / grid.resolution_m))


def _derived(name: str, source: Source, grid: Grid, terrain: DatasetReader) -> Reader:
    def dem(block: Block, halo: int = 0) -> NDArray[np.float32]:
        return read_block(terrain, _shifted(block, LOOKUP_CELLS).with_halo(halo))[0]

    match name:
        case "slope":
            return lambda block: slope_deg(dem(block, 1), grid.resolution_m)
        case "curvature":
            return lambda block: curvature(dem(block, 1), grid.resolution_m)
        case "aspect":
            return lambda block: aspect_deg(dem(block, 1), grid.resolution_m)
        case "landform":
            return lambda block: landform(dem(block, LOOKUP_CELLS), grid.resolution_m)
        case _:  # temperature, the last of region.DERIVABLE
            lapse = np.float32(source.lapse_deg_c_per_km / 1000)
            return lambda block: np.float32(source.sea_level_deg_c) - lapse * dem(block)


@contextmanager
def _river_distances(terrain: DatasetReader, source: Source, grid: Grid, scratch: Path) -> Iterator[Reader]:
    if problem := too_large_for_flow(grid):
        raise RegionError(problem)
    dem = read_block(terrain, Block(0, 0, terrain.height, terrain.width))[0]
    upslope = upslope_km2(dem, grid.resolution_m)
    rivers = upslope >= source.min_upslope_km2
    unknown = np.isnan(dem)
    nothing = (
        f"factors.river_distance: min_upslope_km2 = {source.min_upslope_km2:g}, and nowhere does so much land drain "
        f"through one cell (at most {np.nanmax(upslope, initial=0):.3g} km²): lower it, or give a file of rivers"
    )
    with _distances(grid, LOOKUP_CELLS, lambda start, stop: rivers[start:stop], scratch, nothing) as read:
        yield lambda block: np.where(unknown[_shifted(block, LOOKUP_CELLS).slices()], np.float32(np.nan), read(block))


def too_large_for_flow(grid: Grid) -> str | None:
    """Why rivers cannot be derived on this grid; None if they can."""
    return _too_large(grid, "factors.river_distance", 'give a file of rivers instead of "derive"')


def too_large_for_upslope(grid: Grid) -> str | None:
    """Why there can be no upslope area on this grid; None if there can."""
    remedy = 'take physics_source = "threshold", or a coarser resolution_m'
    return _too_large(grid, 'model.physics_source = "infinite-slope"', remedy)


def _too_large(grid: Grid, key: str, remedy: str) -> str | None:
    around = grid.expanded(LOOKUP_CELLS)
    if (cells := around.height * around.width) <= MAX_FLOW_CELLS:
        return None
    return f"{key}: the region has {cells:,} cells, and water can be followed over {MAX_FLOW_CELLS:,} at most: {remedy}"


@contextmanager
def _distances(
    grid: Grid, margin: int, features: Callable[[int, int], NDArray[np.bool_]], scratch: Path, nothing: str
) -> Iterator[Reader]:
    """Distances, m, to features on the grid expanded by a margin; `nothing` is the error if there are none."""
    with tempfile.TemporaryFile(dir=scratch) as file:
        cells = np.memmap(file, np.float32, "w+", shape=grid.expanded(margin).shape)
        fill_distances(cells, features)
        if np.isinf(cells[0, 0]):
            raise RegionError(nothing)  # unknown is not far
        yield lambda block: np.asarray(cells[_shifted(block, margin).slices()]) * np.float32(grid.resolution_m)


def _shifted(block: Block, cells: int) -> Block:
    """The same block, counted from the corner of the grid expanded by so many cells."""
    return Block(block.row + cells, block.col + cells, block.height, block.width)


def _burn(frame: gpd.GeoDataFrame, grid: Grid, block: Block, *, all_touched: bool = False) -> NDArray[np.float32]:
    """The value of the polygon over each cell centre (the last one, where several are), NaN where there is none.

    With `all_touched`, 1 in every cell that a feature touches.
    """
    transform = grid.block_transform(block)
    (left, top), (right, bottom) = transform @ (0, 0), transform @ (block.width, block.height)
    met = np.sort(frame.sindex.query(shapely.box(left, bottom, right, top)))
    if not met.size:
        return np.full(block.shape, np.nan, np.float32)
    here = frame.iloc[met]
    values = np.ones(met.size) if all_touched else here["value"]
    return rasterize(
        zip(here.geometry, values, strict=True),
        out_shape=block.shape,
        transform=transform,
        fill=np.nan,
        all_touched=all_touched,
        dtype="float32",
    )
