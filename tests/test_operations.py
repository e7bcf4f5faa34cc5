"""docs/operations.md is true: commands are understood, units are shipped, the copy of the database comes back."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click import Command, Context, Group
from pydantic import SecretStr
from sqlalchemy import make_url, text
from typer.main import get_command

from lswarn.cli import app
from lswarn.db.engine import connect, open_database

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
BLOCKS = re.findall(r"(?:^    .+\n)+", PAGE, re.MULTILINE)
LINES = [line.strip() for block in BLOCKS for line in block.splitlines()]
TYPED = [
    line for line in LINES if re.match(r"(lswarn|ops/|\.venv/|systemctl|journalctl|pg_|createdb|tar|promtool) ?", line)
]
PROSE = re.findall(r"`(lswarn [^`]+)`", PAGE)


def asked_of(command: str) -> tuple[Command, list[str]]:
    """The command that a line means, and what is left of the line."""
    found, words = get_command(app), shlex.split(command)[1:]
    while isinstance(found, Group) and words:
        name = words.pop(0)
        found = found.commands[name]
    return found, words


@pytest.mark.parametrize("line", [line for line in [*TYPED, *PROSE] if line.startswith("lswarn ")])
def test_what_is_typed_is_understood(line):
    command, words = asked_of(line)
    command.make_parser(Context(command)).parse_args([word.replace("DAY", "2026-03-18") for word in words])


def test_what_is_typed_is_there():
    for line in TYPED:
        program = shlex.split(line)[0]
        if "/" in program and not program.startswith(".venv"):
            assert os.access(ROOT / program, os.X_OK)
        for path in re.findall(r"\bops/[\w./]+", line):
            assert (ROOT / path).exists()


def test_every_unit_and_file_named_is_shipped():
    units = {path.name for path in (ROOT / "deploy" / "systemd").iterdir()}
    assert set(re.findall(r"\blswarn[a-z-]*\.(?:service|timer|target)\b", PAGE)) <= units
    for path in re.findall(r"`((?:deploy|ops)/[\w./-]+)`", PAGE):
        assert (ROOT / path).exists()
    for path in re.findall(r"\]\(([\w./-]+)\)", PAGE):
        assert (ROOT / "docs" / path).exists()


def test_the_hours_are_those_of_the_schedule():
    deployed = yaml.safe_load((ROOT / "deploy" / "prefect.yaml").read_text("utf-8"))["deployments"]
    crons = {each["name"].split("-")[0]: [s["cron"] for s in each["schedules"]] for each in deployed}
    assert crons["daily"] == ["30 5,15 * * *"]
    assert crons["retrain"] == ["0 20 1 * *"]
    assert crons["drill"] == ["0 9 3 * *"]
    assert crons["retention"] == ["0 23 * * 0"]
    assert crons["deliver"] == ["*/5 * * * *"]


def test_the_scrape_is_one_that_prometheus_reads():
    (block,) = (block for block in BLOCKS if "scrape_configs" in block)
    found = yaml.safe_load(re.sub(r"^    ", "", block, flags=re.MULTILINE))
    assert found["scrape_configs"][0]["job_name"] == "lswarn"
    (rules,) = found["rule_files"]
    assert (ROOT / Path(rules).relative_to("/opt/lswarn")).exists()


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="PostgreSQL's own programs are not on the path")
def test_a_copy_of_the_database_comes_back(house, tmp_path):
    house.publish(house.world.days[0])
    before = house.rows()
    url = make_url(house.environment["LSWARN_DATABASE_URL"])
    name = f"{url.database}_restored"
    told = {
        database: url.set(drivername="postgresql", database=database).render_as_string(hide_password=False)
        for database in (url.database, name, "postgres")
    }
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LSWARN_")}

    def type_(beginning, **environment):
        (line, *_) = (line for line in TYPED if line.startswith(beginning))
        line = line.replace("lswarn_restored", name)
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=plain | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    type_("pg_dump", LSWARN_DATABASE_URL=told[url.database])
    type_("createdb", LSWARN_DATABASE_URL=told[url.database])
    try:
        type_("pg_restore", RESTORED_URL=told[name])
        restored = house.settings.model_copy(update={"database_url": SecretStr(told[name])})
        assert replace(house, settings=restored).rows() == before
        assert before["run"]
        open_database(restored).dispose()
    finally:
        with connect(told["postgres"]).execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            conn.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
