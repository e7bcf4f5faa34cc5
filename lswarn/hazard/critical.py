"""Critical layers: from how much rain on each cell is in each class, kept on disk and read by tiles (door: disk).

    critical/<key>/
      low.tif moderate.tif high.tif very_high.tif   tenths of a millimetre of 7-day rain, rounded up; NEVER, UNKNOWN
      dry.tif                                       the class without rain
      p_dry.tif p_most.tif                          probability without rain, and under the most rain trained on
      tiles.npz                                     of each tile: its least critical rainfalls, unknown cells, checksums
      layers.json                                   what they were made from; written last

A model under which more rain can only raise the class says all it has to say by four numbers a cell. `prime` asks it
once; a day then compares its rain with them. Both ways quantise the rain by `rain_tenths`, so that they agree exactly.
"""

import hashlib
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from lswarn.errors import NotPrimed
from lswarn.grid import Block, Grid
from lswarn.hazard.classes import Class
from lswarn.hazard.cog import TILE_CELLS as TILE_CELLS

FORMAT = 1
"""Raised whenever the same model and factors would give other files, or the files another reader."""
NEVER = 65534
"""Critical rainfall, tenths: no rain the model has seen puts the cell into the class."""
UNKNOWN = 65535
"""Critical rainfall, tenths: a factor is unknown, and so is every class. Rain, tenths: nobody knows it."""
RISING = (Class.LOW, Class.MODERATE, Class.HIGH, Class.VERY_HIGH)
"""Classes that rain puts a cell into, in the order of the layers."""
DRY, P_DRY, P_MOST = "dry", "p_dry", "p_most"
LAYERS = (*(each.name.lower() for each in RISING), DRY, P_DRY, P_MOST)
"""Names of the files, without their ending."""
REMEDY = "run `lswarn prime`"


def rain_tenths(mm: NDArray[np.floating], rain_max_mm: float) -> NDArray[np.uint16]:
    """Rain in whole tenths of a millimetre, rounded down: the rain that a day is judged by, in both ways of assessing.

    Args:
        mm: any shape, NaN = unknown.
        rain_max_mm: most rain the model has seen; more is judged as this much.

    Returns:
        The same shape: the largest q, at most `most_tenths(rain_max_mm)`, whose q / 10 in float32 is not above `mm`;
        UNKNOWN where `mm` is NaN.
    """
    rain = np.asarray(mm, np.float32)
    known = np.clip(np.nan_to_num(rain, nan=0.0), 0, most_tenths(rain_max_mm) / 10 + 1).astype(np.float32)
    # 12.3 in float32 is a little more than 123 tenths, 0.7 a little less than 7: what was meant is the nearest.
    tenths = np.rint(known.astype(np.float64) * 10)
    tenths -= (tenths / 10).astype(np.float32) > known
    found = np.minimum(tenths, most_tenths(rain_max_mm)).astype(np.uint16)
    found[np.isnan(rain)] = UNKNOWN
    return found


def critical_tenths(mm: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Critical rainfall in whole tenths, rounded up: `rain >= mm` exactly when `rain_tenths(rain) >= critical_tenths`.

    Args:
        mm: any shape; 0 = without rain, inf = never, NaN = unknown.

    Returns:
        The same shape: the least q whose q / 10 in float32 is not below `mm`; NEVER for inf, UNKNOWN for NaN.
    """
    known = np.where(np.isfinite(mm), mm, 0).clip(0).astype(np.float32)
    tenths = np.rint(known.astype(np.float64) * 10)
    tenths += (tenths / 10).astype(np.float32) < known
    found = np.minimum(tenths, NEVER).astype(np.uint16)
    found[np.isinf(mm)] = NEVER
    found[np.isnan(mm)] = UNKNOWN
    return found


def most_tenths(rain_max_mm: float) -> int:
    """The most rain a model has seen, in tenths rounded up: what exceeds it is judged as this much."""
    return int(np.ceil(np.float64(np.float32(rain_max_mm)) * 10 - 1e-6 * rain_max_mm))


def layers_key(model_id: str, stack: str) -> str:
    """Name of the layers of a model on a factor stack (its digest)."""
    return hashlib.sha256(json.dumps([FORMAT, model_id, stack]).encode()).hexdigest()


class CriticalLayers:
    """The open layers. May be read from many threads; pickled ones open their files anew.

    A tile is named by its row and column among the tiles, 0 in the north-west; those at the south and east edge hold
    what is left of the grid.

    Attributes:
        folder: `<region dir>/critical/<key[:16]>`.
        key: of model, stack and format: same key, same values.
        grid: the region's cells.
        model_id, stack: id of the model, digest of the factor stack.
        breaks: ascending probabilities that part the five classes.
        rain_max_mm: most rain the model has seen.
        measure: name of what its rain is of the seven days.
        least: [rows, cols, 4] uint16, tenths: the least critical rainfall above zero in a tile, for the classes of
            `RISING`; NEVER where no rain changes anything. A tile whose wettest rain is below all four is as
            in dry.tif.
        unknown: [rows, cols] int32, cells of a tile of which a factor is unknown.
    """

    def __init__(self, folder: Path, told: dict[str, Any], tiles: dict[str, NDArray[Any]]) -> None:
        self.folder = folder
        self.key: str = told["key"]
        cells = told["grid"]
        self.grid = Grid(cells["crs"], Affine(*cells["transform"]), cells["height"], cells["width"])
        self.model_id: str = told["model_id"]
        self.stack: str = told["stack"]
        self.breaks: tuple[float, float, float, float] = tuple(told["breaks"])
        self.rain_max_mm: float = told["rain_max_mm"]
        self.measure: str = told["measure"]
        self.least: NDArray[np.uint16] = tiles["least"]
        self.unknown: NDArray[np.int32] = tiles["unknown"]
        self._files: dict[str, tuple[int, str]] = told["files"]
        self._crc, self._packed_crc = tiles["crc"], tiles["packed_crc"]
        self._local = threading.local()
        self._opened: list[DatasetReader] = []
        self._places: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def check(self) -> None:
        """Compare every file with what priming wrote, to the last byte.

        Raises:
            NotPrimed: one is another.
        """
        for name, (_, digest) in self._files.items():
            path = self.folder / name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise NotPrimed(f"{path}: cannot be read ({error}); {REMEDY}") from error
            if found != digest:
                raise NotPrimed(_changed(path))

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.unknown.shape[0], self.unknown.shape[1]

    def block(self, row: int, col: int) -> Block:
        """The cells of a tile."""
        top, left = row * TILE_CELLS, col * TILE_CELLS
        return Block(top, left, min(TILE_CELLS, self.grid.height - top), min(TILE_CELLS, self.grid.width - left))

    def tile_at(self, block: Block) -> tuple[int, int]:
        """Row and column of the tile that a block begins in."""
        return block.row // TILE_CELLS, block.col // TILE_CELLS

    def blocks(self) -> Iterator[Block]:
        """The cells of every tile, row by row."""
        return self.grid.blocks(TILE_CELLS)

    def read(self, layer: Class, row: int, col: int) -> NDArray[np.uint16]:
        """Critical rainfall of a tile's cells for being in a class or above, tenths of a millimetre [h, w].

        0: in it without rain. NEVER: no rain the model has seen puts it there. UNKNOWN: a factor is unknown.

        Args:
            layer: one of `RISING`.
            row, col: of the tile.

        Raises:
            NotPrimed: the layer is gone, or the tile is not what priming wrote.
        """
        return self._read(layer.name.lower(), row, col)

    def read_dry(self, row: int, col: int) -> NDArray[np.uint8]:
        """`Class` of a tile's cells without rain [h, w], UNKNOWN where a factor is unknown. Raises as `read`."""
        return self._read(DRY, row, col)

    def read_probabilities(self, row: int, col: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Probability of a tile's cells without rain and under `rain_max_mm`, [h, w] each. Raises as `read`.

        In steps of `PROBABILITY_STEP`, `UNKNOWN_PROBABILITY` where a factor is unknown.
        """
        return self._read(P_DRY, row, col), self._read(P_MOST, row, col)

    def dry_packed(self, row: int, col: int) -> bytes:
        """A tile of dry.tif as it lies on disk: zlib, 512 × 512 uint8, 0 beyond the grid. Raises as `read`."""
        path = self.folder / f"{DRY}.tif"
        try:
            if self._places is None:
                with tifffile.TiffFile(path) as file:
                    page = file.pages.first
                    self._places = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
            at = row * self.tiles[1] + col
            offset, size = (int(part[at]) for part in self._places)
            with path.open("rb") as file:
                file.seek(offset)
                packed = file.read(size)
        except (OSError, tifffile.TiffFileError) as error:
            raise NotPrimed(f"{path}: cannot be read ({error}); {REMEDY}") from error
        if zlib.crc32(packed) != self._packed_crc[row, col]:
            raise NotPrimed(_changed(path, row, col))
        return packed

    def _read(self, name: str, row: int, col: int) -> NDArray[Any]:
        path = self.folder / f"{name}.tif"
        try:
            handles: dict[str, DatasetReader] = self._local.__dict__.setdefault("handles", {})
            dataset = handles.get(name)
            if dataset is None or dataset.closed:  # GDAL's handles are for one thread each
                dataset = handles[name] = rasterio.open(path)
                self._opened.append(dataset)
            values: NDArray[Any] = dataset.read(1, window=self.block(row, col).window)
        except (RasterioIOError, ValueError) as error:
            raise NotPrimed(f"{path}: cannot be read ({error}); {REMEDY}") from error
        if zlib.crc32(values.data) != self._crc[row, col, LAYERS.index(name)]:
            raise NotPrimed(_changed(path, row, col))
        return values

    def close(self) -> None:
        """Close the files in all threads; reading opens them again."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, tuple[Path, str, str]]:
        return open_layers, (self.folder.parent, self.model_id, self.stack)


def open_layers(folder: Path, model_id: str, stack: str) -> CriticalLayers:
    """The layers of a model on a factor stack, as `prime` left them.

    Args:
        folder: `<region dir>/critical`.
        model_id: of the model.
        stack: digest of the factor stack.

    Raises:
        NotPrimed: there are none of this model on this stack, or they are damaged.
    """
    key = layers_key(model_id, stack)
    home = folder / key[:16]
    try:
        told = json.loads((home / "layers.json").read_text("utf-8"))
        if told["key"] != key:
            raise NotPrimed(f"{home}/layers.json: not what priming wrote there; {REMEDY}")
        for name, (size, digest) in told["files"].items():
            path = home / name
            if not path.exists() or path.stat().st_size != size:
                raise NotPrimed(f"{path}: gone, cut or edited since priming; {REMEDY}")
            if path.suffix == ".npz" and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise NotPrimed(_changed(path))
        with np.load(home / "tiles.npz", allow_pickle=False) as tiles:
            return CriticalLayers(home, told, dict(tiles))
    except FileNotFoundError as error:
        raise NotPrimed(f"{folder}: no critical layers of model {model_id} on the present factors; {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotPrimed(f"{home}: damaged ({error!r}); {REMEDY}") from error


def layers_at(home: Path) -> CriticalLayers:
    """The layers in a folder, as a past run names it.

    Raises:
        NotPrimed: they are gone or damaged.
    """
    try:
        told = json.loads((home / "layers.json").read_text("utf-8"))
        model_id, stack = told["model_id"], told["stack"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotPrimed(f"{home}/layers.json: gone or damaged ({error!r}); {REMEDY}") from error
    return open_layers(home.parent, model_id, stack)


def _changed(path: Path, *tile: int) -> str:
    where = f"tile {tile[0]}, {tile[1]} " if tile else ""
    return f"{path}: {where}is not what priming wrote (edited, cut or damaged); {REMEDY}"
