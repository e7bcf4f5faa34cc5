import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.hazard.classes import Class, classify

BREAKS = (0.1, 0.2, 0.4, 0.7)
PROBABILITIES = arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32) | st.just(float("nan")))


def test_a_cell_on_a_break_is_of_the_class_above():
    found = classify(np.array([[0.0, 0.09, 0.1, 0.2, 0.4, 0.7, 1.0]]), BREAKS)
    assert found.tolist() == [[1, 1, 2, 3, 4, 5, 5]]


def test_unknown_is_never_low():
    found = classify(np.array([[np.nan, 0.0]], dtype=np.float32), BREAKS)
    assert found.tolist() == [[Class.UNKNOWN, Class.VERY_LOW]]


def test_under_a_lower_bound_only_high_is_known():
    found = classify(np.array([[0.0, 0.15, 0.3, 0.5, 0.9, np.nan]]), BREAKS, lower_bound=True)
    assert found.tolist() == [[0, 0, 0, 4, 5, 0]]


def test_each_cell_is_a_lower_bound_by_itself():
    found = classify(np.array([[0.15, 0.15, 0.5]]), BREAKS, lower_bound=np.array([[True, False, True]]))
    assert found.tolist() == [[0, 2, 4]]


@given(PROBABILITIES, st.floats(0, 1, width=32))
def test_a_higher_probability_never_lowers_a_class(probability, more):
    raised = np.minimum(probability + np.float32(more), np.float32(1))
    assert (classify(raised, BREAKS) >= classify(probability, BREAKS)).all()


@given(PROBABILITIES)
def test_unknown_in_unknown_out(probability):
    assert ((classify(probability, BREAKS) == Class.UNKNOWN) == np.isnan(probability)).all()


def test_labels_are_words():
    assert [c.label for c in Class] == ["unknown", "very low", "low", "moderate", "high", "very high"]
