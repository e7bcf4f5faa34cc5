"""From raw factors and rain to probabilities: the one way in which a trained network is asked."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch.nn import functional

from lswarn.errors import GridMismatch, ModelError
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.unet import halo


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

    Blocks that start at multiples of `2**depth` (all of `Grid.blocks` do), read with `halo` cells around them, NaN
    outside the grid, give the probabilities of one block over everything, whatever their size, to 1e-4 of themselves.
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
        self.halo = halo(checkpoint.config.depth)
        self.measure = checkpoint.measure
        self.rain_max_mm = checkpoint.rain_max_mm
        self._phase = 2**checkpoint.config.depth
        self._shift = np.log(checkpoint.positive_weight)
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
        beyond = (0, -width % self._phase, 0, -height % self._phase)
        with torch.inference_mode():
            x, r = (
                functional.pad(torch.from_numpy(np.ascontiguousarray(a)).to(self._device), beyond, value=torch.nan)
                for a in (factors, rain)
            )
            logit = self._network(x.unsqueeze(0), r.unsqueeze(0))[0, :, :height, :width].cpu().numpy()
        logit[np.isnan(rain) | np.isnan(factors).any(0)] = np.nan
        return logit - np.float32(self._shift)
