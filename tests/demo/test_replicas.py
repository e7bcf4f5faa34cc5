"""Each quirk does what it says, as a plain client sees it."""

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests
from requests.auth import HTTPBasicAuth

from lswarn.demo import loopback
from lswarn.demo.cmr import PAGE, granules_json
from lswarn.demo.replicas import LoginReplica, Published, RainReplica

NOW = datetime(2026, 3, 15, 15, 30, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=6, microseconds=250)
NAME = "3B-DAY-L.MS.MRG.3IMERG.20260314-S000000-E235959.V07{}.nc4"
FOLDER = "data/GPM_L3/GPM_3IMERGDL.07/2026/03"
PATH = f"{FOLDER}/{NAME.format('C')}"
BODY = bytes(range(256)) * 40
GIS = "imerg/gis/early/2026/03/day.tif"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "day.tif").write_bytes(b"II*\0tif")
    return {
        PATH: Published(BODY, EARLIER),
        f"{FOLDER}/{NAME.format('B')}": Published(b"older", EARLIER),
        f"{FOLDER}/coming.nc4": Published(b"x", NOW + timedelta(seconds=1)),
        GIS: Published(tmp_path / "day.tif", EARLIER),
    }


@pytest.fixture
def rain(files):
    with RainReplica(files, now=NOW) as server:
        yield server


def get(server, path=PATH, **kwargs):
    return requests.get(f"{server.url}/{path}", **({"timeout": 5} | kwargs))


class TestFiles:
    def test_a_file_is_there_from_its_publication_on(self, rain):
        coming = f"{FOLDER}/coming.nc4"
        assert get(rain, coming).status_code == 404
        assert "coming" not in get(rain, FOLDER).text
        rain.now += timedelta(seconds=1)
        assert get(rain, coming).content == b"x"
        assert "coming" in get(rain, FOLDER).text

    def test_files_may_be_added_and_replaced_while_it_runs(self, rain):
        tag = get(rain).headers["ETag"]
        rain.files[PATH] = Published(b"new", NOW)
        answer = get(rain)
        assert answer.content == b"new"
        assert answer.headers["ETag"] != tag
        assert parsedate_to_datetime(answer.headers["Last-Modified"]) == NOW

    def test_nothing_else_is_served(self, rain):
        for path in ("nothing", "data/../schedule.json", "%2e%2e/region.toml", f"{PATH}/", "data/x"):
            assert get(rain, path).status_code == 404

    def test_head_is_get_without_a_body(self, rain):
        answer = requests.head(f"{rain.url}/{PATH}", timeout=5)
        assert (answer.content, answer.headers["Content-Length"]) == (b"", str(len(BODY)))
        assert requests.head(f"{rain.url}/{FOLDER}/coming.nc4", timeout=5).status_code == 404

    def test_what_is_known_is_not_sent_again(self, rain):
        first = get(rain)
        assert parsedate_to_datetime(first.headers["Last-Modified"]) == EARLIER.replace(microsecond=0)
        for header, value in (("If-Modified-Since", "Last-Modified"), ("If-None-Match", "ETag")):
            answer = get(rain, headers={header: first.headers[value]})
            assert (answer.status_code, answer.content) == (304, b"")
        assert get(rain, headers={"If-Modified-Since": "Sat, 14 Mar 2026 00:00:00 GMT"}).content == BODY
        assert get(rain, headers={"If-Modified-Since": "yesterday"}).content == BODY
        assert get(rain, headers={"If-None-Match": '"other"'}).content == BODY
        assert rain.seen[1].if_modified_since == first.headers["Last-Modified"]

    @pytest.mark.parametrize(
        ("asked", "status", "content", "span"),
        [
            ("bytes=100-", 206, BODY[100:], f"bytes 100-10239/{len(BODY)}"),
            ("bytes=5-9", 206, BODY[5:10], f"bytes 5-9/{len(BODY)}"),
            ("bytes=10000-99999", 206, BODY[10000:], f"bytes 10000-10239/{len(BODY)}"),
            ("bytes=-3", 206, BODY[-3:], f"bytes 10237-10239/{len(BODY)}"),
            ("bytes=10240-", 416, b"", f"bytes */{len(BODY)}"),
            ("bytes=9-5", 200, BODY, None),
            ("bytes=1-2,5-6", 200, BODY, None),
            ("lines=1-2", 200, BODY, None),
        ],
    )
    def test_parts(self, rain, asked, status, content, span):
        answer = get(rain, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, content)
        assert answer.headers.get("Content-Range") == span
        assert rain.seen[-1].range == asked

    def test_a_part_of_what_is_no_longer_there_is_all_of_what_is(self, rain):
        first = get(rain)
        for known in (first.headers["ETag"], first.headers["Last-Modified"]):
            assert get(rain, headers={"Range": "bytes=9-", "If-Range": known}).content == BODY[9:]
        rain.files[PATH] = Published(b"other", NOW)
        for known in (first.headers["ETag"], first.headers["Last-Modified"]):
            answer = get(rain, headers={"Range": "bytes=2-", "If-Range": known})
            assert (answer.status_code, answer.content) == (200, b"other")


class TestListings:
    def test_as_html_folders_can_be_walked_from_the_root(self, rain):
        assert 'href="data/"' in get(rain, "").text
        assert 'href="2026/"' in get(rain, "data/GPM_L3/GPM_3IMERGDL.07/").text
        assert f'<a href="{NAME.format("C")}">' in get(rain, FOLDER).text

    def test_below_text_they_are_plain_and_give_the_path_without_it(self, rain):
        answer = get(rain, "text/imerg/gis/early/2026/03/")
        assert answer.headers["Content-Type"] == "text/plain"
        assert answer.text.splitlines() == [f"/{GIS}"]
        assert get(rain, f"text/{GIS}").content == get(rain, GIS).content == b"II*\0tif"
        assert "/imerg/" in get(rain, "text/").text.splitlines()

    def test_all_as_text(self, files):
        with RainReplica(files, now=NOW, listing="text") as server:
            assert get(server, "imerg/gis/early/2026/03/").text == f"/{GIS}\n"

    def test_none_at_all(self, files):
        with RainReplica(files, now=NOW, listing="none") as server:
            assert get(server, FOLDER).status_code == 404
            assert get(server).content == BODY


class TestCmr:
    DAY = "2026-03-14T00:00:01Z,2026-03-14T23:59:59Z"

    def ask(self, server, **query):
        return requests.get(f"{server.url}/search/granules.json", query, timeout=5)

    def test_all_versions_of_a_day_and_all_its_links(self, rain):
        answer = self.ask(rain, short_name="GPM_3IMERGDL", version="07", temporal=self.DAY)
        assert answer.headers["CMR-Hits"] == "2"
        entries = answer.json()["feed"]["entry"]
        assert [e["title"] for e in entries] == [f"GPM_3IMERGDL.07:{NAME.format(c)}" for c in "BC"]
        data = [link["href"] for link in entries[1]["links"] if link["rel"].endswith("data#")]
        assert data[0] == f"{rain.url}/{PATH}"
        assert {href.rpartition(".")[2] for href in data[1:3]} == {"dmrpp", "xml"}
        assert any(link.get("inherited") for link in entries[1]["links"])
        assert any(link["href"].startswith("s3://") for link in entries[1]["links"])
        assert requests.get(data[0], timeout=5).content == BODY

    @pytest.mark.parametrize(
        "query",
        [
            {"short_name": "GPM_3IMERGDE"},
            {"short_name": "GPM_3IMERGDL", "version": "06"},
            {"short_name": "GPM_3IMERGDL", "temporal": "2026-03-15T00:00:00Z,2026-03-16T00:00:00Z"},
            {"short_name": "GPM_3IMERGDL", "temporal": ",2026-03-13T23:59:59Z"},
        ],
    )
    def test_elsewhere_there_is_nothing(self, rain, query):
        assert self.ask(rain, **query).json()["feed"]["entry"] == []

    @pytest.mark.parametrize(
        "query",
        [{}, {"short_name": "X", "temporal": "someday"}, {"short_name": "X", "page_size": "2001"}],
    )
    def test_senseless_questions_are_refused(self, rain, query):
        answer = self.ask(rain, **query)
        assert answer.status_code == 400
        assert answer.json()["errors"]

    def test_ten_at_a_time_unless_more_are_asked_for(self):
        path = "d/GPM_3IMERGHHE.07/2026/073/3B-HHR-E.MS.MRG.3IMERG.20260314-S{0:02d}0000-E{0:02d}2959.x.V07C.HDF5"
        half_hours = {path.format(hour): EARLIER for hour in range(24)}

        def titles(**query):
            answer = granules_json(half_hours, {"short_name": "GPM_3IMERGHHE"} | query, "http://x")
            assert answer.hits == 24
            return [entry["title"] for entry in answer.content["feed"]["entry"]]

        assert len(titles()) == PAGE
        assert len(titles(page_size="2000")) == 24
        assert titles(page_num="3") == titles(page_size="24")[20:]

    def test_what_is_not_out_is_not_found(self, rain):
        rain.now = EARLIER - timedelta(seconds=1)
        assert self.ask(rain, short_name="GPM_3IMERGDL").json()["feed"]["entry"] == []


class TestQuirks:
    def test_each_request_uses_up_one_of_its_path_first(self, rain):
        rain.quirks = {f"/{PATH}": [503, 404], "*": [500]}
        assert [get(rain).status_code for _ in range(4)] == [503, 404, 500, 200]
        assert rain.requests_of(f"/{PATH}") == 4

    @pytest.mark.parametrize(("status", "after"), [(429, "7"), (503, "7"), (401, None), (403, None), (404, None)])
    def test_statuses(self, rain, status, after):
        rain.quirks["*"], rain.retry_after = [status], "7"
        answer = get(rain)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (status, after)

    @pytest.mark.parametrize(("quirk", "start"), [("html", b"<!DOCTYPE"), ("json", b"{"), ("login", b"<!DOCTYPE")])
    def test_pages_with_status_200(self, rain, quirk, start):
        rain.quirks["*"] = [quirk]
        answer = get(rain)
        assert answer.status_code == 200
        assert answer.content.startswith(start)
        assert (b'type="password"' in answer.content) == (quirk == "login")

    def test_cut_breaks_off_and_the_rest_can_be_had(self, rain):
        rain.quirks["*"] = ["cut"]
        got = b""
        with get(rain, stream=True) as answer:
            assert answer.headers["Content-Length"] == str(len(BODY))
            pieces = answer.iter_content(64)
            while len(got) < len(BODY) // 2:
                got += next(pieces)
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                next(pieces)
        assert got == BODY[: len(BODY) // 2]
        assert got + get(rain, headers={"Range": f"bytes={len(got)}-"}).content == BODY

    def test_stub_is_less_than_all_and_says_nothing(self, rain):
        rain.quirks["*"] = ["stub", "stub"]
        assert get(rain).content == BODY[: len(BODY) // 2]
        assert len(get(rain, FOLDER).content) < len(get(rain, FOLDER).content)

    def test_reset(self, rain):
        rain.quirks["*"] = ["reset"]
        with pytest.raises(requests.ConnectionError, match="reset"):
            get(rain)

    def test_drip_keeps_a_client_awake_for_ever(self, rain):
        rain.quirks["*"] = ["drip"]
        with get(rain, stream=True, timeout=1) as answer:
            began = time.monotonic()
            pieces = answer.iter_content(1)
            assert b"".join(next(pieces) for _ in range(5)) == BODY[:5]
            assert time.monotonic() - began > 0.1

    def test_stall_says_nothing(self, rain):
        rain.quirks["*"] = ["stall"]
        with pytest.raises(requests.ReadTimeout):
            get(rain, timeout=0.3)

    def test_loop(self, rain):
        rain.quirks["*"] = ["loop"] * 40
        with pytest.raises(requests.TooManyRedirects):
            get(rain)

    def test_redirect(self, rain):
        rain.quirks["*"] = [f"redirect:{rain.url}/{GIS}"]
        assert get(rain).content == b"II*\0tif"

    def test_no_range(self, rain):
        rain.quirks["*"] = ["no-range"]
        answer = get(rain, headers={"Range": "bytes=9-"})
        assert (answer.status_code, answer.content) == (200, BODY)

    def test_changed(self, rain):
        first = get(rain)
        rain.quirks["*"] = ["changed"] * 3
        for known in ("ETag", "Last-Modified"):
            answer = get(rain, headers={"Range": "bytes=9-", "If-Range": first.headers[known]})
            assert answer.status_code == 200
            assert answer.content != BODY
            assert answer.headers["ETag"] != first.headers["ETag"]
        blind = get(rain, headers={"Range": "bytes=9-"})
        assert (blind.status_code, blind.headers["ETag"]) == (206, answer.headers["ETag"])

    def test_unconditional(self, rain):
        since = get(rain).headers["Last-Modified"]
        rain.quirks["*"] = ["unconditional"]
        assert get(rain, headers={"If-Modified-Since": since}).content == BODY

    def test_expired(self, rain):
        rain.quirks["*"] = ["expired"]
        answer = get(rain)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")

    def test_the_unpublished_resets_at_pps(self, files):
        with RainReplica(files, now=NOW, unpublished="reset") as server:
            assert get(server).content == BODY
            for path in (f"{FOLDER}/coming.nc4", "nothing"):
                with pytest.raises(requests.ConnectionError, match="reset"):
                    get(server, path)

    def test_a_quirk_that_there_is_not_is_no_answer(self, rain, capsys):
        rain.quirks["*"] = ["sulk"]
        with pytest.raises(requests.ConnectionError):
            get(rain)
        assert "there is no quirk 'sulk'" in capsys.readouterr().err

    def test_how_many_at_once(self, rain):
        rain.delay_s = 0.2
        threads = [threading.Thread(target=get, args=(rain,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (rain.busiest, len(rain.seen)) == (6, 6)
        get(rain)
        assert rain.busiest == 6

    def test_no_more_connections_than_there_is_room_for(self, rain, monkeypatch):
        monkeypatch.setattr(loopback, "MOST_CONNECTIONS", 2)
        rain.quirks["*"] = ["stall", "stall"]
        threads = [threading.Thread(target=pytest.raises, args=(requests.RequestException, get, rain), kwargs={
            "timeout": 0.5}) for _ in range(2)]  # fmt: skip
        for thread in threads:
            thread.start()
        while len(rain.seen) < 2:
            time.sleep(0.01)
        with pytest.raises(requests.ConnectionError):
            get(rain)
        for thread in threads:
            thread.join()
        time.sleep(0.2)  # the server notices that they went away
        assert get(rain).content == BODY


class TestPps:
    @pytest.fixture
    def pps(self, files):
        with RainReplica(files, now=NOW, account="pps", email="Duty@County.example") as server:
            yield server

    def test_the_lower_cased_email_is_user_and_password(self, pps):
        email = "duty@county.example"
        assert get(pps, auth=(email, email)).content == BODY
        assert get(pps, "text/imerg/gis/early/2026/03/", auth=(email, email)).ok
        for auth in (None, ("Duty@County.example",) * 2, (email, "secret")):
            answer = get(pps, auth=auth)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert base64.b64decode(pps.seen[0].authorization.removeprefix("Basic ")).decode() == f"{email}:{email}"


class Bearer(requests.auth.AuthBase):
    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class TestEarthdata:
    @pytest.fixture
    def login(self):
        with LoginReplica(token="good", user="ann", password="pw", name="localhost") as server:
            yield server

    @pytest.fixture
    def data(self, files, login):
        with RainReplica(files, now=NOW, account="earthdata", token="good", login=login) as server:
            yield server

    def test_a_known_token_needs_no_redirect(self, data, login):
        assert get(data, auth=Bearer("good")).content == BODY
        assert (data.seen[0].authorization, login.seen) == ("Bearer good", [])

    def test_cmr_asks_for_nothing(self, data):
        assert requests.get(f"{data.url}/search/granules.json?short_name=GPM_3IMERGDL", timeout=5).status_code == 200

    def test_without_credentials_one_lands_on_the_login_page_with_status_200(self, data, login):
        answer = get(data)
        assert answer.status_code == 200
        assert b'type="password"' in answer.content
        assert answer.url.startswith(f"{login.url}/oauth/authorize?")
        assert login.seen[0].host == "localhost"
        login.form = False
        assert get(data).status_code == 401

    @pytest.mark.parametrize("auth", [HTTPBasicAuth("ann", "pw"), Bearer("good")])
    def test_through_the_redirects_with_credentials_for_the_login_host_alone(self, data, login, auth):
        with requests.Session() as session:
            url = f"{data.url}/{PATH}"
            for _ in range(9):
                headers = (
                    dict(auth(requests.Request("GET", url).prepare()).headers) if url.startswith(login.url) else {}
                )
                answer = session.get(url, headers=headers, allow_redirects=False, timeout=5)
                if not answer.is_redirect:
                    break
                url = requests.compat.urljoin(url, answer.headers["Location"])
            assert answer.content == BODY
            assert [seen.authorization is not None for seen in data.seen + login.seen] == [False] * 3 + [True]
            assert session.get(f"{data.url}/{PATH}", timeout=5).content == BODY  # by the cookie
            assert len(login.seen) == 1

    def test_a_code_is_good_once_and_only_if_given_out(self, data, login):
        assert get(data, "login?code=made-up&state=/x", allow_redirects=False).headers["Location"].startswith(login.url)
        asked = {"redirect_uri": f"{data.url}/login", "state": "/x"}
        back = requests.get(
            f"{login.url}/oauth/authorize", asked, auth=Bearer("good"), allow_redirects=False, timeout=5
        ).headers["Location"]
        assert "Set-Cookie" in requests.get(back, allow_redirects=False, timeout=5).headers
        assert "Set-Cookie" not in requests.get(back, allow_redirects=False, timeout=5).headers

    def test_wrong_credentials_are_refused_by_the_login_host(self, data, login):
        asked = {"redirect_uri": f"{data.url}/login"}
        for auth in (Bearer("old"), HTTPBasicAuth("ann", "wrong")):
            answer = requests.get(f"{login.url}/oauth/authorize", asked, auth=auth, timeout=5)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
        assert requests.get(f"{login.url}/elsewhere", timeout=5).status_code == 404

    def test_an_application_that_was_not_approved(self, data, login):
        login.approved = False
        assert get(data, auth=Bearer("good")).status_code == 403
        asked = {"redirect_uri": f"{data.url}/login"}
        answer = requests.get(f"{login.url}/oauth/authorize", asked, auth=Bearer("good"), timeout=5)
        assert answer.status_code == 403
        assert "approve" in answer.text

    def test_it_cannot_be_had_without_a_login_host(self):
        with pytest.raises(ValueError, match="LoginReplica"):
            RainReplica({}, account="earthdata")


class TestLeaving:
    @pytest.mark.parametrize("quirk", ["drip", "stall"])
    def test_while_an_answer_is_under_way(self, files, quirk):
        asked, ended = threading.Event(), threading.Event()

        def client():
            try:
                with get(server, stream=True, timeout=30) as answer:
                    for _ in answer.iter_content(1):
                        pass
            except requests.RequestException:
                ended.set()

        with RainReplica(files, now=NOW) as server:
            server.quirks["*"] = [quirk]
            thread = threading.Thread(target=client)
            thread.start()
            while not server.seen:
                asked.wait(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        thread.join(5)
        assert ended.is_set()
        with pytest.raises(requests.ConnectionError):
            get(server)

    def test_with_a_connection_kept_alive(self, files):
        with requests.Session() as session:
            with RainReplica(files, now=NOW) as server:
                assert session.get(f"{server.url}/{PATH}", timeout=5).ok
            with pytest.raises(requests.ConnectionError):
                session.get(f"{server.url}/{PATH}", timeout=5)


def test_json_of_a_cmr_answer_is_json():
    json.dumps(granules_json({PATH: EARLIER}, {"short_name": "GPM_3IMERGDL"}, "http://x").content)
