"""What NASA's Common Metadata Repository answers when it is asked for granules. Pure.

Files are found by the folder of their collection, such as `…/GPM_3IMERGDL.07/…`, and by the times in their names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MOST_PAGE = 2000
PAGE = 10
"""Granules in an answer, if the question names no number."""
_REL = "http://esipfed.org/ns/fedsearch/1.1"
_TIMES = re.compile(r"\.(\d{8})-S(\d{6})-E(\d{6})\.")


@dataclass(frozen=True)
class Answer:
    """Status, JSON and how many granules there are on all pages together."""

    status: int
    content: dict[str, object]
    hits: int = 0


@dataclass(frozen=True)
class _Granule:
    path: str
    collection: str
    name: str
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime


def granules_json(files: Mapping[str, datetime], query: Mapping[str, str], url: str) -> Answer:
    """The answer to `/search/granules.json`.

    Args:
        files: path → instant of publication of what is out.
        query: `short_name`, and if wished `version`, `temporal` (begin,end), `page_size`, `page_num`.
        url: root address of the host that serves the files.
    """
    if not query.get("short_name"):
        return _refusal("The CMR does not allow querying across granules in all collections")
    try:
        begins_at, ends_at = _temporal(query.get("temporal", ","))
        size, page = int(query.get("page_size", PAGE)), int(query.get("page_num", 1))
    except ValueError as error:
        return _refusal(f"a parameter is not valid: {error}")
    if not 0 <= size <= MOST_PAGE or page < 1:
        return _refusal(f"page_size must be a number between 0 and {MOST_PAGE}")
    found = [
        granule
        for granule in _granules(files, query["short_name"], query.get("version"))
        if granule.starts_at <= ends_at and granule.ends_at >= begins_at
    ]
    entries = [_entry(granule, url) for granule in found[size * (page - 1) : size * page]]
    feed = {"updated": "2026-01-01T00:00:00.000Z", "id": f"{url}/search/granules.json", "entry": entries}
    return Answer(200, {"feed": feed | {"title": "ECHO granule metadata"}}, len(found))


def _refusal(why: str) -> Answer:
    return Answer(400, {"errors": [why]})


def _temporal(text: str) -> tuple[datetime, datetime]:
    begin, _, end = text.partition(",")
    return _instant(begin, datetime.min.replace(tzinfo=UTC)), _instant(end, datetime.max.replace(tzinfo=UTC))


def _instant(text: str, otherwise: datetime) -> datetime:
    if not text:
        return otherwise
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _granules(files: Mapping[str, datetime], short_name: str, version: str | None) -> Iterable[_Granule]:
    for path in sorted(files):
        *folders, name = path.split("/")
        times = _TIMES.search(name)
        collection = next((f for f in folders if f == f"{short_name}.{version or f.rpartition('.')[2]}"), None)
        if collection and times:
            day, start, end = times.groups()
            starts_at, ends_at = (datetime.strptime(day + t, "%Y%m%d%H%M%S").replace(tzinfo=UTC) for t in (start, end))
            yield _Granule(path, collection, name, starts_at, ends_at + timedelta(milliseconds=999), files[path])


def _entry(granule: _Granule, url: str) -> dict[str, object]:
    """One granule, with all the links that lead elsewhere than to its bytes."""
    at_nasa = "https://data.gesdisc.earthdata.nasa.gov/data/GPM_L3"
    links: list[dict[str, object]] = [
        {"rel": f"{_REL}/data#", "title": f"Download {granule.name}", "href": f"{url}/{granule.path}"},
        {"rel": f"{_REL}/data#", "href": f"{url}/{granule.path}.dmrpp"},
        {"rel": f"{_REL}/data#", "href": f"{url}/{granule.path}.xml"},
        {"rel": f"{_REL}/s3#", "href": f"s3://gesdisc-cumulus-prod-protected/{granule.path}"},
        {"rel": f"{_REL}/metadata#", "href": f"{url}/{granule.path}.xml"},
        {"rel": f"{_REL}/service#", "href": f"https://opendap.earthdata.nasa.gov/{granule.path}"},
        # Links of the whole collection, which CMR repeats with every granule.
        {"rel": f"{_REL}/data#", "inherited": True, "href": f"{at_nasa}/{granule.collection}/"},
        {"rel": f"{_REL}/documentation#", "inherited": True, "href": "https://gpm.nasa.gov/"},
    ]
    return {
        "id": f"G{sum(granule.path.encode())}-GES_DISC",
        "title": f"{granule.collection}:{granule.name}",
        "producer_granule_id": granule.name,
        "time_start": f"{granule.starts_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "time_end": f"{granule.ends_at:%Y-%m-%dT%H:%M:%S}.999Z",
        "updated": f"{granule.updated_at:%Y-%m-%dT%H:%M:%S}.000Z",
        "data_center": "GES_DISC",
        "online_access_flag": True,
        "links": [link | {"hreflang": "en-US"} for link in links],
    }
