"""Which warning area each cell lies in: burnt once for all days, and counted by class without reading what is dry.

Kept beside the critical layers, one file a set of areas (door: disk).
"""

import hashlib
import logging
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from lswarn.grid import Block, Grid
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import CriticalLayers
from lswarn.workers import Workers

log = logging.getLogger(__name__)

FORMAT = 1
MIXED = -1


@dataclass(frozen=True)
class Areas:
    """Warning areas that can be burnt into blocks.

    Attributes:
        shapes: in the grid's CRS; cells of the first are numbered 1, cells outside all are 0.
    """

    shapes: NDArray[np.object_]

    def numbers(self, grid: Grid, block: Block) -> NDArray[np.int32]:
        """Number of the area that each cell's centre lies in; where areas overlap, of the last."""
        found = np.zeros(block.shape, dtype=np.int32)
        transform = grid.block_transform(block)
        left, top = transform @ (0, 0)
        right, bottom = transform @ (block.width, block.height)
        near = np.sort(shapely.STRtree(self.shapes).query(shapely.box(left, bottom, right, top)))
        if near.size:
            rasterize([(self.shapes[each], int(each) + 1) for each in near], out=found, transform=transform)
        return found


def count(numbers: NDArray[np.int32] | int, classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Cells of each area and class that occur: rows of number, class, cells.

    Args:
        numbers: of each cell's area, or of all cells'.
        classes: `Class` values of the cells.
    """
    if isinstance(numbers, int):
        cells = np.bincount(classes.ravel(), minlength=len(Class))[np.newaxis]
        first = numbers
    else:
        first = int(numbers.min())
        span = int(numbers.max()) - first + 1
        flat = np.bincount(((numbers - first) * len(Class) + classes).ravel(), minlength=span * len(Class))
        cells = flat.reshape(span, len(Class))
    number, of_class = np.nonzero(cells)
    return np.column_stack([number + first, of_class, cells[number, of_class]]).astype(np.int64)


def summed(counted: Sequence[NDArray[np.int64]], areas: int) -> NDArray[np.int64]:
    """Cells [areas + 1, classes] of many blocks' rows, as `count` gives them."""
    cells = np.zeros((areas + 1, len(Class)), dtype=np.int64)
    rows = np.concatenate(counted)
    np.add.at(cells, (rows[:, 0], rows[:, 1]), rows[:, 2])
    return cells


@dataclass(frozen=True)
class AreaTiles:
    """The areas' numbers by tile, and how many cells of each class without rain a tile has of each.

    Attributes:
        path: where it lies.
        across: tiles in a row.
        uniform: of each tile, row by row, the number of all its cells; MIXED where they differ.
        starts: [tiles + 1] where a tile's compressed numbers begin in `packed`.
        packed: uint8.
        dry: [n, 4] int64: tile, number, class without rain, cells.
    """

    path: Path
    across: int
    uniform: NDArray[np.int32]
    starts: NDArray[np.int64]
    packed: NDArray[np.uint8]
    dry: NDArray[np.int64]

    def numbers(self, row: int, col: int, shape: tuple[int, int]) -> NDArray[np.int32] | int:
        """Numbers of a tile's cells, by its row and column among tiles; one where all are of one area."""
        tile = row * self.across + col
        if self.uniform[tile] != MIXED:
            return int(self.uniform[tile])
        cells = zlib.decompress(self.packed[self.starts[tile] : self.starts[tile + 1]].tobytes())
        return np.frombuffer(cells, dtype=np.int32).reshape(shape)

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return _load, (self.path,)


@dataclass(frozen=True)
class _Burn:
    """One tile: its numbers compressed (nothing where they are all one), the one, and the dry counts."""

    areas: Areas
    layers: CriticalLayers

    def __call__(self, block: Block) -> tuple[int, bytes, NDArray[np.int64]]:
        numbers = self.areas.numbers(self.layers.grid, block)
        first = int(numbers.flat[0])
        one = bool((numbers == first).all())
        counted = count(first if one else numbers, self.layers.read_dry(*self.layers.tile_at(block)))
        return (first, b"", counted) if one else (MIXED, zlib.compress(numbers.tobytes(), 1), counted)


def open_area_tiles(areas: gpd.GeoDataFrame, layers: CriticalLayers, workers: Workers) -> AreaTiles:
    """The areas' cells on the layers' grid, made where these areas were not met before.

    Args:
        areas: in the grid's CRS and in the order of their numbers.

    Raises:
        NotPrimed: the layers are damaged.
    """
    digest = hashlib.sha256(f"{FORMAT}\0".encode())
    for wkb in areas.geometry.to_wkb():
        digest.update(wkb)
    path = layers.folder / f"areas-{digest.hexdigest()[:16]}.npz"
    if (kept := _load_whole(path)) is not None:
        return kept
    uniform: list[int] = []
    packed: list[bytes] = []
    dry: list[NDArray[np.int64]] = []
    work = _Burn(Areas(areas.geometry.to_numpy()), layers)
    for _, (one, numbers, counted) in workers.over(work, layers.blocks()):
        dry.append(np.column_stack([np.full(len(counted), len(uniform)), counted]))
        uniform.append(one)
        packed.append(numbers)
    _save(path, layers.tiles[1], uniform, packed, dry)
    for old in layers.folder.glob("areas-*.npz"):
        if old != path:
            old.unlink(missing_ok=True)
    return _load(path)


def _save(
    path: Path, across: int, uniform: Sequence[int], packed: Sequence[bytes], dry: Sequence[NDArray[np.int64]]
) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as draft:
        try:
            np.savez(
                draft,
                across=across,
                uniform=np.array(uniform, dtype=np.int32),
                starts=np.cumsum([0, *(len(each) for each in packed)]),
                packed=np.frombuffer(b"".join(packed), dtype=np.uint8),
                dry=np.concatenate(dry),
            )
            draft.close()
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _load_whole(path: Path) -> AreaTiles | None:
    """What is kept; None where there is nothing, or it is damaged: then it is made anew."""
    try:
        return _load(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s: damaged (%s); burning the warning areas anew", path, error)
        return None


def _load(path: Path) -> AreaTiles:
    with np.load(path, allow_pickle=False) as kept:
        return AreaTiles(path, int(kept["across"]), *(kept[name] for name in ("uniform", "starts", "packed", "dry")))
