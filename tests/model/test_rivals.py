import numpy as np
import pytest
import torch

from lswarn.model.encoder import Encoding
from lswarn.model.holdout import hold_out
from lswarn.model.networks import ChannelNetwork, MonotoneNetwork, build, phase, reach
from lswarn.model.rivals import BLOCKS, RESNET_REACH, Perceptron, ResNet
from lswarn.model.surroundings import HOLLOW_WIDTHS, SEEN_AROUND
from lswarn.model.unet import UNet, halo, sight
from lswarn.sections import FACTORS, Model

RIVALS = {"bpnn": Perceptron, "resnet": ResNet}


@pytest.fixture
def encoding(factors_of):
    return Encoding.measured(factors_of(40, 50).reshape(10, -1), np.array([0.0, 100.0, 400.0], np.float32))


@pytest.mark.parametrize("network", RIVALS)
@pytest.mark.parametrize(("rain", "kind"), [("monotone", MonotoneNetwork), ("channel", ChannelNetwork)])
def test_a_rival_takes_the_place_of_the_unet_alone(encoding, factors_of, network, rain, kind):
    """Same inputs, same heads, any height and width, and storms seen one by one or together alike."""
    torch.manual_seed(0)
    rival = build(Model(network=network, rain=rain, base_width=4), encoding).eval()
    unet = build(Model(rain=rain, base_width=4), encoding)
    assert isinstance(rival, kind)
    assert isinstance(unet, kind)
    assert (type(rival.trunk), type(unet.trunk)) == (RIVALS[network], UNet)
    factors = torch.from_numpy(np.stack([factors_of(17, 23, seed) for seed in (1, 2)]))
    rains = torch.rand(2, 3, 17, 23) * 300
    together = rival(factors, rains)
    assert together.shape == (2, 3, 17, 23)
    for storm in range(3):
        assert torch.allclose(rival(factors, rains[:, storm : storm + 1]), together[:, storm : storm + 1], atol=1e-5)


def moved(trunk, inputs, size=31):
    """How far from a changed cell anything changes, with positive weights, so that nothing cancels out."""
    with torch.no_grad():
        for weight in trunk.parameters():
            weight.abs_()
        x = torch.ones(1, inputs, size, size)
        before = trunk.eval()(x)
        x[..., size // 2, size // 2] += 100
        cells = (trunk(x) != before).any(1)[0].nonzero()
    return int((cells - size // 2).abs().max())


def test_each_sees_as_far_as_it_says():
    torch.manual_seed(0)
    assert moved(Perceptron(9, 3, 16), 9) == 0
    assert moved(ResNet(9, 3, 8), 9) == RESNET_REACH == 1 + 2 * BLOCKS
    assert [phase(Model(network=network, depth=3)) for network in ("unet", "bpnn", "resnet")] == [8, 1, 1]


WIDEST = max(HOLLOW_WIDTHS) // 2


@pytest.mark.parametrize(
    ("network", "beyond"),
    [("bpnn", 0), ("logistic", 0), ("resnet", RESNET_REACH), ("unet", halo(1)), ("ensemble", halo(1))],
)
def test_what_its_inputs_see_is_part_of_it(encoding, factors_of, network, beyond):
    """A sharp spur on even ground, through hollows and trunk; with positive weights nothing cancels out."""
    config = Model(network=network, base_width=4, depth=1)
    model = build(config, encoding).eval()
    for name, weight in model.state_dict().items():
        if name.endswith("weight"):
            weight.copy_(weight.abs() + 0.01)
    size = 2 * reach(config) + 10
    even = torch.from_numpy(factors_of(size, size)[None])
    even[:, FACTORS.index("curvature")] = 0
    spur, rain = even.clone(), torch.zeros(1, 1, size, size)
    spur[:, FACTORS.index("curvature"), size // 2, size // 2] = 0.3
    seen = int(((model(spur, rain) != model(even, rain))[0, 0].nonzero() - size // 2).abs().max())
    slack = 2 if "unet" in (network, *getattr(model, "members", ())) else 0  # as the cell lies in the phase
    farthest = WIDEST + beyond
    assert farthest - slack <= seen <= farthest <= reach(config)


def test_no_model_sees_farther_than_the_guard_band_of_any_depth(world_of):
    grid = world_of(400, 60).factors.grid
    for depth in (1, 2, 3):
        guard = hold_out(grid, Model(depth=depth)).guard
        assert guard == sight(depth) >= halo(depth) + SEEN_AROUND
        assert guard % 2**depth == 0
        for network in ("unet", "ensemble", "bpnn", "resnet", "slope", "logistic", "boosting"):
            assert SEEN_AROUND <= reach(Model(network=network, depth=depth)) <= guard


def test_a_block_that_has_learnt_nothing_adds_nothing():
    trunk = ResNet(9, 3, 8).eval()
    x = torch.randn(1, 9, 7, 7)
    with torch.no_grad():
        for block in trunk.blocks:
            block[-1].weight.zero_()
        assert torch.allclose(trunk(x), trunk.out(trunk.stem(x)), atol=1e-6)
