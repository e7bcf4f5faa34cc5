"""The Atom feed by which others find a region's CAP documents. Pure.

A document that was given stays as it is for ever; the feed lists it for some days more than it is in force, so that
nobody who looks now and then misses an end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lxml import etree

from lswarn.alerts.cap.document import xml_text

ATOM = "http://www.w3.org/2005/Atom"
CAP_TYPE = "application/cap+xml"

KEPT = timedelta(hours=48)
"""How long a document is listed once it is no longer in force."""


@dataclass(frozen=True)
class FeedEntry:
    """One document.

    Attributes:
        identifier: of the document; it never changes.
        title: headline. `summary`: a few sentences, or empty.
        sent_at: aware instant it was given. `expires_at`: when it loses force, or was followed by another.
        href: where the file lies, seen from the feed.
    """

    identifier: str
    title: str
    summary: str
    sent_at: datetime
    expires_at: datetime
    href: str


def to_feed(
    entries: Sequence[FeedEntry], *, feed_id: str, title: str, author: str, now: datetime, self_url: str = ""
) -> bytes:
    """The feed, newest first.

    An empty feed says nothing about the slopes: its subtitle says so.

    Args:
        entries: in any order; what lost force more than `KEPT` ago is left out.
        feed_id: IRI of the feed, for ever the same.
        now: aware instant; it is the feed's own date where nothing is listed.
        self_url: where the feed itself lies; left out where empty.
    """
    listed = sorted((each for each in entries if each.expires_at + KEPT > now), key=_age)[::-1]
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap={None: ATOM})
    _add(feed, "id", feed_id)
    _add(feed, "title", title)
    _add(feed, "subtitle", "Documents of the Common Alerting Protocol (CAP 1.2). An empty list is no all-clear.")
    _add(feed, "updated", _time(max((each.sent_at for each in listed), default=now)))
    _add(etree.SubElement(feed, f"{{{ATOM}}}author"), "name", author)
    if self_url:
        _add(feed, "link", rel="self", href=self_url, type="application/atom+xml")
    for each in listed:
        entry = etree.SubElement(feed, f"{{{ATOM}}}entry")
        # A bare identifier is no IRI, which Atom wants; one that is a URN already stays as it is.
        _add(entry, "id", each.identifier if each.identifier.startswith("urn:") else f"urn:lswarn:{each.identifier}")
        _add(entry, "title", each.title)
        _add(entry, "updated", _time(each.sent_at))
        _add(entry, "published", _time(each.sent_at))
        _add(entry, "link", rel="alternate", href=each.href, type=CAP_TYPE)
        _add(entry, "summary", each.summary or each.title)
    return etree.tostring(feed, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _age(entry: FeedEntry) -> tuple[datetime, str]:
    return entry.sent_at, entry.identifier


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _add(element: etree._Element, tag: str, text: str = "", **attributes: str) -> None:
    child = etree.SubElement(element, f"{{{ATOM}}}{tag}", {name: xml_text(value) for name, value in attributes.items()})
    child.text = xml_text(text) or None
