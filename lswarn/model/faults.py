"""Ground that cannot teach and memory that does not suffice, each told with what is to be done."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from lswarn.errors import NotEnoughMemory, TrainingError
from lswarn.model.ground import BLOCKS
from lswarn.model.holdout import Holdout
from lswarn.model.samples import FactorReader
from lswarn.sections import FACTORS

log = logging.getLogger(__name__)

NO_MEMORY = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED", "not enough memory")
"""What torch says where it raises no more than a RuntimeError."""


def require_known(cells: NDArray[np.float32], factors: FactorReader, without: Holdout) -> None:
    """Refuse ground of which no cell is known in all ten factors, and warn of factors that have one value.

    Args:
        cells: [10, n], as `ground.draw_ground` gives of the same ground.
        without: held-out ground.

    Raises:
        TrainingError: there is no cell; names the factors that are unknown.
    """
    if not cells.size:
        raise TrainingError(_why_unknown(factors, without))
    same = cells.min(1) == cells.max(1)
    if same.any():
        told = ", ".join(f"{FACTORS[i]} ({cells[i, 0]:g})" for i in np.flatnonzero(same))
        log.warning("the same on all training ground, and so of no use to a model: %s", told)


def _why_unknown(factors: FactorReader, without: Holdout) -> str:
    """Which factors are unknown on training ground, from as many blocks as cells are drawn from."""
    blocks = [block for block in factors.grid.blocks() if not without.mask(block).all()]
    known, total = np.zeros(len(FACTORS)), 0
    for i in np.random.default_rng(0).permutation(len(blocks))[:BLOCKS]:
        ground = ~without.mask(blocks[i])
        known += (~np.isnan(factors.read(blocks[i])[:, ground])).sum(1)
        total += int(ground.sum())
    if nothing := [name for name, n in zip(FACTORS, known, strict=True) if not n]:
        where = ", ".join(f"factors.{name}" for name in nothing)
        return (
            f"{', '.join(nothing)}: unknown on all training ground; look at {where} in region.toml and ask "
            "`lswarn region check`, then `lswarn region build`"
        )
    parts = [f"{name} on {n / total:.0%}" for name, n in zip(FACTORS, known, strict=True) if n < total]
    return (
        f"no cell of the training ground has all ten factors known: {', '.join(parts)} of it, and never together; see "
        "`lswarn region check`"
    )


@contextmanager
def memory_told(what: str, remedy: str) -> Iterator[None]:
    """Say over what the memory of the machine or its GPU ran out, and what to lower.

    Args:
        what: such as `a block of 512 x 512 cells`.

    Raises:
        NotEnoughMemory: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise NotEnoughMemory(f"the memory does not suffice for {what}: {remedy}") from error
