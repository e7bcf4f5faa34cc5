"""What a score is worth: the way from what a network says to a probability, and from probabilities to five classes.

Three steps. The class weight is undone by one shift of the log-odds, so that the mean probability of the training
ground is the share of its cells that slid. On inner held-out ground, isotonic regression finds how often cells of a
score did slide (Zadrozny and Elkan 2002, doi 10.1145/775047.775151); its steps become the corners of a line that always
rises, for two scores that differ must stay apart, and more rain must still be more. Its level is then set by all of the
training ground again: a few blocks tell the shape of the curve, but not how often a region slides.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from lswarn.errors import TrainingError
from lswarn.model.skill import LIMIT, LOG_ODDS, Tally

Corners = tuple[tuple[float, float], ...]
"""A line that always rises, by its corners (x, y) in ascending order; beyond its ends it goes on with slope 1."""

JENKS_SAMPLE = 4000
MOST_CORNERS = 20
LANDSLIDE_CELLS_A_CORNER = 15


def shift(score: Tally) -> float:
    """How much too high the log-odds of a score are, for the mean probability to be the share of cells that slid.

    Raises:
        TrainingError: no cell slid.
    """
    return -_level(LOG_ODDS, score.stable + score.slid, score.slid.sum())


def shift_of_cells(log_odds: NDArray[Any], label: NDArray[Any], stands_for: NDArray[Any]) -> float:
    """The same of single cells [n]: their log-odds, label 1 or 0, and how many cells of the ground each stands for."""
    return -_level(log_odds, stands_for, stands_for[label == 1].sum())


def _level(log_odds: NDArray[Any], cells: NDArray[Any], slid: float) -> float:
    """What to add to the log-odds of so many cells for their mean probability to be the share that slid."""
    if not slid:
        raise TrainingError("no landslide lies where factors and rain are known: see `lswarn region check`")
    return float(brentq(lambda more: cells @ expit(log_odds + more) - slid, -4 * LIMIT, 4 * LIMIT))


def isotonic(inner: Tally, inner_undone: float, trained: Tally, undone: float) -> Corners:
    """The calibration curve of log-odds whose class weight is undone.

    Args:
        inner: scores of inner held-out ground by a model that it taught nothing; with too few landslide cells for two
            corners, nothing is known better.
        inner_undone: the shift of that model.
        trained: scores of all training ground, inner ground included, by the model that is kept.
        undone: the shift of that one.

    Returns:
        The corners; empty: log-odds stay as they are.
    """
    p, both = expit(LOG_ODDS - inner_undone), inner.stable + inner.slid
    parts = min(MOST_CORNERS, int(inner.slid.sum()) // LANDSLIDE_CELLS_A_CORNER)
    if parts < 2:
        return ()
    below = np.cumsum(inner.slid) - inner.slid  # so that the lowest part, at least, holds a landslide cell
    of_part = below * parts // (inner.slid.sum() + 1)
    groups = np.array([np.bincount(of_part, counts, parts) for counts in (both, inner.slid, both * p)])
    groups = groups[:, groups[0] > 0]  # of many landslide cells with one score all are in one part
    from sklearn.isotonic import IsotonicRegression  # seconds to import that only training needs to spend

    rates = IsotonicRegression().fit_transform(
        np.arange(groups.shape[1]), groups[1] / groups[0], sample_weight=groups[0]
    )
    step = np.unique(rates, return_inverse=True)[1]
    cells, slid, mass = (np.bincount(step, counts) for counts in groups)
    corners = tuple(
        (float(logit(m / n)), float(logit(s / n))) for n, s, m in zip(cells, slid, mass, strict=True) if s < n
    )
    if len(corners) < 2:
        return ()
    level = _level(rise(corners, LOG_ODDS - undone), trained.stable + trained.slid, trained.slid.sum())
    return tuple((x, y + level) for x, y in corners)


def rise(corners: Corners, values: NDArray[Any]) -> NDArray[np.float64]:
    """The line at some values, float64, NaN where they are; never lower at the greater of two of them."""
    values = values.astype(np.float64)
    if not corners:
        return values
    x, y = np.array(corners).T
    slopes = np.array([1.0, *((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(corners)), 1.0])
    piece = np.searchsorted(x, values, side="right")  # 0: before the first corner
    start = np.maximum(piece - 1, 0)
    line = y[start] + slopes[piece] * (values - x[start])
    # A rounding must not lift the end of a piece above the beginning of the next.
    return np.minimum(line, np.append(y, np.inf)[piece])


def turned(corners: Corners) -> Corners:
    """The inverse of the line."""
    return tuple((y, x) for x, y in corners)


def natural_breaks(score: Tally, log_odds: NDArray[Any]) -> tuple[float, float, float, float]:
    """Fisher-Jenks breaks of the probabilities of all training cells under all scenes, quiet ones included.

    Probabilities of landslides are so skewed that the scale decides. On p itself the breaks crowd into the few highest,
    and most landslides fall into the lowest class; on log p they part what is rare from what is rarer still. They are
    sought on asin(sqrt(p)), the scale on which a proportion is equally uncertain everywhere: then a few percent of the
    steep cells are in the highest class under a great storm, and none when it is dry.

    Fisher-Jenks takes time with the square of its input, so it sees `JENKS_SAMPLE` evenly spaced quantiles: all cells,
    and no chance.

    Args:
        log_odds: what the score of each bin is worth.

    Raises:
        TrainingError: there are not five different probabilities.
    """
    below = np.cumsum(score.stable + score.slid)
    at = np.searchsorted(below, (np.arange(JENKS_SAMPLE) + 0.5) / JENKS_SAMPLE * below[-1])
    if len(np.unique(at)) < 5:
        raise TrainingError("the model says much the same everywhere, too little for five classes: raise model.steps")
    import mapclassify  # brings half of scipy and scikit-learn along: seconds that only training needs to spend

    angles = np.arcsin(np.sqrt(expit(log_odds[at])))
    bins = mapclassify.FisherJenks(angles, k=5).bins
    if not (np.diff(bins) > 0).all():  # of few values, most of them tied, it may give one twice
        bins = mapclassify.FisherJenks(np.unique(angles), k=5).bins
    first, second, third, fourth = np.sin(bins[:4]) ** 2
    return float(first), float(second), float(third), float(fourth)
