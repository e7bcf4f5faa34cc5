import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from lswarn.errors import TrainingError
from lswarn.model.calibrate import isotonic, natural_breaks, rise, shift, shift_of_cells, turned
from lswarn.model.skill import BINS, LIMIT, LOG_ODDS, Tally


def tally_of(cells, rate):
    """So many cells in each bin, of which a rate slid, by expectation."""
    slid = np.round(cells * rate).astype(int)
    return Tally((cells - slid).astype(int), slid, np.zeros(BINS, int))


CELLS = np.round(3e5 * np.exp(-0.5 * ((LOG_ODDS + 5) / 1.5) ** 2))


def test_the_class_weight_is_undone():
    weighted = tally_of(CELLS, expit(LOG_ODDS - 3.0))
    assert shift(weighted) == pytest.approx(3.0, abs=0.01)


def test_no_landslide_has_no_level():
    with pytest.raises(TrainingError, match="no landslide lies where factors and rain are known"):
        shift(tally_of(CELLS, 0 * CELLS))


def test_single_cells_have_the_level_of_the_ground_they_stand_for():
    """Every cell, or one in four of the stable ones, each for four: the shift is the same, and that of the counts."""
    rng = np.random.default_rng(0)
    score = rng.normal(-2, 1.5, 40_000)
    label = (rng.random(score.size) < expit(score - 3)).astype(np.uint8)
    every = shift_of_cells(score, label, np.ones(score.size))
    assert every == pytest.approx(3, abs=0.1)
    assert expit(score - every).sum() == pytest.approx(label.sum())
    kept = (label == 1) | (np.arange(score.size) % 4 == 0)
    fair = np.where(label == 1, 1.0, (label == 0).sum() / (kept & (label == 0)).sum())
    assert shift_of_cells(score[kept], label[kept], fair[kept]) == pytest.approx(every, abs=0.05)
    counts = (np.histogram(score[label == each], BINS, (-LIMIT, LIMIT))[0] for each in (0, 1))
    assert shift(Tally(*counts, np.zeros(BINS, int))) == pytest.approx(every, abs=0.01)
    with pytest.raises(TrainingError, match="no landslide lies where factors and rain are known"):
        shift_of_cells(score, np.zeros_like(label), np.ones(score.size))


@pytest.mark.parametrize("steepness", [0.5, 1.0, 2.0])
def test_scores_too_bold_or_too_shy_are_set_right(steepness):
    truth = expit(steepness * (LOG_ODDS + 5) - 5)
    score = tally_of(CELLS, truth)
    corners = isotonic(score, 0.0, score, 0.0)
    common = (corners[0][0] < LOG_ODDS) & (corners[-1][0] > LOG_ODDS)
    assert common.sum() > 200
    assert np.abs(rise(corners, LOG_ODDS) - logit(truth))[common].max() < 0.5
    level = (CELLS * expit(rise(corners, LOG_ODDS))).sum()
    assert level == pytest.approx(score.slid.sum(), rel=1e-3)


def test_the_level_is_that_of_all_training_ground():
    """On inner ground twice as much slid as elsewhere: its shape counts, its level does not."""
    inner, trained = tally_of(CELLS, 2 * expit(LOG_ODDS)), tally_of(10 * CELLS, expit(LOG_ODDS))
    corners = isotonic(inner, 0.0, trained, 0.0)
    assert (10 * CELLS * expit(rise(corners, LOG_ODDS))).sum() == pytest.approx(trained.slid.sum(), rel=1e-3)


def test_with_few_landslides_nothing_is_known_better():
    score = tally_of(np.where(LOG_ODDS > 0, 1.0, 0.0), np.ones(BINS) * (np.arange(BINS) % 100 == 0))
    assert 0 < score.slid.sum() < 30
    assert isotonic(score, 0.0, score, 0.0) == ()


corners_of = st.lists(st.floats(0.01, 3), min_size=2, max_size=8).flatmap(
    lambda steps: st.lists(st.floats(0.01, 3), min_size=len(steps), max_size=len(steps)).map(
        lambda others: tuple(zip(np.cumsum(steps) - 5, np.cumsum(others) - 6, strict=True))
    )
)


@given(corners_of, st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30))
def test_the_line_always_rises_and_can_be_turned_around(corners, values):
    values = np.sort(np.array(values, np.float32))
    found = rise(corners, values)
    assert (np.diff(found) >= 0).all()
    assert (np.diff(found)[np.diff(values) > 1e-3] > 0).all()
    assert np.allclose(rise(turned(corners), found), values, atol=1e-6)


def test_unknown_stays_unknown():
    assert np.isnan(rise(((0.0, 1.0), (1.0, 3.0)), np.array([np.nan], np.float32))).all()


def test_natural_breaks_part_what_lies_apart():
    score = Tally(*np.zeros((3, BINS), np.int64))
    for p, cells in ((0.001, 900), (0.05, 400), (0.1, 300), (0.2, 200), (0.4, 100)):
        score.stable[np.searchsorted(LOG_ODDS, np.log(p / (1 - p)))] = cells
    breaks = natural_breaks(score, LOG_ODDS)
    for low, found, high in zip((0.001, 0.05, 0.1, 0.2), breaks, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert low < found <= high + 0.01


@pytest.mark.parametrize("cells", [[1, 14, 255, 2125, 1412, 193], [1, 4000, 1, 1, 1], [9] * 5])
def test_a_model_that_says_nearly_the_same_everywhere_still_has_breaks_that_rise(cells):
    score = Tally(*np.zeros((3, BINS), np.int64))
    score.stable[2085 : 2085 + len(cells)] = cells
    assert (np.diff(natural_breaks(score, LOG_ODDS)) > 0).all()


def test_a_model_that_says_the_same_everywhere_has_no_classes():
    score = Tally(*np.zeros((3, BINS), np.int64))
    score.stable[1000:1004] = 50
    with pytest.raises(TrainingError, match=r"raise model\.steps"):
        natural_breaks(score, LOG_ODDS)
