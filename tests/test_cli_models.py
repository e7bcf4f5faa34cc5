"""`lswarn evaluate` as a user meets it, without the hours it takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lswarn import evaluation, retraining
from lswarn.cli import app, models
from lswarn.errors import ModelError
from lswarn.evaluation import Evaluated

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
        return Evaluated((), told, Path("evaluation.json"), Path("evaluation.html"))

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


def test_json_and_defaults(evaluate):
    done, asked = evaluate("--json")
    told = json.loads(done.stdout)
    assert told["report"] == "evaluation.html"
    assert told["models"][0]["random"]["auc"] == 0.9
    assert asked["folds"] == "blocks:5"
    assert {"unet-monotone", "unet-monotone-no-physics", "bpnn", "resnet"} <= set(asked["models"])


def test_an_unknown_model_is_refused_before_anything_is_fetched(evaluate):
    done, asked = evaluate("--models", "unet-magic")
    assert isinstance(done.exception, ModelError)
    assert not asked
