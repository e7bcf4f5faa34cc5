"""What the network is told: the inventory, and one sentence of physics.

The sentence: where the 7-day rain R7 exceeds the critical rainfall Rc of a slope, a low probability is wrong. With the
safety factor SF = Rc / R7 (capacity over demand) and the danger d = clip(1 - SF, 0, 1), which is 0 on slopes up to 10
degrees, the loss is

    L = mean(w·y·(-log p) + (1 - y)·(-log(1 - p))) + lambda · mean(penalty)
    penalty = d · (1 - p)       "linear"
    penalty = d · (-log p)      "log"

Where a region asks for it, the sentence is that of an infinite slope instead: its safety factor and danger are those of
`stability`, the penalty is the same.

After Zhang and Deng 2026, doi 10.1038/s41598-026-46873-4, whose own equations were not available to us: SF, d and both
forms are our reading. At a cell of true rate pi the log form's optimum is p* = (w·pi + lambda·d) / (w·pi + lambda·d + 1
- pi): a score, from which `train` recovers a probability.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from lswarn.sections import PhysicsSource

FLAT_DEG = 10.0
"""Wet ground up to this slope is not a landslide."""
TERMS: dict[PhysicsSource, str] = {"threshold": "physics", "infinite-slope": "infinite_slope"}
"""Name of the physics term, by where its danger comes from."""


def danger(
    rain_mm: NDArray[np.float32], critical_mm: NDArray[np.float32], slope_deg: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Danger d by the rain alone, 0..1, of arrays that broadcast.

    0 where rain is at or below critical, where the slope is at most `FLAT_DEG`, and where any of the three is NaN:
    where physics knows nothing it says nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        d = np.clip(1 - critical_mm / rain_mm, 0, 1)
    return np.where((slope_deg > FLAT_DEG) & (rain_mm > 0), np.nan_to_num(d), 0).astype(np.float32)


def physics_loss(
    logit: Tensor,
    label: Tensor,
    danger: Tensor,
    *,
    positive_weight: float,
    physics_weight: float,
    physics: Literal["linear", "log"],
    source: PhysicsSource = "threshold",
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its named parts; tensors of one shape.

    Args:
        logit: of the score.
        label: 1 landslide, 0 none, NaN unknown. Unknown cells count for nothing and get no gradient.
        danger: see `danger`, and `stability.danger`.
        positive_weight: w of a landslide cell.
        physics_weight: lambda.
        source: of the danger; it names the penalty.

    Returns:
        The total, and its parts before weighting by lambda: `inventory`, and the penalty by its name in `TERMS`.
    """
    known = ~label.isnan()
    cells = known.sum().clamp(min=1)
    z, y, d = (torch.where(known, values, 0.0) for values in (logit, label, danger))
    inventory = torch.where(known, -positive_weight * y * logsigmoid(z) - (1 - y) * logsigmoid(-z), 0.0).sum() / cells
    penalty = (d * (torch.sigmoid(-z) if physics == "linear" else -logsigmoid(z))).sum() / cells
    return inventory + physics_weight * penalty, {"inventory": inventory, TERMS[source]: penalty}
