import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from lswarn.errors import CheckpointMismatch
from lswarn.model.checkpoint import FORMAT, Checkpoint, load_checkpoint, save_checkpoint
from lswarn.model.encoder import Encoding
from lswarn.model.predict import Predictor
from lswarn.model.surroundings import CHANNELS
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


def test_the_manifest_says_everything(fresh):
    told = json.loads(fresh().manifest)
    assert told.keys() == {field.name for field in fields(Checkpoint)} - {"state"}
    assert told["config"].keys() == Model.model_fields.keys() - {"precision"}  # float32 needs no saying, as ever
    coarse = fresh().config.model_copy(update={"precision": "bfloat16"})
    assert json.loads(replace(fresh(), config=coarse).manifest)["config"]["precision"] == "bfloat16"


@pytest.mark.parametrize("name", ["format", "breaks", "encoding"])
def test_a_file_that_does_not_say_what_it_must_is_refused(path, name):
    def leave_out(content):
        told = json.loads(content["manifest"])
        del told[name]
        content["manifest"] = json.dumps(told)

    changed(path, leave_out)
    with pytest.raises(CheckpointMismatch, match=r"one\.pt: not a checkpoint"):
        load_checkpoint(path)


def test_the_soil_of_its_physics_travels(fresh, tmp_path):
    soil = {"cohesion": 0.1, "friction_deg": 31, "transmissivity_m2_day": 50}
    config = Model(network="unet", base_width=4, depth=2, physics_source="infinite-slope", soil=soil)
    checkpoint = replace(fresh(), config=config)
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt").config == config
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
    assert checkpoint.digest == "4cd1ef25ddf6f7a1a46c4639264650fd05ad78e69deda77d20c07c138466c2f5"


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


@pytest.mark.parametrize("number", [1, 99])
def test_another_format(fresh, tmp_path, number):
    save_checkpoint(replace(fresh(), format=number), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match=f"of format {number}, this software reads {FORMAT}; train a model"):
        load_checkpoint(tmp_path / "a.pt")


def test_weights_of_another_shape(fresh, tmp_path):
    checkpoint = fresh()
    save_checkpoint(replace(checkpoint, config=checkpoint.config.model_copy(update={"depth": 3})), tmp_path / "a.pt")
    with pytest.raises(CheckpointMismatch, match=r"a\.pt"):
        load_checkpoint(tmp_path / "a.pt")


def tree(**nodes):
    """One, that asks for the rain where nothing else is said: at most 50 mm, more."""
    kinds = {"threshold": torch.float64, "value": torch.float64}
    usual = {"feature": [RAIN, -1, -1], "threshold": [50, 0, 0], "left": [1, 0, 0], "right": [2, 0, 0]}
    told = usual | {"value": [0, -1, 1], "roots": [0]} | nodes
    return {name: torch.tensor(values, dtype=kinds.get(name, torch.int32)) for name, values in told.items()}


RAIN = 7 + CHANNELS + 2 + 10 + 2  # after what an encoder makes of the made ground


@pytest.mark.parametrize(("network", "within"), [("boosting", ""), ("ensemble", "members.boosting.")])
@pytest.mark.parametrize(
    "nodes",
    [{"left": [0, 0, 0]}, {"right": [9, 0, 0]}, {"feature": [RAIN + 1, -1, -1]}, {"value": [0, 1, -1]}],
    ids=["its own child", "a child beyond all", "no such input", "falls as rain rises"],
)
def test_trees_that_do_not_fit_together(fresh, tmp_path, network, within, nodes):
    """The digest is right, and still no walk may go astray: see `boosting.Nodes.check`."""
    plain = fresh(network=network)

    def saved(nodes):
        given = {within + name: values for name, values in tree(**nodes).items()}
        save_checkpoint(replace(plain, state=plain.state | given), tmp_path / "a.pt")

    saved({})
    assert load_checkpoint(tmp_path / "a.pt").network()
    saved(nodes)
    with pytest.raises(CheckpointMismatch, match=r"a\.pt: not a checkpoint of lswarn \(ValueError\); train"):
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
