from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lswarn.model.blend import blend, weigh
from lswarn.model.holdout import hold_out, hold_out_inner
from lswarn.model.predict import Predictor
from lswarn.model.samples import Observed


def said(seed: int, *noise: float, n: int = 4000, share: float = 0.2):
    """What members that err so much say of cells that slide with a known chance, and which slid."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(np.log(share), 2, n)
    return np.stack([truth + rng.normal(0, each, n) for each in noise]).astype(np.float32), rng.random(n) < expit(truth)


def test_who_errs_more_has_less_to_say():
    members, slid = said(0, 0.5, 2.0, 8.0)
    weights = weigh(members, slid.astype(np.float32), [0.0] * len(members))
    assert weights[0] > weights[1] > weights[2]
    assert weights[0] > 0.7
    assert weights[2] < 0.05


def test_who_says_nothing_but_noise_is_not_listened_to():
    members, slid = said(1, 0.5, 0.5)
    noise = np.random.default_rng(2).normal(0, 3, members.shape[1])
    weights = weigh(np.stack([members[0], noise.astype(np.float32)]), slid.astype(np.float32), [0.0] * len(members))
    assert weights[0] > 0.97
    against = weigh(np.stack([members[0], -members[0]]), slid.astype(np.float32), [0.0] * len(members))
    assert against[0] > 0.9


def test_members_that_say_the_same_weigh_the_same():
    members, slid = said(3, 1.0)
    assert weigh(np.repeat(members, 3, 0), slid.astype(np.float32), [0.0] * 3) == pytest.approx((1 / 3,) * 3, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.lists(st.floats(0, 20), min_size=1, max_size=4), st.floats(0.01, 0.9))
def test_weights_are_shares(seed, noise, share):
    members, slid = said(seed, *noise, n=300, share=share)
    weights = weigh(members, slid.astype(np.float32), [0.0] * len(members))
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_where_all_slid_or_none_did_weights_are_as_presumed(label):
    members, _ = said(4, 1.0, 5.0)
    cells = members.shape[1]
    slid = int(label * cells)
    network = (1 + slid) / (1 + slid + 200)
    presumed = pytest.approx((network / (1 + network), 1 / (1 + network)))
    assert weigh(members, np.full(cells, label, np.float32), [200.0, 0.0]) == presumed
    assert weigh(members[:, :0], np.empty(0, np.float32), [0.0, 0.0]) == (0.5, 0.5)


def test_a_few_landslides_do_not_make_a_network_trusted_and_many_do():
    """The network is right by heart or by insight: twenty landslides cannot tell, twenty thousand can."""
    for count, lowest, highest in ((100, 0.0, 0.4), (100_000, 0.9, 1.0)):
        members, slid = said(5, 0.5, 3.0, n=count)
        weights = weigh(members, slid.astype(np.float32), [200.0, 0.0])
        assert lowest <= weights[0] <= highest


def test_members_are_weighed_by_inner_ground_alone(world, trained, small):
    """What is said elsewhere does not matter, and a member that says the contrary has no say."""
    observed, grid = Observed(world.snapshot, world.factors.grid), world.factors.grid
    inner = replace(hold_out_inner(grid, hold_out(grid, small), observed.cells_of, small), chooses=True)
    good, scenes, blocks = Predictor(trained, "cpu"), range(observed.scenes), list(grid.blocks(64))

    class Contrary:
        halo = good.halo

        def log_odds(self, factors, rain):
            return -good.log_odds(factors, rain)

    members = {"unet": good, "logistic": Contrary()}
    network, contrary = blend(members, world.factors, observed, blocks, inner, scenes)
    assert network > 0.9
    assert contrary < 0.1

    class Nowhere:
        def mask(self, block):
            return np.ones(block.shape, bool)

    presumed = blend(members, world.factors, observed, blocks, Nowhere(), scenes)
    assert presumed == pytest.approx((1 / 202, 201 / 202))
