"""What a road can take is what the weakest of its cells can take, square by square."""

from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely import LineString, MultiLineString, MultiPolygon, Point, box

from lswarn.grid import Grid
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import NEVER, TILE_CELLS, UNKNOWN
from lswarn.hazard.least import SQUARE_CELLS, least_critical
from lswarn.workers import Threads

HEIGHT, WIDTH = TILE_CELLS + 100, TILE_CELLS + 60
GRID = Grid("EPSG:32616", Affine(30, 0, 700_000, 0, -30, 4_000_000), HEIGHT, WIDTH)


@dataclass(frozen=True)
class Whole:
    """Layers in memory."""

    high: np.ndarray
    very_high: np.ndarray
    grid: Grid = GRID

    def read(self, layer, row, col):
        values = {Class.HIGH: self.high, Class.VERY_HIGH: self.very_high}[layer]
        return values[row * TILE_CELLS :, col * TILE_CELLS :][:TILE_CELLS, :TILE_CELLS]


@pytest.fixture(scope="module")
def layers():
    random = np.random.default_rng(5)
    high = random.integers(0, 4000, (HEIGHT, WIDTH)).astype(np.uint16)
    high[random.random(high.shape) < 0.3] = NEVER
    very_high = np.where(high < NEVER, high + random.integers(0, 900, high.shape), NEVER).astype(np.uint16)
    unknown = random.random(high.shape) < 0.02
    high[unknown] = very_high[unknown] = UNKNOWN
    return Whole(high, very_high)


def at(col, row):
    return GRID.transform @ (col, row)


def line(*places):
    return LineString([at(*place) for place in places])


def look_up(layers, *shapes, threads=2):
    """Rows as tuples, by shape."""
    rows = []
    for found in least_critical(layers, np.array(shapes, dtype=object), Threads(threads)):
        columns = vars(found).values()
        rows += zip(*(column.tolist() for column in columns), strict=True)
    return rows


def expected(layers, number, shape):
    """The plain way: every cell that has more than a point in common with the shape."""
    left, bottom, right, top = shape.bounds
    (col0, row0), (col1, row1) = ~GRID.transform @ (left, top), ~GRID.transform @ (right, bottom)
    found = {}
    for row in range(max(0, int(row0)), min(HEIGHT, int(row1) + 1)):
        for col in range(max(0, int(col0)), min(WIDTH, int(col1) + 1)):
            cell = box(*at(col, row + 1), *at(col + 1, row))
            common = shape.intersection(cell)
            if (common.length if shape.length and not shape.area else common.area) > 1e-6:
                square = row // SQUARE_CELLS * -(-WIDTH // SQUARE_CELLS) + col // SQUARE_CELLS
                for layer, values in ((4, layers.high), (5, layers.very_high)):
                    found.setdefault((number, square, layer), []).append((int(values[row, col]), row, col))
    return [(*key, min(cells)[0], max(cells)[0] == UNKNOWN, *min(cells)[1:]) for key, cells in sorted(found.items())]


# Hundredths of a cell, and a little more: no line runs exactly through a corner, where it may be in any of four cells.
places = st.tuples(st.integers(0, 100 * (WIDTH - 420)), st.integers(0, 100 * (HEIGHT - 420))).map(
    lambda given: (440.3037 + given[0] / 100, 440.3071 + given[1] / 100)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(places, min_size=2, max_size=4, unique=True), min_size=1, max_size=3))
def test_lines_are_asked_in_every_cell_they_run_through(layers, courses):
    roads = [line(*course) for course in courses]
    assert sorted(look_up(layers, *roads)) == sorted(
        row for number, road in enumerate(roads) for row in expected(layers, number, road)
    )


@settings(max_examples=15, deadline=None)
@given(places, st.floats(0.05, 20), st.floats(0.05, 20))
def test_polygons_are_asked_in_every_cell_they_touch(layers, corner, wide, high):
    town = shapely.affinity.rotate(box(*at(*corner), *at(corner[0] + wide, corner[1] + high)), 20)
    assert sorted(look_up(layers, town)) == sorted(expected(layers, 0, town))


def test_what_lies_outside_is_passed_over(layers):
    assert look_up(layers, line((-50, -50), (-3, -3)), Point(at(-9, 5)).buffer(60)) == []
    inside = look_up(layers, line((-50.5, 10.5), (1.5, 10.5)))
    assert {(row, col) for *_, row, col in inside} <= {(10, 0), (10, 1)}


def test_none_and_many_shapes(layers):
    assert look_up(layers) == []
    parts = MultiLineString([line((5.5, 5.5), (9.5, 5.5)), line((5.5, 400.5), (9.5, 400.5))])
    towns = MultiPolygon([Point(at(40.5, 40.5)).buffer(50), Point(at(500.5, 40.5)).buffer(50)])
    found = look_up(layers, parts, towns)
    assert {(shape, square) for shape, square, *_ in found} == {(0, 0), (0, 54), (1, 0), (1, 7)}


def test_an_area_of_whole_tiles_as_numpy_has_it(layers):
    area = box(*at(3, HEIGHT - 7), *at(WIDTH - 5, 11))
    found = [(warned, critical) for _, _, warned, critical, *_ in look_up(layers, area)]
    inside = rasterize([(area, 1)], (HEIGHT, WIDTH), transform=GRID.transform) == 1
    for warned, values in ((4, layers.high), (5, layers.very_high)):
        assert min(critical for each, critical in found if each == warned) == values[inside].min()


def test_the_same_whatever_the_number_of_threads(layers):
    shapes = [line((1.5, 1.5), (500, 600)), line((500, 600), (570, 20)), box(*at(300, 560), *at(540, 480))]
    assert look_up(layers, *shapes, threads=1) == look_up(layers, *shapes, threads=3)


def test_never_and_unknown_are_told_apart():
    ground = np.full((HEIGHT, WIDTH), NEVER, np.uint16)
    ground[20, 20] = UNKNOWN
    ground[:, 300:] = UNKNOWN
    ground[70, 400] = 0
    layers = Whole(ground, ground)
    found = {
        name: [row[3:5] for row in look_up(layers, shape)]
        for name, shape in {
            "never": line((5.5, 5.5), (9.5, 5.5)),
            "doubtful": line((15.5, 20.5), (25.5, 20.5)),
            "unknown": line((330.5, 5.5), (340.5, 5.5)),
            "without rain": line((395.5, 70.5), (405.5, 70.5)),
        }.items()
    }
    assert found == {
        "never": [(NEVER, False)] * 2,
        "doubtful": [(NEVER, True)] * 2,
        "unknown": [(UNKNOWN, True)] * 2,
        "without rain": [(0, True)] * 2,
    }
