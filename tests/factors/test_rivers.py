import numpy as np
import pytest

from lswarn.factors.rivers import upslope_km2


def valley(shape: tuple[int, int] = (12, 9)) -> np.ndarray:
    """A V-shaped valley that falls southward; its bottom is column 4."""
    rows, cols = np.indices(shape)
    return (100 + 5 * abs(cols - 4) - rows).astype(np.float32)


def test_the_whole_valley_drains_through_its_mouth() -> None:
    upslope = upslope_km2(valley(), 100)
    assert upslope[-1, 4] == pytest.approx(12 * 9 * 0.01, rel=0.2)  # the lowest row may leave sideways
    assert (np.diff(upslope[:, 4]) > 0).all()
    assert upslope[0, 0] == pytest.approx(0.01)


def test_a_pit_does_not_swallow_the_river() -> None:
    dem = valley()
    dem[6, 4] -= 50
    np.testing.assert_allclose(upslope_km2(dem, 100)[-1, 4], upslope_km2(valley(), 100)[-1, 4])


def test_unknown_terrain_is_unknown() -> None:
    dem = valley()
    dem[:3, :2] = np.nan
    np.testing.assert_array_equal(np.isnan(upslope_km2(dem, 100)), np.isnan(dem))
