"""Which ground is held out from training, so that a model is judged where it has never been."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.unet import halo
from lswarn.sections import Model

SIDE_CELLS = 256
"""Side of a spatial block: smaller where a region has not sixteen of them, never under three guard bands."""


@dataclass(frozen=True)
class Holdout:
    """A grid cut into spatial blocks, some of them held out.

    Attributes:
        rows, cols: edges of the blocks, from 0 to the grid's height and width.
        held: positions (i, j) of the blocks held out.
        guard: cells along their inner edges that are neither trained on nor judged: as far as the network sees.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    held: frozenset[tuple[int, int]]
    guard: int

    def judged(self) -> Iterator[Block]:
        """Held-out ground within the guard band; the grid's own edge, where training ends too, needs none."""
        for i, j in sorted(self.held):
            (top, bottom), (left, right) = self._within(self.rows, i), self._within(self.cols, j)
            yield Block(top, left, bottom - top, right - left)

    def mask(self, block: Block, *, judged: bool = False) -> NDArray[np.bool_]:
        """Whether each cell of a block is in held-out ground, or only in its judged part."""
        i, within_i = self._place(self.rows, block.row, block.height, judged)
        j, within_j = self._place(self.cols, block.col, block.width, judged)
        return self._is_held[np.ix_(i, j)] & np.outer(within_i, within_j)

    @cached_property
    def _is_held(self) -> NDArray[np.bool_]:
        held = np.zeros((len(self.rows) - 1, len(self.cols) - 1), bool)
        held[tuple(np.transpose(sorted(self.held)))] = True
        return held

    def _within(self, edges: tuple[int, ...], k: int) -> tuple[int, int]:
        return edges[k] + self.guard * (k > 0), edges[k + 1] - self.guard * (k + 2 < len(edges))

    def _place(
        self, edges: tuple[int, ...], first: int, count: int, judged: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Along one axis: which block each cell is in, and whether it is within the guard (if only that counts)."""
        at = np.arange(first, first + count)
        k = np.digitize(at, edges[1:-1])
        bounds = np.array([self._within(edges, each) for each in range(len(edges) - 1)])
        low, high = bounds[k].T
        return k, (at >= low) & (at < high) if judged else np.ones(count, bool)


def hold_out(grid: Grid, config: Model) -> Holdout:
    """Cut a grid into nearly square blocks and hold a share `config.holdout` of them out.

    The choice hangs on the grid and the seed alone, never on the landslides: ground held out stays so as the inventory
    grows, and yesterday's champion has not seen it either.

    Raises:
        TrainingError: the grid is too small for two blocks.
    """
    guard, phase = halo(config.depth), 2**config.depth
    side = max(3 * guard, min(SIDE_CELLS, int((grid.height * grid.width / 16) ** 0.5)))
    rows, cols = (
        (*(int(edge) // phase * phase for edge in np.linspace(0, n, max(1, n // side) + 1)[:-1]), n) for n in grid.shape
    )
    blocks = [(i, j) for i in range(len(rows) - 1) for j in range(len(cols) - 1)]
    if len(blocks) < 2:
        raise TrainingError(
            f"{grid.height} x {grid.width} cells are too few to hold some out for judging: a network of depth "
            f"{config.depth} needs {2 * side} along one side; lower model.depth or widen the region"
        )
    order = np.random.default_rng(config.seed).permutation(len(blocks))
    count = min(max(1, round(config.holdout * len(blocks))), len(blocks) - 1)
    return Holdout(rows, cols, frozenset(blocks[i] for i in order[:count]), guard)
