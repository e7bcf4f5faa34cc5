"""Whether ground and rain are still as they were when a model learnt from them: the population stability index (PSI).

    PSI = sum over bins of (share now - share then) · ln(share now / share then)

It is the symmetric divergence of Jeffreys (1946). That less than 0.1 is little and more than 0.25 is much is a
convention of credit scoring (Siddiqi 2006, Credit Risk Scorecards), not a test: cells next to each other are alike, so
no number of them makes such a limit significant (Yurdakul and Naranjo 2020, Statistical properties of the population
stability index). A shifted factor says where to look. Whether the model has become worse, only landslides can say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lswarn.model.encoder import CONTINUOUS
from lswarn.sections import FACTORS

RAIN = "rain"
SUBJECTS = (*FACTORS, RAIN)
GROUND = "ground"
"""What a factor's drift is of; the rain's is of a period."""

TENTHS = np.linspace(0, 1, 11)
FLOOR = 1e-4
"""A bin that is empty on one side counts as holding one in ten thousand: else one odd cell would be infinitely far."""

LITTLE, MUCH = 0.1, 0.25


@dataclass(frozen=True)
class Shift:
    """How far one subject has moved.

    Attributes:
        of: `GROUND`, or the period whose rain it is.
        subject: one of `SUBJECTS`.
        psi: NaN: nothing is known of it now.
        cells: how many known values that was told by.
    """

    of: str
    subject: str
    psi: float
    cells: int

    @property
    def word(self) -> str:
        """`stable`, `look`, `shifted`, or `not told`, by the convention."""
        if np.isnan(self.psi):
            return "not told"
        return "stable" if self.psi < LITTLE else "look" if self.psi <= MUCH else "shifted"


@dataclass(frozen=True)
class Reference:
    """How ground and rain were spread when a model learnt from them.

    Attributes:
        bins: of each of `SUBJECTS`: ascending edges between bins, each of which belongs to the bin above it; or codes
            of classes; of the aspect none, its bins are eight directions from north, and flat.
        shares: of the cells in each bin. Continuous ones have a bin below the least and one above the most that was
            seen, classes one for all codes not seen: what lies there is new.
    """

    bins: dict[str, tuple[float, ...]]
    shares: dict[str, tuple[float, ...]]

    @classmethod
    def measured(cls, cells: NDArray[np.float32], rain: NDArray[np.float32]) -> Self:
        """From sampled cells [10, n] and rain, mm, of any shape, as `Encoding.measured` gets; NaN is skipped.

        Continuous factors and rain are cut into tenths of the cells; fewer where many cells have one value.
        """
        values = _by_subject(cells, rain)
        bins = {name: _bins(name, known) for name, known in values.items()}
        shares = {name: tuple(_shares(name, bins[name], known).tolist()) for name, known in values.items()}
        return cls(bins, shares)


def psi(then: ArrayLike, now: ArrayLike) -> float:
    """Population stability index of the shares of the same bins, 0 where they are alike; NaN if a share is."""
    a, b = np.maximum(then, FLOOR), np.maximum(now, FLOOR)
    return float(((b - a) * np.log(b / a)).sum())


def drift(
    reference: Reference, cells: NDArray[np.float32], rain: NDArray[np.float32], period: str = RAIN
) -> tuple[Shift, ...]:
    """How far each of `SUBJECTS` has moved from the reference.

    Args:
        cells: factors [10, n], NaN skipped.
        rain: mm, of any shape, NaN skipped.
        period: what the rain is of, as `Shift.of` tells it.
    """
    return tuple(
        Shift(
            of=period if name == RAIN else GROUND,
            subject=name,
            psi=psi(reference.shares[name], _shares(name, reference.bins[name], known)),
            cells=known.size,
        )
        for name, known in _by_subject(cells, rain).items()
    )


def in_words(shifts: Sequence[Shift]) -> str:
    """The shifted ones named, then those to look at, then those of which nothing is known; one sentence."""
    told = [
        f"{word}: {', '.join(f'{each.subject} ({each.psi:.2f})' for each in named)}"
        for word in ("shifted", "look")
        if (named := sorted((each for each in shifts if each.word == word), key=lambda each: -each.psi))
    ]
    unknown = [each.subject for each in shifts if np.isnan(each.psi)]
    if not told and len(unknown) < len(shifts):
        told.append("the others stable" if unknown else "all stable")
    if unknown:
        told.append(f"not told: {', '.join(unknown)}")
    return "; ".join(told)


def _by_subject(cells: NDArray[np.float32], rain: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    values = dict(zip(SUBJECTS, [*np.asarray(cells, float), np.asarray(rain, float).ravel()], strict=True))
    return {name: of[~np.isnan(of)] for name, of in values.items()}


def _bins(name: str, known: NDArray[np.float64]) -> tuple[float, ...]:
    if name == "aspect" or not known.size:
        return ()
    if name not in (*CONTINUOUS, RAIN):
        return tuple(np.unique(known).tolist())
    inner = np.quantile(known, TENTHS[:-1], method="lower")
    return tuple(np.unique([*inner, np.nextafter(known.max(), np.inf)]).tolist())


def _shares(name: str, bins: tuple[float, ...], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where nothing is known."""
    if name == "aspect":
        place, count = np.where(known < 0, 8, (known + 22.5) % 360 // 45).astype(int), 9
    elif name in (*CONTINUOUS, RAIN):
        place, count = np.digitize(known, bins), len(bins) + 1
    else:
        codes, count = np.array([*bins, np.inf]), len(bins) + 1
        place = np.searchsorted(codes, known)
        place[codes[place] != known] = len(bins)
    with np.errstate(invalid="ignore"):
        return np.bincount(place, minlength=count) / np.float64(known.size)
