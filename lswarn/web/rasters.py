"""Door: a day's rasters on disk, read as the values of a tile.

A file is read only as long as it is the one that was published: its digest is taken once, and again whenever the file
is another. Should it be replaced while it is read, it is read again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from morecantile import Tile, tms
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rio_tiler.errors import RioTilerError, TileOutsideBounds
from rio_tiler.io import Reader

from lswarn.db.features import Box
from lswarn.db.shown import ShownRun
from lswarn.web.painting import TILE, RasterLayer

log = logging.getLogger(__name__)

MERCATOR = tms.get("WebMercatorQuad")
TRIES = 3

Stamp = tuple[int, int, int]


class NotThere(Exception):
    """The file that was published is gone, or is another: nothing is known."""


class Source:
    """A file, and the digest it was published with."""

    def __init__(self, path: str | Path, sha256: str) -> None:
        self.path = Path(path)
        self.sha256 = sha256


def load_source(run: ShownRun, layer: RasterLayer) -> Source:
    """Where the values of a layer of a run lie.

    Raises:
        NotThere: the run has no such raster, or nobody can read where it is.
    """
    if not layer.startswith("critical-"):
        told = run.rasters.get(layer)
        if told is None:
            raise NotThere(f"run {run.run_id} has no raster {layer}")
        return Source(told["path"], told["sha256"])
    layers = run.rasters.get("layers")
    if layers is None:
        raise NotThere(f"run {run.run_id} was judged without critical layers")
    folder, name = Path(layers["path"]), layer.removeprefix("critical-").replace("-", "_") + ".tif"
    try:
        return Source(folder / name, _digests(folder, (folder / "layers.json").stat().st_mtime_ns)[name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotThere(f"{folder}: critical layers cannot be read ({error!r})") from error


def check(source: Source) -> Path:
    """Where a file lies that is what was published.

    Raises:
        NotThere: it is gone, or is another.
    """
    try:
        if _digest(source.path, _stamp(source.path)) == source.sha256:
            return source.path
    except OSError as error:
        raise NotThere(f"{source.path} cannot be read ({error})") from error
    raise NotThere(f"{source.path} is not what was published")


def load_values(source: Source, z: int, x: int, y: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The values of a tile, and where there are any, [256, 256] each.

    Raises:
        NotThere: the file is gone, damaged, or not what was published.
    """
    for left in reversed(range(TRIES)):
        try:
            before = _stamp(source.path)
            check(source)
            found = _read(source.path, z, x, y)
            if _stamp(source.path) == before:
                return found
        except (OSError, RasterioError, RioTilerError) as error:
            if not left:
                raise NotThere(f"{source.path} cannot be read ({error})") from error
    raise NotThere(f"{source.path} is being replaced")


def _read(path: Path, z: int, x: int, y: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with Reader(os.fspath(path), tms=MERCATOR) as reader:
        try:
            # Every value is one of the file's: there is nothing between two classes, nor between rain and none known.
            image = reader.tile(x, y, z, tilesize=TILE, resampling_method="nearest", reproject_method="nearest")
        except TileOutsideBounds:
            return np.zeros((TILE, TILE), np.uint8), np.zeros((TILE, TILE), bool)
    return image.data[0], image.mask > 0


def _stamp(path: Path) -> Stamp:
    told = path.stat()
    return told.st_ino, told.st_mtime_ns, told.st_size


class _Once:
    """Take each digest once, though many ask at a time."""

    def __init__(self, ask: Callable[[Path, Stamp], str]) -> None:
        self._ask = lru_cache(256)(ask)
        self._lock = Lock()

    def __call__(self, path: Path, stamp: Stamp) -> str:
        with self._lock:
            return self._ask(path, stamp)


def _sha256(path: Path, stamp: Stamp) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_digest = _Once(_sha256)


@lru_cache(64)
def _digests(folder: Path, changed: int) -> dict[str, str]:
    """Digests of critical layers by the names of their files."""
    told = json.loads((folder / "layers.json").read_text("utf-8"))
    return {name: digest for name, (_, digest) in told["files"].items()}


def inside(box: Box, z: int, x: int, y: int) -> NDArray[np.bool_]:
    """Which pixels of a tile lie in a region [256, 256]."""
    bounds = MERCATOR.xy_bounds(Tile(x, y, z))
    left, bottom = MERCATOR.xy(*box[:2])
    right, top = MERCATOR.xy(*box[2:])
    side = bounds.right - bounds.left
    at = (np.arange(TILE) + 0.5) / TILE * side
    across, down = bounds.left + at, bounds.top - at
    within: NDArray[np.bool_] = ((across >= left) & (across <= right))[None, :] & ((down >= bottom) & (down <= top))[
        :, None
    ]
    return within
