from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.grid import Block
from lswarn.model.checkpoint import load_checkpoint, save_checkpoint
from lswarn.model.drift import GROUND, RAIN, SUBJECTS, Reference, Shift, drift, in_words, psi
from lswarn.model.ground import CELLS, draw_ground
from lswarn.model.holdout import hold_out
from lswarn.sections import FACTORS

RAINS = np.random.default_rng(3).gamma(2, 30, 4000).astype(np.float32)


@pytest.fixture
def cells(factors_of):
    return factors_of(96, 130).reshape(10, -1)


def by_subject(reference, cells, rain=RAINS):
    return {each.subject: each for each in drift(reference, cells, rain, "2024")}


def test_what_was_measured_has_not_moved(cells):
    found = by_subject(Reference.measured(cells, RAINS), cells)
    assert tuple(found) == SUBJECTS
    assert all(each.psi == 0 and each.word == "stable" for each in found.values())
    assert {each.of for each in found.values()} == {GROUND, "2024"}
    assert found[RAIN].of == "2024"
    assert found["slope"].cells == cells.shape[1]


def test_continuous_factors_are_cut_into_tenths(cells):
    reference = Reference.measured(cells, RAINS)
    inner = reference.shares["slope"][1:-1]
    assert inner == pytest.approx([0.1] * 10, abs=0.01)
    assert (reference.shares["slope"][0], reference.shares["slope"][-1]) == (0, 0)
    assert all(sum(shares) == pytest.approx(1) for shares in reference.shares.values())
    assert len(reference.shares["aspect"]) == 9


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_that_moves_is_named_and_no_other(cells, name):
    """Also one that was the same everywhere, in the model's training as in the made world's seismic intensity."""
    moved = cells.copy()
    moved[FACTORS.index(name)] += {"aspect": 90, "landform": 20, "rock_type": 1}.get(
        name, 3 * float(np.std(cells[FACTORS.index(name)])) or 0.2
    )
    found = by_subject(Reference.measured(cells, RAINS), moved)
    assert [each.subject for each in found.values() if each.word != "stable"] == [name]
    assert found[name].psi > 0.25 or name == "aspect"


def test_more_rain_than_ever_is_a_shift(cells):
    found = by_subject(Reference.measured(cells, RAINS), cells, RAINS + RAINS.max() / 3)
    assert found[RAIN].word == "shifted"


def test_a_bend_by_hand():
    assert psi([0.5, 0.5], [0.6, 0.4]) == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8))
    assert np.isfinite(psi([1.0, 0.0], [0.0, 1.0]))
    assert np.isnan(psi([0.5, 0.5], [np.nan, np.nan]))


@given(arrays(float, 6, elements=st.floats(0, 1)), arrays(float, 6, elements=st.floats(0, 1)))
def test_it_is_symmetric_and_never_negative(a, b):
    one, other = (shares / max(shares.sum(), 1e-9) for shares in (a, b))
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, other) >= 0


def test_the_unknown_is_skipped_and_nothing_known_is_not_told(cells):
    holed = np.concatenate([cells, np.full((10, 50), np.nan, np.float32)], 1)
    reference = Reference.measured(holed, np.append(RAINS, np.nan))
    assert reference == Reference.measured(cells, RAINS)
    found = by_subject(reference, holed[:, -50:], np.array([], np.float32))
    assert all(np.isnan(each.psi) and each.cells == 0 and each.word == "not told" for each in found.values())


def test_in_words():
    shifts = [Shift(GROUND, *each) for each in (("slope", 0.02, 9), ("rainfall", 0.2, 9), ("aspect", 0.3, 9))]
    assert in_words(shifts[:1]) == "all stable"
    assert (
        in_words([*shifts, Shift("2024", RAIN, 1.5, 9)]) == "shifted: rain (1.50), aspect (0.30); look: rainfall (0.20)"
    )
    unknown = Shift("2024", RAIN, float("nan"), 0)
    assert in_words([unknown]) == "not told: rain"
    assert in_words([shifts[0], unknown]) == "the others stable; not told: rain"


def test_a_checkpoint_keeps_it(fresh, cells, tmp_path):
    plain = fresh()
    kept = replace(plain, reference=Reference.measured(cells, RAINS))
    save_checkpoint(kept, tmp_path / "m.pt")
    assert load_checkpoint(tmp_path / "m.pt").reference == kept.reference
    assert kept.id != plain.id
    assert plain.reference is None


class TestGround:
    def test_known_cells_of_training_ground(self, world, small):
        holdout = hold_out(world.factors.grid, small)
        drawn = draw_ground(world.factors, holdout)
        teaching = ~holdout.mask(world.factors.grid.whole)
        assert drawn.shape[1] == teaching.sum() <= CELLS
        assert (np.sort(drawn[0]) == np.sort(world.factors.values[0][teaching])).all()
        assert np.array_equal(drawn, draw_ground(world.factors, holdout))

    def test_none_is_known(self, world, small):
        nothing = replace(world.factors, values=np.full_like(world.factors.values, np.nan))
        assert draw_ground(nothing, hold_out(nothing.grid, small)).shape == (10, 0)
        assert nothing.read(Block(0, 0, 2, 2)).shape == (10, 2, 2)
