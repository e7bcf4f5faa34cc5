"""The line of `lswarn evaluate`, on a made world: what it writes, and that stopping it changes nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lswarn import evaluation, retraining
from lswarn.errors import ModelError, TrainingError
from lswarn.evaluation import MODELS, WITH_PHYSICS, config_of, load_counted, require_models, save_counted
from lswarn.model import calibrate
from lswarn.model.choice import CANDIDATES, CHOICE, load_choice
from lswarn.model.samples import save_snapshot
from lswarn.model.skill import BINS, Counted, Tally
from lswarn.model.train import steps_of
from lswarn.sections import Model
from lswarn.settings import Settings

NOW = datetime(2026, 3, 14, tzinfo=UTC)
NAMES = ("unet-monotone", "unet-monotone-no-physics", "bpnn")


@pytest.fixture(scope="module")
def taken(world):
    """One landslide in eight of the made world: quicker to draw."""
    scenes = tuple(replace(scene, landslides=scene.landslides[::8]) for scene in world.snapshot.scenes)
    return replace(world.snapshot, scenes=scenes)


@pytest.fixture
def evaluate(world, taken, small, make_region, tmp_path, monkeypatch):
    """Runs an evaluation of the made world; `evaluate.told` is the progress of the last."""

    @contextmanager
    def stack(region, folder) -> Iterator:
        yield world.factors

    monkeypatch.setattr(evaluation, "open_stack", stack)
    monkeypatch.setattr(calibrate, "JENKS_SAMPLE", 100)
    quick = {"steps": 6, "batch": 2, "positive_weight": 5.0}
    region = make_region(model=small.model_copy(update=quick).model_dump())
    settings = Settings(var_dir=tmp_path / "var", device="cpu")

    def run(snapshot=taken, models=NAMES, folds="strips:2"):
        run.told = []
        return evaluation.evaluate(
            region,
            settings,
            save_snapshot(snapshot, tmp_path / "snapshots"),
            models=models,
            folds=folds,
            hot_spots=None,
            now=NOW,
            on_progress=lambda *told: run.told.append(told),
        )

    return run


def test_what_an_evaluation_leaves(evaluate, world, taken):
    done = evaluate()
    assert [model.name for model in done.models] == list(NAMES)
    told = json.loads(done.json_path.read_text())
    assert told == json.loads(json.dumps(done.told))
    assert sum(told["fold_landslides"]) == sum(len(scene.landslides) for scene in taken.scenes)
    assert (told["folds"], told["guard_cells"], told["storms"], told["quiet"]) == ("strips:2", 26, 2, 1)
    cells = 3 * world.factors.grid.height * world.factors.grid.width
    for model in told["models"]:
        assert model["overall"]["cells"] == sum(fold["cells"] for fold in model["folds"]) == cells
        assert model["random"]["cells"] == pytest.approx(cells / 2, rel=0.05)
        assert sum(spot["cells"] for spot in model["hot_spots"]) <= cells
        assert model["trained"]["landslide_cells"] > 0
        assert len(model["trainings"]) == 3
        assert model["trainings"][0]["class_weight"] > 0
    assert (told["choice"], done.choice) == (None, None)
    assert not list(done.json_path.parents[1].glob("choice.json"))
    assert told["negatives"].startswith("All known ground outside the landslides")
    assert [model["config"]["physics_weight"] for model in told["models"]] == [0.1, 0, 0.1]
    page = done.html_path.read_text()
    for said in ("Made up", "strips:2", "26 cells", "With and without the physics", *NAMES, told["hot_spots"][0][0]):
        assert said in page
    assert page.count("data:image/svg+xml") == 5
    steps = 3 * sum(steps_of(Model.model_validate(model["config"])) for model in told["models"])
    assert evaluate.told[-1][:2] == (steps, steps)
    assert [step for step, *_ in evaluate.told] == sorted(step for step, *_ in evaluate.told)
    assert not list(done.json_path.parents[1].rglob(".*"))


def test_a_stopped_evaluation_comes_to_the_same(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "write_report", lambda *facts, **more: None)
    train, calls, killed_at = evaluation.train, [], 0

    def counting(*args, **options):
        calls.append(args)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        return train(*args, **options)

    def evaluated(models=("bpnn",)):
        calls.clear()
        return evaluate(models=models)

    monkeypatch.setattr(evaluation, "train", counting)
    whole = evaluated()
    assert len(calls) == 3
    assert evaluated().told == whole.told
    assert not calls

    kept = list((tmp_path / "var").rglob("*.npz"))
    for path in kept:
        path.unlink()
    killed_at = 2
    with pytest.raises(KeyboardInterrupt):
        evaluated()
    assert len(list((tmp_path / "var").rglob("*.npz"))) == 1
    killed_at = 0
    assert timeless(evaluated()) == timeless(whole)
    assert len(calls) == 2

    kept[0].write_bytes(kept[0].read_bytes()[:100])
    assert timeless(evaluated()) == timeless(whole)
    assert len(calls) == 1
    more = evaluated(("bpnn", "bpnn-no-physics"))
    assert len(calls) == 3
    assert timeless(more)[:1] == timeless(whole)


def timeless(done):
    return [{name: value for name, value in model.items() if name != "seconds"} for model in done.told["models"]]


def test_what_is_chosen_is_kept_and_trained(evaluate, world, make_region, tmp_path, monkeypatch):
    score, label = np.array([-1.0, -1, 1, 1]), np.array([0.0, 1, 0, 1])
    better, worse = (Counted((Tally.of(k * label + score, label, label),), Tally.empty(), (0.1, 0.2, 0.3, 0.4), 1.0)
                     for k in (9, 0))  # fmt: skip
    counts = iter([better if name == "boosting-monotone" else worse for _ in range(3) for name in CANDIDATES])
    monkeypatch.setattr(evaluation, "load_counted", lambda path: next(counts))
    monkeypatch.setattr(evaluation, "write_report", lambda *facts, **more: None)
    done = evaluate(models=tuple(CANDIDATES))
    assert (done.choice.model, done.choice.evaluation) == ("boosting-monotone", done.json_path.parent.name)
    level = {name: [0.5, 0.5] for name in CANDIDATES}
    assert done.told["choice"]["fold_auc"] == level | {"boosting-monotone": [1, 1]}
    assert done.said[-1].startswith('region.toml names network = "unet"')
    silent, trained = make_region(model={}), []
    settings = Settings(var_dir=tmp_path / "var", device="cpu")
    assert load_choice(settings.region_dir(silent.name) / CHOICE) == done.choice

    def train(config, *what, **more):
        trained.append(config.network)
        raise InterruptedError

    monkeypatch.setattr(retraining, "open_stack", evaluation.open_stack)
    monkeypatch.setattr(retraining, "train_model", train)
    with pytest.raises(InterruptedError):
        retraining.train(silent, settings, next((tmp_path / "snapshots").iterdir()), lambda step, steps, losses: None)
    assert trained == ["boosting"]


def test_counts_are_kept_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    zones = tuple(Tally(*rng.integers(0, 9, (3, BINS))) for _ in range(3))
    save_counted(Counted(zones, zones[0], (0.1, 0.2, 0.3, 0.4), 7.5, {"steps": 120.0}), tmp_path / "kept" / "one.npz")
    found = load_counted(tmp_path / "kept" / "one.npz")
    assert found.breaks == (0.1, 0.2, 0.3, 0.4)
    assert (found.seconds, found.facts) == (7.5, {"steps": 120})
    assert np.array_equal(found.zones[2].slid, zones[2].slid)
    assert np.array_equal(found.trained.endangered, zones[0].endangered)
    assert load_counted(tmp_path / "none.npz") is None


@pytest.mark.parametrize("name", MODELS)
def test_names_are_settings(name):
    base = Model(steps=7, physics_weight=0.4)
    config = config_of(name, base)
    assert {key: getattr(config, key) for key in MODELS[name]} == MODELS[name]
    assert (config.steps, config.physics_weight) == (7, 0.4)
    if name in WITH_PHYSICS:
        assert config_of(f"{name}-no-physics", base) == config.model_copy(update={"physics_weight": 0})
    else:
        told = rf"no model '{name}-no-physics': {name} is trained without the physics penalty as it is; name {name}$"
        with pytest.raises(ModelError, match=told):
            config_of(f"{name}-no-physics", base)


def test_unknown_models_are_refused(make_region):
    with pytest.raises(ModelError, match=r"no model 'unet-magic'; there are slope, .* also as NAME-no-physics"):
        require_models(["unet-monotone", "unet-magic"], make_region())
    with pytest.raises(ModelError, match="no model is named"):
        require_models([], make_region())


def test_too_few_landslides(evaluate, world):
    scenes = tuple(replace(scene, landslides=scene.landslides[:6]) for scene in world.snapshot.scenes)
    with pytest.raises(TrainingError, match=r"12 landslides .* at least 20"):
        evaluate(replace(world.snapshot, scenes=scenes))


def test_a_fold_that_leaves_too_little_says_which(evaluate, world):
    left, every = world.factors.grid.bounds[0], world.snapshot.scenes[1].landslides
    east, west = ([p for p in every if (p.bounds[0] > left + 100 * 30) == side] for side in (True, False))
    scene = replace(world.snapshot.scenes[1], landslides=(*east[:30], west[0]))
    with pytest.raises(TrainingError, match=r"bpnn, fold 3 of 3 held out: 1 landslides on training ground"):
        evaluate(replace(world.snapshot, scenes=(scene,)), models=("bpnn",), folds="strips:3")
