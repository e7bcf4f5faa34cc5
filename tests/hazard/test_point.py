"""How much more rain one cell takes: what the layers say there, held against the rain that has fallen."""

import shutil

import pytest
from pyproj import Transformer

from lswarn.hazard.classes import WARNED, Class
from lswarn.hazard.critical import NEVER, UNKNOWN
from lswarn.hazard.point import load_critical_tenths, rain_to_go


def lonlat(grid, row, col):
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return to_degrees.transform(*(grid.transform @ (col + 0.5, row + 0.5)))


@pytest.mark.parametrize(("row", "col"), [(0, 599), (100, 200), (300, 5), (511, 511), (529, 512)])
def test_a_cell_says_what_its_tile_says(hills, row, col):
    layers = hills.layers
    found = load_critical_tenths(layers.folder, *lonlat(layers.grid, row, col))
    assert found == {each: int(layers.read(each, row // 512, col // 512)[row % 512, col % 512]) for each in WARNED}


@pytest.mark.parametrize("place", [(0.0, 0.0), (180.0, 90.0), (1e9, 1e9)])
def test_outside_nothing_is_known(hills, place):
    assert load_critical_tenths(hills.layers.folder, *place) == dict.fromkeys(WARNED, UNKNOWN)


def test_a_layer_that_was_edited_is_not_believed(hills, tmp_path):
    layers = hills.layers
    folder = shutil.copytree(layers.folder, tmp_path / layers.folder.name)
    place = lonlat(layers.grid, 100, 200)
    assert load_critical_tenths(folder, *place)[Class.HIGH] != UNKNOWN
    path = folder / "high.tif"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 :] = bytes(len(whole) - len(whole) // 2)
    path.write_bytes(whole)
    assert load_critical_tenths(folder, *place) == dict.fromkeys(WARNED, UNKNOWN)
    assert load_critical_tenths(tmp_path / "gone", *place) == dict.fromkeys(WARNED, UNKNOWN)


@pytest.mark.parametrize(
    ("critical", "rain_mm", "lower_bound", "told"),
    [
        (1234, 100.0, False, ("known", 123.4, 23.4)),
        (1234, 100.0, True, ("at_most", 123.4, 23.4)),
        (123, 12.3, False, ("reached", 12.3, 0.0)),
        (123, 12.29, False, ("known", 12.3, 0.1)),
        (0, None, False, ("reached", 0.0, 0.0)),
        (123, None, False, ("unknown", 12.3, None)),
        (UNKNOWN, 500.0, False, ("unknown", None, None)),
        (NEVER, 300.0, False, ("never", None, None)),
        (NEVER, 300.1, False, ("beyond_model", None, None)),
        (NEVER, None, False, ("unknown", None, None)),
    ],
)
def test_what_is_left(critical, rain_mm, lower_bound, told):
    assert rain_to_go(critical, rain_mm, rain_max_mm=300.0, lower_bound=lower_bound) == told
