import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from lswarn.errors import RegionError, TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.folds import Polygons, Scattered, cluster_hot_spots, make_folds, name_hot_spots
from lswarn.model.holdout import NOWHERE, Holdout

EVERYWHERE = np.argwhere(np.ones((60, 60))) * 5


def grid(height, width):
    return Grid("EPSG:32616", Affine(30, 0, 750_000, 0, -30, 3_990_000), height, width)


def polygon(cells: Grid, top: int, left: int, bottom: int, right: int):
    """Over rows top to bottom and columns left to right."""
    (x0, y1), (x1, y0) = cells.transform @ (left, top), cells.transform @ (right, bottom)
    return box(x0, y0, x1, y1)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["blocks", "strips"]), st.integers(2, 6), st.integers(150, 400), st.integers(150, 400), st.data()
)
def test_each_cell_is_judged_once_and_the_guard_is_kept(kind, count, height, width, data):
    cells, guard, phase = grid(height, width), data.draw(st.integers(0, 20)), data.draw(st.sampled_from([1, 2, 8]))
    made = make_folds(f"{kind}:{count}", cells, EVERYWHERE, guard=guard, phase=phase)
    judged = np.zeros(cells.shape, int)
    for fold in range(count):
        holdout = made.without(fold)
        here = holdout.mask(cells.whole, judged=True)
        covered = np.zeros(cells.shape, int)
        for block in holdout.judged():
            assert (block.row % phase, block.col % phase) == (0, 0)
            covered[block.slices()] += 1
        assert np.array_equal(covered == 1, here)
        assert covered.max() == 1
        judged += here
        trained = ~holdout.mask(cells.whole)
        row, col = np.argwhere(here)[data.draw(st.integers(0, int(here.sum()) - 1))]
        seen = trained[max(row - guard, 0) : row + guard + 1, max(col - guard, 0) : col + guard + 1]
        assert not seen.any()
        assert np.array_equal(holdout.hidden(cells.whole), here)
    assert (judged == 1).all()
    assert sum(made.landslides) == ((cells.shape > EVERYWHERE).all(1)).sum()


def test_the_guard_is_as_wide_as_asked_and_no_wider():
    made = make_folds("strips:3", grid(90, 300), EVERYWHERE, guard=11, phase=2)
    mask = made.without(1).mask(Block(40, 0, 1, 300))[0]
    assert np.flatnonzero(mask).tolist() == list(range(100 - 11, 200 + 11))


def test_strips_lie_across_the_longer_side():
    tall = make_folds("strips:2", grid(300, 100), EVERYWHERE, guard=4, phase=1).cut.number(Block(0, 0, 300, 100))
    assert (tall[:150] == 0).all()
    assert (tall[150:] == 1).all()


def test_blocks_of_a_fold_are_scattered_where_there_is_room():
    even = np.argwhere(np.ones((30, 40))) * 10
    number = make_folds("blocks:3", grid(300, 400), even, guard=2, phase=2).cut.number(Block(0, 0, 300, 400))
    edges = np.flatnonzero((np.diff(number, axis=1) != 0).any(0))
    assert len(edges) >= 3
    assert np.bincount(number.ravel()).min() == pytest.approx(300 * 400 / 3, rel=0.1)


@pytest.mark.parametrize(("cells", "worst"), [(grid(400, 420), 1.6), (grid(2000, 1800), 1.2)])
def test_folds_of_blocks_hold_about_as_many_landslides_each_however_they_crowd(cells, worst):
    rng = np.random.default_rng(3)
    crowd = np.concatenate([rng.normal(0.3, 0.1, (100, 2)), rng.uniform(0, 1, (100, 2))]) * cells.shape
    made = make_folds("blocks:5", cells, crowd.astype(int), guard=16, phase=4)
    assert sum(made.landslides) == 200
    assert max(made.landslides) <= worst * 40
    assert min(made.landslides) >= 40 / worst


def test_polygons_are_folds_in_their_order(tmp_path):
    cells = grid(100, 300)
    shapes = [polygon(cells, 0, 0, 100, 120), polygon(cells, 0, 100, 100, 200), polygon(cells, 500, 500, 600, 600)]
    gpd.GeoDataFrame({"name": list("abc")}, geometry=shapes, crs=cells.crs).to_file(tmp_path / "folds.gpkg")
    made = make_folds(str(tmp_path / "folds.gpkg"), cells, EVERYWHERE, guard=7, phase=2)
    number = made.cut.number(cells.whole.with_halo(3))[3:-3, 3:-3]
    assert made.count == 2
    assert [(number[50] == k).sum() for k in (0, 1, NOWHERE)] == [120, 80, 100]  # the first of two prevails
    covered = np.zeros(cells.shape, bool)
    for block in made.without(1).judged():
        covered[block.slices()] |= made.without(1).mask(block, judged=True)
    assert np.array_equal(covered, number == 1)
    assert made.without(0).mask(Block(50, 0, 1, 300)).sum() == 120 + 7


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("blocks:1", "2 to 20 folds"),
        ("strips:21", "2 to 20 folds"),
        ("blocks:many", r"'blocks:many': neither blocks:N nor strips:N"),
        ("none.gpkg", "no such vector file"),
        ("strips:15", r"100 x 150 cells are too few: a fold would be 10 cells wide, less than the 11"),
    ],
)
def test_folds_that_cannot_be(spec, says):
    with pytest.raises(TrainingError, match=says):
        make_folds(spec, grid(100, 150), EVERYWHERE, guard=11, phase=2)


def test_all_landslides_in_one_fold_are_refused_by_name():
    crowd = np.array([[10, 220], [50, 230], [90, 299]])
    with pytest.raises(TrainingError, match=r"strips:3: all 3 landslides in the folds lie in fold 3 of 3"):
        make_folds("strips:3", grid(100, 300), crowd, guard=4, phase=2)
    with pytest.raises(TrainingError, match=r"none of the 1 landslides"):
        make_folds("strips:3", grid(100, 300), np.array([[-5, 9]]), guard=4, phase=2)


def test_a_file_that_is_no_vector(tmp_path):
    (tmp_path / "folds.gpkg").write_text("no")
    with pytest.raises(RegionError, match="--folds"):
        make_folds(str(tmp_path / "folds.gpkg"), grid(100, 300), EVERYWHERE, guard=4, phase=2)


def test_scattered_cells_are_held_out_by_chance_and_stay_visible():
    cells = grid(120, 200)
    cut = Scattered(cells, 4)
    number = cut.number(cells.whole)
    assert np.bincount(number.ravel(), minlength=4) == pytest.approx(6000, rel=0.05)
    assert (number[:, 1:] == number[:, :-1]).mean() == pytest.approx(0.25, abs=0.02)
    assert (number[1:] == number[:-1]).mean() == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(cut.number(Block(20, 30, 10, 10)), number[20:30, 30:40])
    assert (cut.number(Block(-2, -2, 2, 2)) == NOWHERE).all()
    holdout = Holdout(cut, frozenset({0}), 0, hides=False)
    assert np.array_equal(holdout.mask(cells.whole), number == 0)
    assert not holdout.hidden(cells.whole).any()


def test_hot_spots_are_the_clusters_of_the_inventory():
    cells, rng = grid(600, 600), np.random.default_rng(0)
    centres = np.array([[60, 60], [60, 540], [540, 60], [540, 540], [300, 300]])
    counts = (50, 40, 30, 20, 15)
    at = np.concatenate([c + rng.integers(-25, 26, (n, 2)) for c, n in zip(centres, counts, strict=True)])
    spots = cluster_hot_spots(cells, at)
    assert [spot.name for spot in spots] == [
        "A (north-west)", "B (north-east)", "C (south-west)", "D (south-east)", "E (middle)"
    ]  # fmt: skip
    assert [spot.landslides for spot in spots] == list(counts)
    twice = np.concatenate([at, at[:50]])
    assert [spot.landslides for spot in cluster_hot_spots(cells, twice)] == [100, *counts[1:]]


def test_a_small_inventory_has_fewer_hot_spots_or_none():
    at = np.argwhere(np.ones((5, 5))) * 20
    assert len(cluster_hot_spots(grid(200, 200), at)) == 2
    assert cluster_hot_spots(grid(200, 200), at[:9]) == ()


def test_hot_spots_may_be_given():
    cells = grid(300, 300)
    spots = name_hot_spots(Polygons(cells, (polygon(cells, 0, 0, 100, 100),)), np.array([[5, 5], [99, 99], [100, 5]]))
    assert [(spot.name, spot.landslides) for spot in spots] == [("A (north-west)", 2)]
