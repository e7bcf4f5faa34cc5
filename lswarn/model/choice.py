"""The kind of model that a region is trained with where region.toml names none (door: disk).

It is what the newest evaluation found best, by measurement and not by taste.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from lswarn.errors import ModelError
from lswarn.model.skill import ModelSkill, finite
from lswarn.sections import Model

Chosen = Literal["unet", "boosting", "logistic", "blend", "ensemble"]

CANDIDATES: dict[str, Chosen] = {
    "unet-monotone": "unet",
    "boosting-monotone": "boosting",
    "logistic": "logistic",
    "blend": "blend",
    "ensemble": "ensemble",
}
"""Names in an evaluation of the models that may be chosen, and what `model.network` calls them: those under which more
rain can never lower a probability, and whose classes therefore have a critical rainfall."""
UNJUDGED: Chosen = "blend"
"""What is trained before there was an evaluation: what did best where the truth is known (`ops/bench/twin.py`)."""
TIE = 0.001
"""Mean AUC of the folds that is no difference; then the better Brier skill decides."""
CHOICE = Path("evaluations") / "choice.json"
"""Where a region's choice lies in its folder."""


@dataclass(frozen=True)
class Choice:
    """What an evaluation chose.

    Attributes:
        model: its name in the evaluation; `network`: what `model.network` calls it.
        evaluation: id, the name of the evaluation's folder.
        folds: as they were asked for.
        made_at: aware instant.
        fold_auc: AUC by fold of each candidate; None where there was nothing to tell by.
    """

    model: str
    network: Chosen
    evaluation: str
    folds: str
    made_at: datetime
    fold_auc: dict[str, tuple[float | None, ...]]


_JSON = TypeAdapter(Choice)


def choose(models: Sequence[ModelSkill], *, evaluation: str, folds: str, made_at: datetime) -> Choice | None:
    """The candidate with the best mean AUC of the folds; of those within `TIE` of it, the one of best Brier skill.

    Returns:
        None where not all candidates were judged: who was not asked has not lost. Unknown (NaN) figures never win.
    """
    judged = {model.name: model for model in models if model.name in CANDIDATES}
    known = [model for model in judged.values() if np.isfinite(model.fold_auc)]
    if judged.keys() != CANDIDATES.keys() or not known:
        return None
    most = max(model.fold_auc for model in known)
    near = [model for model in known if model.fold_auc >= most - TIE]
    best = max(near, key=lambda model: np.nan_to_num(model.overall.brier_skill, nan=-np.inf))
    fold_auc = {name: tuple(finite([fold.auc for fold in model.folds])) for name, model in judged.items()}
    return Choice(best.name, CANDIDATES[best.name], evaluation, folds, made_at, fold_auc)


def save_choice(choice: Choice, path: Path) -> None:
    """Write a choice in the place of the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as draft:
        part = Path(draft) / path.name
        part.write_bytes(_JSON.dump_json(choice, indent=1))
        part.replace(path)


def load_choice(path: Path) -> Choice | None:
    """The choice that was saved there; None where none ever was.

    Raises:
        ModelError: what is there cannot be read.
    """
    try:
        return _JSON.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"{path}: not a choice of `lswarn evaluate` ({type(error).__name__}); evaluate again, or name "
            "model.network in region.toml"
        ) from error


def load_kind(config: Model, path: Path) -> Model:
    """Settings that name a network: those given if they do, else with the one that was chosen, else with `UNJUDGED`.

    Args:
        config: as region.toml has it.
        path: of the region's choice.

    Raises:
        ModelError: what is there cannot be read; or rain is to be a channel, of no network in particular.
    """
    if config.network is not None:
        return config
    if config.rain == "channel":
        raise ModelError(
            'model.rain is "channel" and no network is named, but what is chosen can only rise with rain; name '
            "model.network in region.toml, or take rain out"
        )
    choice = load_choice(path)
    return config.model_copy(update={"network": choice.network if choice else UNJUDGED})
