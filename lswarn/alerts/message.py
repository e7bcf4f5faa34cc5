"""How a warning reads: plain text, HTML with a map, and JSON. Pure.

What is said lies in `templates/alert.en.j2` and `data_missing.en.j2`, one a language; how it looks lies in
`mail.txt.j2` and `mail.html.j2`, which know no language. The first speak plain text, and only the HTML layout escapes:
whatever a road is called, it comes out as a name.
"""

import json
import math
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lswarn.alerts.briefing import Briefing, Standing, for_people
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level

LISTED = 12
"""So many roads, and so many settlements, are listed in a mail; the rest is added up. A webhook gets all."""

NAME_CHARS = 80
TEXT_COLUMNS = 76

LEVEL_COLOURS = {Level.NONE: "#1d6b45", Level.ORANGE: "#c04f00", Level.RED: "#a8071a"}
"""Bar behind a mail's headline (white on each is readable); NONE is an alert that ended."""

DATA_MISSING_COLOUR = "#454b66"
"""Of a mail about missing rain: no level's colour, least of all that of an all-clear."""


@dataclass(frozen=True)
class AlertMessage:
    """One message, ready to be queued.

    Attributes:
        area_id: warning area; None for a message about the whole region (DATA_MISSING).
        kind, level, valid_day: what it says, how bad, of which day.
        subject: one line. `text`, `html`: the bodies. `payload`: what a webhook gets.
        map_png: picture shown in the HTML as `cid:map`; empty where there is none.
        lead_days: how far ahead the day lies of an outlook's message; else 0.
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


@dataclass(frozen=True)
class Outgoing:
    """A queued message on its way to one subscriber.

    Attributes:
        delivery_id: database key; `idempotency_key` is the same at every attempt.
    """

    delivery_id: int
    idempotency_key: str
    channel: str
    address: str
    message: AlertMessage


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
        change: what the policy decided; its names may hold anything.
        briefing: with `area_name` and `opened_on`.
        map_png: picture for the HTML mail; empty for none.
    """
    b = _tidy(briefing)
    hits = [replace(hit, name=one_line(hit.name), ref=one_line(hit.ref)) for hit in change.hits]
    stretches = sorted((hit for hit in hits if hit.asset == "road"), key=lambda h: (-h.length_m, h.asset_id))
    roads = Places(_joined(stretches, change.new))
    # Unknown population first: nobody knows how many people that is.
    by_people = sorted(hits, key=lambda h: (h.people is not None, -(h.people or 0), h.asset_id))
    settlements = Places(tuple(hit for hit in by_people if hit.asset != "road"))
    probability = max((known for hit in hits if (known := _known(hit.probability_max)) is not None), default=None)
    new = change.new & {hit.key for hit in (*roads.hits, *settlements.hits)}
    words = _say(
        "alert.en.j2", b, change=change, new=new, roads=roads, settlements=settlements, probability=probability
    )
    data: dict[str, object] = {
        "area": {"id": change.area_id, "name": b.area_name},
        "level": change.after.name,
        "level_before": change.before.name,
        "opened_on": b.opened_on,
        "confirmed": change.confirmed,
        "roads": [_facts(hit, change, "name", "ref", "length_m") for hit in stretches],
        "settlements": [_facts(hit, change, "name", "people") for hit in settlements.hits],
        "people": None if settlements.uncounted else settlements.people,
        "probability_max": probability,
    }
    return _message(change.area_id, change.kind, change.after, b, words, data, map_png)


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
    words = _say("data_missing.en.j2", b, standing=in_force)
    rows = [{"area": s.area_name, "level": s.level.name, "opened_on": s.opened_on} for s in in_force]
    return _message(None, Kind.DATA_MISSING, Level.NONE, b, words, {"in_force": rows}, b"")


def one_line(text: str) -> str:
    """A name as one line: line breaks and control characters become blanks, direction overrides go."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text if c not in _DIRECTIONS)
    return " ".join("".join(kept).split())


_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"


def _name(text: str) -> str:
    """A name within a sentence: not too long, and its right-to-left letters kept from turning their neighbours."""
    text = one_line(text)
    short = text if len(text) <= NAME_CHARS else text[: NAME_CHARS - 1].rstrip() + "…"
    turns = any(unicodedata.bidirectional(c) in ("R", "AL") for c in short)
    return f"{_FIRST_STRONG_ISOLATE}{short}{_POP_ISOLATE}" if turns else short


def _length(metres: float) -> str:
    """350 m, 1.4 km, 23 km: as precise as a map is."""
    if metres < 995:
        return f"{round(metres, -1):.0f} m" if metres >= 5 else "a few metres"
    return f"{metres / 1000:.1f} km" if metres < 9950 else f"{metres / 1000:,.0f} km"


def _wrapped(text: str) -> str:
    hanging = "  " * text.startswith("- ")
    return textwrap.fill(text, TEXT_COLUMNS, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(("html.j2",), default_for_string=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "name": _name,
    "day": for_people,
    "length_of": _length,
    "wrapped": _wrapped,
    "count": "{:,}".format,
}


@dataclass(frozen=True)
class _Words:
    """What is said, before it has a look: plain text throughout.

    Attributes:
        lead: sentences. `figures`: value and unit.
        sections: title and lines; a line is one text, or the two cells of a row.
    """

    subject: str
    headline: str
    place: str
    made: str
    notice: str
    lead: list[str]
    figures: list[list[str]]
    sections: list[tuple[str, list[list[str]]]]


def _say(template: str, briefing: Briefing, **facts: object) -> _Words:
    facts |= {"b": briefing, "age_h": briefing.rain_age_h}
    facts |= {"r7_mm": _known(briefing.r7_max_mm), "critical_mm": _known(briefing.critical_mm)}
    facts |= {"ahead_mm": _known(briefing.forecast_mm) or 0.0, "outlook": briefing.lead_days > 0}
    said = vars(_TEMPLATES.get_template(template).make_module(facts))
    lines = {key: said[key].strip().splitlines() for key in ("lead", "figures", *said["order"])}
    return _Words(
        **{key: said[key] for key in ("subject", "headline", "place", "made", "notice")},
        lead=lines["lead"],
        figures=[line.split("\t") for line in lines["figures"]],
        sections=[
            (title, [line.split("\t") for line in rest])
            for title, *rest in (lines[key] for key in said["order"])
            if rest
        ],
    )


def _message(
    area_id: str | None,
    kind: Kind,
    level: Level,
    b: Briefing,
    words: _Words,
    data: dict[str, object],
    map_png: bytes,
) -> AlertMessage:
    colour = DATA_MISSING_COLOUR if kind is Kind.DATA_MISSING else LEVEL_COLOURS[level]
    rain = {
        "grade": b.grade,
        "complete": b.complete,
        "age_h": round(b.rain_age_h, 2),
        "days": [asdict(day) for day in b.rain],
        "missing": b.missing,
        "measure": b.measure,
        "r7_max_mm": _known(b.r7_max_mm),
        "forecast_mm": _known(b.forecast_mm),
        "lower_bound": b.lower_bound,
        "critical_mm": _known(b.critical_mm),
        "critical_source": b.critical_source,
    }
    data |= {"region": b.region, "title": b.title, "made": b.made, "official": False, "valid_day": b.valid_day}
    data |= {"lead_days": b.lead_days}
    data |= {"headline": words.headline, "summary": " ".join(words.lead), "rain": rain, "model_id": b.model_id}
    what = "outlook" if b.lead_days else "warning"
    payload = {"type": f"landslide_{what}.{kind}", "timestamp": b.issued_at, "data": data}
    return AlertMessage(
        area_id,
        kind,
        level,
        b.valid_day,
        subject=words.subject,
        text=_TEMPLATES.get_template("mail.txt.j2").render(words=words),
        html=_TEMPLATES.get_template("mail.html.j2").render(words=words, colour=colour, has_map=bool(map_png)),
        payload=json.loads(json.dumps(payload, default=_iso, allow_nan=False)),
        map_png=map_png,
        lead_days=b.lead_days,
    )


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
        rain=tuple(replace(day, product=one_line(day.product), version=one_line(day.version)) for day in b.rain),
    )


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _facts(hit: Hit, change: AlertChange, *keys: str) -> dict[str, object]:
    facts = {"id": hit.asset_id} | {key: getattr(hit, key) for key in keys}
    return facts | {"probability_max": _known(hit.probability_max), "new": hit.key in change.new}
