from collections.abc import Callable
from dataclasses import replace

import lxml.html
import pytest

from lswarn.alerts.briefing import Briefing
from lswarn.alerts.digest import Letter, letter_of
from lswarn.alerts.message import AlertMessage, compose, compose_data_missing
from lswarn.alerts.outgoing import Outgoing
from lswarn.alerts.policy import AlertChange, Kind, Level

NAMES = ('<b>Oak & "Ridge"</b>', "הר הצופים", "Line\r\nBcc: all@example.org", "O'Brien; DROP TABLE alert; --")


@pytest.fixture
def messages(change: AlertChange, briefing: Briefing) -> list[AlertMessage]:
    """An all-clear, an orange and two red warnings of areas with awkward names, and missing rain."""
    kinds = (
        (Kind.CLEAR, Level.ORANGE, Level.NONE),
        (Kind.OPEN, Level.NONE, Level.ORANGE),
        (Kind.RAISE, Level.ORANGE, Level.RED),
        (Kind.OPEN, Level.NONE, Level.RED),
    )
    made = [
        compose(
            replace(change, area_id=f"area{n}", kind=kind, before=before, after=after),
            replace(briefing, area_name=name),
            b"\x89PNG" + bytes([n]),
        )
        for n, ((kind, before, after), name) in enumerate(zip(kinds, NAMES, strict=True))
    ]
    return [*made, compose_data_missing(briefing)]


def cells(letter: Letter) -> list[list[str]]:
    """The overview's rows."""
    table = lxml.html.document_fromstring(letter.html).xpath("//table//table//table")[0]
    return [[cell.text_content().strip() for cell in row] for row in table.iter("tr")]


def test_of_one_message_it_is_that_message(outgoing: Callable[..., Outgoing]) -> None:
    message = outgoing().message
    letter = letter_of([message], "en")
    assert (letter.subject, letter.text, letter.html) == (message.subject, message.text, message.html)
    assert letter.pictures == (("map", message.map_png),)
    assert letter.urgent


def test_it_lists_every_area_the_gravest_first_and_holds_every_message(messages: list[AlertMessage]) -> None:
    letter = letter_of(messages, "en")
    assert letter.subject == "Landslide warnings: 2 red, 1 orange, rain data missing, 1 ended"
    rows = cells(letter)
    assert [label for label, _ in rows] == ["RED", "RED", "ORANGE", "NOT KNOWN", "ENDED"]
    assert {subject for _, subject in rows} == {message.subject for message in messages}
    for message in messages:
        assert message.text.strip() in letter.text
    assert letter.text.index("ORANGE:") < letter.text.index("=" * 76)


def test_what_is_missing_does_not_look_like_an_end(messages: list[AlertMessage]) -> None:
    letter = letter_of([messages[0], messages[-1]], "en")
    assert letter.subject == "Landslide warnings: rain data missing, 1 ended"
    missing, ended = lxml.html.document_fromstring(letter.html).xpath("//span[contains(@style,'inline-block')]/@style")
    assert missing != ended
    assert not letter.urgent


def test_every_map_keeps_its_message(messages: list[AlertMessage]) -> None:
    letter = letter_of(messages, "en")
    shown = lxml.html.document_fromstring(letter.html).xpath("//img/@src")
    assert shown == [f"cid:{name}" for name, _ in letter.pictures]
    assert len(set(shown)) == 4
    assert {picture for _, picture in letter.pictures} == {message.map_png for message in messages[:-1]}


def test_names_inject_nothing(messages: list[AlertMessage]) -> None:
    letter = letter_of(messages, "en")
    assert "<b>Oak" not in letter.html
    assert "\n" not in letter.subject
    assert "\r" not in letter.text
    assert letter.html.count("<body") == letter.html.count("</body>") == 1


def test_in_spanish(messages: list[AlertMessage]) -> None:
    letter = letter_of(messages, "es")
    assert letter.language == "es"
    assert letter.subject == "Avisos por deslizamientos: 2 rojos, 1 naranja, faltan datos de lluvia, 1 finalizado"
    assert [label for label, _ in cells(letter)] == ["ROJO", "ROJO", "NARANJA", "SIN DATOS", "FINALIZADO"]
    for message in messages:
        assert message.translations["es"].text.strip() in letter.text


def test_a_drill_and_made_up_data_say_so_first(messages: list[AlertMessage]) -> None:
    drill = [replace(message, status="test") for message in messages[1:3]]
    assert letter_of(drill, "en").subject == "TEST: Landslide warnings: 1 red, 1 orange"
    assert letter_of(drill, "es").subject == "PRUEBA: Avisos por deslizamientos: 1 rojo, 1 naranja"
    assert letter_of([messages[1], drill[1]], "en").subject == "Landslide warnings: 1 red, 1 orange"
    made = [replace(message, payload={"data": {"made": "all of it"}}) for message in messages[1:3]]
    assert letter_of(made, "en").subject.startswith("[made up] ")


def test_a_withdrawn_warning_is_not_called_ended(messages: list[AlertMessage]) -> None:
    taken_back = replace(messages[0], payload={"data": {"withdrawn": {"by": "Ann", "reason": "error"}}})
    letter = letter_of([taken_back, messages[1]], "en")
    assert letter.subject == "Landslide warnings: 1 orange, 1 withdrawn"


def test_what_was_not_written_in_a_language_stays_english(messages: list[AlertMessage]) -> None:
    english = [replace(message, translations={}) for message in messages[:2]]
    assert english[0].text.strip() in letter_of(english, "es").text
    assert letter_of(english[:1], "es").language == "en"
