"""How fast a network and trees go, beside what this machine can do: `python ops/bench/network.py`.

The machine's own rate is that of the best of a few matrix products in bfloat16, in the same minute. A convolution
cannot be faster; how near the whole network comes is its share. One thread for each, for blocks are worked out side by
side; times are of the processor, so that a neighbour on the machine counts for little.
"""

import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from lswarn.model.boosting import fit_boosting
from lswarn.model.cells import Sample
from lswarn.model.coarse import Coarse
from lswarn.model.encoder import Encoder, Encoding
from lswarn.model.inverse import Inverse
from lswarn.model.linear import Linear
from lswarn.model.networks import Ensemble
from lswarn.model.surroundings import CHANNELS, surroundings
from lswarn.model.unet import UNet
from lswarn.sections import FACTORS

SIDE = 512
OUTPUTS = 9
PRODUCTS = ((2048, 2048, 2048), (16384, 1024, 512), (65536, 288, 32), (65536, 576, 64))
"""Shapes (m, k, n) of matrix products: of the square kind, and of those that convolutions of a U-Net come down to."""


def seconds(work: Callable[[], object], least: float = 0.5) -> float:
    """Processor time of the fastest run of a few."""
    work()
    best, spent = np.inf, 0.0
    while spent < least:
        start = time.thread_time()
        work()
        best = min(best, took := time.thread_time() - start)
        spent += took
    return float(best)


def product_rate(kind: torch.dtype) -> float:
    """GFLOP/s of the best matrix product."""
    rates = []
    for m, k, n in PRODUCTS:
        a, b = torch.randn(m, k).to(kind), torch.randn(k, n).to(kind)
        rates.append(2e-9 * m * k * n / seconds(lambda a=a, b=b: a @ b))  # type: ignore[misc]
    return max(rates)


def flops_a_cell(trunk: UNet) -> float:
    """Of the convolutions."""
    total = 0.0

    def count(module: nn.Module, _: object, out: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        total_here = 2 * module.in_channels * module.kernel_size[0] * module.kernel_size[1] * out.numel()
        nonlocal total
        total += total_here

    hooks = [m.register_forward_hook(count) for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    trunk(torch.zeros(1, trunk.down[0][0].in_channels, 64, 64))  # type: ignore[index, union-attr]
    for hook in hooks:
        hook.remove()
    return total / 64**2


def made_factors(side: int) -> np.ndarray:
    """Smooth made ground [10, side, side]."""
    y, x = np.mgrid[:side, :side] / 40.0
    bumps = np.sin(x) + np.cos(y * 1.3) + 0.3 * np.sin(3 * x + 2 * y)
    by_name = {
        "slope": 18 + 9 * bumps,
        "aspect": np.degrees(np.arctan2(np.sin(y), np.cos(x))) % 360,
        "curvature": 0.01 * np.sin(2 * x) * np.cos(y),
        "landform": 1 + (x.astype(int) + y.astype(int)) % 10,
        "rock_type": 1 + x.astype(int) % 7,
        "river_distance": 300 * (1 + np.sin(x / 2)),
        "fault_distance": 3000 * (1 + np.cos(y / 3)),
        "rainfall": 1200 + 50 * y,
        "temperature": 12 - y,
        "seismic_intensity": 0.1 + x / 100,
    }
    return np.stack([by_name[name] for name in FACTORS]).astype(np.float32)


def blend(factors: np.ndarray) -> tuple[Ensemble, Encoding]:
    """A blend of a hundred trees of fifteen leaves and a weighted sum, taught on made landslides."""
    rng = np.random.default_rng(0)
    around = surroundings(torch.from_numpy(factors)[None])[0].numpy().reshape(CHANNELS, -1)
    cells = rng.choice(factors[0].size, 20_000, replace=False)
    rain = rng.gamma(2, 60, len(cells)).astype(np.float32)
    odds = 0.1 * factors[0].ravel()[cells] + rain / 80 - 6
    label = (rng.random(len(cells)) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    sample = Sample(factors.reshape(10, -1)[:, cells], around[:, cells], rain, label, np.ones(len(cells)))
    encoding = Encoding.measured(sample.factors, rain)
    trees, _ = fit_boosting(encoding, sample, None, monotone=True, seed=0, size=(100, 15))
    line = Linear(encoding)
    line.rain_weight.fill_(0.5)
    return Ensemble(encoding, {"boosting": trees, "logistic": line}), encoding


def main() -> None:
    """Print what each part does in a second of one core."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    factors = made_factors(SIDE)
    block, cells = torch.from_numpy(factors)[None], SIDE**2
    with torch.inference_mode():
        network, encoding = blend(factors)
        inverse = Inverse(network, encoding.rain_max_mm)
        wanted = np.quantile(network(block, torch.full((1, 1, SIDE, SIDE), 150.0)), [0.5, 0.7, 0.9, 0.97])
        encoder = Encoder(encoding).eval()
        for what, work in {
            "surroundings": lambda: surroundings(block),
            "encoder, surroundings too": lambda: encoder(block),
            "blend turned around": lambda: inverse(block, wanted.astype(np.float32)),
            "blend under one rain": lambda: network(block, torch.full((1, 1, SIDE, SIDE), 150.0)),
        }.items():
            print(f"{what:40s} {cells / seconds(work) / 1e6:8.2f} M cells/s of a core")

        top = {kind: product_rate(kind) for kind in (torch.float32, torch.bfloat16)}
        print(f"{'matrix product':40s} {top[torch.float32]:8.0f} GFLOP/s float32, {top[torch.bfloat16]:.0f} bfloat16")
        seen = encoder(block)
        for width in (8, 32):
            trunk = UNet(encoding.channels, OUTPUTS, width, 3).eval()
            flops = flops_a_cell(trunk)
            for name, asked in (
                ("float32", trunk),
                ("bfloat16", Coarse(deepcopy(trunk))),
            ):
                took = seconds(lambda asked=asked: asked(seen))  # type: ignore[misc]
                rate = flops * cells / took / 1e9
                print(
                    f"U-Net of {width:2d}, {name:9s} {flops / 1e3:6.0f} kFLOP a cell {cells / took / 1e6:8.2f} M "
                    f"cells/s {rate:7.0f} GFLOP/s {rate / top[torch.bfloat16]:6.0%} of the bfloat16 product"
                )
        with profile(activities=[ProfilerActivity.CPU]) as told:
            asked(seen)
        print(told.key_averages().table(sort_by="self_cpu_time_total", row_limit=8, max_name_column_width=40))


if __name__ == "__main__":
    main()
