import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.rain.formats.units import MM_PER, canonical, to_mm


@given(st.sampled_from(sorted(MM_PER)), st.lists(st.floats(0, 1e4, width=32), min_size=1))
def test_a_conversion_can_be_taken_back(unit, mm):
    np.testing.assert_allclose(to_mm(np.array(mm) / MM_PER[unit], unit), np.array(mm, np.float32), rtol=1e-6)


@given(st.sampled_from(sorted(MM_PER)), st.lists(st.floats(-1e3, 1e3), min_size=1), st.data())
def test_unknown_in_unknown_out_and_nothing_else(unit, values, data):
    unknown = np.array([data.draw(st.booleans()) for _ in values])
    assert (np.isnan(to_mm(np.where(unknown, np.nan, values), unit)) == unknown).all()


def test_tenths_are_the_decimals_that_people_wrote():
    assert (to_mm(np.arange(10_000), "0.1 mm") == np.array([f"{n / 10:.1f}" for n in range(10_000)], np.float32)).all()


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ("mm", "mm"), ("mm/day", "mm"), ("mm day-1", "mm"), ("kg m**-2", "mm"), ("kg m-2", "mm"), ("MM/HR", "mm/h"),
        ("mm h-1", "mm/h"), ("m", "m"), ("kg m-2 s-1", "kg m-2 s-1"),
        ("kg m^-2 s^-1", "kg m-2 s-1"), ("inches", "inch"),
        ("", None), ("K", None), ("furlong", None),
    ],
)  # fmt: skip
def test_spellings(said, unit):
    assert canonical(said) == unit


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("cm", 10), ("inch", 25.4), ("mm/h", 24), ("kg m-2 s-1", 86400)])
def test_a_day_of_one_of_each(unit, mm):
    assert to_mm(np.array([1.0]), unit)[0] == pytest.approx(mm)
