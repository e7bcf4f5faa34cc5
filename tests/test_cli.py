"""The command line as a user meets it: tables, JSON, exit codes, and a sentence for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LSWARN = [str(Path(sys.executable).with_name("lswarn"))]


@pytest.fixture
def lswarn(house, tmp_path):
    """Runs the command in an empty folder, in the house's environment."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LSWARN_")}
    environment = outside | house.environment | {"COLUMNS": "200"}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*LSWARN, *words], cwd=tmp_path, env=environment | more, capture_output=True, text=True, check=False
        )

    return run


def told(done: subprocess.CompletedProcess):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_day_by_hand(lswarn, house):
    day = house.world.days[2]
    house.rain.now = house.run_at(day)
    dry = told(lswarn("run", "--date", day.isoformat(), "--dry-run", "--json"))
    assert told(lswarn("status", "--json"))["last_run"] is None
    wet = told(lswarn("run", "--date", day.isoformat(), "--json"))
    assert wet["zones"] == dry["zones"]
    assert wet["messages"] == dry["messages"]

    status = told(lswarn("status", "--json"))
    assert status["last_run"] == {"valid_day": day.isoformat(), "grade": "A", "status": "complete"}
    counts = ("zones", "exceedances", "exposed_roads", "exposed_settlements", "open_alerts")
    assert {*counts, "pending_deliveries", "failed_deliveries"} <= status.keys()
    assert status["exceedances"] == wet["exceedances"] > 0
    assert status["zones"] == wet["zones"]

    alerts = told(lswarn("alerts", "list", "--json"))
    assert [alert["subject"] for alert in alerts] == wet["messages"]
    rain = told(lswarn("rain", "status", "--days", "7", "--until", day.isoformat(), "--json"))
    assert {row["product"] for row in rain} == {"IMERG-Late"}
    assert told(lswarn("deliver", "--json")) == {"delivered": 0, "refused": 0, "held": 0}
    assert "grade A" in lswarn("status").stdout
    (row,) = told(lswarn("runs", "--json"))
    assert (row["valid_day"], row["grade"], row["current"]) == (day.isoformat(), "A", True)


def test_rain_by_hand(lswarn, house):
    first, last = house.world.days[0], house.world.days[2]
    house.rain.now = house.run_at(last)
    rows = told(lswarn("rain", "fetch", "--since", first.isoformat(), "--until", last.isoformat(), "--json"))
    assert [row["rain"] for row in rows] == ["IMERG-Late V07C fetched"] * 3
    granule = next(house.world.granules.rglob("*.nc4"))
    facts = told(lswarn("rain", "inspect", str(granule), "--json"))
    assert facts["cells"] == "1800 x 3600"
    assert 0 < facts["missing_share"] < 1  # the made world says nothing of the rest of the globe


def test_models_and_region(lswarn):
    (model,) = (each for each in told(lswarn("models", "list", "--json")) if each["role"] == "champion")
    assert 0.5 < model["metrics"]["auc"] <= 1
    assert told(lswarn("models", "show", model["id"][:6], "--json"))["role"] == "champion"
    assert f"{model['id']} is the champion" in lswarn("models", "promote", model["id"]).stdout
    assert lswarn("run", "--model", model["id"]).returncode == 2
    assert "nothing is wrong" in lswarn("region", "check").stdout
    assert "ten factors" in lswarn("region", "build").stdout


def test_an_inventory_by_hand(lswarn, tmp_path):
    facts = told(lswarn("inventory", "check", "--json"))
    assert facts["events"] == facts["dated"] == facts["teaching"] > 20
    loaded = told(lswarn("inventory", "load", "--json"))
    assert (loaded["new"], loaded["updated"], loaded["unchanged"]) == (0, 0, facts["events"])
    (tmp_path / "glc.csv").write_text("event_id,event_date,latitude,longitude\n1,08/01/2999,36.2,-84.2\n")
    done = lswarn("inventory", "check", "glc.csv")
    assert done.returncode == 1
    assert "'08/01/2999'" in done.stderr or "2999-08-01" in done.stderr


def test_region_check_tells_every_fault_at_once(lswarn, house, tmp_path):
    text = house.world.region_toml.read_text().replace('"IMERG-Early-GIS"', '"IMERG-Soon"').replace("{month}", "{moon}")
    faulty = house.world.region_toml.with_name("faulty.toml")
    faulty.write_text(text.replace('"rock.gpkg"', '"rocks.gpkg"').replace('"towns.gpkg"', '"rock.gpkg"'))
    done = lswarn("region", "check", str(faulty))
    faulty.unlink()
    assert done.returncode == 1
    for fault in ("rocks.gpkg: no such file", "'IMERG-Soon' is unknown", "moon", "assets.settlements"):
        assert fault in done.stderr


def test_the_database_by_hand(lswarn):
    facts = told(lswarn("db", "status", "--json"))
    assert facts["answers"]
    assert "***" in facts["database"]
    assert "up to date" in lswarn("db", "migrate").stdout
    assert "nothing is older than it may be" in lswarn("db", "prune").stdout


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (["region", "check", "none.toml"], {}, "no such file"),
        (["status"], {"LSWARN_REGION": "none.toml"}, "no such file"),
        (["status"], {"LSWARN_SMPT_HOST": "x"}, "unknown setting LSWARN_SMPT_HOST"),
        (["status"], {"LSWARN_DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:9/none"}, "lswarn db start"),
        (["rain", "inspect", "none.nc4"], {}, "none.nc4"),
        (["run", "--date", "2016-01-01"], {}, "2016"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_1(lswarn, words, environment, says):
    done = lswarn(*words, **environment)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("words", [["run", "--date", "yesterday"], ["fly"], ["run", "--fast"]])
def test_what_is_not_understood_is_exit_code_2(lswarn, words):
    assert lswarn(*words).returncode == 2


def test_help_and_version(lswarn):
    assert lswarn("--version").stdout.startswith("lswarn 0.")
    for words in ([], ["run"], ["rain", "fetch"], ["region", "check"]):
        done = lswarn(*words, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout
    assert "Example" in lswarn("run", "--help").stdout
