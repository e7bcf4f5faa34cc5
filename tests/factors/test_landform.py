import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from lswarn.factors.landform import _FORMS, FLATNESS_DEG, LOOKUP_CELLS, Landform, landform
from lswarn.factors.terrain import complete

H = LOOKUP_CELLS
SIZE = 2 * H + 1
Y, X = np.indices((SIZE, SIZE)) - H  # metres at 1 m cells, from the one inner cell


def form(surface: np.ndarray) -> Landform:
    """Form of the middle cell of a surface with cells of 1 m."""
    return Landform(int(landform(surface.astype(np.float32), 1.0).item()))


def rough(seed: int, shape: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((shape[0] + 2 * H, shape[1] + 2 * H))
    return (gaussian_filter(noise, 3) * 400).astype(np.float32)


@pytest.mark.parametrize(
    ("surface", "expected"),
    [
        (0 * X, Landform.FLAT),
        (-np.hypot(X, Y), Landform.SUMMIT),
        (np.hypot(X, Y), Landform.DEPRESSION),
        (-abs(X), Landform.RIDGE),
        (abs(Y), Landform.VALLEY),
        (0.5 * X, Landform.SLOPE),
        (np.minimum(X, 0), Landform.SHOULDER),
        (np.maximum(Y, 0), Landform.FOOTSLOPE),
        (1.5 * Y - abs(X), Landform.SPUR),
        (1.5 * Y + abs(X), Landform.HOLLOW),
    ],
)
def test_forms_of_simple_surfaces(surface: np.ndarray, expected: Landform) -> None:
    assert form(surface) is expected


def test_a_rise_within_the_flatness_is_flat() -> None:
    assert form(np.tan(np.radians(0.4)) * np.hypot(X, Y)) is Landform.FLAT
    assert form(np.tan(np.radians(1.1)) * np.hypot(X, Y)) is Landform.DEPRESSION


def test_what_lies_beyond_the_lookup_is_not_seen() -> None:
    wall = np.where(np.hypot(X, Y) > H + 0.5, 1000, 0)
    assert form(wall) is Landform.FLAT
    assert form(np.where(np.hypot(X, Y) > H - 0.5, 1000, 0)) is not Landform.FLAT


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12))
def test_turning_the_terrain_upside_down_swaps_the_forms(seed: int, height: int, width: int) -> None:
    opposite = {
        Landform.SUMMIT: Landform.DEPRESSION,
        Landform.RIDGE: Landform.VALLEY,
        Landform.SHOULDER: Landform.FOOTSLOPE,
        Landform.SPUR: Landform.HOLLOW,
    }
    opposite |= {low: high for high, low in opposite.items()}
    dem = rough(seed, (height, width))
    swapped = [opposite.get(Landform(int(code)), int(code)) for code in landform(dem, 30).flat]
    np.testing.assert_array_equal(landform(-dem, 30).ravel(), swapped)


def test_a_block_with_its_halo_equals_the_whole() -> None:
    dem = rough(3, (40, 57))
    whole = landform(dem, 30)
    np.testing.assert_array_equal(landform(dem[13 : 13 + 2 * H + 9, 30 : 30 + 2 * H + 27], 30), whole[13:22, 30:57])
    assert len(np.unique(whole)) >= 8  # the law is shown on real variety


def by_numpy(dem: np.ndarray, resolution_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes by angles, in double precision; and how near a sight line comes to the flatness, degrees."""
    dem = dem.astype(np.float64)
    height, width = (size - 2 * H for size in dem.shape)
    higher, lower = np.zeros((height, width), int), np.zeros((height, width), int)
    nearness = np.full((height, width), np.inf)
    for down, right in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)):
        length = math.hypot(down, right)
        angles = [
            np.arctan(
                (
                    dem[H + n * down : H + n * down + height, H + n * right : H + n * right + width]
                    - dem[H : H + height, H : H + width]
                )
                / (n * length * resolution_m)
            )
            for n in range(1, int(H / length) + 1)
        ]
        balance = np.degrees(np.fmax.reduce(angles) + np.fmin.reduce(angles))
        higher += balance > FLATNESS_DEG
        lower += balance < -FLATNESS_DEG
        nearness = np.fmin(nearness, abs(abs(balance) - FLATNESS_DEG))
    return _FORMS[lower, higher], nearness


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30), st.sampled_from([1.0, 30.0, 90.0]))
def test_tangents_decide_as_angles_do(seed: int, height: int, width: int, resolution_m: float) -> None:
    dem = rough(seed, (height, width))
    dem[np.random.default_rng(seed).random(dem.shape) < 0.01] = np.nan
    found = landform(dem, resolution_m)
    expected, nearness = by_numpy(dem, resolution_m)
    # On the very edge the last bits of single precision decide.
    same = (found == expected) | np.isnan(found) | (nearness < 1e-3)
    assert same.all()
    np.testing.assert_array_equal(np.isnan(found), ~complete(dem[H - 1 : 1 - H, H - 1 : 1 - H]))


def test_unknown_neighbours_make_unknown_and_far_ones_are_looked_past() -> None:
    dem = rough(5, (7, 9))
    dem[H + 3, H + 4] = np.nan
    unknown = np.zeros((7, 9), bool)
    unknown[2:5, 3:6] = True
    np.testing.assert_array_equal(np.isnan(landform(dem, 30)), unknown)
