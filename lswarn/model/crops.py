"""Crops of training ground, drawn at random, half of them around landslides."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lswarn.grid import Block
from lswarn.model.holdout import Holdout, Inner
from lswarn.model.samples import FactorReader, Observed
from lswarn.model.surroundings import surroundings
from lswarn.sections import Model

ROOM_CELLS = 512
ROOMS_IN_MEMORY = 16
STORMS = 4
"""Scenes a crop is seen under: the trunk reads the ground once for all of them."""


@dataclass(frozen=True)
class Batch:
    """Crops: factors [B, 10, h, w] and their `surroundings`; rain mm, label and danger [B, S, h, w]."""

    factors: NDArray[np.float32]
    around: NDArray[np.float32]
    rain: NDArray[np.float32]
    label: NDArray[np.float32]
    danger: NDArray[np.float32]


@dataclass(frozen=True)
class _Room:
    """Part of the grid kept in memory, its number, and the landslides in it (their positions in the snapshot)."""

    number: int
    block: Block
    factors: NDArray[np.float32]
    landslides: NDArray[np.int64]


class Crops:
    """An endless, seeded sequence of batches; where `ground` masks a crop has no labels, where it hides no factors.

    Crops are cut from rooms of the grid in memory. A region with more rooms than fit is walked through, one room read
    and one let go a batch. A crop is centred on a cell of its room, and rooms are read with the margin that takes, so
    every cell is as likely as any other.

    Args:
        scenes: positions of those that teach, at least one.
        rank: number of the process, where several draw crops of their own.
    """

    def __init__(
        self,
        factors: FactorReader,
        observed: Observed,
        ground: Holdout | Inner,
        config: Model,
        scenes: Sequence[int],
        *,
        rank: int = 0,
    ) -> None:
        self._factors, self._observed, self._ground = factors, observed, ground
        self._teaching = np.array(scenes)
        self._batch, phase = config.batch, 2**config.depth
        self._size = -(-config.crop // phase) * phase
        self._rng = np.random.default_rng((config.seed, rank))
        self._blocks = [block for block in factors.grid.blocks(ROOM_CELLS) if not ground.mask(block).all()]
        self._slid = [self._landslides(block) for block in self._blocks]
        self._ahead: list[int] = []
        self._rooms: deque[_Room] = deque(maxlen=ROOMS_IN_MEMORY)

    @property
    def landslides(self) -> int:
        """How many there are on training ground."""
        return sum(len(slid) for slid in self._slid)

    def draw(self) -> Batch:
        """The next batch."""
        if len(self._rooms) < len(self._blocks):
            for _ in range(max(1, min(ROOMS_IN_MEMORY, len(self._blocks)) - len(self._rooms))):
                self._rooms.append(self._room(self._next()))
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
        factors, rain, label, danger = (np.stack(parts) for parts in zip(*crops, strict=True))
        # Worked out here, by the thread that reads ahead, it keeps no network waiting.
        return Batch(factors, surroundings(torch.from_numpy(factors)).numpy(), rain, label, danger)

    def state(self) -> str:
        """All that the batches to come hang on, as JSON."""
        rooms = [room.number for room in self._rooms]
        return json.dumps({"random": self._rng.bit_generator.state, "rooms": rooms, "ahead": self._ahead})

    def resume(self, state: str) -> None:
        """Draw next what would have been drawn when `state` was told, of the same region and config."""
        told = json.loads(state)
        self._rng.bit_generator.state = told["random"]
        self._ahead = told["ahead"]
        self._rooms.clear()
        self._rooms.extend(self._room(number) for number in told["rooms"])

    def _next(self) -> int:
        if not self._ahead:
            self._ahead = [int(number) for number in self._rng.permutation(len(self._blocks))]
        return self._ahead.pop(0)

    def _room(self, number: int) -> _Room:
        around = self._blocks[number].with_halo(self._size // 2)
        return _Room(number, self._blocks[number], self._factors.read(around), self._slid[number])

    def _anywhere(self, block: Block) -> NDArray[np.int64]:
        while True:  # a room has training ground, else it would be none
            cell = self._rng.integers((block.row, block.col), (block.row + block.height, block.col + block.width))
            if not self._ground.mask(Block(int(cell[0]), int(cell[1]), 1, 1)).any():
                return cell

    def _landslides(self, block: Block) -> NDArray[np.int64]:
        at = self._observed.cells_of - (block.row, block.col)
        here = ((at >= 0) & (at < block.shape)).all(1) & np.isin(self._observed.scene_of, self._teaching)
        here = np.flatnonzero(here)
        return here[~self._ground.mask(block)[tuple(at[here].T)]]

    def _crop(
        self, room: _Room, centre: NDArray[np.int64], landslide: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        low = np.array([room.block.row, room.block.col])
        corner = np.clip(centre, low, low + room.block.shape - np.array(1)) - low  # in the room with its margin
        row, col = (int(c) for c in corner + low - self._size // 2)
        block = Block(row, col, self._size, self._size)
        factors = room.factors[:, corner[0] : corner[0] + self._size, corner[1] : corner[1] + self._size].copy()
        factors[:, self._ground.hidden(block)] = np.nan
        cells = self._observed.at(block, factors, self._scenes(landslide))
        cells.label[:, self._ground.mask(block)] = np.nan
        return factors, cells.rain, cells.label, cells.danger

    def _scenes(self, landslide: int | None) -> list[int]:
        """Scenes to see a crop under, the landslide's own first."""
        order = self._rng.permutation(self._teaching)
        if landslide is not None:
            own = self._observed.scene_of[landslide]
            order = np.concatenate([[own], order[order != own]])
        return [int(scene) for scene in order[:STORMS]]
