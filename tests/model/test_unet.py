import numpy as np
import pytest
import torch

from lswarn.model.encoder import CONTINUOUS, Encoder, Encoding
from lswarn.model.networks import RARE, build
from lswarn.model.surroundings import CHANNELS
from lswarn.model.unet import halo
from lswarn.sections import FACTORS, Model


@pytest.fixture
def encoding(factors_of):
    return Encoding.measured(factors_of(40, 50).reshape(10, -1), np.array([0.0, 100.0, 400.0, np.nan], np.float32))


def at(name, value, factors):
    changed = factors.copy()
    changed[FACTORS.index(name)] = value
    return torch.from_numpy(changed[None])


def test_encoding_is_learnt_from_the_cells(encoding):
    assert encoding.mean[CONTINUOUS.index("fault_distance")] == pytest.approx(np.log1p(3250), rel=0.01)
    assert encoding.std[CONTINUOUS.index("seismic_intensity")] == 1.0  # a constant factor
    assert encoding.landforms == tuple(range(1, 11))
    assert encoding.rock_types == (1, 2)
    assert (encoding.rain_mean_mm, encoding.rain_max_mm) == (pytest.approx(500 / 3), 400)


def test_north_is_near_itself_and_flat_ground_has_no_direction(encoding, factors_of):
    encoder, factors = Encoder(encoding).eval(), factors_of(8, 8)
    north, almost, flat = (encoder(at("aspect", value, factors)) for value in (0.0, 359.9, -1.0))
    assert torch.allclose(north, almost, atol=1e-2)  # what gathers, too
    before = len(CONTINUOUS) + CHANNELS
    direction = slice(before, before + 2)
    assert (flat[:, direction] == 0).all()
    assert (north[:, direction].norm(dim=1) == 1).all()


def test_unknown_is_the_mean_and_an_unseen_code_is_unknown(encoding, factors_of):
    encoder, factors = Encoder(encoding).eval(), factors_of(8, 8)
    assert (encoder(torch.full((1, 10, 8, 8), torch.nan)) == 0).all()
    assert torch.equal(encoder(at("rock_type", 7.0, factors)), encoder(at("rock_type", np.nan, factors)))
    assert not torch.equal(encoder(at("rock_type", 1.0, factors)), encoder(at("rock_type", 2.0, factors)))


def test_values_never_seen_count_as_the_farthest_seen(encoding, factors_of):
    encoder, factors = Encoder(encoding).eval(), factors_of(8, 8)
    assert torch.equal(encoder(at("slope", 89.0, factors)), encoder(at("slope", 60.0, factors)))


@pytest.mark.parametrize("rain", ["monotone", "channel"])
def test_storms_are_seen_one_by_one_or_together_alike(encoding, factors_of, rain):
    torch.manual_seed(0)
    network = build(Model(rain=rain, base_width=4, depth=2), encoding).eval()
    factors = torch.from_numpy(np.stack([factors_of(16, 24, seed) for seed in (1, 2)]))
    rains = torch.rand(2, 3, 16, 24) * 300
    together = network(factors, rains)
    assert together.shape == (2, 3, 16, 24)
    for storm in range(3):
        assert torch.allclose(network(factors, rains[:, storm : storm + 1]), together[:, storm : storm + 1], atol=1e-5)


def test_no_rain_adds_nothing_and_beyond_the_most_trained_on_nothing_more(encoding, factors_of):
    network = build(Model(base_width=4, depth=1), encoding).eval()
    factors = torch.from_numpy(factors_of(8, 8)[None])

    def ask(mm):
        return network(factors, torch.full((1, 1, 8, 8), mm))

    assert torch.equal(ask(0.0), network.trunk(network.encoder(factors))[:, :1] + RARE)
    assert torch.equal(ask(400.0), ask(4000.0))
    assert (ask(400.0) > ask(0.0)).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halo_is_as_far_as_the_network_sees(encoding, depth):
    """A change one cell beyond the halo moves nothing; with positive weights a change near enough moves something."""
    trunk = build(Model(base_width=4, depth=depth), encoding).eval().trunk
    with torch.no_grad():
        for weight in trunk.parameters():
            weight.abs_()
    reach, phase = halo(depth), 2**depth
    assert reach % phase == 0
    size = 2 * reach + 4 * phase
    x = torch.ones(1, encoding.channels, size, size)
    before = trunk(x)
    seen = 0
    for middle in range(reach + phase, reach + 2 * phase):
        changed = x.clone()
        changed[..., middle, middle] += 100
        moved = (trunk(changed) != before).any(1)[0].any(0).nonzero()[:, 0]
        seen = max(seen, middle - int(moved.min()), int(moved.max()) - middle)
    assert reach - phase < seen <= reach
