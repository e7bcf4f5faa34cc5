import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.demo.replicas import Published, RainReplica
from lswarn.errors import CorruptGranule, NotYetPublished, SourceUnavailable, StorageFull
from lswarn.rain import download, transfer
from lswarn.rain.accounts import Account
from lswarn.rain.download import Client
from lswarn.rain.transfer import Passing, Transfer

AT = datetime(2026, 2, 1, 14, 41, 7, tzinfo=UTC)
LATER = AT + timedelta(hours=2)
FOLDER = "/GPM_3IMERGDL.07/2026/01/"
FILE = FOLDER + "granule.nc4"
BODY = hashlib.shake_128(b"a granule").digest(400_000)
TOKEN = "not-a-real-token"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 4)


@pytest.fixture
def server():
    with RainReplica({FILE[1:]: Published(BODY, AT)}, now=LATER) as server:
        yield server


@pytest.fixture
def into(tmp_path):
    return tmp_path / "granule"


def client(account=Account(), *, timeout_s=5.0, connections=4, resets=False):  # noqa: B008 (frozen)
    return Client(account, timeout_s=timeout_s, connections=connections, resets=resets)


@pytest.fixture
def get(server, into):
    def get(path=FILE, *, account=Account(), timeout_s=5.0, resets=False, **options):  # noqa: B008 (frozen)
        with client(account, timeout_s=timeout_s, resets=resets) as asking:
            return asking.get_file(server.url + path, into, **options)

    return get


class TestWhatAMomentHeals:
    def test_a_file_and_when_it_was_published(self, get, into):
        answer = get()
        assert into.read_bytes() == BODY
        assert (answer.modified_at, answer.redirected_to) == (AT, None)

    def test_a_page(self, server):
        with client() as asking:
            assert "granule.nc4" in asking.get_text(server.url + FOLDER)

    @pytest.mark.parametrize("quirk", [408, 429, 500, 503, "reset", "cut", "stall"])
    def test_twice_is_a_moment(self, server, get, into, quirk):
        server.quirks[FILE] = [quirk, quirk]
        get(timeout_s=0.2 if quirk == "stall" else 5.0)
        assert into.read_bytes() == BODY
        assert server.requests_of(FILE) == 3

    @pytest.mark.parametrize(
        ("quirk", "fault"),
        [(502, "answered 502"), ("reset", "no answer"), ("cut", r"the body was cut short \(.*bytes read")],
    )
    def test_five_times_is_not(self, server, get, monkeypatch, quirk, fault):
        waited = []
        monkeypatch.setattr(time, "sleep", waited.append)
        monkeypatch.setattr(download, "PAUSES_S", (1.0, 2.0, 4.0, 8.0))
        server.quirks[FILE] = [quirk] * 9
        with pytest.raises(SourceUnavailable, match=rf"{FILE}: {fault}.*; try again later"):
            get()
        assert waited == [1, 2, 4, 8]
        assert server.requests_of(FILE) == 5

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_retry_after_is_obeyed(self, server, get, monkeypatch, form):
        waited = []
        monkeypatch.setattr(time, "sleep", waited.append)
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
        server.quirks[FILE], server.retry_after = [429], "7" if form == "seconds" else date
        get()
        assert len(waited) == 1
        assert 5 < waited[0] <= 8

    def test_a_server_that_asks_for_an_hour_is_left_to_the_next_run(self, server, get):
        server.quirks[FILE], server.retry_after = [429], "3600"
        with pytest.raises(SourceUnavailable, match=f"{FILE}: answered 429; try again later"):
            get()
        assert server.requests_of(FILE) == 1

    @pytest.mark.parametrize("odd", ["soon", "-3", "", "9" * 5000])
    def test_a_senseless_retry_after_is_passed_over(self, server, get, odd):
        server.quirks[FILE], server.retry_after = [503], odd
        assert get().modified_at == AT

    def test_nobody_listens(self, into):
        with (
            client() as asking,
            pytest.raises(SourceUnavailable, match=r"http://127\.0\.0\.1:9/x: no answer \(.*refused"),
        ):
            asking.get_file("http://127.0.0.1:9/x", into)

    def test_a_server_that_says_nothing(self, into):
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            client(timeout_s=0.05) as asking,
            pytest.raises(SourceUnavailable, match=r"no answer \(timed out\)"),
        ):
            asking.get_file(f"http://127.0.0.1:{silent.getsockname()[1]}/", into)

    def test_a_slow_loris_is_left(self, server, get):
        server.quirks["*"] = ["drip"] * 9
        began_s = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"only \d+ bytes came in 0\.\d+ s; try again later"):
            get(timeout_s=0.15)
        assert time.monotonic() - began_s < 5

    @pytest.mark.parametrize("odd", ["http://[/x", "https:///x", "ftp://example.org/x", "http://a:b/x"])
    def test_an_address_that_is_none(self, odd, into):
        with client() as asking, pytest.raises(SourceUnavailable, match=r"is rain.sources.at right"):
            asking.get_file(odd, into)

    @pytest.mark.parametrize("status", [400, 418, 204])
    def test_another_answer(self, server, get, status):
        server.quirks[FILE] = [status]
        with pytest.raises(SourceUnavailable, match=rf"answered {status}; is rain.sources.at right"):
            get()
        assert server.requests_of(FILE) == 1


class TestNotThere:
    @pytest.mark.parametrize("status", [404, 410])
    def test_is_said_at_once(self, server, get, status):
        server.quirks[FILE] = [status]
        with pytest.raises(NotYetPublished, match=f"answered {status}, there is no .*{FILE}"):
            get()
        assert server.requests_of(FILE) == 1

    def test_a_reset_where_it_means_that(self, server, get):
        server.unpublished = "reset"
        with pytest.raises(NotYetPublished, match="the connection was reset, there is no"):
            get(FOLDER + "tomorrow.tif", resets=True)
        assert server.requests_of(FOLDER + "tomorrow.tif") == 2

    def test_one_reset_there_may_be_a_moment(self, server, get, into):
        server.quirks[FILE] = ["reset"]
        get(resets=True)
        assert into.read_bytes() == BODY

    def test_a_body_cut_short_there_is_no_sign_of_it(self, server, get):
        server.quirks[FILE] = ["cut"] * 9
        with pytest.raises(SourceUnavailable, match="cut short"):
            get(resets=True)

    def test_a_redirect_to_a_web_page_is_none_to_a_file(self, server):
        """As NOMADS answers: neither its listing nor its file."""
        server.quirks[FILE] = [f"redirect:{FOLDER}"]
        with client() as asking, pytest.raises(NotYetPublished, match="which is a web page: there is no"):
            asking.get_text(server.url + FILE)

    def test_a_redirect_to_nowhere(self, server, get):
        server.quirks[FILE] = [302]
        with pytest.raises(NotYetPublished, match="answered 302 and no address"):
            get()


class TestHalfDownloads:
    @pytest.fixture(autouse=True)
    def _small_pieces(self, monkeypatch):
        monkeypatch.setattr(transfer, "CHUNK_BYTES", 10_000)

    def test_the_rest_is_asked_for(self, server, get, into):
        server.quirks[FILE] = ["cut", "cut"]
        get()
        assert into.read_bytes() == BODY
        assert [seen.range for seen in server.seen] == [None, "bytes=200000-", "bytes=300000-"]

    @pytest.mark.parametrize("quirk", ["no-range", "changed"])
    def test_half_of_another_is_discarded(self, server, get, into, quirk):
        server.quirks[FILE] = ["cut", quirk]
        get()
        assert into.read_bytes() == BODY + bytes(16 if quirk == "changed" else 0)

    def test_what_goes_on_is_not_mixed_with_what_went_before(self, server, get, into):
        server.quirks[FILE] = ["cut"]
        newer = {FILE[1:]: Published(BODY[::-1], LATER)}
        with client() as asking:
            judge = asking._judge
            asking._judge = lambda *given: (judge(*given), server.files.update(newer))  # once half of the old is sent
            answer = asking.get_file(server.url + FILE, into)
        assert into.read_bytes() == BODY[::-1]
        assert answer.modified_at == LATER

    def test_a_span_is_resumed_within_itself(self, server, get, into):
        server.quirks[FILE] = ["cut"]
        get(span=(1000, 2999))
        assert into.read_bytes() == BODY[1000:3000]
        assert [seen.range for seen in server.seen] == ["bytes=1000-2999", "bytes=2000-2999"]

    def test_without_a_mark_of_its_version_half_a_file_is_nothing(self):
        half = Transfer("http://x/", BytesIO())
        half.begin(200, {"Content-Length": "10", "ETag": 'W/"weak"'})
        half.into.write(b"12345")
        assert half.headers() == {}
        assert half.into.tell() == 0

    @pytest.mark.parametrize(
        "answer",
        [
            {"Content-Range": "bytes 6-9/10", "ETag": '"a"'},  # begins too late
            {"Content-Range": "bytes 0-9/10", "ETag": '"a"'},  # begins too early
            {"Content-Range": "bytes 5-8/10", "ETag": '"a"'},  # ends before the end
            {"Content-Range": "bytes 5-9/10", "ETag": '"b"'},  # of another version
            {"Content-Range": "pages 5-9/10", "ETag": '"a"'},
            {"ETag": '"a"'},
        ],
    )
    def test_a_rest_that_does_not_fit(self, answer):
        half = Transfer("http://x/", BytesIO())
        half.begin(200, {"ETag": '"a"'})
        half.into.write(b"12345")
        assert half.headers() == {"Range": "bytes=5-", "If-Range": '"a"'}
        with pytest.raises(Passing, match="not there any more"):
            half.begin(206, answer)
        assert half.headers() == {}

    @given(
        st.sampled_from([200, 206, 416]),
        st.dictionaries(
            st.sampled_from(["ETag", "Last-Modified", "Content-Range", "Content-Length"]),
            st.text() | st.from_regex(r"bytes \d+-\d+/(\d+|\*)", fullmatch=True) | st.integers().map(str),
        ),
        st.booleans(),
    )
    def test_no_headers_are_too_odd(self, status, headers, half):
        here = Transfer("http://x/", BytesIO(b""), validator='"a"')
        here.into.write(b"12345" if half else b"")
        with suppress(Passing, CorruptGranule):
            assert here.begin(status, headers) == 0
            assert here.into.tell() in (0, 5)
            assert status == 200 or half == bool(here.into.tell())
        download._instant(headers.get("Last-Modified"))

    @pytest.mark.parametrize("odd", [None, "", "soon", "Fri, 31 Dec 9999 23:59:59 -2300", "Sun, 99 Feb 2026 1:1:1 GMT"])
    def test_a_date_that_is_none(self, odd):
        assert download._instant(odd) is None

    def test_a_rest_that_is_gone(self):
        half = Transfer("http://x/", BytesIO())
        half.begin(200, {"ETag": '"a"'})
        half.into.write(b"12345")
        with pytest.raises(Passing):
            half.begin(416, {})
        assert half.into.getvalue() == b""


class TestSpans:
    @pytest.mark.parametrize("quirk", [[], ["no-range"]])
    @pytest.mark.parametrize("span", [(0, 99), (1000, 1999), (399_000, 399_999), (390_000, None)])
    def test_a_record(self, server, get, into, span, quirk):
        server.quirks[FILE] = list(quirk)
        get(span=span)
        first, last = span
        assert into.read_bytes() == BODY[first : None if last is None else last + 1]

    def test_beyond_the_end(self, server, get):
        with pytest.raises(CorruptGranule, match="has no bytes 400000 to 400009; does the index beside it belong"):
            get(span=(400_000, 400_009))

    @pytest.mark.parametrize("quirk", [[], ["no-range"]])
    def test_over_the_end(self, server, get, quirk):
        server.quirks[FILE] = list(quirk)
        with pytest.raises(CorruptGranule, match="ends before byte 400009"):
            get(span=(399_000, 400_009))


class TestSize:
    def test_more_than_it_can_have_is_not_begun(self, get, monkeypatch):
        monkeypatch.setattr(transfer, "MOST_BYTES", 1000)
        with pytest.raises(CorruptGranule, match="announces 400,000 bytes"):
            get()

    def test_a_body_without_end(self):
        class Endless:
            def read1(self, amt, decode_content):
                return bytes(amt)

        into = BytesIO()
        with pytest.raises(CorruptGranule, match="does not end; more than 1,000,000 bytes came"):
            Transfer("http://x/", into, most_bytes=1_000_000).read(Endless(), 0, 5)

    def test_a_full_disk(self, server):
        with client() as asking, pytest.raises(StorageFull, match="/dev/full: No space left on device; make room"):
            asking.get_file(server.url + FILE, Path("/dev/full"))
        assert server.requests_of(FILE) == 1


class TestUnchanged:
    @pytest.mark.parametrize("quirk", [[], ["unconditional"]])
    @pytest.mark.parametrize("since", [AT, LATER])
    def test_what_is_known_is_not_read_again(self, server, get, into, since, quirk):
        server.quirks[FILE] = list(quirk)
        assert get(since=since) is None
        assert into.read_bytes() == b""

    def test_what_was_modified_since_is(self, get, into):
        assert get(since=AT - timedelta(seconds=1)).modified_at == AT
        assert into.read_bytes() == BODY

    def test_the_question_is_in_gmt(self, server, get):
        get(since=AT.astimezone())
        assert server.seen[0].if_modified_since == "Sun, 01 Feb 2026 14:41:07 GMT"


class TestPoliteness:
    def test_never_more_requests_at_a_time_than_allowed(self, server, tmp_path):
        """Over clients and threads: as when several days of one source are fetched together."""
        server.delay_s = 0.01

        def fetch(day):
            with client(connections=3) as asking, ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda part: asking.get_file(server.url + FILE, tmp_path / f"{day}-{part}"), range(4)))

        with ThreadPoolExecutor(6) as days:
            list(days.map(fetch, range(6)))
        assert server.requests_of(FILE) == 24
        assert 1 < server.busiest <= 3

    def test_one_that_failed_makes_room(self, server, get):
        for _ in range(6):
            server.quirks[FILE] = [404]
            with pytest.raises(NotYetPublished):
                get()
