import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lswarn.errors import CheckpointMismatch
from lswarn.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lswarn.model.encoder import Encoding
from lswarn.model.predict import Predictor
from lswarn.sections import FACTORS, Model


@pytest.fixture
def path(fresh, tmp_path):
    save_checkpoint(fresh(), tmp_path / "models" / "one.pt")
    return tmp_path / "models" / "one.pt"


@pytest.mark.parametrize("network", ["unet", "bpnn", "resnet"])
@pytest.mark.parametrize("rain", ["monotone", "channel"])
def test_round_trip(fresh, factors_of, tmp_path, rain, network):
    checkpoint = fresh(rain=rain, network=network)
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert back.id == checkpoint.id
    assert back.manifest == checkpoint.manifest
    assert replace(back, state={}) == replace(checkpoint, state={})
    factors, mm = factors_of(20, 24), np.full((20, 24), 80, np.float32)
    asked = [Predictor(c, "cpu").probability(factors, mm) for c in (checkpoint, back)]
    assert np.array_equal(*asked)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_the_measure_of_its_rain_travels(fresh, tmp_path):
    save_checkpoint(replace(fresh(), measure="ari"), tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert back.measure == Predictor(back, "cpu").measure == "ari"
    assert back.id != fresh().id


def test_a_file_that_names_no_measure_holds_sums(path, fresh):
    manifest = json.loads(torch.load(path, weights_only=True)["manifest"])
    assert "measure" not in manifest  # so that files from before there was a choice keep their digest
    assert load_checkpoint(path).measure == "sum"


def test_a_file_that_names_no_network_holds_a_unet(path):
    manifest = json.loads(torch.load(path, weights_only=True)["manifest"])
    assert "network" not in manifest["config"]
    assert load_checkpoint(path).config.network == "unet"


def test_the_soil_of_its_physics_travels(fresh, tmp_path):
    soil = {"cohesion": 0.1, "friction_deg": 31, "transmissivity_m2_day": 50}
    config = Model(network="unet", base_width=4, depth=2, physics_source="infinite-slope", soil=soil)
    checkpoint = replace(fresh(), config=config)
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt").config == config
    assert "soil" not in json.loads(fresh().manifest)["config"]
    assert checkpoint.id != fresh().id


def test_the_network_is_part_of_the_content(fresh, tmp_path):
    assert len({fresh(network=network).id for network in ("unet", "bpnn", "resnet")}) == 3
    checkpoint = fresh(network="bpnn")
    save_checkpoint(
        replace(checkpoint, config=checkpoint.config.model_copy(update={"network": "unet"})), tmp_path / "a"
    )
    with pytest.raises(CheckpointMismatch, match="not a checkpoint"):
        load_checkpoint(tmp_path / "a")


def test_ids_hang_on_the_content_alone():
    """Whoever changes what a manifest says or how weights are digested raises `FORMAT`, and pins the new digest."""
    encoding = Encoding((0.0,) * 7, (1.0,) * 7, (-1.0,) * 7, (1.0,) * 7, (1, 2), (3,), 100.0, 50.0, 400.0)
    config = Model(
        network="unet", rain="monotone", base_width=8, depth=3, steps=220, batch=8, crop=128, positive_weight=None,
        physics_weight=0.1, physics="linear", holdout=0.25, seed=0,
    )  # fmt: skip
    state, breaks = {"w": torch.arange(3.0)}, (0.01, 0.02, 0.05, 0.1)
    checkpoint = Checkpoint(config, encoding, 20.0, breaks, "made", "snapshot", {"loss": 0.5}, state)
    assert checkpoint.digest == "16df03d90b850795463dd2d6da502465ac8c8aaca3c08a3c0ed218cdde6ca10e"


def test_id_is_of_the_content(fresh):
    checkpoint = fresh()
    assert checkpoint.id == fresh().id
    assert len(checkpoint.id) == 16
    weights = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    weights["trunk.out.bias"] += 1e-6
    for changed in (
        replace(checkpoint, state=weights),
        replace(checkpoint, breaks=(0.01, 0.02, 0.05, 0.11)),
        replace(checkpoint, encoding=replace(checkpoint.encoding, rain_max_mm=401.0)),
    ):
        assert changed.id != checkpoint.id


def changed(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def move_a_weight(content):
    content["state"]["trunk.out.bias"][0] += 1e-3


def move_a_break(content):
    content["manifest"] = content["manifest"].replace("0.01", "0.001")


@pytest.mark.parametrize("tamper", [move_a_weight, move_a_break])
def test_tampering_is_seen(path, tamper):
    changed(path, tamper)
    with pytest.raises(CheckpointMismatch, match=r"one\.pt: its content is not what its digest says"):
        load_checkpoint(path)


@pytest.mark.parametrize("factors", [FACTORS[:9], (FACTORS[1], FACTORS[0], *FACTORS[2:])])
def test_other_factors_or_another_order(fresh, tmp_path, factors):
    save_checkpoint(replace(fresh(), factors=factors), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match=r"a\.pt: made for the factors"):
        load_checkpoint(tmp_path / "a.pt")


def test_another_format(fresh, tmp_path):
    save_checkpoint(replace(fresh(), format=99), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match="of format 99, this software reads"):
        load_checkpoint(tmp_path / "a.pt")


def test_weights_of_another_shape(fresh, tmp_path):
    checkpoint = fresh()
    save_checkpoint(replace(checkpoint, config=checkpoint.config.model_copy(update={"depth": 3})), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match=r"a\.pt"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"II*\x00 a raster", b"PK\x03\x04 half a zip"])
def test_no_checkpoint(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=r"a\.pt: not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_cut_short(path):
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointMismatch, match=r"one\.pt: not a checkpoint"):
        load_checkpoint(path)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a checkpoint ran code",)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"manifest": Bomb()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match="not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_no_file(tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"a\.pt: no such file"):
        load_checkpoint(tmp_path / "a.pt")
