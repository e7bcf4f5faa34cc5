"""Gradient-boosted trees, the strongest of the plain models, behind the interface of the networks.

They are grown by scikit-learn (histogram-based boosting after Ke et al. 2017, LightGBM, NeurIPS 30) and read out into
plain arrays of nodes: a checkpoint holds nothing that could run, and a tree is walked here, not there.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from lswarn.model.cells import Sample
from lswarn.model.encoder import Encoder, Encoding, tenths
from lswarn.model.forest import Forest, planted

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

LEARNING_RATE = 0.1
L2 = 1.0
LEAST_IN_LEAF = 20
MOST_TREES = 100
TREES_AT_ONCE = 25
"""Trees grown before it is asked whether the newest of them still helped; if none did, no more are grown."""
LEAVES = (2, 5, 15)
"""Leaves a tree may have: the first that is best on inner held-out ground."""
TREES_UNTRIED, LEAVES_UNTRIED = 50, 15
"""What is grown where there is no ground to choose by."""

LEVELS = 255
"""Values of an input that a threshold may lie between: as many as scikit-learn tells apart."""

CELLS_AT_ONCE = 4096
"""Cells that a thread walks through a tree before it takes the next tree: they and the tree fit into its cache."""


@dataclass(frozen=True)
class Nodes:
    """Trees as arrays of their nodes, tree after tree, every node before its children.

    Attributes:
        feature: [N], the input that an inner node asks for; -1 is a leaf.
        threshold: [N], up to which the left child is next, and beyond which the right.
        left, right: [N], where the children of an inner node stand.
        value: [N], what a leaf adds to the log-odds.
        roots: [T], where each tree begins; the first at 0.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor

    def check(self, inputs: int, *, monotone: bool) -> None:
        """Prove that every walk over `inputs` inputs stays within its tree and ends, and if asked that rain only adds.

        Raises:
            ValueError: it is not so.
        """
        for name, kind in KINDS.items():
            given: Tensor = getattr(self, name)
            if given.dtype != kind or given.ndim != 1 or not len(given):
                raise ValueError(f"{name} of the trees is {given.dtype} {tuple(given.shape)}, not a row of {kind}")
        count = len(self.feature)
        if any(len(getattr(self, name)) != count for name in ("threshold", "left", "right", "value")):
            raise ValueError("the arrays of the trees' nodes are not of one length")
        feature, _, left, right, _, roots = (getattr(self, name).cpu().numpy() for name in KINDS)
        if roots[0] != 0 or (np.diff(roots) <= 0).any() or roots[-1] >= count:
            raise ValueError("the trees do not begin one after the other")
        at = np.arange(count)
        end = np.append(roots[1:], count)[np.searchsorted(roots, at, "right") - 1]  # of the tree a node is in
        inner = feature >= 0
        if (feature < -1).any() or (feature >= inputs).any():
            raise ValueError(f"a node asks for an input that is none of {inputs}")
        for child in (left, right):
            if ((child <= at) | (child >= end))[inner].any():
                raise ValueError("a child stands before its parent or outside its tree")
        if not (self.threshold.isfinite().all() and self.value.isfinite().all()):
            raise ValueError("a threshold or value of the trees is no number")
        if monotone and not self._only_rises(inputs - 1):
            raise ValueError("a tree falls as rain rises")

    def _only_rises(self, rain: int) -> bool:
        """Whether at every node that asks for rain the leaves to the left are at most those to the right."""
        feature, left, right, value = (getattr(self, name).tolist() for name in ("feature", "left", "right", "value"))
        least, most = list(value), list(value)  # among the leaves below each node, children first
        for i in reversed([i for i, asked in enumerate(feature) if asked >= 0]):
            low, high = left[i], right[i]
            if feature[i] == rain and most[low] > least[high]:
                return False
            least[i], most[i] = min(least[low], least[high]), max(most[low], most[high])
        return True


KINDS = {
    "feature": torch.int32,
    "threshold": torch.float64,
    "left": torch.int32,
    "right": torch.int32,
    "value": torch.float64,
    "roots": torch.int32,
}


class Boosting(nn.Module):
    """Boosted trees of the encoded factors and the day's rain, up to the most trained on; unknown rain counts as none.

    A cell's log-odds are the sum of one leaf of each tree, in float64 and in the order of the trees: the same bytes
    whatever block the cell is asked in. Where the trees are monotone, each of them never falls as rain rises, hence nor
    does the sum, rounding included. They are walked on the CPU, wherever the tensors are.

    Args:
        encoding: what raw factors are scaled by.
        monotone: whether more rain may never lower the log-odds; trees that are not so are refused.
        trees: left out, one leaf that says 0, to be replaced by `load_state_dict`.

    Raises:
        ValueError: the trees do not fit together, or fall as rain rises and may not. So does `load_state_dict`.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor

    def __init__(self, encoding: Encoding, monotone: bool, trees: Nodes | None = None) -> None:
        super().__init__()
        self.monotone = monotone
        self.rain_max_mm = encoding.rain_max_mm
        self._inputs = encoding.channels + 1
        self.encoder = Encoder(encoding)
        for name, kind in KINDS.items():
            self.register_buffer(name, torch.full((1,), -1 if name == "feature" else 0, dtype=kind))
        if trees is not None:
            self._plant(trees)
        self.train(False)

    def train(self, mode: bool = True) -> "Boosting":
        """Ready to be asked, always: this is not how trees learn, and the encoder must hide nothing from them."""
        return super().train(False)

    def forward(self, factors: Tensor, rain: Tensor) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]."""
        return self.response(factors)(rain)

    def response(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """What rain [B, S, H, W], mm, makes of the ground [B, 10, H, W], which is encoded only once.

        The logit has the type of the rain it is asked with.
        """
        with torch.inference_mode():
            return self.respond(self.encoder(factors))

    def respond(self, seen: Tensor) -> Callable[[Tensor], Tensor]:
        """The same of ground that is encoded already, [B, C, H, W]."""
        encoded = seen.detach().movedim(1, 3).cpu().numpy()  # (B, H, W, C)
        ground = np.ascontiguousarray(encoded).reshape(-1, self._inputs - 1)
        nodes = tuple(getattr(self, name).cpu().numpy() for name in KINDS)

        def logit(rain: Tensor) -> Tensor:
            batch, storms, height, width = rain.shape
            with torch.inference_mode():
                known = tenths(rain.nan_to_num(0.0)).clamp(max=self.rain_max_mm).movedim(1, 3)  # (B, H, W, S)
                falling = np.ascontiguousarray(known.double().cpu().numpy()).reshape(-1, storms)
            sums = walk(ground, falling, nodes).reshape(batch, height, width, storms)
            return torch.from_numpy(sums).movedim(3, 1).to(rain)

        return logit

    @property
    def forest(self) -> Forest:
        """The trees, laid out for many cells at once."""
        return planted(tuple(getattr(self, name).cpu().numpy() for name in KINDS), self._inputs - 1)

    def log_odds(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of single cells [n], by what the trees see of them [n, C + 1]: see `cells.Sample.inputs`."""
        nodes = tuple(getattr(self, name).cpu().numpy() for name in KINDS)
        ground, rain = inputs[:, :-1], tenths(torch.from_numpy(inputs[:, -1:]).double()).numpy()
        return walk(np.ascontiguousarray(ground), rain, nodes)[:, 0]

    def _plant(self, trees: Nodes) -> None:
        trees.check(self._inputs, monotone=self.monotone)
        for name in KINDS:
            setattr(self, name, getattr(trees, name).clone().to(self.value.device))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any, **named: Any) -> None:
        given = {name: state_dict[prefix + name] for name in KINDS if prefix + name in state_dict}
        if len(given) == len(KINDS):
            self._plant(Nodes(**given))  # of any size, which torch would refuse
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)


def walk(
    ground: NDArray[np.float32], rain: NDArray[np.float64], nodes: tuple[NDArray[Any], ...]
) -> NDArray[np.float64]:
    """Sum of one leaf of each tree.

    Args:
        ground: [n, C] encoded factors.
        rain: [n, S], mm, none NaN.
        nodes: the arrays of `Nodes`, proven by `Nodes.check`.

    Returns:
        [n, S].
    """
    sums = np.zeros(rain.shape)
    parts = [slice(first, first + CELLS_AT_ONCE) for first in range(0, len(ground), CELLS_AT_ONCE)]

    def go(part: slice) -> None:
        _walk(ground[part], rain[part], sums[part], *nodes)

    # Threads of our own: of two calls at a time, numba's parallel loops may abort the process.
    with ThreadPoolExecutor(min(len(parts) or 1, torch.get_num_threads(), os.cpu_count() or 1)) as pool:
        list(pool.map(go, parts))
    return sums


@njit(nogil=True)
def _walk(  # pragma: no cover (compiled)
    ground: NDArray[np.float32],
    rain: NDArray[np.float64],
    sums: NDArray[np.float64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float64],
    roots: NDArray[np.int32],
) -> None:
    of_rain = ground.shape[1]
    for root in roots:
        for i in range(len(ground)):
            for s in range(rain.shape[1]):
                node = root
                while feature[node] >= 0:
                    asked = feature[node]
                    given = rain[i, s] if asked == of_rain else np.float64(ground[i, asked])
                    node = left[node] if given <= threshold[node] else right[node]
                sums[i, s] += value[node]


def fit_boosting(
    encoding: Encoding,
    learn: Sample,
    inner: Sample | None,
    *,
    monotone: bool,
    seed: int,
    positive_weight: float | None = None,
    size: tuple[int, int] = (TREES_UNTRIED, LEAVES_UNTRIED),
) -> tuple[Boosting, dict[str, float]]:
    """Grow trees on a sample. The same inputs and seed grow the same ones.

    Args:
        inner: of ground held out from `learn`; how many trees of how many leaves is what makes the class-weighted
            log-loss least here. None, or without both labels: as `size` says.
        monotone: whether more rain may never lower the log-odds.
        positive_weight: class weight of landslide cells; left out, that of `learn`.
        size: trees, and leaves of each, where there is no choice.

    Returns:
        The model, and figures: `trees`, `leaves` and, where there was a choice, `inner_loss`.

    Raises:
        TrainingError: no cell of `learn` slid, or all did.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # seconds that only training needs to spend
    from threadpoolctl import threadpool_limits  # what scikit-learn itself limits its threads with

    balanced = learn.positive_weight
    weight = positive_weight or balanced
    x, cells = snapped(learn.inputs(encoding)), learn.weights(weight)

    def sapling(leaves: int) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(
            learning_rate=LEARNING_RATE,
            max_leaf_nodes=leaves,
            min_samples_leaf=LEAST_IN_LEAF,
            l2_regularization=L2,
            max_bins=LEVELS,
            monotonic_cst=[0] * encoding.channels + [int(monotone)],
            early_stopping=False,
            warm_start=True,
            random_state=seed,
        )

    def grow(model: HistGradientBoostingClassifier, trees: int) -> None:
        model.set_params(max_iter=trees).fit(x, learn.label, sample_weight=cells)

    def losses(model: HistGradientBoostingClassifier, by: Sample) -> list[float]:
        asked, counts = by.inputs(encoding), by.weights(weight)
        scores = model.staged_decision_function(asked)
        return [float(np.mean(counts * (np.logaddexp(0, score) - by.label * score))) for score in scores]

    # A thread a core is a sixth faster on two idle cores, and three times slower where others use them too.
    with threadpool_limits(1, user_api="openmp"):
        if inner is None or len(np.unique(inner.label)) < 2:
            trees, leaves = size
            grow(model := sapling(leaves), trees)
            figures = {}
        else:
            tried = []
            for leaves in LEAVES:
                model, best = sapling(leaves), (np.inf, 0)
                for trees in range(TREES_AT_ONCE, MOST_TREES + 1, TREES_AT_ONCE):
                    grow(model, trees)
                    best = min((loss, number) for number, loss in enumerate(losses(model, inner), 1))
                    if best[1] <= trees - TREES_AT_ONCE:
                        break
                tried.append((*best, leaves, model))
            loss, trees, leaves, model = min(tried, key=lambda each: each[:3])
            figures = {"inner_loss": loss}
    figures |= {"trees": float(trees), "leaves": float(leaves)}
    return Boosting(encoding, monotone, read_out(model, trees)), figures


def snapped(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each column of cells [n, inputs] at the nearest of `LEVELS` of its own values, at evenly spaced quantiles.

    scikit-learn then puts its thresholds halfway between neighbouring levels, and trees part the cells as they are just
    as they part them snapped. Left to find levels itself in weighted cells, it takes longer over them than over trees.
    """
    found = np.empty_like(x)
    for given, column in zip(x.T, found.T, strict=True):
        levels = np.unique(np.quantile(given, np.linspace(0, 1, LEVELS), method="nearest"))
        between = (levels[:-1].astype(np.float64) + levels[1:]) / 2
        column[:] = levels[np.searchsorted(between, given)]
    return found


def read_out(model: "HistGradientBoostingClassifier", trees: int) -> Nodes:
    """The first so many trees that scikit-learn grew, as its own `decision_function` adds them up.

    What it starts from becomes a tree of one leaf.
    """
    # No public way leads to the trees; a test holds the result against scikit-learn's own.
    start = np.zeros(1, model._predictors[0][0].nodes.dtype)
    start["value"], start["is_leaf"] = model._baseline_prediction.item(), True
    grown = [start, *(of_one_class.nodes for (of_one_class,) in model._predictors[:trees])]
    roots = np.cumsum([0, *(len(nodes) for nodes in grown)])[:-1]
    nodes = np.concatenate(grown)
    leaf = nodes["is_leaf"].astype(bool)
    beyond = np.repeat(roots, [len(each) for each in grown])
    read = {
        "feature": np.where(leaf, -1, nodes["feature_idx"]),
        "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
        "left": np.where(leaf, 0, nodes["left"] + beyond),
        "right": np.where(leaf, 0, nodes["right"] + beyond),
        "value": np.where(leaf, nodes["value"], 0.0),
        "roots": roots,
    }
    return Nodes(**{name: torch.from_numpy(values).to(KINDS[name]) for name, values in read.items()})
