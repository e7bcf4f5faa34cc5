"""Rules and dashboard of the watch speak of what /metrics tells, in its words, and of all of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

OPS = Path(__file__).parents[2] / "ops"
RULES = yaml.safe_load((OPS / "prometheus" / "rules.yaml").read_text("utf-8"))
BOARD = json.loads((OPS / "grafana" / "lswarn.json").read_text("utf-8"))
PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate", "severity"}
"""Labels that Prometheus itself adds."""


def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def questions():
    """Every expression, by where it stands."""
    asked = {rule["alert"]: rule["expr"] for rule in rules()}
    for panel in panels():
        asked |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return asked


@pytest.fixture
def told(client):
    """Names of what /metrics tells, each with its labels and their values."""
    client.get("/api/regions")
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        found.setdefault(family.name, {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


@pytest.mark.parametrize("asked", questions().values(), ids=questions().keys())
def test_every_question_is_in_the_words_of_metrics(told, asked):
    for name, _, selector in re.findall(r"\b(lswarn_\w+)\b(\{([^}]*)\})?", asked):
        assert name in told
        for label, _, value in re.findall(r'(\w+)(=~|=|!=)"([^"]*)"', selector):
            assert label in told[name].keys() | PROMETHEUS
            if re.fullmatch(r"[a-zA-Z_|]+", value) and told[name][label]:
                assert set(value.split("|")) <= told[name][label] | {"4", "5"}
    known = set().union(*(told[name] for name in re.findall(r"\blswarn_\w+", asked) if name in told))
    for grouped in re.findall(r"\b(?:by|on|ignoring)\s*\(([^)]*)\)", asked):
        assert set(grouped.replace(",", " ").split()) <= known | PROMETHEUS


def test_nothing_that_is_told_goes_unwatched(told):
    asked = " ".join(questions().values())
    for name in told:
        if name.startswith("lswarn_") and not name.endswith("_created"):
            assert name in asked


def test_legends_and_messages_name_labels_that_are_there(told):
    every = set().union(*told.values()) | PROMETHEUS
    for panel in panels():
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= every
    for rule in rules():
        asked = set().union(*(told.get(name, {}) for name in re.findall(r"\blswarn_\w+", rule["expr"])), PROMETHEUS)
        named = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(named) <= asked


def test_every_rule_says_how_bad_it_is_and_what_to_do():
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "none")
        assert rule["annotations"].keys() == {"summary", "entry"}
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) > 15


def test_no_panel_shows_nothing_as_zero():
    """What is not known is called so, and a gap stays a gap."""
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in panels():
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "timeseries":
            assert defaults["custom"]["spanNulls"] is False
        else:
            assert defaults["noValue"] not in ("", "0")
        assert panel["datasource"]["uid"] == "${source}"
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in BOARD["panels"]:
        grid = panel["gridPos"]
        columns, lines = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        cells = {(x, y) for x in columns for y in lines}
        assert not cells & taken
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus, which is not installed")
@pytest.mark.parametrize("words", ["check rules --lint=all --lint-fatal rules.yaml", "test rules rules.test.yaml"])
def test_prometheus_understands_the_rules_and_calls_when_it_should(words):
    command = ["promtool", *words.split()]
    done = subprocess.run(command, cwd=OPS / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
