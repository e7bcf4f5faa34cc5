"""Past days' rasters: the highest class a shape touches, every cell that slid, a fair sample of the others."""

from datetime import date

import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import box

from lswarn.hazard import recall
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY, Class

HEIGHT, WIDTH = 600, 700
DAY = date(2026, 3, 1).toordinal()


def cells(row, col, height, width):
    """Ground of some cells of 10 m, well inside them."""
    return box(10 * col + 1, -10 * (row + height) + 1, 10 * (col + width) - 1, -10 * row - 1)


def write(path, values):
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1, "crs": 32616, "tiled": True}
    with rasterio.open(path, "w", dtype=values.dtype, transform=Affine(10, 0, 0, 0, -10, 0), **profile) as file:
        file.write(values, 1)
    return path


def test_the_highest_class_that_a_shape_touches(tmp_path):
    classes = np.full((HEIGHT, WIDTH), Class.LOW, np.uint8)
    classes[100, 100], classes[200, :50] = Class.VERY_HIGH, Class.UNKNOWN
    classes[201, 0] = Class.HIGH
    path = write(tmp_path / "classes.tif", classes)
    asked = {
        cells(90, 90, 20, 20): Class.VERY_HIGH,
        cells(90, 90, 5, 5): Class.LOW,
        cells(199, 10, 2, 2): Class.UNKNOWN,  # low is known of some of it, but nothing of the rest
        cells(199, 0, 3, 3): Class.HIGH,  # high it is, whatever the rest may be
        cells(0, 0, 1, 1).buffer(50): Class.LOW,  # half of it beyond the edge
        cells(-50, -50, 5, 5): None,
    }
    assert recall.load_highest(path, list(asked)) == list(asked.values())
    assert recall.load_highest(tmp_path / "gone.tif", list(asked)) == [None] * len(asked)


def test_every_cell_that_slid_and_a_fair_sample_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(recall, "OTHERS", 40_000)
    steps = np.full((HEIGHT, WIDTH), 50, np.uint16)
    steps[:, 300:] = 5000
    steps[:50] = UNKNOWN_PROBABILITY
    path = write(tmp_path / "probability.tif", steps)
    # Over the edge of a block, and half of it unknown; the unclear ground reaches into the landslide.
    slid, unclear = [cells(40, 505, 20, 20)], [cells(55, 505, 100, 20)]
    total = {0.0: 0.0, 1.0: 0.0}
    mass = 0.0
    for probability, label, stands_for in recall.load_probabilities(path, slid, unclear, day_number=DAY):
        assert not np.isnan(probability).any()
        total[1.0] += float((label == 1).sum())
        total[0.0] += float((label == 0).sum()) * stands_for
        mass += float(probability[label == 0].sum()) * stands_for
    assert total[1.0] == 10 * 20
    others = (HEIGHT - 50) * WIDTH - 10 * 20 - 95 * 20
    assert total[0.0] == pytest.approx(others, rel=0.01)
    known = (50 * 300 + 5000 * 400) * PROBABILITY_STEP * (HEIGHT - 50)
    assert mass == pytest.approx(known, rel=0.02)


def test_the_sample_moves_from_day_to_day_and_covers_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(recall, "OTHERS", HEIGHT * WIDTH // 9)
    steps = (np.arange(HEIGHT * WIDTH) % 65_000).astype(np.uint16).reshape(HEIGHT, WIDTH)
    path = write(tmp_path / "probability.tif", steps)
    seen = [
        np.concatenate([p for p, _, _ in recall.load_probabilities(path, [], [], day_number=DAY + n)]) for n in range(9)
    ]
    asked = np.sort(np.round(np.concatenate(seen) / PROBABILITY_STEP))
    np.testing.assert_array_equal(asked, np.sort(steps.ravel()))


def test_a_raster_that_is_gone_is_no_silence(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        list(recall.load_probabilities(tmp_path / "gone.tif", [], [], day_number=DAY))
