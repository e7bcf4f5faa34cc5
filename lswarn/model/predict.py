"""From raw factors and rain to probabilities: the one way in which a trained network is asked."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from lswarn.errors import GridMismatch, ModelError
from lswarn.model.calibrate import rise
from lswarn.model.checkpoint import Checkpoint, load_checkpoint
from lswarn.model.faults import memory_told
from lswarn.model.inverse import Inverse
from lswarn.model.networks import ChannelNetwork, phase, reach, rises
from lswarn.sections import FACTORS


def device_of(name: str) -> torch.device:
    """`auto` is a GPU if there is one.

    Raises:
        ModelError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is cuda, but no GPU can be used here; set LSWARN_DEVICE=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Primed:
    """What a model says of a block under any rain, see `Predictor.prime`.

    Attributes:
        critical_mm: [4, H, W], mm, as `Predictor.critical_rainfall` gives it: 0 where a class needs no rain, inf where
            no rain brings it, NaN where a factor is unknown. Where it is a whole tenth of a millimetre, ten times it is
            whole in float32, and may not be so in float64.
        probability_dry: [H, W], 0..1, without rain; NaN where a factor is unknown.
        probability_most: [H, W], 0..1, under the most rain trained on and any beyond it; NaN alike.
    """

    critical_mm: NDArray[np.float32]
    probability_dry: NDArray[np.float32]
    probability_most: NDArray[np.float32]


class Predictor:
    """A checkpoint at work. Safe to share between threads.

    Blocks that start at multiples of the network's `phase` (all of `Grid.blocks` do), read with `halo` cells around
    them, NaN outside the grid, give the probabilities of one block over everything, whatever their size, to 1e-4 of
    themselves.
    Runs in the precision of the checkpoint, float32 unless its config says otherwise; on the CPU in the caller's thread
    alone, so that blocks can be done side by side and give the same bytes in any number of threads. A GPU adds up in
    another order: odds may differ from those of the CPU by 1e-4 of themselves in float32, 5e-2 in bfloat16.

    Attributes:
        model_id: of the checkpoint.
        breaks: ascending probabilities that part the five classes.
        halo: cells to read around a block.
        measure: name of what its rain is of seven days, as `rain.measures` has it.
        rain_max_mm: most rain of seven days trained on; more is judged as this much.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self._from: tuple[Path, str] | None = None
        self.model_id = checkpoint.id
        self.breaks = checkpoint.breaks
        self.halo = reach(checkpoint.config, checkpoint.size)
        self.measure = checkpoint.measure
        self.rain_max_mm = checkpoint.rain_max_mm
        self._phase = phase(checkpoint.config, checkpoint.size)
        self._shift = np.log(checkpoint.positive_weight)
        self._calibration = checkpoint.calibration
        self._device = device_of(device)
        self._network = network = checkpoint.network().to(self._device)
        self._inverse = None
        if not isinstance(network, ChannelNetwork) and rises(network):
            self._inverse, self._entered = Inverse(network, self.rain_max_mm), self._lowest()

    @property
    def rises(self) -> bool:
        """Whether more rain never lowers what it says, so that it has a critical rainfall."""
        return self._inverse is not None

    def __reduce__(self) -> Any:
        # To a worker goes the path, not the weights: it is sent with every block.
        return (load_predictor, self._from) if self._from else super().__reduce__()

    def probability(self, factors: NDArray[np.float32], rain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability that a cell slides under a 7-day rain.

        Args:
            factors: [10, H, W] in the order of `region.FACTORS`, raw units, NaN = unknown.
            rain: [H, W], mm, in the model's measure of seven days, NaN = unknown.

        Returns:
            [H, W], 0..1; NaN where any factor or the rain is NaN. With a monotone model more rain never gives less.

        Raises:
            GridMismatch: the shapes do not fit.
        """
        return self.probabilities(factors, rain[np.newaxis])[0]

    def probabilities(self, factors: NDArray[np.float32], rain: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `probability`, for several rains [S, H, W] over the same ground; a monotone model reads it only once."""
        return self._chances(self._score(factors, rain))

    def log_odds(self, factors: NDArray[np.float32], rain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithm of the odds of `probabilities`."""
        return self._odds(self._score(factors, rain))

    def _score(self, factors: NDArray[np.float32], rain: NDArray[np.float32]) -> NDArray[np.float32]:
        if factors.ndim != 3 or rain.ndim != 3 or factors.shape[1:] != rain.shape[1:]:
            raise GridMismatch(f"factors {factors.shape} and rain {rain.shape} do not cover the same cells")
        height, width = factors.shape[1:]
        with torch.inference_mode(), _memory_told(height, width), _one_thread():
            score = self._network(self._padded(factors), self._padded(rain))[0, :, :height, :width].cpu().numpy()
        score[np.isnan(rain) | np.isnan(factors).any(0)] = np.nan
        return score

    def critical_rainfall(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The least 7-day rain under which each cell enters each class above the lowest: `probability` turned around.

        A cell is in a class or above exactly when its rain, read in whole tenths of a millimetre, is at or above the
        class's critical rainfall.

        Args:
            factors: [10, H, W] in the order of `region.FACTORS`, raw units, NaN = unknown.

        Returns:
            [4, H, W], whole tenths of a millimetre in mm, in the model's measure of seven days, for the classes LOW to
            VERY_HIGH, never falling from one to the next. 0: in the class without rain. inf: no rain puts it there, for
            what exceeds `rain_max_mm` is judged as that much, whatever really fell. NaN: a factor is unknown.

        Raises:
            GridMismatch: not ten factors of a block.
            ModelError: more rain may lower what this model says, so there may be many such rains, or none.
        """
        return self.prime(factors).critical_mm

    def prime(self, factors: NDArray[np.float32]) -> Primed:
        """Critical rainfall, and the probabilities without rain and under the most: the ground is read only once.

        Args:
            factors: [10, H, W] in the order of `region.FACTORS`, raw units, NaN = unknown.

        Raises:
            GridMismatch, ModelError: as `critical_rainfall`.
        """
        if self._inverse is None:
            raise ModelError(
                f"model {self.model_id} may fall as rain rises, so it has no critical rainfall; train with "
                'rain = "monotone"'
            )
        if factors.ndim != 3 or len(factors) != len(FACTORS):
            raise GridMismatch(f"factors {factors.shape} are not those of a block, ({len(FACTORS)}, height, width)")
        height, width = factors.shape[1:]
        with torch.inference_mode(), _memory_told(height, width), _one_thread():
            found = self._inverse(self._padded(factors), self._entered)
        critical = found.reached_mm[:, :height, :width].copy()
        scores = np.stack([found.dry, found.most])[:, :height, :width]
        unknown = np.isnan(factors).any(0)
        critical[:, unknown] = np.nan
        scores[:, unknown] = np.nan
        return Primed(critical, *self._chances(scores))

    def _odds(self, score: NDArray[np.float32]) -> NDArray[np.float32]:
        return rise(self._calibration, score - np.float32(self._shift)).astype(np.float32)

    def _chances(self, score: NDArray[np.float32]) -> NDArray[np.float32]:
        # In float64 the logistic function keeps the order of any two float32 logits; in float32 it does not.
        return expit(self._odds(score).astype(np.float64)).astype(np.float32)

    def _lowest(self) -> NDArray[np.float32]:
        """The lowest float32 score in each class above the lowest; inf where none is.

        What a score is worth is worked out in float32: turned around by a formula, its rounding would be another.
        """
        order = np.array([-np.finfo(np.float32).max, np.finfo(np.float32).max], np.float32)
        low, high = (np.full(4, each, np.int64) for each in _placed(order))
        never = np.digitize(self._chances(order[1:]), self.breaks) <= np.arange(4)
        while (high - low > 1).any():
            middle = (low + high) // 2
            there = np.digitize(self._chances(_float_at(middle)), self.breaks) > np.arange(4)
            low, high = np.where(there, low, middle), np.where(there, middle, high)
        return np.where(never, np.float32(np.inf), _float_at(high))

    def _padded(self, values: NDArray[np.float32]) -> Tensor:
        """[C, H, W] as a batch of one whose height and width the network can halve, NaN beyond."""
        height, width = values.shape[1:]
        beyond = (0, -width % self._phase, 0, -height % self._phase)
        given = torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
        return functional.pad(given, beyond, value=torch.nan).unsqueeze(0)


def _placed(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Finite floats by their place in ascending order, 0 that of zero."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFF_FFFF), bits)


def _float_at(place: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float at a place."""
    return np.where(place < 0, -1, 1).astype(np.float32) * np.abs(place).astype(np.int32).view(np.float32)


def load_predictor(path: Path, device: str = "auto") -> Predictor:
    """A checkpoint at work, from its file; pickled by its path.

    Raises:
        CheckpointMismatch: the file is missing, damaged or made for other factors.
        ModelError: a GPU is asked for and there is none.
    """
    predictor = Predictor(load_checkpoint(path), device)
    predictor._from = (path, device)
    return predictor


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work in the caller's thread alone.

    Blocks are worked out side by side, a thread each; threads of torch's own would wait for each other at every
    operation. And one thread adds up in one order: the same bytes, whatever the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _memory_told(height: int, width: int) -> AbstractContextManager[None]:
    remedy = "lower LSWARN_BLOCK_CELLS for a day, model.base_width for a training"
    return memory_told(f"a block of {height} x {width} cells", remedy)
