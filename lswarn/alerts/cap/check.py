"""Whether a CAP document keeps to the protocol, asked of the finished bytes as a stranger would. Pure.

The form (which elements, in what order, how often, what they may hold) is `cap12.xsd`, written for lswarn from the text
of the protocol; the rest is asked here, and with it what we demand of ourselves: a document always expires, and no
model has ever observed anything.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from lxml import etree
from shapely.geometry import Polygon

from lswarn.alerts.cap.document import NAMESPACE
from lswarn.errors import CapError

_CAP = f"{{{NAMESPACE}}}"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def check(xml: bytes) -> None:
    """Let a document pass that keeps to the protocol.

    Raises:
        CapError: it does not; every fault is named, with its line.
    """
    try:
        root = etree.fromstring(xml, _PARSER)
    except etree.XMLSyntaxError as error:
        raise CapError(f"not a CAP document: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise CapError("not a CAP document: it brings a document type of its own")
    form = _form()
    if not form.validate(root):
        raise CapError("\n".join(f"CAP document, line {fault.line}: {fault.message}" for fault in form.error_log))
    if faults := [*_of_alert(root), *(fault for info in root.iter(f"{_CAP}info") for fault in _of_info(root, info))]:
        name = _text(root, "identifier")
        raise CapError("\n".join(f"CAP document {name}: {fault}" for fault in faults))


@cache
def _form() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(Path(__file__).parent / "cap12.xsd"))


def _of_alert(root: etree._Element) -> Iterator[str]:
    status, kind, scope = (_text(root, name) for name in ("status", "msgType", "scope"))
    for wanted, needs in (("Restricted", "restriction"), ("Private", "addresses")):
        if (scope == wanted) != bool(_text(root, needs)):
            yield f"{needs} goes with scope {wanted}, and with no other"
    if kind in ("Update", "Cancel") and not _text(root, "references"):
        yield f"{kind} of what? There are no references"
    if kind == "Alert" and _text(root, "references"):
        yield "an Alert is the first of its kind; what follows others is an Update"
    if scope == "Public" and status == "Draft":
        yield "a Draft is not for the public"
    itself = (_text(root, "sender"), _text(root, "identifier"))
    if itself in (tuple(each.split(",")[:2]) for each in _text(root, "references").split()):
        yield "it refers to itself"
    languages = [_text(info, "language") or "en-US" for info in root.iter(f"{_CAP}info")]
    if not languages:
        yield "nothing is said: there is no info"
    if len(set(languages)) < len(languages):
        yield "a language is there twice"


def _of_info(root: etree._Element, info: etree._Element) -> Iterator[str]:
    """What one info says must hold together, and with the others."""
    language = _text(info, "language")
    sent_at = datetime.fromisoformat(_text(root, "sent"))
    expires = _text(info, "expires")
    if not expires:
        yield f"{language}: it never expires"
    for name in ("sent", "effective", "onset"):
        at = _text(root if name == "sent" else info, name)
        if at and expires and datetime.fromisoformat(expires) <= datetime.fromisoformat(at):
            yield f"{language}: it expires at {expires}, not after {name} {at}"
        if at and datetime.fromisoformat(at) < sent_at:
            yield f"{language}: {name} {at} lies before it is sent"
    if _text(info, "certainty") == "Observed":
        yield f"{language}: a model observes nothing"
    first = next(root.iter(f"{_CAP}info"))
    if _facts(info) != _facts(first):
        yield f"{language}: other facts than in {_text(first, 'language')}"
    areas = info.findall(f"{_CAP}area")
    if not areas:
        yield f"{language}: nobody knows where"
    for area in areas:
        for polygon in area.findall(f"{_CAP}polygon"):
            yield from (f"{language}: outline {fault}" for fault in _of_outline(str(polygon.text)))


def _of_outline(text: str) -> Iterator[str]:
    points = [(float(lon), float(lat)) for lat, lon in (pair.split(",") for pair in text.split())]
    if points[0] != points[-1]:
        yield "is not closed"
    elif any(abs(lon) > 180 or abs(lat) > 90 for lon, lat in points):
        yield "lies off the earth: latitude comes first"
    elif not Polygon(points).is_valid:
        yield "crosses itself"


_SAME = ("category", "responseType", "urgency", "severity", "certainty", "effective", "onset", "expires")


def _facts(info: etree._Element) -> list[bytes | tuple[str, str]]:
    """What must not depend on the language."""
    plain: list[bytes | tuple[str, str]] = [(name, _text(info, name)) for name in _SAME]
    pairs = (each for name in ("eventCode", "parameter", "area") for each in info.findall(_CAP + name))
    return plain + [etree.tostring(each, method="c14n") for each in pairs]


def _text(element: etree._Element, name: str) -> str:
    return " ".join(str(each.text or "") for each in element.findall(_CAP + name))
