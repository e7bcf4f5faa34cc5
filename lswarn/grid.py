"""The one place that knows what a pixel is: a region's cells, and the blocks they are worked in.

Row 0 is in the north. A block is the unit of memory and of parallel work; a halo is read around it where neighbours
matter. Blocks start at multiples of their size, so that a network that halves its input sees the same phase in each.

Where cells lie on the globe is worked out by PROJ at nodes less than a kilometre apart, and in straight lines between
them: this is a few centimetres off at most, the same whatever block is asked, and hundreds of times faster.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import xarray as xr
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

BLOCK_CELLS = 512

NODE_M = 1000.0
"""PROJ is asked at nodes at most so far apart. A line is off by s² tan(latitude) / 8R: 3 cm at 60 degrees."""


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
        rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width] + 0.5
        return self._between_nodes(rows, cols)

    def corners_lonlat(
        self, rows: NDArray[np.integer], cols: NDArray[np.integer]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude, degrees, of corners of cells: row 0, column 0 is the grid's north-west corner.

        Args:
            rows, cols: of one shape; they may lie outside the grid. The same corner gives the same degrees, whatever
                others are asked with it.
        """
        return self._between_nodes(np.asarray(rows, dtype=np.float64), np.asarray(cols, dtype=np.float64))

    def _between_nodes(
        self, rows: NDArray[np.float64], cols: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if not rows.size:
            return np.empty(rows.shape), np.empty(rows.shape)
        step = self.node_cells
        top, left, bottom, right = (int(v // step) for v in (rows.min(), cols.min(), rows.max(), cols.max()))
        nodes = self._nodes(top, left, bottom + 2 - top, right + 2 - left)
        found = _interpolate(nodes, rows.ravel() / step - top, cols.ravel() / step - left)
        return found[0].reshape(rows.shape), found[1].reshape(rows.shape)

    @property
    def node_cells(self) -> int:
        """Cells between two nodes: a power of two, that blocks may begin at nodes."""
        return max(1, 2 ** math.floor(math.log2(NODE_M / self.resolution_m)))

    def _nodes(self, top: int, left: int, height: int, width: int) -> NDArray[np.float64]:
        """Longitude and latitude [2, height, width] of nodes, counted from the grid's north-west corner."""
        step = self.node_cells
        rows, cols = np.mgrid[top : top + height, left : left + width] * step
        x, y = self.transform @ (cols, rows)
        return np.stack(_to_degrees(self.crs).transform(x, y))


@dataclass(frozen=True)
class Field:
    """A small longitude-latitude field as plain numbers: quick to sample block by block, and to send elsewhere.

    Attributes:
        values: float64 [lat, lon], ascending, NaN = unknown.
        south, west: centre of the first cell, degrees.
        lat_step, lon_step: from centre to centre, degrees.
    """

    values: NDArray[np.float64]
    south: float
    west: float
    lat_step: float
    lon_step: float

    @classmethod
    def of(cls, field: xr.DataArray) -> Self:
        """Of dimensions (lat, lon), both ascending and evenly spaced, cell centres in degrees."""
        lats, lons = (field[name].values.astype(float) for name in ("lat", "lon"))
        return cls(
            np.ascontiguousarray(field.transpose("lat", "lon").values, dtype=np.float64),
            float(lats[0]),
            float(lons[0]),
            float((lats[-1] - lats[0]) / (len(lats) - 1)),
            float((lons[-1] - lons[0]) / (len(lons) - 1)),
        )

    def sample(self, grid: Grid, block: Block) -> NDArray[np.float32]:
        """See `sample`."""
        top, left, at = self._at_nodes(grid, block)
        step = grid.node_cells
        out = np.empty(block.shape, dtype=np.float32)
        _sample(self.values, at[0], at[1], block.row - top * step, block.col - left * step, step, out)
        return out

    def under(self, grid: Grid, block: Block) -> NDArray[np.float64]:
        """The field's cells that may have a say in any of a block's: the sample lies between their least and most.

        NaN where the block reaches beyond the field.
        """
        _, _, at = self._at_nodes(grid, block)
        (first_row, last_row), (first_col, last_col) = (
            (math.floor(each.min()), math.floor(each.max()) + 1) for each in at
        )
        height, width = self.values.shape
        inside = self.values[max(first_row, 0) : max(last_row + 1, 0), max(first_col, 0) : max(last_col + 1, 0)]
        # On the line of the last centres the next cell weighs nothing, but a block that ends there is rare.
        if first_row >= 0 and first_col >= 0 and last_row < height and last_col < width:
            return inside
        return np.append(inside.ravel(), np.nan)

    def _at_nodes(self, grid: Grid, block: Block) -> tuple[int, int, NDArray[np.float64]]:
        """First node row and column, and where the nodes around a block lie in the field, [row or column, …]."""
        step = grid.node_cells
        top, left = block.row // step, block.col // step
        height, width = (
            (block.row + block.height - 1) // step + 2 - top,
            (block.col + block.width - 1) // step + 2 - left,
        )
        lon, lat = grid._nodes(top, left, height, width)
        return top, left, np.stack([(lat - self.south) / self.lat_step, (lon - self.west) / self.lon_step])


def sample(field: xr.DataArray, grid: Grid, block: Block) -> NDArray[np.float32]:
    """Bilinear values of a small longitude-latitude field at a block's cell centres.

    Args:
        field: dimensions (lat, lon), both ascending and evenly spaced, cell centres in degrees.

    Returns:
        Array of the block's shape, in the field's unit. NaN beyond the outermost centres, and wherever one of the four
        neighbours is NaN: unknown is not interpolated away. A cell's value does not depend on the block it is asked
        in.
    """
    return Field.of(field).sample(grid, block)


@lru_cache(maxsize=8)
def _to_degrees(crs: str) -> Transformer:
    """PROJ needs milliseconds to find a way. A transformer may be used from several threads."""
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


@njit(nogil=True, cache=True)
def _interpolate(
    nodes: NDArray[np.float64], rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:  # pragma: no cover - compiled
    """Bilinear values [2, n] between nodes [2, h, w] at places counted in nodes."""
    out = np.empty((2, rows.size))
    for k in range(rows.size):
        i, j = int(rows[k]), int(cols[k])
        v, u = rows[k] - i, cols[k] - j
        for axis in range(2):
            a, b = nodes[axis, i, j], nodes[axis, i, j + 1]
            c, d = nodes[axis, i + 1, j], nodes[axis, i + 1, j + 1]
            out[axis, k] = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
    return out


@njit(nogil=True, cache=True)
def _sample(
    values: NDArray[np.float64],
    at_row: NDArray[np.float64],
    at_col: NDArray[np.float64],
    row: int,
    col: int,
    step: int,
    out: NDArray[np.float32],
) -> None:  # pragma: no cover - compiled
    """Bilinear field values at cell centres; `row`, `col` are of the first cell, counted from the first node."""
    height, width = values.shape
    for i in range(out.shape[0]):
        n = (row + i) // step
        v = ((row + i) % step + 0.5) / step
        for m in range(col // step, (col + out.shape[1] - 1) // step + 1):
            # In a row of cells between two nodes both coordinates run along straight lines.
            r0 = (1 - v) * at_row[n, m] + v * at_row[n + 1, m]
            r1 = (1 - v) * at_row[n, m + 1] + v * at_row[n + 1, m + 1]
            c0 = (1 - v) * at_col[n, m] + v * at_col[n + 1, m]
            c1 = (1 - v) * at_col[n, m + 1] + v * at_col[n + 1, m + 1]
            for j in range(max(m * step - col, 0), min((m + 1) * step - col, out.shape[1])):
                u = ((col + j) % step + 0.5) / step
                r, c = (1 - u) * r0 + u * r1, (1 - u) * c0 + u * c1
                if not (0 <= r <= height - 1 and 0 <= c <= width - 1):
                    out[i, j] = np.nan
                    continue
                k, h = min(int(r), height - 2), min(int(c), width - 2)
                y, x = r - k, c - h
                upper = (1 - x) * values[k, h] + x * values[k, h + 1]
                lower = (1 - x) * values[k + 1, h] + x * values[k + 1, h + 1]
                out[i, j] = (1 - y) * upper + y * lower
