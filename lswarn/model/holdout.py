"""Which ground is held out from training, so that a model is judged where it has never been.

A cut numbers the cells of a grid; the cells of some numbers are held out and judged, and around them lies a guard band
that is neither trained on nor judged, as wide as the network sees. One code for the blocks that a model is gated by and
for the folds of an evaluation (`folds`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from lswarn.errors import TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.unet import sight
from lswarn.sections import Model

SIDE_CELLS = 256
"""Side of a spatial block: smaller where a region has not sixteen of them, never under two guard bands."""

NOWHERE = -1
"""Number of a cell that belongs to no part of a cut, or lies outside the grid."""


class Cut(Protocol):
    """A grid cut into numbered parts; no cell is in two of them."""

    def number(self, block: Block) -> NDArray[np.int32]:
        """Number of the part that each cell of a block is in, else `NOWHERE`; the block may reach outside the grid."""
        ...

    def blocks(self, number: int) -> Iterator[Block]:
        """Blocks, apart from each other, that cover one part and start where a network's phase does."""
        ...


class Ground(Protocol):
    """Some of a grid's cells, the others masked."""

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """Whether each cell of a block is not among them."""
        ...


@dataclass(frozen=True)
class Rectangles:
    """A grid cut along straight lines.

    Attributes:
        rows, cols: edges, from 0 to the grid's height and width.
        numbers: of each rectangle, row by row; several may share one.
        gap: cells along inner edges that belong to no part.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    numbers: tuple[tuple[int, ...], ...]
    gap: int = 0

    def number(self, block: Block) -> NDArray[np.int32]:  # noqa: D102 (Cut)
        i, within_i = self._place(self.rows, block.row, block.height)
        j, within_j = self._place(self.cols, block.col, block.width)
        numbers = np.array(self.numbers, np.int32)[np.ix_(i, j)]
        return np.where(np.outer(within_i, within_j), numbers, NOWHERE).astype(np.int32)

    def blocks(self, number: int) -> Iterator[Block]:  # noqa: D102 (Cut)
        for i, row in enumerate(self.numbers):
            for j, each in enumerate(row):
                if each == number:
                    (top, bottom), (left, right) = self._within(self.rows, i), self._within(self.cols, j)
                    yield from Block(top, left, bottom - top, right - left).split()

    def _within(self, edges: tuple[int, ...], k: int) -> tuple[int, int]:
        return edges[k] + self.gap * (k > 0), edges[k + 1] - self.gap * (k + 2 < len(edges))

    def _place(self, edges: tuple[int, ...], first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Along one axis: which rectangle each cell is in, and whether it is within it, clear of the gap."""
        at = np.arange(first, first + count)
        k = np.digitize(at, edges[1:-1])
        low, high = np.array([self._within(edges, each) for each in range(len(edges) - 1)])[k].T
        return k, (at >= low) & (at < high)


@dataclass(frozen=True)
class Holdout:
    """Ground held out from training.

    Attributes:
        cut: what the grid is cut into.
        held: numbers of the parts held out.
        guard: cells around them that are neither trained on nor judged: as far as the network sees.
        hides: whether the network may not even see the factors of judged ground.
    """

    cut: Cut
    held: frozenset[int]
    guard: int
    hides: bool = True

    def judged(self) -> Iterator[Block]:
        """Blocks that cover the ground to judge, which is `mask(block, judged=True)` of each."""
        for number in sorted(self.held):
            yield from self.cut.blocks(number)

    def mask(self, block: Block, *, judged: bool = False) -> NDArray[np.bool_]:
        """Whether each cell of a block is in held-out ground, guard band included, or only in its judged part."""
        around = block if judged else block.with_halo(self.guard)
        held = np.isin(self.cut.number(around), list(self.held))
        if judged or not self.guard:
            return held
        # What a network sees of a cell is a square, hence the band's corners.
        near = maximum_filter(held, 2 * self.guard + 1, mode="constant", cval=False)
        return near[self.guard : self.guard + block.height, self.guard : self.guard + block.width]

    def hidden(self, block: Block) -> NDArray[np.bool_]:
        """Cells of a block whose factors no training may see, not even in the statistics of a batch."""
        return self.mask(block, judged=True) if self.hides else np.zeros(block.shape, bool)


def hold_out(grid: Grid, config: Model) -> Holdout:
    """Cut a grid into nearly square blocks and hold a share `config.holdout` of them out, their guard bands included.

    The choice hangs on the grid and the seed alone, never on the landslides: ground held out stays so as the inventory
    grows, and yesterday's champion has not seen it either.

    Raises:
        TrainingError: the grid is too small for two blocks.
    """
    guard, phase = sight(config.depth), 2**config.depth
    side = max(2 * guard + phase, min(SIDE_CELLS, int((grid.height * grid.width / 16) ** 0.5)))
    rows, cols = (edges(n, max(1, n // side), phase) for n in grid.shape)
    wide = len(cols) - 1
    count = (len(rows) - 1) * wide
    if count < 2:
        raise TrainingError(
            f"{grid.height} x {grid.width} cells are too few to hold some out for judging: a network of depth "
            f"{config.depth} needs {2 * side} along one side; lower model.depth or widen the region"
        )
    numbers = tuple(tuple(range(row, row + wide)) for row in range(0, count, wide))
    order = np.random.default_rng(config.seed).permutation(count)
    held = order[: min(max(1, round(config.holdout * count)), count - 1)]
    return Holdout(Rectangles(rows, cols, numbers, gap=guard), frozenset(map(int, held)), guard)


def edges(cells: int, parts: int, phase: int) -> tuple[int, ...]:
    """Edges of nearly equal parts of an axis, from 0 to its length, at multiples of the phase but for the last."""
    return (*(int(edge) // phase * phase for edge in np.linspace(0, cells, parts + 1)[:-1]), cells)


@dataclass(frozen=True)
class Inner:
    """Training ground, less some blocks of it held out a second time, by which a training makes its own choices.

    How long to train, how large a network, and what a score is worth are learnt on ground that taught nothing, and
    never on the ground that a model is judged on. No guard band lies around the blocks: nothing is claimed from them.

    Attributes:
        outer: what is held out to judge by.
        cut, held: the blocks.
        chooses: whether this is the view of the blocks themselves, or of the rest, which teaches.
    """

    outer: Holdout
    cut: Rectangles
    held: frozenset[int]
    chooses: bool = False

    def mask(self, block: Block) -> NDArray[np.bool_]:
        """Whether each cell of a block is of no use to this view."""
        inner = np.isin(self.cut.number(block), list(self.held))
        return self.outer.mask(block) | (inner != self.chooses)

    def hidden(self, block: Block) -> NDArray[np.bool_]:
        """Cells of a block whose factors no training may see."""
        return self.outer.hidden(block)


INNER_SIDES = 6
INNER_LEAST_CELLS = 32
INNER_SHARE = 0.2
INNER_LEAST_LANDSLIDES = 10


def hold_out_inner(grid: Grid, outer: Holdout, landslides: NDArray[np.int64], config: Model) -> Inner:
    """Set about `INNER_SHARE` of the landslides on training ground aside, with the blocks they lie in.

    Blocks are taken in an order that hangs on the seed alone. With too few landslides to spare
    `INNER_LEAST_LANDSLIDES`, none is taken: every one is needed to learn from.

    Args:
        landslides: row and column [n, 2] of those that teach; may lie outside the grid.
    """
    rows, cols = (edges(n, max(1, min(INNER_SIDES, n // INNER_LEAST_CELLS)), 1) for n in grid.shape)
    wide = len(cols) - 1
    cut = Rectangles(rows, cols, tuple(tuple(range(r * wide, (r + 1) * wide)) for r in range(len(rows) - 1)))
    inside = np.zeros((len(rows) - 1) * wide, int)
    for block in grid.blocks():
        at = landslides - (block.row, block.col)
        at = at[((at >= 0) & (at < block.shape)).all(1)]
        on = tuple(at[~outer.mask(block)[tuple(at.T)]].T)
        inside += np.bincount(cut.number(block)[on], minlength=len(inside))
    held: set[int] = set()
    for number in np.random.default_rng(config.seed).permutation(len(inside)):
        if inside[list(held)].sum() + inside[number] <= 1.5 * INNER_SHARE * inside.sum():
            held.add(int(number))
        if inside[list(held)].sum() >= INNER_SHARE * inside.sum():
            break
    if inside[list(held)].sum() < INNER_LEAST_LANDSLIDES:
        held = set()
    return Inner(outer, cut, frozenset(held))
