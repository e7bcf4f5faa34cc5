"""How fast zones are made of classes: `python ops/bench/zones.py [SIDE]`, SIDE cells of a region's side (23100).

First 36 million cells of which 14 % are warned of, beside `rasterio.features.shapes`, on one thread each; the peer's
polygons are neither counted nor joined nor brought to degrees. Then a wet day's region, of which 2 % are warned of in a
third of the tiles, on all cores; its ground is a few made tiles, again and again.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import gaussian_filter

from lswarn.grid import BLOCK_CELLS, Block, Grid
from lswarn.hazard.zones import Pieces, block_pieces, join_pieces, least_cells, load_pieces, save_pieces
from lswarn.workers import Threads

MIN_ZONE_M2 = 3600
GROUNDS = 12
Cut = Callable[[Block], Pieces]


@contextmanager
def timed(step: str, times: dict[str, float]) -> Iterator[None]:
    """Print what a step took, and keep it."""
    start, worked = time.perf_counter(), time.process_time()
    yield
    times[step], worked = time.perf_counter() - start, time.process_time() - worked
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:50s} {times[step]:7.2f} s   of processors {worked:7.2f} s   peak so far {peak_mb:6.0f} MB")


def ground(side: int, share: float, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Classes and probabilities of square ground, of which so much is warned of: large shapes, frayed by small ones."""
    rng = np.random.default_rng(seed)
    field = 6 * gaussian_filter(rng.standard_normal((side, side), dtype=np.float32), 6)
    field += gaussian_filter(rng.standard_normal((side, side), dtype=np.float32), 2)
    high, very_high = np.quantile(field[::5, ::5], [1 - share, 1 - 0.3 * share])
    classes = (1 + 3 * (field > high) + (field > very_high)).astype(np.uint8)
    return classes, (field - field.min()) / np.ptp(field)


def grid_of(side: int) -> Grid:
    """Square ground of 30 m cells."""
    return Grid("EPSG:32717", Affine(30, 0, 500_010, 0, -30, 9_900_000), side, side)


def beside_the_peer(side: int = 6000) -> None:
    """The same classes by both."""
    grid, times = grid_of(side), dict[str, float]()
    classes, probability = ground(side, 0.14, 1)
    least = least_cells(grid, MIN_ZONE_M2)
    block_pieces(classes[:64, :64], probability[:64, :64], Block(0, 0, 64, 64))  # compiled
    print(f"{classes.size / 1e6:.0f} M cells, {(classes >= 4).mean():.1%} warned of, one thread")
    with timed("rasterio.features.shapes (peer)", times):
        polygons = sum(1 for _ in shapes(classes, mask=classes >= 4, transform=grid.transform))
    with timed("block_pieces", times):
        cut = [block_pieces(classes[b.slices()], probability[b.slices()], b, least) for b in grid.blocks()]
    with timed("join_pieces, in degrees", times):
        zones = join_pieces(cut, grid, MIN_ZONE_M2)
    peer, ours, joined = times.values()
    valid = zones.geometry.is_valid.all()
    print(f"{polygons} polygons of the peer, {len(zones)} zones of {MIN_ZONE_M2} m² and more, all valid: {valid}")
    print(f"vectorised {peer / ours:.1f} times as fast as the peer; joined as well, {peer / (ours + joined):.1f} times")
    part = grid_of(4 * BLOCK_CELLS)
    few = [pieces for pieces in cut if max(pieces.block.row, pieces.block.col) + BLOCK_CELLS <= part.width]
    with timed(f"join_pieces of {part.width**2 / 1e6:.0f} M cells, simplified by 45 m", times):
        join_pieces(few, part, MIN_ZONE_M2, 45)


def wet_day(side: int) -> None:
    """A region too large for memory; ground is not timed, for a day has it from its classes."""
    grid, times = grid_of(side), dict[str, float]()
    grounds = [ground(BLOCK_CELLS, 0.06, seed) for seed in range(GROUNDS)]
    dry = np.ones((BLOCK_CELLS, BLOCK_CELLS), np.uint8), np.zeros((BLOCK_CELLS, BLOCK_CELLS), np.float32)
    least = least_cells(grid, MIN_ZONE_M2)

    def cut(block: Block) -> Pieces:
        number = block.row // BLOCK_CELLS * 7 + block.col // BLOCK_CELLS
        classes, probability = grounds[number % GROUNDS] if number % 3 == 0 else dry
        rows, cols = slice(0, block.height), slice(0, block.width)
        return block_pieces(classes[rows, cols], probability[rows, cols], block, least)

    threads = Threads()
    print(f"\n{side**2 / 1e6:.0f} M cells, about 2 % warned of, {threads.count} threads")
    with timed("block_pieces", times):
        found = [pieces for _, pieces in threads.over(cut, grid.blocks())]
    with timed("join_pieces, in degrees", times):
        zones = join_pieces(found, grid, MIN_ZONE_M2)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pieces.npz"
        with timed("save_pieces", times):
            save_pieces(path, found)
        kept_mb = path.stat().st_size / 1e6
        with timed("load_pieces", times):
            load_pieces(path)
    cells, corners = zones.area_m2.sum() / grid.cell_m2, sum(len(pieces.rings.vertices) for pieces in found)
    print(f"{cells / 1e6:.1f} M cells in {len(zones)} zones, {corners / 1e6:.1f} M corners; {kept_mb:.1f} MB on disk")


if __name__ == "__main__":
    beside_the_peer()
    wet_day(int(sys.argv[1]) if len(sys.argv) > 1 else 23_100)
