"""Priming: the model is asked once about every cell, and what it says under any rain is kept as critical layers.

Tiles are compressed where they were worked out, and put one after the other into a spool (`lswarn/hazard/spool.py`).
When all are there, the layers are written from it. Priming that was killed goes on where the spool ends; the layers are
the same bytes, however often it was killed and however many worked on it.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import ModelError, NotEnoughMemory, NotPrimed, StorageFull
from lswarn.factors.stack import FactorStack
from lswarn.grid import Block, Grid
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY, Class
from lswarn.hazard.cog import Kind, nearest, save_cog
from lswarn.hazard.critical import (
    DRY,
    FORMAT,
    LAYERS,
    NEVER,
    P_DRY,
    P_MOST,
    RISING,
    TILE_CELLS,
    UNKNOWN,
    CriticalLayers,
    critical_tenths,
    layers_key,
    most_tenths,
    open_layers,
)
from lswarn.hazard.primed import load_dry_pieces
from lswarn.hazard.rasters import CLASSES, ClassTile, ClassWriter, halve
from lswarn.hazard.spool import Spool, Tile, open_spool
from lswarn.workers import Workers

if TYPE_CHECKING:  # torch is not loaded where layers are only read
    from lswarn.model.predict import Predictor

log = logging.getLogger(__name__)

_RAINFALL = Kind("uint16", "zstd", UNKNOWN, scale=0.1, description="critical rainfall, mm")
_PROBABILITY = Kind("uint16", "zstd", UNKNOWN_PROBABILITY, scale=PROBABILITY_STEP)
KINDS = {
    **{layer.name.lower(): _RAINFALL for layer in RISING},
    DRY: CLASSES,
    P_DRY: _PROBABILITY,
    P_MOST: _PROBABILITY,
}
"""How each layer is laid into bytes."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEAST_CELLS = 128
"""A block is not cut smaller where memory does not suffice: what does not fit then, nothing smaller will help."""
FAR = 8
"""A model that sees farther than one part in so many of a block is asked in blocks of twice the side."""


@dataclass(frozen=True)
class PrimeBlock:
    """What a model says of a block under any rain, as compressed tiles.

    Attributes:
        factors: the stack.
        predictor: the model.
        cells: side of what the model is asked about at once, a multiple of 64; less where memory does not suffice.
    """

    factors: FactorStack
    predictor: "Predictor"
    cells: int

    def __call__(self, block: Block) -> tuple[Tile, ...]:
        """The tiles of a block that begins at a corner of one, row by row.

        Raises:
            NotEnoughMemory: not even for the smallest block.
            StackNotBuilt: the stack is missing or damaged.
        """
        values = {name: np.zeros(block.shape, kind.dtype) for name, kind in KINDS.items()}
        for part in block.split(self.cells):
            self._fill(values, block, part)
        return tuple(self._tile(values, block, tile) for tile in block.split(TILE_CELLS))

    def _fill(self, values: dict[str, NDArray[Any]], block: Block, part: Block) -> None:
        """Work out a part of a block; where memory does not suffice, by quarters."""
        at = Block(part.row - block.row, part.col - block.col, *part.shape).slices()
        try:
            found = self._ask(part)
        except (MemoryError, NotEnoughMemory):
            if max(part.shape) <= LEAST_CELLS:
                raise
            half = max(LEAST_CELLS, -(-max(part.shape) // (2 * 64)) * 64)
            log.warning("the memory does not suffice for a block of %d x %d cells: asking by %d", *part.shape, half)
            for smaller in part.split(half):
                self._fill(values, block, smaller)
            return
        for name, cells in found.items():
            values[name][at] = cells

    def _ask(self, block: Block) -> dict[str, NDArray[Any]]:
        halo = self.predictor.halo
        around = block.with_halo(halo)
        inner = (..., slice(halo, halo + block.height), slice(halo, halo + block.width))
        primed = self.predictor.prime(self.factors.read(around))
        critical = critical_tenths(primed.critical_mm[inner])
        # What rounding up puts above the most rain that a cell is judged by is never reached.
        critical[(critical > most_tenths(self.predictor.rain_max_mm)) & (critical < NEVER)] = NEVER
        dry = (Class.VERY_LOW + (critical == 0).sum(0)).astype(np.uint8)
        dry[critical[0] == UNKNOWN] = Class.UNKNOWN
        found = dict(zip((layer.name.lower() for layer in RISING), critical, strict=True))
        return found | {
            DRY: dry,
            P_DRY: _steps(primed.probability_dry[inner]),
            P_MOST: _steps(primed.probability_most[inner]),
        }

    def _tile(self, values: dict[str, NDArray[Any]], block: Block, tile: Block) -> Tile:
        at = Block(tile.row - block.row, tile.col - block.col, *tile.shape).slices()
        cells = {name: np.ascontiguousarray(values[name][at]) for name in LAYERS}
        least = []
        for layer in RISING:
            above = cells[layer.name.lower()]
            above = above[(above > 0) & (above < NEVER)]
            least.append(int(above.min()) if above.size else NEVER)
        packed = {name: KINDS[name].pack(cells[name]) for name in LAYERS}
        return Tile(
            row=tile.row // TILE_CELLS,
            col=tile.col // TILE_CELLS,
            least=tuple(least),
            unknown=int((cells[DRY] == Class.UNKNOWN).sum()),
            crc=tuple(zlib.crc32(cells[name].data) for name in LAYERS),
            packed_crc=zlib.crc32(packed[DRY]),
            packed=tuple(packed.values()),
        )


def prime(
    region: str,
    factors: FactorStack,
    predictor: "Predictor",
    folder: Path,
    *,
    workers: Workers,
    on_progress: Callable[[int, int], None],
    block_cells: int = TILE_CELLS,
    keep: frozenset[str] = frozenset(),
) -> CriticalLayers:
    """The critical layers of a model on a factor stack: those that lie there and are whole, else made, or made on.

    One priming of a region goes on at a time; another waits for it. Layers of older models and stacks are deleted when
    the new ones are whole, but for the newest of them, so that a promotion can be taken back at once.

    Args:
        region: its name, for what is said.
        factors: the region's stack.
        predictor: the model.
        folder: `<region dir>/critical`.
        workers: who does the blocks.
        on_progress: called with blocks done and blocks in all.
        block_cells: side of a block, a multiple of 64.
        keep: ids of models whose layers on this stack stay in any case, such as the champion's.

    Raises:
        ModelError: more rain may lower what the model says, so there is no critical rainfall; or its most rain is
            more than the layers can say.
        NotEnoughMemory: not even for a small block.
        StorageFull: the disk is full; what was worked out is kept, and the next priming goes on from there.
        StackNotBuilt: the stack is missing or damaged.
    """
    if not predictor.rises:
        raise ModelError(
            f"model {predictor.model_id} may fall as rain rises, so it has no critical rainfall; use "
            '`lswarn run --full`, or train with rain = "monotone"'
        )
    if most_tenths(predictor.rain_max_mm) >= NEVER:
        raise ModelError(
            f"model {predictor.model_id}: rain_max_mm {predictor.rain_max_mm:g} is more than the {NEVER / 10:g} mm "
            "that critical layers can say; use `lswarn run --full`"
        )
    key = layers_key(predictor.model_id, factors.digest)
    draft = folder / f".draft-{key[:16]}"
    with _room_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            try:
                open_layers(folder, predictor.model_id, factors.digest).check()
            except NotPrimed as error:
                log.info("%s: priming, for %s", region, error)
                draft.mkdir(exist_ok=True)
                _fill(draft, key, factors, predictor, workers, on_progress, block_cells)
                final = folder / key[:16]
                shutil.rmtree(final, ignore_errors=True)
                (draft / "layers").rename(final)
            _forget(folder, key, {layers_key(model_id, factors.digest) for model_id in keep})
            layers = open_layers(folder, predictor.model_id, factors.digest)
            load_dry_pieces(layers, workers)  # so that the first dry day need not make them
    return layers


def _fill(
    draft: Path,
    key: str,
    factors: FactorStack,
    predictor: "Predictor",
    workers: Workers,
    on_progress: Callable[[int, int], None],
    block_cells: int,
) -> None:
    """Work out the tiles that are not in the spool, then write `draft/layers` from it."""
    cells = block_cells * (2 if FAR * predictor.halo > block_cells else 1)
    side = -(-cells // TILE_CELLS) * TILE_CELLS
    with open_spool(draft / "tiles.spool", {"key": key, "cells": cells, "grid": _told(factors.grid)}) as spool:
        blocks = list(factors.grid.blocks(side))
        left = [block for block in blocks if not all(_at(tile) in spool.places for tile in block.split(TILE_CELLS))]
        done = len(blocks) - len(left)
        on_progress(done, len(blocks))
        for _, tiles in workers.over(PrimeBlock(factors, predictor, cells), left):
            for tile in tiles:
                if (tile.row, tile.col) not in spool.places:
                    spool.add(tile)
            done += 1
            on_progress(done, len(blocks))
        log.info("%s: %d tiles are worked out; writing the layers", draft.parent, len(spool.places))
        try:
            _save_layers(draft / "layers", key, factors, predictor, spool)
        except OSError:
            shutil.rmtree(draft / "layers", ignore_errors=True)  # half of it would only take the room that is short
            raise


def _save_layers(folder: Path, key: str, factors: FactorStack, predictor: "Predictor", spool: Spool) -> None:
    """Write the files of the layers from the spool; `layers.json`, the last, says that they are whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    grid = factors.grid

    def save(number: int) -> None:
        path, packed = folder / f"{LAYERS[number]}.tif", partial(spool.packed, number)
        if LAYERS[number] == DRY:
            _save_dry(path, grid, packed)
        else:
            save_cog(path, grid, KINDS[LAYERS[number]], packed, nearest)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(save, range(len(LAYERS))))
    tiles = [spool.places[_at(tile)] for tile in grid.blocks(TILE_CELLS)]
    shape = -(-grid.height // TILE_CELLS), -(-grid.width // TILE_CELLS)
    np.savez(
        folder / "tiles.npz",
        least=np.array([tile.least for tile in tiles], np.uint16).reshape(*shape, len(RISING)),
        unknown=np.array([tile.unknown for tile in tiles], np.int32).reshape(shape),
        crc=np.array([tile.crc for tile in tiles], np.uint32).reshape(*shape, len(LAYERS)),
        packed_crc=np.array([tile.packed_crc for tile in tiles], np.uint32).reshape(shape),
    )
    told = {
        "format": FORMAT,
        "key": key,
        "model_id": predictor.model_id,
        "stack": factors.digest,
        "breaks": [float(each) for each in predictor.breaks],
        "rain_max_mm": float(predictor.rain_max_mm),
        "measure": predictor.measure,
        "grid": _told(grid),
        "files": {path.name: (path.stat().st_size, _sha256(path)) for path in sorted(folder.iterdir())},
    }
    (folder / "layers.json").write_text(json.dumps(told, indent=1), "utf-8")


def _save_dry(path: Path, grid: Grid, packed: Callable[[int, int], bytes]) -> None:
    """As a day's class raster, overviews and all: on a day on which nothing moves it is taken over as it is."""
    writer = ClassWriter(path, grid)
    for tile in grid.blocks(TILE_CELLS):
        blob = packed(*_at(tile))
        writer.put(ClassTile(blob, halve(CLASSES.unpack(blob)[: tile.height, : tile.width])))
    writer.finish()


def _forget(folder: Path, key: str, keep: set[str]) -> None:
    """Delete drafts, and layers of older models and stacks but for the newest of them."""
    for draft in folder.glob(".draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    others = [
        path for path in folder.glob("*/layers.json") if path.parent.name not in {key[:16], *(k[:16] for k in keep)}
    ]
    for path in sorted(others, key=lambda path: path.stat().st_mtime_ns)[:-1]:
        log.info("%s: critical layers of an older model or stack, deleted", path.parent)
        shutil.rmtree(path.parent, ignore_errors=True)


@contextmanager
def _room_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(
            f"{folder}: {error.strerror} while priming; make room and run `lswarn prime` again: it goes on from there"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else primes in a folder. A process that is killed holds nobody up."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _steps(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    known = np.round(np.nan_to_num(probability) / PROBABILITY_STEP)
    return np.where(np.isnan(probability), UNKNOWN_PROBABILITY, known).astype(np.uint16)


def _at(tile: Block) -> tuple[int, int]:
    return tile.row // TILE_CELLS, tile.col // TILE_CELLS


def _told(grid: Grid) -> dict[str, Any]:
    return {"crs": grid.crs, "transform": list(grid.transform[:6]), "height": grid.height, "width": grid.width}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
