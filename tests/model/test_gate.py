import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.model.evaluate import Evaluation
from lswarn.model.gate import better

NAN = float("nan")
DAYS = (date(2025, 5, 1), date(2025, 9, 30))
CHAMPION = Evaluation(
    *("m", "s", 0.91, 0.1, 0.02, 0.05, 0.4, 1000, 30, ()),
    calibration_error=0.003,
    newest_auc=0.88,
    newest_days=DAYS,
    newest_landslide_cells=12,
)


def test_the_same_figures_are_enough():
    verdict = better(CHAMPION, CHAMPION)
    assert verdict.promoted
    assert len(verdict.criteria) == 4
    assert "AUC in the newest year (2025-05-01 to 2025-09-30) 0.88 (champion 0.88): equal" in verdict.reason


@pytest.mark.parametrize(
    ("worse", "told"),
    [
        ({"auc": 0.9}, "AUC on held-out ground 0.9 (champion 0.91): worse by 0.01"),
        ({"brier": 0.021}, "Brier score on held-out ground 0.021 (champion 0.02): worse by 0.001"),
        ({"newest_auc": 0.86}, "2025-09-30) 0.86 (champion 0.88): worse by 0.02"),
        ({"calibration_error": 0.005}, "calibration error on held-out ground 0.005 (champion 0.003): worse by 0.002"),
        ({"auc": NAN}, "AUC on held-out ground nan (champion 0.91): cannot be compared"),
        ({"newest_auc": NAN}, "cannot be compared"),
    ],
)
def test_worse_in_one_thing_is_worse_and_by_how_much(worse, told):
    verdict = better(replace(CHAMPION, **worse), CHAMPION)
    assert not verdict.promoted
    assert told in verdict.reason
    assert [each.held for each in verdict.criteria].count(False) == 1


def test_an_unknown_champion_is_not_beaten():
    assert not better(CHAMPION, replace(CHAMPION, calibration_error=NAN)).promoted


@pytest.mark.parametrize(
    ("candidate", "champion", "told"),
    [
        ({"newest_days": (), "newest_auc": NAN}, {}, "no rain of it was kept from the candidate"),
        ({}, {"newest_days": (), "newest_auc": NAN}, "the champion learnt from it, or does not say"),
        ({}, {"newest_days": DAYS[:1], "newest_auc": 0.99}, "the champion learnt from it, or does not say"),
        ({"newest_auc": NAN}, {"newest_auc": NAN}, "none slid, or none is known to have held"),
    ],
)
def test_a_year_that_cannot_be_told_holds_nobody_back(candidate, champion, told):
    verdict = better(replace(CHAMPION, **candidate), replace(CHAMPION, **champion))
    assert verdict.promoted
    assert told in verdict.reason


def test_other_cells_are_not_compared():
    verdict = better(replace(CHAMPION, cells=999), CHAMPION)
    assert not verdict.promoted
    assert "not judged on the same cells" in verdict.reason
    assert verdict.criteria == ()


def test_it_is_json():
    told = json.loads(json.dumps(better(replace(CHAMPION, auc=NAN), CHAMPION).as_dict(), allow_nan=False))
    assert told["promoted"] is False
    assert told["criteria"][0]["candidate"] is None
    assert [each["held"] for each in told["criteria"]] == [False, True, True, True]


FIGURES = st.floats(0, 1) | st.just(NAN)


@given(st.tuples(*[FIGURES] * 4), st.tuples(*[FIGURES] * 4))
def test_of_two_that_differ_one_at_most_passes(one, other):
    names = ("auc", "brier", "newest_auc", "calibration_error")
    a, b = (replace(CHAMPION, **dict(zip(names, figures, strict=True))) for figures in (one, other))
    if better(a, b).promoted and better(b, a).promoted:
        assert all(x == y or (x != x and y != y) for x, y in zip(one, other, strict=True))
