"""The least critical rainfall along roads, settlements and warning areas: how much rain each of them can take. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from lswarn.grid import Block, Grid
from lswarn.hazard.classes import WARNED, Class
from lswarn.hazard.critical import TILE_CELLS, UNKNOWN
from lswarn.workers import Workers

SQUARE_CELLS = 64
"""Rain differs from place to place, so a long road is asked once in every square of so many cells that it touches."""


class Layers(Protocol):
    """What is asked of critical layers: see `critical.CriticalLayers`."""

    @property
    def grid(self) -> Grid:
        """Their cells."""
        ...

    def read(self, layer: Class, row: int, col: int) -> NDArray[np.uint16]:
        """Critical rain of one tile, by its row and column among tiles."""
        ...


@dataclass(frozen=True)
class LeastCritical:
    """The least critical rainfall of shapes in the squares that they touch: one row a shape, square and class.

    Attributes:
        shape: index of the shape.
        square: which square, counted from the north-west of the grid, row by row.
        warned: HIGH or VERY_HIGH.
        critical: tenths of a millimetre of 7-day rain, rounded up; 0: in the class without rain; `critical.NEVER`: no
            rain puts a known cell of it there; `critical.UNKNOWN`: no cell is known.
        ground_unknown: a factor of some cell is unknown, so that less rain may do.
        row, col: the cell, the first of equals in reading order.
    """

    shape: NDArray[np.int64]
    square: NDArray[np.int32]
    warned: NDArray[np.uint8]
    critical: NDArray[np.uint16]
    ground_unknown: NDArray[np.bool_]
    row: NDArray[np.int32]
    col: NDArray[np.int32]


def least_critical(layers: Layers, shapes: NDArray[np.object_], workers: Workers) -> Iterator[LeastCritical]:
    """Look up what each shape can take, tile by tile; tiles without a shape are not read.

    Args:
        shapes: lines and polygons in the CRS of the grid. A cell counts if a line runs through it, or a polygon touches
            it. What lies outside the grid is passed over; a shape that lies outside altogether has no row.

    Yields:
        Of one tile, sorted by shape, square and class.
    """
    tree = shapely.STRtree(shapes)
    # Asked once before threads ask it: it is grown by the first question.
    tiles = [tile for tile in layers.grid.blocks(TILE_CELLS) if tree.query(_frame(layers.grid, tile)).size]
    for _, found in workers.over(_Tile(layers, shapes, tree), tiles):
        if found is not None:
            yield found


@dataclass(frozen=True)
class _Tile:
    """The work on one tile."""

    layers: Layers
    shapes: NDArray[np.object_]
    tree: shapely.STRtree

    def __call__(self, tile: Block) -> LeastCritical | None:
        frame = _frame(self.layers.grid, tile)
        near = np.sort(self.tree.query(frame))
        shape, row, col = _touched(near, self.shapes, frame, self.layers.grid, tile)
        return _least(self.layers, tile, near, shape, row, col) if shape.size else None


Touched = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Which of the shapes near, row and column within a tile; a cell may be there twice."""


def _frame(grid: Grid, tile: Block) -> BaseGeometry:
    (left, top), (right, bottom) = (
        grid.transform @ corner for corner in ((tile.col, tile.row), (tile.col + tile.width, tile.row + tile.height))
    )
    return shapely.box(left, bottom, right, top)


def _touched(
    near: NDArray[np.int64], shapes: NDArray[np.object_], frame: BaseGeometry, grid: Grid, tile: Block
) -> Touched:
    """The cells of a tile that shapes touch."""
    cut = shapely.clip_by_rect(shapes[near], *frame.bounds)
    lines = shapely.get_dimensions(shapes[near]) == 1
    found = [_crossed(np.flatnonzero(lines), cut[lines], grid, tile)]
    for number, part in zip(np.flatnonzero(~lines), cut[~lines], strict=True):
        if not part.is_empty:
            rows, cols = _covered(part, grid, tile)
            found.append((np.full(rows.size, number), rows, cols))
    shape, row, col = (np.concatenate(values) for values in zip(*found, strict=True))
    return shape, row, col


def _crossed(numbers: NDArray[np.int64], lines: NDArray[np.object_], grid: Grid, tile: Block) -> Touched:
    """The cells that lines run through."""
    parts, of_line = shapely.get_parts(lines, return_index=True)
    points, of_part = shapely.get_coordinates(parts, return_index=True)
    x, y = ~grid.block_transform(tile) @ (points[:, 0], points[:, 1])
    same = of_part[1:] == of_part[:-1]
    starts, ends = (np.column_stack((x, y))[side][same] for side in (np.s_[:-1], np.s_[1:]))
    which = numbers[of_line[of_part[:-1][same]]]
    steps = (np.abs(np.floor(ends) - np.floor(starts)).sum(1) + 1).astype(np.int64)
    row, col = _walk(starts, ends, steps)
    # The end of a line on the edge of a tile is of the next one.
    inside = (row >= 0) & (row < tile.height) & (col >= 0) & (col < tile.width)
    return np.repeat(which, steps)[inside], row[inside], col[inside]


@njit(nogil=True, cache=True)
def _walk(  # pragma: no cover (compiled)
    starts: NDArray[np.float64], ends: NDArray[np.float64], steps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of all cells from start to end of each segment, each step into the cell that is entered next.

    After Amanatides and Woo (1987), A fast voxel traversal algorithm for ray tracing.
    """
    row, col = np.empty(steps.sum(), np.int64), np.empty(steps.sum(), np.int64)
    at = 0
    for i in range(len(steps)):
        x, y = int(np.floor(starts[i, 0])), int(np.floor(starts[i, 1]))
        last_x, last_y = int(np.floor(ends[i, 0])), int(np.floor(ends[i, 1]))
        across, down = ends[i, 0] - starts[i, 0], ends[i, 1] - starts[i, 1]
        step_x, step_y = 1 if across > 0 else -1, 1 if down > 0 else -1
        for _ in range(steps[i]):
            row[at], col[at] = y, x
            at += 1
            when_x = when_y = np.inf
            if x != last_x:
                when_x = (x + (1 if step_x > 0 else 0) - starts[i, 0]) / across
            if y != last_y:
                when_y = (y + (1 if step_y > 0 else 0) - starts[i, 1]) / down
            if when_x < when_y:
                x += step_x
            else:
                y += step_y
    return row, col


def _covered(part: BaseGeometry, grid: Grid, tile: Block) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells that a polygon touches."""
    left, bottom, right, top = part.bounds
    first_col, first_row = ~grid.block_transform(tile) @ (left, top)
    last_col, last_row = ~grid.block_transform(tile) @ (right, bottom)
    row, col = max(int(first_row), 0), max(int(first_col), 0)
    height, width = min(int(last_row) + 1, tile.height) - row, min(int(last_col) + 1, tile.width) - col
    if height <= 0 or width <= 0:  # it ends on the edge of the tile
        return np.empty(0, np.int64), np.empty(0, np.int64)
    window = Block(tile.row + row, tile.col + col, height, width)
    burnt = rasterize([(part, 1)], window.shape, transform=grid.block_transform(window), all_touched=True)
    rows, cols = np.nonzero(burnt)
    return rows + row, cols + col


def _least(
    layers: Layers,
    tile: Block,
    near: NDArray[np.int64],
    shape: NDArray[np.int64],
    row: NDArray[np.int64],
    col: NDArray[np.int64],
) -> LeastCritical:
    """The least of each shape in each square of a tile."""
    down, across = -(-tile.height // SQUARE_CELLS), -(-tile.width // SQUARE_CELLS)
    group = (shape * down + row // SQUARE_CELLS) * across + col // SQUARE_CELLS
    groups = len(near) * down * across
    found = [
        _lowest(group, layers.read(warned, tile.row // TILE_CELLS, tile.col // TILE_CELLS), row, col, groups)
        for warned in WARNED
    ]
    met = np.flatnonzero(found[0][0] < _NOTHING)
    # A row a group and class, group by group.
    order = np.column_stack([least[met] for least, _ in found]).ravel()
    doubt = np.column_stack([unknown[met] for _, unknown in found]).ravel()
    of = np.repeat(met, len(WARNED))
    square_row, square_col = np.divmod(of % (down * across), across)
    first = tile.row // SQUARE_CELLS + square_row, tile.col // SQUARE_CELLS + square_col
    cell = order % TILE_CELLS**2
    return LeastCritical(
        near[of // (down * across)],
        (first[0] * -(-layers.grid.width // SQUARE_CELLS) + first[1]).astype(np.int32),
        np.tile(np.array(WARNED, np.uint8), len(met)),
        (order // TILE_CELLS**2).astype(np.uint16),
        doubt,
        (tile.row + cell // TILE_CELLS).astype(np.int32),
        (tile.col + cell % TILE_CELLS).astype(np.int32),
    )


_NOTHING = np.iinfo(np.int64).max


@njit(nogil=True, cache=True)
def _lowest(
    group: NDArray[np.int64],
    critical: NDArray[np.uint16],
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    groups: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:  # pragma: no cover (compiled)
    """The least critical rain of each group with its cell, as one number, and whether any of its cells is unknown."""
    least, doubt = np.full(groups, _NOTHING), np.zeros(groups, np.bool_)
    for i in range(len(group)):
        rain = critical[row[i], col[i]]
        order = np.int64(rain) * TILE_CELLS**2 + row[i] * TILE_CELLS + col[i]
        least[group[i]] = min(least[group[i]], order)
        doubt[group[i]] |= rain == UNKNOWN
    return least, doubt
