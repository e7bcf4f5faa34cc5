"""The other line: what is learnt from, and who becomes champion. That it trains and promotes at all, `house` proves."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lswarn import day as line
from lswarn import retraining
from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import CheckpointMismatch, NoModel, TrainingError
from lswarn.model.checkpoint import load_checkpoint
from lswarn.model.drift import SUBJECTS
from lswarn.model.evaluate import Evaluation
from lswarn.model.newest import newest_year
from lswarn.model.samples import load_snapshot

NOW = datetime(2026, 3, 14, tzinfo=UTC)


@pytest.fixture
def champion(house):
    with transaction(open_database(house.settings)) as conn:
        return inputs.find_champion(conn, house.region)


@pytest.fixture
def taken(house):
    house.rain.now = NOW
    return retraining.snapshot(house.region, house.settings, NOW)


def scores_of(house, taken, model_id) -> Evaluation:
    return retraining.evaluate(house.region, house.settings, taken, model_id, NOW)


def roles(house) -> dict[str, str]:
    with transaction(open_database(house.settings)) as conn:
        return {model.id: model.role for model in inputs.find_models(conn, house.region)}


def test_a_snapshot_has_every_dated_storm_and_is_named_by_its_content(house, taken):
    snapshot = load_snapshot(taken)
    days = [scene.day for scene in snapshot.scenes if scene.landslides]
    assert days == sorted(day for day in house.world.training_days if day in days)
    assert len(days) >= 8
    assert all(not np.isnan(scene.rain).all() for scene in snapshot.scenes)
    assert retraining.snapshot(house.region, house.settings, NOW) == taken


def test_a_landslide_without_its_rain_teaches_nothing(house, tmp_path):
    sources = tuple(source.model_copy(update={"at": str(tmp_path)}) for source in house.region.rain.sources)
    dry = house.region.model_copy(update={"rain": house.region.rain.model_copy(update={"sources": sources})})
    with pytest.raises(TrainingError, match="no landslide with the rain of its seven days"):
        retraining.snapshot(dry, house.settings, NOW)


def test_a_worse_candidate_stays_a_candidate(house, taken, champion):
    scores = scores_of(house, taken, champion.id)
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "worse", path=champion.path, snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    promotion = retraining.promote(house.region, house.settings, taken, "worse", replace(scores, auc=scores.auc - 0.01))
    assert not promotion.promoted
    assert "AUC on held-out ground" in promotion.reason
    assert "worse by 0.01" in promotion.reason
    assert roles(house)["worse"] == "candidate"
    with transaction(open_database(house.settings)) as conn:
        kept = inputs.find_model(conn, house.region, "worse").metrics["verdict"]
        moved = inputs.find_drift(conn, house.region, champion.id)
    assert (kept["promoted"], kept["reason"]) == (False, promotion.reason)
    assert {each.subject for each in moved} == set(SUBJECTS)
    assert promotion.drift.startswith(("all stable", "the others stable", "shifted: ", "look: "))
    card = promotion.card.read_text("utf-8")
    assert card.startswith("# Model worse: landslides in ")
    assert "This holds it back" in card
    assert promotion.drift in card
    assert roles(house)[champion.id] == "champion"


def test_a_better_candidate_takes_the_champions_place(house, taken, champion):
    """Slope alone, put in use by hand, gives way at the gate to one that is better in all; and is rolled back to."""
    plain = house.region.model.model_copy(update={"network": "slope"})
    weak = retraining.train(
        house.region.model_copy(update={"model": plain}), house.settings, taken, lambda step, steps, losses: None
    )
    scores_of(house, taken, weak)
    retraining.promote_by_hand(house.region, house.settings, weak)
    try:
        found = scores_of(house, taken, champion.id)
        scores = replace(found, auc=1.0, newest_auc=1.0, brier=0.0, calibration_error=0.0)
        promotion = retraining.promote(house.region, house.settings, taken, champion.id, scores)
        assert promotion.promoted
        assert promotion.reason.startswith("no worse than the champion. AUC on held-out ground")
        assert "better by" in promotion.reason
        assert roles(house) | {champion.id: "champion", weak: "retired"} == roles(house)
        assert retraining.roll_back(house.region, house.settings) == weak
    finally:
        retraining.promote_by_hand(house.region, house.settings, champion.id)


def test_the_newest_year_is_kept_from_a_candidate_and_judged(house, taken, champion):
    snapshot, scores = load_snapshot(taken), scores_of(house, taken, champion.id)
    learnt = load_checkpoint(champion.path).learnt_days
    held = [snapshot.scenes[i].day for i in newest_year(snapshot)]
    assert set(learnt).isdisjoint(held)
    assert list(scores.newest_days) == held
    assert np.isnan(scores.newest_auc) == (not held)


def test_where_the_champion_learnt_from_some_of_the_year_only_the_rest_is_judged(house, taken, champion, monkeypatch):
    snapshot, scores = load_snapshot(taken), scores_of(house, taken, champion.id)
    days = tuple(scene.day for scene in snapshot.scenes if scene.landslides)[:2]
    asked = []

    def judged(region, settings, taken, model_id, days=None):
        asked.append((model_id, days))
        return replace(scores, newest_days=days, newest_auc=0.7)

    monkeypatch.setattr(retraining, "unseen_days", lambda checkpoint, snapshot: days[1:])
    monkeypatch.setattr(retraining, "_scores", judged)
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "newer", path=champion.path, snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    promotion = retraining.promote(
        house.region, house.settings, taken, "newer", replace(scores, newest_days=days, newest_auc=0.9)
    )
    assert asked == [("newer", days[1:]), (champion.id, days[1:])]
    assert f"({days[1]}) 0.7 (champion 0.7): equal" in promotion.reason
    assert promotion.promoted
    retraining.promote_by_hand(house.region, house.settings, champion.id)


def test_a_champion_is_not_promoted_again(house, taken, champion):
    scores = scores_of(house, taken, champion.id)
    promotion = retraining.promote(house.region, house.settings, taken, champion.id, scores)
    assert not promotion.promoted
    assert "already" in promotion.reason


def test_a_champion_that_cannot_be_read_gives_way(house, taken, champion):
    scores, whole = scores_of(house, taken, champion.id), champion.path.read_bytes()
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "heir", path=champion.path, snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    try:
        champion.path.write_bytes(whole[: len(whole) // 2])
        promotion = retraining.promote(house.region, house.settings, taken, "heir", scores)
        assert promotion.promoted
        assert "cannot be used" in promotion.reason
        assert roles(house)[champion.id] == "retired"
    finally:
        champion.path.write_bytes(whole)
        with transaction(open_database(house.settings), house.region) as conn:
            inputs.promote_model(conn, house.region, champion.id)


def test_a_model_is_promoted_by_hand_and_rolled_back(house, taken, champion):
    with pytest.raises(NoModel, match="has had no other champion"):
        retraining.roll_back(house.region.model_copy(update={"name": "nobody"}), house.settings)
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "beta", path=champion.path, snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    assert retraining.promote_by_hand(house.region, house.settings, "be") == "beta"
    assert roles(house) | {"beta": "champion", champion.id: "retired"} == roles(house)
    assert retraining.roll_back(house.region, house.settings) == champion.id
    assert roles(house) | {"beta": "retired", champion.id: "champion"} == roles(house)
    with pytest.raises(NoModel, match="gamma: not recorded for demo"):
        retraining.promote_by_hand(house.region, house.settings, "gamma")


def test_a_model_whose_file_is_gone_is_not_promoted(house, taken, champion, tmp_path):
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "gone", path=tmp_path / "gone.pt", snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    with pytest.raises(CheckpointMismatch, match="no such file"):
        retraining.promote_by_hand(house.region, house.settings, "gone")
    assert roles(house)[champion.id] == "champion"


def test_a_shadow_run_is_made_by_the_model_named(house, taken, champion):
    with transaction(open_database(house.settings), house.region) as conn:
        inputs.record_model(
            conn, house.region, "shadow", path=champion.path, snapshot_id=taken.name, metrics={}, made_at=NOW
        )
    day = house.world.days[1]
    house.rain.now = house.run_at(day)
    window = line.ingest(house.region, house.settings, day, house.rain.now)
    shadow = line.assess(house.region, house.settings, window, lambda done, total: None, model_id="shad")
    assert shadow.model_id == champion.id  # the same weights under another name
    with pytest.raises(NoModel):
        line.assess(house.region, house.settings, window, lambda done, total: None, model_id="none")
