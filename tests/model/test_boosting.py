from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lswarn.model import boosting
from lswarn.model.boosting import KINDS, Boosting, Nodes, fit_boosting, read_out, snapped, walk
from lswarn.model.cells import Sample
from lswarn.model.encoder import Encoding, tenths
from lswarn.model.surroundings import CHANNELS, SEEN_AROUND, surroundings
from lswarn.sections import FACTORS

SLOPE = FACTORS.index("slope")
SHAPE = (30, 50)


def sample_of(factors_of, seed=0):
    """Steep cells slide where it rained; but, as no real ones do, less under 350 mm than under 150."""
    rng = np.random.default_rng(seed)
    whole = factors_of(*SHAPE, seed)
    factors, around = (
        whole.reshape(10, -1),
        surroundings(torch.from_numpy(whole)[None])[0].numpy().reshape(CHANNELS, -1),
    )
    rain = rng.uniform(0, 400, factors.shape[1]).astype(np.float32)
    odds = 0.3 * (factors[SLOPE] - 22) + 2 * np.sin(rain / 80) + rain / 200 - 1
    label = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    return Sample(factors, around, rain, label, np.where(label == 1, 1.0, 8.0))


@pytest.fixture(scope="module")
def learn(factors_of):
    return sample_of(factors_of)


@pytest.fixture(scope="module")
def encoding(learn):
    return Encoding.measured(learn.factors, learn.rain)


@pytest.fixture(scope="module")
def rising(encoding, learn):
    return fit_boosting(encoding, learn, None, monotone=True, seed=0)[0]


@pytest.fixture(scope="module")
def free(encoding, learn):
    return fit_boosting(encoding, learn, None, monotone=False, seed=0)[0]


def nodes_of(model):
    return Nodes(**{name: getattr(model, name).clone() for name in KINDS})


def arrays(trees):
    return tuple(getattr(trees, name).numpy() for name in KINDS)


@pytest.fixture
def block(factors_of):
    factors = torch.from_numpy(np.stack([factors_of(17, 23, seed) for seed in (1, 2)]))
    return factors, torch.rand(2, 3, 17, 23, generator=torch.Generator().manual_seed(0)) * 500


@pytest.mark.parametrize("trees", [1, 7, 12])
def test_the_walk_is_the_sum_that_scikit_learn_makes(encoding, learn, trees):
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = learn.inputs(encoding)
    theirs = HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=9, early_stopping=False, random_state=0)
    theirs.fit(x, learn.label)
    *_, wanted = (score for score, _ in zip(theirs.staged_decision_function(x), range(trees), strict=False))
    ours = walk(np.ascontiguousarray(x[:, :-1]), x[:, -1:].astype(float), arrays(read_out(theirs, trees)))
    assert np.abs(ours[:, 0] - wanted).max() < 1e-9


def test_cells_are_parted_as_they_are_as_when_snapped(rising, learn, encoding):
    x = learn.inputs(encoding)
    near = snapped(x)
    sums = [
        walk(np.ascontiguousarray(each[:, :-1]), each[:, -1:].astype(float), arrays(nodes_of(rising)))
        for each in (x, near)
    ]
    assert np.array_equal(*sums)
    levels = [len(np.unique(column)) for column in near.T]
    assert max(levels) == boosting.LEVELS < len(np.unique(x[:, -1]))
    assert np.isin(near, x).all()
    assert np.array_equal(near[:, -3:-1], x[:, -3:-1])  # rock types, of two values each, stay what they are


def test_the_model_is_the_walk(rising, learn, encoding):
    """With rain in whole tenths; asked about ground as about single cells of it."""
    x = learn.inputs(encoding)
    rain = torch.from_numpy(learn.rain).double()
    sums = walk(np.ascontiguousarray(x[:, :-1]), tenths(rain)[:, None].numpy(), arrays(nodes_of(rising)))
    factors, rain = torch.from_numpy(learn.factors).view(1, -1, *SHAPE), rain.view(1, 1, *SHAPE)
    assert np.array_equal(rising(factors, rain.float()).flatten(), sums[:, 0].astype(np.float32))
    assert np.array_equal(rising(factors, rain).flatten(), sums[:, 0])
    assert np.array_equal(rising.log_odds(x), sums[:, 0])
    assert sums[learn.label == 1].mean() > sums[learn.label == 0].mean() + 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 600, width=32), min_size=2, max_size=8), st.integers(0, 3))
def test_more_rain_never_gives_less(rising, factors_of, rains, seed):
    factors = torch.from_numpy(factors_of(12, 15, seed)[None])
    mm = torch.tensor(sorted(rains)).view(1, -1, 1, 1).expand(1, -1, 12, 15)
    assert (rising(factors, mm).diff(dim=1) >= 0).all()


def test_free_trees_fall_somewhere_and_are_refused_where_they_may_not(free, encoding, block):
    factors, _ = block
    mm = torch.arange(0.0, 400, 10).view(1, -1, 1, 1).expand(2, -1, 17, 23)
    assert (free(factors, mm).diff(dim=1) < 0).any()
    with pytest.raises(ValueError, match="falls as rain rises"):
        Boosting(encoding, True).load_state_dict(free.state_dict())


def test_unknown_rain_counts_as_none_and_more_than_was_trained_on_as_the_most(rising, encoding, block):
    factors, rain = block
    ask = rising.response(factors)
    assert torch.equal(ask(torch.full_like(rain, torch.nan)), ask(torch.zeros_like(rain)))
    assert torch.equal(ask(torch.full_like(rain, 9999)), ask(torch.full_like(rain, encoding.rain_max_mm)))
    assert torch.isfinite(rising(torch.full_like(factors, torch.nan), rain)).all()


def test_neither_block_nor_storms_nor_threads_change_a_byte(rising, block, monkeypatch):
    factors, rain = block
    whole = rising(factors, rain)
    assert whole.shape == (2, 3, 17, 23)
    around = [torch.nn.functional.pad(part, 4 * [SEEN_AROUND], value=torch.nan) for part in (factors, rain)]
    for top, left, height, width in ((0, 0, 1, 1), (3, 5, 7, 13), (0, 22, 17, 1)):
        rows, cols = slice(top, top + height + 2 * SEEN_AROUND), slice(left, left + width + 2 * SEEN_AROUND)
        tile = rising(*(part[..., rows, cols] for part in around))[..., SEEN_AROUND:-SEEN_AROUND, :]
        tile = tile[..., SEEN_AROUND:-SEEN_AROUND]
        assert torch.equal(tile, whole[..., top : top + height, left : left + width])
    for storm in range(3):
        assert torch.equal(rising(factors[1:], rain[1:, storm : storm + 1]), whole[1:, storm : storm + 1])
    monkeypatch.setattr(boosting, "CELLS_AT_ONCE", 37)
    assert torch.equal(rising(factors, rain), whole)


def test_state_round_trip(rising, encoding, block):
    state = {name: tensor.clone() for name, tensor in rising.state_dict().items()}
    assert set(state) == set(KINDS)
    within = torch.nn.ModuleDict({"trees": Boosting(encoding, True)})
    within.load_state_dict({f"trees.{name}": tensor for name, tensor in state.items()})
    assert torch.equal(within.train()["trees"](*block), rising(*block))
    with pytest.raises(RuntimeError, match="Missing key"):
        Boosting(encoding, True).load_state_dict({name: state[name] for name in list(state)[1:]})


def test_before_it_is_given_trees_it_says_nothing(encoding, block):
    assert (Boosting(encoding, True)(*block) == 0).all()


def first_inner(trees):
    return int(torch.nonzero(trees.feature >= 0)[0])


def changed(trees, name, at, value):
    array = getattr(trees, name).clone()
    array[at] = value
    return replace(trees, **{name: array})


TAMPERED = {
    "a child is its own parent": lambda t: changed(t, "left", first_inner(t), first_inner(t)),
    "a child stands before": lambda t: changed(t, "right", first_inner(t), 0),
    "a child stands beyond all": lambda t: changed(t, "right", first_inner(t), len(t.feature)),
    "a child is in another tree": lambda t: changed(t, "left", first_inner(t), int(t.roots[-1])),
    "an input that is none": lambda t: changed(t, "feature", first_inner(t), 99),
    "no leaf and no input": lambda t: changed(t, "feature", first_inner(t), -2),
    "a tree begins beyond": lambda t: changed(t, "roots", -1, len(t.feature)),
    "trees out of order": lambda t: replace(t, roots=t.roots.flip(0)),
    "the first begins late": lambda t: changed(t, "roots", 0, 1),
    "arrays of two lengths": lambda t: replace(t, value=t.value[:-1]),
    "no nodes": lambda t: replace(t, **{name: getattr(t, name)[:0] for name in KINDS}),
    "places that are no whole numbers": lambda t: replace(t, left=t.left.double()),
    "a table": lambda t: replace(t, value=t.value[:, None]),
    "a value that is no number": lambda t: changed(t, "value", 0, torch.nan),
    "a threshold without end": lambda t: changed(t, "threshold", first_inner(t), torch.inf),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_trees_that_do_not_fit_together_are_refused(rising, encoding, how):
    tampered = TAMPERED[how](nodes_of(rising))
    with pytest.raises(ValueError, match=r"tree|node"):
        Boosting(encoding, True, tampered)
    with pytest.raises(ValueError, match=r"tree|node"):
        Boosting(encoding, True).load_state_dict({name: getattr(tampered, name) for name in KINDS})


def test_inner_ground_chooses_trees_and_leaves(encoding, learn, factors_of, monkeypatch):
    monkeypatch.setattr(boosting, "MOST_TREES", 40)
    monkeypatch.setattr(boosting, "TREES_AT_ONCE", 20)
    inner = sample_of(factors_of, seed=5)
    model, figures = fit_boosting(encoding, learn, inner, monotone=True, seed=0)
    assert set(figures) == {"trees", "leaves", "inner_loss"}
    assert figures["leaves"] in boosting.LEAVES
    assert 20 < figures["trees"] <= 40
    assert len(model.roots) == figures["trees"] + 1
    x = inner.inputs(encoding)
    score = walk(np.ascontiguousarray(x[:, :-1]), x[:, -1:].astype(float), arrays(nodes_of(model)))[:, 0]
    p, weight = 1 / (1 + np.exp(-score)), inner.weights(learn.positive_weight)
    loss = -weight * np.log(np.where(inner.label == 1, p, 1 - p))
    assert figures["inner_loss"] == pytest.approx(loss.mean())


def test_growing_on_is_growing_at_once(encoding, learn, rising, factors_of, monkeypatch):
    """Trees grown twenty at a time are those grown all at once, to the last byte."""
    monkeypatch.setattr(boosting, "MOST_TREES", 40)
    monkeypatch.setattr(boosting, "TREES_AT_ONCE", 20)
    monkeypatch.setattr(boosting, "LEAVES", (boosting.LEAVES_UNTRIED,))
    model, figures = fit_boosting(encoding, learn, learn, monotone=True, seed=0)  # of what it learns, more is better
    assert figures["trees"] == 40
    count = len(model.feature)
    assert all(torch.equal(getattr(model, name), getattr(rising, name)[:count]) for name in KINDS if name != "roots")


def test_no_more_are_grown_than_help(encoding, learn, monkeypatch):
    monkeypatch.setattr(boosting, "TREES_AT_ONCE", 10)
    nonsense = replace(learn, label=np.random.default_rng(0).permutation(learn.label))
    grown = []
    monkeypatch.setattr(
        boosting, "read_out", lambda model, trees: grown.append(model.n_iter_) or read_out(model, trees)
    )
    assert fit_boosting(encoding, learn, nonsense, monotone=True, seed=0)[1]["trees"] <= 10
    assert grown == [20]


def test_too_few_cells_to_part_are_all_said_to_be_alike(encoding, learn, block):
    few = np.r_[np.flatnonzero(learn.label == 1)[:5], np.flatnonzero(learn.label == 0)[:20]]
    sample = Sample(learn.factors[:, few], learn.around[:, few], learn.rain[few], learn.label[few], np.ones(25))
    model, _ = fit_boosting(encoding, sample, None, monotone=True, seed=0)
    assert len(model(*block).unique()) == 1


def test_where_nothing_can_choose_it_is_said_beforehand(encoding, learn, rising):
    stable = replace(learn, label=np.zeros_like(learn.label))
    again, figures = fit_boosting(encoding, learn, stable, monotone=True, seed=0)
    assert figures == {"trees": 50.0, "leaves": 15.0}
    assert all(
        torch.equal(getattr(again, name), getattr(rising, name)) for name in KINDS
    )  # and the same seed, the same


def test_a_class_weight_asked_for_is_used(encoding, learn, rising, block):
    heavy, _ = fit_boosting(encoding, learn, None, monotone=True, seed=0, positive_weight=500.0)
    assert heavy(*block).mean() > rising(*block).mean() + 1
