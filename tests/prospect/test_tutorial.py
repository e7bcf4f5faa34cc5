"""docs/tutorial.md is true: what needs no account and no hours is run as it stands, the rest is understood."""

import os
import shlex
from pathlib import Path

import geopandas as gpd
import pytest
from click import Command, Context
from shapely import box
from typer.main import get_command
from typer.testing import CliRunner

from lswarn.cli import app
from lswarn.demo.open_sources import BBOX
from lswarn.errors import RegionError

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text("utf-8")
COMMANDS = [shlex.split(line)[1:] for line in TUTORIAL.splitlines() if line.startswith("    lswarn ")]


@pytest.fixture
def lswarn(server, fresh_database_url, tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    for name in [name for name in os.environ if name.startswith("LSWARN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    ours = {"LSWARN_DATABASE_URL": fresh_database_url, "LSWARN_VAR_DIR": "var", "LSWARN_TIMEOUT_S": "5"}
    return lambda *words: CliRunner().invoke(app, words, env=ours)


def begins(*words):
    return [command for command in COMMANDS if command[: len(words)] == list(words)]


def test_from_nothing_to_a_region_that_is_built(lswarn, server, tmp_path):
    mirrors = [word for key, url in server.addresses.items() for word in ("--from", f"{key}={url}")]
    first, second = begins("region", "init")
    done = lswarn(*first, *mirrors)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "my-valley/region.toml is written" in done.output
    for check in (*begins("region", "check"), *begins("inventory", "check")):
        done = lswarn(*check)
        assert done.exit_code == 0, (done.output, done.exception)

    (tmp_path / "survey.tif").write_bytes((tmp_path / "my-valley" / "dem.tif").read_bytes())
    rock = gpd.GeoDataFrame({"code": ["gneiss"]}, geometry=[box(*BBOX).buffer(1)], crs=4326)
    rock.to_file(tmp_path / "geology.gpkg")
    done = lswarn(*second, *mirrors)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "my-valley/region.new.toml is written" in done.output
    (tmp_path / "my-valley" / "region.new.toml").replace(tmp_path / "my-valley" / "region.toml")

    (build,) = begins("region", "build")
    done = lswarn(*build)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "2 roads, 2 settlements, 2 warning areas, 12 landslides" in done.output


def test_what_is_missing_is_an_error_that_says_what_to_do(lswarn, server):
    server.landslides = []
    mirrors = [word for key, url in server.addresses.items() for word in ("--from", f"{key}={url}")]
    done = lswarn(*begins("region", "init")[0], *mirrors)
    assert isinstance(done.exception, RegionError)
    assert done.exception.problems[0].startswith("inventory: NASA COOLR")
    assert "begin again with the same command" in done.exception.problems[-1]
    assert "my-valley/region.toml is written" in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--bbox", "9,46,10"), "is not W,S,E,N"),
        (("--bbox", "9,47,10,46"), "south < north"),
        (("--bbox", "9,46,10,89"), "within 84"),
        (("--bbox", "9,46,10,47", "--file", "roads=x"), "give SOURCE=…, of dem, osm"),
        (("--bbox", "9,46,10,47", "--from", "rock=http://x"), "give SOURCE=…, of dem, osm"),
    ],
)
def test_what_is_not_understood(lswarn, words, told):
    done = lswarn("region", "init", "--name", "x", *words)
    assert done.exit_code == 2
    assert told in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_understood(words):
    command: Command = get_command(app)
    left, context = list(words), None
    while hasattr(command, "commands"):
        context = Context(command, info_name=left[0], parent=context)
        command = command.commands[left.pop(0)]
    command.make_context(words[0], left, parent=context)
