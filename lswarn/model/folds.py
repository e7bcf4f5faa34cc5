"""Folds of a spatial cross-validation, and the hot spots it is told for apart.

Folds are made on the grid, before any crop is cut, and are the same for every model. Each in turn is held out with a
guard band around it, in ground that would else be trained on: so every cell of a fold is judged, once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import MultiPoint, STRtree, box
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from lswarn.errors import TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.holdout import NOWHERE, Cut, Holdout, Rectangles, edges
from lswarn.sources import degrees, load_vector

MOST_FOLDS = 20
BLOCKS_A_FOLD = 4
"""Blocks that a fold of `blocks:N` is scattered over, where they stay wide enough."""
WIDE_GUARDS = 6
"""Guard bands that such a block is wide, so that it takes less than twice its own area from training."""
PROBE_CELLS = 128
"""Side of the blocks by which polygons are covered."""

HOT_SPOTS = 5
LEAST_IN_HOT_SPOT = 10
"""Slopes that slid, for a cluster to be worth figures of its own."""
HOT_SPOT_MARGIN_M = 500.0


@dataclass(frozen=True)
class Polygons:
    """Parts given by polygons in the grid's CRS, numbered in their order; of two that overlap the first counts."""

    grid: Grid
    shapes: tuple[BaseGeometry, ...]

    def number(self, block: Block) -> NDArray[np.int32]:  # noqa: D102 (Cut)
        numbers = np.full(block.shape, NOWHERE, np.int32)
        near = sorted(self._index.query(_outline(self.grid, block), predicate="intersects"), reverse=True)
        if near:
            burnt = [(mapping(self.shapes[k]), int(k)) for k in near]  # the last one burnt, the first, prevails
            rasterize(burnt, out=numbers, transform=self.grid.block_transform(block))
        rows, cols = (np.arange(at, at + n) for at, n in ((block.row, block.height), (block.col, block.width)))
        on_grid = np.outer((rows >= 0) & (rows < self.grid.height), (cols >= 0) & (cols < self.grid.width))
        return np.where(on_grid, numbers, NOWHERE).astype(np.int32)

    def blocks(self, number: int) -> Iterator[Block]:  # noqa: D102 (Cut)
        for block in self.grid.blocks(PROBE_CELLS):
            if self.shapes[number].intersects(_outline(self.grid, block)):
                yield block

    @cached_property
    def _index(self) -> STRtree:
        return STRtree(self.shapes)


@dataclass(frozen=True)
class Boxes:
    """Blocks that do not overlap, each of a part.

    Attributes:
        boxes: the blocks.
        parts: number of the part of each; several may share one.
    """

    boxes: tuple[Block, ...]
    parts: tuple[int, ...]

    def number(self, block: Block) -> NDArray[np.int32]:  # noqa: D102 (Cut)
        numbers = np.full(block.shape, NOWHERE, np.int32)
        for box_, part in zip(self.boxes, self.parts, strict=True):
            rows = slice(max(box_.row - block.row, 0), max(box_.row + box_.height - block.row, 0))
            cols = slice(max(box_.col - block.col, 0), max(box_.col + box_.width - block.col, 0))
            numbers[rows, cols] = part
        return numbers

    def blocks(self, number: int) -> Iterator[Block]:  # noqa: D102 (Cut)
        for each, part in zip(self.boxes, self.parts, strict=True):
            if part == number:
                yield from each.split()


@dataclass(frozen=True)
class Scattered:
    """Every cell in a part by chance, whatever its neighbours are in: what a spatial split must not be."""

    grid: Grid
    parts: int

    def number(self, block: Block) -> NDArray[np.int32]:  # noqa: D102 (Cut)
        rows, cols = np.mgrid[block.row : block.row + block.height, block.col : block.col + block.width]
        on_grid = (rows >= 0) & (rows < self.grid.height) & (cols >= 0) & (cols < self.grid.width)
        x = (rows * self.grid.width + cols).astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64: chance by position
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return np.where(on_grid, (x >> np.uint64(33)) % np.uint64(self.parts), NOWHERE).astype(np.int32)

    def blocks(self, number: int) -> Iterator[Block]:  # noqa: D102 (Cut)
        return self.grid.blocks()


@dataclass(frozen=True)
class Folds:
    """The folds of an evaluation.

    Attributes:
        spec: as it was asked for.
        cut: number k is fold k.
        count: how many there are.
        guard: cells, see `Holdout`.
        landslides: how many lie in each fold.
    """

    spec: str
    cut: Cut
    count: int
    guard: int
    landslides: tuple[int, ...]

    def without(self, fold: int) -> Holdout:
        """All ground but one fold to train on."""
        return Holdout(self.cut, frozenset({fold}), self.guard)


def make_folds(spec: str, grid: Grid, landslides: NDArray[np.int64], *, guard: int, phase: int) -> Folds:
    """Cut a grid into folds.

    Args:
        spec: `blocks:N` (scattered, with about as many landslides in each fold), `strips:N` (across the longer side),
            or a vector file, a fold a feature.
        landslides: row and column [n, 2] of each; may lie outside the grid.
        guard: cells that the farthest-seeing network sees.
        phase: edges of blocks and strips lie at multiples of it.

    Raises:
        TrainingError: the spec is neither; the grid is too small; all landslides are in one fold, or in none.
        RegionError: the vector file cannot be read.
    """
    if asked := re.fullmatch(r"(blocks|strips):(\d+)", spec):
        count = int(asked[2])
        if not 2 <= count <= MOST_FOLDS:
            raise TrainingError(f"folds {spec}: give 2 to {MOST_FOLDS} folds")
        cut: Cut = (
            _blocks(spec, grid, count, guard, phase, landslides)
            if asked[1] == "blocks"
            else _strips(spec, grid, count, guard, phase)
        )
    elif Path(spec).exists():
        cut = load_polygons(Path(spec), grid, context="--folds")
        count = len(cut.shapes)
        if not 2 <= count <= MOST_FOLDS:
            raise TrainingError(f"folds {spec}: {count} features in the region, a fold each: 2 to {MOST_FOLDS} can be")
    else:
        raise TrainingError(f"folds {spec!r}: neither blocks:N nor strips:N, and there is no such vector file")
    numbers = numbers_at(cut, grid, landslides)
    inside = np.bincount(numbers[numbers != NOWHERE], minlength=count)
    if not inside.any():
        raise TrainingError(f"folds {spec}: none of the {len(landslides)} landslides lies in any of the {count} folds")
    if np.count_nonzero(inside) == 1:
        raise TrainingError(
            f"folds {spec}: all {inside.sum()} landslides in the folds lie in fold {int(inside.argmax()) + 1} of "
            f"{count}, so without it there is nothing to learn and in the others nothing to judge; cut the region "
            "otherwise (more folds, blocks for strips, or polygons through the inventory)"
        )
    return Folds(spec, cut, count, guard, tuple(int(n) for n in inside))


def load_polygons(path: Path, grid: Grid, *, context: str) -> Polygons:
    """Polygons of a vector file, those that meet the grid.

    Raises:
        RegionError: it cannot be read, or none meets the grid.
    """
    frame = load_vector(path, crs=grid.crs, bbox=degrees(grid), context=context)
    area = _outline(grid, grid.whole)
    return Polygons(grid, tuple(shape for shape in frame.geometry if shape.area and shape.intersects(area)))


@dataclass(frozen=True)
class HotSpot:
    """Ground where landslides crowd.

    Attributes:
        name: for people.
        shape: in the grid's CRS.
        landslides: how many lie in it.
    """

    name: str
    shape: BaseGeometry
    landslides: int


def cluster_hot_spots(grid: Grid, landslides: NDArray[np.int64]) -> tuple[HotSpot, ...]:
    """Up to five clusters of the inventory, the greatest first: k-means of the slopes that slid, and their hulls.

    Fewer where the inventory has not `LEAST_IN_HOT_SPOT` slopes for each. A slope that slid twice weighs once.

    Args:
        landslides: row and column [n, 2].
    """
    on_grid = ((landslides >= 0) & (landslides < grid.shape)).all(1)
    slopes = np.unique(landslides[on_grid], axis=0)
    count = min(HOT_SPOTS, len(slopes) // LEAST_IN_HOT_SPOT)
    if not count:
        return ()
    from sklearn.cluster import KMeans  # seconds that only this needs to spend

    cluster = KMeans(count, n_init=10, random_state=0).fit_predict(slopes)
    left, _, _, top = grid.bounds
    points = np.array([left, top]) + (slopes[:, ::-1] + 0.5) * (grid.resolution_m, -grid.resolution_m)
    shapes = [
        MultiPoint(points[cluster == k]).convex_hull.buffer(HOT_SPOT_MARGIN_M)
        for k in np.argsort(-np.bincount(cluster, minlength=count), kind="stable")
    ]
    return name_hot_spots(Polygons(grid, tuple(shapes)), landslides)


def name_hot_spots(polygons: Polygons, landslides: NDArray[np.int64]) -> tuple[HotSpot, ...]:
    """Polygons as hot spots: a letter, and where in the region they lie."""
    numbers = numbers_at(polygons, polygons.grid, landslides)
    return tuple(
        HotSpot(f"{chr(ord('A') + k)} ({_whereabouts(polygons.grid, shape)})", shape, int((numbers == k).sum()))
        for k, shape in enumerate(polygons.shapes)
    )


def numbers_at(cut: Cut, grid: Grid, cells: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number of each of some cells, given as row and column [n, 2]; `NOWHERE` outside the grid."""
    numbers = np.full(len(cells), NOWHERE, np.int32)
    for block in grid.blocks():
        at = cells - (block.row, block.col)
        here = ((at >= 0) & (at < block.shape)).all(1)
        if here.any():
            numbers[here] = cut.number(block)[tuple(at[here].T)]
    return numbers


def _strips(spec: str, grid: Grid, count: int, guard: int, phase: int) -> Rectangles:
    along = edges(max(grid.shape), count, phase)
    _require_room(spec, grid, np.diff(along).min(), guard)
    if grid.height > grid.width:
        return Rectangles(along, (0, grid.width), tuple((k,) for k in range(count)))
    return Rectangles((0, grid.height), along, (tuple(range(count)),))


def _blocks(spec: str, grid: Grid, count: int, guard: int, phase: int, landslides: NDArray[np.int64]) -> "Boxes":
    """Blocks of about as many landslides each, several a fold where there is room, dealt out at random.

    Blocks of one size would leave one fold most of the inventory, and others too little of it to be judged by.
    """
    for a_fold in range(BLOCKS_A_FOLD, 0, -1):
        blocks = _bisected(grid.whole, landslides, count * a_fold, phase)
        narrowest = min(min(block.shape) for block, _ in blocks)
        if narrowest >= WIDE_GUARDS * guard:
            break
    _require_room(spec, grid, narrowest, guard)
    order = np.random.default_rng(0).permutation(len(blocks))
    parts, inside = np.full(len(blocks), NOWHERE), np.zeros(count, int)
    for k in sorted(order, key=lambda k: -blocks[k][1]):
        room = np.bincount(parts[parts != NOWHERE], minlength=count) < a_fold
        parts[k] = np.argmin(np.where(room, inside, np.iinfo(int).max))
        inside[parts[k]] += blocks[k][1]
    return Boxes(tuple(block for block, _ in blocks), tuple(map(int, parts)))


def _bisected(block: Block, landslides: NDArray[np.int64], parts: int, phase: int) -> list[tuple[Block, int]]:
    """So many blocks that make up one, each with how many landslides lie in it: halved, and the halves halved again.

    A cut across the longer side leaves each half its share of the landslides, but no less than half of its share of
    the ground.
    """
    within = landslides - (block.row, block.col)
    inside = landslides[((within >= 0) & (within < block.shape)).all(1)]
    if parts == 1:
        return [(block, len(inside))]
    axis = int(block.width > block.height)
    first, side = (block.row, block.col)[axis], block.shape[axis]
    share = parts // 2 / parts
    wanted = np.quantile(inside[:, axis] - first, share) if len(inside) else share * side
    at = int(np.clip(wanted, share / 2 * side, (1 + share) / 2 * side) + phase / 2) // phase * phase
    if not 0 < at < side:
        return [(Block(block.row, block.col, 0, 0), 0)] * parts  # too narrow to part, which is refused
    near, far = (
        (Block(block.row, block.col, at, block.width), Block(block.row + at, block.col, side - at, block.width))
        if axis == 0
        else (Block(block.row, block.col, block.height, at), Block(block.row, block.col + at, block.height, side - at))
    )
    return _bisected(near, inside, parts // 2, phase) + _bisected(far, inside, parts - parts // 2, phase)


def _require_room(spec: str, grid: Grid, narrowest: int, guard: int) -> None:
    if narrowest < max(guard, 1):
        raise TrainingError(
            f"folds {spec}: {grid.height} x {grid.width} cells are too few: a fold would be {narrowest} cells wide, "
            f"less than the {guard} cells that the network sees around it; fewer folds, or a lower model.depth"
        )


def _outline(grid: Grid, block: Block) -> BaseGeometry:
    transform = grid.block_transform(block)
    (left, top), (right, bottom) = transform @ (0, 0), transform @ (block.width, block.height)
    return box(left, bottom, right, top)


def _whereabouts(grid: Grid, shape: BaseGeometry) -> str:
    """Which ninth of the grid a shape's centre is in."""
    left, bottom, right, top = grid.bounds
    at = shape.centroid
    down = ("north", "", "south")[int(np.clip(3 * (top - at.y) / (top - bottom), 0, 2))]
    across = ("west", "", "east")[int(np.clip(3 * (at.x - left) / (right - left), 0, 2))]
    return "-".join(part for part in (down, across) if part) or "middle"
