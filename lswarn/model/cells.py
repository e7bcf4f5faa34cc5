"""Single cells drawn at random from the ground: what the models learn from that see no neighbours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lswarn.errors import TrainingError
from lswarn.grid import Block
from lswarn.model.encoder import Encoder, Encoding
from lswarn.model.surroundings import CHANNELS, SEEN_AROUND, surroundings
from lswarn.sections import FACTORS

if TYPE_CHECKING:  # samples know checkpoints, which know all models, which know what they are fitted to
    from lswarn.model.samples import FactorReader, Observed

SCENES_AT_ONCE = 8


@dataclass(frozen=True)
class Sample:
    """Known cells, each under one rain, and how many of the ground each stands for.

    Attributes:
        factors: [10, n] in the order of `region.FACTORS`, raw units, none NaN.
        around: [5, n], see `surroundings`.
        rain: [n], mm, none NaN.
        label: [n], 1 slid and 0 did not.
        stands_for: [n], at least 1: all cells of the same label over those that were drawn.
    """

    factors: NDArray[np.float32]
    around: NDArray[np.float32]
    rain: NDArray[np.float32]
    label: NDArray[np.uint8]
    stands_for: NDArray[np.float64]

    def __add__(self, other: "Sample") -> "Sample":
        """Both, of grounds that share no cell."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Sample(*(np.concatenate(pair, -1) for pair in pairs))

    @property
    def positive_weight(self) -> float:
        """Class weight of landslide cells: a quarter of what would balance the ground, and at least 1.

        Raises:
            TrainingError: no cell slid, or all did.
        """
        slid, stable = (float(self.stands_for[self.label == label].sum()) for label in (1, 0))
        if not slid:
            raise TrainingError("no landslide lies where factors and rain are known: see `lswarn region check`")
        if not stable:
            raise TrainingError("every known cell slid, there is none to tell them from: see the rule for negatives")
        return max(1.0, stable / slid / 4)

    def weights(self, positive_weight: float) -> NDArray[np.float64]:
        """Weight [n] of each cell in a loss, 1 in the mean: what it stands for, times the class weight if it slid."""
        weight = np.where(self.label == 1, positive_weight, 1.0) * self.stands_for
        return weight / weight.mean()

    def inputs(self, encoding: Encoding, *, blurred: bool = False) -> NDArray[np.float32]:
        """What a model sees of each cell [n, C + 1]: the encoded factors, then rain, mm, up to the most trained on.

        Args:
            blurred: with what an `Encoder` shifts and hides while a network learns, here cell by cell.
        """
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(0)
            factors, around = (torch.from_numpy(part.T[:, :, None, None]) for part in (self.factors, self.around))
            encoded = Encoder(encoding).train(blurred)(factors, around)  # (n, C, 1, 1)
        rain = np.minimum(self.rain, np.float32(encoding.rain_max_mm))
        return np.column_stack([encoded[:, :, 0, 0].numpy(), rain])


def draw_cells(
    factors: "FactorReader",
    observed: "Observed",
    blocks: Iterable[Block],
    ground: Callable[[Block], NDArray[np.bool_]],
    scenes: Sequence[int],
    *,
    positives: int = 20_000,
    negatives: int = 100_000,
    seed: int,
) -> Sample:
    """Draw known cells, every one of the same label as likely as any other, in one pass and in bounded memory.

    Args:
        blocks: to draw from; no cell may be in two of them.
        ground: which cells of a block to draw from.
        scenes: positions in the snapshot's scenes; a cell under two of them is two cells.
        positives, negatives: cells to draw that slid and that did not; all, where there are not so many.
        seed: the same inputs and seed draw the same cells.
    """
    rng = np.random.default_rng(seed)
    drawn = {1: _Drawn(positives), 0: _Drawn(negatives)}
    for block in blocks:
        here = ground(block)
        if not here.any():
            continue
        wide = factors.read(block.with_halo(SEEN_AROUND))
        both = np.concatenate([wide, surroundings(torch.from_numpy(wide)[None])[0].numpy()])
        seen = np.ascontiguousarray(both[:, SEEN_AROUND:-SEEN_AROUND, SEEN_AROUND:-SEEN_AROUND])
        read = seen[: len(FACTORS)]
        for first in range(0, len(scenes), SCENES_AT_ONCE):
            cells = observed.at(block, read, scenes[first : first + SCENES_AT_ONCE])
            for label, rain in zip(cells.label, cells.rain, strict=True):
                for kind, kept in drawn.items():
                    kept.offer(rng, seen, rain, here & (label == kind))
    found = np.concatenate([kept.cells for kept in drawn.values()], 1)
    return Sample(
        found[: len(FACTORS)],
        found[len(FACTORS) : -1],
        found[-1],
        np.concatenate([np.full(len(kept.keys), kind, np.uint8) for kind, kept in drawn.items()]),
        np.concatenate([np.full(len(kept.keys), kept.offered / max(1, len(kept.keys))) for kept in drawn.values()]),
    )


class _Drawn:
    """The cells with the smallest of the random keys that each cell is given as it comes by: a fair draw of them all.

    Attributes:
        offered: how many came by.
        keys: of those kept, at most `most`, ascending.
        cells: factors, surroundings and rain [16, kept].
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.offered = 0
        self.keys = np.empty(0)
        self.cells = np.empty((len(FACTORS) + CHANNELS + 1, 0), np.float32)

    def offer(
        self,
        rng: np.random.Generator,
        ground: NDArray[np.float32],
        rain: NDArray[np.float32],
        chosen: NDArray[np.bool_],
    ) -> None:
        """Give the chosen cells of a block, ground [15, h, w] and rain [h, w], their chance."""
        at = np.flatnonzero(chosen)
        keys = rng.random(len(at))
        self.offered += len(at)
        if len(self.keys) == self._most:  # nearly none has a chance any more
            near = keys < self.keys[-1]
            at, keys = at[near], keys[near]
        cells = np.concatenate([ground.reshape(len(ground), -1)[:, at], rain.reshape(1, -1)[:, at]])
        keys = np.concatenate([self.keys, keys])
        kept = np.argsort(keys, kind="stable")[: self._most]
        self.keys = keys[kept]
        self.cells = np.concatenate([self.cells, cells], 1)[:, kept]
