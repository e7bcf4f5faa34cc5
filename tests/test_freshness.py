"""The watch outside Prefect: what is due by a region's own products, what is said of it, and with which exit code."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from importlib import util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lswarn.db import assets
from lswarn.db.engine import transaction
from lswarn.db.status import LastRun, Status
from lswarn.db.unsent import Unsent
from lswarn.demo.loopback import HOST, Handler, LoopbackServer
from lswarn.rain.products import due_at
from lswarn.sections import RainSource
from lswarn.settings import Settings

SCRIPT = Path(__file__).parents[1] / "ops" / "freshness.py"
_spec = util.spec_from_file_location("freshness", SCRIPT)
freshness = util.module_from_spec(_spec)
sys.modules["freshness"] = freshness
_spec.loader.exec_module(freshness)

EARLY = RainSource(product="IMERG-Early-GIS")
LATE = RainSource(product="IMERG-Late")
GAUGES = RainSource(product="CHIRPS-sat")
DAY = date(2026, 3, 18)
MORNING = datetime(2026, 3, 19, 8, tzinfo=UTC)
NOTHING = Unsent(deliveries=0, drafts=0)
FINE = Status("demo", LastRun(DAY, "A", "complete"), 3, 2, 1, 1, None, 1, 0, 0, 0)


class TestWhatIsDue:
    @pytest.mark.parametrize(
        ("now", "day"),
        [
            ("2026-03-19T07:35", date(2026, 3, 17)),  # early rain of the 18th is due at 04:36, and may take three hours
            ("2026-03-19T07:36", DAY),
            ("2026-03-20T00:00", DAY),
        ],
    )
    def test_by_the_first_product_and_a_few_hours(self, now, day):
        found = freshness.due_day((LATE, EARLY), datetime.fromisoformat(now).replace(tzinfo=UTC))
        assert found == day

    @given(
        st.lists(st.sampled_from([EARLY, LATE, GAUGES]), min_size=1, unique=True),
        st.timedeltas(timedelta(0), timedelta(days=4000)),
        st.floats(0, 100),
    )
    def test_no_newer_day_is_due_and_that_one_is(self, sources, since, grace_h):
        now, grace = MORNING + since, timedelta(hours=grace_h)
        day = freshness.due_day(sources, now, grace_h)
        expected = [min(due_at(s, day + timedelta(days=n)) for s in sources) + grace for n in (0, 1)]
        assert expected[0] <= now
        assert expected[1] > now or day == now.date() - timedelta(days=1)

    def test_in_whatever_time_zone_the_clock_is_told(self):
        from zoneinfo import ZoneInfo

        for zone in ("Asia/Kathmandu", "America/Lima"):
            assert freshness.due_day((EARLY,), MORNING.astimezone(ZoneInfo(zone))) == DAY


class TestWhatIsSaid:
    def judge(self, status=FINE, unsent=NOTHING, now=MORNING):
        findings = list(freshness.judge(status, unsent, DAY, now))
        return max(finding.code for finding in findings), freshness.line_of("demo", findings)

    def test_all_is_well(self):
        assert self.judge() == (0, "OK demo: 2026-03-18 is published, rain grade A")

    @pytest.mark.parametrize(
        ("last", "code", "words"),
        [
            (None, 2, "nothing was ever published"),
            (LastRun(date(2026, 3, 15), "A", "complete"), 2, "newest published day is 2026-03-15, 3 d behind"),
            (LastRun(DAY, "E", "unknown"), 2, "nothing is known of it"),
            (LastRun(DAY, "D", "lower_bound"), 1, "grade D"),
            (LastRun(DAY, "E", "modelled"), 1, "grade E"),
            (LastRun(date(2026, 3, 19), "A", "complete"), 2, "a clock is wrong"),
            (LastRun(date(2027, 3, 18), "A", "complete"), 2, "a clock is wrong"),
        ],
    )
    def test_a_run_that_is_not_as_it_should_be(self, last, code, words):
        found, line = self.judge(replace(FINE, last_run=last))
        assert found == code
        assert words in line
        assert line.startswith(freshness.WORDS[code])
        assert "(runbook: " in line

    def test_what_was_said_and_does_not_go_out_is_as_bad_as_no_run(self):
        assert self.judge(unsent=Unsent(3, 0))[0] == 2
        assert self.judge(unsent=Unsent(0, 1))[0] == 2

    def test_what_was_given_up_and_lanes_that_fail_want_a_person(self):
        code, line = self.judge(replace(FINE, dead_letters=("Duty: Red (gone)",), failing_lanes=("smtp: 5 times",)))
        assert code == 1
        assert "Duty: Red (gone)" in line
        assert "smtp: 5 times" in line

    def test_the_worst_comes_first_and_all_of_it_is_one_line(self):
        code, line = self.judge(replace(FINE, dead_letters=("a\nb",)), Unsent(1, 0))
        assert code == 2
        assert line.startswith("STALE demo: 1 deliveries lie still")
        assert "\n" not in line


@pytest.fixture
def beats():
    """A dead-man's switch: what it was asked for, and what it answers."""
    asked, answers = [], [HTTPStatus.OK]

    class Door(Handler):
        def do_GET(self):
            asked.append(self.path)
            self.answer(answers[-1], b"OK\n")

    with LoopbackServer(Door, 0) as server:
        yield f"http://{HOST}:{server.port}/ping/secret", asked, answers


class TestTheHeartbeat:
    def check(self, monkeypatch, url, code, **more):
        monkeypatch.setattr(freshness, "find_region", lambda named, default: type("R", (), {"name": str(named)}))
        codes = code if isinstance(code, list) else [code]
        found = iter(codes)
        monkeypatch.setattr(freshness, "ask", lambda *_: [freshness.Finding(next(found), "so it is")])
        settings = Settings(heartbeat_url=SecretStr(url), timeout_s=2, **more)
        return freshness.check(
            [Path("a"), Path("b")][: len(code) if isinstance(code, list) else 1], settings, MORNING, 3
        )

    @pytest.mark.parametrize(("code", "beat"), [(0, 1), (1, 1), (2, 0), (3, 0), ([0, 0], 1), ([0, 2], 0), ([3, 0], 0)])
    def test_beats_only_while_warnings_are_made_and_sent_everywhere(self, monkeypatch, beats, code, beat):
        url, asked, _ = beats
        worst = max(code) if isinstance(code, list) else code
        assert self.check(monkeypatch, url, code) == worst
        assert asked == ["/ping/secret"] * beat

    def test_a_switch_that_does_not_take_it_is_told_without_its_address(self, monkeypatch, beats, capsys):
        url, _, answers = beats
        answers.append(HTTPStatus.NOT_FOUND)
        assert self.check(monkeypatch, url, 0) == 1
        assert self.check(monkeypatch, "http://127.0.0.1:9/ping/secret", 0) == 1
        said = capsys.readouterr().out
        assert said.count("the heartbeat was not taken") == 2
        assert "HTTP 404" in said
        assert "secret" not in said


class TestAsked:
    """The script as cron runs it."""

    @pytest.fixture
    def watch(self, make_region, tmp_path, fresh_database_url, fresh_engine, monkeypatch, capsys):
        region = make_region()
        with transaction(fresh_engine) as conn:
            assets.record_region(conn, region, "assets")
        path = tmp_path / "region.toml"
        path.write_text(_toml(region), "utf-8")
        for name in [name for name in os.environ if name.startswith("LSWARN_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("LSWARN_DATABASE_URL", fresh_database_url)
        monkeypatch.setenv("LSWARN_REGION", str(path))
        monkeypatch.chdir(tmp_path)

        def run(*words):
            monkeypatch.setattr(sys, "argv", ["freshness.py", *words])
            code = freshness.main()
            return code, capsys.readouterr().out

        return run

    def test_a_region_that_never_ran(self, watch):
        code, said = watch()
        assert code == 2
        assert said.startswith("STALE testland: nothing was ever published")
        assert "(runbook: the-day-is-not-published)" in said

    def test_a_database_that_is_away_is_stale_not_unasked(self, watch, monkeypatch):
        monkeypatch.setenv("LSWARN_DATABASE_URL", "postgresql://lswarn:hushhush@127.0.0.1:9/lswarn")
        code, said = watch()
        assert code == 2
        assert "no connection to" in said
        assert "(runbook: the-database-is-away)" in said
        assert "hushhush" not in said

    def test_what_cannot_be_asked_is_never_taken_for_an_answer(self, watch, monkeypatch):
        code, said = watch("nowhere.toml")
        assert code == 3
        assert said.startswith("UNKNOWN nowhere.toml: ")
        assert watch("--grace-h", "soon")[0] == 3
        assert watch("--help")[0] == 0
        monkeypatch.setenv("LSWARN_SURPRISE", "1")
        assert watch()[0] == 3

    def test_it_knows_nothing_of_prefect_and_torch(self):
        """So that neither can keep it from speaking."""
        ask = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}, run_name='x'); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
        assert not {"prefect", "torch", "flows", "fastapi"} & set(done.stdout.split())


def _toml(region):
    """As much of a region as makes a file; none of the files it names need be there."""
    west, south, east, north = region.bbox
    return f"""
name = "{region.name}"
title = "{region.title}"
bbox = [{west}, {south}, {east}, {north}]
crs = "{region.crs}"
[factors]
dem = {{ file = "dem.tif" }}
rock_type = {{ file = "rock.gpkg", field = "code" }}
river_distance = {{ derive = true }}
fault_distance = {{ constant = 1.0 }}
rainfall = {{ constant = 1.0 }}
temperature = {{ derive = true }}
seismic_intensity = {{ constant = 1.0 }}
[assets.roads]
file = "r.gpkg"
id = "id"
name = "name"
ref = "ref"
kind = "class"
[assets.settlements]
file = "t.gpkg"
id = "id"
name = "name"
population = "population"
[assets.warning_areas]
file = "a.gpkg"
id = "id"
name = "name"
[inventory]
file = "i.gpkg"
id = "id"
date = "date"
[[rain.sources]]
product = "IMERG-Late"
at = "late"
[rain.threshold]
constant_mm = 100.0
source = "made for tests"
"""
