"""What both ways of assessing hand over beside the rasters they wrote."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lswarn.hazard.zones import Pieces


@dataclass(frozen=True)
class Laid:
    """A day's findings, before they are joined and named.

    Attributes:
        pieces: of the zones, of each block.
        cells: [areas + 1, classes]; row 0 counts the cells outside every area.
        beyond: cells with more rain than the model has seen, judged as the most it has.
    """

    pieces: list[Pieces]
    cells: NDArray[np.int64]
    beyond: int
