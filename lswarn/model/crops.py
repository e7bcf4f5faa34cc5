"""Crops of training ground, drawn at random, half of them around landslides."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lswarn.grid import Block
from lswarn.model.holdout import Holdout
from lswarn.model.samples import FactorReader, Observed
from lswarn.sections import Model

ROOM_CELLS = 512
ROOMS_IN_MEMORY = 16
STORMS = 4
"""Scenes a crop is seen under: the trunk reads the ground once for all of them."""


@dataclass(frozen=True)
class Batch:
    """Crops: factors [B, 10, h, w]; rain mm, label and danger [B, S, h, w]."""

    factors: NDArray[np.float32]
    rain: NDArray[np.float32]
    label: NDArray[np.float32]
    danger: NDArray[np.float32]


@dataclass(frozen=True)
class _Room:
    """Part of the grid kept in memory, and the landslides in it (their positions in the snapshot)."""

    block: Block
    factors: NDArray[np.float32]
    landslides: NDArray[np.int64]


class Crops:
    """An endless, seeded sequence of batches; on held-out ground a crop has no labels, and within the guard no factors.

    Crops are cut from rooms of the grid in memory. A region with more rooms than fit is walked through, one room read
    and one let go a batch. A crop is centred on a cell of its room, and rooms are read with the margin that takes, so
    every cell is as likely as any other.
    """

    def __init__(self, factors: FactorReader, observed: Observed, holdout: Holdout, config: Model) -> None:
        self._factors, self._observed, self._holdout = factors, observed, holdout
        self._batch, phase = config.batch, 2**config.depth
        self._size = -(-config.crop // phase) * phase
        self._rng = np.random.default_rng(config.seed)
        self._blocks = [block for block in factors.grid.blocks(ROOM_CELLS) if not holdout.mask(block).all()]
        self._slid = [self._landslides(block) for block in self._blocks]
        self._next = self._walk()
        self._rooms: deque[_Room] = deque(maxlen=ROOMS_IN_MEMORY)

    @property
    def landslides(self) -> int:
        """How many there are on training ground."""
        return sum(len(slid) for slid in self._slid)

    def draw(self) -> Batch:
        """The next batch."""
        if len(self._rooms) < len(self._blocks):
            for _ in range(max(1, min(ROOMS_IN_MEMORY, len(self._blocks)) - len(self._rooms))):
                self._rooms.append(next(self._next))
        slid = [(room, landslide) for room in self._rooms for landslide in room.landslides]
        crops = []
        for number in range(self._batch):
            if number % 2 == 0 and slid:
                room, landslide = slid[self._rng.integers(len(slid))]
                aside = self._rng.integers(-self._size // 4, self._size // 4 + 1, 2)
                crops.append(self._crop(room, self._observed.cells_of[landslide] + aside, landslide))
            else:
                room = self._rooms[self._rng.integers(len(self._rooms))]
                crops.append(self._crop(room, self._anywhere(room.block), None))
        return Batch(*(np.stack(parts) for parts in zip(*crops, strict=True)))

    def _walk(self) -> Iterator[_Room]:
        while True:
            for i in self._rng.permutation(len(self._blocks)):
                around = self._blocks[i].with_halo(self._size // 2)
                yield _Room(self._blocks[i], self._factors.read(around), self._slid[i])

    def _anywhere(self, block: Block) -> NDArray[np.int64]:
        while True:  # a room has training ground, else it would be none
            cell = self._rng.integers((block.row, block.col), (block.row + block.height, block.col + block.width))
            if not self._holdout.mask(Block(int(cell[0]), int(cell[1]), 1, 1)).any():
                return cell

    def _landslides(self, block: Block) -> NDArray[np.int64]:
        at = self._observed.cells_of - (block.row, block.col)
        here = np.flatnonzero(((at >= 0) & (at < block.shape)).all(1))
        return here[~self._holdout.mask(block)[tuple(at[here].T)]]

    def _crop(
        self, room: _Room, centre: NDArray[np.int64], landslide: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        low = np.array([room.block.row, room.block.col])
        corner = np.clip(centre, low, low + room.block.shape - np.array(1)) - low  # in the room with its margin
        row, col = (int(c) for c in corner + low - self._size // 2)
        block = Block(row, col, self._size, self._size)
        factors = room.factors[:, corner[0] : corner[0] + self._size, corner[1] : corner[1] + self._size].copy()
        factors[:, self._holdout.mask(block, judged=True)] = np.nan  # not even in the statistics of a batch
        cells = self._observed.at(block, factors, self._scenes(landslide))
        cells.label[:, self._holdout.mask(block)] = np.nan
        return factors, cells.rain, cells.label, cells.danger

    def _scenes(self, landslide: int | None) -> list[int]:
        """Scenes to see a crop under, the landslide's own first."""
        order = self._rng.permutation(self._observed.scenes)
        if landslide is not None:
            own = self._observed.scene_of[landslide]
            order = np.concatenate([[own], order[order != own]])
        return [int(scene) for scene in order[:STORMS]]
