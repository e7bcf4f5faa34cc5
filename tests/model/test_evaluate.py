import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from lswarn.errors import CheckpointMismatch
from lswarn.model import evaluate as module
from lswarn.model.evaluate import Evaluation, evaluate, scores, tally, unseen_days
from lswarn.model.holdout import hold_out
from lswarn.model.predict import Predictor
from lswarn.model.samples import Observed
from lswarn.model.skill import BINS, LIMIT, LOG_ODDS, ClassRow, Tally

BREAKS = (0.1, 0.2, 0.4, 0.6)


def counted(log_odds, label, endangered=None):
    groups = (label == 0, label == 1, np.zeros_like(label, bool) if endangered is None else endangered)
    return Tally(*(np.histogram(log_odds[g], BINS, (-LIMIT, LIMIT))[0] for g in groups))


def judged(log_odds, label, endangered=None):
    return scores(counted(log_odds, label, endangered), BREAKS, model_id="m", snapshot_id="s")


def test_figures_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 2, 50_000)
    label = (rng.random(p.size) < p).astype(int)
    found = judged(logit(p.clip(1e-9)), label)
    assert found.auc == pytest.approx(roc_auc_score(label, p), abs=1e-4)
    assert found.average_precision == pytest.approx(average_precision_score(label, p), abs=1e-3)
    assert found.brier == pytest.approx(brier_score_loss(label, p), rel=1e-3)
    assert (found.cells, found.landslide_cells) == (p.size, label.sum())
    for row in found.class_table:
        assert row.rate == pytest.approx(row.probability, abs=0.03)
    assert sum(row.area_share for row in found.class_table) == pytest.approx(1)
    assert sum(row.landslide_share for row in found.class_table) == pytest.approx(1)


def test_class_table_by_hand():
    p = np.array([0.05, 0.05, 0.15, 0.3, 0.5, 0.9, 0.9, 0.05])
    label = np.array([0, 0, 0, 0, 1, 1, 0, 0])
    very_low, low, moderate, high, very_high = judged(logit(p), label).class_table
    assert [r.number for r in (very_low, low, moderate, high, very_high)] == [1, 2, 3, 4, 5]
    assert (very_low.area_share, low.area_share, moderate.area_share) == (3 / 8, 1 / 8, 1 / 8)
    assert (very_high.landslide_share, very_high.frequency_ratio, very_high.rate) == (1 / 2, 2, 1 / 2)
    assert high.probability == pytest.approx(0.5, abs=0.01)


def test_a_constant_guess_has_no_skill():
    label = np.array([1, 0, 0, 0])
    found = judged(np.full(4, logit(0.25)), label)
    assert found.auc == 0.5
    assert found.brier_skill == pytest.approx(0, abs=1e-4)


def test_physics_consistency_is_the_share_put_high():
    p = np.array([0.05, 0.5, 0.9, 0.05])
    found = judged(logit(p), np.zeros(4, int), endangered=np.array([True, True, True, False]))
    assert found.physics_consistency == pytest.approx(2 / 3)


def test_nothing_to_tell_by_is_unknown():
    found = judged(np.array([-3.0, 1.0]), np.zeros(2, int))
    assert np.isnan([found.auc, found.average_precision, found.physics_consistency]).all()


def test_only_held_out_ground_is_judged_under_every_scene(trained, world):
    found = evaluate(trained, world.factors, world.snapshot, device="cpu")
    holdout = hold_out(world.factors.grid, trained.config)
    assert found.cells == 3 * sum(block.height * block.width for block in holdout.judged())
    assert (found.model_id, found.snapshot_id) == (trained.id, world.snapshot.id)


def test_tally_is_what_the_predictor_says(trained, world, monkeypatch):
    """Two ways to the same counts: by blocks, and over everything at once."""
    grid, predictor = world.factors.grid, Predictor(trained, "cpu")
    holdout = hold_out(grid, trained.config)
    monkeypatch.setattr(module, "SCENES_AT_ONCE", 2)
    (by_blocks,) = tally(predictor, world.factors, Observed(world.snapshot, grid), grid.blocks(48), [holdout])
    around = grid.whole.with_halo(predictor.halo)
    factors = world.factors.read(around)
    cells = Observed(world.snapshot, grid).at(around, factors, range(3))
    label = np.where(holdout.mask(around), np.nan, cells.label)
    whole = counted(predictor.log_odds(factors, cells.rain), label)
    assert by_blocks.slid.sum() == whole.slid.sum() > 0
    assert by_blocks.stable.sum() == whole.stable.sum()
    means = [(t.slid @ LOG_ODDS) / t.slid.sum() for t in (by_blocks, whole)]
    assert means[0] == pytest.approx(means[1], abs=1e-3)
    assert by_blocks.endangered.sum() > 0


def test_a_small_world_is_learnt(trained, world):
    found = evaluate(trained, world.factors, world.snapshot, device="cpu")
    assert found.auc > 0.9


def test_a_model_of_another_measure_is_not_judged(trained, world):
    with pytest.raises(CheckpointMismatch, match=r"trained on rain measure 'sum'.* holds 'ari'"):
        evaluate(trained, world.factors, replace(world.snapshot, measure="ari"), device="cpu")


class TestTheNewestYear:
    def test_it_is_judged_on_all_ground_under_the_rains_asked_for(self, fresh, world):
        grid, day = world.factors.grid, world.snapshot.scenes[1].day
        found = evaluate(fresh(depth=1), world.factors, world.snapshot, device="cpu", days=[day])
        label = Observed(world.snapshot, grid).at(grid.whole, world.factors.values, [1]).label
        assert found.newest_landslide_cells == np.nansum(label)
        assert 0 < found.newest_auc < 1
        told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert told["newest_days"] == [day.isoformat()]

    def test_what_was_learnt_from_or_may_have_been_is_not_unseen(self, fresh, world):
        first, second, third = world.snapshot.scenes
        years = (first, replace(second, day=date(2025, 5, 2)), third)
        snapshot = replace(world.snapshot, scenes=(replace(first, landslides=first.landslides * 20), *years[1:]))
        assert unseen_days(fresh(), snapshot) == ()
        assert unseen_days(replace(fresh(), learnt_days=(first.day, third.day)), snapshot) == (date(2025, 5, 2),)
        assert unseen_days(replace(fresh(), learnt_days=(first.day, date(2025, 5, 2))), snapshot) == ()

    def test_without_one_nothing_is_told(self, fresh, world):
        found = evaluate(fresh(depth=1), world.factors, world.snapshot, device="cpu")
        assert np.isnan(found.newest_auc)
        assert (found.newest_days, found.newest_landslide_cells) == ((), 0)


def test_log_odds_bins_cover_all_probabilities():
    assert expit(LOG_ODDS[0]) < 1e-10
    assert np.allclose(np.diff(LOG_ODDS), 2 * LIMIT / BINS)


def test_figures_that_are_no_number_are_null_in_json():
    row = ClassRow(1, 0.5, 0.0, float("nan"), 0.1, 0.0)
    judged = Evaluation("m", "s", 0.9, float("nan"), 0.1, 0.2, float("nan"), 10, 0, (row,))
    figures = json.loads(json.dumps(judged.as_dict(), allow_nan=False))
    assert figures["auc"] == 0.9
    assert figures["average_precision"] is None
    assert figures["class_table"][0]["frequency_ratio"] is None
