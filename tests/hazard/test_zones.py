import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.grid import Grid
from lswarn.hazard.zones import block_pieces, join_pieces

GRID = Grid("EPSG:32616", Affine(30, 0, 740_010, 0, -30, 4_030_020), 9, 14)


def zones_of(classes, block_cells, probability=None, min_zone_m2=0.0):
    probability = np.where(classes > 0, classes / 10, np.nan) if probability is None else probability
    pieces = [
        block_pieces(classes[block.slices()], probability[block.slices()], GRID.block_transform(block))
        for block in GRID.blocks(block_cells)
    ]
    return join_pieces(pieces, GRID.crs, GRID.cell_m2, min_zone_m2)


def drawn(*rows):
    classes = np.ones(GRID.shape, dtype=np.uint8)
    for row, text in enumerate(rows):
        classes[row, : len(text)] = [int(c) for c in text]
    return classes


def test_a_zone_is_not_cut_where_blocks_meet():
    zones = zones_of(drawn("1111111", "1555551", "1511151"), 4)
    assert len(zones) == 1
    assert zones.area_m2.item() == 7 * 900
    assert zones.geometry.is_valid.all()


def test_corners_do_not_connect_within_a_block_or_across():
    assert len(zones_of(drawn("5111", "1511"), 8)) == 2
    assert len(zones_of(drawn("11151111", "11115111"), 4)) == 2


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


def test_small_zones_are_left_out_by_their_whole_size():
    classes = drawn("11155111", "11111115")
    assert len(zones_of(classes, 4, min_zone_m2=1800)) == 1
    assert len(zones_of(classes, 4, min_zone_m2=1801)) == 0


def test_nothing_found_is_an_empty_table_with_its_columns():
    zones = zones_of(drawn("1"), 4)
    assert zones.empty
    assert {"class", "area_m2", "probability_mean", "probability_max"} <= set(zones.columns)
    assert zones.crs == "EPSG:4326"


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, GRID.shape, elements=st.sampled_from([0, 1, 4, 5])), st.integers(2, 13))
def test_blocks_equal_the_whole(classes, block_cells):
    whole, parts = zones_of(classes, 99), zones_of(classes, block_cells)
    columns = ["class", "area_m2", "probability_mean", "probability_max"]
    assert np.sort(whole[columns].to_numpy(), axis=0) == pytest.approx(np.sort(parts[columns].to_numpy(), axis=0))
    for one, other in zip(_by_place(whole), _by_place(parts), strict=True):
        assert one.equals(other)
        assert other.is_valid


def _by_place(zones):
    return sorted(zones.normalize(), key=lambda polygon: (polygon.bounds, polygon.area))
