"""How much each member of an ensemble has to say: as much as serves on ground that taught none of them.

Stacking (Wolpert 1992, doi 10.1016/S0893-6080(05)80023-1) with weights that are not negative (Breiman 1996, doi
10.1007/BF00117832): what only rises with rain goes on doing so. Where landslides are few, a network learns them by
heart, and a few blocks of inner ground cannot tell that it did: then it is presumed to, and weights stay near what is
presumed. Where they are many, they decide.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from lswarn.grid import Block
from lswarn.model.holdout import Ground
from lswarn.model.predict import Predictor
from lswarn.model.samples import FactorReader, Observed

SCENES_AT_ONCE = 8
STABLE_TAKEN = 1 / 16
"""Share of the cells that did not slide which is looked at; of those that did, all."""
DRAW_SEED = 0
NEEDED: dict[str, float] = {"unet": 200, "boosting": 50, "logistic": 0}
"""Landslide cells on inner ground at which a member is presumed to deserve half the weight of a plain one."""
PRESUMED_WORTH = 4.0
"""How strongly weights are held to what is presumed, for one landslide cell; for n of them, an nth of it."""


def blend(
    members: Mapping[str, Predictor],
    factors: FactorReader,
    observed: Observed,
    blocks: Iterable[Block],
    inner: Ground,
    scenes: Sequence[int],
) -> tuple[float, ...]:
    """The weight of each member's log-odds, none negative, 1 together.

    They are those that make the class-weighted log-loss least on `inner` ground, as far as its landslides can tell.

    Args:
        members: by their names in `NEEDED`, at the level of the ground, see `calibrate.shift`.
        blocks: to look at; no cell may be in two of them.
        inner: ground that taught none of the members.
        scenes: positions, in the snapshot, of the rains to look under.
    """
    halo, rng = max(member.halo for member in members.values()), np.random.default_rng(DRAW_SEED)
    said: list[NDArray[np.float32]] = [np.empty((len(members), 0), np.float32)]
    labels: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    for block in blocks:
        usable = ~inner.mask(block)
        if not usable.any():
            continue
        around = block.with_halo(halo)
        ground = factors.read(around)
        middle = np.s_[..., halo : halo + block.height, halo : halo + block.width]
        for first in range(0, len(scenes), SCENES_AT_ONCE):
            cells = observed.at(around, ground, scenes[first : first + SCENES_AT_ONCE])
            label = cells.label[middle]
            taken = usable & ((label == 1) | ((label == 0) & (rng.random(label.shape) < STABLE_TAKEN)))
            if taken.any():
                log_odds = np.stack([member.log_odds(ground, cells.rain)[middle][taken] for member in members.values()])
                known = np.isfinite(log_odds).all(0)
                said.append(log_odds[:, known])
                labels.append(label[taken][known])
    return weigh(np.concatenate(said, 1), np.concatenate(labels), [NEEDED[name] for name in members])


def weigh(said: NDArray[np.float32], label: NDArray[np.float32], needed: Sequence[float]) -> tuple[float, ...]:
    """The weights by which what members say [M, n], log-odds, tells labels [n], 1 slid and 0 did not, apart best.

    Args:
        needed: of each member, see `NEEDED`; without both labels, its weight is as presumed for as many landslides.
    """
    slid = label == 1
    presumed = np.array([(1 + slid.sum()) / (1 + slid.sum() + each) for each in needed])
    presumed /= presumed.sum()
    if slid.all() or not slid.any():
        return tuple(map(float, presumed))
    held_back = PRESUMED_WORTH / slid.sum()
    balanced = max(1.0, (~slid).sum() / slid.sum() / 4)  # as members learn: a quarter of what would balance them
    counts = np.where(slid, balanced, 1.0)
    counts /= counts.sum()
    x = np.vstack([said, np.ones(len(label))]).astype(np.float64)

    def loss(each: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score, off = each @ x, each[:-1] - presumed
        slope = x @ (counts * (expit(score) - slid))
        slope[:-1] += 2 * held_back * off
        return float(counts @ (np.logaddexp(0, score) - slid * score) + held_back * off @ off), slope

    bounds = [(0.0, None)] * len(said) + [(None, None)]
    found = minimize(loss, np.append(presumed, 0.0), jac=True, bounds=bounds, method="L-BFGS-B").x[:-1]
    return tuple(map(float, found / found.sum())) if found.sum() > 0 else tuple(map(float, presumed))
