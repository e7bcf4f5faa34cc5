"""A day's rasters, tile by tile: what did not change is copied as it lies on disk, not made again (door: disk).

A day on which nothing moved has the tiles and the overviews of the day without rain. Same classes, same bytes,
whichever way they came.
"""

import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import rasterio
import tifffile
import xarray as xr
from numba import njit
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from lswarn.errors import NotPrimed
from lswarn.grid import Field, Grid
from lswarn.hazard.classes import Class
from lswarn.hazard.cog import TILE_CELLS, Kind, levels_of, write_levels

CLASSES = Kind(
    "uint8",
    "deflate",
    colours=tuple((rgb[0], rgb[1], rgb[2]) for rgb in (bytes.fromhex(each.colour[1:]) for each in Class)),
)
"""How classes are laid into bytes. UNKNOWN is no nodata: it is a class that shows, not a hole in the map."""

_HALF = TILE_CELLS // 2


@njit(nogil=True, cache=True)
def halve(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:  # pragma: no cover - compiled
    """Cells of twice the side: of up to four classes the commonest, of several as common the highest.

    Beyond the edge of [h, w] there is nothing, not even an unknown cell: the result is [ceil(h / 2), ceil(w / 2)].
    """
    height, width = classes.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2), dtype=np.uint8)
    for i in range(out.shape[0]):
        lower = min(2 * i + 1, height - 1)
        for j in range(out.shape[1]):
            # On an edge the last cells count twice, which does not change which is the commonest.
            right = min(2 * j + 1, width - 1)
            a, b, c, d = classes[2 * i, 2 * j], classes[2 * i, right], classes[lower, 2 * j], classes[lower, right]
            if a == b:
                out[i, j] = max(a, c) if c == d else a
            elif c == d:
                out[i, j] = c
            elif a in (c, d):
                out[i, j] = max(a, b) if b in (c, d) else a
            elif b in (c, d):
                out[i, j] = b
            else:
                out[i, j] = max(max(a, b), max(c, d))
    return out


class ClassTiles:
    """A class raster that `ClassWriter` left, tile by tile as it lies on disk. May be used from many threads.

    Raises:
        NotPrimed: it is missing, or not such a file.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self._path, self._remedy = path, remedy
        try:
            with tifffile.TiffFile(path) as file:
                pages = [page.aspage() for page in file.pages]
                self._places = [(page.dataoffsets, page.databytecounts, page.chunked[-1]) for page in pages]
            self._file = os.open(path, os.O_RDONLY)
        except (OSError, tifffile.TiffFileError, ValueError, IndexError) as error:
            raise NotPrimed(f"{path}: cannot be read ({error}); {remedy}") from error

    def packed(self, row: int, col: int, level: int = 0) -> bytes:
        """The compressed bytes of a tile of the raster (level 0) or an overview, as they lie there."""
        offsets, sizes, across = self._places[level]
        number = row * across + col
        return os.pread(self._file, sizes[number], offsets[number])

    def read(self, row: int, col: int, level: int = 0) -> NDArray[np.uint8]:
        """The cells [512, 512] of the same tile, UNKNOWN beyond the grid.

        Raises:
            NotPrimed: the file was edited or cut.
        """
        try:
            return CLASSES.unpack(self.packed(row, col, level))
        except (zlib.error, ValueError) as error:
            raise NotPrimed(
                f"{self._path}: tile {row}, {col} of level {level} is damaged ({error}); {self._remedy}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@dataclass(frozen=True)
class ClassTile:
    """A tile as it goes to disk.

    Attributes:
        packed: its compressed bytes.
        half: its cells at half the resolution, [ceil(h / 2), ceil(w / 2)], for the overviews.
    """

    packed: bytes
    half: NDArray[np.uint8]

    @classmethod
    def of(cls, classes: NDArray[np.uint8]) -> Self:
        """Of a tile's classes [h, w], h and w 512 but on the grid's lower and right edge."""
        return cls(CLASSES.pack(classes), halve(classes))


class ClassWriter:
    """Writes a class raster from its tiles, given row by row.

    Args:
        path: of the file; beside it lie the tiles of its levels, until `finish`.
        grid: of the cells.
        base: a raster on the same grid whose tiles may be taken over as they are.
    """

    def __init__(self, path: Path, grid: Grid, base: ClassTiles | None = None) -> None:
        self._path, self._grid, self._base = path, grid, base
        self._shapes = levels_of(grid)
        self._spools = [path.with_name(f"{path.name}.{level}") for level in range(len(self._shapes))]
        self._files = [spool.open("w+b") for spool in self._spools]
        self._sizes: list[list[int]] = [[] for _ in self._shapes]
        # Halves of the tiles of at most two rows, until the overview's tile that they make up is made.
        self._halves: list[dict[tuple[int, int], NDArray[np.uint8] | None]] = [{} for _ in self._shapes]

    def put(self, tile: ClassTile | bytes) -> None:
        """The next tile of the row, or the compressed bytes of the base's tile at its place.

        Raises:
            NotPrimed: the base was edited or cut.
        """
        self._put(0, tile)

    def _put(self, level: int, tile: ClassTile | bytes) -> None:
        down, across = self._tiled(level)
        row, col = divmod(len(self._sizes[level]), across)
        packed, half = (tile, None) if isinstance(tile, bytes) else (tile.packed, tile.half)
        self._files[level].write(packed)
        self._sizes[level].append(len(packed))
        if level + 1 == len(self._shapes):
            return
        self._halves[level][row, col] = half
        if (row % 2 or row == down - 1) and col == across - 1:
            for each in range(math.ceil(across / 2)):
                self._put(level + 1, self._overview(level, row // 2, each))
            self._halves[level].clear()

    def _overview(self, below: int, row: int, col: int) -> ClassTile | bytes:
        """The tile that four of the level below make up: the base's, where all four are."""
        four = {
            (r % 2, c % 2): self._halves[below][r, c]
            for r in (2 * row, 2 * row + 1)
            for c in (2 * col, 2 * col + 1)
            if (r, c) in self._halves[below]
        }
        cells = np.zeros((TILE_CELLS, TILE_CELLS), dtype=np.uint8)
        if self._base is not None and any(half is None for half in four.values()):
            if all(half is None for half in four.values()):
                return self._base.packed(row, col, below + 1)
            cells[:] = self._base.read(row, col, below + 1)
        for (lower, right), half in four.items():
            if half is not None:
                top, left = lower * _HALF, right * _HALF
                cells[top : top + half.shape[0], left : left + half.shape[1]] = half
        height, width = self._shapes[below + 1]
        return ClassTile.of(cells[: height - row * TILE_CELLS, : width - col * TILE_CELLS])

    def _tiled(self, level: int) -> tuple[int, int]:
        height, width = self._shapes[level]
        return math.ceil(height / TILE_CELLS), math.ceil(width / TILE_CELLS)

    def finish(self) -> None:
        """Put the file together. Its tiles must all have been given."""
        with self._path.open("wb") as out:
            write_levels(out, self._grid, CLASSES, self._tiles_of)
        self.close()

    def _tiles_of(self, level: int) -> Iterator[bytes]:
        self._files[level].seek(0)
        return (self._files[level].read(size) for size in self._sizes[level])

    def close(self) -> None:
        """Let go of the tiles beside the file."""
        for file, spool in zip(self._files, self._spools, strict=True):
            file.close()
            spool.unlink(missing_ok=True)


def save_rain(path: Path, total: xr.DataArray) -> None:
    """Write a window's rain as it is, mm, NaN = unknown: a small raster in degrees, north up."""
    lat, lon = total["lat"].values.astype(float), total["lon"].values.astype(float)
    high, wide = (lat[-1] - lat[0]) / (len(lat) - 1), (lon[-1] - lon[0]) / (len(lon) - 1)
    transform = rasterio.Affine(wide, 0, lon[0] - wide / 2, 0, -high, lat[-1] + high / 2)
    values = total.transpose("lat", "lon").values[::-1].astype(np.float32)
    profile = {"driver": "GTiff", "height": len(lat), "width": len(lon), "count": 1, "dtype": "float32"}
    with rasterio.open(
        path, "w", crs="EPSG:4326", transform=transform, nodata=np.nan, compress="deflate", **profile
    ) as file:
        file.write(values, 1)
        file.set_band_unit(1, "mm")


def load_rain(path: Path) -> Field:
    """What `save_rain` wrote.

    Raises:
        FileNotFoundError: it is gone from disk, or cannot be read.
    """
    try:
        with rasterio.open(path) as file:
            values = file.read(1).astype(np.float64)
            wide, _, west, _, high, north = file.transform[:6]
    except RasterioIOError as error:
        raise FileNotFoundError(f"{path} cannot be read: {error}") from error
    south = north + high * (len(values) - 0.5)
    return Field(np.ascontiguousarray(values[::-1]), south, west + wide / 2, -high, wide)
