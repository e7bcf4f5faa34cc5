import json
import re
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.errors import SourceUnavailable
from lswarn.rain.listings import Place, in_page, in_search, search_address
from lswarn.rain.names import File

URL = "https://cmr.earthdata.nasa.gov/search/granules.json?short_name=GPM_3IMERGDL"
ARCHIVE = "https://data.gesdisc.earthdata.nasa.gov/data/GPM_L3/GPM_3IMERGDL.07"
REL = "http://esipfed.org/ns/fedsearch/1.1"
FILES = [File(re.compile(r"rain\.\d{8}\.(?P<version>V\d\d[A-Z])\.nc4"))]
NAME = "rain.20260131.V07C.nc4"
PAGE = "https://example.org/2026/01/"


def entry(href, *, updated="2026-02-01T14:41:07.123Z", rel=f"{REL}/data#", **more):
    return {"title": "x", "updated": updated, "links": [{"rel": rel, "href": href, **more}]}


def found(*entries):
    return in_search(json.dumps({"feed": {"entry": list(entries)}}), URL)


class TestPage:
    @pytest.mark.parametrize(
        "page",
        [
            f'<a href="{NAME}">{NAME}</a> <a href="{NAME}.xml">{NAME}.xml</a>',
            f"<tr><td><a href='./{NAME}'>rain.20260131.V0..&gt;</a></td><td>29M</td></tr>",
            f"/2026/01/{NAME}\n/2026/01/{NAME}.md5\n",
            f"-rw-r--r-- 1 ftp ftp 29000000 Feb 01 14:41 {NAME}",
            f"https://example.org/2026/01/{NAME}",
        ],
    )
    def test_a_name_however_it_is_written(self, page):
        assert in_page(page, PAGE, FILES) == {NAME: Place(NAME, PAGE + NAME)}

    def test_a_name_alone_lies_in_the_base(self):
        assert in_page(NAME, PAGE, FILES, base="https://example.org/files/")[NAME].address.endswith("/files/" + NAME)

    @pytest.mark.parametrize(
        "start", ["https://elsewhere.org/", "//elsewhere.org/", "http://example.org:81/", "ftp://x/"]
    )
    def test_what_lies_elsewhere_is_not_there(self, start):
        assert in_page(start + NAME, PAGE, FILES) == {}

    @given(st.text())
    def test_no_page_is_too_odd(self, page):
        assert in_page(page, PAGE, FILES) == {} or "rain." in page


class TestSearch:
    def test_a_granule_and_when_it_was_updated(self):
        at = datetime(2026, 2, 1, 14, 41, 7, 123000, UTC)
        assert found(entry(f"{ARCHIVE}/{NAME}")) == {NAME: Place(NAME, f"{ARCHIVE}/{NAME}", at)}

    @pytest.mark.parametrize(
        "other",
        [
            entry(f"{ARCHIVE}/{NAME}.xml"),
            entry(f"{ARCHIVE}/{NAME}.dmrpp"),
            entry(f"s3://gesdisc-cumulus-prod-protected/{NAME}"),
            entry(f"{ARCHIVE}/{NAME}", rel=f"{REL}/metadata#"),
            entry(f"{ARCHIVE}/", inherited=True),
            entry(f"{ARCHIVE}/{NAME}", inherited=True),
            {"title": "without links"},
        ],
    )
    def test_links_to_something_else(self, other):
        assert found(other) == {}

    @pytest.mark.parametrize(
        "start",
        [
            "https://example.org/",
            "https://nasa.gov.example.org/",
            "http://data.gesdisc.earthdata.nasa.gov/",
            "https://127.0.0.1/",
            "https://[/",
        ],
    )
    def test_where_our_account_is_not_to_be_shown(self, start):
        assert found(entry(start + NAME)) == {}

    def test_of_one_granule_twice_the_later(self):
        late, early = entry(f"{ARCHIVE}/late/{NAME}"), entry(f"{ARCHIVE}/{NAME}", updated="2026-02-01T09:00:00Z")
        for entries in ((late, early), (early, late), (late, entry(f"{ARCHIVE}/{NAME}", updated="soon"))):
            assert found(*entries)[NAME].address == f"{ARCHIVE}/late/{NAME}"

    @pytest.mark.parametrize(
        "answer", ["<html>down</html>", '{"errors": ["x"]}', "[]", '{"feed": {"entry": 3}}', "[" * 9999]
    )
    def test_what_is_no_answer(self, answer):
        with pytest.raises(SourceUnavailable, match="no answer to a search but"):
            in_search(answer, URL)

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["feed", "entry", "links", "rel", "href", "updated"]), inner, max_size=4
                )
            ),
        )
    )
    def test_no_answer_is_too_odd(self, content):
        for answer in (content, {"feed": {"entry": content}}, {"feed": {"entry": [{"links": content}]}}):
            with suppress(SourceUnavailable):
                in_search(json.dumps(answer), URL)

    def test_the_question_leaves_out_the_midnights(self):
        asked = search_address(URL, "GPM_3IMERGHHL", date(2026, 1, 31))
        assert asked.startswith(URL + "&")
        assert "temporal=2026-01-31T00:00:01Z,2026-01-31T23:59:59Z" in asked
