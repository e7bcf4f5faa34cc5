"""Past days' rasters asked again: which class, and which probability, stood where (door: disk)."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from shapely import STRtree, box
from shapely.geometry.base import BaseGeometry

from lswarn.errors import NotPrimed
from lswarn.grid import Block, Grid
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY, Class
from lswarn.hazard.critical import layers_at
from lswarn.hazard.primed import tile_probability
from lswarn.hazard.rasters import load_rain

log = logging.getLogger(__name__)

OTHERS = 200_000
"""About so many cells of a day that did not slide are read."""


def load_highest(path: Path, shapes: Sequence[BaseGeometry]) -> list[Class | None]:
    """The highest class that each of some shapes touches.

    Args:
        path: of a day's class raster.
        shapes: in the raster's CRS.

    Returns:
        UNKNOWN where no higher class than MODERATE is known, and some cell is unknown: the truth may be higher. None
        where the raster is gone from disk, or the shape lies outside it.
    """
    try:
        with rasterio.open(path) as dataset:
            return [_highest(dataset, shape) for shape in shapes]
    except RasterioIOError as error:
        log.warning("%s cannot be read, so nothing is told of its classes: %s", path, error)
        return [None] * len(shapes)


def _highest(dataset: DatasetReader, shape: BaseGeometry) -> Class | None:
    grid = _grid_of(dataset)
    block = _block_of(grid, shape)
    if block is None:
        return None
    classes = dataset.read(1, window=block.window)
    inside = rasterize([(shape, 1)], classes.shape, transform=grid.block_transform(block), all_touched=True)
    found = classes[inside == 1]
    if not found.size:
        return None
    highest = Class(int(found.max()))
    return Class.UNKNOWN if highest < Class.HIGH and (found == Class.UNKNOWN).any() else highest


def load_probabilities(
    source: "Path | PrimedDay", slid: Sequence[BaseGeometry], unclear: Sequence[BaseGeometry], *, day_number: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], int]]:
    """A day's probabilities, block by block: every cell that slid, and a regular sample of the others.

    Args:
        source: path of a day's probability raster; of a primed day, what stands for it.
        slid: landslides of the day, in the region's CRS.
        unclear: where it is not known whether it slid that day: left out.
        day_number: shifts the sample from day to day, so that no cell is always asked.

    Yields:
        Probabilities [n] (no NaN), labels [n] (1 slid, 0 did not), and how many cells each of the label 0 stands for.

    Raises:
        FileNotFoundError: the raster, or what it would be made from, is gone from disk.
    """
    with ExitStack() as opened:
        grid, read = source.open(opened) if isinstance(source, PrimedDay) else _open_raster(source, opened)
        step = max(1, round((grid.height * grid.width / OTHERS) ** 0.5))
        trees = STRtree(list(slid)), STRtree(list(unclear))
        for block in grid.blocks():
            steps = read(block)
            transform = grid.block_transform(block)
            left, top = transform @ (0, 0)
            right, bottom = transform @ (block.width, block.height)
            frame = box(left, bottom, right, top)
            label = np.zeros(block.shape)
            for tree, shapes, value in zip(trees, (slid, unclear), (1.0, np.nan), strict=True):
                # What slid for sure is written first, what is unclear only where nothing slid.
                if (near := tree.query(frame)).size:
                    burnt = rasterize([(shapes[i], 1) for i in near], block.shape, transform=transform) == 1
                    label[burnt & (label == 0)] = value
            sampled = np.zeros(block.shape, bool)
            sampled[(day_number - block.row) % step :: step, (day_number // step - block.col) % step :: step] = True
            asked = (steps != UNKNOWN_PROBABILITY) & ((label == 1) | (sampled & (label == 0)))
            yield steps[asked] * PROBABILITY_STEP, label[asked], step * step


@dataclass(frozen=True)
class PrimedDay:
    """A day without a raster of probabilities: they are worked out from its rain and the critical layers.

    Attributes:
        rain: the day's `rain.tif`.
        layers: folder of the critical layers it was judged by.
    """

    rain: Path
    layers: Path

    def open(self, opened: ExitStack) -> tuple[Grid, Callable[[Block], NDArray[np.uint16]]]:
        """The cells, and how a block's probabilities are read, in `PROBABILITY_STEP`.

        Raises:
            FileNotFoundError: the rain or the layers are gone, or no longer what they were.
        """
        try:
            rain = load_rain(self.rain)
            layers = opened.enter_context(layers_at(self.layers))
        except NotPrimed as error:
            raise FileNotFoundError(str(error)) from error

        def read(block: Block) -> NDArray[np.uint16]:
            try:
                probability = tile_probability(layers, rain, block)
            except NotPrimed as error:
                raise FileNotFoundError(str(error)) from error
            steps = np.round(np.nan_to_num(probability) / PROBABILITY_STEP)
            return np.where(np.isnan(probability), UNKNOWN_PROBABILITY, steps).astype(np.uint16)

        return layers.grid, read


def _open_raster(path: Path, opened: ExitStack) -> tuple[Grid, Callable[[Block], NDArray[np.uint16]]]:
    try:
        dataset = opened.enter_context(rasterio.open(path))
    except RasterioIOError as error:
        raise FileNotFoundError(f"{path} cannot be read: {error}") from error
    return _grid_of(dataset), lambda block: dataset.read(1, window=block.window)


def _grid_of(dataset: DatasetReader) -> Grid:
    return Grid(dataset.crs.to_string(), dataset.transform, dataset.height, dataset.width)


def _block_of(grid: Grid, shape: BaseGeometry) -> Block | None:
    """The cells that a shape's box touches; None outside the grid."""
    left, bottom, right, top = shape.bounds
    (first_col, first_row), (last_col, last_row) = (
        ~grid.transform @ corner for corner in ((left, top), (right, bottom))
    )
    row, col = max(0, math.floor(first_row)), max(0, math.floor(first_col))
    height = min(grid.height, math.floor(last_row) + 1) - row
    width = min(grid.width, math.floor(last_col) + 1) - col
    return Block(row, col, height, width) if height > 0 and width > 0 else None
