"""Which cells of a block lie in landslides, around them, or in places that are known to have held."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import STRtree, box, buffer, get_x, get_y, point_on_surface
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from lswarn.grid import Block, Grid


class Places:
    """Polygons on a grid, each of one scene.

    A cell is inside a polygon when its centre is, or when it holds `point_on_surface` of it: none is so small that it
    vanishes.

    Attributes:
        scene_of: which scene each belongs to.
        cells_of: row and column [n, 2] of a cell inside each; may lie outside the grid.
    """

    def __init__(self, shapes: Sequence[Sequence[BaseGeometry]], grid: Grid) -> None:
        """Take the polygons of each scene, in the grid's CRS."""
        polygons = np.array([shape for scene in shapes for shape in scene], dtype=object)
        self.scene_of = np.array([i for i, scene in enumerate(shapes) for _ in scene], dtype=int)
        inside = point_on_surface(polygons)
        col, row = ~grid.transform @ (get_x(inside), get_y(inside))
        self.cells_of = np.floor(np.stack([row, col], 1)).astype(int)
        self._grid, self._scenes = grid, shapes
        self._index = STRtree(polygons)
        self._shapes = [mapping(polygon) for polygon in polygons]

    def grown(self, metres: float) -> "Places":
        """The same, and the ground within so many metres of each."""
        return Places([list(buffer(np.array(scene, dtype=object), metres)) for scene in self._scenes], self._grid)

    def inside(self, block: Block) -> Callable[[NDArray[np.bool_]], NDArray[np.bool_]]:
        """Ask which cells [h, w] of a block are inside a polygon of chosen scenes [scenes]; each answer is kept."""
        transform = self._grid.block_transform(block)
        (left, top), (right, bottom) = transform @ (0, 0), transform @ (block.width, block.height)
        near = self._index.query(box(left, bottom, right, top), predicate="intersects")
        known: dict[bytes, NDArray[np.bool_]] = {}

        def cells(scenes: NDArray[np.bool_]) -> NDArray[np.bool_]:
            chosen = near[scenes[self.scene_of[near]]]
            key = chosen.tobytes()
            if key not in known:
                found = np.zeros(block.shape, np.uint8)
                if chosen.size:
                    rasterize([self._shapes[i] for i in chosen], out=found, transform=transform)
                    at = self.cells_of[chosen] - (block.row, block.col)
                    found[tuple(at[((at >= 0) & (at < block.shape)).all(1)].T)] = 1
                known[key] = found.astype(bool)
            return known[key]

        return cells
