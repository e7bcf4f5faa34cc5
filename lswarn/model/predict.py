"""From raw factors and rain to probabilities: the one way in which a trained network is asked."""

from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit
from torch import Tensor
from torch.nn import functional

from lswarn.errors import GridMismatch, ModelError
from lswarn.model.calibrate import rise, turned
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.faults import memory_told
from lswarn.model.networks import ChannelNetwork, MonotoneNetwork, Rising, phase, reach, rises
from lswarn.sections import FACTORS


def device_of(name: str) -> torch.device:
    """`auto` is a GPU if there is one.

    Raises:
        ModelError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is cuda, but no GPU can be used here; set LSWARN_DEVICE=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


class Predictor:
    """A checkpoint at work. Safe to share between threads.

    Blocks that start at multiples of the network's `phase` (all of `Grid.blocks` do), read with `halo` cells around
    them, NaN outside the grid, give the probabilities of one block over everything, whatever their size, to 1e-4 of
    themselves.
    Runs in float32: bfloat16 would be up to three times faster, but moves odds by up to four percent, which is enough
    to move cells from class to class.

    Attributes:
        model_id: of the checkpoint.
        breaks: ascending probabilities that part the five classes.
        halo: cells to read around a block.
        measure: name of what its rain is of seven days, as `rain.measures` has it.
        rain_max_mm: most rain of seven days trained on; more is judged as this much.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.model_id = checkpoint.id
        self.breaks = checkpoint.breaks
        self.halo = reach(checkpoint.config, checkpoint.size)
        self.measure = checkpoint.measure
        self.rain_max_mm = checkpoint.rain_max_mm
        self._phase = phase(checkpoint.config, checkpoint.size)
        self._shift = np.log(checkpoint.positive_weight)
        self._calibration = checkpoint.calibration
        self._device = device_of(device)
        self._network = checkpoint.network().to(self._device)

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
        # In float64 the logistic function keeps the order of any two float32 logits; in float32 it does not.
        return expit(self.log_odds(factors, rain).astype(np.float64)).astype(np.float32)

    def log_odds(self, factors: NDArray[np.float32], rain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithm of the odds of `probabilities`."""
        if factors.ndim != 3 or rain.ndim != 3 or factors.shape[1:] != rain.shape[1:]:
            raise GridMismatch(f"factors {factors.shape} and rain {rain.shape} do not cover the same cells")
        height, width = factors.shape[1:]
        with torch.inference_mode(), _memory_told(height, width):
            score = self._network(self._padded(factors), self._padded(rain))[0, :, :height, :width].cpu().numpy()
        score[np.isnan(rain) | np.isnan(factors).any(0)] = np.nan
        return rise(self._calibration, score - np.float32(self._shift)).astype(np.float32)

    def critical_rainfall(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The least 7-day rain under which each cell enters each class above the lowest: `probability` turned around.

        A cell is in a class or above exactly when its rain is at or above the class's critical rainfall; but for rains
        so near to it that float32 cannot tell, about one in a million.

        Args:
            factors: [10, H, W] in the order of `region.FACTORS`, raw units, NaN = unknown.

        Returns:
            [4, H, W], mm, in the model's measure of seven days, for the classes LOW to VERY_HIGH, never falling from
            one to the next, rounded up: of a rain-monotone network to the next float32, of any other model to 0.1 mm.
            0: in the class without rain. inf: no rain puts it there, for what exceeds `rain_max_mm` is judged as that
            much, whatever really fell. NaN: a factor is unknown.

        Raises:
            GridMismatch: not ten factors of a block.
            ModelError: more rain may lower what this model says, so there may be many such rains, or none.
        """
        network = self._network
        if isinstance(network, ChannelNetwork) or not rises(network):
            raise ModelError(
                f"model {self.model_id} may fall as rain rises, so it has no critical rainfall; train with "
                'rain = "monotone"'
            )
        if factors.ndim != 3 or len(factors) != len(FACTORS):
            raise GridMismatch(f"factors {factors.shape} are not those of a block, ({len(FACTORS)}, height, width)")
        height, width = factors.shape[1:]
        wanted = torch.from_numpy(rise(turned(self._calibration), logit(self.breaks)) + self._shift).to(self._device)
        with torch.inference_mode(), _memory_told(height, width):
            ground = self._padded(factors)
            exact = (
                network.critical_rain(ground, wanted)
                if isinstance(network, MonotoneNetwork)
                else self._sought(network, ground, wanted)
            )
        found = exact[0, :, :height, :width].cpu().numpy()
        critical = found.astype(np.float32)
        critical = np.where(critical < found, np.nextafter(critical, np.float32(np.inf)), critical)
        critical[:, np.isnan(factors).any(0)] = np.nan
        return critical

    def _sought(self, network: Rising, ground: Tensor, wanted: Tensor) -> Tensor:
        """Critical rain [1, 4, H, W], mm, of any model that rises and reads tenths, found by halving."""
        response = network.response(ground)
        wanted = wanted.view(1, -1, 1, 1)
        shape = (1, wanted.numel(), *ground.shape[2:])
        low = torch.full(shape, -1, dtype=torch.int32, device=ground.device)  # not reached, in tenths of a millimetre
        high = torch.full_like(low, int(np.ceil(10 * self.rain_max_mm)))  # reached, if ever
        most = high / 10
        never = response(most) < wanted
        while (high - low > 1).any():
            middle = (low + high) // 2
            reached = response(middle / 10) >= wanted
            low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
        return torch.where(never, torch.inf, high / 10)

    def _padded(self, values: NDArray[np.float32]) -> Tensor:
        """[C, H, W] as a batch of one whose height and width the network can halve, NaN beyond."""
        height, width = values.shape[1:]
        beyond = (0, -width % self._phase, 0, -height % self._phase)
        given = torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
        return functional.pad(given, beyond, value=torch.nan).unsqueeze(0)


def _memory_told(height: int, width: int) -> AbstractContextManager[None]:
    remedy = "lower LSWARN_BLOCK_CELLS for a day, model.base_width for a training"
    return memory_told(f"a block of {height} x {width} cells", remedy)
