"""What each factor is made of, and how its values are read, wherever they come from.

A factor is a constant, a raster warped onto the grid, a vector (a field burned into polygons, or the distance to
features), or derived from the DEM. Whichever it is, it ends as a `Reader`: a block in, its values out. Readers may be
used from many threads. What is derived from a few cells of terrain is read together, in one walk over it.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from lswarn.errors import RegionError
from lswarn.factors.distance import fill_distances
from lswarn.factors.landform import LOOKUP_CELLS, landform
from lswarn.factors.rivers import MAX_FLOW_CELLS, upslope_km2
from lswarn.factors.scratch import Scratch
from lswarn.factors.terrain import derivatives
from lswarn.grid import Block, Grid
from lswarn.region import Region
from lswarn.sections import UNITS, Source
from lswarn.sources import degrees, is_raster, load_vector, raster_digest, read_block, warped
from lswarn.workers import Workers

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

TERRAIN = ("slope", "curvature", "aspect", "landform", "temperature")
"""Factors that hang on the terrain within sight of a cell, and may be derived in one walk over it."""

Reader = Callable[[Block], NDArray[np.float32]]
TerrainReader = Callable[[Block], dict[str, NDArray[np.float32]]]

Handle = TypeVar("Handle")


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
    region: Region,
    name: str,
    grid: Grid,
    features: Features | None,
    dem: Path,
    scratch: Path,
    *,
    workers: Workers,
    on_progress: Callable[[float], None],
) -> Iterator[Reader]:
    """Open a factor (or `dem` itself) for reading block by block, in its standard unit.

    Args:
        region, name, grid: which factor of what; one of `TERRAIN` that is derived is opened by `open_terrain`.
        features: from `load_features`.
        dem: DEM in metres on the grid expanded by `LOOKUP_CELLS`, for derived rivers.
        scratch: folder with room for one uncompressed factor, where distances are worked out.
        workers: threads, for what must be worked before the first block can be read.
        on_progress: told the share of that which is done.

    Raises:
        RegionError: the source cannot be used.
    """
    source: Source = getattr(region.factors, name)
    key = f"factors.{name}"
    if source.constant is not None:
        value = np.float32(source.constant)
        yield lambda block: _standard(name, source, np.full(block.shape, value))
    elif source.derive:
        with _river_distances(dem, source, grid, scratch, workers, on_progress) as read:
            yield read
    elif features is None:
        file = source.file
        assert file is not None  # noqa: S101 (one of three, says Source)
        with ExitStack() as opened:
            rasters = _Each(
                opened,
                lambda: warped(
                    file, grid, band=source.band, nodata=source.nodata, resampling=_resampling(name), context=key
                ),
            )
            rasters()  # whatever is wrong with the file is told before anything is written
            yield lambda block: _standard(name, source, rasters().read(block))
    elif name in DISTANCES:
        margin = _cells(DISTANCE_MARGIN_M, grid)
        around = grid.expanded(margin)
        nothing = f"{key}: {source.file}: no feature in or near the region"

        def touched(strip: Block) -> NDArray[np.bool_]:
            return _burn(features.frame, around, strip, all_touched=True) == 1

        with _distances(grid, margin, touched, scratch, nothing, workers, on_progress) as read:
            yield read
    else:
        yield lambda block: _burn(features.frame, grid, block)


class _Each(Generic[Handle]):
    """What serves one thread only, such as GDAL's handles: each thread that asks has its own."""

    def __init__(self, opened: ExitStack, make: Callable[[], AbstractContextManager[Handle]]) -> None:
        self._opened, self._make, self._local = opened, make, threading.local()

    def __call__(self) -> Handle:
        if "handle" not in self._local.__dict__:
            self._local.handle = self._opened.enter_context(self._make())
        handle: Handle = self._local.handle
        return handle


@contextmanager
def open_terrain(region: Region, names: Collection[str], grid: Grid, dem: Path) -> Iterator[TerrainReader]:
    """Open those of `TERRAIN` that are named for reading block by block, all of a block in one reading of the DEM.

    Args:
        dem: in metres, on the grid expanded by `LOOKUP_CELLS`.
    """
    halo = LOOKUP_CELLS if "landform" in names else 1
    differing = [name for name in names if name in ("slope", "curvature", "aspect")]
    warmth = region.factors.temperature
    lapse = np.float32(warmth.lapse_deg_c_per_km / 1000)
    with ExitStack() as opened:
        terrain = _Each(opened, lambda: closing(rasterio.open(dem)))

        def read(block: Block) -> dict[str, NDArray[np.float32]]:
            around = read_block(terrain(), _shifted(block, LOOKUP_CELLS).with_halo(halo))[0]
            near = around[halo - 1 : around.shape[0] - halo + 1, halo - 1 : around.shape[1] - halo + 1]
            found = derivatives(near, grid.resolution_m, differing)
            if "landform" in names:
                found["landform"] = landform(around, grid.resolution_m)
            if "temperature" in names:
                found["temperature"] = np.float32(warmth.sea_level_deg_c) - lapse * near[1:-1, 1:-1]
            return found

        yield read


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


@contextmanager
def _river_distances(
    dem: Path, source: Source, grid: Grid, scratch: Path, workers: Workers, on_progress: Callable[[float], None]
) -> Iterator[Reader]:
    if problem := too_large_for_flow(grid):
        raise RegionError(problem)
    with rasterio.open(dem) as terrain:
        heights = read_block(terrain, Block(0, 0, terrain.height, terrain.width))[0]
    upslope = upslope_km2(heights, grid.resolution_m)
    rivers = upslope >= source.min_upslope_km2
    unknown = np.isnan(heights)
    nothing = (
        f"factors.river_distance: min_upslope_km2 = {source.min_upslope_km2:g}, and nowhere does so much land drain "
        f"through one cell (at most {np.nanmax(upslope, initial=0):.3g} km²): lower it, or give a file of rivers"
    )
    del heights, upslope
    with _distances(
        grid, LOOKUP_CELLS, lambda strip: rivers[strip.slices()], scratch, nothing, workers, on_progress
    ) as read:
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
    grid: Grid,
    margin: int,
    features: Callable[[Block], NDArray[np.bool_]],
    scratch: Path,
    nothing: str,
    workers: Workers,
    on_progress: Callable[[float], None],
) -> Iterator[Reader]:
    """Distances, m, to features on the grid expanded by a margin; `nothing` is the error if there are none."""
    with Scratch(scratch, grid.expanded(margin).shape) as cells:
        fill_distances(cells, features, workers=workers, on_progress=on_progress)
        if np.isinf(cells.read(Block(0, 0, 1, 1))).any():
            raise RegionError(nothing)  # unknown is not far
        yield lambda block: cells.read(_shifted(block, margin)) * np.float32(grid.resolution_m)


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
