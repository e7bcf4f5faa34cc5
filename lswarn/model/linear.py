"""The plainest models: a weighted sum of the inputs, and slope alone. Any other must beat them to be worth its trouble.

Logistic regression is what most published susceptibility maps are made with (Reichenbach et al. 2018, doi
10.1016/j.earscirev.2018.03.001).
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lswarn.model.cells import Sample
from lswarn.model.encoder import CONTINUOUS, Encoder, Encoding, tenths

RAIN_UNIT_MM = 100.0
"""Rain enters in this unit, so that its weight is of the size of the others and is held back no more than they are."""

STRENGTH = 1.0
"""C of scikit-learn: the inverse of how strongly weights are held back; with thousands of cells, hardly."""


class Linear(nn.Module):
    """A weighted sum of the encoded factors and of the day's rain, up to the most trained on; unknown rain is none.

    Args:
        encoding: what raw factors are scaled by.

    Attributes:
        weight: [C], of the encoded factors.
        rain_weight: of 100 mm of rain; not negative, hence more rain never lowers the logit.
        bias: logit of mean ground without rain.
    """

    weight: Tensor
    rain_weight: Tensor
    bias: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.rain_max_mm = encoding.rain_max_mm
        self.encoder = Encoder(encoding)
        self.register_buffer("weight", torch.zeros(encoding.channels))
        self.register_buffer("rain_weight", torch.zeros(()))
        self.register_buffer("bias", torch.zeros(()))
        self.train(False)

    def train(self, mode: bool = True) -> "Linear":
        """Ready to be asked, always: this is not how it learns, and the encoder must hide nothing from it."""
        return super().train(False)

    def log_odds(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of single cells [n], by what is weighed of them [n, C + 1]: see `cells.Sample.inputs`."""
        ground = inputs[:, :-1].astype(np.float64) @ self.weight.double().numpy()
        return ground + float(self.rain_weight) / RAIN_UNIT_MM * inputs[:, -1] + float(self.bias)

    def forward(self, factors: Tensor, rain: Tensor) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]."""
        return self.response(factors)(rain)

    def response(self, factors: Tensor) -> Callable[[Tensor], Tensor]:
        """What rain [B, S, H, W], mm, makes of the ground [B, 10, H, W], which is encoded only once."""
        return self.respond(self.encoder(factors))

    def respond(self, seen: Tensor) -> Callable[[Tensor], Tensor]:
        """The same of ground that is encoded already, [B, C, H, W]."""
        ground = self.ground(seen)
        return lambda rain: ground + self.added(rain)

    def ground(self, seen: Tensor) -> Tensor:
        """What encoded ground [B, C, H, W] is worth without rain, [B, 1, H, W]."""
        return self.bias + (seen * self.weight.view(-1, 1, 1)).sum(1, keepdim=True)

    def added(self, rain: Tensor) -> Tensor:
        """What rain, mm, of any shape adds to it, wherever it falls."""
        return self.rain_weight * (tenths(rain.nan_to_num(0.0)).clamp(max=self.rain_max_mm) / RAIN_UNIT_MM)


def fit_linear(encoding: Encoding, learn: Sample, *, slope_only: bool, positive_weight: float | None = None) -> Linear:
    """Logistic regression on a sample, landslides weighted up.

    Args:
        slope_only: of the slope and nothing else, not even rain.
        positive_weight: class weight of landslide cells; left out, that of `learn`.

    Where the sample says that rain makes landslides rarer, which it can by chance alone, rain is left out.

    Raises:
        TrainingError: no cell of `learn` slid, or all did.
    """
    x = learn.inputs(encoding, blurred=True).astype(np.float64)
    x[:, -1] /= RAIN_UNIT_MM
    balanced = learn.positive_weight
    weights = learn.weights(positive_weight or balanced)
    rain = encoding.channels
    used = [CONTINUOUS.index("slope")] if slope_only else list(range(rain + 1))
    found, bias = _fitted(x, used, learn.label, weights)
    if found[rain] < 0:
        found, bias = _fitted(x, used[:-1], learn.label, weights)
    model = Linear(encoding)
    state = {"weight": found[:rain], "rain_weight": found[rain], "bias": np.asarray(bias)}
    model.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in state.items()})
    return model


def _fitted(
    x: NDArray[np.float64], used: list[int], label: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Weight of each column of x, 0 where it is not used, and the bias."""
    from sklearn.linear_model import LogisticRegression  # seconds that only training needs to spend

    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(x[:, used], label, sample_weight=weights)
    found = np.zeros(x.shape[1])
    found[used] = model.coef_[0]
    return found, float(model.intercept_[0])
