"""What a server says is there: a folder's page, or the answer to a granule search (CMR). Pure.

Both are foreign text. A name counts only where it is one that was looked for, an address only where it lies on the
server that was asked, or on a kindred one of the search's.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from lswarn.errors import SourceUnavailable
from lswarn.rain.accounts import same_server, server_of
from lswarn.rain.names import File

MOST_GRANULES = 500  # 48 half hours of a few versions; CMR gives 10 unless asked
SIDECARS = (".xml", ".dmrpp", ".s3", ".html", ".md5", ".png", ".jpg")


@dataclass(frozen=True)
class Place:
    """A file that is there.

    Attributes:
        name: its own name.
        address: where its bytes are: an http(s) address, or a path.
        updated_at: aware instant of its latest change, where the search says it; else None.
    """

    name: str
    address: str
    updated_at: datetime | None = None


def in_page(page: str, url: str, files: Collection[File], *, base: str | None = None) -> dict[str, Place]:
    """The files wanted that stand in a folder's page, HTML or plain text, by name.

    Args:
        url: address of the page, with a slash at its end.
        base: where files lie that stand there by name alone; `url` if left out.
    """
    found: dict[str, Place] = {}
    for token in dict.fromkeys(re.findall(r"[\w.+:/%~-]+", page)):
        name = token.rpartition("/")[2]
        if name in found or not any(file.pattern.fullmatch(name) for file in files):
            continue
        address = urljoin(url if "/" in token else base or url, token)
        if _lies_on(address, url):
            found[name] = Place(name, address)
    return found


def search_address(at: str, short_name: str, day: date) -> str:
    """Address of a search for the granules of a UTC day, of all versions of their collection."""
    temporal = f"{day}T00:00:01Z,{day}T23:59:59Z"  # not the midnights, where the days around it touch it
    asked = urlencode({"short_name": short_name, "temporal": temporal, "page_size": MOST_GRANULES}, safe=":,")
    return f"{at}{'&' if urlsplit(at).query else '?'}{asked}"


def in_search(answer: str, url: str) -> dict[str, Place]:
    """The data files that a granule search found, by name; of one found twice, the one that was updated last.

    Raises:
        SourceUnavailable: it is not the answer to a search.
    """
    try:
        entries = json.loads(answer)["feed"]["entry"]
        links = [(entry, link) for entry in entries for link in entry.get("links", ())]
        offered = [(_updated_at(entry), str(link["href"])) for entry, link in links if _is_data(link)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        start = " ".join(answer.split())[:120]
        raise SourceUnavailable(f"{url}: no answer to a search but {start!r}; is rain.sources.at right?") from error
    found: dict[str, Place] = {}
    for updated_at, address in sorted(offered, key=lambda each: each[0] or datetime.min.replace(tzinfo=UTC)):
        name = address.partition("?")[0].rpartition("/")[2]
        if name and _is_kindred(address, url):
            found[name] = Place(name, address, updated_at)
    return found


def _is_data(link: Mapping[str, Any]) -> bool:
    href = str(link["href"]).lower()
    whole = not href.partition("?")[0].endswith(SIDECARS) and not link.get("inherited", False)
    return whole and str(link.get("rel", "")).endswith("/data#") and href.startswith(("https://", "http://"))


def _updated_at(entry: Mapping[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(entry["updated"]))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _lies_on(address: str, url: str) -> bool:
    try:
        return same_server(url, address)
    except ValueError:
        return False


def _is_kindred(address: str, url: str) -> bool:
    """Whether the search may send us, and what we show, to this server: its own, or one of the same organisation."""
    try:
        server_of(address)
    except ValueError:
        return False
    if _lies_on(address, url):
        return True
    if urlsplit(url).scheme == "https" and urlsplit(address).scheme != "https":
        return False
    one, other = (urlsplit(each).hostname or "" for each in (url, address))
    if _is_number(one) or _is_number(other):
        return one == other
    return one.split(".")[-2:] == other.split(".")[-2:]


def _is_number(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False
