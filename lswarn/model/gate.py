"""Whether a candidate may replace the champion: only if it is no worse where neither has ever been."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lswarn.model.evaluate import Evaluation
from lswarn.model.skill import finite


@dataclass(frozen=True)
class Criterion:
    """One figure of both.

    Attributes:
        name: what is compared, in words.
        candidate, champion: the figures, NaN where they could not be told.
        better_by: how much better the candidate's is; below 0 it is worse.
        silent: why the figure does not count; empty: it counts.
    """

    name: str
    candidate: float
    champion: float
    better_by: float
    silent: str = ""

    @property
    def held(self) -> bool:
        """Whether the candidate is no worse. What is unknown never wins; what does not count holds nobody back."""
        return bool(self.silent) or self.better_by >= 0

    def __str__(self) -> str:
        if self.silent:
            return f"{self.name}: not told, {self.silent}"
        if np.isnan(self.better_by):
            outcome = "cannot be compared"
        elif self.better_by == 0:
            outcome = "equal"
        else:
            outcome = f"{'better' if self.better_by > 0 else 'worse'} by {abs(self.better_by):.2g}"
        return f"{self.name} {self.candidate:.4g} (champion {self.champion:.4g}): {outcome}"


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Attributes:
        promoted: the candidate is no worse in anything that counts.
        reason: in words, with all figures.
        criteria: what was compared; empty where nothing could be.
    """

    promoted: bool
    reason: str
    criteria: tuple[Criterion, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON knows it: null for what is no number; each criterion also `in_words`."""
        told = [asdict(each) | {"held": each.held, "in_words": str(each)} for each in self.criteria]
        return dict(finite({"promoted": self.promoted, "reason": self.reason, "criteria": told}))


def better(candidate: Evaluation, champion: Evaluation) -> Verdict:
    """Whether a candidate may replace the champion: no worse on held-out ground, in the newest year, in calibration.

    Both must have been judged on the same cells; of the newest year, under the same rains, which neither learnt from.
    """
    if (candidate.snapshot_id, candidate.cells) != (champion.snapshot_id, champion.cells):
        return Verdict(
            False,
            f"not judged on the same cells ({candidate.cells} of snapshot {candidate.snapshot_id}, the champion "
            f"on {champion.cells} of {champion.snapshot_id}): the hold-out settings differ, promote by hand if meant",
        )
    criteria = tuple(_criteria(candidate, champion))
    held = all(each.held for each in criteria)
    opening = "no worse than the champion" if held else "worse than the champion, or not to be told"
    return Verdict(held, f"{opening}. {'; '.join(map(str, criteria))}", criteria)


def _criteria(candidate: Evaluation, champion: Evaluation) -> Iterator[Criterion]:
    ground = "on held-out ground"
    yield _more(f"AUC {ground}", candidate.auc, champion.auc)
    yield _less(f"Brier score {ground}", candidate.brier, champion.brier)
    year = f"AUC in the newest year ({_period(candidate)})" if candidate.newest_days else "AUC in the newest year"
    if not candidate.newest_days:
        silent = "no rain of it was kept from the candidate"
    elif candidate.newest_days != champion.newest_days:
        silent = "the champion learnt from it, or does not say what it learnt from"
    elif np.isnan([candidate.newest_auc, champion.newest_auc]).all():
        silent = "of its ground with factors and rain known, none slid, or none is known to have held"
    else:
        silent = ""
    yield _more(year, candidate.newest_auc, champion.newest_auc, silent)
    yield _less(f"calibration error {ground}", candidate.calibration_error, champion.calibration_error)


def _period(judged: Evaluation) -> str:
    first, last = min(judged.newest_days), max(judged.newest_days)
    return f"{first}" if first == last else f"{first} to {last}"


def _more(name: str, candidate: float, champion: float, silent: str = "") -> Criterion:
    return Criterion(name, candidate, champion, candidate - champion, silent)


def _less(name: str, candidate: float, champion: float) -> Criterion:
    return Criterion(name, candidate, champion, champion - candidate)
