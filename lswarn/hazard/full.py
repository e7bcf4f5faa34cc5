"""A day from the model itself, asked about every cell: for models without critical rainfall, and as the check of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from lswarn.factors.stack import FactorStack
from lswarn.grid import Block, Field, Grid
from lswarn.hazard.area_cells import Areas, count, summed
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY, classify
from lswarn.hazard.critical import TILE_CELLS, UNKNOWN, rain_tenths
from lswarn.hazard.laid import Laid
from lswarn.hazard.rasters import ClassTile, ClassWriter
from lswarn.hazard.zones import Pieces, block_pieces
from lswarn.rain.window import RainWindow
from lswarn.workers import Workers

if TYPE_CHECKING:  # with it comes torch
    from lswarn.model.predict import Predictor


@dataclass(frozen=True)
class Found:
    """One block.

    Attributes:
        classes: `Class` values [h, w].
        steps: probability in `PROBABILITY_STEP`, UNKNOWN_PROBABILITY where unknown.
        pieces: of its zones.
        cells: rows of area number, class, cells.
        beyond: cells with more rain than the model has seen.
    """

    classes: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    pieces: Pieces
    cells: NDArray[np.int64]
    beyond: int


@dataclass(frozen=True)
class FullBlock:
    """Does a block by the model.

    Attributes:
        factors: the region's stack.
        predictor: the model.
        rain: of the window, mm, NaN = unknown.
        short: above zero where more fell than `rain` says; None where that is nowhere.
        areas: warning areas.
        min_cells: smaller pieces that touch no edge are left out.
    """

    factors: FactorStack
    predictor: "Predictor"
    rain: Field
    short: Field | None
    areas: Areas
    min_cells: int

    def __call__(self, block: Block) -> Found:
        """Classes, probabilities, zones and counts of a block; the model is not asked where no rain is known."""
        halo, grid = self.predictor.halo, self.factors.grid
        around = block.with_halo(halo)
        mm = self.rain.sample(grid, around)
        inner = slice(halo, halo + block.height), slice(halo, halo + block.width)
        if np.isnan(mm).all():
            probability = np.full(block.shape, np.nan, dtype=np.float32)
        else:
            # In the tenths that critical rainfall is kept in, so that both ways say the same.
            tenths = rain_tenths(mm, self.predictor.rain_max_mm)
            rain = np.where(tenths == UNKNOWN, np.float32(np.nan), (tenths / 10).astype(np.float32))
            probability = self.predictor.probability(self.factors.read(around), rain)[inner]
        short = False if self.short is None else self.short.sample(grid, block) > 0
        classes = classify(probability, self.predictor.breaks, lower_bound=short)
        steps = np.where(np.isnan(probability), UNKNOWN_PROBABILITY, np.round(probability / PROBABILITY_STEP))
        return Found(
            classes,
            steps.astype(np.uint16),
            block_pieces(classes, probability, block, self.min_cells),
            count(self.areas.numbers(grid, block), classes),
            int(np.count_nonzero(mm[inner] > self.predictor.rain_max_mm)),
        )


def write_full(
    folder: Path,
    window: RainWindow,
    factors: FactorStack,
    predictor: "Predictor",
    areas: gpd.GeoDataFrame,
    min_cells: int,
    workers: Workers,
    on_progress: Callable[[int, int], None],
    block_cells: int,
) -> Laid:
    """Write classes.tif and probability.tif of a day.

    Args:
        folder: of the day.
        areas: in the grid's CRS and in the order of their numbers.
        min_cells: of a zone.
        block_cells: side of a block, a multiple of the network's phase; more take more memory.
    """
    grid = factors.grid
    short = Field.of(window.lower_bound.astype(float)) if window.lower_bound.any() else None
    numbers = Areas(areas.geometry.to_numpy())
    work = FullBlock(factors, predictor, Field.of(window.total), short, numbers, min_cells)
    blocks = list(grid.blocks(block_cells))
    pieces, counted, beyond = [], [], 0
    profile = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "crs": grid.crs}
    profile |= {"transform": grid.transform, "tiled": True, "BIGTIFF": "IF_SAFER"}
    profile |= {"blockxsize": TILE_CELLS, "blockysize": TILE_CELLS}
    raw_classes, raw_probability = folder / "classes.raw", folder / "probability.raw"
    with (
        rasterio.open(raw_classes, "w", dtype="uint8", **profile) as class_file,
        rasterio.open(raw_probability, "w", dtype="uint16", nodata=UNKNOWN_PROBABILITY, **profile) as probability_file,
    ):
        probability_file.scales = (PROBABILITY_STEP,)
        for done, (block, found) in enumerate(workers.over(work, blocks), 1):
            class_file.write(found.classes, 1, window=block.window)
            probability_file.write(found.steps, 1, window=block.window)
            pieces.append(found.pieces)
            counted.append(found.cells)
            beyond += found.beyond
            on_progress(done, len(blocks))
    _save_classes(raw_classes, folder / "classes.tif", grid)
    rasterio.shutil.copy(
        raw_probability,
        folder / "probability.tif",
        driver="COG",
        compress="deflate",
        overview_resampling="average",
        predictor="yes",
    )
    raw_classes.unlink()
    raw_probability.unlink()
    return Laid(pieces, summed(counted, len(areas)), beyond)


def _save_classes(raw: Path, path: Path, grid: Grid) -> None:
    """By tiles, so that the same classes have the same bytes whichever way they were found."""
    writer = ClassWriter(path, grid)
    try:
        with rasterio.open(raw) as dataset:
            for tile in grid.blocks(TILE_CELLS):
                writer.put(ClassTile.of(dataset.read(1, window=tile.window)))
        writer.finish()
    finally:
        writer.close()
