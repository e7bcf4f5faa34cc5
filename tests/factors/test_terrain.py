import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lswarn.factors.terrain import FLAT, aspect_deg, complete, curvature, derivatives, slope_deg

dems = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=9), elements=st.integers(0, 3000))
rough = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=20),
    elements=st.one_of(st.floats(-400, 8848, width=32), st.integers(0, 3).map(float), st.just(np.nan)),
)


def plane(east: float, north: float, shape: tuple[int, int] = (5, 8), cell_m: float = 30) -> np.ndarray:
    """Rising by so much per metre eastward and northward; row 0 in the north."""
    rows, cols = np.indices(shape)
    return (1000 + cell_m * (east * cols - north * rows)).astype(np.float32)


def gdaldem(dem: np.ndarray, cell_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Slope and aspect as the manual of gdaldem and its reference formula say it, one cell at a time."""
    slope, aspect = np.full((2, dem.shape[0] - 2, dem.shape[1] - 2), np.nan)
    for row, col in np.ndindex(slope.shape):
        a, b, c, d, _, f, g, h, i = (float(v) for v in dem[row : row + 3, col : col + 3].flat)
        dx = (c + 2 * f + i) - (a + 2 * d + g)
        dy = (g + 2 * h + i) - (a + 2 * b + c)
        slope[row, col] = math.degrees(math.atan(math.sqrt(dx * dx + dy * dy) / (8 * cell_m)))
        angle = math.degrees(math.atan2(dy, -dx))
        angle = 450 - angle if angle > 90 else 90 - angle
        aspect[row, col] = -1 if dx == dy == 0 else angle % 360
    return slope, aspect


@pytest.mark.parametrize(
    ("east", "north", "expected"),
    [(0, -1, 0), (-1, -1, 45), (-1, 0, 90), (-1, 1, 135), (0, 1, 180), (1, 1, 225), (1, 0, 270), (1, -1, 315)],
)
def test_a_plane_faces_where_it_falls(east: float, north: float, expected: float) -> None:
    dem = plane(east, north)
    assert aspect_deg(dem, 30) == pytest.approx(np.full((3, 6), expected))
    assert slope_deg(dem, 30) == pytest.approx(
        np.full((3, 6), 45 if east * north == 0 else math.degrees(math.atan(2**0.5)))
    )
    assert curvature(dem, 30) == pytest.approx(np.zeros((3, 6)), abs=1e-6)


def test_flat_ground_faces_nowhere() -> None:
    dem = np.full((4, 7), 812.5, np.float32)
    assert (slope_deg(dem, 30) == 0).all()
    assert (aspect_deg(dem, 30) == FLAT).all()


def test_curvature_of_a_paraboloid_is_its_laplacian_turned() -> None:
    y, x = np.indices((6, 9)) * 10.0
    dome = (500 - 0.02 * x**2 - 0.03 * y**2).astype(np.float32)
    assert curvature(dome, 10) == pytest.approx(np.full((4, 7), 0.1), abs=1e-5)
    assert curvature(-dome, 10) == pytest.approx(np.full((4, 7), -0.1), abs=1e-5)


@settings(deadline=None)
@given(dems, st.sampled_from([10.0, 27.5, 30.0]))
def test_slope_and_aspect_agree_with_the_formula_of_gdaldem(dem: np.ndarray, cell_m: float) -> None:
    slope, aspect = gdaldem(dem, cell_m)
    assert slope_deg(dem, cell_m) == pytest.approx(slope, abs=1e-4)
    turn = (aspect_deg(dem, cell_m) - aspect + 180) % 360 - 180
    assert turn == pytest.approx(np.zeros_like(turn), abs=1e-3)


def by_numpy(dem: np.ndarray, cell_m: float) -> dict[str, np.ndarray]:
    """The three in whole arrays: slower, and plain to see."""
    z = dem.astype(np.float64)
    nw, n, ne = z[:-2, :-2], z[:-2, 1:-1], z[:-2, 2:]
    w, middle, e = z[1:-1, :-2], z[1:-1, 1:-1], z[1:-1, 2:]
    sw, s, se = z[2:, :-2], z[2:, 1:-1], z[2:, 2:]
    east = ((ne + 2 * e + se) - (nw + 2 * w + sw)) / (8 * cell_m)
    north = ((nw + 2 * n + ne) - (sw + 2 * s + se)) / (8 * cell_m)
    aspect = (np.degrees(np.arctan2(-east, -north)) % 360).astype(np.float32) % 360
    curved = -2 * ((w + e) / 2 - middle + (n + s) / 2 - middle) / cell_m**2
    found = {
        "slope": np.degrees(np.arctan(np.hypot(east, north))),
        "aspect": np.where((east == 0) & (north == 0), FLAT, aspect),
        "curvature": curved,
    }
    return {name: np.where(complete(dem), values, np.nan) for name, values in found.items()}


@settings(deadline=None, max_examples=40)
@given(rough, st.sampled_from([1.0, 27.5, 30.0]), st.sets(st.sampled_from(["slope", "aspect", "curvature"])))
def test_one_walk_finds_what_whole_arrays_find(dem: np.ndarray, cell_m: float, wanted: set[str]) -> None:
    found, expected = derivatives(dem, cell_m, wanted), by_numpy(dem, cell_m)
    assert set(found) == wanted
    for name, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected[name]))
        np.testing.assert_allclose(values, expected[name], rtol=2e-7, atol=1e-9 if name != "curvature" else 1e-6)


@settings(deadline=None)
@given(dems)
def test_turning_the_map_turns_the_aspect(dem: np.ndarray) -> None:
    turned = np.rot90(dem, -1)  # by 90° clockwise
    assert slope_deg(turned, 30) == pytest.approx(np.rot90(slope_deg(dem, 30), -1))
    assert curvature(turned, 30) == pytest.approx(np.rot90(curvature(dem, 30), -1))
    before = np.rot90(aspect_deg(dem, 30), -1)
    after = np.where(before == FLAT, before, (before + 90) % 360)
    turn = (aspect_deg(turned, 30) - after + 180) % 360 - 180
    assert turn == pytest.approx(np.zeros_like(turn), abs=1e-3)


@settings(deadline=None)
@given(dems)
def test_ranges(dem: np.ndarray) -> None:
    slope, aspect = slope_deg(dem, 30), aspect_deg(dem, 30)
    assert ((slope >= 0) & (slope < 90)).all()
    assert ((aspect == FLAT) | ((aspect >= 0) & (aspect < 360))).all()
    assert ((aspect == FLAT) == (slope == 0)).all()


def test_a_hair_west_of_north_is_not_360() -> None:
    assert aspect_deg(plane(1e-6, -1), 30).max() < 360


@pytest.mark.parametrize("function", [slope_deg, aspect_deg, curvature])
def test_an_unknown_cell_makes_its_nine_neighbours_unknown_and_no_others(function) -> None:
    dem = plane(0.3, 0.2, (9, 11))
    dem[4, 6] = np.nan
    unknown = np.zeros((7, 9), bool)
    unknown[2:5, 4:7] = True
    np.testing.assert_array_equal(np.isnan(function(dem, 30)), unknown)
