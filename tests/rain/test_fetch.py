import hashlib
import os
import socket
import time
from datetime import UTC, date, datetime

import pytest

from lswarn.errors import AccessDenied, CorruptGranule, GridMismatch, NotYetPublished, RegionError, SourceUnavailable
from lswarn.rain import fetch
from lswarn.rain.fetch import describe_granule, fetch_day
from lswarn.region import RainSource

DAY = date(2026, 1, 31)
NOW = datetime(2026, 2, 1, 15, 30, tzinfo=UTC)
NAME = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"
FOLDER = "/GPM_3IMERGDL.07/2026/01/"
GRANULE = FOLDER + NAME
TOKEN = "not-a-real-token"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSES_S", (0.0, 0.0, 0.0))


@pytest.fixture
def pull(bbox):
    def pull(at, *, product="IMERG-Late", now=NOW, token=None, box=bbox, timeout_s=5.0):
        source = RainSource(product=product, at=str(at), latency_h=14.75)
        return fetch_day(source, DAY, box, now=now, token=token, timeout_s=timeout_s)

    return pull


class TestServer:
    @pytest.fixture(autouse=True)
    def _published(self, server, granule):
        server.files[GRANULE] = granule

    @pytest.fixture
    def at(self, server):
        return server.url("/GPM_3IMERGDL.07/{year}/{month}")

    @pytest.mark.parametrize("plain", [False, True])
    def test_a_granule_found_in_the_listing(self, server, at, pull, granule, plain):
        server.plain = plain
        rain = pull(at)
        assert (rain.day, rain.product, rain.version, rain.fetched_at) == (DAY, "IMERG-Late", "V07C", NOW)
        assert rain.uri == server.url(GRANULE)
        assert rain.sha256 == hashlib.sha256(granule).hexdigest()
        assert float(rain.precipitation.sel(lat=36.15, lon=-84.45)) == 305
        assert [path for _, path, _ in server.seen] == [FOLDER, GRANULE]

    def test_the_newest_version_is_taken(self, server, at, pull, granule, make_granule):
        server.files[GRANULE.replace("V07C", "V07B")] = make_granule(date(2026, 1, 30))
        server.files[GRANULE.replace("V07C", "V08A")] = granule
        assert pull(at).version == "V08A"

    @pytest.mark.parametrize("quirk", [429, 500, 503, "reset", "cut"])
    @pytest.mark.parametrize("path", [FOLDER, GRANULE])
    def test_what_a_moment_heals(self, server, at, pull, granule, quirk, path):
        server.quirks[path] = [quirk, quirk]
        assert pull(at).sha256 == hashlib.sha256(granule).hexdigest()
        assert server.requests_of(path) == 3

    def test_nothing_of_a_failed_try_is_kept(self, server, at, pull, granule, monkeypatch):
        monkeypatch.setattr(fetch, "CHUNK_BYTES", 1000)
        server.files[GRANULE], server.files["/mirror/" + NAME] = granule * 4, granule
        server.quirks[GRANULE] = ["cut", server.url("/mirror/" + NAME)]
        assert pull(at).sha256 == hashlib.sha256(granule).hexdigest()

    def test_retry_after_is_obeyed(self, server, at, pull, monkeypatch):
        waited = []
        monkeypatch.setattr(time, "sleep", waited.append)
        server.quirks[GRANULE], server.retry_after = [429], "7"
        pull(at)
        assert waited == [7]

    def test_a_server_that_asks_for_an_hour_is_left_to_the_next_run(self, server, at, pull):
        server.quirks[GRANULE], server.retry_after = [429], "3600"
        with pytest.raises(SourceUnavailable, match=f"{GRANULE}: answered 429; try again later"):
            pull(at)
        assert server.requests_of(GRANULE) == 1

    def test_a_senseless_retry_after_is_passed_over(self, server, at, pull):
        server.quirks[GRANULE], server.retry_after = [503], "soon"
        assert pull(at).day == DAY

    @pytest.mark.parametrize(
        ("quirk", "fault"),
        [(502, "answered 502"), ("reset", "no answer"), ("cut", r"the body was cut short \(.*bytes read")],
    )
    def test_what_does_not_heal_is_given_up_after_four_tries(self, server, at, pull, quirk, fault):
        server.quirks[GRANULE] = [quirk] * 9
        with pytest.raises(SourceUnavailable, match=rf"{GRANULE}: {fault}.*; try again later"):
            pull(at)
        assert server.requests_of(GRANULE) == 4

    def test_nobody_listens(self, server, pull):
        with pytest.raises(
            SourceUnavailable, match=r"http://127\.0\.0\.1:9/: no answer \(.*refused.*\); try again later"
        ):
            pull("http://127.0.0.1:9/")

    def test_a_server_that_says_nothing(self, pull):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            with pytest.raises(SourceUnavailable, match=f"{address}: no answer .*timed out"):
                pull(address, timeout_s=0.05)

    def test_not_yet_published(self, server, at, pull):
        del server.files[GRANULE]
        server.files[GRANULE.replace("0131", "0130")] = b""
        with pytest.raises(
            NotYetPublished, match=r"no IMERG-Late of 2026-01-31 .*; it is due at 2026-02-01 14:45 UTC$"
        ):
            pull(at, now=datetime(2026, 2, 1, 14, tzinfo=UTC))

    def test_overdue(self, server, at, pull):
        del server.files[GRANULE]
        with pytest.raises(
            NotYetPublished, match=r"answered 404.*due at 2026-02-01 14:45 UTC, 0.8 h ago: check rain.sources.at"
        ):
            pull(at)
        assert len(server.seen) == 1

    def test_listed_but_withdrawn(self, server, at, pull):
        server.quirks[GRANULE] = [404]
        with pytest.raises(NotYetPublished, match=f"there is no .*{GRANULE}"):
            pull(at)

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize("path", [FOLDER, GRANULE])
    def test_access_denied_is_never_tried_again(self, server, at, pull, status, path):
        server.quirks[path] = [status]
        with pytest.raises(AccessDenied, match=rf"{path}: answered {status}; renew LSWARN_RAIN_TOKEN") as error:
            pull(at, token=TOKEN)
        assert server.requests_of(path) == 1
        assert TOKEN not in str(error.value)

    @pytest.mark.parametrize("path", [FOLDER, GRANULE])
    def test_a_login_form_is_access_denied(self, server, at, pull, path):
        server.quirks[path] = ["login"]
        with pytest.raises(AccessDenied, match="answered with a login form; set LSWARN_RAIN_TOKEN"):
            pull(at)

    def test_another_refusal(self, server, at, pull):
        server.quirks[FOLDER] = [400]
        with pytest.raises(SourceUnavailable, match=r"answered 400; is rain.sources.at right"):
            pull(at)
        assert server.requests_of(FOLDER) == 1

    def test_an_html_page_instead_of_a_granule(self, server, at, pull):
        server.quirks[GRANULE] = ["html"]
        with pytest.raises(
            CorruptGranule, match=rf"{GRANULE}: an HTML page, beginning 'Service is down for maintenance'"
        ):
            pull(at)

    def test_a_stub_that_claims_to_be_whole(self, server, at, pull):
        server.quirks[GRANULE] = ["stub"]
        with pytest.raises(CorruptGranule, match=rf"{GRANULE}: not a readable netCDF-4 file"):
            pull(at)

    def test_an_empty_file(self, server, at, pull):
        server.files[GRANULE] = b""
        with pytest.raises(CorruptGranule, match="an empty file"):
            pull(at)

    def test_a_body_without_end(self, server, at, pull, monkeypatch):
        monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
        with pytest.raises(CorruptGranule, match="does not end; more than 1,000 bytes came"):
            pull(at)

    def test_another_day_inside(self, server, at, pull, make_granule):
        server.files[GRANULE] = make_granule(date(2026, 1, 30))
        with pytest.raises(CorruptGranule, match=rf"{GRANULE}: holds 2026-01-30, not 2026-01-31"):
            pull(at)

    def test_a_region_elsewhere(self, at, pull):
        with pytest.raises(GridMismatch, match=rf"{GRANULE}: lat runs from"):
            pull(at, box=(7.0, 45.0, 8.0, 46.0))

    def test_an_unknown_product(self, at, pull):
        with pytest.raises(RegionError, match="product 'CHIRPS' is unknown"):
            pull(at, product="CHIRPS")

    def test_an_address_that_is_none(self, pull):
        with pytest.raises(SourceUnavailable, match=r"is rain.sources.at right"):
            pull("http://[/{year}")


class TestToken:
    @pytest.fixture(autouse=True)
    def _published(self, server, granule):
        server.files |= {GRANULE: granule, "/elsewhere/" + NAME: granule}

    @pytest.fixture
    def at(self, server):
        return server.url("/GPM_3IMERGDL.07/{year}/{month}/")

    def test_it_goes_to_the_source(self, server, at, pull):
        pull(at, token=f" {TOKEN}\n")
        assert {authorisation for _, _, authorisation in server.seen} == {f"Bearer {TOKEN}"}

    def test_it_does_not_follow_a_redirect_to_another_host(self, server, at, pull):
        server.quirks[GRANULE] = [server.url("/elsewhere/" + NAME, host="localhost")]
        rain = pull(at, token=TOKEN)
        assert server.seen[-1] == ("localhost", "/elsewhere/" + NAME, None)
        assert rain.uri == server.url(GRANULE)

    def test_it_follows_a_redirect_within_the_host(self, server, at, pull):
        server.quirks[GRANULE] = [server.url("/elsewhere/" + NAME)]
        pull(at, token=TOKEN)
        assert server.seen[-1] == ("127.0.0.1", "/elsewhere/" + NAME, f"Bearer {TOKEN}")

    def test_no_netrc_takes_its_place(self, server, at, pull, tmp_path, monkeypatch):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n", "utf-8")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        pull(at, token=TOKEN)
        assert {authorisation for _, _, authorisation in server.seen} == {f"Bearer {TOKEN}"}

    @pytest.mark.parametrize("odd", ["", "two words", "line\nbreak", "käse"])
    def test_a_token_that_cannot_be_one(self, at, pull, odd):
        with pytest.raises(AccessDenied, match="LSWARN_RAIN_TOKEN"):
            pull(at, token=odd)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path, granule):
        folder = tmp_path / "imerg" / "2026" / "01"
        folder.mkdir(parents=True)
        (folder / NAME).write_bytes(granule)
        return folder

    def test_a_granule(self, folder, pull, granule, tmp_path):
        rain = pull(tmp_path / "imerg" / "{year}" / "{month}")
        assert rain.uri == str(folder / NAME)
        assert rain.sha256 == hashlib.sha256(granule).hexdigest()
        assert float(rain.precipitation.sel(lat=36.15, lon=-84.45)) == 305

    def test_a_folder_without_placeholders(self, folder, pull):
        assert pull(folder).day == DAY

    def test_a_day_or_its_folder_is_not_there_yet(self, folder, pull, tmp_path):
        (folder / NAME).unlink()
        for at in (folder, tmp_path / "imerg" / "{year}-{month}"):
            with pytest.raises(NotYetPublished, match=r"no IMERG-Late of 2026-01-31.*due at"):
                pull(at)

    @pytest.mark.parametrize("at", ["nowhere", "nowhere/{year}", "nowhere/imerg-{year}"])
    def test_a_folder_that_can_never_be(self, pull, tmp_path, at):
        with pytest.raises(SourceUnavailable, match=f"{tmp_path}/nowhere: no such folder; is it mounted"):
            pull(tmp_path / at)

    def test_a_cut_file(self, folder, pull, granule):
        (folder / NAME).write_bytes(granule[: len(granule) // 2])
        with pytest.raises(CorruptGranule, match=f"{folder / NAME}: not a readable netCDF-4 file"):
            pull(folder)

    def test_an_html_file(self, folder, pull):
        (folder / NAME).write_text("<html><body>Bad gateway</body></html>", "utf-8")
        with pytest.raises(CorruptGranule, match=f"{folder / NAME}: an HTML page, beginning 'Bad gateway'"):
            pull(folder)

    def test_a_folder_by_the_name_of_a_granule(self, folder, pull):
        (folder / NAME).unlink()
        (folder / NAME).mkdir()
        with pytest.raises(SourceUnavailable, match="Is a directory; is the path right, and the disk mounted"):
            pull(folder)

    def test_a_file_that_may_not_be_read(self, folder, pull, monkeypatch):
        (folder / NAME).chmod(0)
        if os.access(folder / NAME, os.R_OK):  # root may read anything; as an ordinary user it is the real thing

            def refuse(path, *_):
                raise PermissionError(13, "Permission denied", str(path))

            monkeypatch.setattr(type(folder), "open", refuse)
        with pytest.raises(AccessDenied, match=f"{folder / NAME}: may not be read"):
            pull(folder)


class TestDescribe:
    def test_a_granule(self, tmp_path, granule):
        (tmp_path / NAME).write_bytes(granule)
        assert describe_granule(tmp_path / NAME) == {
            "product": "IMERG-Late",
            "version": "V07C",
            "day": DAY,
            "cells": "12 x 15",
            "lat": "35.85 to 36.95",
            "lon": "-84.95 to -83.55",
            "mean_mm": 557,  # 100 * row + column: 100 * 5.5 + 7
            "max_mm": 1114,
            "max_at": "36.95, -83.55",
            "missing_share": 0,
            "sha256": hashlib.sha256(granule).hexdigest(),
        }

    def test_what_is_none(self, tmp_path, granule):
        (tmp_path / NAME).write_text("<html>Bad gateway</html>", "utf-8")
        (tmp_path / "rain.nc4").write_bytes(granule)
        (tmp_path / NAME.replace("0131", "0130")).write_bytes(granule)
        for name, fault in [
            (NAME, "an HTML page"),
            ("rain.nc4", "not the name of an IMERG daily file"),
            (NAME.replace("0131", "0130"), "holds 2026-01-31, not 2026-01-30"),
        ]:
            with pytest.raises(CorruptGranule, match=fault):
                describe_granule(tmp_path / name)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(SourceUnavailable, match=f"{tmp_path / NAME}: No such file or directory"):
            describe_granule(tmp_path / NAME)
