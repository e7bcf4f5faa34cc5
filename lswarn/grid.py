"""The one place that knows what a pixel is: a region's cells, and the blocks they are worked in.

Row 0 is in the north. A block is the unit of memory and of parallel work; a halo is read around it where neighbours
matter. Blocks start at multiples of their size, so that a network that halves its input sees the same phase in each.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window
from scipy.ndimage import map_coordinates

BLOCK_CELLS = 512


@dataclass(frozen=True)
class Block:
    """A rectangle of cells: first row and column, height and width. May reach outside its grid (a halo)."""

    row: int
    col: int
    height: int
    width: int

    @property
    def window(self) -> Window:
        """The same rectangle for rasterio."""
        return Window(self.col, self.row, self.width, self.height)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, as numpy says it."""
        return self.height, self.width

    def with_halo(self, cells: int) -> "Block":
        """This block and so many cells around it."""
        return Block(self.row - cells, self.col - cells, self.height + 2 * cells, self.width + 2 * cells)

    def split(self, cells: int = BLOCK_CELLS) -> "Iterator[Block]":
        """Blocks of at most `cells` a side that cover this one once, row by row."""
        bottom, right = self.row + self.height, self.col + self.width
        for row in range(self.row, bottom, cells):
            for col in range(self.col, right, cells):
                yield Block(row, col, min(cells, bottom - row), min(cells, right - col))

    def slices(self) -> tuple[slice, slice]:
        """Index of this block in a whole-grid array (for tests and small grids)."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


@dataclass(frozen=True)
class Grid:
    """A region's cells.

    Attributes:
        crs: metric CRS, `EPSG:…`.
        transform: from (column, row) corners to metres; north up, square cells.
        height, width: cells.
    """

    crs: str
    transform: Affine
    height: int
    width: int

    @classmethod
    def from_bbox(cls, bbox: tuple[float, float, float, float], crs: str, resolution_m: float) -> Self:
        """Smallest grid on multiples of the resolution that covers a box of degrees (west, south, east, north)."""
        to_metric = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        left, bottom, right, top = to_metric.transform_bounds(*bbox, densify_pts=51)
        left, bottom = (math.floor(v / resolution_m) * resolution_m for v in (left, bottom))
        width, height = math.ceil((right - left) / resolution_m), math.ceil((top - bottom) / resolution_m)
        return cls(crs, Affine(resolution_m, 0, left, 0, -resolution_m, bottom + height * resolution_m), height, width)

    @property
    def resolution_m(self) -> float:
        """Side of a cell, m."""
        return self.transform.a

    @property
    def cell_m2(self) -> float:
        """Area of a cell, m²."""
        return self.resolution_m**2

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, as numpy says it."""
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top, m."""
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (self.width, self.height)
        return left, bottom, right, top

    @property
    def whole(self) -> Block:
        """The block that covers everything."""
        return Block(0, 0, self.height, self.width)

    def expanded(self, cells: int) -> "Grid":
        """This grid with so many cells more on each side."""
        transform = self.transform @ Affine.translation(-cells, -cells)
        return Grid(self.crs, transform, self.height + 2 * cells, self.width + 2 * cells)

    def blocks(self, cells: int = BLOCK_CELLS) -> Iterator[Block]:
        """Blocks of at most `cells` a side that cover every cell once, row by row."""
        return self.whole.split(cells)

    def block_transform(self, block: Block) -> Affine:
        """Transform of a block's own corner."""
        return self.transform @ Affine.translation(block.col, block.row)

    def lonlat(self, block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of a block's cell centres, degrees, each of the block's shape."""
        cols, rows = np.meshgrid(
            np.arange(block.col, block.col + block.width) + 0.5, np.arange(block.row, block.row + block.height) + 0.5
        )
        x, y = self.transform @ (cols, rows)
        to_degrees = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(x, y)
        return lon, lat


def sample(field: xr.DataArray, grid: Grid, block: Block) -> NDArray[np.float32]:
    """Bilinear values of a small longitude-latitude field at a block's cell centres.

    Args:
        field: dimensions (lat, lon), both ascending and evenly spaced, cell centres in degrees.

    Returns:
        Array of the block's shape, in the field's unit. NaN beyond the outermost centres, and wherever one of the four
        neighbours is NaN: unknown is not interpolated away.
    """
    lon, lat = grid.lonlat(block)
    lons, lats = (field[name].values.astype(float) for name in ("lon", "lat"))
    at_row = (lat - lats[0]) / ((lats[-1] - lats[0]) / (len(lats) - 1))
    at_col = (lon - lons[0]) / ((lons[-1] - lons[0]) / (len(lons) - 1))
    values = field.transpose("lat", "lon").values.astype(float)
    return map_coordinates(values, [at_row, at_col], order=1, mode="constant", cval=np.nan).astype(np.float32)
