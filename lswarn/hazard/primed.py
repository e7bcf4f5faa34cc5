"""A day from critical rainfall: every cell's rain against the rain that puts it into each class. No network is asked.

A tile whose wettest rain changes no class is not read: its tile of the map is copied, its zones and counts are those of
the ground without rain. Of the others only the layers that the rain may reach are read.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from numba import njit
from numpy.typing import NDArray

from lswarn.errors import NotPrimed
from lswarn.grid import Block, Field
from lswarn.hazard.area_cells import AreaTiles, count, open_area_tiles, summed
from lswarn.hazard.classes import PROBABILITY_STEP, WARNED, Class
from lswarn.hazard.critical import DRY, REMEDY, RISING, UNKNOWN, CriticalLayers, most_tenths, rain_tenths
from lswarn.hazard.laid import Laid
from lswarn.hazard.rasters import ClassTile, ClassTiles, ClassWriter
from lswarn.hazard.zones import Pieces, block_pieces, load_pieces, save_pieces
from lswarn.rain.window import RainWindow
from lswarn.workers import Workers

log = logging.getLogger(__name__)

ZONES_DRY = "zones_dry.npz"
CACHE_BYTES = 32_000_000
"""Of GDAL's tiles: each is read once, and would be kept for nothing."""


@dataclass(frozen=True)
class Found:
    """One tile.

    Attributes:
        tile: its classes, or their bytes as dry.tif has them.
        pieces: of its zones.
        cells: rows of area number, class, cells.
        beyond: cells with more rain than the model has seen.
    """

    tile: ClassTile | bytes
    pieces: Pieces
    cells: NDArray[np.int64]
    beyond: int


@dataclass(frozen=True)
class PrimedBlock:
    """Does a tile that its rain may change. A pickled one opens its files anew.

    Attributes:
        layers: critical rainfall.
        rain: of the window, mm, NaN = unknown.
        short: above zero where more fell than `rain` says; None where that is nowhere.
        areas: numbers of the warning areas.
        min_cells: smaller pieces that touch no edge are left out.
    """

    layers: CriticalLayers
    rain: Field
    short: Field | None
    areas: AreaTiles
    min_cells: int

    def is_dry(self, block: Block) -> bool:
        """Whether the tile's rain is known, and too little to change any class."""
        under = self.rain.under(self.layers.grid, block)
        most = under.max()  # NaN where any is
        if not most <= self.layers.rain_max_mm:
            return False
        if self.short is not None and not (self.short.under(self.layers.grid, block) == 0).all():
            return False
        return bool(self._tenths_at_most(most) < self.layers.least[self.layers.tile_at(block)].min())

    def _tenths_at_most(self, mm: float) -> int:
        """More than any cell's rain is, interpolated from at most so much: the last bit may have been rounded up."""
        above = np.nextafter(np.float32(mm), np.float32(np.inf))
        return int(rain_tenths(np.array([above]), self.layers.rain_max_mm)[0])

    def __call__(self, block: Block) -> Found:
        """Classes, zones and counts of a tile.

        Raises:
            NotPrimed: the layers are damaged.
        """
        at = self.layers.tile_at(block)
        grid = self.layers.grid
        under = self.rain.under(grid, block)
        numbers = self.areas.numbers(*at, block.shape)
        if np.isnan(under).all():
            nothing = np.zeros(block.shape, dtype=np.uint8)
            pieces = block_pieces(nothing, nothing.astype(np.float32), block)
            return Found(_unknown_tile(block.shape), pieces, count(numbers, nothing), 0)
        mm = self.rain.sample(grid, block)
        rain = rain_tenths(mm, self.layers.rain_max_mm)
        wettest = self._tenths_at_most(np.nanmax(under))
        dry = self.layers.read_dry(*at)
        classes = dry.copy()
        for layer, least in zip(RISING, self.layers.least[at], strict=True):
            if wettest >= least:
                _raise_to(classes, rain, self.layers.read(layer, *at), np.uint8(layer))
        classes[rain == UNKNOWN] = Class.UNKNOWN
        if self.short is not None:
            classes[(self.short.sample(grid, block) > 0) & (classes < Class.HIGH)] = Class.UNKNOWN
        probability = self._probability(classes, rain, at)
        return Found(
            self.layers.dry_packed(*at) if np.array_equal(classes, dry) else ClassTile.of(classes),
            block_pieces(classes, probability, block, self.min_cells),
            count(numbers, classes),
            int(np.count_nonzero(mm > self.layers.rain_max_mm)),
        )

    def _probability(
        self, classes: NDArray[np.uint8], rain: NDArray[np.uint16], at: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Of the cells in HIGH or above; 0 elsewhere."""
        if not (classes >= Class.HIGH).any():
            return np.zeros(classes.shape, dtype=np.float32)
        nothing = np.zeros(classes.shape, dtype=np.uint16)  # of classes that are not asked for
        high = [self.layers.read(layer, *at) for layer in WARNED]
        return between(self.layers, at, classes, rain, [nothing, nothing, *high], Class.HIGH)


def between(
    layers: CriticalLayers,
    at: tuple[int, int],
    classes: NDArray[np.uint8],
    rain: NDArray[np.uint16],
    critical: Sequence[NDArray[np.uint16]],
    lowest: Class,
) -> NDArray[np.float32]:
    """Probabilities of a tile's cells, from what is known of them: log-odds run straight from rain to rain.

    They are known without rain, at the critical rainfall of each class, and under the most rain the model has seen. So
    none lies outside its class.

    Args:
        layers: critical layers.
        at: row and column of the tile.
        classes: of the cells under this rain, [h, w].
        rain: tenths of a millimetre.
        critical: the four layers of the tile, in the order of `RISING`; those below `lowest` are not looked at.
        lowest: class from which on cells are asked for.

    Returns:
        [h, w]; 0 in lower classes, and where the class is unknown.
    """
    p_dry, p_most = layers.read_probabilities(*at)
    found = np.zeros(classes.shape, dtype=np.float32)
    bounds = np.array([0.0, *layers.breaks, 1.0])
    most = most_tenths(layers.rain_max_mm)
    _between(classes, rain, np.stack(critical), p_dry, p_most, bounds, most, int(lowest), PROBABILITY_STEP, found)
    return found


def tile_probability(layers: CriticalLayers, rain: Field, block: Block) -> NDArray[np.float32]:
    """Probability of a tile's cells under a day's rain, mm; NaN where it, or a factor, is unknown.

    Raises:
        NotPrimed: the layers are damaged.
    """
    at = layers.tile_at(block)
    tenths = rain_tenths(rain.sample(layers.grid, block), layers.rain_max_mm)
    critical = [layers.read(layer, *at) for layer in RISING]
    classes = layers.read_dry(*at).copy()
    for layer, values in zip(RISING, critical, strict=True):
        _raise_to(classes, tenths, values, np.uint8(layer))
    classes[tenths == UNKNOWN] = Class.UNKNOWN
    found = between(layers, at, classes, tenths, critical, Class.VERY_LOW)
    found[classes == Class.UNKNOWN] = np.nan
    return found


def write_primed(
    folder: Path,
    window: RainWindow,
    layers: CriticalLayers,
    areas: gpd.GeoDataFrame,
    min_cells: int,
    workers: Workers,
    on_progress: Callable[[int, int], None],
) -> Laid:
    """Write classes.tif of a day from the layers.

    Args:
        folder: of the day.
        areas: in the grid's CRS and in the order of their numbers.
        min_cells: of a zone.

    Raises:
        NotPrimed: the layers are damaged.
    """
    numbers = open_area_tiles(areas, layers, workers)
    short = Field.of(window.lower_bound.astype(float)) if window.lower_bound.any() else None
    work = PrimedBlock(layers, Field.of(window.total), short, numbers, min_cells)
    blocks = list(layers.blocks())
    dry = [work.is_dry(block) for block in blocks]
    found = workers.over(work, (block for block, is_dry in zip(blocks, dry, strict=True) if not is_dry))
    dry_zones = load_dry_pieces(layers, workers) if any(dry) else []
    pieces: list[Pieces] = []
    counted = [numbers.dry[np.array(dry)[numbers.dry[:, 0]], 1:]]
    beyond = 0
    base = ClassTiles(layers.folder / f"{DRY}.tif", REMEDY)
    writer = ClassWriter(folder / "classes.tif", layers.grid, base)
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            for done, (block, is_dry) in enumerate(zip(blocks, dry, strict=True), 1):
                if is_dry:
                    writer.put(layers.dry_packed(*layers.tile_at(block)))
                    pieces.append(dry_zones[done - 1])
                else:
                    _, tile = next(found)
                    writer.put(tile.tile)
                    pieces.append(tile.pieces)
                    counted.append(tile.cells)
                    beyond += tile.beyond
                on_progress(done, len(blocks))
        writer.finish()
    finally:
        writer.close()
        base.close()
        layers.close()
    return Laid(pieces, summed(counted, len(areas)), beyond)


def load_dry_pieces(layers: CriticalLayers, workers: Workers) -> list[Pieces]:
    """Pieces of zones on the ground without rain, of each tile: made once, when they are first asked for.

    Raises:
        NotPrimed: the layers are damaged.
    """
    path = layers.folder / ZONES_DRY
    try:
        return load_pieces(path)
    except NotPrimed as error:
        if path.exists():
            log.warning("%s; tracing the zones without rain anew", error)
        pieces = [found for _, found in workers.over(_DryBlock(layers), layers.blocks())]
        with tempfile.TemporaryDirectory(dir=layers.folder) as draft:
            save_pieces(Path(draft) / ZONES_DRY, pieces)
            (Path(draft) / ZONES_DRY).replace(path)
    return load_pieces(path)


@dataclass(frozen=True)
class _DryBlock:
    layers: CriticalLayers

    def __call__(self, block: Block) -> Pieces:
        at = self.layers.tile_at(block)
        classes = self.layers.read_dry(*at)
        probability = np.zeros(block.shape, dtype=np.float32)
        if (classes >= Class.HIGH).any():
            probability = (self.layers.read_probabilities(*at)[0] * PROBABILITY_STEP).astype(np.float32)
        return block_pieces(classes, probability, block)


@lru_cache(maxsize=4)
def _unknown_tile(shape: tuple[int, int]) -> ClassTile:
    return ClassTile.of(np.zeros(shape, dtype=np.uint8))


@njit(nogil=True, cache=True)
def _raise_to(
    classes: NDArray[np.uint8], rain: NDArray[np.uint16], critical: NDArray[np.uint16], reached: np.uint8
) -> None:  # pragma: no cover - compiled
    """Raise the cells whose rain is critical for a class."""
    for i in range(classes.shape[0]):
        for j in range(classes.shape[1]):
            if rain[i, j] >= critical[i, j] and classes[i, j] < reached:
                classes[i, j] = reached


@njit(nogil=True, cache=True)
def _between(
    classes: NDArray[np.uint8],
    rain: NDArray[np.uint16],
    critical: NDArray[np.uint16],
    p_dry: NDArray[np.uint16],
    p_most: NDArray[np.uint16],
    bounds: NDArray[np.float64],
    most: int,
    lowest: int,
    step: float,
    out: NDArray[np.float32],
) -> None:  # pragma: no cover - compiled
    """See `between`. `bounds` [6]: a cell of class k has a probability between k - 1 and k."""
    for i in range(classes.shape[0]):
        for j in range(classes.shape[1]):
            here = int(classes[i, j])
            if here < lowest:
                continue
            least, above = bounds[here - 1], bounds[here]
            first = 0 if here == 1 else int(critical[here - 2, i, j])
            last = most if here == 5 else min(int(critical[here - 1, i, j]), most)
            # What rounding did to the probabilities at the ends must not lead out of the class.
            low = p_dry[i, j] * step if first == 0 else least
            high = p_most[i, j] * step if here == 5 or int(critical[here - 1, i, j]) > most else above
            low = min(max(low, least, 1e-9), above, 1 - 1e-9)
            high = min(max(high, low), above, 1 - 1e-9)
            share = min((rain[i, j] - first) / (last - first), 1.0) if last > first else 1.0
            odds = (1 - share) * np.log(low / (1 - low)) + share * np.log(high / (1 - high))
            out[i, j] = min(max(1 / (1 + np.exp(-odds)), low), high)
