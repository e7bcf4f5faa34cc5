"""A message as a document of the Common Alerting Protocol (CAP 1.2, OASIS 2010): what it holds, and its XML. Pure.

`cap_of` puts a message into the protocol's terms, in every language the message is in; `to_xml` writes it down in the
order the protocol wants. Before a document leaves, `check.check` reads it as a stranger would, and `signature.sign`
puts a seal on it where there is a key. Nothing here is ever called observed: a model saw nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from lxml import etree
from shapely.geometry.base import BaseGeometry

from lswarn.alerts.cap.polygons import Ring, inside, outward_rings
from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import Kind, Level
from lswarn.alerts.words import name_of, one_line
from lswarn.errors import CapError
from lswarn.sections import Cap

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"

LANDSLIDE = "OET-119"
"""Code of a landslide among the OASIS event terms, version 1.2."""

ENDED_H, RAIN_MISSING_H = 24.0, 48.0
"""Hours that the end of a warning stays in force, and that rain is missing: the next day says more."""

_HEADLINE_CHARS = 160
_EVENTS = {"en": "Landslide", "es": "Deslizamiento de tierra"}
_RAIN_MISSING = {
    "en": "Landslide warning service: rain data missing",
    "es": "Servicio de avisos por deslizamientos: faltan datos de lluvia",
}
_OUTLINES = (
    "Outlines are simplified outwards and have no holes: they hold more ground than the zones of very high class."
)


@dataclass(frozen=True)
class CapReference:
    """An earlier document that this one follows.

    Attributes:
        sent: as it stood in that document, byte for byte.
    """

    sender: str
    identifier: str
    sent: str


@dataclass(frozen=True)
class CapArea:
    """Where.

    Attributes:
        description: for people.
        rings: closed outlines, each of (latitude, longitude) pairs in degrees, WGS 84, latitude first.
        geocodes: system and value.
    """

    description: str
    rings: tuple[Ring, ...] = ()
    geocodes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CapInfo:
    """What is said, in one language; all of an alert state the same facts.

    Attributes:
        categories, response_types, urgency, severity, certainty: words of the protocol.
        event_codes, parameters: name and value.
        effective_at, onset_at, expires_at: aware instants; an onset of None is left out.
        sender_name, instruction, contact: left out where empty.
    """

    language: str
    event: str
    response_types: tuple[str, ...]
    urgency: str
    severity: str
    certainty: str
    event_codes: tuple[tuple[str, str], ...]
    effective_at: datetime
    onset_at: datetime | None
    expires_at: datetime
    sender_name: str
    headline: str
    description: str
    instruction: str
    contact: str
    parameters: tuple[tuple[str, str], ...]
    areas: tuple[CapArea, ...]
    categories: tuple[str, ...] = ("Geo",)


@dataclass(frozen=True)
class CapAlert:
    """One document.

    Attributes:
        identifier, sender: without blanks, commas, `<` and `&`.
        sent_at: aware instant; a document tells it to the second.
        status: `Draft`, `Actual`, `Test` or `Exercise`.
        msg_type: `Alert`, `Update` or `Cancel`; the last two name what they follow in `references`.
        scope: `Restricted` (with a `restriction`), `Public`, or `Private`.
        note: for whoever passes the document on; empty for none.
    """

    identifier: str
    sender: str
    sent_at: datetime
    status: str
    msg_type: str
    scope: str
    restriction: str
    note: str
    references: tuple[CapReference, ...]
    infos: tuple[CapInfo, ...]

    @property
    def sent(self) -> str:
        """When it was sent, as the document has it and as later ones quote it."""
        return cap_time(self.sent_at)

    @property
    def reference(self) -> CapReference:
        """How later documents point to this one."""
        return CapReference(self.sender, self.identifier, self.sent)

    @property
    def expires_at(self) -> datetime:
        """When it loses force by itself."""
        return max(info.expires_at for info in self.infos)


def cap_time(at: datetime) -> str:
    """An instant as the protocol writes it: whole seconds, and UTC as `-00:00`.

    Raises:
        ValueError: the instant knows no zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at} is no instant: its zone is missing")
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}-00:00"


def identifier_of(rules: Cap, region: str, message_id: int, sent_at: datetime) -> str:
    """Name of a document, for ever: who, where, when, and which message.

    Args:
        message_id: database key, which tells apart what is sent within one second.
    """
    at = sent_at.astimezone(UTC)
    if rules.oid:
        return f"urn:oid:{rules.oid}.{at.year}.{at.month}.{at.day}.{at.hour}.{at.minute}.{at.second}.{message_id}"
    return f"lswarn.{re.sub('[^A-Za-z0-9_-]', '-', region)}.{at:%Y%m%dT%H%M%S}.{message_id}"


def cap_of(
    message: AlertMessage,
    rules: Cap,
    *,
    identifier: str,
    sent_at: datetime,
    area: BaseGeometry,
    zones: BaseGeometry | None = None,
    references: Sequence[CapReference] = (),
    run_id: int | None = None,
) -> CapAlert:
    """Put a message into the protocol's terms; everything it says is taken from the message itself.

    It is an Alert where it follows nothing, else an Update; a withdrawn warning is a Cancel. The end of an alert is an
    Update whose response is AllClear. A test or exercise is marked as such whatever the rules say, and what rests on
    made-up data is never Actual or Public.

    Args:
        identifier: from `identifier_of`. sent_at: aware instant of release.
        area: warning area of the message, or all of them where rain is missing; EPSG:4326.
        zones: of very high class, EPSG:4326; only what lies in `area` counts. Without any, the whole area is meant.
        references: earlier documents of the same alert that have not expired.
        run_id: the run it rests on; None where there is none.

    Raises:
        CapError: a warning is withdrawn that no document ever gave; the message was not written by `compose`.
    """
    data: dict[str, Any] = dict(message.payload.get("data") or {})  # type: ignore[call-overload]
    if "languages" not in data:
        raise CapError(f"message {message.subject!r} was written by an older lswarn: it has no words for CAP")
    withdrawn = bool(data.get("withdrawn"))
    if withdrawn and not references:
        raise CapError(f"{identifier}: nothing to cancel, no CAP document was ever given for this warning")
    status = {"test": "Test", "exercise": "Exercise"}.get(message.status, rules.status)
    if data["made"] and status == "Actual":
        status = "Test"
    scope = "Restricted" if data["made"] else rules.scope
    there = area if zones is None else inside(zones, area)
    by_zones = zones is not None and not there.is_empty
    known_as = data.get("area") or {"id": data["region"], "name": data["title"]}
    where = CapArea(
        name_of(known_as["name"]) or known_as["id"],
        outward_rings(there if by_zones else area),
        (("lswarn:warning_area" if "area" in data else "lswarn:region", known_as["id"]),),
    )
    words: Mapping[str, Mapping[str, str]] = data["languages"]
    remarks = [words["en"]["drill"], words["en"]["made"], _OUTLINES if by_zones else ""]
    return CapAlert(
        identifier,
        rules.sender,
        sent_at,
        status,
        "Cancel" if withdrawn else "Update" if references else "Alert",
        scope,
        rules.restriction if scope == "Restricted" else "",
        " ".join(part for part in remarks if part),
        tuple(references),
        tuple(_info(language, message, data, rules, sent_at, where, run_id) for language in words),
    )


def _info(
    language: str,
    message: AlertMessage,
    data: Mapping[str, Any],
    rules: Cap,
    sent_at: datetime,
    where: CapArea,
    run_id: int | None,
) -> CapInfo:
    said = data["languages"][language]
    missing, ended = message.kind is Kind.DATA_MISSING, message.level is Level.NONE
    starts_at = datetime.combine(message.valid_day, time(), UTC)
    in_force = timedelta(hours=min(rules.expires_h, RAIN_MISSING_H if missing else ENDED_H if ended else float("inf")))
    # What is ahead does not lapse before it has come.
    expires_at = max(sent_at + in_force, starts_at + timedelta(days=1) if message.lead_days else sent_at)
    headline = f"{said['headline']}: {said['place']}"
    return CapInfo(
        language=language,
        event=(_RAIN_MISSING if missing else _EVENTS).get(language, _EVENTS["en"]),
        response_types=_responses(message, bool(data.get("withdrawn"))),
        urgency=_urgency(message, sent_at, starts_at),
        severity="Unknown" if missing else {Level.RED: "Extreme", Level.ORANGE: "Severe"}.get(message.level, "Minor"),
        certainty="Unknown" if missing else _certainty(message, data),
        event_codes=() if missing else (("OET:v1.2", LANDSLIDE),),
        effective_at=sent_at,
        onset_at=max(starts_at, sent_at) if message.lead_days else None,
        expires_at=expires_at,
        sender_name=one_line(rules.sender_name),
        headline=headline if len(headline) <= _HEADLINE_CHARS else headline[: _HEADLINE_CHARS - 1] + "…",
        description="\n\n".join(part for part in (said["remark"], said["description"]) if part),
        instruction=said["instruction"],
        contact=rules.contact,
        parameters=tuple((f"lswarn:{name}", _told(value)) for name, value in _parameters(message, data, run_id)),
        areas=(where,),
        categories=("Infra",) if missing else ("Geo",),
    )


def _responses(message: AlertMessage, withdrawn: bool) -> tuple[str, ...]:
    """What is asked of people; whether to shelter or leave is not for a model to say."""
    if message.kind is Kind.DATA_MISSING:
        return ("Monitor",)
    if withdrawn:
        return ("Assess",)
    return {Level.RED: ("Prepare", "Monitor"), Level.ORANGE: ("Monitor",)}.get(message.level, ("AllClear",))


def _urgency(message: AlertMessage, sent_at: datetime, starts_at: datetime) -> str:
    if message.kind is Kind.DATA_MISSING:
        return "Unknown"
    if message.level is Level.NONE:
        return "Past"
    if not message.lead_days:
        return "Immediate"
    return "Expected" if starts_at - sent_at < timedelta(days=1) else "Future"


def _certainty(message: AlertMessage, data: Mapping[str, Any]) -> str:
    """Likely only where a calibrated probability above one half rests on rain that has fallen and was measured."""
    probability = data["probability_max"]
    if message.level is Level.NONE:
        return "Possible"
    if probability is None:
        return "Unknown"
    return "Likely" if probability > 0.5 and not message.lead_days and data["rain"]["grade"] != "E" else "Possible"


def _parameters(message: AlertMessage, data: Mapping[str, Any], run_id: int | None) -> Iterator[tuple[str, object]]:
    """For programs, by name; None is unknown."""
    rain = data["rain"]
    products = dict.fromkeys(f"{day['product']} {day['version']}" for day in rain["days"])
    yield "level", message.level.name if message.kind is not Kind.DATA_MISSING else None
    yield "valid_day", message.valid_day
    yield "lead_days", message.lead_days
    yield "run_id", run_id
    yield "model_version", data["model_id"] or None
    yield "rain_products", ", ".join(products) or None
    yield "rain_age_h", rain["age_h"]
    yield "rain_grade", rain["grade"]
    yield "completeness", "complete" if rain["complete"] else "incomplete"
    yield "rain_mm", rain["r7_max_mm"]
    yield "critical_mm", rain["critical_mm"]
    yield "prob_max", data.get("probability_max")
    # Of a withdrawn warning, as of missing rain, nobody has counted what is hit now.
    counted = "roads" in data and not data["withdrawn"]
    yield "roads_km", round(sum(road["length_m"] for road in data["roads"]) / 1000, 3) if counted else None
    yield "settlements", len(data["settlements"]) if counted else None
    yield "population", data["people"] if counted else None
    yield "approval_status", data["approval"]


def _told(value: object) -> str:
    return "unknown" if value is None else str(value)


def to_xml(alert: CapAlert) -> bytes:
    """The document, in the protocol's order of elements. What XML cannot hold is left out."""
    root = etree.Element(f"{{{NAMESPACE}}}alert", nsmap={None: NAMESPACE})
    _add(root, "identifier", alert.identifier)
    _add(root, "sender", alert.sender)
    _add(root, "sent", alert.sent)
    _add(root, "status", alert.status)
    _add(root, "msgType", alert.msg_type)
    _add(root, "source", "lswarn")
    _add(root, "scope", alert.scope)
    _add(root, "restriction", alert.restriction)
    _add(root, "note", alert.note)
    _add(root, "references", " ".join(f"{each.sender},{each.identifier},{each.sent}" for each in alert.references))
    for info in alert.infos:
        _add_info(etree.SubElement(root, f"{{{NAMESPACE}}}info"), info)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def xml_text(text: str) -> str:
    """What of a text XML can hold."""
    return _NOT_XML.sub("", text)


def _add_info(element: etree._Element, info: CapInfo) -> None:
    _add(element, "language", info.language)
    _add(element, "category", *info.categories)
    _add(element, "event", info.event)
    _add(element, "responseType", *info.response_types)
    _add(element, "urgency", info.urgency)
    _add(element, "severity", info.severity)
    _add(element, "certainty", info.certainty)
    _add_pairs(element, "eventCode", info.event_codes)
    _add(element, "effective", cap_time(info.effective_at))
    _add(element, "onset", cap_time(info.onset_at) if info.onset_at else "")
    _add(element, "expires", cap_time(info.expires_at))
    _add(element, "senderName", info.sender_name)
    _add(element, "headline", info.headline)
    _add(element, "description", info.description)
    _add(element, "instruction", info.instruction)
    _add(element, "contact", info.contact)
    _add_pairs(element, "parameter", info.parameters)
    for area in info.areas:
        child = etree.SubElement(element, f"{{{NAMESPACE}}}area")
        _add(child, "areaDesc", area.description)
        _add(child, "polygon", *(" ".join(f"{lat:.5f},{lon:.5f}" for lat, lon in ring) for ring in area.rings))
        _add_pairs(child, "geocode", area.geocodes)


def _add_pairs(element: etree._Element, tag: str, pairs: Sequence[tuple[str, str]]) -> None:
    for name, value in pairs:
        child = etree.SubElement(element, f"{{{NAMESPACE}}}{tag}")
        _add(child, "valueName", name)
        _add(child, "value", value)


def _add(element: etree._Element, tag: str, *texts: str) -> None:
    """One element a text; what is empty is left out."""
    for text in texts:
        if kept := xml_text(text):
            etree.SubElement(element, f"{{{NAMESPACE}}}{tag}").text = kept


_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
