from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from lswarn.model.skill import BINS, Counted, Curve, Tally, finite, model_skill, skill, spread

BREAKS = (0.1, 0.2, 0.4, 0.6)


def counted(score, label, danger=None) -> Tally:
    score, label = np.asarray(score, float), np.asarray(label, float)
    return Tally.of(score, label, np.zeros_like(label) if danger is None else np.asarray(danger, float))


def judged(score, label, danger=None):
    return skill([(counted(score, label, danger), BREAKS)])


MIDDLES = st.integers(-40, 40).map(lambda k: k / 2 + 0.005)
"""Log-odds in the middle of a bin each, so that counting loses nothing."""
cells = st.lists(st.tuples(MIDDLES, st.booleans()), min_size=4, max_size=60).filter(
    lambda all_of: {slid for _, slid in all_of} == {False, True}
)


@settings(max_examples=60, deadline=None)
@given(cells)
def test_curves_rise_from_the_origin_to_one_and_hold_the_auc(all_of):
    score, label = map(np.array, zip(*all_of, strict=True))
    found = judged(score, label)
    for curve in (found.roc, found.rate):
        assert (curve.x[0], curve.y[0]) == (0, 0)
        assert (curve.x[-1], curve.y[-1]) == (1, 1)
        assert (np.diff(curve.x) >= 0).all()
        assert (np.diff(curve.y) >= 0).all()
        assert 0 <= min(curve.y) <= max(curve.y) <= 1
    assert found.auc == pytest.approx(roc_auc_score(label, score))
    assert np.trapezoid(found.roc.y, found.roc.x) == pytest.approx(found.auc, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(cells, cells)
def test_counts_of_folds_add_up(one, other):
    both = judged(*map(np.array, zip(*one, *other, strict=True)))
    parts = [(counted(*map(np.array, zip(*each, strict=True))), BREAKS) for each in (one, other)]
    found = skill(parts)
    assert (found.auc, found.brier, found.roc, found.rate) == (both.auc, both.brier, both.roc, both.rate)
    assert [r.area_share for r in found.class_table] == [r.area_share for r in both.class_table]


def test_a_perfect_score_and_a_constant_one():
    label = np.repeat([0, 1], [900, 100])
    perfect, constant, inverted = (judged(s, label) for s in (20.0 * label - 10, 0 * label - 2.2, 10 - 20.0 * label))
    assert (perfect.auc, constant.auc, inverted.auc) == (1, 0.5, 0)
    assert (perfect.average_precision, constant.average_precision) == (1, pytest.approx(0.1))
    assert perfect.brier_skill == pytest.approx(1, abs=1e-3)
    assert constant.brier_skill == pytest.approx(0, abs=1e-3)
    assert perfect.rate.y[perfect.rate.x.index(0.1)] == pytest.approx(1)
    assert constant.rate.y == pytest.approx(constant.rate.x)
    assert perfect.rises
    assert not constant.rises


def test_classes_rise_or_do_not():
    p = np.repeat([0.05, 0.15, 0.3, 0.5, 0.9], 100)
    share = np.repeat([0, 1, 5, 20, 60], 100)
    label = np.tile(np.arange(100), 5) < share
    assert judged(logit(p), label).rises
    turned = judged(logit(p), label[::-1])
    assert not turned.rises
    assert turned.class_table[0].frequency_ratio > 1


def test_breaks_are_those_of_each_fold():
    tally = counted(logit([0.3, 0.3]), [0, 1])
    table = skill([(tally, (0.1, 0.2, 0.4, 0.6)), (tally, (0.05, 0.1, 0.2, 0.29))]).class_table
    assert [row.area_share for row in table] == [0, 0, 0.5, 0, 0.5]
    assert np.isnan(table[0].frequency_ratio)


def test_a_calibrated_score_is_reliable_and_an_inflated_one_is_not():
    rng = np.random.default_rng(0)
    p = 10 ** rng.uniform(-4, -0.3, 400_000)
    label = rng.random(p.size) < p
    honest, inflated = judged(logit(p), label), judged(logit(p) + 2, label)
    for row in honest.reliability:
        if row.landslide_cells > 50:
            assert row.rate == pytest.approx(row.probability, rel=0.25)
    assert sum(row.cells for row in honest.reliability) == p.size
    assert honest.calibration_error < 0.002 < 0.05 < inflated.calibration_error
    assert inflated.auc == pytest.approx(honest.auc, abs=1e-4)
    assert inflated.brier_skill < honest.brier_skill


def test_unknown_cells_do_not_count():
    found = judged([1.0, np.nan, -1.0, 3.0], [1, np.nan, 0, np.nan], danger=[0, 0.5, 0.5, 0.5])
    assert (found.cells, found.landslide_cells) == (2, 1)
    assert found.physics_consistency == 0


def test_nothing_to_tell_by_is_unknown_and_null():
    found = judged([], [])
    assert found.cells == 0
    assert found.roc == Curve((), ())
    assert np.isnan([found.auc, found.brier, found.calibration_error, found.physics_consistency]).all()
    assert finite(asdict(found))["auc"] is None
    assert spread([found, found]) != spread([found, found])  # NaN


def test_a_model_is_told_overall_by_fold_and_by_hot_spot():
    good, bad = counted([3, 3, -3, -3], [1, 1, 0, 0]), counted([3, -3, -3, 3], [1, 1, 0, 0])
    empty = Tally.empty()
    folds = [Counted((empty, good, bad), good, BREAKS, 2.0), Counted((good, empty, bad), good, BREAKS, 1.0)]
    told = model_skill("one", folds, Counted((good, empty, empty), good, BREAKS, 4.0))
    assert told.overall.cells == 16
    assert [fold.cells for fold in told.folds] == [8, 8]
    assert [spot.auc for spot in told.hot_spots] == [1, 0.5]
    assert told.spread == 0.5
    assert told.fold_auc == told.folds[0].auc == told.folds[1].auc == pytest.approx(0.75)
    assert told.optimism == pytest.approx(1 - told.fold_auc)
    assert told.seconds == 7
    assert told.trained.auc == 1
    assert good.stable.shape == (BINS,)
