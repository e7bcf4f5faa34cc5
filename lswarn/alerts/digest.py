"""Several messages of one run as one letter: a person in ten areas gets one mail, not ten. Pure.

The letter is built from messages as they were stored, worst first: an overview, then every message whole. What the
overview says lies in `templates/digest.en.j2` and its sisters, how it looks in `digest.txt.j2` and `digest.html.j2`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lswarn.alerts.message import DATA_MISSING_COLOUR, LEVEL_COLOURS, AlertMessage
from lswarn.alerts.policy import Kind, Level


@dataclass(frozen=True)
class Letter:
    """What one recipient gets to read.

    Attributes:
        subject: one line. `text`, `html`: the bodies, in `language`.
        pictures: name and PNG of each picture that the HTML shows as `cid:name`.
        urgent: a warning begins or rises.
    """

    subject: str
    text: str
    html: str
    language: str
    pictures: tuple[tuple[str, bytes], ...]
    urgent: bool


@dataclass(frozen=True)
class _Part:
    """A message as a digest has it.

    Attributes:
        group: what the overview counts it as: red, orange, review, missing, withdrawn or ended.
        status: of a drill, test or exercise.
        made: it speaks of made-up data.
    """

    subject: str
    text: str
    html: str
    map_png: bytes
    group: str
    status: str
    made: bool

    @property
    def colour(self) -> str:
        return {
            "red": LEVEL_COLOURS[Level.RED],
            "orange": LEVEL_COLOURS[Level.ORANGE],
            "ended": LEVEL_COLOURS[Level.NONE],
        }.get(self.group, DATA_MISSING_COLOUR)


_ORDER = ("red", "orange", "review", "missing", "withdrawn", "ended")
"""Worst first; what is not known stands before what has ended."""


def letter_of(messages: Sequence[AlertMessage], language: str) -> Letter:
    """The letter of one message, or of several of one run.

    Args:
        messages: at least one, in any order.
        language: of the letter; a message that was not written in it stays English.
    """
    if len(messages) > 1:
        return _digest(tuple(_part(message, language) for message in messages), language, _urgent(messages))
    spoken = messages[0].in_language(language)
    pictures = (("map", spoken.map_png),) if spoken.map_png else ()
    written = language if language in messages[0].translations else "en"
    return Letter(spoken.subject, spoken.text, spoken.html, written, pictures, _urgent(messages))


def _urgent(messages: Sequence[AlertMessage]) -> bool:
    return any(message.kind in (Kind.OPEN, Kind.RAISE) for message in messages)


def _part(message: AlertMessage, language: str) -> _Part:
    spoken = message.in_language(language)
    data = message.payload.get("data")
    facts = data if isinstance(data, dict) else {}
    match message.kind:
        case Kind.DATA_MISSING:
            group = "missing"
        case Kind.REVIEW:
            group = "review"
        case Kind.CLEAR:
            group = "withdrawn" if facts.get("withdrawn") else "ended"
        case _:
            group = message.level.name.lower()
    made = bool(facts.get("made"))
    return _Part(spoken.subject, spoken.text, spoken.html, spoken.map_png, group, message.status, made)


@lru_cache(maxsize=16)
def _digest(parts: tuple[_Part, ...], language: str, urgent: bool) -> Letter:
    worst_first = sorted(parts, key=lambda part: (_ORDER.index(part.group), part.subject))
    counts = Counter(part.group for part in worst_first)
    statuses = {part.status for part in parts}
    said = _TEMPLATES.get_template(f"digest.{language}.j2").make_module(
        {
            "counts": {group: counts[group] for group in _ORDER if counts[group]},
            "status": statuses.pop() if len(statuses) == 1 else "actual",  # one real warning, and it is no drill
            "made": any(part.made for part in parts),
            "count": len(parts),
        }
    )
    rows = [
        {"subject": part.subject, "label": said.labels[part.group], "colour": part.colour, "text": part.text.strip()}  # type: ignore[attr-defined]
        for part in worst_first
    ]
    bodies = [_body(part.html, number) for number, part in enumerate(worst_first, 1)]
    facts = {"subject": said.subject, "headline": said.headline, "lead": said.lead, "rows": rows, "language": language}  # type: ignore[attr-defined]
    pictures = [(f"map{n}", part.map_png) for n, part in enumerate(worst_first, 1) if part.map_png]
    return Letter(
        str(facts["subject"]),
        _TEMPLATES.get_template("digest.txt.j2").render(facts),
        _TEMPLATES.get_template("digest.html.j2").render(facts, bodies=bodies, colour=worst_first[0].colour),
        language,
        tuple(pictures),
        urgent,
    )


def _body(html: str, number: int) -> str:
    """What stands within a message's body, its map under a name of its own. Our templates escape every name."""
    inside = html.partition("<body")[2].partition(">")[2].rpartition("</body>")[0] or html
    return inside.replace('src="cid:map"', f'src="cid:map{number}"')


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(("html.j2",), default_for_string=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
