import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import GridMismatch, TrainingError
from lswarn.model import course, members
from lswarn.model.evaluate import evaluate, tally
from lswarn.model.holdout import hold_out
from lswarn.model.predict import Predictor
from lswarn.model.samples import Observed
from lswarn.model.skill import LOG_ODDS
from lswarn.model.train import train


def with_factors(world, values):
    return replace(world.factors, values=values)


@pytest.mark.parametrize(("rain", "steps"), [("monotone", 12), ("channel", 30)])
def test_training_is_repeatable_and_told_step_by_step(world, small, rain, steps):
    config = small.model_copy(update={"steps": steps, "rain": rain, "batch": 2})
    told = []
    one, two = (
        train(config, world.factors, world.snapshot, device="cpu", on_step=lambda *step: told.append(step))
        for _ in range(2)
    )
    assert one.id == two.id
    assert [step for step, _ in told] == [*range(1, steps + 1)] * 2
    assert told[0][1].keys() == {"total", "inventory", "physics"}
    assert told[steps - 1][1].keys() == {"total", "inventory", "physics", "inner"}
    other = train(config.model_copy(update={"seed": 1}), world.factors, world.snapshot, device="cpu")
    assert other.id != one.id


def test_checkpoint_says_what_it_was_made_of(trained, world, small):
    assert trained.config == small
    assert trained.measure == world.snapshot.measure
    assert trained.factors_digest == world.factors.digest
    assert trained.snapshot_id == world.snapshot.id
    assert trained.rain_max_mm == 300
    assert 0 < trained.breaks[0] < trained.breaks[1] < trained.breaks[2] < trained.breaks[3] < 1


def test_mean_probability_is_the_share_that_slid(trained, world, small):
    holdout = hold_out(world.factors.grid, small)
    blocks = world.factors.grid.blocks(64)
    (counted,) = tally(
        Predictor(trained, "cpu"), world.factors, Observed(world.snapshot, world.factors.grid), blocks, [holdout]
    )
    both = counted.stable + counted.slid
    mean = (both / (1 + np.exp(-LOG_ODDS))).sum() / both.sum()
    assert mean == pytest.approx(counted.slid.sum() / both.sum(), rel=0.01)


def test_held_out_ground_teaches_nothing(world, small, trained):
    """Other factors and landslides there (a guard band inside) leave the same model."""
    holdout = hold_out(world.factors.grid, small)
    values = world.factors.values.copy()
    for block in holdout.judged():
        values[0][block.slices()] = 1.0
    config = small.model_copy(update={"steps": 3})
    one, two = (
        train(config, factors, world.snapshot, device="cpu") for factors in (world.factors, with_factors(world, values))
    )
    assert one.encoding == two.encoding
    assert one.reference == two.reference
    assert one.metrics == pytest.approx(two.metrics, rel=1e-5)
    assert np.allclose(one.calibration, two.calibration, rtol=1e-4)


def test_too_few_landslides(world, small):
    scenes = tuple(replace(scene, landslides=scene.landslides[:5]) for scene in world.snapshot.scenes)
    with pytest.raises(TrainingError, match=r"landslides on training ground, at least 20 are needed"):
        train(small, world.factors, replace(world.snapshot, scenes=scenes), device="cpu")


def test_no_ground_with_all_factors_known(world, small):
    values = world.factors.values.copy()
    values[3] = np.nan
    with pytest.raises(TrainingError, match="landform: unknown on all training ground"):
        train(small, with_factors(world, values), world.snapshot, device="cpu")


def test_no_landslide_where_all_is_known(world, small):
    values = world.factors.values.copy()
    values[3, values[0] > 20] = np.nan
    with pytest.raises(TrainingError, match="no landslide lies where factors and rain are known"):
        train(small.model_copy(update={"steps": 1}), with_factors(world, values), world.snapshot, device="cpu")


def test_a_loss_that_is_no_number_names_step_and_term(world, small):
    with pytest.raises(TrainingError, match=r"no number at step 1 \(total, inventory"):
        train(small.model_copy(update={"positive_weight": 1e39}), world.factors, world.snapshot, device="cpu")


def test_scenes_held_out_teach_nothing(world, small):
    """The same model, whatever happened under a rain that does not teach."""
    scenes = world.snapshot.scenes
    other = replace(scenes[1], rain=scenes[1].rain * 2)
    config = small.model_copy(update={"steps": 3})
    one, two = (
        train(config, world.factors, snapshot, device="cpu", scenes=(0, 2))
        for snapshot in (world.snapshot, replace(world.snapshot, scenes=(scenes[0], other, scenes[2])))
    )
    assert one.learnt_days == two.learnt_days == (scenes[0].day, scenes[2].day)
    assert one.rain_max_mm == 150
    assert replace(one, snapshot_id="") == replace(two, snapshot_id="", state=one.state)
    assert all((one.state[name] == two.state[name]).all() for name in one.state)


@pytest.mark.parametrize("network", ["bpnn", "resnet", "slope", "logistic", "boosting", "blend"])
def test_every_other_kind_learns(world, small, network):
    config = small.model_copy(update={"network": network, "steps": 40})
    checkpoint = train(config, world.factors, world.snapshot, device="cpu")
    assert evaluate(checkpoint, world.factors, world.snapshot, device="cpu").auc > 0.8


def test_an_ensemble_is_the_weighted_mean_of_its_members(joint, world):
    """Each brought to the level of the ground first, so that neither drowns the other."""
    network, ground = joint.network(), torch.from_numpy(world.factors.values[None])
    rain = torch.full((1, 1, 96, 130), 120.0)
    with torch.inference_mode():
        said = {name: member(ground, rain) for name, member in network.members.items()}
        assert list(said) == ["unet", "boosting", "logistic"]
        weights = network.weights.tolist()
        assert sum(weights) == pytest.approx(1)
        assert weights == pytest.approx([joint.metrics[f"weight_{name}"] for name in said])
        heard = zip(weights, said.values(), network.shifts, strict=True)
        mean = sum(weight * (logit - by) for weight, logit, by in heard)
        assert torch.allclose(network(ground, rain), mean, atol=1e-4)
    assert joint.metrics.keys() >= {"loss_inventory", "steps", "trees", "class_weight"}
    assert evaluate(joint, world.factors, world.snapshot, device="cpu").auc > 0.9


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_more_landslides_the_more_a_network_has_to_say(some, more):
    kinds = ("unet", "boosting", "logistic")
    few, many = (members.weigh(kinds, cells) for cells in sorted((some, more)))
    assert sum(few) == pytest.approx(1)
    assert few[0] <= few[1] == few[2]
    assert many[0] >= few[0] - 1e-12
    assert members.weigh(kinds, 0)[0] < 0.001
    assert members.weigh(kinds, 1e9) == pytest.approx((1 / 3,) * 3, abs=1e-5)


@pytest.mark.parametrize("network", ["logistic", "boosting"])
def test_what_learns_in_seconds_learns_from_inner_ground_in_the_end(world, small, network, monkeypatch):
    """It is tried without, for choices and for what its scores are worth, and kept with all training ground."""
    learnt = []
    fit = getattr(members, f"fit_{'linear' if network == 'logistic' else network}")

    def told(encoding, cells, *args, **more):
        learnt.append(len(cells.label))
        return fit(encoding, cells, *args, **more)

    monkeypatch.setattr(members, fit.__name__, told)
    train(small.model_copy(update={"network": network}), world.factors, world.snapshot, device="cpu")
    tried, kept = learnt
    assert 0.6 < tried / kept < 0.95


class Killed(Exception):
    pass


def killed_at(last, told):
    def on_step(step, parts):
        told.append(step)
        if step == last:
            raise Killed

    return on_step


@pytest.fixture
def briefly(world, small, monkeypatch):
    """`briefly(path, …)`: 12 steps, the state kept every 5."""
    monkeypatch.setattr(course, "SAVED_EVERY", 5)

    def run(resume=None, seed=0, on_step=lambda step, parts: None, holdout=None):
        config = small.model_copy(update={"steps": 12, "batch": 2, "seed": seed})
        return train(
            config, world.factors, world.snapshot, device="cpu", resume=resume, on_step=on_step, holdout=holdout
        )

    return run


def test_a_training_killed_again_and_again_comes_to_the_same_end(briefly, tmp_path):
    path, told = tmp_path / "unfinished.pt", []

    def until(last):
        told.clear()
        with pytest.raises(Killed):
            briefly(path, on_step=killed_at(last, told))
        return told[0], path.exists()

    assert until(4) == (1, False)
    assert until(9) == (1, True)
    assert until(12) == (6, True)
    told.clear()
    resumed = briefly(path, on_step=killed_at(None, told))
    assert told == [11, 12]
    assert resumed.id == briefly().id
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_of_another_training_is_not_gone_on_with(briefly, tmp_path, world, small):
    path, told = tmp_path / "unfinished.pt", []
    other = hold_out(world.factors.grid, small.model_copy(update={"seed": 5}))
    for differing in ({"seed": 1}, {"holdout": other}, {}):
        with pytest.raises(Killed):
            briefly(path, on_step=killed_at(6, told), **differing)
    assert told == [1, 2, 3, 4, 5, 6] * 3


def test_a_damaged_state_costs_the_steps_and_not_the_training(briefly, tmp_path, caplog):
    path, told = tmp_path / "unfinished.pt", []
    for _ in range(2):
        with pytest.raises(Killed):
            briefly(path, on_step=killed_at(6, told))
        path.write_bytes(path.read_bytes()[:-3000])
    assert told == [1, 2, 3, 4, 5, 6] * 2
    assert "unfinished.pt: damaged" in caplog.text


def test_speed_is_logged(briefly, caplog):
    caplog.set_level("INFO", "lswarn")
    briefly()
    assert re.search(r"12 steps in [\d.]+ s: [\d.]+ million cells a second .* \d+ % of the time waiting", caplog.text)


def test_another_crs(world, small):
    with pytest.raises(GridMismatch, match="EPSG:4326"):
        train(small, world.factors, replace(world.snapshot, crs="EPSG:4326"), device="cpu")
