"""Models turned around: the least rain under which each cell reaches a score, in whole tenths of a millimetre.

What a model says under a rain is worked out with the very operations, in the very order, by which the model itself does
it, in float32; so the model says so from exactly the rain found on.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from lswarn.model.boosting import Boosting
from lswarn.model.encoder import tenths
from lswarn.model.forest import Forest, by_level
from lswarn.model.linear import Linear
from lswarn.model.networks import KNOTS_MM, Ensemble, MonotoneNetwork, Rising
from lswarn.model.surroundings import surroundings

CELLS_AT_ONCE = 512
"""Cells of which all is worked out before the next are begun: what is known of them fits into the cache."""

STRIP_ROWS = 32
"""Rows of a block that are encoded at a time."""

NO_FOREST = Forest(
    feature=np.zeros(0, np.int32),
    threshold=np.zeros(0, np.float32),
    kept=np.zeros(0, np.uint16),
    nodes=np.zeros(1, np.int64),
    rain_threshold=np.zeros(0),
    rain_kept=np.zeros(0, np.uint16),
    rains=np.zeros(1, np.int64),
    value=np.zeros(0),
    leaves=np.zeros(0, np.int64),
)


@dataclass(frozen=True)
class Turned:
    """What was found of a block.

    Attributes:
        reached_mm: [K, H, W], for each score the least rain that brings it, 0 where it needs none, inf where none does.
        dry, most: [H, W], scores without rain and under the most rain trained on.
    """

    reached_mm: NDArray[np.float32]
    dry: NDArray[np.float32]
    most: NDArray[np.float32]


class Inverse:
    """A model turned around. Safe to share between threads.

    Three kinds of models can be asked together, each for weight · (what it says - shift): a network, which between two
    knots says `start + rise · within`; trees, which rise at some rains and are level between them; and a weighted sum,
    to which a rain adds the same everywhere. Any model under which rain can only raise a score is one of these, or an
    ensemble of them.
    """

    def __init__(self, network: Rising, rain_max_mm: float) -> None:
        self._encoder = network.encoder
        self._network: MonotoneNetwork | None = None
        self._line: Linear | None = None
        self._forest, self._channels = NO_FOREST, 0
        rain = torch.arange(int(np.ceil(10 * rain_max_mm)) + 1, dtype=torch.int32) / 10
        known = rain.clamp(max=rain_max_mm)
        self._mm = rain.numpy()
        # Of each rain: the piece between two knots it lies in, and how far in it.
        knots = torch.tensor(KNOTS_MM)
        self._piece = (torch.searchsorted(knots, known, right=True) - 1).clamp(max=len(KNOTS_MM) - 2).int().numpy()
        shape = torch.stack([((known - low) / (high - low)).clamp(0, 1) for low, high in pairwise(KNOTS_MM)])
        self._within = shape.numpy()[self._piece, np.arange(len(known))]
        self._added = np.zeros(len(rain), np.float32)
        self._weights, self._shifts = np.zeros(3, np.float32), np.zeros(3, np.float32)
        members: list[tuple[object, float, float]] = [(network, 1.0, 0.0)]
        if isinstance(network, Ensemble):
            weights, shifts = network.weights.tolist(), network.shifts.tolist()
            members = list(zip(network.members.values(), weights, shifts, strict=True))
        for member, weight, shift in members:
            if not weight:
                continue
            if isinstance(member, MonotoneNetwork):
                at, self._network = 0, member
            elif isinstance(member, Boosting):
                at, self._forest = 1, member.forest
            elif isinstance(member, Linear):
                at, self._line = 2, member
                self._added = member.added(rain.to(member.bias.device)).cpu().numpy()
            self._weights[at], self._shifts[at] = weight, shift
        # A tree's threshold is exceeded from one tenth on; the tenths at which any is are the levels.
        read = tenths(rain).clamp(max=rain_max_mm).double().numpy()
        begins = np.searchsorted(read, self._forest.rain_threshold, side="right")
        levels = np.unique(np.append(begins[begins < len(read)], 0))
        self._levels = len(levels)
        self._level = np.where(begins < len(read), np.searchsorted(levels, begins), len(levels))
        self._level_of = np.searchsorted(levels, np.arange(len(read)), side="right").astype(np.int32) - 1

    def __call__(self, factors: Tensor, wanted: NDArray[np.float32]) -> Turned:
        """Turn it around over a block.

        Args:
            factors: [1, 10, H, W], raw, on the model's device.
            wanted: [K], scores, ascending.

        Returns:
            What was found, of every cell, whether its factors are known or not.
        """
        around = surroundings(factors)
        height, width = factors.shape[2:]
        # A network sees far. Whatever looks at no neighbour is asked by strips that the cache can hold.
        rows = height if self._network is not None else STRIP_ROWS
        strips = [slice(first, first + rows) for first in range(0, height, rows)]
        found = [self._turned(factors[:, :, strip], around[:, :, strip], wanted) for strip in strips]
        reached, ends = (np.concatenate(each, 1).reshape(-1, height, width) for each in zip(*found, strict=True))
        return Turned(np.append(self._mm, np.float32(np.inf))[reached], *ends)

    def _turned(
        self, factors: Tensor, around: Tensor, wanted: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of a strip of n cells: the tenths [K, n], one more than the most where there are none, and ends [2, n]."""
        cells = factors.shape[2] * factors.shape[3]
        encoded = self._encoder(factors, around)
        parts = np.zeros((cells if self._weights[0] else 0, len(KNOTS_MM)), np.float32)
        ground = np.zeros(cells if self._weights[2] else 0, np.float32)
        seen = np.zeros((0, cells), np.float32)
        if self._network is not None:
            start, rise = self._network.parts(encoded)
            both = torch.cat([start, rise], 1)[0].float().movedim(0, 2)  # a cell's side by side
            parts = np.ascontiguousarray(both.cpu().numpy()).reshape(cells, -1)
        if self._line is not None:
            ground = self._line.ground(encoded).flatten().cpu().numpy()
        if self._weights[1]:
            seen = encoded[0].reshape(-1, cells).cpu().numpy()
        forest = self._forest
        found = np.empty((len(wanted), cells), np.int32)
        ends = np.empty((2, cells), np.float32)
        _search(
            wanted, self._weights, self._shifts, parts, self._piece, self._within, ground, self._added,
            seen, self._levels, self._level, self._level_of,
            forest.feature, forest.threshold, forest.kept, forest.nodes, forest.rain_kept, forest.rains, forest.value,
            forest.leaves, CELLS_AT_ONCE, found, ends,
        )  # fmt: skip
        return found, ends


@njit(nogil=True, cache=True)
def _scores(  # pragma: no cover (compiled)
    cells: NDArray[np.int32],
    rains: NDArray[np.int32],
    weights: NDArray[np.float32],
    shifts: NDArray[np.float32],
    upto: NDArray[np.float32],
    rises: NDArray[np.float32],
    piece: NDArray[np.int32],
    within: NDArray[np.float32],
    told: NDArray[np.float32],
    level_of: NDArray[np.int32],
    ground: NDArray[np.float32],
    added: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """What the model says of some cells of a row under as many rains, in tenths; see `_search`."""
    for i in range(len(cells)):
        scores[i] = 0
    if weights[0] > 0:
        for i in range(len(cells)):
            k = piece[rains[i]]
            said = upto[cells[i], k] + rises[cells[i], k] * within[rains[i]]
            scores[i] += weights[0] * (said - shifts[0])
    if weights[1] > 0:
        for i in range(len(cells)):
            scores[i] += weights[1] * (told[level_of[rains[i]], cells[i]] - shifts[1])
    if weights[2] > 0:
        for i in range(len(cells)):
            scores[i] += weights[2] * (ground[cells[i]] + added[rains[i]] - shifts[2])


@njit(nogil=True, cache=True)
def _halved(  # pragma: no cover (compiled)
    wanted: NDArray[np.float32],
    weights: NDArray[np.float32],
    shifts: NDArray[np.float32],
    upto: NDArray[np.float32],
    rises: NDArray[np.float32],
    piece: NDArray[np.int32],
    within: NDArray[np.float32],
    told: NDArray[np.float32],
    level_of: NDArray[np.int32],
    ground: NDArray[np.float32],
    added: NDArray[np.float32],
    found: NDArray[np.int32],
    ends: NDArray[np.float32],
) -> None:
    """Halve the rains between none and the most, for each score and all cells of a row that it is reached in.

    Args:
        found: [K, n], the tenths found, one more than the most where there are none.
        ends: [2, n], the scores without rain and under the most.
    """
    count, last = ends.shape[1], len(added) - 1
    cells, low, high = np.arange(count).astype(np.int32), np.zeros(count, np.int32), np.full(count, last, np.int32)
    middle, scores = np.empty(count, np.int32), np.empty(count, np.float32)
    _scores(cells, low, weights, shifts, upto, rises, piece, within, told, level_of, ground, added, ends[0])
    _scores(cells, high, weights, shifts, upto, rises, piece, within, told, level_of, ground, added, ends[1])
    for k in range(len(wanted)):
        some = 0
        for i in range(count):
            if ends[0, i] >= wanted[k]:
                found[k, i] = 0
            elif ends[1, i] >= wanted[k]:
                cells[some], high[some] = i, last
                low[some] = max(found[k - 1, i] - 1, 0) if k else 0  # reached no earlier than the score before
                some += 1
            else:
                found[k, i] = last + 1
        few = some
        while few:
            for i in range(some):
                middle[i] = (low[i] + high[i]) >> 1
            _scores(
                cells[:some], middle, weights, shifts, upto, rises, piece, within, told, level_of, ground, added, scores
            )
            few = 0
            for i in range(some):
                there = scores[i] >= wanted[k]
                low[i], high[i] = low[i] if there else middle[i], middle[i] if there else high[i]
                few += high[i] - low[i] > 1
        for i in range(some):
            found[k, cells[i]] = high[i]


@njit(nogil=True, cache=True)
def _search(  # pragma: no cover (compiled)
    wanted: NDArray[np.float32],
    weights: NDArray[np.float32],
    shifts: NDArray[np.float32],
    parts: NDArray[np.float32],
    piece: NDArray[np.int32],
    within: NDArray[np.float32],
    ground: NDArray[np.float32],
    added: NDArray[np.float32],
    seen: NDArray[np.float32],
    levels: int,
    level: NDArray[np.int64],
    level_of: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    kept: NDArray[np.unsignedinteger],
    nodes: NDArray[np.int64],
    rain_kept: NDArray[np.unsignedinteger],
    rains: NDArray[np.int64],
    value: NDArray[np.float64],
    leaves: NDArray[np.int64],
    at_once: int,
    found: NDArray[np.int32],
    ends: NDArray[np.float32],
) -> None:
    """Row by row of so many cells: ask the trees, and search.

    Args:
        parts: [n, 1 + pieces], of the network: what it says without rain, then the rise of each piece; [0, _]: none.
        ground: [n], of the weighted sum; [0]: none.
        seen: [C, n], what trees see.
        found, ends: as `_halved` leaves them.
    """
    count, pieces = found.shape[1], parts.shape[1] - 1
    here = np.zeros((seen.shape[0], at_once), np.float32)
    sums, told = np.zeros((levels, at_once)), np.zeros((levels, at_once), np.float32)
    upto, rises = np.zeros((at_once, pieces), np.float32), np.zeros((at_once, pieces), np.float32)
    base = np.zeros(at_once, np.float32)
    reached, bounds = np.zeros((len(wanted), at_once), np.int32), np.zeros((2, at_once), np.float32)
    for begin in range(0, count, at_once):
        some = min(at_once, count - begin)  # beyond the last cell stands what stood there before, and is not kept
        if weights[0] > 0:
            for i in range(some):
                total = parts[begin + i, 0]
                for k in range(pieces):
                    rises[i, k], upto[i, k] = parts[begin + i, k + 1], total
                    total += parts[begin + i, k + 1]
        if weights[1] > 0:
            here[:, :some] = seen[:, begin : begin + some]
            by_level(here, level, feature, threshold, kept, nodes, rain_kept, rains, value, leaves, sums)
            told[:] = sums
        if weights[2] > 0:
            base[:some] = ground[begin : begin + some]
        _halved(wanted, weights, shifts, upto, rises, piece, within, told, level_of, base, added, reached, bounds)
        found[:, begin : begin + some] = reached[:, :some]
        ends[:, begin : begin + some] = bounds[:, :some]
