"""A made country of any size: fractal terrain, what lies on it, and rain of a wanted shape. `school.py` has its model.

Everything comes from a seed and from the coordinates of the cells, block by block: a piece of the country is the same
whatever is asked for beside it, and memory does not grow with it. Nothing of it is real.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import geopandas as gpd
import numba
import numpy as np
import publish
import rasterio
import shapely
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from lswarn.factors.landform import LOOKUP_CELLS
from lswarn.grid import Block, Grid
from lswarn.rain.measures import SUM, WINDOW_DAYS
from lswarn.rain.window import RainDay, RainWindow, rain_window, window_days
from lswarn.region import Region
from lswarn.workers import Threads

CRS, CELL_M, CENTRE = publish.CRS, publish.CELL_M, (-87.0, 36.0)
SEED = 6
OCTAVES, LONGEST_M, RELIEF, ROUGH = 11, 64_000.0, 0.055, 0.97
"""Octaves of noise, the first 64 km long; its height over its length, and by which power of the length that falls."""
PLAINS_M, BORDER_M = 90_000.0, 40_000.0
BEYOND = -0.68
"""Where noise 40 km long is below it, nobody measured the terrain: some 3 % of the ground."""
FIRST_DAY = date(2026, 1, 10)
WET_SHARE, HIGH_SHARE, CHANGED_SHARE = 0.30, 0.02, 0.05
"""Of a wet day: rain above the lowest critical rainfall, cells HIGH or above; what the day after has more of rain."""
RAIN_DEG, AROUND = 0.1, 3


def region_of(folder: Path, side: int) -> Region:
    """A country of about side x side cells around `CENTRE`, its files in `folder`."""
    half = np.full(2, side * CELL_M / 2 / 100_000)
    for _ in range(20):  # a box of degrees has crooked sides: widen or narrow it until its grid is as asked
        (lon, lat), (wide, high) = CENTRE, half
        bbox = (lon - wide, lat - high, lon + wide, lat + high)
        grid = Grid.from_bbox(bbox, CRS, CELL_M)
        half = half * side / np.array([grid.width, grid.height])
    raw = publish._region(folder).model_dump() | {"bbox": bbox}
    raw["factors"] |= {
        "dem": {"file": folder / "dem.tif"},
        "river_distance": {"file": folder / "rivers.gpkg"},
        "fault_distance": {"file": folder / "faults.gpkg"},
        "rainfall": {"file": folder / "normals.tif", "unit": "mm/year"},
        "temperature": {"derive": True, "sea_level_deg_c": 20.0, "lapse_deg_c_per_km": 6.5},
        "seismic_intensity": {"constant": 0.2, "unit": "g"},
    }
    raw["subscribers"] = [{"name": "archive", "channel": "file", "address": str(folder / "told")}]
    raw["model"] = {"network": "blend"}
    raw["alerts"] = {"min_zone_m2": 10_000}  # who warns a whole country warns of no smaller zones
    return Region.model_validate(raw)


def grid_of(region: Region) -> Grid:
    """Its cells."""
    return Grid.from_bbox(region.bbox, region.crs, region.resolution_m)


# ── the ground ───────────────────────────────────────────────────────────────────────────────────────────────────────


@numba.njit(nogil=True, cache=True)
def _noise(x: float, y: float, seed: int) -> float:
    """Smooth value noise, -1..1, one lattice point a unit."""
    col, row = np.floor(x), np.floor(y)
    u, v = x - col, y - row
    u, v = u * u * u * (u * (6 * u - 15) + 10), v * v * v * (v * (6 * v - 15) + 10)
    found = np.empty(4)
    for corner in range(4):
        mixed = np.uint64(np.int64(col) + corner % 2) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= np.uint64(np.int64(row) + corner // 2) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
        found[corner] = np.float64(mixed >> np.uint64(40)) / 8_388_608.0 - 1.0
    north = found[0] + u * (found[1] - found[0])
    south = found[2] + u * (found[3] - found[2])
    return north + v * (south - north)


@numba.njit(nogil=True, cache=True)
def _heights(left: float, top: float, height: int, width: int) -> NDArray[np.float32]:
    """Elevation, m, of cells whose north-west corner is given in metres; NaN where nobody measured it."""
    found = np.empty((height, width), np.float32)
    for i in range(height):
        y = top - (i + 0.5) * CELL_M
        for j in range(width):
            x = left + (j + 0.5) * CELL_M
            if _noise(x / BORDER_M, y / BORDER_M, SEED + 100) < BEYOND:
                found[i, j] = np.nan
                continue
            plain = min(max(0.5 + 1.2 * _noise(x / PLAINS_M, y / PLAINS_M, SEED + 200), 0.0), 1.0)
            relief = 0.03 + 0.97 * plain * plain * (3 - 2 * plain)
            length, total = LONGEST_M, 0.0
            for octave in range(OCTAVES):
                high = RELIEF * LONGEST_M * (length / LONGEST_M) ** ROUGH
                total += high * _noise(x / length + 17.3 * octave, y / length - 9.1 * octave, SEED + octave)
                length /= 2
            found[i, j] = 1500.0 + relief * total
    return found


@dataclass(frozen=True)
class Heights:
    """Elevation of a block of a grid, m, NaN where nobody measured it."""

    grid: Grid

    def __call__(self, block: Block) -> NDArray[np.float32]:
        """As one float32 array of the block's shape."""
        left, top = self.grid.block_transform(block) @ (0, 0)
        return _heights(left, top, *block.shape)


def make_ground(region: Region, folder: Path) -> None:
    """Write the terrain, and the vectors and normals that the other factors come from."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = grid_of(region).expanded(LOOKUP_CELLS)
    profile = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "dtype": "float32"}
    profile |= {"crs": grid.crs, "transform": grid.transform, "nodata": np.nan, "tiled": True, "bigtiff": "if_safer"}
    with rasterio.open(
        folder / "dem.tif", "w", **profile, blockxsize=512, blockysize=512, compress="zstd", zstd_level=1, predictor=3
    ) as file:
        for block, heights in Threads().over(Heights(grid), grid.blocks()):
            file.write(heights, 1, window=block.window)
    rng = np.random.default_rng(SEED)
    left, bottom, right, top = grid.bounds
    area_km2 = grid.height * grid.width * grid.cell_m2 / 1e6

    def courses(length_m: float, km2_each: float) -> gpd.GeoDataFrame:
        count, points = max(3, round(area_km2 / km2_each)), 40
        bearing = rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(rng.normal(0, 0.25, (count, points)), 1)
        steps = np.stack([np.cos(bearing), np.sin(bearing)], -1) * length_m / points
        first = rng.uniform((left, bottom), (right, top), (count, 1, 2))
        return gpd.GeoDataFrame(geometry=shapely.linestrings(first + np.cumsum(steps, 1)), crs=grid.crs)

    courses(25_000, 60).to_file(folder / "rivers.gpkg")
    courses(40_000, 900).to_file(folder / "faults.gpkg")
    seeds = rng.uniform((left, bottom), (right, top), (max(8, round(area_km2 / 250)), 2))
    frame = shapely.box(left - 1e4, bottom - 1e4, right + 1e4, top + 1e4)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(seeds), extend_to=frame))
    units = gpd.GeoDataFrame({"code": rng.integers(1, 5, len(cells))}, geometry=cells, crs=grid.crs)
    units.clip(frame).to_file(folder / "rock.gpkg")
    coarse = 5000.0
    shape_ = int((top - bottom) // coarse) + 6, int((right - left) // coarse) + 6
    rows, cols = np.mgrid[: shape_[0], : shape_[1]]
    normals = (1400 + 500 * np.sin(rows / 9.0) * np.cos(cols / 13.0)).astype(np.float32)
    at = Affine(coarse, 0, left - 2 * coarse, 0, -coarse, top + 2 * coarse)
    with rasterio.open(
        folder / "normals.tif", "w", driver="GTiff", height=shape_[0], width=shape_[1], count=1, dtype="float32",
        crs=grid.crs, transform=at,
    ) as file:  # fmt: skip
        file.write(normals, 1)


# ── the rain ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _axes(region: Region) -> dict[str, NDArray[np.float64]]:
    """Rain cells of 0.1° over the region and `AROUND` around it."""
    west, south, east, north = region.bbox
    return {
        name: (np.arange(np.floor(low / RAIN_DEG) - AROUND, np.ceil(high / RAIN_DEG) + AROUND) + 0.5) * RAIN_DEG
        for name, low, high in (("lat", south, north), ("lon", west, east))
    }


def field(region: Region, values: NDArray[np.floating]) -> xr.DataArray:
    """Values on the region's rain grid."""
    return xr.DataArray(values.astype(np.float32), _axes(region), ("lat", "lon"))


def ranks(region: Region, seed: int) -> NDArray[np.float64]:
    """A smooth field on the rain grid, as ranks 0..1 among the region's own cells: so the share above one is known."""
    lat, lon = _axes(region).values()
    knots = np.random.default_rng((SEED, seed)).standard_normal((6, 6))
    rows, cols = np.meshgrid(np.linspace(0.5, 4.5, len(lat)), np.linspace(0.5, 4.5, len(lon)), indexing="ij")
    smooth = map_coordinates(knots, [rows, cols], order=3)
    own = np.sort(smooth[AROUND:-AROUND, AROUND:-AROUND], axis=None)
    return np.searchsorted(own, smooth) / own.size


def storm(region: Region, share: float, edge_mm: float, most_mm: float) -> xr.DataArray:
    """Rain of seven days, mm: none but on a share of the area; from `edge_mm` at its edge to `most_mm` in its middle.

    A larger share holds the smaller one, in which it rains the same.
    """
    at = ranks(region, 50)
    inside = np.clip((at - (1 - WET_SHARE)) / WET_SHARE, 0, 1) ** 0.5
    return field(region, np.where(at > 1 - share, edge_mm + (most_mm - edge_mm) * inside, 0.0))


def window_of(region: Region, day: date, total: xr.DataArray) -> RainWindow:
    """A window of seven days of the same rain that make a total."""
    at = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    each = {
        one: RainDay(one, total / WINDOW_DAYS, "IMERG-Late", "V07B", "made", f"{one}", at, at)
        for one in window_days(day)
    }
    return rain_window(day, each, order=["IMERG-Late"], bbox=region.bbox, measure=SUM)
