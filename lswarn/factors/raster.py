"""Writes a raster of float32 as a Cloud-Optimized GeoTIFF in one pass over its blocks (door: disk).

GDAL's own driver needs the whole raster first, and reads and compresses it again. Here threads compress the tiles of a
block, and of the overview above it, while its values are at hand; they are put one after another into spools, a file a
level, and joined behind their directories at the end. How GDAL says CRS, transform, names and nodata is taken from an
empty GeoTIFF that it wrote, and so is what a compressed tile looks like. The same blocks give the same bytes.
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from lswarn.factors.scratch import Scratch
from lswarn.grid import Block, Grid
from lswarn.workers import Workers

TILE_CELLS = 512
WORK_CELLS = 2 * TILE_CELLS
"""Side of the blocks that are worked: four tiles, and the one above them."""

_WIDTH, _HEIGHT, _SUBFILE, _OFFSETS, _SIZES = 256, 257, 254, 324, 325
_UPON_THE_WHOLE = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112})
"""Tags of position and names, which overviews do not repeat."""
_LONG, _LONG8 = 4, 16
_BYTES = {1: 1, 2: 1, 3: 2, _LONG: 4, 5: 8, 11: 4, 12: 8, _LONG8: 8}
"""Size of a value of each type that GDAL writes."""
_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT
"""Promises of GDAL's COG driver, kept here too: a reader may then fetch a tile without looking up its size."""
_PROFILE = {"driver": "GTiff", "count": 1, "dtype": "float32", "nodata": np.nan, "tiled": True, "bigtiff": "yes"} | {
    "blockxsize": TILE_CELLS,
    "blockysize": TILE_CELLS,
    "compress": "zstd",
    "zstd_level": 1,  # 9 takes five times as long, and spares one byte in fifty
    "predictor": 3,
}

_Tags = dict[int, tuple[int, int, bytes]]
"""Type, count and value by code."""


@dataclass(frozen=True)
class Packed:
    """A block made ready for the file.

    Attributes:
        tiles: level (0: the cells, 1: half the resolution …), row and column of each tile, and its bytes.
        quarter: the block at a quarter of the resolution, [h / 4, w / 4] rounded up, for the levels above.
    """

    tiles: tuple[tuple[int, int, int, bytes], ...]
    quarter: NDArray[np.float32]


class RasterDraft:
    """A raster being written. `pack` its blocks in any threads, `put` them in order, then `finish`.

    Nothing stands under the raster's own name before it is whole. Closed without `finish`, it leaves nothing.

    Args:
        path: of the raster; drafts lie beside it, by the names of `path` with `.part`.
        grid: its cells.
        description, unit: of the band.
        tags: of the file.
        mixable: overviews average what is known of four cells; else they take the first.
    """

    def __init__(
        self, path: Path, grid: Grid, *, description: str, unit: str, tags: dict[str, str], mixable: bool
    ) -> None:
        self.grid = grid
        self._path = path
        self._mixable = mixable
        self._head = _head(grid, description, unit, tags)
        self._shapes = [grid.shape]
        while max(self._shapes[-1]) > TILE_CELLS:
            self._shapes.append(_halved(self._shapes[-1]))
        self._places: list[NDArray[np.int64]] = [  # of each tile: where in the spool, and how many bytes
            np.zeros((-(-height // TILE_CELLS), -(-width // TILE_CELLS), 2), np.int64) for height, width in self._shapes
        ]
        self._files = ExitStack()
        self._spools: list[IO[bytes]] = []
        self._quarters: dict[int, Scratch] = {}
        for level, shape in enumerate(self._shapes):
            self._spools.append(self._files.enter_context(self._part(f".{level}").open("w+b")))
            if level and level % 2 == 0:
                self._quarters[level] = self._files.enter_context(Scratch(path.parent, shape))

    def blocks(self) -> Iterator[Block]:
        """The blocks that are to be packed and put, in their order."""
        return self.grid.blocks(WORK_CELLS)

    def pack(self, block: Block, values: NDArray[np.float32], level: int = 0) -> Packed:
        """Compress a block's tiles and those of the overview above it. For any thread.

        Args:
            block: one of `blocks`; of a level above the cells, counted in that level's cells.
            values: [h, w], NaN where unknown.
        """
        half = _half(values, self._mixable)
        tiles = [(level, *tile) for tile in _packed(block, values)]
        if level + 1 < len(self._shapes):
            above = Block(block.row // 2, block.col // 2, *half.shape)
            tiles += [(level + 1, *tile) for tile in _packed(above, half)]
        return Packed(tuple(tiles), _half(half, self._mixable))

    def put(self, block: Block, packed: Packed, level: int = 0) -> None:
        """Take a packed block: each once, in the order of `blocks`."""
        for at, row, col, data in packed.tiles:
            self._places[at][row, col] = self._spools[at].tell(), len(data)
            self._spools[at].write(data)
        if above := self._quarters.get(level + 2):
            above.write(Block(block.row // 4, block.col // 4, *packed.quarter.shape), packed.quarter)

    def finish(self, workers: Workers) -> None:
        """Make the overviews that are left, join the levels, and give the raster its name."""
        for level, quarter in self._quarters.items():

            def work(block: Block, level: int = level, quarter: Scratch = quarter) -> Packed:
                return self.pack(block, quarter.read(block), level)

            blocks = Block(0, 0, *self._shapes[level]).split(WORK_CELLS)
            for block, packed in workers.over(work, blocks):
                self.put(block, packed, level)
        whole = self._part("")
        with whole.open("wb") as file:
            file.write(self._directories())
            for spool, places in zip(self._spools[::-1], self._places[::-1], strict=True):
                for offset, size in places.reshape(-1, 2).tolist():
                    spool.seek(offset)
                    tile = spool.read(size)
                    file.write(struct.pack("<I", size) + tile + tile[-4:])
        whole.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.close()
        for level in range(len(self._shapes)):
            self._part(f".{level}").unlink(missing_ok=True)
        self._part("").unlink(missing_ok=True)

    def _part(self, what: str) -> Path:
        return self._path.with_name(f"{self._path.stem}{what}.part")

    def _directories(self) -> bytes:
        """Header and directories: of the cells, then of the overviews from the largest to the smallest."""
        above = {code: tag for code, tag in self._head.items() if code not in _UPON_THE_WHOLE}
        above[_SUBFILE] = _LONG, 1, struct.pack("<I", 1)
        tags = [self._head if level == 0 else above for level in range(len(self._shapes))]
        first = 16 + len(_GHOST) + -len(_GHOST) % 8
        blank = [self._directory(level, tags[level], 0) for level in range(len(tags))]
        starts = np.cumsum([first, *(len(_laid(each, 0, 0)) for each in blank)]).tolist()
        # The smallest overview first: a viewer finds it at the front.
        sizes = [int((places[..., 1] + 8).sum()) for places in self._places]
        data = np.cumsum([starts[-1], *sizes[:0:-1]]).tolist()[::-1]
        laid = b"".join(
            _laid(self._directory(level, tags[level], data[level]), starts[level], starts[level + 1] if more else 0)
            for level, more in enumerate([True] * (len(tags) - 1) + [False])
        )
        return (struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) + _GHOST).ljust(first, b"\0") + laid

    def _directory(self, level: int, tags: _Tags, data: int) -> _Tags:
        height, width = self._shapes[level]
        sizes = self._places[level][..., 1].ravel()
        offsets = data + 4 + np.cumsum(sizes + 8) - (sizes + 8)
        ours = {
            _WIDTH: (_LONG, 1, struct.pack("<I", width)),
            _HEIGHT: (_LONG, 1, struct.pack("<I", height)),
            _OFFSETS: (_LONG8, offsets.size, offsets.astype("<u8").tobytes()),
            _SIZES: (_LONG, sizes.size, sizes.astype("<u4").tobytes()),
        }
        return dict(sorted((tags | ours).items()))


def _halved(shape: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


@njit(nogil=True, cache=True)
def _half(values: NDArray[np.float32], mixable: bool) -> NDArray[np.float32]:  # pragma: no cover (compiled)
    """Half the resolution: of four cells the mean of those that are known, or the first."""
    height, width = values.shape
    half = np.empty(((height + 1) // 2, (width + 1) // 2), np.float32)
    for i in range(half.shape[0]):
        for j in range(half.shape[1]):
            if not mixable:
                half[i, j] = values[2 * i, 2 * j]
                continue
            total, known = 0.0, 0
            for row in range(2 * i, min(2 * i + 2, height)):
                for col in range(2 * j, min(2 * j + 2, width)):
                    if not np.isnan(values[row, col]):
                        total += values[row, col]
                        known += 1
            half[i, j] = total / known if known else np.nan
    return half


def _packed(block: Block, values: NDArray[np.float32]) -> Iterator[tuple[int, int, bytes]]:
    """Row, column and bytes of the tiles of a block that begins with one. All are written whole, NaN beyond the block.

    GDAL would leave what lies beyond as it finds it in memory.
    """
    rows, cols = (-(-size // TILE_CELLS) for size in values.shape)
    whole = np.full((rows * TILE_CELLS, cols * TILE_CELLS), np.nan, np.float32)
    whole[: values.shape[0], : values.shape[1]] = values
    file = _written(whole.shape, whole)
    tags = _tags(file)
    offsets, sizes = (_numbers(tags[code]) for code in (_OFFSETS, _SIZES))
    for number, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        row, col = divmod(number, cols)
        yield block.row // TILE_CELLS + row, block.col // TILE_CELLS + col, file[offset : offset + size]


def _head(grid: Grid, description: str, unit: str, tags: dict[str, str]) -> _Tags:
    """Tags of a raster as GDAL writes them, but those that are ours."""
    profile = _PROFILE | {"height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform}
    with MemoryFile() as memory:
        with memory.open(**profile, sparse_ok=True) as dataset:
            dataset.set_band_description(1, description)
            dataset.set_band_unit(1, unit)
            dataset.update_tags(**tags)
        found = _tags(bytes(memory.getbuffer()))
    return {code: tag for code, tag in found.items() if code not in (_WIDTH, _HEIGHT, _SUBFILE, _OFFSETS, _SIZES)}


def _written(shape: tuple[int, int], values: NDArray[np.float32]) -> bytes:
    """A GeoTIFF that GDAL wrote in memory, anywhere: of one without position it would warn."""
    with MemoryFile() as memory:
        with memory.open(**_PROFILE, height=shape[0], width=shape[1], transform=Affine.scale(2, -2)) as dataset:
            dataset.write(values, 1)
        return bytes(memory.getbuffer())


def _tags(file: bytes) -> _Tags:
    """Type, count and value of each tag of the first directory of a BigTIFF."""
    (start,) = struct.unpack_from("<Q", file, 8)
    (count,) = struct.unpack_from("<Q", file, start)
    found: _Tags = {}
    for at in range(start + 8, start + 8 + 20 * count, 20):
        code, kind, values = struct.unpack_from("<HHQ", file, at)
        size = values * _BYTES[kind]
        value_at = at + 12 if size <= 8 else struct.unpack_from("<Q", file, at + 12)[0]
        found[code] = kind, values, file[value_at : value_at + size]
    return found


def _numbers(tag: tuple[int, int, bytes]) -> list[int]:
    kind, _, value = tag
    dtype: Any = {3: "<u2", _LONG: "<u4", _LONG8: "<u8"}[kind]
    return [int(number) for number in np.frombuffer(value, dtype)]


def _laid(tags: _Tags, start: int, following: int) -> bytes:
    """Bytes of a directory that lies at `start`: its entries, where the next one lies, and what is longer than they."""
    entries, values = struct.pack("<Q", len(tags)), b""
    after = start + 16 + 20 * len(tags)
    for code, (kind, count, value) in tags.items():
        entries += struct.pack("<HHQ", code, kind, count)
        if len(value) <= 8:
            entries += value.ljust(8, b"\0")
        else:
            entries += struct.pack("<Q", after + len(values))
            values += value + bytes(-len(value) % 8)
    return entries + struct.pack("<Q", following) + values
