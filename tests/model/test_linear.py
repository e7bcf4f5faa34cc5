import numpy as np
import pytest
import torch

from lswarn.model.cells import Sample
from lswarn.model.encoder import CONTINUOUS, Encoding, tenths
from lswarn.model.linear import fit_linear
from lswarn.model.surroundings import CHANNELS, surroundings
from lswarn.sections import FACTORS

SLOPE = FACTORS.index("slope")
SHAPE = (60, 80)


def sample_of(factors_of, rises=0.02, seed=0):
    """Cells that slide where they are steep and it rained much, or, where `rises` is negative, little."""
    rng = np.random.default_rng(seed)
    whole = factors_of(*SHAPE, seed)
    factors, around = (
        whole.reshape(10, -1),
        surroundings(torch.from_numpy(whole)[None])[0].numpy().reshape(CHANNELS, -1),
    )
    rain = rng.uniform(0, 400, factors.shape[1]).astype(np.float32)
    odds = 0.3 * (factors[SLOPE] - 25) + rises * (rain - 200) - 1
    label = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    return Sample(factors, around, rain, label, np.ones(len(label)))


@pytest.fixture
def learn(factors_of):
    return sample_of(factors_of)


@pytest.fixture
def encoding(learn):
    return Encoding.measured(learn.factors, learn.rain)


def asked(model, sample):
    """About the ground that the cells are all of."""
    factors, rain = (torch.from_numpy(part).view(1, -1, *SHAPE) for part in (sample.factors, sample.rain))
    return model(factors, rain).flatten().double().numpy()


def test_logistic_regression_is_that_of_scikit_learn(learn, encoding):
    from sklearn.linear_model import LogisticRegression

    learnt, x = (learn.inputs(encoding, blurred=blurred).astype(float) for blurred in (True, False))
    x[:, -1] = tenths(torch.from_numpy(learn.rain))
    unit = [1] * encoding.channels + [100]
    theirs = LogisticRegression(C=1, max_iter=1000)
    theirs.fit(learnt / unit, learn.label, sample_weight=learn.weights(learn.positive_weight))
    ours = fit_linear(encoding, learn, slope_only=False)
    assert asked(ours, learn) == pytest.approx(theirs.decision_function(x / unit), abs=1e-4)
    assert ours.log_odds(x.astype(np.float32)) == pytest.approx(asked(ours, learn), abs=1e-4)


def test_slope_alone_knows_nothing_else(learn, encoding):
    model = fit_linear(encoding, learn, slope_only=True)
    used = model.weight.nonzero().flatten().tolist()
    assert used == [CONTINUOUS.index("slope")]
    assert model.weight[used] > 0
    assert model.rain_weight == 0


def test_rain_never_takes_away(factors_of, encoding):
    """Where the cells say that it does, rain is left out, and the other weights are those without it."""
    dry = sample_of(factors_of, rises=-0.02)
    model = fit_linear(encoding, dry, slope_only=False)
    assert model.rain_weight == 0
    assert model.weight[CONTINUOUS.index("slope")] > 0
    assert model.bias != 0


def test_more_rain_means_more_up_to_the_most_trained_on_and_unknown_rain_none(learn, encoding, factors_of):
    model = fit_linear(encoding, learn, slope_only=False)
    factors = torch.from_numpy(np.stack([factors_of(5, 7, seed) for seed in (1, 2)]))
    most = np.ceil(10 * encoding.rain_max_mm) / 10
    mm = torch.tensor([0.0, 10, 200, most, 5000, torch.nan])
    logit = model(factors, mm.view(1, -1, 1, 1).expand(2, -1, 5, 7))
    assert logit.shape == (2, 6, 5, 7)
    assert (logit[:, :4].diff(dim=1) > 0).all()
    assert torch.equal(logit[:, 4], logit[:, 3])
    assert torch.equal(logit[:, 5], logit[:, 0])
    together = model.response(factors)
    assert torch.equal(together(mm.view(1, -1, 1, 1).expand(2, -1, 5, 7)), logit)


def test_a_class_weight_asked_for_is_used(learn, encoding):
    plain, heavy = (fit_linear(encoding, learn, slope_only=False, positive_weight=weight) for weight in (None, 50.0))
    assert heavy.bias > plain.bias + 1


def test_it_is_always_ready_to_be_asked_and_survives_its_state(learn, encoding):
    model = fit_linear(encoding, learn, slope_only=False)
    again = type(model)(encoding)
    again.load_state_dict(model.state_dict())
    assert np.array_equal(asked(again.train(), learn), asked(model, learn))
