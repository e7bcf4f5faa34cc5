import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import TrainingError
from lswarn.model import cells
from lswarn.model.cells import Sample, draw_cells
from lswarn.model.encoder import Encoder, Encoding
from lswarn.model.samples import Observed
from lswarn.sections import FACTORS

EVERY = (0, 1, 2)


@pytest.fixture(scope="module")
def observed(world):
    return Observed(world.snapshot, world.factors.grid)


def everywhere(block):
    return np.ones(block.shape, bool)


def west(block):
    return np.broadcast_to(np.arange(block.col, block.col + block.width) < 65, block.shape)


def drawn(world, observed, ground=everywhere, scenes=EVERY, *, side=48, seed=0, **most):
    return draw_cells(world.factors, observed, world.factors.grid.blocks(side), ground, scenes, seed=seed, **most)


def test_where_there_are_not_too_many_every_known_cell_is_drawn_once(world, observed):
    whole = world.factors.grid.whole
    seen = observed.at(whole, world.factors.read(whole), EVERY)
    sample = drawn(world, observed)
    assert (sample.label == 1).sum() == (seen.label == 1).sum() > 0
    assert (sample.label == 0).sum() == (seen.label == 0).sum()
    assert (sample.stands_for == 1).all()
    assert sample.factors.shape == (10, len(sample.rain)) == (10, len(sample.label))
    assert not np.isnan(sample.factors).any()
    assert not np.isnan(sample.rain).any()
    for label in (0, 1):
        assert np.sort(sample.rain[sample.label == label]) == pytest.approx(np.sort(seen.rain[seen.label == label]))


def test_those_drawn_stand_for_those_that_were_not(world, observed):
    every, few = drawn(world, observed), drawn(world, observed, positives=50, negatives=400)
    assert [(few.label == label).sum() for label in (1, 0)] == [50, 400]
    assert few.stands_for[few.label == 1].sum() == pytest.approx((every.label == 1).sum())
    assert few.stands_for[few.label == 0].sum() == pytest.approx((every.label == 0).sum())
    assert few.positive_weight == pytest.approx(every.positive_weight)


def test_all_places_and_rains_are_drawn_alike(world, observed):
    """West and east, first scene and last: each has its share, to four standard deviations."""
    every, few = drawn(world, observed), drawn(world, observed, negatives=4000)
    for of in (lambda s: s.factors[FACTORS.index("rock_type")], lambda s: s.rain):
        all_of, some_of = of(every)[every.label == 0], of(few)[few.label == 0]
        for value in np.unique(all_of):
            share = (all_of == value).mean()
            assert (some_of == value).mean() == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5)


def test_only_the_ground_and_the_scenes_asked_for(world, observed):
    sample = drawn(world, observed, west, [1])
    rock_type = sample.factors[FACTORS.index("rock_type")]
    whole = world.factors.grid.whole
    ground, seen = world.factors.read(whole), observed.at(whole, world.factors.read(whole), [1])
    assert len(sample.rain) == (~np.isnan(seen.label[0]) & west(whole)).sum()
    assert set(rock_type) == set(ground[FACTORS.index("rock_type")][west(whole)])
    assert set(sample.rain) == {300.0}
    nothing = drawn(world, observed, lambda block: np.zeros(block.shape, bool))
    assert nothing.factors.shape == (10, 0)


def test_same_seed_same_cells(world, observed, monkeypatch):
    few = {"positives": 50, "negatives": 400}
    first, again = drawn(world, observed, **few), drawn(world, observed, **few)
    other = drawn(world, observed, seed=1, **few)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    assert not np.array_equal(first.factors, other.factors)
    monkeypatch.setattr(cells, "SCENES_AT_ONCE", 1)
    assert np.array_equal(drawn(world, observed, **few).factors, first.factors)


def sample_of(labels, stands_for):
    n = len(labels)
    return Sample(
        np.zeros((10, n), np.float32),
        np.zeros((3, n), np.float32),
        np.zeros(n, np.float32),
        np.array(labels, np.uint8),
        stands_for,
    )


def test_the_class_weight_is_a_quarter_of_the_balance_of_the_ground():
    assert sample_of([1, 0, 0], np.array([2.0, 40, 40])).positive_weight == 10
    assert sample_of([1, 1, 0], np.ones(3)).positive_weight == 1


@given(st.lists(st.tuples(st.booleans(), st.floats(1, 1e4)), min_size=1, max_size=20), st.floats(1, 1e3))
def test_weights_are_one_in_the_mean(cells, positive_weight):
    sample = sample_of([int(slid) for slid, _ in cells], np.array([n for _, n in cells]))
    weights = sample.weights(positive_weight)
    assert weights.mean() == pytest.approx(1)
    each = weights / np.where(sample.label == 1, positive_weight, 1) / sample.stands_for
    assert each == pytest.approx(each[0])


@pytest.mark.parametrize(("label", "said"), [(0, "no landslide lies where"), (1, "every known cell slid")])
def test_one_label_teaches_nothing(label, said):
    with pytest.raises(TrainingError, match=said):
        _ = sample_of([label] * 3, np.ones(3)).positive_weight


def test_inputs_are_what_the_encoder_makes_and_the_rain_up_to_the_most_trained_on(world, observed):
    sample = drawn(world, observed, positives=50, negatives=400)
    encoding = Encoding.measured(sample.factors, np.array([0.0, 200.0], np.float32))
    inputs = sample.inputs(encoding)
    assert inputs.shape == (450, encoding.channels + 1)
    assert np.isfinite(inputs).all()
    slope = Encoder(encoding).eval()(torch.from_numpy(sample.factors[None, :, None]))[0, 0, 0].numpy()
    assert inputs[:, 0] == pytest.approx(slope)
    assert inputs[:, -1] == pytest.approx(sample.rain.clip(max=200))
