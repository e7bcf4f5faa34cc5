"""Cloud-Optimized GeoTIFFs written from tiles that are compressed already: none is decoded to be copied (door: disk).

What GDAL alone knows (how a CRS, a colour map or a nodata value are said) is taken from a GeoTIFF of one cell that it
wrote. Where the tiles lie is said by us: directories first, then the overviews, the smallest first, then the cells.
The same tiles give the same bytes.
"""

import io
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from lswarn.grid import Grid

TILE_CELLS = 512
WIDTH, HEIGHT, SUBFILE, OFFSETS, SIZES = 256, 257, 254, 324, 325
"""Tags whose values are ours."""
GEO_TAGS = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112})
"""Tags that the overviews do not repeat."""
LONG, LONG8 = 4, 16

_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT
"""By these words, between header and directories, GDAL knows a Cloud-Optimized GeoTIFF. It cuts the last blank to say
that the file was edited."""
_FIRST = 16 + -(-len(GHOST) // 8) * 8
"""Where the first directory lies."""

Tags = dict[int, tuple[int, int, bytes]]
"""Type, count and value of each tag."""


@dataclass(frozen=True)
class Kind:
    """How the cells of a raster are laid into bytes.

    Attributes:
        dtype: of a cell.
        compress: `deflate` packs by zlib at level 1; `zstd` by GDAL, which unpacks it three times as fast.
        nodata: value of an unknown cell.
        colours: of the values 0, 1, …: red, green, blue.
        scale: what a step of the values is worth.
        description: of the band.
    """

    dtype: Literal["uint8", "uint16"]
    compress: Literal["deflate", "zstd"]
    nodata: int | None = None
    colours: tuple[tuple[int, int, int], ...] = field(default=())
    scale: float | None = None
    description: str = ""

    @cached_property
    def _profile(self) -> dict[str, Any]:
        profile = {"driver": "GTiff", "count": 1, "dtype": self.dtype, "tiled": True, "nodata": self.nodata}
        profile |= {"blockxsize": TILE_CELLS, "blockysize": TILE_CELLS, "compress": self.compress}
        # No predictor: it takes a tenth off the size, and doubles the time of every reading.
        return profile | ({"zstd_level": 1} if self.compress == "zstd" else {})

    @cached_property
    def _bare(self) -> Tags:
        """Tags of a tile by itself."""
        return _tags_of(_written(self._profile | {"width": 1, "height": 1}, np.zeros((1, 1), self.dtype)))

    def pack(self, values: NDArray[Any]) -> bytes:
        """A tile's cells [≤512, ≤512] compressed; 0 beyond them."""
        whole = np.zeros((TILE_CELLS, TILE_CELLS), self.dtype)
        whole[: values.shape[0], : values.shape[1]] = values
        if self.compress == "deflate":
            return zlib.compress(whole.data, 1)
        written = _written(self._profile | {"width": TILE_CELLS, "height": TILE_CELLS}, whole)
        with tifffile.TiffFile(io.BytesIO(written)) as file:
            page = file.pages.first
            return written[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]

    def unpack(self, packed: bytes) -> NDArray[Any]:
        """The cells [512, 512] of a compressed tile."""
        if self.compress == "deflate":
            return np.frombuffer(zlib.decompress(packed), self.dtype).reshape(TILE_CELLS, TILE_CELLS)
        file = io.BytesIO()
        level = _Level(TILE_CELLS, TILE_CELLS)
        _write(file, [(level, self._bare)], lambda _: iter([packed]))
        with warnings.catch_warnings(), MemoryFile(file.getvalue()) as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open() as dataset:
                values: NDArray[Any] = dataset.read(1)
        return values

    def tags(self, grid: Grid) -> Tags:
        """Tags of a raster of this kind on a grid, as GDAL says them."""
        profile = self._profile | {"width": 1, "height": 1, "crs": grid.crs, "transform": grid.transform}
        return _tags_of(_written(profile, np.zeros((1, 1), self.dtype), self))


class _Level:
    """The raster, or one of its overviews, by tiles."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.rows, self.cols = -(-height // TILE_CELLS), -(-width // TILE_CELLS)

    @property
    def count(self) -> int:
        return self.rows * self.cols


def save_cog(
    path: Path,
    grid: Grid,
    kind: Kind,
    packed: Callable[[int, int], bytes],
    shrink: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    """Write a raster with its overviews.

    Args:
        path: written as it is; give it a draft's name and rename it when all is whole.
        grid: its cells.
        kind: how they are laid into bytes.
        packed: a tile, by its row and column, as `Kind.pack` gives it. Asked twice for each.
        shrink: from the cells of four tiles [1024, 1024] to those of the overview's tile [512, 512]; beyond the grid
            the cells are 0.

    Raises:
        OSError: there is no room, or `path` cannot be written.
    """
    levels = [_Level(*shape) for shape in levels_of(grid)]
    with tempfile.TemporaryFile(dir=path.parent) as spool, path.open("wb") as file:
        places: list[list[tuple[int, int]]] = [[]]

        def tile(number: int, row: int, col: int) -> bytes:
            """A tile of a level whose tiles are known."""
            if number == 0:
                return packed(row, col)
            offset, size = places[number][row * levels[number].cols + col]
            spool.seek(offset)
            return spool.read(size)

        for number, level in enumerate(levels[1:], 1):
            places.append([])
            finer = levels[number - 1]
            for row in range(level.rows):
                for col in range(level.cols):
                    four = np.zeros((2 * TILE_CELLS, 2 * TILE_CELLS), kind.dtype)
                    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                        if 2 * row + down < finer.rows and 2 * col + right < finer.cols:
                            cells = kind.unpack(tile(number - 1, 2 * row + down, 2 * col + right))
                            at = slice(down * TILE_CELLS, (down + 1) * TILE_CELLS)
                            four[at, right * TILE_CELLS : (right + 1) * TILE_CELLS] = cells
                    blob = kind.pack(shrink(four))
                    places[number].append((spool.seek(0, io.SEEK_END), len(blob)))
                    spool.write(blob)

        def tiles_of(number: int) -> Iterator[bytes]:
            level = levels[number]
            return (tile(number, row, col) for row in range(level.rows) for col in range(level.cols))

        write_levels(file, grid, kind, tiles_of)


def levels_of(grid: Grid) -> list[tuple[int, int]]:
    """Height and width, in cells, of a raster and its overviews: each half of the one before, until one is a tile."""
    shapes = [grid.shape]
    while max(shapes[-1]) > TILE_CELLS:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def write_levels(file: IO[bytes], grid: Grid, kind: Kind, tiles_of: Callable[[int], Iterable[bytes]]) -> None:
    """Write a raster and its overviews from tiles that are all compressed.

    Args:
        file: open for writing, empty.
        grid, kind: as in `save_cog`.
        tiles_of: the tiles of a level of `levels_of`, row by row; asked once for each, the smallest first.
    """
    tags = kind.tags(grid)
    reduced = {code: tag for code, tag in tags.items() if code not in GEO_TAGS} | {SUBFILE: _long(1)}
    levels = [_Level(*shape) for shape in levels_of(grid)]
    _write(file, [(levels[0], tags), *((level, reduced) for level in levels[1:])], tiles_of)


def nearest(four: NDArray[Any]) -> NDArray[Any]:
    """Overviews of values that cannot be mixed: of every four cells the one in the north-west."""
    return four[::2, ::2]


def _write(file: IO[bytes], levels: list[tuple[_Level, Tags]], tiles_of: Callable[[int], Iterable[bytes]]) -> None:
    """A BigTIFF: directories, then the levels from the last to the first."""
    blank = [_directory(level, tags, [0] * level.count, [0] * level.count) for level, tags in levels]
    starts = np.cumsum([_FIRST, *(_size(tags) for tags in blank)]).tolist()
    file.write(bytes(starts[-1]))
    filled: list[Tags] = []
    for number in range(len(levels) - 1, -1, -1):
        offsets, sizes = [], []
        for blob in tiles_of(number):
            file.write(struct.pack("<I", len(blob)))
            offsets.append(file.tell())
            sizes.append(file.write(blob))
            file.write(blob[-4:])
        filled.insert(0, _directory(*levels[number], offsets, sizes))
    file.seek(0)
    file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, _FIRST) + GHOST.ljust(_FIRST - 16, b"\0"))
    for tags, start, end in zip(filled, starts, starts[1:], strict=False):
        file.write(_laid(tags, start, 0 if tags is filled[-1] else end))


def _directory(level: _Level, tags: Tags, offsets: list[int], sizes: list[int]) -> Tags:
    ours = {
        WIDTH: _long(level.width),
        HEIGHT: _long(level.height),
        OFFSETS: (LONG8, level.count, struct.pack(f"<{level.count}Q", *offsets)),
        SIZES: (LONG, level.count, struct.pack(f"<{level.count}I", *sizes)),
    }
    return dict(sorted((tags | ours).items()))


def _size(tags: Tags) -> int:
    return 16 + 20 * len(tags) + sum(_even(len(value)) for _, _, value in tags.values() if len(value) > 8)


def _laid(tags: Tags, start: int, following: int) -> bytes:
    """A directory's bytes: its entries, where the next one lies, and the values too long for an entry."""
    entries, values = [struct.pack("<Q", len(tags))], b""
    after = start + 16 + 20 * len(tags)
    for code, (kind, count, value) in tags.items():
        entry = struct.pack("<HHQ", code, kind, count)
        if len(value) <= 8:
            entries.append(entry + value.ljust(8, b"\0"))
        else:
            entries.append(entry + struct.pack("<Q", after + len(values)))
            values += value.ljust(_even(len(value)), b"\0")
    return b"".join(entries) + struct.pack("<Q", following) + values


def _even(size: int) -> int:
    return (size + 7) // 8 * 8


def _long(value: int) -> tuple[int, int, bytes]:
    return LONG, 1, struct.pack("<I", value)


def _written(profile: dict[str, Any], values: NDArray[Any], kind: Kind | None = None) -> bytes:
    """A GeoTIFF that GDAL wrote in memory."""
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as dataset:
            if kind is not None:
                _describe(dataset, kind)
            dataset.write(values, 1)
        return bytes(memory.read())


def _describe(dataset: rasterio.io.DatasetWriter, kind: Kind) -> None:
    if kind.colours:
        dataset.write_colormap(1, dict(enumerate(kind.colours)))
    if kind.scale is not None:
        dataset.scales = (kind.scale,)
    if kind.description:
        dataset.set_band_description(1, kind.description)


def _tags_of(written: bytes) -> Tags:
    """Tags of a GeoTIFF, those that are ours left out."""
    with tifffile.TiffFile(io.BytesIO(written)) as file:
        found = {}
        for tag in file.pages.first.tags:
            if tag.code not in (WIDTH, HEIGHT, SUBFILE, OFFSETS, SIZES):
                size = tag.count * struct.calcsize("<" + tifffile.TIFF.DATA_FORMATS[tag.dtype])
                found[tag.code] = (int(tag.dtype), tag.count, written[tag.valueoffset : tag.valueoffset + size])
    return found
