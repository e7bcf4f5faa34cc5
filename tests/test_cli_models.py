"""`lswarn evaluate` as a user meets it, without the hours it takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lswarn import evaluation, retraining, upkeep
from lswarn.cli import app, models
from lswarn.errors import ModelError
from lswarn.evaluation import Evaluated
from lswarn.model.choice import CANDIDATES
from lswarn.model.drift import Shift

SKILL = {"average_precision": 0.1, "brier_skill": 0.05, "physics_consistency": None, "rises": True}


@pytest.fixture
def evaluate(make_region, monkeypatch):
    asked = {}

    def made(region, settings, taken, *, on_progress, **options):
        asked.update(options)
        on_progress(1, 2, "unet-monotone, fold 1 of 5")
        told = {
            "models": [{"name": "bpnn", "fold_auc": 0.81, "random": {"auc": 0.9}, "spread": 0.02, "overall": SKILL}]
        }
        said = ("The network does not beat gradient boosting here.", "lswarn will train ensemble here.")
        return Evaluated((), None, said, told, Path("evaluation.json"), Path("evaluation.html"))

    monkeypatch.setattr(models, "region_of", lambda named, settings: make_region())
    monkeypatch.setattr(retraining, "snapshot", lambda region, settings, now: Path("taken"))
    monkeypatch.setattr(evaluation, "evaluate", made)

    def run(*words):
        return CliRunner().invoke(app, ["evaluate", *words]), asked

    return run


def test_figures_and_the_report(evaluate):
    done, asked = evaluate("--models", "bpnn, unet-channel,bpnn", "--folds", "strips:4")
    assert done.exit_code == 0
    assert asked["models"] == ["bpnn", "unet-channel"]
    assert (asked["folds"], asked["hot_spots"]) == ("strips:4", None)
    assert "evaluation.html" in done.stdout
    assert "0.81" in done.stdout
    assert "does not beat gradient boosting here" in done.stdout
    assert "lswarn will train ensemble here" in done.stdout


def test_json_and_defaults(evaluate):
    done, asked = evaluate("--json")
    told = json.loads(done.stdout)
    assert told["report"] == "evaluation.html"
    assert told["models"][0]["random"]["auc"] == 0.9
    assert asked["folds"] == "blocks:5"
    rivals = {"unet-monotone-no-physics", "unet-channel", "bpnn", "resnet", "slope", "logistic"}
    assert rivals | CANDIDATES.keys() == set(asked["models"])


def test_an_unknown_model_is_refused_before_anything_is_fetched(evaluate):
    done, asked = evaluate("--models", "unet-magic")
    assert isinstance(done.exception, ModelError)
    assert not asked


@pytest.fixture
def drifted(make_region, monkeypatch):
    shifts = (Shift("ground", "slope", 0.3, 90), Shift("365 days to 2026-03-13", "rain", float("nan"), 0))
    asked = []

    def drift(region, settings, now, model):
        asked.append(model)
        return upkeep.Drift("0123456789abcdef", shifts)

    monkeypatch.setattr(models, "region_of", lambda named, settings: make_region())
    monkeypatch.setattr(upkeep, "drift", drift)
    monkeypatch.setattr(upkeep, "write_card", lambda region, settings, model: Path(f"models/{model}.md"))
    return asked


def test_drift(drifted):
    done = CliRunner().invoke(app, ["models", "drift"])
    assert done.exit_code == 0, done.output
    assert "Against what model 0123456789abcdef learnt from: shifted: slope (0.30); not told: rain" in done.stdout
    assert drifted == [None]
    told = json.loads(CliRunner().invoke(app, ["models", "drift", "0123", "--json"]).stdout)
    assert told["drift"][0] == {"of": "ground", "subject": "slope", "psi": 0.3, "cells": 90, "word": "shifted"}
    assert told["drift"][1]["psi"] is None
    assert drifted[-1] == "0123"


def test_card(drifted):
    assert CliRunner().invoke(app, ["models", "card", "0123"]).stdout == "models/0123.md\n"
