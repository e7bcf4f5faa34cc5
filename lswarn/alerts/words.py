"""What a message says, language by language, and how it is laid out as text and HTML. Pure.

What is said lies in `templates/alert.en.j2` and its like, one a language; how it looks lies in `mail.txt.j2` and
`mail.html.j2`, which know no language. The first speak plain text, and only the HTML layout escapes: whatever a road is
called, it comes out as a name.
"""

import math
import textwrap
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import escape

from lswarn.alerts.briefing import Briefing, RainInput, for_people

NAME_CHARS = 80
TEXT_COLUMNS = 76

REMARK_MARK = "<!--remark-->"
"""Where the HTML layout leaves room for a remark; no name can hold it, for names are escaped."""


@dataclass(frozen=True)
class Words:
    """What is said in one language, before it has a look: plain text throughout.

    Attributes:
        drill: that this is a test or an exercise; empty where it is neither. `made`: what of it is made up.
        lead: sentences. `figures`: value and unit.
        sections: by name, title and lines; a line is one text, or the two cells of a row.
    """

    language: str
    subject: str
    headline: str
    place: str
    drill: str
    made: str
    notice: str
    lead: list[str]
    figures: list[list[str]]
    sections: dict[str, tuple[str, list[list[str]]]]

    @property
    def summary(self) -> str:
        """The lead as one paragraph."""
        return " ".join(self.lead)

    @property
    def instruction(self) -> str:
        """What to consider."""
        return self._section("consider")

    @property
    def description(self) -> str:
        """Everything but what to consider, a paragraph a section."""
        banners = (self.drill, self.made, self.notice, self.summary)
        rest = (f"{title}: {self._section(name)}" for name, (title, _) in self.sections.items() if name != "consider")
        return "\n\n".join(part for part in (*banners, *rest) if part)

    def _section(self, name: str) -> str:
        """Its rows as a list within a sentence, its sentences as they are."""
        runs = groupby(self.sections[name][1], key=len)
        return " ".join(
            "; ".join(map(": ".join, run)) + "." if cells > 1 else " ".join(map("".join, run)) for cells, run in runs
        )


def say(template: str, language: str, briefing: Briefing, **facts: object) -> Words:
    """Put facts into words.

    Args:
        template: which, such as `alert`.
        language: one of `LANGUAGES`.
        briefing: tidied: its names are one line each.
    """
    b = briefing
    facts |= {"b": b, "age_h": b.rain_age_h, "outlook": b.lead_days > 0}
    facts |= {"r7_mm": known(b.r7_max_mm), "critical_mm": known(b.critical_mm), "ahead_mm": known(b.forecast_mm) or 0.0}
    said = vars(_SPOKEN[language].get_template(f"{template}.{language}.j2").make_module(facts))
    lines = {key: said[key].strip().splitlines() for key in ("lead", "figures", *said["order"])}
    return Words(
        language,
        **{key: said[key] for key in ("subject", "headline", "place", "drill", "made", "notice")},
        lead=lines["lead"],
        figures=[line.split("\t") for line in lines["figures"]],
        sections={
            key: (lines[key][0], [line.split("\t") for line in lines[key][1:]])
            for key in said["order"]
            if len(lines[key]) > 1
        },
    )


def as_text(words: Words) -> str:
    """The plain text of a mail."""
    return _LAYOUT.get_template("mail.txt.j2").render(words=words)


def as_html(words: Words, *, colour: str, has_map: bool) -> str:
    """The HTML of a mail.

    Args:
        colour: of the bar behind the headline.
        has_map: leave room for the picture `cid:map`.
    """
    return _LAYOUT.get_template("mail.html.j2").render(words=words, colour=colour, has_map=has_map)


def remark(language: str, **facts: object) -> tuple[str, str]:
    """Who let a message out: what goes before its subject, and a sentence."""
    said = vars(_SPOKEN[language].get_template(f"remark.{language}.j2").make_module(facts))
    return str(said["mark"]), " ".join(str(said["sentence"]).split())


def remarked_text(text: str, sentence: str) -> str:
    """A mail's plain text with a remark below its headline."""
    head, gap, rest = text.partition("\n\n")
    return f"{head}\n\n{_wrapped(sentence)}{gap}{rest}"


def remarked_html(html: str, sentence: str) -> str:
    """A mail's HTML with a remark below its headline."""
    row = (
        '<tr><td style="padding:10px 24px;background:#e4ebf7;font-size:14px;line-height:1.45;font-weight:700;'
        f'overflow-wrap:anywhere;">{escape(sentence)}</td></tr>'
    )
    return html.replace(REMARK_MARK, row, 1)


def one_line(text: str) -> str:
    """A name as one line: line breaks and control characters become blanks, direction overrides go."""
    kept = (" " if unicodedata.category(c) in _BREAKS or c in _NO_TEXT else c for c in text if c not in _DIRECTIONS)
    return " ".join("".join(kept).split())


def name_of(text: str) -> str:
    """A name within a sentence: not too long, and its right-to-left letters kept from turning their neighbours."""
    text = one_line(text)
    short = text if len(text) <= NAME_CHARS else text[: NAME_CHARS - 1].rstrip() + "…"
    turns = any(unicodedata.bidirectional(c) in ("R", "AL") for c in short)
    return f"{_FIRST_STRONG_ISOLATE}{short}{_POP_ISOLATE}" if turns else short


def known(value: float | None) -> float | None:
    """None for what is not known, NaN included."""
    return None if value is None or math.isnan(value) else value


_BREAKS = frozenset(("Cc", "Cs", "Zl", "Zp"))
_NO_TEXT = "\ufffe\uffff"
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"


def _wrapped(text: str) -> str:
    hanging = "  " * text.startswith("- ")
    return textwrap.fill(text, TEXT_COLUMNS, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _length(metres: float, count: Callable[[int], str], point: str, few: str) -> str:
    """350 m, 1.4 km, 23 km: as precise as a map is."""
    if metres < 995:
        return f"{round(metres, -1):.0f} m" if metres >= 5 else few
    return f"{metres / 1000:.1f} km".replace(".", point) if metres < 9950 else f"{count(round(metres / 1000))} km"


def _issued(each: RainInput, day: Callable[[date], str]) -> str:
    """When a forecast was made; as its provider names it where that tells no instant."""
    if each.issued_at is None:
        return each.version
    rest = each.version.partition(" ")[2]
    return f"{day(each.issued_at.date())}, {each.issued_at:%H} UTC" + (f" {rest}" if rest else "")


_MESES = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
]


def _fecha(day: date) -> str:
    """5 de octubre de 2026."""
    return f"{day.day} de {_MESES[day.month - 1]} de {day.year}"


def _cuenta(number: int) -> str:
    """1243, 12 430: groups of three from five digits on, as the Spanish academies write."""
    return f"{number:,}".replace(",", "\u00a0") if abs(number) >= 10_000 else str(number)


def _english_count(number: int) -> str:
    return f"{number:,}"


def _clause(text: str) -> str:
    """A person's own words as the end of a sentence."""
    text = name_of(text)
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


_FILTERS: Mapping[str, Mapping[str, Callable[..., str]]] = MappingProxyType(
    {
        "en": {
            "day": for_people,
            "brief_day": lambda day: f"{day.day} {day:%b}",
            "count": _english_count,
            "decimal": "{:.2f}".format,
            "length_of": lambda metres: _length(metres, _english_count, ".", "a few metres"),
            "issued": lambda each: _issued(each, for_people),
        },
        "es": {
            "day": _fecha,
            "brief_day": lambda day: f"{day.day} {_MESES[day.month - 1][:3]}",
            "count": _cuenta,
            "decimal": lambda number: f"{number:.2f}".replace(".", ","),
            "length_of": lambda metres: _length(metres, _cuenta, ",", "unos metros"),
            "issued": lambda each: _issued(each, _fecha),
        },
    }
)

LANGUAGES = tuple(_FILTERS)
"""Every message is written in all of them; English comes first."""


def _templates(**filters: Callable[..., Any]) -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html.j2",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"name": name_of, "clause": _clause, "wrapped": _wrapped} | filters
    return templates


_LAYOUT = _templates()
_SPOKEN = {language: _templates(**filters) for language, filters in _FILTERS.items()}
