from datetime import UTC, datetime, timedelta

from lxml import etree

from lswarn.alerts.cap.feed import ATOM, KEPT, FeedEntry, to_feed

NOW = datetime(2026, 10, 6, 15, 30, 1, 5, tzinfo=UTC)


def entry(number: int, **facts: object) -> FeedEntry:
    known: dict[str, object] = {
        "identifier": f"lswarn.hills.{number}",
        "title": f"RED <{number}> & more",
        "summary": "",
        "sent_at": NOW - timedelta(hours=number),
        "expires_at": NOW + timedelta(hours=1),
        "href": f"lswarn.hills.{number}.xml",
    }
    return FeedEntry(**(known | facts))  # type: ignore[arg-type]


def feed(*entries: FeedEntry, **facts: str) -> etree._Element:
    known = {"feed_id": "urn:lswarn:hills", "title": "Hills", "author": "Survey"} | facts
    return etree.fromstring(to_feed(entries, now=NOW, **known))  # type: ignore[arg-type]


def texts(root: etree._Element, path: str) -> list[str]:
    return [str(each.text) for each in root.findall("/".join(f"{{{ATOM}}}{step}" for step in path.split("/")))]


def test_newest_first_with_what_atom_wants() -> None:
    root = feed(entry(3), entry(1), entry(2), self_url="https://example.org/cap.atom")
    assert texts(root, "entry/id") == [f"urn:lswarn:lswarn.hills.{number}" for number in (1, 2, 3)]
    assert texts(root, "updated") == ["2026-10-06T14:30:01Z"]
    assert texts(root, "entry/title")[0] == texts(root, "entry/summary")[0] == "RED <1> & more"
    assert (texts(root, "id"), texts(root, "title"), texts(root, "author/name")) == (
        ["urn:lswarn:hills"],
        ["Hills"],
        ["Survey"],
    )
    links = root.findall(f"{{{ATOM}}}entry/{{{ATOM}}}link")
    assert links[0].attrib == {"rel": "alternate", "href": "lswarn.hills.1.xml", "type": "application/cap+xml"}
    assert root.find(f"{{{ATOM}}}link").get("href") == "https://example.org/cap.atom"


def test_an_urn_stays_as_it_is() -> None:
    assert texts(feed(entry(1, identifier="urn:oid:2.49.0.1")), "entry/id") == ["urn:oid:2.49.0.1"]


def test_what_has_ended_stays_for_two_days() -> None:
    just, long_ago = NOW - KEPT + timedelta(seconds=1), NOW - KEPT
    root = feed(entry(1, expires_at=just), entry(2, expires_at=long_ago))
    assert texts(root, "entry/id") == ["urn:lswarn:lswarn.hills.1"]


def test_an_empty_feed_is_no_all_clear() -> None:
    root = feed()
    assert texts(root, "entry/id") == []
    assert texts(root, "updated") == ["2026-10-06T15:30:01Z"]
    assert "no all-clear" in texts(root, "subtitle")[0]


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert texts(feed(entry(1, title="a\x00b\ufffe", href="x\x01.xml")), "entry/title") == ["ab"]
