"""What an evaluation chooses for a region, and the sentences it says of it."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from lswarn.errors import ModelError
from lswarn.model.choice import CANDIDATES, Choice, choose, load_choice, load_kind, save_choice
from lswarn.model.skill import Counted, Tally, model_skill
from lswarn.model.verdict import verdict
from lswarn.sections import Model

NOW = datetime(2026, 3, 14, tzinfo=UTC)
ZONES = np.arange(2000)
THREE = ("unet-monotone", "boosting-monotone", "ensemble")


def skill_of(name, *aucs, brier_skill=None):
    """A model with those AUC of its folds: of equal cells, a share is turned round; NaN: a fold without landslides."""

    def counted(auc):
        label = (ZONES % 2).astype(float) * (not np.isnan(auc))
        score = np.where(2000 * np.nan_to_num(auc) > ZONES, 2 * label - 1, 1 - 2 * label)
        return Counted((Tally.of(score, label, label),), Tally.empty(), (0.1, 0.2, 0.3, 0.4), 1.0)

    told = model_skill(name, [counted(auc) for auc in aucs], counted(0.5))
    if brier_skill is not None:
        object.__setattr__(told.overall, "brier_skill", brier_skill)
    return told


def chosen(*models):
    return choose(models, evaluation="e1", folds="blocks:2", made_at=NOW)


def three(unet, boosting, ensemble):
    """And a logistic regression that is of little use."""
    judged = [skill_of(name, *aucs) for name, aucs in zip(THREE, (unet, boosting, ensemble), strict=True)]
    return [*judged, skill_of("blend", 0.51, 0.51), skill_of("logistic", 0.51, 0.51)]


def test_the_best_of_those_that_only_rise_with_rain():
    rest = [skill_of("unet-channel", 0.99, 0.99), skill_of("boosting", 0.99, 0.99)]
    found = chosen(*three((0.7, 0.8), (0.8, 0.9), (0.75, 0.8)), *rest)
    assert (found.model, found.network, found.folds, found.evaluation) == (
        "boosting-monotone",
        "boosting",
        "blocks:2",
        "e1",
    )
    assert found.fold_auc.keys() == CANDIDATES.keys()
    assert found.fold_auc["boosting-monotone"] == pytest.approx((0.8, 0.9), abs=0.01)


def test_a_tie_goes_to_the_better_probabilities():
    models = [
        skill_of("unet-monotone", 0.8, 0.8, brier_skill=0.02),
        skill_of("boosting-monotone", 0.8005, 0.8005, brier_skill=0.01),
        skill_of("ensemble", 0.8, 0.8, brier_skill=float("nan")),
        skill_of("logistic", 0.7, 0.7, brier_skill=0.9),
        skill_of("blend", 0.7, 0.7, brier_skill=0.9),
    ]
    assert chosen(*models).model == "unet-monotone"
    said = verdict(models, chosen(*models), None)[-1]
    assert "as good as boosting-monotone (within 0.001 of its AUC) and its probabilities are better" in said


def test_unknown_never_wins_and_who_was_not_asked_has_not_lost():
    nan = float("nan")
    unknown = (skill_of("logistic", nan, nan), skill_of("blend", nan, nan))
    found = chosen(*three((nan, nan), (0.6, nan), (nan, nan)))
    assert found.model == "boosting-monotone"
    assert found.fold_auc["unet-monotone"] == (None, None)
    assert chosen(*three((nan, nan), (nan, nan), (nan, nan))[:3], *unknown) is None
    two = three((0.9, 0.9), (0.8, 0.8), (0.8, 0.8))[:2]
    assert chosen(*two) is None
    assert verdict(two, None, None)[-1].startswith("No kind of model was chosen for the region")


def test_a_choice_is_kept_and_followed(tmp_path):
    path, silent = tmp_path / "evaluations" / "choice.json", Model(network=None, steps=7)
    assert load_choice(path) is None
    assert load_kind(silent, path) == silent.model_copy(update={"network": "blend"})
    choice = chosen(*three((0.7, float("nan")), (0.9, 0.9), (0.8, 0.8)))
    save_choice(choice, path)
    assert load_choice(path) == choice
    assert load_kind(silent, path) == silent.model_copy(update={"network": "boosting"})
    named = Model(network="bpnn")
    assert load_kind(named, path) is named
    assert [each.name for each in path.parent.iterdir()] == ["choice.json"]


@pytest.mark.parametrize("change", [{"network": "magic"}, {"made_at": "never"}, {"fold_auc": 3}])
def test_a_damaged_choice_is_told_of(change, tmp_path):
    path = tmp_path / "choice.json"
    save_choice(Choice("ensemble", "ensemble", "e1", "blocks:2", NOW, {}), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=r"choice\.json: not a choice .* evaluate again, or name model\.network"):
        load_kind(Model(network=None), path)
    path.write_text("{")
    with pytest.raises(ModelError, match="not a choice"):
        load_choice(path)


def test_boosting_that_is_not_beaten_is_said_plainly():
    models = three((0.7, 0.8), (0.8, 0.9), (0.79, 0.8))
    said = verdict(models, chosen(*models), None)
    assert said[0] == (
        "The network (unet-monotone) does not beat gradient boosting (boosting-monotone) here, it is 0.100 behind: "
        "mean AUC of the folds 0.750 against 0.850, ahead in 0 of 2 folds."
    )
    assert said[1] == (
        "The ensemble, of both and a logistic regression, is 0.055 behind boosting-monotone (ahead in 0 of 2 folds)."
    )
    assert said[-1] == (
        "lswarn will train boosting-monotone here: of unet-monotone, boosting-monotone, logistic, blend and ensemble, "
        "which more rain can only raise, it does best on unseen ground."
    )
    named = verdict(models, chosen(*models), "unet")[-1]
    assert named.startswith('region.toml names network = "unet", and that is what lswarn trains. Were it left out')
    assert "would train boosting-monotone" in named


def test_each_is_held_against_the_others():
    models = [
        *three((0.9, 0.9), (0.8, 0.8), (0.91, 0.89)),
        skill_of("unet-channel", 0.92, 0.9),
        skill_of("bpnn", 0.7, 0.92),
        skill_of("resnet", float("nan"), 0.8),
        skill_of("slope", 0.6, 0.6),
        skill_of("logistic", 0.7, 0.7),
    ]
    said = " ".join(verdict(models, None, None))
    for part in (
        "The network (unet-monotone) beats gradient boosting (boosting-monotone) here, by 0.100: mean",
        "a logistic regression, is level with unet-monotone (ahead in 1 of 2 folds)",
        "Held against its rivals, unet-monotone is 0.090 ahead of bpnn (ahead in 1 of 2 folds) and 0.100 ahead of "
        "resnet (ahead in 1 of 1 folds).",
        "unet-monotone is 0.010 behind unet-channel",
        "With little effort the slope alone comes to 0.600 and a logistic regression comes to 0.700; unet-channel",
    ):
        assert part in said
    level = verdict(three((0.8, 0.8), (0.8, 0.8), (0.8, 0.8)), None, None)[0]
    assert "does not beat gradient boosting (boosting-monotone) here, the two are level" in level
    assert verdict([skill_of("bpnn", 0.7)], None, None) == verdict([], None, None)


def test_what_is_chosen_can_only_rise(tmp_path):
    with pytest.raises(ModelError, match="and no network is named"):
        load_kind(Model(rain="channel"), tmp_path / "choice.json")
    with pytest.raises(ValueError, match="an ensemble can only rise"):
        Model(network="ensemble", rain="channel")


def test_a_plain_model_that_nothing_beats_is_said_so():
    models = [*three((0.7, 0.8), (0.7, 0.8), (0.7, 0.8)), skill_of("logistic", 0.9, 0.9)]
    said = verdict(models, None, None)
    assert "With little effort a logistic regression comes to 0.900; nothing here does better." in said
