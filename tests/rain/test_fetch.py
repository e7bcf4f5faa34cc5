import hashlib
import logging
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from lswarn.demo import layouts
from lswarn.demo.replicas import LoginReplica, Published, RainReplica
from lswarn.errors import (
    AccessDenied,
    CorruptGranule,
    NotYetPublished,
    RegionError,
    SourceUnavailable,
    StorageFull,
)
from lswarn.rain import transfer
from lswarn.rain.archive import load_archived, save_day
from lswarn.settings import Settings

DAY = date(2026, 1, 31)
NOW = datetime(2026, 2, 1, 15, 30, tzinfo=UTC)
OUT = datetime(2026, 2, 1, 14, 41, tzinfo=UTC)
FOLDER = "data/GPM_3IMERGDL.07/2026/01/"
NAME = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"
GRANULE = "/" + FOLDER + NAME
TOKEN = "not-a-real-token"
ENDED = "e30.eyJleHAiOiAxNzY3MDAwMDAwfQ.c2ln"  # {"exp": 1767000000}: on 2025-12-29


@pytest.fixture(scope="session")
def granule(made_rain):
    return layouts.imerg_daily(DAY, made_rain)


@pytest.fixture
def server(granule):
    with RainReplica({FOLDER + NAME: Published(granule, OUT)}, now=NOW) as server:
        yield server


@pytest.fixture(params=["search", "page", "text"])
def at(request, server):
    """The three ways to see what is there."""
    server.listing = "text" if request.param == "text" else "html"
    return server.url + ("/search/granules.json" if request.param == "search" else f"/{FOLDER[:-8]}{{year}}/{{month}}")


class TestOneGranule:
    def test_a_day(self, server, at, pull, granule):
        rain = pull(at)
        assert (rain.day, rain.product, rain.version) == (DAY, "IMERG-Late", "V07C")
        assert (rain.published_at, rain.fetched_at) == (OUT, NOW)
        assert rain.uri == server.url + GRANULE
        assert rain.sha256 == hashlib.sha256(granule).hexdigest()
        assert float(rain.precipitation.sel(lat=36.15, lon=-84.45, method="nearest")) == 35
        assert server.requests_of(GRANULE) == 1

    def test_the_newest_version_is_taken_and_both_are_told(self, server, at, pull, granule, caplog):
        caplog.set_level(logging.INFO)
        server.files[FOLDER + NAME.replace("V07C", "V07B")] = Published(b"old", OUT)
        server.files[FOLDER + NAME.replace("V07C", "V08A")] = Published(granule, OUT)
        assert pull(at).version == "V08A"
        assert all(f"{version}.nc4" in caplog.text for version in ("V07B", "V07C", "V08A"))

    def test_not_yet_published(self, server, at, pull):
        server.now = OUT - timedelta(minutes=1)
        server.files["/".join((FOLDER[:-1], NAME.replace("0131", "0130")))] = Published(b"", OUT - timedelta(days=1))
        with pytest.raises(NotYetPublished, match=r"is not there.*; it is due at 2026-02-01 14:45 UTC$"):
            pull(at, now=server.now)

    def test_overdue(self, server, at, pull):
        server.files.clear()
        with pytest.raises(NotYetPublished, match=r"due at 2026-02-01 14:45 UTC, 0.8 h ago: check rain.sources.at"):
            pull(at)

    def test_listed_but_withdrawn(self, server, at, pull):
        server.quirks[GRANULE] = [404]
        with pytest.raises(NotYetPublished, match=f"there is no .*{NAME}; it is due"):
            pull(at)

    @pytest.mark.parametrize("quirk", [429, 503, "reset", "cut"])
    def test_what_a_moment_heals(self, server, at, pull, granule, quirk):
        server.quirks["*"] = [quirk, quirk]
        assert pull(at).sha256 == hashlib.sha256(granule).hexdigest()

    @pytest.mark.parametrize("status", [401, 403])
    def test_access_denied_is_never_tried_again(self, server, at, pull, status):
        server.quirks[GRANULE] = [status]
        with pytest.raises(AccessDenied, match=rf"{NAME}: answered {status}"):
            pull(at)
        assert server.requests_of(GRANULE) == 1

    def test_an_unknown_product(self, pull):
        with pytest.raises(RegionError, match="product 'CHIRPS' is unknown"):
            pull("http://127.0.0.1:9/", product="CHIRPS")


class TestBytesThatAreNone:
    @pytest.mark.parametrize(
        ("quirk", "fault"),
        [
            ("html", "an HTML page, beginning 'Service is down for maintenance'"),
            ("json", r"JSON, beginning '\{\"error\": \"internal\""),
        ],
    )
    def test_a_page_with_status_200(self, server, at, pull, quirk, fault):
        server.quirks[GRANULE] = [quirk]
        with pytest.raises(CorruptGranule, match=rf"{NAME}: {fault}.*; open the address in a browser"):
            pull(at)

    def test_a_login_form(self, server, at, pull):
        server.quirks[GRANULE] = ["login"]
        with pytest.raises(AccessDenied, match=rf"{NAME}: answered with a login form; renew LSWARN_EARTHDATA_TOKEN"):
            pull(at)

    @pytest.mark.parametrize("quirk", ["html", "json"])
    def test_a_search_that_answers_something_else(self, server, pull, quirk):
        server.quirks["/search/granules.json"] = [quirk]
        with pytest.raises(SourceUnavailable, match="no answer to a search but"):
            pull(server.url + "/search/granules.json")

    def test_a_stub_that_claims_to_be_whole(self, server, at, pull):
        server.quirks[GRANULE] = ["stub"]
        with pytest.raises(CorruptGranule, match=NAME):
            pull(at)

    def test_an_empty_file(self, server, at, pull):
        server.files[FOLDER + NAME] = Published(b"", OUT)
        with pytest.raises(CorruptGranule, match=f"{NAME}: an empty file"):
            pull(at)

    def test_another_day_inside(self, server, at, pull, made_rain):
        server.files[FOLDER + NAME] = Published(layouts.imerg_daily(DAY, made_rain, holds=date(2026, 1, 30)), OUT)
        with pytest.raises(CorruptGranule, match=f"{NAME}.*2026-01-30"):
            pull(at)

    def test_a_slow_loris(self, server, at, pull):
        server.quirks[GRANULE] = ["drip"] * 9
        with pytest.raises(SourceUnavailable, match=f"{NAME}: only .* bytes came in .*; try again later"):
            pull(at, timeout_s=0.12)

    def test_a_redirect_loop(self, server, at, pull):
        server.quirks[GRANULE] = ["loop"] * 20
        with pytest.raises(SourceUnavailable, match=f"{NAME}: redirected 10 times"):
            pull(at)


class TestAccounts:
    @pytest.fixture
    def login(self, server):
        with LoginReplica(token=TOKEN, name="localhost") as login:
            server.account, server.login, server.token = "earthdata", login, TOKEN
            yield login

    def settings(self, login, token=TOKEN):
        return Settings(timeout_s=5, earthdata_token=SecretStr(token), earthdata_login=f"localhost:{login.port}")

    @pytest.mark.parametrize("known", [True, False])
    def test_the_token_is_for_the_archive_and_the_login_server(self, server, login, pull, known):
        server.token = TOKEN if known else ""
        assert pull(server.url + "/search/granules.json", settings=self.settings(login)).day == DAY
        assert [seen.authorization for seen in server.seen if "search" in seen.path] == [None]
        assert {seen.authorization for seen in server.seen if seen.path == GRANULE} == {f"Bearer {TOKEN}"}
        assert len(login.seen) == (not known)

    def test_another_host_asks_for_it(self, server, login, pull):
        with RainReplica({}, now=NOW) as thief:
            thief.quirks["*"] = [401]
            server.quirks[GRANULE] = [f"redirect:http://localhost:{thief.port}/x"]
            with pytest.raises(AccessDenied, match=f"sent on to localhost:{thief.port}, which answered 401"):
                pull(server.url + "/search/granules.json", settings=self.settings(login))
            assert [seen.authorization for seen in thief.seen] == [None]

    def test_a_token_that_has_ended_is_not_shown(self, server, login, pull):
        with pytest.raises(AccessDenied, match="the Earthdata token ended at 2025-12-29 23:59 UTC; make a new one"):
            pull(server.url + "/search/granules.json", settings=self.settings(login, ENDED))
        assert server.seen == []


class TestKnown:
    """What is archived already is not fetched again while it is the newest."""

    def test_the_same(self, server, at, pull):
        known = pull(at)
        seen = server.requests_of(GRANULE)
        assert pull(at, known=known) is None
        server.quirks[GRANULE] = ["unconditional"]
        assert pull(at, known=known) is None
        assert server.requests_of(GRANULE) - seen <= 2

    def test_a_search_that_says_so_spares_the_archive(self, server, pull):
        known = pull(server.url + "/search/granules.json")
        server.seen.clear()
        assert pull(server.url + "/search/granules.json", known=known) is None
        assert server.requests_of(GRANULE) == 0

    def test_modified_since(self, server, at, pull, granule):
        known = pull(at)
        server.files[FOLDER + NAME] = Published(granule, OUT + timedelta(minutes=10))
        assert pull(at, known=known).published_at == OUT + timedelta(minutes=10)

    def test_a_newer_version(self, server, at, pull, granule):
        known = pull(at)
        server.files[FOLDER + NAME.replace("V07C", "V07D")] = Published(granule, OUT)
        assert pull(at, known=known).version == "V07D"

    def test_only_an_older_version_is_left(self, server, at, pull, granule):
        known = replace(pull(at), version="V08A")
        assert pull(at, known=known) is None

    def test_when_it_was_published_is_unknown(self, at, pull):
        known = replace(pull(at), published_at=None)
        assert pull(at, known=known).published_at == OUT


class TestDisk:
    def test_a_full_one_is_named_and_keeps_nothing(self, at, pull, tmp_path, monkeypatch):
        class Full(tempfile.TemporaryDirectory):
            def __enter__(self):
                Path(self.name, "0").symlink_to("/dev/full")
                return super().__enter__()

        monkeypatch.setattr(transfer, "TemporaryDirectory", Full)
        monkeypatch.setattr(transfer, "gettempdir", lambda: str(tmp_path))
        with pytest.raises(StorageFull, match="No space left on device; make room"):
            pull(at)
        assert list(tmp_path.iterdir()) == []

    def test_one_on_which_nothing_can_be_begun(self, at, pull, monkeypatch):
        def none():
            raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

        monkeypatch.setattr(transfer, "gettempdir", none)
        with pytest.raises(StorageFull, match="No usable temporary directory"):
            pull(at)

    def test_nothing_is_left_of_a_day_good_or_bad(self, server, at, pull, tmp_path, monkeypatch):
        monkeypatch.setattr(transfer, "gettempdir", lambda: str(tmp_path))
        pull(at)
        server.quirks[GRANULE] = ["html"]
        with pytest.raises(CorruptGranule):
            pull(at)
        assert list(tmp_path.iterdir()) == []


class TestClock:
    def test_another_time_zone_changes_nothing(self, server, at, pull, bbox, tmp_path, monkeypatch):
        here, told = pull(at), []
        (tmp_path / NAME).write_bytes(server.files[FOLDER + NAME].body)
        os.utime(tmp_path / NAME, (OUT.timestamp(),) * 2)
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        try:
            there, local = pull(at, now=NOW.astimezone()), pull(tmp_path)
            assert pull(at, known=there) is None
            server.files.clear()
            with pytest.raises(NotYetPublished) as told:
                pull(at, now=NOW.astimezone())
        finally:
            monkeypatch.undo()
            time.tzset()
        assert (there.day, there.published_at, there.fetched_at, there.sha256) == (
            here.day,
            here.published_at,
            here.fetched_at,
            here.sha256,
        )
        assert local.published_at == here.published_at
        assert "due at 2026-02-01 14:45 UTC, 0.8 h ago" in str(told.value)


class TestAtOnce:
    def test_two_fetches_of_one_day_archive_it_once(self, at, pull, tmp_path):
        start = threading.Barrier(2)

        def fetch(_):
            start.wait()
            return save_day(tmp_path, pull(at))

        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(fetch, range(2)))
        assert len(load_archived(tmp_path, [DAY])) == 1
        assert {*paths} == {path for path in tmp_path.rglob("*") if path.is_file()}

    def test_seven_days_keep_to_the_limit_of_the_server(self, server, at, pull, made_rain):
        days = [DAY - timedelta(days=n) for n in range(7)]
        for day in days:
            name = NAME.replace("20260131", f"{day:%Y%m%d}")
            server.files[FOLDER + name] = Published(layouts.imerg_daily(day, made_rain), OUT)
        server.delay_s = 0.01
        with ThreadPoolExecutor(7) as pool:
            fetched = list(pool.map(lambda day: pull(at, day=day, connections=2), days))
        assert [rain.day for rain in fetched] == days
        assert 1 < server.busiest <= 2
