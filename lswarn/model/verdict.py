"""What beats what, in sentences for readers who did not make the evaluation. Pure.

A difference below `choice.TIE` is called none, and how many folds agree is always said: with a handful of folds that
tells more than any test of significance.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from lswarn.model.choice import CANDIDATES, TIE, Choice
from lswarn.model.skill import ModelSkill

NETWORKS, BOOSTINGS = ("unet-monotone", "unet-channel"), ("boosting-monotone", "boosting")
"""Which is spoken of as the network, and as gradient boosting: the first that was judged."""
RIVALS = ("bpnn", "resnet")
PLAIN = {"slope": "the slope alone", "logistic": "a logistic regression"}


def verdict(models: Sequence[ModelSkill], choice: Choice | None, named: str | None) -> tuple[str, ...]:
    """The sentences; none about what was not judged or cannot be told.

    Args:
        choice: what came of it, if anything.
        named: the network that region.toml names, if any.
    """
    by_name = {model.name: model for model in models if np.isfinite(model.fold_auc)}
    network, boosting = (_first(by_name, names) for names in (NETWORKS, BOOSTINGS))
    said = []
    if network and boosting:
        said.append(_network_and_boosting(network, boosting))
        if ensemble := by_name.get("ensemble"):
            better = max(network, boosting, key=lambda model: model.fold_auc)
            said.append(f"The ensemble, of both and a logistic regression, is {_held(ensemble, better)}.")
            if blend := by_name.get("blend"):
                said.append(f"Without the network (blend) it would be {_held(blend, ensemble)}.")
    if network and (rivals := [by_name[name] for name in RIVALS if name in by_name]):
        said.append(f"Held against its rivals, {network.name} is {_and([_held(network, rival) for rival in rivals])}.")
    if len(pair := [by_name[name] for name in NETWORKS if name in by_name]) == 2:
        said.append(
            f"Rain that can only raise the probability, instead of rain as one more channel: {pair[0].name} is "
            f"{_held(*pair)}."
        )
    if plain := [f"{what} comes to {by_name[name].fold_auc:.3f}" for name, what in PLAIN.items() if name in by_name]:
        best = max(by_name.values(), key=lambda model: model.fold_auc)
        beaten = f"{best.name} comes to {best.fold_auc:.3f}" if best.name not in PLAIN else "nothing here does better"
        said.append(f"With little effort {_and(plain)}; {beaten}.")
    return (*said, *_chosen(by_name, choice, named))


def _network_and_boosting(network: ModelSkill, boosting: ModelSkill) -> str:
    ahead = network.fold_auc - boosting.fold_auc
    beats, by = ("beats", f"by {ahead:.3f}") if ahead > TIE else ("does not beat", f"it is {-ahead:.3f} behind")
    if abs(ahead) <= TIE:
        by = "the two are level"
    return (
        f"The network ({network.name}) {beats} gradient boosting ({boosting.name}) here, {by}: mean AUC of the folds "
        f"{network.fold_auc:.3f} against {boosting.fold_auc:.3f}, ahead in {folds_won(network, boosting)} folds."
    )


def _chosen(by_name: Mapping[str, ModelSkill], choice: Choice | None, named: str | None) -> tuple[str, ...]:
    candidates = _and(list(CANDIDATES))
    if choice is None:
        return (
            f"No kind of model was chosen for the region: that takes {candidates}, judged together on the same folds.",
        )
    most = max((by_name[name] for name in CANDIDATES if name in by_name), key=lambda model: model.fold_auc)
    why = f"of {candidates}, which more rain can only raise, it does best on unseen ground"
    if most.name != choice.model:
        why = f"it is as good as {most.name} (within {TIE:g} of its AUC) and its probabilities are better"
    if named is not None:
        return (
            f'region.toml names network = "{named}", and that is what lswarn trains. Were it left out, lswarn would '
            f"train {choice.model}: {why}.",
        )
    return (f"lswarn will train {choice.model} here: {why}.",)


def _first(by_name: Mapping[str, ModelSkill], names: Sequence[str]) -> ModelSkill | None:
    return next((by_name[name] for name in names if name in by_name), None)


def _held(one: ModelSkill, other: ModelSkill) -> str:
    """One held against another: by how much ahead or behind, and in how many folds ahead."""
    ahead = one.fold_auc - other.fold_auc
    folds = f"ahead in {folds_won(one, other)} folds"
    if abs(ahead) <= TIE:
        return f"level with {other.name} ({folds})"
    return f"{abs(ahead):.3f} {'ahead of' if ahead > 0 else 'behind'} {other.name} ({folds})"


def folds_won(one: ModelSkill, other: ModelSkill) -> str:
    """In how many of the folds that both can be told in one has the higher AUC, as `3 of 5`."""
    won = [a.auc > b.auc for a, b in zip(one.folds, other.folds, strict=True) if np.isfinite([a.auc, b.auc]).all()]
    return f"{sum(won)} of {len(won)}"


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
