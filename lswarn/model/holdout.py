"""Which ground is held out from training, so that a model is judged where it has never been."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.unet import halo
from lswarn.region import Model

SIDE_CELLS = 256
"""Side of a spatial block: smaller where a region has not sixteen of them, never under three guard bands."""


@dataclass(frozen=True)
class Holdout:
    """A grid cut into spatial blocks, some of them held out.

    Attributes:
        rows, cols: edges of the blocks, from 0 to the grid's height and width.
        held: positions (i, j) of the blocks held out.
        guard: cells left out along their inner edges, so that no judged cell sees what a trained one saw.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    held: frozenset[tuple[int, int]]
    guard: int

    def judged(self) -> Iterator[Block]:
        """Held-out ground within the guard band."""
        yield from self._cut(self.guard)

    def mask(self, block: Block, *, judged: bool = False) -> NDArray[np.bool_]:
        """Whether each cell of a block is in held-out ground, or only in its judged part."""
        found = np.zeros(block.shape, bool)
        for held in self._cut(self.guard if judged else 0):
            top, left = max(held.row - block.row, 0), max(held.col - block.col, 0)
            bottom, right = held.row + held.height - block.row, held.col + held.width - block.col
            found[top : max(bottom, 0), left : max(right, 0)] = True
        return found

    def _cut(self, guard: int) -> Iterator[Block]:
        """The held-out blocks, less a band along inner edges; the grid's own edge, where training ends, needs none."""
        for i, j in sorted(self.held):
            (top, bottom), (left, right) = (
                (edges[k] + guard * (k > 0), edges[k + 1] - guard * (k + 2 < len(edges)))
                for edges, k in ((self.rows, i), (self.cols, j))
            )
            yield Block(top, left, bottom - top, right - left)


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
