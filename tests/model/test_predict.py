from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from lswarn.errors import GridMismatch, ModelError
from lswarn.grid import Grid
from lswarn.model.calibrate import rise
from lswarn.model.encoder import tenths
from lswarn.model.networks import KNOTS_MM
from lswarn.model.predict import Predictor, device_of
from lswarn.model.rivals import RESNET_REACH
from lswarn.model.surroundings import SEEN_AROUND
from lswarn.sections import FACTORS

NETWORKS = ("unet", "bpnn", "resnet")


def by_blocks(predictor, world, rain, side):
    """Probabilities of the whole grid, block by block with halo."""
    grid: Grid = world.factors.grid
    whole = np.full(grid.shape, -1, np.float32)
    halo = predictor.halo
    padded = np.pad(rain, halo, constant_values=np.nan)
    for block in grid.blocks(side):
        rows, cols = block.slices()
        mm = padded[rows.start : rows.stop + 2 * halo, cols.start : cols.stop + 2 * halo]
        found = predictor.probability(world.factors.read(block.with_halo(halo)), mm)
        whole[rows, cols] = found[halo : halo + block.height, halo : halo + block.width]
    return whole


@pytest.mark.parametrize("rain", ["monotone", "channel"])
@pytest.mark.parametrize(("depth", "sides"), [(1, (16, 50, 96)), (2, (16, 64)), (3, (24, 72))])
def test_tiles_equal_the_whole(fresh, world_of, rain, depth, sides):
    """On a grid that no block size divides, with unknown holes; every cell is predicted."""
    world = world_of(91, 117)
    world.factors.values[4, 40:45, 60:80] = np.nan
    predictor = Predictor(fresh(depth, rain), "cpu")
    mm = np.random.default_rng(1).uniform(0, 300, (91, 117)).astype(np.float32)
    whole = by_blocks(predictor, world, mm, 256)
    assert np.array_equal(np.isnan(whole), np.isnan(world.factors.values).any(0))
    assert np.nanstd(np.log(whole)) > 0.05
    for side in sides:
        assert np.allclose(by_blocks(predictor, world, mm, side), whole, rtol=1e-4, atol=0, equal_nan=True)


@pytest.mark.parametrize(("network", "halo"), [("bpnn", SEEN_AROUND), ("resnet", SEEN_AROUND + RESNET_REACH)])
def test_tiles_of_a_rival_equal_the_whole(fresh, world_of, network, halo):
    world = world_of(61, 77)
    world.factors.values[4, 30:35, 40:60] = np.nan
    predictor = Predictor(fresh(network=network), "cpu")
    assert predictor.halo == halo
    mm = np.random.default_rng(1).uniform(0, 300, (61, 77)).astype(np.float32)
    whole = by_blocks(predictor, world, mm, 256)
    assert np.array_equal(np.isnan(whole), np.isnan(world.factors.values).any(0))
    for side in (7, 32):
        assert np.allclose(by_blocks(predictor, world, mm, side), whole, rtol=1e-4, atol=0, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 600, width=32), min_size=2, max_size=6), st.integers(0, 5), st.sampled_from(NETWORKS))
def test_more_rain_never_lowers_a_probability(fresh, factors_of, rains, seed, network):
    predictor = Predictor(fresh(1, seed=seed, network=network), "cpu")
    factors = factors_of(20, 30, seed)
    found = [predictor.probability(factors, np.full((20, 30), mm, np.float32)) for mm in sorted(rains)]
    assert all((low <= high).all() for low, high in pairwise(found))


def test_trained_model_too_never_falls_and_does_rise(trained, world):
    predictor = Predictor(trained, "cpu")
    rains = np.linspace(0, 500, 101, dtype=np.float32)[:, None, None] * np.ones((1, 96, 130), np.float32)
    found = predictor.probabilities(world.factors.values, rains)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[-1] > found[0]).mean() > 0.99


def test_beyond_the_most_rain_trained_on(trained, world):
    predictor = Predictor(trained, "cpu")
    assert predictor.rain_max_mm == 300
    at_most, beyond = (
        predictor.probability(world.factors.values, np.full((96, 130), mm, np.float32)) for mm in (300, 900)
    )
    assert np.array_equal(at_most, beyond)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(FACTORS), st.integers(0, 20), st.integers(0, 22), st.sampled_from(["monotone", "channel"]))
def test_unknown_in_unknown_out(fresh, factors_of, name, row, col, rain):
    predictor = Predictor(fresh(1, rain), "cpu")
    factors, mm = factors_of(21, 23), np.full((21, 23), 50, np.float32)
    factors[FACTORS.index(name), row, col] = np.nan
    mm[20 - row, 22 - col] = np.nan
    unknown = np.isnan(predictor.probability(factors, mm))
    assert {tuple(cell) for cell in np.argwhere(unknown)} == {(row, col), (20 - row, 22 - col)}


def test_odds_are_those_of_the_score_over_the_weight(fresh, factors_of):
    checkpoint = fresh(2)
    factors, mm = factors_of(16, 20), np.full((16, 20), 70, np.float32)
    with torch.no_grad():
        logit = checkpoint.network()(torch.from_numpy(factors)[None], torch.from_numpy(mm)[None, None])
    score = torch.sigmoid(logit)[0, 0].numpy()
    weight = checkpoint.positive_weight
    assert np.allclose(
        Predictor(checkpoint, "cpu").probability(factors, mm), score / (score + weight * (1 - score)), rtol=1e-4
    )


def classes(predictor, factors, rains):
    """By the network, 0 the lowest, [S, H, W]."""
    return np.digitize(predictor.probabilities(factors, rains), predictor.breaks)


def whole_tenths(rain):
    """As a day is judged by."""
    return tenths(torch.from_numpy(rain)).numpy()


def by_critical(critical, rains):
    return (rains[:, np.newaxis] >= critical).sum(1)


rain_mm = st.one_of(st.floats(0, 600, width=32), st.sampled_from([*KNOTS_MM, 400.0]))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(rain_mm, min_size=1, max_size=4),
    st.lists(st.floats(5e-4, 0.3), min_size=4, max_size=4, unique=True),
    st.integers(0, 9),
    st.sampled_from(NETWORKS),
)
def test_classes_by_critical_rainfall_are_those_of_the_network(fresh, factors_of, rains, breaks, seed, network):
    """Under an even rain and one that is different in every cell, with breaks within, below and above what is said."""
    predictor = Predictor(replace(fresh(1, seed=seed, network=network), breaks=tuple(sorted(breaks))), "cpu")
    factors = factors_of(50, 60, seed)
    fields = np.array(rains, np.float32)[:, None, None] * np.ones((1, 50, 60), np.float32)
    patchy = np.random.default_rng(seed).uniform(0, 500, (4, 50, 60)).astype(np.float32)
    fields = whole_tenths(np.concatenate([fields, patchy]))
    critical = predictor.critical_rainfall(factors)
    assert np.array_equal(by_critical(critical, fields), classes(predictor, factors, fields))
    assert (critical[1:] >= critical[:-1]).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_tenth_of_a_millimetre_decides(fresh, factors_of, network):
    predictor, factors = Predictor(fresh(1, network=network), "cpu"), factors_of(80, 90)
    critical = predictor.critical_rainfall(factors)
    assert ((critical > 0.1) & (critical < 399)).mean() > 0.2
    on_the_tenth(predictor, factors, critical)


def on_the_tenth(predictor, factors, critical):
    """In the class from exactly that rain on, not a tenth earlier; never where none is found, even under the most."""
    for number, mm in enumerate(critical, 1):
        within = np.isfinite(mm)
        steps = np.rint(10 * np.where(within, mm, 0).astype(np.float64))
        at, before, most = (
            classes(predictor, factors, (each / 10).astype(np.float32)[np.newaxis])[0]
            for each in (steps, np.maximum(steps - 1, 0), np.full(mm.shape, 90_000.0))
        )
        assert (at >= number)[within].all()
        assert (before < number)[within & (mm > 0)].all()
        assert (most < number)[np.isinf(mm)].all()


@pytest.mark.parametrize("kind", ["ensemble", "blend", "boosting", "logistic"])
def test_rain_on_the_threshold_of_a_joint_model(joint, world, kind):
    checkpoint = replace(part_of(joint, kind), calibration=((-3.0, -3.5), (-1.0, -1.2), (1.0, 2.0)))
    predictor = Predictor(checkpoint, "cpu")
    primed = predictor.prime(world.factors.values)
    assert (np.isfinite(primed.critical_mm) & (primed.critical_mm > 0)).mean() > 0.02
    on_the_tenth(predictor, world.factors.values, primed.critical_mm)


def part_of(joint, kind):
    if kind == "ensemble":
        return joint
    config, size = joint.config.model_copy(update={"network": kind}), None
    if kind != "blend":
        member = f"members.{kind}."
        state = {name.removeprefix(member): t for name, t in joint.state.items() if name.startswith(member)}
        return replace(joint, config=config, state=state, size=size)
    state = {name: t for name, t in joint.state.items() if "unet" not in name}
    state |= {name: joint.state[name][1:] for name in ("shifts", "weights")}
    return replace(joint, config=config, state=state, size=size)


@pytest.mark.parametrize("kind", ["unet", "ensemble", "blend"])
def test_priming_tells_the_ends_and_nothing_of_the_unknown(trained, joint, world, kind):
    predictor = Predictor(trained if kind == "unet" else part_of(joint, kind), "cpu")
    factors = world.factors.values.copy()
    factors[3, 10:12, 40:50] = np.nan
    primed = predictor.prime(factors)
    rain = np.zeros((2, 96, 130), np.float32)
    rain[1] = 5000
    dry, most = predictor.probabilities(factors, rain)
    assert np.array_equal(primed.probability_dry, dry, equal_nan=True)
    assert np.array_equal(primed.probability_most, most, equal_nan=True)
    assert np.isnan(primed.critical_mm).sum() == 4 * 20
    assert np.array_equal(primed.critical_mm, predictor.critical_rainfall(factors), equal_nan=True)


def test_threads_beside_each_other_change_no_byte(joint, world):
    predictor = Predictor(joint, "cpu")
    alone = predictor.prime(world.factors.values)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(predictor.prime, [world.factors.values] * 6):
            assert all(
                np.array_equal(one, other)
                for one, other in zip(vars(found).values(), vars(alone).values(), strict=True)
            )


def test_a_coarser_model_is_primed_as_it_answers(trained, world):
    """In bfloat16 all is another model, but one of which critical rainfall and classes still agree."""
    coarse = replace(trained, config=trained.config.model_copy(update={"precision": "bfloat16"}))
    predictor, fine = Predictor(coarse, "cpu"), Predictor(trained, "cpu")
    assert predictor.model_id != fine.model_id
    patchy = np.random.default_rng(1).uniform(0, 300, (1, 96, 130)).astype(np.float32)
    ours, theirs = (each.log_odds(world.factors.values, patchy) for each in (predictor, fine))
    assert 0 < np.abs(ours - theirs).max() < 0.5
    on_the_tenth(predictor, world.factors.values, predictor.critical_rainfall(world.factors.values))
    whole = by_blocks(predictor, world, patchy[0], 256)
    assert np.allclose(by_blocks(predictor, world, patchy[0], 40), whole, rtol=0.05, atol=0)


def test_critical_rainfall_of_a_trained_model(trained, world):
    predictor = Predictor(trained, "cpu")
    critical = predictor.critical_rainfall(world.factors.values)
    rains = np.linspace(0, 400, 81, dtype=np.float32)[:, None, None] * np.ones((1, 96, 130), np.float32)
    found = classes(predictor, world.factors.values, rains)
    assert (by_critical(critical, rains) == found).mean() >= 0.9999
    assert len(np.unique(found)) == 5


def test_an_ensemble_never_falls_and_its_tiles_equal_the_whole(joint, world):
    predictor = Predictor(replace(joint, calibration=((-3.0, -3.5), (-1.0, -1.2), (1.0, 2.0))), "cpu")
    rains = np.linspace(0, 400, 161, dtype=np.float32)[:, None, None] * np.ones((1, 96, 130), np.float32)
    found = predictor.probabilities(world.factors.values, rains)
    assert (np.diff(found, axis=0) >= 0).all()
    patchy = np.random.default_rng(1).uniform(0, 300, (96, 130)).astype(np.float32)
    whole = by_blocks(predictor, world, patchy, 256)
    assert np.allclose(by_blocks(predictor, world, patchy, 40), whole, rtol=1e-4, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", ["ensemble", "boosting", "logistic"])
def test_critical_rainfall_by_tenths_of_a_millimetre(joint, world, kind):
    """What has no inverse of its own reads whole tenths, and is searched, through the calibration."""
    member = f"members.{kind}."
    state = {name.removeprefix(member): t for name, t in joint.state.items() if name.startswith(member)}
    alone = replace(joint, config=joint.config.model_copy(update={"network": kind}), state=state, size=None)
    checkpoint = joint if kind == "ensemble" else alone
    predictor = Predictor(replace(checkpoint, calibration=((-3.0, -3.5), (-1.0, -1.2), (1.0, 2.0))), "cpu")
    factors = world.factors.values.copy()
    factors[2, 5, 6] = np.nan
    critical = predictor.critical_rainfall(factors)
    assert np.isnan(critical[:, 5, 6]).all()
    assert np.isnan(critical).sum() == 4
    rng = np.random.default_rng(0)
    exact, any_rain = rng.integers(0, 4000, (6, 96, 130)) / 10, rng.uniform(0, 400, (6, 96, 130))
    rains = np.concatenate([exact, any_rain]).astype(np.float32)
    found = classes(predictor, world.factors.values, rains)
    same = by_critical(critical, rains) == found
    assert same[:, ~np.isnan(critical[0])].mean() >= 0.9999
    assert len(np.unique(found)) >= 4


def test_classes_that_no_rain_brings_and_that_need_none(fresh, factors_of):
    """Here a third of the cells enters the third class only beyond 120 mm, the most that the other model has seen."""
    factors, plain = factors_of(30, 40), fresh(1)
    third = float(np.quantile(Predictor(plain, "cpu").probability(factors, np.full((30, 40), 120, np.float32)), 1 / 3))
    checkpoint = replace(plain, breaks=(1e-12, 1e-11, third, 1 - 1e-9))
    critical = Predictor(checkpoint, "cpu").critical_rainfall(factors)
    assert (critical[:2] == 0).all()
    assert np.isfinite(critical[2]).mean() > 0.9
    assert np.isinf(critical[3]).all()
    capped = Predictor(replace(checkpoint, encoding=replace(checkpoint.encoding, rain_max_mm=120.0)), "cpu")
    lower = capped.critical_rainfall(factors)[2]
    never = np.isinf(lower)
    assert never.mean() == pytest.approx(1 / 3, abs=0.01)
    assert (critical[2][never] > 120).all()
    assert np.array_equal(lower[~never], critical[2][~never])
    most = capped.probability(factors, np.full((30, 40), 9000, np.float32))
    assert (most[never] < third).all()


def test_critical_rainfall_is_unknown_where_a_factor_is_and_alike_in_every_tile(fresh, world_of):
    world = world_of(61, 77)
    world.factors.values[4, 30:35, 40:60] = np.nan
    predictor = Predictor(fresh(2), "cpu")
    halo = predictor.halo
    around = world.factors.read(world.factors.grid.whole.with_halo(halo))
    whole = predictor.critical_rainfall(around)[:, halo:-halo, halo:-halo]
    assert np.array_equal(np.isnan(whole), np.broadcast_to(np.isnan(world.factors.values).any(0), whole.shape))
    for block in world.factors.grid.blocks(32):
        tile = predictor.critical_rainfall(world.factors.read(block.with_halo(halo)))
        inner = tile[:, halo : halo + block.height, halo : halo + block.width]
        assert np.allclose(inner, whole[(slice(None), *block.slices())], atol=0.1, equal_nan=True)


def test_rain_as_a_channel_has_no_critical_rainfall(fresh, factors_of):
    with pytest.raises(ModelError, match='train with rain = "monotone"'):
        Predictor(fresh(1, "channel"), "cpu").critical_rainfall(factors_of(9, 11))
    with pytest.raises(GridMismatch, match=r"\(9, 9, 11\)"):
        Predictor(fresh(1), "cpu").critical_rainfall(factors_of(9, 11)[:9])


def test_a_calibrated_score_keeps_its_order_and_its_critical_rainfall(fresh, factors_of):
    """Another curve and breaks moved along it: the same classes, hence the same critical rainfall."""
    plain, factors = fresh(1), factors_of(40, 50)
    curve = ((-6.0, -7.0), (-4.0, -4.5), (-2.0, -3.5))
    breaks = tuple(expit(rise(curve, logit(np.array(plain.breaks)))))
    curved = Predictor(replace(plain, calibration=curve, breaks=breaks), "cpu")
    one, other = (each.critical_rainfall(factors) for each in (Predictor(plain, "cpu"), curved))
    assert np.allclose(one, other, atol=0.11)
    assert (one == other).mean() > 0.99
    rains = np.random.default_rng(0).uniform(0, 400, (6, 40, 50)).astype(np.float32)
    assert (classes(Predictor(plain, "cpu"), factors, rains) == classes(curved, factors, rains)).mean() > 0.9999


def test_arguments_are_left_alone(fresh, factors_of):
    factors, mm = factors_of(9, 11), np.full((9, 11), 70, np.float32)
    before = factors.copy()
    predictor = Predictor(fresh(), "cpu")
    predictor.probability(factors, mm)
    predictor.critical_rainfall(factors)
    assert np.array_equal(factors, before)


def test_shapes_must_fit(fresh, factors_of):
    with pytest.raises(GridMismatch, match=r"\(10, 9, 11\)"):
        Predictor(fresh(), "cpu").probability(factors_of(9, 11), np.zeros((11, 9), np.float32))


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto").type == "cpu"
    with pytest.raises(ModelError, match="LSWARN_DEVICE=auto"):
        device_of("cuda")
