"""Cells drawn at random from a region, block by block: however large it is, they fit into memory."""

import numpy as np
from numpy.typing import NDArray

from lswarn.model.holdout import Holdout
from lswarn.model.samples import FactorReader
from lswarn.sections import FACTORS

BLOCKS = 64
CELLS = 20_000
"""At most so many cells of each of at most so many blocks."""


def draw_ground(factors: FactorReader, without: Holdout, *, seed: int = 0) -> NDArray[np.float32]:
    """Raw factors [10, n] of cells with all ten known, on training ground; none where there is no such cell.

    Args:
        without: ground that is left out, guard bands included: what is compared must be the same ground.
    """
    rng = np.random.default_rng(seed)
    blocks = [block for block in factors.grid.blocks() if not without.mask(block).all()]
    drawn = [np.empty((len(FACTORS), 0), np.float32)]
    for i in sorted(rng.permutation(len(blocks))[:BLOCKS]):
        ground = factors.read(blocks[i])
        known = ground[:, ~np.isnan(ground).any(0) & ~without.mask(blocks[i])]
        drawn.append(known[:, rng.permutation(known.shape[1])[:CELLS]])
    return np.concatenate(drawn, 1)
