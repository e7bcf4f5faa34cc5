"""The same in two languages, and what is said of who let a message out."""

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from lswarn.alerts.briefing import Briefing, RainInput, Standing
from lswarn.alerts.message import (
    DATA_MISSING_COLOUR,
    LEVEL_COLOURS,
    LISTED,
    AlertMessage,
    compose,
    compose_data_missing,
    with_approval,
)
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level
from lswarn.alerts.words import LANGUAGES

DAY = date(2026, 10, 5)
OF_AREAS = (Kind.OPEN, Kind.RAISE, Kind.UPDATE, Kind.LOWER, Kind.CLEAR)
OF_OUTLOOKS = (Kind.OPEN, Kind.RAISE)


def unwrapped(text: str) -> str:
    return re.sub("[ \n]+", " ", text)


def of_kind(change: AlertChange, kind: Kind) -> AlertChange:
    before = {Kind.OPEN: Level.NONE, Kind.RAISE: Level.ORANGE}.get(kind, Level.RED)
    after = {Kind.LOWER: Level.ORANGE, Kind.CLEAR: Level.NONE}.get(kind, Level.RED)
    return replace(change, kind=kind, before=before, after=after, hits=() if kind is Kind.CLEAR else change.hits)


def numbers(text: str) -> list[str]:
    """Every number, in the form of neither language."""
    plain = re.sub(r"(?<=\d)[,\u00a0](?=\d{3})", "", text)
    return sorted(each.replace(",", ".") for each in re.findall(r"\d+(?:[.,]\d+)?", plain))


@pytest.fixture(params=OF_AREAS)
def message(request: pytest.FixtureRequest, change: AlertChange, briefing: Briefing) -> AlertMessage:
    return compose(of_kind(change, request.param), briefing)


class TestTwoLanguages:
    def test_every_message_is_in_all(self, message: AlertMessage, briefing: Briefing) -> None:
        for each in (message, compose_data_missing(briefing)):
            assert ("en", *each.translations) == LANGUAGES
            assert list(each.payload["data"]["languages"]) == list(LANGUAGES)

    def test_they_tell_the_same_numbers(self, message: AlertMessage) -> None:
        assert numbers(message.text) == numbers(message.in_language("es").text)

    def test_they_have_the_same_sections(self, message: AlertMessage) -> None:
        titles = [
            len(re.findall("(?m)^[^a-z\n]{4,}$", message.in_language(language).text.partition("\n")[2]))
            for language in LANGUAGES
        ]
        assert titles[0] == titles[1] > 4

    def test_a_language_that_is_not_there_is_english(self, message: AlertMessage) -> None:
        assert message.in_language("en") is message
        assert message.in_language("fr") is message

    @pytest.mark.parametrize(
        ("kind", "ahead"), [(kind, False) for kind in OF_AREAS] + [(kind, True) for kind in OF_OUTLOOKS]
    )
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_a_telephone_shows_the_whole_subject(
        self, kind: Kind, language: str, ahead: bool, change: AlertChange, briefing: Briefing, outlook: Briefing
    ) -> None:
        about = replace(outlook if ahead else briefing, area_name="Swellendam")
        said = compose(of_kind(change, kind), about).in_language(language)
        assert len(said.subject) <= 60
        assert "Swellendam" in said.subject

    def test_spanish(self, change: AlertChange, briefing: Briefing) -> None:
        town = replace(change.hits[2], people=12_430)
        said = compose(replace(change, hits=(*change.hits[:2], town)), briefing).in_language("es")
        assert said.subject == "ROJO: aviso de deslizamientos, North Cumberland, 5 oct"
        assert said.text.startswith("AVISO ROJO POR DESLIZAMIENTOS\nNorth Cumberland, 5 de octubre de 2026\n")
        assert '<html lang="es">' in said.html
        assert (
            "En North Cumberland hay ahora zonas de susceptibilidad muy alta a deslizamientos que alcanzan 1 núcleo de "
            "población (12\u00a0430 personas) y 2 carreteras (5,0 km). En vigor desde el 5 de octubre de 2026."
        ) in unwrapped(said.text)
        assert "La mayor probabilidad de deslizamiento en los lugares nombrados es de 0,91" in unwrapped(said.text)
        assert "el silencio no significa que el peligro haya pasado" in unwrapped(said.text)

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("grade", "ABCDE")
    @pytest.mark.parametrize("measure", ["sum", "ari", "effective-0.84"])
    def test_every_way_of_not_knowing_can_be_said(
        self, language: str, grade: str, measure: str, change: AlertChange, briefing: Briefing, outlook: Briefing
    ) -> None:
        modelled = (*briefing.rain[:-1], RainInput(DAY, "ERA5-Land", "v1", grade))
        many = tuple(Hit("road", f"{i}", f"R {i}", "", 9.0, 0, 0.5) for i in range(LISTED + 2))
        towns = tuple(Hit("settlement", f"{i}", "", "", 0.0, 0 if i else None, 0.5) for i in range(LISTED + 2))
        for about in (
            replace(briefing, grade=grade, rain=modelled, measure=measure),
            replace(briefing, grade=grade, measure=measure, r7_max_mm=None, missing=(DAY,), lower_bound=True),
            replace(briefing, grade=grade, measure=measure, critical_mm=None, lower_bound=True),
            replace(outlook, grade=grade, measure=measure, r7_max_mm=float("nan")),
        ):
            for hits in ((), many, towns, change.hits):
                kinds = OF_OUTLOOKS if about.lead_days else (Kind.UPDATE, Kind.LOWER)
                for kind in kinds:
                    changed = replace(of_kind(change, kind), hits=hits, held=True, confirmed=kind is Kind.UPDATE)
                    said = compose(changed, about).in_language(language).text
                    assert not re.search(r"\b(nan|None|inf)\b", said)
            for each in (about, replace(about, model_id=""), replace(about, gaps=("South",))):
                said = compose_data_missing(each, [Standing("N", Level.RED, DAY)]).in_language(language).text
                assert not re.search(r"\b(nan|None|inf)\b", said)


class TestWhatIsNoAlarm:
    @pytest.mark.parametrize(
        ("status", "mark", "marca", "sentence"),
        [("test", "TEST: ", "PRUEBA: ", "a test of the"), ("exercise", "EXERCISE: ", "SIMULACRO: ", "an exercise")],
    )
    def test_a_drill_says_so_first(
        self, status: str, mark: str, marca: str, sentence: str, change: AlertChange, briefing: Briefing
    ) -> None:
        drill = replace(briefing, status=status)
        for message in (compose(change, drill), compose_data_missing(drill)):
            assert message.status == message.payload["data"]["status"] == status
            assert message.subject.startswith(mark)
            assert message.text.startswith(mark)
            assert sentence in message.text
            assert sentence in message.html
            assert message.in_language("es").subject.startswith(marca)

    def test_a_withdrawn_warning_is_no_all_clear(self, change: AlertChange, briefing: Briefing) -> None:
        about = replace(briefing, withdrawn_by="Ann <b>", reason="the road lies in the next valley")
        message = compose(of_kind(change, Kind.CLEAR), about)
        said = unwrapped(message.text)
        assert message.subject == "Landslide warning withdrawn: North Cumberland, 5 Oct"
        assert "is withdrawn by Ann <b>: the road lies in the next valley. It was taken back by a person;" in said
        assert "This is no all-clear." in said
        assert "Ann &lt;b&gt;" in message.html
        assert DATA_MISSING_COLOUR in message.html
        assert LEVEL_COLOURS[Level.NONE] not in message.html
        assert message.payload["data"]["withdrawn"] == {"by": "Ann <b>", "reason": "the road lies in the next valley"}
        assert "Aviso de deslizamientos retirado" in message.in_language("es").subject

    def test_data_missing_in_spanish_is_no_all_clear(self, briefing: Briefing) -> None:
        said = compose_data_missing(
            replace(briefing, grade="D", missing=(DAY,)), [Standing("South", Level.ORANGE, DAY - timedelta(1))]
        ).in_language("es")
        assert said.subject == "Faltan datos de lluvia: peligro no descartado, Jacksboro demo, 5 oct"
        assert "- South: NARANJA desde el 4 de octubre de 2026" in said.text
        assert not any(colour in said.html for colour in LEVEL_COLOURS.values())


class TestWithApproval:
    def test_released_by_somebody(self, change: AlertChange, briefing: Briefing) -> None:
        before = compose(change, briefing)
        message = with_approval(before, "approved", 'A. "Duty" <a@b>\r\nBcc: x')
        assert message.subject == before.subject
        sentence = 'Reviewed and released by A. "Duty" <a@b> Bcc: x.'
        assert sentence in unwrapped(message.text)
        assert "released by A. &#34;Duty&#34; &lt;a@b&gt; Bcc: x." in message.html
        assert 'Revisado y emitido por A. "Duty"' in unwrapped(message.in_language("es").text)
        data = message.payload["data"]
        assert (data["approval"], data["languages"]["en"]["remark"]) == ("approved", sentence)

    def test_nobody_looked(self, change: AlertChange, briefing: Briefing) -> None:
        before = compose(change, briefing)
        message = with_approval(before, "timed_out")
        assert message.subject == f"[not reviewed] {before.subject}"
        assert "Not reviewed by a person" in message.text
        assert "Not reviewed by a person" in message.html
        said = message.in_language("es")
        assert said.subject.startswith("[sin revisar] ")
        assert "Sin revisar por una persona" in said.text
        assert message.payload["data"]["languages"]["es"]["subject"] == said.subject
        assert before.payload["data"]["approval"] == "auto"  # the draft stays as it was written
