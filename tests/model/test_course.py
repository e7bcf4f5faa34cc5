from dataclasses import replace

import numpy as np
import pytest
import torch

from lswarn.model import course as module
from lswarn.model.course import Lesson, learn, learn_together, sizes_of
from lswarn.model.encoder import Encoding
from lswarn.model.holdout import hold_out, hold_out_inner
from lswarn.model.samples import Observed

CPU = torch.device("cpu")


@pytest.fixture
def lesson(world, small):
    """`lesson(steps=…)` on the small made world."""

    def make(**config):
        settings = small.model_copy(update={"steps": 12, "batch": 2} | config)
        grid = world.factors.grid
        slid = Observed(world.snapshot, grid).cells_of
        ground = hold_out_inner(grid, hold_out(grid, settings), slid, settings)
        cells = world.factors.values.reshape(10, -1)
        encoding = Encoding.measured(cells, np.array([0.0, 300.0], np.float32))
        return Lesson(settings, world.factors, world.snapshot, ground, (0, 1, 2), encoding, 20.0)

    return make


def trace(told):
    return lambda step, figures: told.append((step, figures))


def test_the_asked_size_and_the_next_smaller_one():
    from lswarn.sections import Model

    assert sizes_of(Model(base_width=16, depth=3), choice=True) == ((16, 3), (8, 2))
    assert sizes_of(Model(base_width=16, depth=3), choice=False) == ((16, 3),)
    assert sizes_of(Model(base_width=4, depth=1), choice=True) == ((4, 1),)


def test_what_is_kept_is_the_best_on_inner_ground(lesson, monkeypatch):
    monkeypatch.setattr(module, "TRIED_EVERY", 3)
    told = []
    learnt = learn(lesson(base_width=8), CPU, on_step=trace(told), resume=None)
    tried = {step: figures["inner"] for step, figures in told if "inner" in figures}
    assert list(tried) == [3, 6, 9, 12, 15, 18, 21, 24]  # two sizes, 12 steps each
    best = min(tried, key=tried.get)
    assert learnt.size == ((8, 1) if best <= 12 else (4, 1))
    assert learnt.figures["steps"] == (best - 1) % 12 + 1
    assert learnt.figures["loss_inner"] == tried[best]


def test_a_trial_that_gets_worse_is_not_kept(lesson, monkeypatch):
    """Made losses: the fourth step is the best."""
    monkeypatch.setattr(module, "TRIED_EVERY", 1)
    losses = iter([5.0, 1.0, *[3.0] * 20])
    monkeypatch.setattr(module._Course, "tried", lambda self, trial: next(losses))
    weights = []
    seen = module._Course.learn
    monkeypatch.setattr(
        module._Course, "learn", lambda self, *given: (seen(self, *given), weights.append(self.weights()))[0]
    )
    learnt = learn(lesson(), CPU, on_step=lambda *told: None, resume=None)
    assert learnt.figures["steps"] == 4
    assert all((learnt.state[name] == weights[3][name]).all() for name in learnt.state)
    assert any((learnt.state[name] != weights[4][name]).any() for name in learnt.state)


def test_without_landslides_to_spare_nothing_is_chosen(lesson):
    asked = lesson(base_width=8)
    told = []
    learnt = learn(
        replace(asked, ground=replace(asked.ground, held=frozenset())), CPU, on_step=trace(told), resume=None
    )
    assert (learnt.size, learnt.figures["steps"]) == ((8, 1), 12)
    assert len(told) == 12
    assert not any("inner" in figures for _, figures in told)


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", [7, 19])
def test_killed_in_either_size_it_comes_to_the_same_end(lesson, monkeypatch, tmp_path, last):
    monkeypatch.setattr(module, "SAVED_EVERY", 4)
    monkeypatch.setattr(module, "TRIED_EVERY", 3)
    asked, path = lesson(base_width=8), tmp_path / "unfinished.pt"

    def on_step(step, figures):
        if step == last:
            raise Killed

    with pytest.raises(Killed):
        learn(asked, CPU, on_step=on_step, resume=path)
    told = []
    resumed = learn(asked, CPU, on_step=trace(told), resume=path)
    assert told[0][0] == (last - 1) // 4 * 4 + 1
    whole = learn(asked, CPU, on_step=lambda *told: None, resume=None)
    assert (resumed.size, resumed.figures) == (whole.size, whole.figures)
    assert all((resumed.state[name] == whole.state[name]).all() for name in whole.state)


def test_several_processes_learn_together(lesson):
    """Two on the CPU: each draws crops of its own, and what they learn is neither's alone."""
    asked = lesson(steps=3)
    together = learn_together(asked, 2, resume=None)
    alone = learn(asked, CPU, on_step=lambda *told: None, resume=None)
    assert together.size == alone.size
    assert together.state.keys() == alone.state.keys()
    assert all(t.isfinite().all() for t in together.state.values())
    assert any((together.state[name] != alone.state[name]).any() for name in alone.state)
