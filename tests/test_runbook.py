"""ops/runbook.md is true: the trouble of every entry is brought about, and what the page says is done.

A test is named after its entry. It takes the commands from the page, in their order, and must take them all.
"""

import os
import re
import shlex
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import util
from pathlib import Path
from socket import create_server

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from lswarn import day as line
from lswarn.cli import app
from lswarn.db import reports, server
from lswarn.db.engine import open_database, transaction
from lswarn.drill import drill
from lswarn.errors import DatabaseDown, LswarnError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "ops" / "runbook.md").read_text("utf-8")
ROWS = dict(re.findall(r'^\| <a id="([a-z-]+)"></a>(.+)$', PAGE, re.MULTILINE))
OURS = ("lswarn ", ".venv/bin/python ")
HOURS = {"lswarn train REGION": "tests/test_retraining.py", "lswarn serve": "tests/web/test_api.py"}
"""What takes too long to be done here again, and who does it. Here it is only understood."""

_spec = util.spec_from_file_location("freshness_of_runbook", ROOT / "ops" / "freshness.py")
freshness = util.module_from_spec(_spec)
sys.modules[_spec.name] = freshness
_spec.loader.exec_module(freshness)


def commands_of(row: str) -> list[str]:
    """What is to be typed, of the third column."""
    _symptom, _meaning, do, _repeat = row.rstrip(" |").split(" | ")
    return [span for span in re.findall(r"`([^`]+)`", do) if re.match(r"[a-z/_.]+ ", span)]


class Desk:
    """Somebody with the page open at an entry."""

    def __init__(self, entry: str, house, monkeypatch) -> None:
        self.house, self.monkeypatch = house, monkeypatch
        self.left = [command for command in commands_of(ROWS[entry]) if command.startswith(OURS)]
        self.entry = entry
        self.words = {"REGION": house.world.region_toml, "NAME": "duty", "WHY": "tried"}
        for name in [name for name in os.environ if name.startswith("LSWARN_")]:
            monkeypatch.delenv(name)
        for name, value in house.environment.items():
            monkeypatch.setenv(name, value)

    def do(self, beginning: str, *, fails: type[LswarnError] | None = None, twice: bool = True, **words: object) -> str:
        """Type the next command of the entry; what it said. Twice, where it may be repeated."""
        command = self.left.pop(0)
        assert command.startswith(beginning), f"{self.entry} goes on with {command}"
        for name, value in (self.words | words).items():
            command = re.sub(rf"\b{name}\b", shlex.quote(str(value)), command)
        told = [self._type(command, fails) for _ in range(1 + twice)]
        return told[0]

    def understood(self, beginning: str) -> None:
        """Only look whether the next command is one."""
        command = self.left.pop(0)
        assert command.startswith(beginning)
        assert (ROOT / HOURS[command]).exists()
        assert CliRunner().invoke(app, [*command.split()[1:2], "--help"]).exit_code == 0

    def watch(self, now: datetime) -> tuple[int, str]:
        """What ops/freshness.py would say, and the entry it names."""
        findings = freshness.ask(self.house.region, self.house.settings, now)
        worst = max(findings, key=lambda finding: finding.code)
        return worst.code, worst.entry

    def _type(self, command: str, fails: type[LswarnError] | None) -> str:
        program, *words = shlex.split(command)
        if program == ".venv/bin/python":
            assert words[0] == "ops/freshness.py"
            self.monkeypatch.setattr(sys, "argv", words)
            return str(freshness.main())
        done = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
        if fails is not None:
            assert isinstance(done.exception, fails), (command, done.output, done.exception)
            return str(done.exception)
        assert done.exit_code == 0, (command, done.output, done.exception)
        return done.output


@pytest.fixture
def desk(request, house, monkeypatch):
    found = Desk(request.node.name.removeprefix("test_").replace("_", "-"), house, monkeypatch)
    yield found
    assert not found.left, f"not tried: {found.left}"


@pytest.fixture
def published(house):
    """The first day, published; when."""
    day = house.world.days[0]
    house.publish(day)
    return day, house.run_at(day)


def change(house, query, **facts):
    with transaction(open_database(house.settings)) as conn:
        return conn.execute(text(query), facts)


def nobody() -> int:
    """A port that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_entry_has_a_test_and_four_columns():
    tried = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert set(ROWS) <= tried
    assert len(ROWS) == PAGE.count("\n| <a id=") > 20
    for row in ROWS.values():
        assert len(row.rstrip(" |").split(" | ")) == 4


def test_what_others_point_to_is_there():
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"\)', (ROOT / "ops" / "freshness.py").read_text("utf-8")))
    named |= set(re.findall(r"entry: ([a-z-]+)", (ROOT / "ops/prometheus/rules.yaml").read_text("utf-8")))
    named |= set(re.findall(r"\]\(#([a-z-]+)\)", PAGE))
    assert len(named) > 12
    assert named <= set(ROWS)
    for path, anchor in re.findall(r"\]\(\.\./([\w/.]+)(?:#([a-z-]+))?\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_what_is_not_ours_is_a_known_command_of_units_that_are_shipped():
    others = {command for row in ROWS.values() for command in commands_of(row) if not command.startswith(OURS)}
    assert {command.split()[0] for command in others} <= {"systemctl", "journalctl", "timedatectl", "df", "curl"}
    units = {path.name for path in (ROOT / "deploy" / "systemd").iterdir()}
    for command in others:
        for unit in re.findall(r"\blswarn-[a-z]+\b", command):
            assert f"{unit}.service" in units


# ── the day ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_day_is_not_published(desk, published):
    day, now = published[0] + timedelta(days=1), published[1] + timedelta(days=1)
    assert desk.watch(published[1]) == (0, "")
    assert desk.watch(now) == (2, desk.entry)
    desk.house.rain.now = now
    assert "MISSING" in desk.do("lswarn rain status")
    desk.do("lswarn run", DAY=day)
    assert desk.watch(now) == (0, "")


def test_rain_is_missing(desk, published):
    now = published[1] + timedelta(days=1)
    day = published[0] + timedelta(days=1)
    desk.house.rain.now = published[1] - timedelta(days=3)  # the servers have nothing new
    line.publish(desk.house.region, desk.house.settings, _assessed(desk.house, day, now), now)
    code, entry = desk.watch(now)
    assert (code > 0, entry) == (True, desk.entry)
    assert "MISSING" in desk.do("lswarn rain status")
    desk.house.rain.now = now
    assert "fetched" in desk.do("lswarn rain fetch", DAY=day)
    desk.do("lswarn run", DAY=day)
    assert desk.watch(now) == (0, "")


def _assessed(house, day, now):
    window = line.ingest(house.region, house.settings, day, now)
    return line.assess(house.region, house.settings, window, lambda done, total: None)


def test_credentials_are_refused(desk):
    day = desk.house.world.days[0]
    desk.house.rain.now = desk.house.run_at(day)
    good = os.environ["LSWARN_EARTHDATA_TOKEN"]
    desk.monkeypatch.setenv("LSWARN_EARTHDATA_TOKEN", "expired")
    command = desk.left[0]
    refused = desk.do("lswarn rain fetch", twice=False, DAY=day)
    assert "fetched" not in refused or "IMERG-Early" in refused
    desk.monkeypatch.setenv("LSWARN_EARTHDATA_TOKEN", good)
    desk.left.append(command)
    assert "IMERG-Late V07C fetched" in desk.do("lswarn rain fetch", twice=False, DAY=day)


def test_a_clock_is_wrong(desk, published):
    day, now = published
    assert desk.watch(now - timedelta(days=1)) == (2, desk.entry)
    assert str(day) in desk.do("lswarn runs")


def test_no_model(desk):
    assert "champion" in desk.do("lswarn models list")
    desk.understood("lswarn train")
    assert "is primed" in desk.do("lswarn prime")


def test_a_new_model_is_worse(desk, published):
    (first,) = change(desk.house, "SELECT id FROM lswarn.model WHERE promoted_at IS NOT NULL").scalars()
    assert first in desk.do("lswarn models list")
    refused = desk.do("lswarn models rollback", fails=LswarnError, twice=False)  # there is none before the first
    assert refused
    desk.do("lswarn run", DAY=published[0])


def test_a_region_cannot_be_read(desk):
    assert "nothing is wrong" in desk.do("lswarn region check")
    assert "ten factors" in desk.do("lswarn region build")


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def said(house):
    """A drill is queued, and nobody has sent it; when."""
    (area, *_) = change(house, "SELECT source_id FROM lswarn.warning_area ORDER BY 1").scalars()
    now = datetime.now(UTC) - timedelta(minutes=1)  # its messages are a second apart, and none is due before its time
    assert drill(house.region, house.settings, area, by="duty", now=now) > 0
    return area, now


def _codes(desk, now):
    return {(finding.code, finding.entry) for finding in freshness.ask(desk.house.region, desk.house.settings, now)}


def test_deliveries_lie_still(desk, said):
    later = said[1] + timedelta(hours=1)
    assert (2, desk.entry) in _codes(desk, later)
    desk.do("lswarn deliver")
    assert (2, desk.entry) not in _codes(desk, later)
    assert desk.house.mail.received


def test_a_lane_fails(desk, said):
    good = os.environ["LSWARN_SMTP_PORT"]
    desk.monkeypatch.setenv("LSWARN_SMTP_PORT", str(nobody()))
    status, deliver = desk.left
    desk.left = [deliver]
    assert "tried again" in desk.do("lswarn deliver", fails=LswarnError, twice=False)
    desk.left = [status]
    assert "mail server" in desk.do("lswarn status")
    assert (1, desk.entry) in _codes(desk, said[1])
    desk.monkeypatch.setenv("LSWARN_SMTP_PORT", good)
    change(desk.house, "UPDATE lswarn.delivery SET due_at = :now WHERE status = 'pending'", now=said[1])
    change(desk.house, "UPDATE lswarn.circuit SET open_until = NULL")  # five minutes later
    desk.left = [deliver]
    desk.do("lswarn deliver")
    assert (1, desk.entry) not in _codes(desk, said[1])


def test_deliveries_were_given_up(desk, said):
    change(desk.house, "UPDATE lswarn.delivery SET status = 'dead'")
    assert (1, desk.entry) in _codes(desk, said[1])
    assert "TEST" in desk.do("lswarn deliver --list-dead").upper()
    assert "tried again" in desk.do("lswarn deliver --retry-dead", twice=False)
    assert (1, desk.entry) not in _codes(desk, said[1])


@pytest.fixture
def warned(house):
    """A warning of the demo, queued; its message and area."""
    for day in house.world.days:
        house.publish(day)
        found = change(
            house,
            """SELECT message.id, area.source_id FROM lswarn.alert_message AS message
               JOIN lswarn.alert ON alert.id = alert_id JOIN lswarn.warning_area AS area ON area.id = area_id
               WHERE message.kind = 'open' ORDER BY message.id LIMIT 1""",
        ).one_or_none()
        if found:
            return tuple(found)
    raise AssertionError("the demo warns")


def test_a_draft_waits(desk, warned):
    message, _ = warned
    draft = (
        "UPDATE lswarn.alert_message SET approval = 'waiting', released_at = NULL, review_until = now(), cap = NULL, "
    )
    draft += "cap_identifier = NULL, cap_sent = NULL, cap_expires_at = NULL WHERE id = :id"
    change(desk.house, draft, id=message)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (2, "deliveries-lie-still") in _codes(desk, later)
    assert "waiting" in desk.do("lswarn alerts list")
    assert "waiting" in desk.do("lswarn alerts show", MESSAGE=message)
    assert "goes out" in desk.do("lswarn alerts approve", twice=False, MESSAGE=message)
    assert "does not wait" in desk.do("lswarn alerts reject", fails=LswarnError, MESSAGE=message)


def test_a_wrong_warning(desk, warned):
    _, area = warned
    assert area in desk.do("lswarn alerts areas")
    assert "taken back" in desk.do("lswarn alerts cancel", twice=False, AREA=area)
    desk.do("lswarn deliver")


def test_nobody_got_it(desk, said):
    desk.do("lswarn alerts list")
    assert "messages of a test" in desk.do("lswarn alerts test", AREA=said[0])
    assert desk.house.mail.received


def test_a_report_waits(desk):
    facts = {"lon": -84.2, "lat": 36.3, "seen_on": desk.house.world.days[0], "accuracy_m": 50.0, "note": "mud"}
    with transaction(open_database(desk.house.settings)) as conn:
        name, now = desk.house.region.name, datetime.now(UTC)
        report, _ = reports.record_report(conn, name, photo=None, by="hotline", at=now, **facts)
    assert report.report_id in desk.do("lswarn events reports")
    assert "is confirmed" in desk.do("lswarn events confirm", REPORT=report.report_id)
    assert "is dismissed" in desk.do("lswarn events dismiss", REPORT=report.report_id)
    change(desk.house, "DELETE FROM lswarn.landslide WHERE reported_at IS NOT NULL")


# ── machines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_database_is_away(desk, tmp_path):
    away = desk.house.settings.model_copy(update={"database_url": None, "var_dir": tmp_path})
    (finding,) = freshness.ask(desk.house.region, away, datetime.now(UTC))
    assert (finding.code, finding.entry) == (2, desk.entry)
    desk.monkeypatch.delenv("LSWARN_DATABASE_URL")
    desk.monkeypatch.setenv("LSWARN_VAR_DIR", str(tmp_path))
    assert "lswarn db start" in desk.do("lswarn db status", fails=DatabaseDown)
    try:
        assert "PostGIS runs" in desk.do("lswarn db start")
        assert "up to date" in desk.do("lswarn db migrate")
    finally:
        server.stop(tmp_path)


def test_prefect_is_away(desk):
    day = desk.house.world.days[0]
    desk.house.rain.now = desk.house.run_at(day)
    assert str(day) in desk.do("lswarn run", DAY=day)
    desk.do("lswarn deliver")


def test_the_disk_is_full(desk, published):
    desk.do("lswarn db prune")


def test_memory_runs_out(desk, published):
    desk.monkeypatch.setenv("LSWARN_BLOCK_CELLS", "256")
    assert str(published[0]) in desk.do("lswarn run", DAY=published[0])


def test_the_web_server_is_away(desk, published):
    desk.understood("lswarn serve")
    assert str(published[0]) in desk.do("lswarn status")
    desk.do("lswarn alerts areas")


def test_the_web_server_fails(desk):
    assert "current" in desk.do("lswarn db status")


def test_the_web_server_is_slow(desk):
    assert desk.left.pop(0) == "lswarn serve --workers 4"
    assert "--workers" in CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output


def test_a_token_is_lost(desk):
    made = CliRunner().invoke(app, ["tokens", "create", "duty", "--scope", "review"])
    assert made.exit_code == 0, made.output
    assert "duty" in desk.do("lswarn tokens list")
    assert "revoked" in desk.do("lswarn tokens revoke")
    assert desk.do("lswarn tokens create", twice=False).strip() not in ("", made.output.strip())
    change(desk.house, "DELETE FROM lswarn.api_token")


def test_no_heartbeat(desk, published):
    assert desk.do(".venv/bin/python") == "2"  # the demo's days are long over


def test_the_watch_is_silent(desk):
    assert desk.do(".venv/bin/python") == "2"
    assert isinstance(desk.house.world.days[0], date)
