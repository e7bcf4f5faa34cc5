import pickle
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from lswarn.errors import NotPrimed
from lswarn.grid import Grid
from lswarn.hazard.zones import COLUMNS, block_pieces, join_pieces, least_cells, load_pieces, save_pieces

GRID = Grid("EPSG:32616", Affine(30, 0, 740_010, 0, -30, 4_030_020), 9, 14)
WARNED = st.sampled_from([0, 1, 4, 5])
DENSE = st.sampled_from([4, 4, 4, 4, 5, 1])
CLASSES = arrays(np.uint8, GRID.shape, elements=WARNED) | arrays(np.uint8, GRID.shape, elements=DENSE)


def pieces_of(classes, block_cells, probability=None, min_cells=1, grid=GRID):
    probability = np.where(classes > 0, classes / 10, np.nan) if probability is None else probability
    return [
        block_pieces(classes[block.slices()], probability[block.slices()], block, min_cells)
        for block in grid.blocks(block_cells)
    ]


def zones_of(classes, block_cells, probability=None, min_zone_m2=0.0, simplify_m=0.0, grid=GRID):
    return join_pieces(pieces_of(classes, block_cells, probability, grid=grid), grid, min_zone_m2, simplify_m)


def drawn(*rows):
    classes = np.ones(GRID.shape, dtype=np.uint8)
    for row, text in enumerate(rows):
        classes[row, : len(text)] = [int(c) for c in text]
    return classes


def in_cells(geometries, grid=GRID):
    """Polygons in degrees, put back on the corners of cells: x is the column, y the row from below."""
    rows, cols = np.mgrid[0 : grid.height + 1, 0 : grid.width + 1]
    lon, lat = grid.corners_lonlat(rows, cols)
    places = {(x, y): (col, -row) for x, y, row, col in zip(lon.flat, lat.flat, rows.flat, cols.flat, strict=True)}
    return shapely.transform(np.array(geometries), lambda xy: np.array([places[tuple(each)] for each in xy]))


def as_union(classes):
    """The obvious way: the union of each connected cells' squares."""
    found = []
    for wanted in (4, 5):
        labels, count = ndimage.label(classes == wanted)
        for number in range(1, count + 1):
            rows, cols = np.nonzero(labels == number)
            found.append((wanted, len(rows), shapely.union_all(shapely.box(cols, -rows - 1, cols + 1, -rows))))
    return found


def test_a_zone_is_not_cut_where_blocks_meet():
    zones = zones_of(drawn("1111111", "1555551", "1511151"), 4)
    assert len(zones) == 1
    assert zones.area_m2.item() == 7 * 900
    assert shapely.get_num_coordinates(in_cells(zones.geometry)).item() == 9  # none where blocks met
    assert zones.geometry.is_valid.all()


def test_corners_do_not_connect_within_a_block_or_across():
    assert len(zones_of(drawn("5111", "1511"), 8)) == 2
    assert len(zones_of(drawn("11151111", "11115111"), 4)) == 2


@pytest.mark.parametrize("block_cells", [1, 2, 3, 8])
def test_cells_that_close_a_circle_by_a_corner_make_a_hole_that_touches(block_cells):
    polygon = in_cells(zones_of(drawn("1555", "5155", "5555"), block_cells).geometry)[0]
    assert polygon.is_valid
    assert polygon.exterior.is_simple
    assert [hole.length for hole in polygon.interiors] == [4]


def test_classes_stay_apart():
    zones = zones_of(drawn("4455"), 3)
    assert sorted(zones["class"]) == [4, 5]


def test_statistics_are_those_of_all_cells():
    classes = drawn("555555")
    probability = np.full(GRID.shape, np.nan)
    probability[0, :6] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    zone = zones_of(classes, 4, probability).iloc[0]
    assert zone.probability_mean == pytest.approx(0.75)
    assert zone.probability_max == pytest.approx(1.0)


def test_a_warned_cell_has_a_probability():
    with pytest.raises(ValueError, match="no probability"):
        zones_of(drawn("5"), 4, np.full(GRID.shape, np.nan))
    with pytest.raises(ValueError, match="classes are"):
        block_pieces(drawn("5"), np.zeros((2, 2), np.float32), GRID.whole)


def test_small_zones_are_left_out_by_their_whole_size():
    classes = drawn("11155111", "11111115")
    assert len(zones_of(classes, 4, min_zone_m2=1800)) == 1
    assert len(zones_of(classes, 4, min_zone_m2=1801)) == 0


def test_the_least_number_of_cells_is_that_of_the_least_area():
    assert [least_cells(GRID, m2) for m2 in (0, 1, 900, 901, 3600)] == [1, 1, 1, 2, 4]
    tenths = replace(GRID, transform=Affine.scale(0.1, -0.1))
    assert least_cells(tenths, 0.03) == 3


def test_small_pieces_away_from_the_edge_are_dropped_in_their_block():
    classes = drawn("1511111", "1111111", "1115111")
    assert [len(each) for each in pieces_of(classes, 20)] == [2]
    (kept,) = pieces_of(classes, 20, min_cells=2)
    assert len(kept) == 1
    assert kept.sides.max() == 0


def test_nothing_found_is_an_empty_table_with_its_columns():
    for zones in (zones_of(drawn("1"), 4), zones_of(drawn("5"), 4, min_zone_m2=1000), join_pieces([], GRID, 0)):
        assert zones.empty
        assert list(zones.columns) == [*COLUMNS, "geometry"]
        assert zones.crs == "EPSG:4326"


def test_zones_come_from_north_to_south_and_then_from_west_to_east():
    zones = zones_of(drawn("1111115", "5114115"), 3)
    assert list(in_cells(zones.geometry)) == sorted(in_cells(zones.geometry), key=lambda z: (-z.bounds[3], z.bounds[0]))
    assert list(zones["class"]) == [5, 5, 4]


def test_an_outline_lies_where_its_cells_do():
    zone = zones_of(drawn("1", "15"), 4).to_crs(GRID.crs).geometry.iloc[0]
    assert zone.bounds == pytest.approx((740_040, 4_029_960, 740_070, 4_029_990), abs=0.1)
    assert zone.exterior.is_ccw


@settings(max_examples=100, deadline=None)
@given(CLASSES, st.integers(1, 15))
def test_zones_are_the_union_of_their_cells(classes, block_cells):
    zones = zones_of(classes, block_cells)
    assert zones.geometry.is_valid.all()
    zones["geometry"] = in_cells(zones.geometry)
    found = sorted(zip(zones["class"], zones.area_m2 / 900, zones.geometry, strict=True), key=_by_place)
    for one, other in zip(found, sorted(as_union(classes), key=_by_place), strict=True):
        assert one[:2] == other[:2]
        assert one[2].equals(other[2])
        assert all(ring.is_simple for ring in (one[2].exterior, *one[2].interiors))


def _by_place(found):
    centre = found[2].point_on_surface()
    return (*found[2].bounds, found[1], found[0], centre.x, centre.y)


@settings(max_examples=100, deadline=None)
@given(CLASSES, arrays(np.float32, GRID.shape, elements=st.floats(0, 1, width=32)), st.integers(1, 13), st.data())
def test_blocks_equal_the_whole(classes, probability, block_cells, data):
    pieces = data.draw(st.permutations(pieces_of(classes, block_cells, probability, min_cells=2)))
    whole, parts = zones_of(classes, 99, probability, 1800), join_pieces(pieces, GRID, 1800)
    assert whole[list(COLUMNS)].equals(parts[list(COLUMNS)])
    assert (shapely.to_wkb(whole.geometry) == shapely.to_wkb(parts.geometry)).all()


@settings(max_examples=50, deadline=None)
@given(CLASSES, st.sampled_from([20, 40, 90]))
def test_simplified_zones_still_touch_without_gap_or_overlap(classes, simplify_m):
    exact, simple = zones_of(classes, 4), zones_of(classes, 4, simplify_m=simplify_m)
    assert exact[list(COLUMNS)].equals(simple[list(COLUMNS)])
    cells = in_cells(simple.geometry)
    assert shapely.is_valid(cells).all()
    assert shapely.coverage_is_valid(cells)
    assert _topology(cells) == _topology(in_cells(exact.geometry))


def _topology(polygons):
    parts = shapely.get_parts(shapely.union_all(polygons))
    return len(parts), shapely.get_num_interior_rings(parts).sum()


def test_a_step_of_an_outline_that_another_zone_goes_around_is_kept_by_both():
    classes = drawn("44444", "44544", "55555")
    simple = zones_of(classes, 4, simplify_m=25)
    assert shapely.coverage_is_valid(in_cells(simple.geometry))


def test_simplifying_takes_steps_out_of_an_outline():
    stairs = drawn("5", "55", "555", "5555", "55555", "555555", "5555555")
    exact, simple = zones_of(stairs, 4), zones_of(stairs, 4, simplify_m=60)
    assert shapely.get_num_coordinates(simple.geometry.iloc[0]) < shapely.get_num_coordinates(exact.geometry.iloc[0])


def test_pieces_come_back_from_disk_and_from_another_process(tmp_path):
    pieces = pieces_of(drawn("5551444", "5151111", "5551"), 4)
    path = tmp_path / "dry.npz"
    save_pieces(path, pieces)
    for kept in (load_pieces(path), pickle.loads(pickle.dumps(pieces))):
        assert [each.block for each in kept] == [each.block for each in pieces]
        assert join_pieces(kept, GRID, 0).equals(join_pieces(pieces, GRID, 0))
    first = path.read_bytes()
    save_pieces(path, pieces)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_no_pieces_come_back_as_none(tmp_path):
    save_pieces(tmp_path / "none.npz", [])
    assert load_pieces(tmp_path / "none.npz") == []


def test_pieces_that_were_cut_or_edited_are_refused(tmp_path):
    path = tmp_path / "dry.npz"
    save_pieces(path, pieces_of(drawn("5551444"), 4))
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at])
        with pytest.raises(NotPrimed, match="lswarn prime"):
            load_pieces(path)
    path.write_bytes(whole[:60] + b"\0\0\0" + whole[63:])
    with pytest.raises(NotPrimed, match="not the pieces"):
        load_pieces(path)
    with pytest.raises(NotPrimed):
        load_pieces(tmp_path / "none.npz")


def test_blocks_beyond_those_with_anything_may_be_left_out():
    classes = drawn("5551111")
    some = [each for each in pieces_of(classes, 3) if len(each)]
    assert len(join_pieces(some, GRID, 0)) == 1
