import json
import pickle
import shutil
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.errors import NotPrimed
from lswarn.hazard.classes import PROBABILITY_STEP, UNKNOWN_PROBABILITY, Class
from lswarn.hazard.critical import (
    LAYERS,
    NEVER,
    RISING,
    TILE_CELLS,
    UNKNOWN,
    CriticalLayers,
    critical_tenths,
    most_tenths,
    open_layers,
    rain_tenths,
)

MM = st.floats(0, 900, width=32) | st.integers(0, 9000).map(lambda tenths: float(np.float32(tenths / 10)))


@given(arrays(np.float32, 8, elements=MM), arrays(np.float32, 8, elements=MM))
def test_tenths_keep_every_comparison_with_a_threshold_that_a_day_can_make(rain, critical):
    judged = rain_tenths(rain, 1000.0)
    seen = (judged / 10).astype(np.float32)  # what the full network is given
    assert ((seen >= critical) == (judged >= critical_tenths(critical))).all()
    assert (seen <= rain).all()
    assert (rain - seen < 0.1001).all()


@given(st.integers(0, 9000))
def test_rain_of_whole_tenths_is_just_that(tenths):
    assert rain_tenths(np.array([tenths / 10]), 1000.0)[0] == tenths
    assert critical_tenths(np.array([tenths / 10], np.float32))[0] == tenths


@given(arrays(np.float32, 8, elements=MM), st.floats(1, 500))
def test_more_rain_is_never_less(rain, most):
    order = np.sort(rain)
    found = rain_tenths(order, most)
    assert (np.diff(found.astype(int)) >= 0).all()
    assert found.max() <= most_tenths(most)


def test_unknown_and_never_are_values_of_their_own():
    assert rain_tenths(np.array([np.nan, -1, 1e9]), 412.37).tolist() == [UNKNOWN, 0, 4124]
    assert critical_tenths(np.array([np.nan, np.inf, 0], np.float32)).tolist() == [UNKNOWN, NEVER, 0]
    assert most_tenths(400.0) == 4000
    assert most_tenths(float(np.float32(412.3))) == 4123


def classes_by(layers: CriticalLayers, mm: float) -> np.ndarray:
    """Class of every cell under the same rain everywhere."""
    found = np.zeros(layers.grid.shape, np.uint8)
    rain = rain_tenths(np.array([mm]), layers.rain_max_mm)[0]
    for block in layers.blocks():
        at = layers.tile_at(block)
        cells = layers.read_dry(*at)
        for layer in RISING:
            cells[(rain >= layers.read(layer, *at)) & (cells != Class.UNKNOWN)] = layer
        found[block.slices()] = cells
    return found


@pytest.mark.parametrize("mm", [0, 0.1, 25.3, 80, 160, 299.9, 400, 1000])
def test_the_layers_say_what_the_model_says_of_every_cell(hills: SimpleNamespace, mm):
    layers, model, factors = hills.layers, hills.Steep(), hills.Hills().read(hills.grid.whole)
    probability = model.probability(factors, np.float32(mm))
    expected = (np.digitize(probability, np.array(model.breaks, np.float32)) + 1).astype(np.uint8)
    expected[np.isnan(probability)] = Class.UNKNOWN
    assert len(np.unique(expected)) >= 3
    np.testing.assert_array_equal(classes_by(layers, mm), expected)


def test_what_a_tile_has_least_is_told_without_reading_it(hills: SimpleNamespace):
    layers = hills.layers
    assert layers.tiles == (2, 2)
    for block in layers.blocks():
        at = layers.tile_at(block)
        assert layers.block(*at) == block
        for layer, least in zip(RISING, layers.least[at], strict=True):
            cells = layers.read(layer, *at)
            assert cells.shape == block.shape
            assert least == cells[(cells > 0)].min(initial=NEVER)
        assert layers.unknown[at] == (layers.read_dry(*at) == Class.UNKNOWN).sum()
    assert layers.unknown[0, 0] > 0


def test_probabilities_and_the_packed_tile_are_read_back(hills: SimpleNamespace):
    layers, factors = hills.layers, hills.Hills().read(hills.grid.whole)
    rows, cols = layers.block(1, 1).slices()
    dry, most = layers.read_probabilities(1, 1)
    for found, mm in ((dry, 0), (most, 1e6)):
        expected = hills.Steep().probability(factors, np.float32(mm))[rows, cols]
        assert np.abs(found * PROBABILITY_STEP - expected).max() <= PROBABILITY_STEP / 2 + 1e-7
    assert (layers.read_probabilities(0, 0)[0][:40, :70] == UNKNOWN_PROBABILITY).all()
    cells = np.frombuffer(zlib.decompress(layers.dry_packed(1, 1)), np.uint8).reshape(TILE_CELLS, TILE_CELLS)
    block = layers.block(1, 1)
    np.testing.assert_array_equal(cells[: block.height, : block.width], layers.read_dry(1, 1))
    assert not cells[block.height :].any()


def test_layers_are_cogs_that_any_reader_opens(hills: SimpleNamespace):
    for name in LAYERS:
        with rasterio.open(hills.layers.folder / f"{name}.tif") as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.overviews(1) == [2]
            assert dataset.crs.to_string() == hills.grid.crs
            assert dataset.transform == hills.grid.transform
            assert dataset.shape == hills.grid.shape


def test_pickled_layers_open_their_files_anew(hills: SimpleNamespace):
    sent = pickle.loads(pickle.dumps(hills.layers))
    np.testing.assert_array_equal(sent.read(Class.HIGH, 0, 1), hills.layers.read(Class.HIGH, 0, 1))


@pytest.fixture
def copy(hills: SimpleNamespace, tmp_path):
    """Layers that may be spoiled."""
    shutil.copytree(hills.folder, tmp_path / "critical")
    return open_layers(tmp_path / "critical", "steep", "hills")


@pytest.mark.parametrize("name", LAYERS)
def test_an_edited_layer_is_refused_where_it_is_read(copy: CriticalLayers, hills: SimpleNamespace, name):
    path = copy.folder / f"{name}.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        cells = dataset.read(1, window=copy.block(1, 0).window)
        cells[5, 5] += 1
        dataset.write(cells, 1, window=copy.block(1, 0).window)
    read = {"dry": copy.read_dry, "p_dry": copy.read_probabilities, "p_most": copy.read_probabilities}
    asked = read.get(name) or (lambda row, col: copy.read(Class[name.upper()], row, col))
    with pytest.raises(NotPrimed, match=rf"{name}\.tif: tile 1, 0 is not what priming wrote.*lswarn prime"):
        asked(1, 0)
    asked(0, 0)


def test_a_changed_byte_is_found(copy: CriticalLayers, hills: SimpleNamespace):
    path = copy.folder / "dry.tif"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    changed = open_layers(copy.folder.parent, "steep", "hills")
    with pytest.raises(NotPrimed, match=r"dry\.tif"):
        changed.dry_packed(1, 1)
    with pytest.raises(NotPrimed, match=r"dry\.tif"):
        changed.check()
    assert hills.primed(copy.folder.parent).read_dry(1, 1).any()  # priming heals it
    open_layers(copy.folder.parent, "steep", "hills").check()


@pytest.mark.parametrize("name", [*(f"{layer}.tif" for layer in LAYERS), "tiles.npz", "layers.json"])
@pytest.mark.parametrize("spoil", ["cut", "gone"])
def test_a_file_that_is_cut_or_gone_is_refused(copy: CriticalLayers, name, spoil):
    path = copy.folder / name
    content = path.read_bytes()
    path.unlink()
    if spoil == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(NotPrimed, match="lswarn prime"):
        open_layers(copy.folder.parent, "steep", "hills")


def test_layers_of_another_model_or_stack_are_not_found(hills: SimpleNamespace):
    for asked in (("flat", "hills"), ("steep", "plains")):
        with pytest.raises(NotPrimed, match=r"no critical layers.*lswarn prime"):
            open_layers(hills.folder, *asked)


def test_layers_under_the_wrong_name_are_refused(copy: CriticalLayers):
    told = json.loads((copy.folder / "layers.json").read_text())
    (copy.folder / "layers.json").write_text(json.dumps(told | {"key": "0" * 64}))
    with pytest.raises(NotPrimed, match="lswarn prime"):
        open_layers(copy.folder.parent, "steep", "hills")
