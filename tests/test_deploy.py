"""What is shipped to be copied is true: every key is known, every flow is there, every unit starts what exists."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import Settings as PrefectSettings
from pydantic import SecretStr

from flows.installation import POOLS, automations
from lswarn.region import load_region
from lswarn.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def environment(unit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in re.findall(r"^Environment=(.+)$", unit.read_text(), re.MULTILINE))


def prefect_names() -> set[str]:
    """Every variable that Prefect reads."""

    def names(model, prefix):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from names(field.annotation, f"{prefix}{name}_")
            else:
                yield f"{prefix}{name}".upper()

    return set(names(PrefectSettings, "prefect_"))


def test_the_example_region_is_understood():
    region = load_region(DEPLOY / "region.example.toml")
    assert region.rain.sources[0].product == "IMERG-Late"
    assert region.subscribers[1].areas == ("A1", "A2")


def test_every_setting_is_in_the_example_environment_and_no_other():
    named = set(re.findall(rf"^#?({PREFIX}\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert named == KNOWN


def test_what_the_example_environment_gives_are_the_defaults(monkeypatch):
    given = dict(re.findall(rf"^#({PREFIX}\w+)=(.+)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    given.pop("LSWARN_DATABASE_URL")  # an example: there is none by default
    plain = Settings()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings() == plain
    assert {"LSWARN_VAR_DIR", "LSWARN_SMTP_PORT", "LSWARN_WEB_RATE", "LSWARN_TIMEOUT_S"} <= set(given)


def test_a_copy_of_the_example_environment_changes_nothing():
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    assert all(line.startswith("#") or not line for line in lines)


def test_the_deployments_are_of_flows_that_exist():
    deployments = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    assert {d["name"]: [s["cron"] for s in d["schedules"]] for d in deployments} == {
        "daily-{{ $REGION }}": ["30 5,15 * * *"],
        "retrain-{{ $REGION }}": ["0 20 1 * *"],
        "deliver": ["*/5 * * * *"],
        "drill-{{ $REGION }}": ["0 9 3 * *"],
        "retention-{{ $REGION }}": ["0 23 * * 0"],
        "hindcast-{{ $REGION }}": [],
    }
    for deployment in deployments:
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        assert isinstance(flow, Flow)
        assert flow.name == deployment["name"].removesuffix("-{{ $REGION }}")
        assert set(deployment.get("parameters", {})) <= set(flow.parameters.properties)
        assert deployment["concurrency_limit"]["limit"] == 1
        assert deployment["work_pool"]["name"] in POOLS
        for schedule in deployment["schedules"]:
            assert CronSchedule(**schedule).timezone == "UTC"


def test_a_day_never_waits_for_a_training():
    deployments = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    pools = {d["name"].split("-")[0]: d["work_pool"]["name"] for d in deployments}
    assert pools["daily"] == pools["deliver"] == "lswarn"
    assert pools["retrain"] == pools["hindcast"] == "lswarn-train"


def test_without_an_address_only_the_dead_are_buried():
    (gone,) = automations(None)
    assert gone.actions[0].type == "change-flow-run-state"


def enroll(*regions: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [ROOT / "ops/enroll.sh", *regions],
        env={"PATH": "/usr/bin:/bin", "PREFECT_API_URL": "http://127.0.0.1:9/api", "ENROLL_BIN": f"{sys.prefix}/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_nothing_is_enrolled_where_one_region_is_at_fault(tmp_path):
    good = (DEPLOY / "region.example.toml").read_text()
    for name, text in {"a": good, "b": good, "c": good.replace("resolution_m", "resolution")}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "region.toml").write_text(text)
    twice = enroll(tmp_path / "a", tmp_path / "b")
    assert twice.returncode != 0
    assert "two regions of the name 'my-valley'" in twice.stderr
    wrong = enroll(tmp_path / "c")
    assert wrong.returncode != 0
    assert "resolution" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_what_is_there_and_may_do_little(unit):
    text = unit.read_text()
    command = re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)[1]
    for path in re.findall(r"/opt/lswarn/(\S+?)(?=[\s']|$)", command):
        assert (ROOT / path).exists() or (Path(sys.prefix) / path.removeprefix(".venv/")).exists()
    for line in ("User=lswarn", "NoNewPrivileges=true", "ProtectSystem=strict", "EnvironmentFile=/etc/lswarn/env"):
        assert f"\n{line}\n" in text
    told = environment(unit)
    assert told["NUMBA_CACHE_DIR"].startswith("/var/cache/lswarn/")
    assert {name for name in told if name.startswith(PREFIX)} <= KNOWN
    assert {name for name in told if name.startswith("PREFECT_")} <= prefect_names()
    assert "0.0.0.0" not in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
def test_systemd_understands_the_units():
    files = sorted(str(path) for path in (DEPLOY / "systemd").glob("lswarn*"))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files], capture_output=True, text=True
    )
    complaints = [line for line in said.stderr.splitlines() if "is not executable" not in line and "lswarn" in line]
    assert complaints == []


def test_compose_asks_for_what_its_example_gives():
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(), re.MULTILINE))
    assert given == asked | {"COMPOSE_PROFILES"}


def test_the_containers_are_told_settings_that_exist():
    services = compose()["services"]
    ours = {name: service for name, service in services.items() if service["image"].startswith("lswarn:")}
    assert set(ours) == {"migrate", "prefect", "worker", "train", "train-gpu", "web", "freshness", "lswarn"}
    for service in ours.values():
        assert {name for name in service["environment"] if name.startswith(PREFIX)} <= KNOWN
        assert {name for name in service["environment"] if name.startswith("PREFECT_")} <= prefect_names()
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    assert Settings(database_url=SecretStr(services["web"]["environment"]["LSWARN_DATABASE_URL"]))
    assert not any(name.startswith("PREFECT_") for name in services["web"]["environment"])


def test_only_the_proxy_is_reached_from_outside():
    services = compose()["services"]
    published = {name: port for name, service in services.items() for port in service.get("ports", ())}
    assert {name for name, port in published.items() if not port.startswith("127.0.0.1:")} == {"proxy"}
    assert services["db"]["networks"] == ["inside"]
    assert compose()["networks"]["inside"]["internal"]


def test_units_and_containers_start_the_same():
    """But for addresses."""
    services = compose()["services"]
    for unit, service in {"prefect": "prefect", "worker": "worker", "train": "train", "web": "web"}.items():
        text = (DEPLOY / "systemd" / f"lswarn-{unit}.service").read_text()
        command = re.search(r"^ExecStart=/opt/lswarn/.venv/bin/(.+)$", text, re.MULTILINE)[1]
        assert services[service]["command"] == command.replace("127.0.0.1", "0.0.0.0").split()
    assert services["train-gpu"]["command"] == services["train"]["command"]
    server = environment(DEPLOY / "systemd" / "lswarn-prefect.service")
    for name in ("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS"):
        assert services["prefect"]["environment"][name] == server[name]


def test_the_image_is_made_of_what_is_there_and_is_not_root():
    text = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert "NUMBA_CACHE_DIR=/var/cache/lswarn/" in text
    drawn = set(re.findall(r"maplibre-gl[\w-]*\.(?:mjs|css)", (ROOT / "ops/setup.sh").read_text()))
    assert set(re.findall(r"/dist/(\S+)", text)) == drawn
    assert "!requirements.lock" in (DEPLOY / "Dockerfile.dockerignore").read_text()
