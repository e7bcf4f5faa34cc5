"""What is made of seven days of rain: one number a cell. Pure.

Every measure is a weighted sum with weights of 0 or more, so more rain on any day never lowers it, and a sum over the
known days alone is a lower bound.
"""

from dataclasses import dataclass
from typing import Literal

WINDOW_DAYS = 7

MeasureName = Literal["sum", "ari", "effective"]


@dataclass(frozen=True)
class Measure:
    """A weighted sum over the seven days of a window.

    Attributes:
        name: `sum`, `ari`, or `effective-K`.
        weights: by days back, the window's own last day first.
        title: for people, as in `120 mm of …`.
    """

    name: str
    weights: tuple[float, ...]
    title: str


SUM = Measure("sum", (1.0,) * WINDOW_DAYS, "rain in 7 days")

_LHASA = tuple(1 / (back + 1) ** 2 for back in range(WINDOW_DAYS))
ARI = Measure("ari", tuple(weight / sum(_LHASA) for weight in _LHASA), "antecedent rainfall index of 7 days")
"""A weighted mean, mm/day, with weights 1/(k+1)², k days back (Kirschbaum & Stanley 2018, doi:10.1002/2017EF000715)."""


def effective(k: float) -> Measure:
    """Effective antecedent rainfall: the sum of K^i P_i, i days back (Bruce & Clark 1966). K is above 0, below 1."""
    weights = tuple(k**back for back in range(WINDOW_DAYS))
    return Measure(f"effective-{k:g}", weights, "effective rain of 7 days")


def find_measure(name: MeasureName, effective_k: float) -> Measure:
    """The measure that region.toml names."""
    return {"sum": SUM, "ari": ARI}.get(name) or effective(effective_k)
