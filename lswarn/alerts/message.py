"""How a warning reads: plain text, HTML with a map, and JSON, in every language at once. Pure.

A message holds all that any channel says, so that what is released later, after a person has looked at it, is what was
written when the day was worked out. The words themselves are in `words` and its templates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from lswarn.alerts.briefing import Briefing, Standing
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level
from lswarn.alerts.words import (
    LANGUAGES,
    Words,
    as_html,
    as_text,
    known,
    one_line,
    remark,
    remarked_html,
    remarked_text,
    say,
)

LISTED = 12
"""So many roads, and so many settlements, are listed in a mail; the rest is added up. A webhook gets all."""

LEVEL_COLOURS = {Level.NONE: "#1d6b45", Level.ORANGE: "#c04f00", Level.RED: "#a8071a"}
"""Bar behind a mail's headline (white on each is readable); NONE is an alert that ended."""

DATA_MISSING_COLOUR = "#454b66"
"""Of a mail about missing rain or a withdrawn warning: no level's colour, least of all that of an all-clear."""


@dataclass(frozen=True)
class Translation:
    """A message in another language than English: `subject` is one line, `text` and `html` are the bodies."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class AlertMessage:
    """One message, ready to be queued.

    Attributes:
        area_id: warning area; None for a message about the whole region (DATA_MISSING).
        kind, level, valid_day: what it says, how bad, of which day.
        subject: one line. `text`, `html`: the bodies; all three in English. `payload`: what a webhook gets.
        map_png: picture shown in the HTML as `cid:map`; empty where there is none.
        lead_days: how far ahead the day lies of an outlook's message; else 0.
        status: `actual`, `test` or `exercise`.
        translations: the same in the other languages, by language.
    """

    area_id: str | None
    kind: Kind
    level: Level
    valid_day: date
    subject: str
    text: str
    html: str
    payload: dict[str, object] = field(default_factory=dict)
    map_png: bytes = b""
    lead_days: int = 0
    status: str = "actual"
    translations: Mapping[str, Translation] = field(default_factory=dict)

    def in_language(self, language: str) -> "AlertMessage":
        """The message with its subject and bodies in a language; in English where it was not written in that one."""
        return replace(self, **vars(self.translations[language])) if language in self.translations else self


@dataclass(frozen=True)
class Places:
    """Roads, or settlements, in the order they are named."""

    hits: tuple[Hit, ...]

    def __len__(self) -> int:
        return len(self.hits)

    @property
    def listed(self) -> tuple[Hit, ...]:
        """Those a mail names; `rest` are those it adds up."""
        return self.hits[:LISTED]

    @property
    def rest(self) -> "Places":
        """Those a mail adds up."""
        return Places(self.hits[LISTED:])

    @property
    def length_m(self) -> float:
        """Of road, together."""
        return sum(hit.length_m for hit in self.hits)

    @property
    def people(self) -> int:
        """Living in those of known population."""
        return sum(hit.people or 0 for hit in self.hits)

    @property
    def uncounted(self) -> int:
        """How many are of unknown population."""
        return sum(hit.people is None for hit in self.hits)


def compose(change: AlertChange, briefing: Briefing, map_png: bytes = b"") -> AlertMessage:
    """Put one area's change into words.

    Args:
        change: what the policy decided; its names may hold anything. A warning that is taken back ends by a CLEAR.
        briefing: with `area_name` and `opened_on`, and `withdrawn_by` where it is taken back.
        map_png: picture for the HTML mail; empty for none.
    """
    b = _tidy(briefing)
    hits = [replace(hit, name=one_line(hit.name), ref=one_line(hit.ref)) for hit in change.hits]
    stretches = sorted((hit for hit in hits if hit.asset == "road"), key=lambda h: (-h.length_m, h.asset_id))
    roads = Places(_joined(stretches, change.new))
    # Unknown population first: nobody knows how many people that is.
    by_people = sorted(hits, key=lambda h: (h.people is not None, -(h.people or 0), h.asset_id))
    settlements = Places(tuple(hit for hit in by_people if hit.asset != "road"))
    probability = max((p for hit in hits if (p := known(hit.probability_max)) is not None), default=None)
    new = change.new & {hit.key for hit in (*roads.hits, *settlements.hits)}
    facts = {"change": change, "new": new, "roads": roads, "settlements": settlements, "probability": probability}
    data: dict[str, object] = {
        "area": {"id": change.area_id, "name": b.area_name},
        "level": change.after.name,
        "level_before": change.before.name,
        "opened_on": b.opened_on,
        "confirmed": change.confirmed,
        "withdrawn": {"by": b.withdrawn_by, "reason": b.reason} if b.withdrawn_by else None,
        "roads": [_facts(hit, change, "name", "ref", "length_m") for hit in stretches],
        "settlements": [_facts(hit, change, "name", "people") for hit in settlements.hits],
        "people": None if settlements.uncounted else settlements.people,
        "missed": [{"asset": hit.asset, "id": hit.asset_id, "name": one_line(hit.name)} for hit in change.missed],
        "probability_max": probability,
    }
    return _message(change.area_id, change.kind, change.after, b, _in_all("alert", b, facts), data, map_png)


def _joined(stretches: Sequence[Hit], new: frozenset[str]) -> tuple[Hit, ...]:
    """Roads as people speak of them: what has one name and number is one road, in however many pieces it is mapped."""
    roads: dict[tuple[str, str], list[Hit]] = {}
    for hit in stretches:
        roads.setdefault((hit.name, hit.ref) if hit.name or hit.ref else ("", hit.key), []).append(hit)
    joined = []
    for parts in roads.values():
        first = next((hit for hit in parts if hit.key in new), parts[0])
        highest = max(hit.probability_max for hit in parts)
        joined.append(replace(first, length_m=sum(hit.length_m for hit in parts), probability_max=highest))
    return tuple(sorted(joined, key=lambda h: (-h.length_m, h.asset_id)))


def compose_data_missing(briefing: Briefing, standing: Sequence[Standing] = ()) -> AlertMessage:
    """Say that rain is missing, which warnings stay in force, and that this is no all-clear."""
    b = _tidy(briefing)
    in_force = sorted(standing, key=lambda s: (-s.level, s.area_name))
    words = _in_all("data_missing", b, {"standing": in_force})
    rows = [{"area": s.area_name, "level": s.level.name, "opened_on": s.opened_on} for s in in_force]
    return _message(None, Kind.DATA_MISSING, Level.NONE, b, words, {"in_force": rows}, b"")


def with_approval(message: AlertMessage, approval: str, by: str = "") -> AlertMessage:
    """The same message, saying who let it out: in every language, and to programs.

    Args:
        approval: `approved` (by somebody) or `timed_out` (nobody looked in time, and it goes out all the same).
        by: name of the person; may hold anything.
    """
    said = {"en": Translation(message.subject, message.text, message.html), **message.translations}
    data: dict[str, Any] = dict(message.payload["data"])  # type: ignore[call-overload]
    data |= {"approval": approval, "approved_by": one_line(by), "languages": dict(data["languages"])}
    for language, each in said.items():
        mark, sentence = remark(language, approval=approval, by=one_line(by))
        said[language] = Translation(
            mark + each.subject, remarked_text(each.text, sentence), remarked_html(each.html, sentence)
        )
        data["languages"][language] = data["languages"][language] | {"subject": mark + each.subject, "remark": sentence}
    return replace(message, **vars(said.pop("en")), translations=said, payload=message.payload | {"data": data})


def _in_all(template: str, b: Briefing, facts: Mapping[str, object]) -> dict[str, Words]:
    return {language: say(template, language, b, **facts) for language in LANGUAGES}


def _message(
    area_id: str | None,
    kind: Kind,
    level: Level,
    b: Briefing,
    words: Mapping[str, Words],
    data: dict[str, object],
    map_png: bytes,
) -> AlertMessage:
    odd = kind is Kind.DATA_MISSING or bool(b.withdrawn_by)
    colour = DATA_MISSING_COLOUR if odd else LEVEL_COLOURS[level]
    rain = {
        "grade": b.grade,
        "complete": b.complete,
        "age_h": round(b.rain_age_h, 2),
        "days": [asdict(day) for day in b.rain],
        "missing": b.missing,
        "measure": b.measure,
        "r7_max_mm": known(b.r7_max_mm),
        "forecast_mm": known(b.forecast_mm),
        "lower_bound": b.lower_bound,
        "beyond_model": b.beyond_model,
        "critical_mm": known(b.critical_mm),
        "critical_source": b.critical_source,
    }
    english = words["en"]
    data |= {"region": b.region, "title": b.title, "made": b.made, "official": False, "valid_day": b.valid_day}
    data |= {"lead_days": b.lead_days, "status": b.status, "approval": "auto", "approved_by": ""}
    data |= {"headline": english.headline, "summary": english.summary, "rain": rain, "model_id": b.model_id}
    data |= {"languages": {language: _brief(said) for language, said in words.items()}}
    what = "outlook" if b.lead_days else "warning"
    payload = {"type": f"landslide_{what}.{kind}", "timestamp": b.issued_at, "data": data}
    bodies = {
        language: Translation(said.subject, as_text(said), as_html(said, colour=colour, has_map=bool(map_png)))
        for language, said in words.items()
    }
    return AlertMessage(
        area_id,
        kind,
        level,
        b.valid_day,
        **vars(bodies.pop("en")),
        payload=json.loads(json.dumps(payload, default=_iso, allow_nan=False)),
        map_png=map_png,
        lead_days=b.lead_days,
        status=b.status,
        translations=bodies,
    )


def _brief(said: Words) -> dict[str, str]:
    """What a program that shows the message itself needs of the words, in one language."""
    keys = ("subject", "headline", "place", "drill", "made", "notice", "summary", "description", "instruction")
    return {key: getattr(said, key) for key in keys} | {"remark": ""}


def _iso(value: date) -> str:
    return value.isoformat()


def _tidy(b: Briefing) -> Briefing:
    return replace(
        b,
        title=one_line(b.title),
        made=one_line(b.made),
        area_name=one_line(b.area_name),
        critical_source=one_line(b.critical_source),
        measure_title=one_line(b.measure_title),
        model_id=one_line(b.model_id),
        withdrawn_by=one_line(b.withdrawn_by),
        reason=one_line(b.reason),
        rain=tuple(replace(day, product=one_line(day.product), version=one_line(day.version)) for day in b.rain),
    )


def _facts(hit: Hit, change: AlertChange, *keys: str) -> dict[str, object]:
    facts = {"id": hit.asset_id} | {key: getattr(hit, key) for key in keys}
    return facts | {"probability_max": known(hit.probability_max), "new": hit.key in change.new}
