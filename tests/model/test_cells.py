import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import TrainingError
from lswarn.model import cells
from lswarn.model.cells import Sample, draw_cells
from lswarn.model.encoder import BROAD, CONTINUOUS, Encoder, Encoding
from lswarn.model.samples import Observed
from lswarn.model.surroundings import CHANNELS, surroundings
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
    assert sample.around.shape == (CHANNELS, len(sample.rain))
    assert not np.isnan(sample.around).any()
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
    # In the world as in the sample; curvature at hand tells the cells apart.
    curvature = world.factors.values[FACTORS.index("curvature")].ravel()
    order = curvature.argsort()
    at = order[np.searchsorted(curvature[order], sample.factors[FACTORS.index("curvature")])]
    whole = Encoder(encoding).eval()(torch.from_numpy(world.factors.values[None]))[0].flatten(1)
    assert inputs[:, :-1] == pytest.approx(whole[:, at].numpy().T)
    assert inputs[:, -1] == pytest.approx(sample.rain.clip(max=200))


def test_blurred_inputs_are_shifted_and_hidden_cell_by_cell(world, observed):
    """What hardly changes across a crop moves by about a standard deviation, and three rock types in ten are hidden."""
    sample = drawn(world, observed, positives=50, negatives=4000)
    encoding = Encoding.measured(sample.factors, sample.rain)
    plain, blurred = sample.inputs(encoding), sample.inputs(encoding, blurred=True)
    moved = blurred - plain
    broad = [CONTINUOUS.index(name) for name in BROAD if name != "seismic_intensity"]  # which is the same everywhere
    rock = range(encoding.channels - len(encoding.rock_types), encoding.channels)
    assert moved[:, broad].mean(0) == pytest.approx(0, abs=0.1)
    assert moved[:, broad].std(0) == pytest.approx(1, abs=0.1)
    hidden = blurred[:, rock].sum(1) == 0
    assert hidden.mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(blurred[~hidden][:, rock], plain[~hidden][:, rock])
    others = [k for k in range(encoding.channels + 1) if k not in (*broad, *rock)]
    assert np.array_equal(blurred[:, others], plain[:, others])
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert np.array_equal(sample.inputs(encoding, blurred=True), blurred)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("side", [16, 50, 256])
def test_hollows_are_those_of_the_whole_at_block_borders_too(world_of, side):
    world = world_of(61, 77)
    values = world.factors.values
    values[FACTORS.index("curvature"), 20:30, 10:40] = np.nan  # leaves its neighbours something to see
    values[FACTORS.index("temperature")] = np.arange(61 * 77).reshape(61, 77)  # each cell's own
    sample = drawn(world, Observed(world.snapshot, world.factors.grid), side=side, scenes=[0])
    at = sample.factors[FACTORS.index("temperature")].astype(int)
    assert len(set(at)) == len(at) == (~np.isnan(values).any(0)).sum()
    whole = surroundings(torch.from_numpy(values)[None])[0].numpy().reshape(CHANNELS, -1)
    assert sample.around.tobytes() == whole[:, at].tobytes()
