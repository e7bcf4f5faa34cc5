"""Priming as an operator meets it, with a trained model."""

import json
import pickle

import numpy as np
import pytest
from typer.testing import CliRunner

from lswarn import priming
from lswarn.cli import app
from lswarn.errors import NoModel
from lswarn.factors.stack import open_stack
from lswarn.hazard.classes import Class, classify
from lswarn.hazard.critical import RISING, rain_tenths
from lswarn.model.predict import load_predictor
from lswarn.workers import Threads


@pytest.fixture
def layers(house):
    return priming.prime(house.region, house.settings, lambda done, total: None, workers=Threads(2))


@pytest.fixture
def asked(house, layers):
    """The model that was primed, and the factors it was asked about."""
    folder = house.settings.region_dir(house.region.name)
    with open_stack(house.region, folder / "factors") as factors:
        yield load_predictor(folder / "models" / f"{layers.model_id}.pt", "cpu"), factors


def test_the_layers_say_what_the_trained_model_says(layers, asked):
    predictor, factors = asked
    block = layers.grid.whole
    ground = factors.read(block.with_halo(predictor.halo))
    for most in (0.0, 90.0, 1.1 * layers.rain_max_mm):
        mm = np.linspace(0, most, block.width, dtype=np.float32) * np.ones((block.height, 1), np.float32)
        tenths = rain_tenths(mm, layers.rain_max_mm)
        rain = np.pad((tenths / 10).astype(np.float32), predictor.halo, mode="edge")
        halo = (slice(predictor.halo, -predictor.halo),) * 2
        expected = classify(predictor.probability(ground, rain)[halo], predictor.breaks)
        found = np.zeros(block.shape, np.uint8)
        for tile in layers.blocks():
            at = layers.tile_at(tile)
            cells = layers.read_dry(*at)
            for layer in RISING:
                cells[(tenths[tile.slices()] >= layers.read(layer, *at)) & (cells != Class.UNKNOWN)] = layer
            found[tile.slices()] = cells
        assert (found != expected).mean() < 1e-4


def test_a_model_is_sent_by_its_path(asked):
    predictor, _ = asked
    packed = pickle.dumps(predictor)
    assert len(packed) < 1000
    assert pickle.loads(packed).model_id == predictor.model_id


def test_the_command_primes_once_and_says_what(house, layers, monkeypatch):
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)
    before = {path: path.stat().st_mtime_ns for path in layers.folder.iterdir()}
    done = CliRunner().invoke(app, ["prime"])
    assert done.exit_code == 0, done.output
    assert f"model {layers.model_id} is primed" in done.stdout
    told = json.loads(CliRunner().invoke(app, ["prime", "--model", layers.model_id[:8], "--json"]).stdout)
    assert told["model"] == layers.model_id
    assert told["cells"] == layers.grid.height * layers.grid.width
    assert {path: path.stat().st_mtime_ns for path in layers.folder.iterdir()} == before


def test_an_unknown_model_is_told(house):
    with pytest.raises(NoModel):
        priming.prime(house.region, house.settings, lambda done, total: None, model_id="none")
