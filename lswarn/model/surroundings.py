"""Where water gathers around a cell, worked out from the factors of the cells near it.

What lies above a slope decides how wet it gets under a rain. A network could find that out from aspect and curvature by
itself, but a few hundred landslides do not teach it to; they do teach any model what to make of it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lswarn.sections import FACTORS

HOLLOW_WIDTHS = (3, 7, 15, 31)
"""Sides, in cells, of the squares over which curvature is averaged."""
STEPS = 15
"""Cells downhill over which water is followed."""
SEEN_AROUND = max(max(HOLLOW_WIDTHS) // 2, STEPS + 1)
"""Cells to each side that every model sees, whatever else it is."""
CHANNELS = len(HOLLOW_WIDTHS) + 1

_DOWNHILL = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Rows and columns from a cell to its neighbours, clockwise from north."""


def surroundings(factors: Tensor) -> Tensor:
    """Hollows, then what gathers: [B, 10, H, W] to [B, CHANNELS, H, W]; NaN where nothing around is known."""
    return torch.cat([hollows(factors), gathered(factors)], 1)


def hollows(factors: Tensor) -> Tensor:
    """Mean curvature, 1/m, of the squares of `HOLLOW_WIDTHS` around each cell: below 0 in hollows, above on spurs.

    [B, 10, H, W] to [B, 3, H, W]. Unknown cells are left out; NaN where none in the square is known.
    """
    curvature = _factor(factors, "curvature")
    return torch.cat([_mean(curvature, width) for width in HOLLOW_WIDTHS], 1)


def gathered(factors: Tensor) -> Tensor:
    """Logarithm of how many cells drain through each within `STEPS` steps, itself included; mean of 3 x 3 cells.

    [B, 10, H, W] to [B, 1, H, W]. Each cell gives to the two neighbours between which its aspect points, in proportion
    (after Tarboton 1997, doi 10.1029/96WR03137); flat cells keep what they get. NaN where nothing around is known.
    """
    aspect = _factor(factors, "aspect")
    here, slopes = (~aspect.isnan()).to(aspect.dtype), aspect >= 0
    turn = aspect.where(slopes, 0.0) / 45
    first = turn.floor()
    beyond = turn - first
    shares = [
        ((first % 8 == k) * (1 - beyond) + ((first + 1) % 8 == k) * beyond) * slopes for k in range(len(_DOWNHILL))
    ]
    height, width = aspect.shape[2:]
    cells = here
    for _ in range(STEPS):
        reached = here
        for share, (down, right) in zip(shares, _DOWNHILL, strict=True):
            given = functional.pad(cells * share, (1, 1, 1, 1))
            reached = reached + given[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        cells = reached
    return _mean(cells.clamp(min=1.0).log().where(here > 0, torch.nan), 3)


def _factor(factors: Tensor, name: str) -> Tensor:
    return factors[:, FACTORS.index(name)].unsqueeze(1)


def _mean(values: Tensor, width: int) -> Tensor:
    """Of what is known in the square around each cell, [B, 1, H, W]."""
    known = ~values.isnan()
    both = torch.cat([values.nan_to_num(0.0), known.to(values.dtype)], 1)
    rows = functional.avg_pool2d(both, (width, 1), 1, (width // 2, 0))
    square = functional.avg_pool2d(rows, (1, width), 1, (0, width // 2))
    return square[:, :1] / square[:, 1:]
