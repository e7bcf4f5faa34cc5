import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.model.loss import danger, physics_loss

mm = st.floats(0, 1000, width=32)


def loss(logit, label, d, weight=1.0, lam=0.5, form="linear"):
    return physics_loss(logit, label, d, positive_weight=weight, physics_weight=lam, physics=form)


def one(value):
    return np.array([value], np.float32)


@pytest.mark.parametrize(
    ("rain", "critical", "slope", "expected"),
    [
        (200, 100, 30, 0.5),
        (100, 100, 30, 0),
        (50, 100, 30, 0),
        (0, 100, 30, 0),
        (400, 100, 11, 0.75),
        (400, 100, 10, 0),
    ],
)
def test_danger_by_hand(rain, critical, slope, expected):
    assert danger(one(rain), one(critical), one(slope)) == pytest.approx(expected)


@pytest.mark.parametrize("unknown", range(3))
def test_physics_that_knows_nothing_says_nothing(unknown):
    values = [one(400), one(100), one(30)]
    values[unknown] = one(np.nan)
    assert danger(*values) == 0


@given(mm, mm, mm, st.floats(0, 80, width=32))
def test_more_rain_is_never_less_dangerous(low, high, critical, slope):
    low, high = sorted((low, high))
    less, more = (danger(one(r), one(critical), one(slope)) for r in (low, high))
    assert 0 <= less <= more <= 1


def test_the_penalty_is_named_by_its_source():
    logit, label, d = torch.zeros(2), torch.zeros(2), torch.tensor([0.5, 0.0])
    told = [
        physics_loss(logit, label, d, positive_weight=1.0, physics_weight=0.5, physics="linear", source=source)
        for source in ("threshold", "infinite-slope")
    ]
    assert [list(parts) for _, parts in told] == [["inventory", "physics"], ["inventory", "infinite_slope"]]
    assert told[0][0] == told[1][0]


def test_parts_by_hand():
    logit, label, d = torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0, 0.0])
    total, parts = loss(logit, label, d, weight=5.0)
    assert parts["inventory"] == pytest.approx((5 + 3) * np.log(2) / 4)
    assert parts["physics"] == pytest.approx(0.125)  # mean of .5·.5, .5·.5, 0, 0
    assert total == pytest.approx(parts["inventory"] + 0.5 * parts["physics"])
    assert loss(logit, label, d, form="log")[1]["physics"] == pytest.approx(np.log(2) / 4)


@pytest.mark.parametrize("form", ["linear", "log"])
def test_penalty_is_zero_on_a_consistent_field_and_positive_on_a_broken_one(form):
    d = torch.tensor([0.0, 0.0, 0.6, 0.9])
    label = torch.zeros(4)
    consistent = loss(torch.tensor([-9.0, 3.0, 200.0, 200.0]), label, d, form=form)[1]["physics"]
    broken = loss(torch.tensor([-9.0, 3.0, 200.0, -4.0]), label, d, form=form)[1]["physics"]
    assert consistent == 0
    assert broken > 0.2


@pytest.mark.parametrize("form", ["linear", "log"])
def test_unknown_cells_count_for_nothing_and_get_no_gradient(form):
    logit = torch.tensor([0.3, torch.nan, -1.0, 5.0], requires_grad=True)
    label, d = torch.tensor([1.0, torch.nan, 0.0, torch.nan]), torch.tensor([0.5, 0.5, 0.2, 0.9])
    total, _ = loss(logit, label, d, form=form)
    total.backward()
    assert logit.grad[1] == 0
    assert logit.grad[3] == 0
    assert logit.grad[0] < 0 < logit.grad[2]
    known = torch.tensor([True, False, True, False])
    assert total == loss(logit[known], label[known], d[known], form=form)[0]


cell = st.tuples(st.floats(-30, 30), st.sampled_from([0.0, 1.0, np.nan]), st.floats(0, 1))


@given(st.lists(cell, min_size=1, max_size=12), st.sampled_from(["linear", "log"]), st.floats(0, 2))
def test_whatever_is_masked_has_no_gradient_and_no_say(cells, form, lam):
    """No gradient where the label is unknown, and what the network or the rain says there moves nothing."""
    logit, label, d = (torch.tensor(values, dtype=torch.float64) for values in zip(*cells, strict=True))
    unknown = label.isnan()
    told = []
    for said in (logit, torch.where(unknown, torch.inf, logit)):
        asked = said.clone().requires_grad_()
        total, _ = loss(asked, label, torch.where(unknown, torch.nan, d) if said is not logit else d, 3.0, lam, form)
        total.backward()
        assert (asked.grad[unknown] == 0).all()
        assert asked.grad.isfinite().all()
        told.append((total.detach(), asked.grad))
    assert told[0][0] == told[1][0]
    assert torch.equal(told[0][1], told[1][1])


def test_nothing_known_is_no_loss():
    logit = torch.ones(3, requires_grad=True)
    total, _ = loss(logit, torch.full((3,), torch.nan), torch.ones(3))
    total.backward()
    assert total == 0
    assert (logit.grad == 0).all()


@given(st.floats(0.01, 0.4), st.floats(1, 50), st.floats(0, 1), st.floats(0, 2))
def test_optimum_of_the_log_form(rate, weight, d, lam):
    """p* = (w·pi + lambda·d) / (w·pi + lambda·d + 1 - pi): there the gradient vanishes."""
    pull = weight * rate + lam * d
    best = torch.full((2,), float(np.log(pull / (1 - rate))), dtype=torch.float64, requires_grad=True)
    label, ds = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.full((2,), d, dtype=torch.float64)
    parts = [loss(best[i], label[i], ds[i], weight, lam, "log")[0] for i in (0, 1)]
    (rate * parts[0] + (1 - rate) * parts[1]).backward()
    assert best.grad.sum() == pytest.approx(0, abs=1e-6)
