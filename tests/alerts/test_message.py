import json
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lswarn.alerts.briefing import Briefing, RainInput, Standing
from lswarn.alerts.message import (
    DATA_MISSING_COLOUR,
    LEVEL_COLOURS,
    AlertMessage,
    compose,
    compose_data_missing,
    with_approval,
)
from lswarn.alerts.policy import AlertChange, Hit, Kind, Level
from lswarn.alerts.words import one_line

DAY = date(2026, 10, 5)
KINDS = [
    (Kind.OPEN, Level.NONE, Level.RED, "RED landslide warning"),
    (Kind.RAISE, Level.ORANGE, Level.RED, "Landslide warning raised to RED"),
    (Kind.UPDATE, Level.RED, Level.RED, "RED landslide warning: more places"),
    (Kind.LOWER, Level.RED, Level.ORANGE, "Landslide warning lowered to ORANGE"),
    (Kind.CLEAR, Level.ORANGE, Level.NONE, "Landslide warning ended"),
]
SUBJECTS = {
    Kind.OPEN: "RED landslide warning",
    Kind.RAISE: "RED landslide warning (raised)",
    Kind.UPDATE: "RED landslide warning (update)",
    Kind.LOWER: "ORANGE landslide warning (lowered)",
    Kind.CLEAR: "Landslide warning ended",
}


class Page(HTMLParser):
    """Tags and text of a page, and whether every tag was closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def rows(text: str) -> list[str]:
    return [line for line in text.replace("\n  ", " ").splitlines() if line.startswith("- ")]


def lower_bound(briefing: Briefing) -> Briefing:
    return replace(briefing, grade="D", lower_bound=True, rain=briefing.rain[1:], missing=(briefing.rain[0].day,))


@pytest.mark.parametrize(("kind", "before", "after", "headline"), KINDS)
class TestEveryKind:
    @pytest.fixture
    def message(
        self, kind: Kind, before: Level, after: Level, headline: str, change: AlertChange, briefing: Briefing
    ) -> AlertMessage:
        hits = () if after is Level.NONE else change.hits
        news = frozenset({hits[0].key}) if kind is Kind.UPDATE else frozenset()
        return compose(AlertChange("north", DAY, kind, before, after, hits, news), replace(briefing, made="It is."))

    def test_says_which(self, message: AlertMessage, kind: Kind, after: Level, headline: str) -> None:
        assert message.subject == f"[made up] {SUBJECTS[kind]}: North Cumberland, 5 Oct"
        assert message.text.startswith(f"{headline.upper()}\nNorth Cumberland, 5 October 2026\n")
        assert (message.area_id, message.kind, message.level, message.valid_day) == ("north", kind, after, DAY)
        assert LEVEL_COLOURS[after] in message.html

    @pytest.mark.parametrize(
        "sentence",
        [
            "Draft by an automatic system, not an official activation.",
            "Made-up data: It is.",
            "Not watched are earthquakes, glaciers, and debris flows driven by temperature or snowmelt.",
            "Rain of grade B: all seven days are there, some from an early satellite product that may still change.",
            "by model 3f9ac1d07b42",
            "The rain ends 16 hours before this message.",
            "A place that is not named is not thereby safe.",
            "since 5 October 2026",
        ],
    )
    def test_text_and_html_say_it(self, message: AlertMessage, sentence: str, kind: Kind, headline: str) -> None:
        assert sentence in unwrapped(message.text)
        assert sentence in Page(message.html).text

    def test_payload_is_json_and_says_the_same(
        self, message: AlertMessage, kind: Kind, before: Level, after: Level, headline: str
    ) -> None:
        payload = json.loads(json.dumps(message.payload, allow_nan=False))
        assert payload == message.payload
        assert payload["type"] == f"landslide_warning.{kind}"
        data = payload["data"]
        assert (data["level"], data["level_before"]) == (after.name, before.name)
        assert data["area"] == {"id": "north", "name": "North Cumberland"}
        assert (data["valid_day"], data["opened_on"], data["made"]) == ("2026-10-05", "2026-10-05", "It is.")
        assert data["official"] is False


class TestCompose:
    def test_where(self, change: AlertChange, briefing: Briefing) -> None:
        message = compose(change, briefing)
        assert rows(message.text)[:4] == [
            "- Demory: population unknown",
            "- LaFollette: 1,243 people",
            "- Jacksboro Pike (US 25W): 4.2 km",
            "- TN 63: 820 m",
        ]
        assert (
            "In North Cumberland, zones of very high landslide susceptibility now meet 2 settlements "
            "(1,243 people and an unknown number more) and 2 roads (5.0 km)."
        ) in unwrapped(message.text)

    def test_why(self, change: AlertChange, briefing: Briefing) -> None:
        said = unwrapped(compose(change, briefing).text)
        assert "Up to 212 mm of rain fell in the area in the seven days to 5 October 2026 (UTC)." in said
        assert "The critical seven-day rain at that place is 180 mm (made thresholds): 118 % of it has fallen." in said

    def test_unknown_rain_is_unknown(self, change: AlertChange, briefing: Briefing) -> None:
        message = compose(change, replace(briefing, r7_max_mm=float("nan"), critical_mm=None))
        said = unwrapped(message.text)
        assert "How much rain fell in the area in the seven days to 5 October 2026 is not known." in said
        assert "What rain is critical here is not known." in said
        assert " mm" not in said
        assert message.payload["data"]["rain"]["r7_max_mm"] is None

    def test_lower_bound(self, change: AlertChange, briefing: Briefing) -> None:
        message = compose(change, lower_bound(briefing))
        said = unwrapped(message.text)
        assert "At least 212 mm of rain" in said
        assert "The rain of 29 September 2026. With it, more places might have been named." in said
        assert "≥ 212 mm" in Page(message.html).text
        rain = message.payload["data"]["rain"]
        assert (rain["grade"], rain["complete"], rain["missing"]) == ("D", False, ["2026-09-29"])

    def test_products_by_count(self, change: AlertChange, briefing: Briefing) -> None:
        assert rows(compose(change, briefing).text)[-2:] == ["- IMERG-Early V07B: 1 day", "- IMERG-Late V07B: 6 days"]

    def test_new_places_are_marked_in_an_update(self, change: AlertChange, briefing: Briefing) -> None:
        update = replace(change, kind=Kind.UPDATE, before=Level.RED, new=frozenset({"road:b"}))
        message = compose(update, briefing)
        assert "- TN 63: new, 820 m" in message.text
        assert message.text.count("new, ") == 1
        assert "1 place is newly affected" in message.text
        assert [road["new"] for road in message.payload["data"]["roads"]] == [False, True]

    def test_long_lists_are_added_up_in_mail_and_whole_in_json(self, change: AlertChange, briefing: Briefing) -> None:
        roads = tuple(Hit("road", f"{i:02}", f"Road {i}", "", 100.0 * i, 0, 0.5) for i in range(1, 16))
        towns = tuple(Hit("settlement", f"{i}", f"Town {i}", "", 0.0, i, 0.5) for i in range(1, 14))
        message = compose(replace(change, hits=roads + towns), briefing)
        assert "- and 3 more roads: 600 m" in message.text  # 100 + 200 + 300
        assert "- and 1 more settlement: 1 person" in message.text
        assert len(message.payload["data"]["roads"]) == 15
        assert message.payload["data"]["people"] == 91

    @pytest.mark.parametrize(
        ("metres", "said"),
        [
            (0.0, "a few metres"),
            (7.0, "10 m"),
            (994.0, "990 m"),
            (996.0, "1.0 km"),
            (9949.0, "9.9 km"),
            (9950.0, "10 km"),
        ],
    )
    def test_lengths(self, metres: float, said: str, change: AlertChange, briefing: Briefing) -> None:
        road = Hit("road", "x", "Road", "", metres, 0, 0.5)
        assert f"- Road: {said}\n" in compose(replace(change, hits=(road,)), briefing).text

    def test_unnamed(self, change: AlertChange, briefing: Briefing) -> None:
        hits = (Hit("road", "7", "\n", "", 50.0, 0, 0.5), Hit("settlement", "8", "", "", 0.0, 3, 0.5))
        text = compose(replace(change, hits=hits), briefing).text
        assert "- unnamed road 7: 50 m" in text
        assert "- unnamed settlement 8: 3 people" in text

    def test_pieces_of_one_road_are_one_road(self, change: AlertChange, briefing: Briefing) -> None:
        pieces = tuple(Hit("road", str(n), "Ridge Road", "R 1", 100.0 * n, 0, 0.1 * n) for n in (1, 2, 3))
        unnamed = tuple(Hit("road", f"u{n}", "", "", 10.0, 0, 0.1) for n in (1, 2))
        message = compose(replace(change, hits=pieces + unnamed), briefing)
        assert "- Ridge Road (R 1): 600 m" in message.text
        assert message.text.count("Ridge Road") == 1
        assert message.text.count("unnamed road") == 2
        assert len(message.payload["data"]["roads"]) == 5  # a program gets every piece

    def test_touched_at_its_edge_is_not_nobody(self, change: AlertChange, briefing: Briefing) -> None:
        town = Hit("settlement", "8", "Edge", "", 0.0, 0, 0.5)
        text = compose(replace(change, hits=(town,)), briefing).text
        assert "- Edge: fewer than one person by share of area" in text
        assert "0 people" not in text

    def test_unknown_population_only(self, change: AlertChange, briefing: Briefing) -> None:
        message = compose(replace(change, hits=change.hits[3:]), briefing)
        assert "1 settlement (an unknown number of people)" in unwrapped(message.text)
        assert message.payload["data"]["people"] is None

    def test_unknown_probability(self, change: AlertChange, briefing: Briefing) -> None:
        hits = tuple(replace(hit, probability_max=float("nan")) for hit in change.hits)
        message = compose(replace(change, hits=hits), briefing)
        assert message.payload["data"]["probability_max"] is None
        assert "nan" not in message.text

    def test_map_is_shown_where_there_is_one(self, change: AlertChange, briefing: Briefing) -> None:
        assert "cid:map" not in compose(change, briefing).html
        assert compose(change, briefing, b"png").html.count("cid:map") == 1
        assert compose(change, briefing, b"png").map_png == b"png"

    def test_right_to_left_name_is_isolated(self, change: AlertChange, briefing: Briefing) -> None:
        road = Hit("road", "x", "طريق", "A 7", 900.0, 0, 0.5)
        assert "- \u2068طريق\u2069 (A 7): 900 m" in compose(replace(change, hits=(road,)), briefing).text

    def test_nothing_hit_any_more_names_nothing_to_do_on_roads(self, change: AlertChange, briefing: Briefing) -> None:
        lowered = replace(change, kind=Kind.LOWER, before=Level.RED, after=Level.ORANGE, hits=())
        said = unwrapped(compose(lowered, briefing).text)
        assert "On this day no known road or settlement in North Cumberland lies in a zone" in said
        assert "roads named" not in said

    def test_ended_is_not_safe(self, change: AlertChange, briefing: Briefing) -> None:
        ended = replace(change, kind=Kind.CLEAR, before=Level.RED, after=Level.NONE, hits=())
        said = unwrapped(compose(ended, briefing).text)
        assert "On each of the last 2 days with complete rain, no known road or settlement" in said
        assert "Slopes can still fail after the rain has passed" in said


class TestDataMissing:
    @pytest.fixture
    def missing(self, briefing: Briefing) -> Briefing:
        days = tuple(r.day for r in briefing.rain[3:])
        there = {"rain": briefing.rain[:3], "missing": days, "model_id": ""}
        return replace(briefing, grade="E", area_name="", opened_on=None, **there)

    def test_is_of_its_own_kind(self, missing: Briefing) -> None:
        message = compose_data_missing(missing)
        assert (message.kind, message.area_id, message.level) == (Kind.DATA_MISSING, None, Level.NONE)
        assert message.subject == "Rain data missing: no all-clear, Jacksboro demo, 5 Oct"
        assert "of the seven days of rain needed, 4 are missing" in unwrapped(message.text)
        assert "2 October 2026: no rain archived" in message.text

    def test_never_looks_like_an_all_clear(self, missing: Briefing) -> None:
        html = compose_data_missing(missing).html
        assert DATA_MISSING_COLOUR in html
        assert not any(colour in html for colour in LEVEL_COLOURS.values())
        assert "That says nothing about now." in html

    def test_names_what_stays_in_force(self, missing: Briefing) -> None:
        standing = [Standing("South", Level.ORANGE, DAY - timedelta(1)), Standing("N & <b>", Level.RED, DAY)]
        message = compose_data_missing(missing, standing)
        assert rows(message.text)[:2] == [
            "- N & <b>: RED since 5 October 2026",
            "- South: ORANGE since 4 October 2026",
        ]
        assert "N &amp; &lt;b&gt;" in message.html
        assert message.payload["data"]["in_force"][1] == {
            "area": "South",
            "level": "ORANGE",
            "opened_on": "2026-10-04",
        }

    def test_one_day_missing_may_still_raise(self, briefing: Briefing) -> None:
        said = unwrapped(compose_data_missing(lower_bound(briefing)).text)
        assert (
            "1 of the seven days of rain is missing. Warnings can still be raised for Jacksboro demo, but none" in said
        )

    def test_modelled_rain_is_not_called_missing(self, briefing: Briefing) -> None:
        modelled = RainInput(DAY, "ERA5-Land", "v1", "E")
        message = compose_data_missing(replace(briefing, grade="E", rain=(*briefing.rain[:-1], modelled)))
        said = unwrapped(message.text)
        assert message.subject.startswith("Rain not observed: no all-clear")
        assert "Some of the seven days of rain were not observed but modelled (ERA5-Land)." in said
        assert "what looks low may be high" in said
        assert "5 October 2026: ERA5-Land v1, modelled" in said
        assert "1 of 7 days not observed" in Page(message.html).text

    def test_holes_everywhere_leave_nothing_known(self, briefing: Briefing) -> None:
        said = unwrapped(compose_data_missing(replace(briefing, model_id="")).text)
        assert "the rain of the seven days has gaps everywhere. Everything is unknown" in said

    def test_gaps_are_named_by_area(self, briefing: Briefing) -> None:
        said = unwrapped(compose_data_missing(replace(briefing, gaps=("South",))).text)
        assert "Rain is missing over parts of Jacksboro demo" in said
        assert "South: rain missing over part of it" in said


class TestOutlook:
    def test_says_at_once_that_it_is_one(self, change: AlertChange, outlook: Briefing) -> None:
        message = compose(change, outlook)
        assert message.subject == "RED landslide outlook: North Cumberland, for 7 Oct"
        assert message.text.splitlines()[:2] == ["RED LANDSLIDE OUTLOOK", "North Cumberland, for 7 October 2026"]
        said = unwrapped(message.text)
        assert "Outlook from forecast rain that may not fall. Draft by an automatic system" in said
        assert (
            "If the rain falls as in the CHIRPS-GEFS forecast of 5 October 2026, 00 UTC, zones of very high landslide "
            "susceptibility in North Cumberland will meet 2 settlements"
        ) in said
        assert "That is 2 days ahead of the last observed rain. Forecast rain may not fall" in said
        assert "In force since 5 October 2026." in said
        assert " now " not in said
        assert " fell " not in said
        assert "has fallen" not in said

    def test_why_and_how_sure(self, change: AlertChange, outlook: Briefing) -> None:
        message = compose(change, outlook)
        said = unwrapped(message.text)
        assert (
            "Up to 212 mm of rain in the area in the seven days to 7 October 2026 (UTC): of these, 95 mm are forec"
            in said
        )
        assert "118 % of it would be reached." in said
        assert "Rain of grade E: 2 of the seven days are forecast, not observed." in said
        assert "- CHIRPS-GEFS forecast of 5 October 2026, 00 UTC: 2 days" in rows(message.text)
        assert "The observed rain ends 16 hours before this message." in said
        assert "212 mm of rain in 7 days, 95 mm of it forecast" in Page(message.html).text

    def test_what_withdraws_it(self, change: AlertChange, outlook: Briefing) -> None:
        said = unwrapped(compose(change, outlook).text)
        assert "An outlook that calls for less withdraws nothing." in said
        assert "after 2 days with complete observed rain on which less is called for" in said

    def test_of_an_alert_in_force(self, change: AlertChange, outlook: Briefing) -> None:
        message = compose(replace(change, kind=Kind.RAISE, before=Level.ORANGE), outlook)
        assert message.subject == "RED landslide outlook (raised): North Cumberland, for 7 Oct"
        assert message.text.startswith("LANDSLIDE OUTLOOK RAISED TO RED\n")

    def test_when_it_has_come(self, change: AlertChange, briefing: Briefing) -> None:
        come = replace(change, kind=Kind.UPDATE, before=change.after, new=frozenset(), confirmed=True)
        message = compose(come, briefing)
        assert message.text.startswith("RED LANDSLIDE WARNING: WHAT WAS FORECAST HAS COME\n")
        assert "So far this level rested on forecast rain. Now rain that has fallen calls for it too." in unwrapped(
            message.text
        )
        assert "newly affected" not in message.text
        assert message.payload["data"]["confirmed"] is True

    def test_a_program_is_told_too(self, change: AlertChange, outlook: Briefing) -> None:
        message = compose(change, outlook)
        data = message.payload["data"]
        assert message.payload["type"] == "landslide_outlook.open"
        assert (message.lead_days, message.valid_day) == (2, DAY + timedelta(2))
        assert (data["lead_days"], data["valid_day"], data["rain"]["complete"]) == (2, "2026-10-07", False)
        assert (data["rain"]["measure"], data["rain"]["forecast_mm"]) == ("sum", 95.2)
        assert [day["forecast"] for day in data["rain"]["days"]] == [False] * 5 + [True] * 2
        assert compose(change, replace(outlook, lead_days=0)).payload["data"]["lead_days"] == 0

    def test_a_step_down_held_by_one_says_so(self, change: AlertChange, briefing: Briefing) -> None:
        lowered = replace(change, kind=Kind.LOWER, before=Level.RED, after=Level.ORANGE, hits=())
        words = "It goes no lower yet because an outlook for the days ahead calls for it."
        assert words in unwrapped(compose(replace(lowered, held=True), briefing).text)
        assert words not in unwrapped(compose(lowered, briefing).text)


class TestRain:
    @pytest.mark.parametrize(
        ("version", "issued"),
        [
            ("2026-10-05T00Z", "5 October 2026, 00 UTC"),
            ("2026-10-05T12Z mapped 1f2e3d4c", "5 October 2026, 12 UTC mapped 1f2e3d4c"),
            ("tomorrow", "tomorrow"),
        ],
    )
    def test_the_issue_of_a_forecast(self, version: str, issued: str, change: AlertChange, outlook: Briefing) -> None:
        ahead = RainInput(outlook.valid_day, "GFS", version, "E", forecast=True)
        message = compose(change, replace(outlook, rain=(*outlook.rain[:5], ahead)))
        assert f"GFS forecast of {issued}: 1 day" in unwrapped(message.text)

    def test_a_stand_in_is_named(self, change: AlertChange, briefing: Briefing) -> None:
        stand_in = RainInput(DAY, "CPC-Unified", "v1", "C")
        said = unwrapped(compose(change, replace(briefing, grade="C", rain=(*briefing.rain[:-1], stand_in))).text)
        assert "Rain of grade C: all seven days are there, some from a stand-in product: CPC-Unified." in said

    def test_modelled_rain_is_named(self, change: AlertChange, briefing: Briefing) -> None:
        modelled = RainInput(DAY, "ERA5-Land", "v1", "E")
        said = unwrapped(compose(change, replace(briefing, grade="E", rain=(*briefing.rain[:-1], modelled))).text)
        assert "some of the rain is modelled, not observed. It may raise a warning and never ends one." in said
        assert "Some of that is modelled, not measured." in said
        assert "- ERA5-Land v1, modelled: 1 day" in said

    def test_more_rain_than_the_model_has_seen_is_told(self, change: AlertChange, briefing: Briefing) -> None:
        for most, told in ((briefing.r7_max_mm, False), (briefing.r7_max_mm - 1, True), (None, False)):
            message = compose(change, replace(briefing, model_max_mm=most))
            assert ("so its class may be too low" in unwrapped(message.text)) is told
            assert ("su clase puede quedarse corta" in unwrapped(message.in_language("es").text)) is told
            assert message.payload["data"]["rain"]["beyond_model"] is told

    def test_a_hole_in_the_area_makes_a_lower_bound(self, change: AlertChange, briefing: Briefing) -> None:
        message = compose(change, replace(briefing, lower_bound=True))
        said = unwrapped(message.text)
        assert "At least 212 mm of rain fell in the area" in said
        assert "Rain is missing over part of the area on some days, so the total there is a lower bound." in said
        assert "≥ 212 mm" in Page(message.html).text

    @pytest.mark.parametrize(
        ("measure", "title"),
        [("ari", "antecedent rainfall index of 7 days"), ("effective-0.84", "effective rain of 7 days")],
    )
    @pytest.mark.parametrize("ahead", [False, True])
    def test_another_measure_is_no_sum(
        self, change: AlertChange, briefing: Briefing, outlook: Briefing, measure: str, title: str, ahead: bool
    ) -> None:
        message = compose(
            change, replace(outlook if ahead else briefing, measure=measure, measure_title=title, r7_max_mm=61.0)
        )
        said = unwrapped(message.text)
        assert f"The {title} to" in said
        assert "is up to 61 mm in the area" in said
        assert "so it is not the amount that fell" in said
        assert ("95 mm of it from forecast rain" in said) == ahead
        assert "mm of rain fell" not in said
        assert "seven-day rain" not in said
        assert f"61 mm of {title}" in Page(message.html).text


class TestBriefing:
    def test_age_counts_from_the_end_of_the_utc_day(self, briefing: Briefing) -> None:
        assert briefing.rain_age_h == 15.5
        assert replace(briefing, issued_at=datetime(2026, 10, 6, 0, 0, tzinfo=UTC)).rain_age_h == 0

    @pytest.mark.parametrize(("grade", "complete"), [("A", 1), ("B", 1), ("C", 1), ("D", 0), ("E", 0)])
    def test_complete(self, briefing: Briefing, grade: str, complete: int) -> None:
        assert replace(briefing, grade=grade).complete is bool(complete)
        assert not replace(briefing, grade=grade, lead_days=1).complete

    def test_age_of_an_outlook_is_that_of_its_observed_rain(self, briefing: Briefing, outlook: Briefing) -> None:
        assert outlook.rain_age_h == briefing.rain_age_h
        assert outlook.observed_to == DAY


class TestOneLine:
    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a\r\nBcc: b", "a Bcc: b"),
            (" a\u2028b\u2029c\x85d\te\x00f ", "a b c d e f"),
            ("a\u202egnp.exe", "agnp.exe"),
            ("a\ud800b", "a b"),
            ("नेपा\u200dल", "नेपा\u200dल"),  # joiners belong to the spelling
            ("", ""),
        ],
    )
    def test_examples(self, text: str, line: str) -> None:
        assert one_line(text) == line


PLAIN_TAGS = {"html", "head", "meta", "title", "body", "table", "tr", "td", "h1", "h2", "p", "span"}
names = st.one_of(
    st.text(),
    st.sampled_from(
        ["<script>alert(1)</script>", "{{ 7*7 }}", "\"' onload=x", "]]>", "a\r\nBcc: x", "$x$", "&lt;b&gt;"]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(names, names, names)
def test_a_name_is_only_ever_a_name(
    change: AlertChange, briefing: Briefing, outlook: Briefing, road: str, town: str, area: str
) -> None:
    """Nothing in a name becomes a header, a tag or a line of its own."""
    hits = (Hit("road", road, road, town, 50.0, 0, 0.5), Hit("settlement", town, town, "", 0.0, 3, 0.5))
    strange = {"area_name": area, "title": area, "made": town, "critical_source": road, "model_id": area}
    ended = replace(change, kind=Kind.CLEAR, before=change.after, after=Level.NONE, hits=())
    hostile = replace(briefing, **strange)
    named = tuple(replace(each, product=road, version=town) for each in outlook.rain)
    ahead = replace(outlook, rain=named, measure="other", measure_title=town, **strange)
    clean = compose(replace(change, hits=(replace(hits[0], name="R", ref="r"), replace(hits[1], name="T"))), hostile)
    changed = replace(change, hits=hits)
    messages = [
        compose(changed, hostile),
        compose(changed, ahead),
        compose_data_missing(hostile),
        compose(ended, replace(hostile, withdrawn_by=road or "x", reason=town)),
        with_approval(compose(changed, hostile), "approved", area),
    ]
    for message in (each.in_language(language) for each in messages for language in ("en", "es")):
        assert len(message.subject.splitlines()) == 1
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in message.subject)
        page = Page(message.html)
        assert set(page.tags) <= PLAIN_TAGS
        assert page.open == []
        message.text.encode()
        message.html.encode()
        json.dumps(message.payload, allow_nan=False)
    assert Page(compose(replace(change, hits=hits), hostile).html).tags == Page(clean.html).tags


@pytest.mark.parametrize("colour", [*LEVEL_COLOURS.values(), DATA_MISSING_COLOUR])
def test_white_is_readable_on_every_bar(colour: str) -> None:
    """WCAG 2 contrast of white text, at least 4.5."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_a_reminder_says_that_it_stands_and_knows_nothing_where_rain_is_missing(change, briefing):
    again = replace(change, kind=Kind.UPDATE, before=change.after, new=frozenset(), hits=())
    said = compose(again, replace(briefing, grade="D", missing=(briefing.valid_day,)))
    assert "still in force" in said.payload["data"]["headline"]
    assert "(in force)" in said.subject
    assert "is not known, for rain is missing. This is no all-clear." in " ".join(said.text.split())
    assert "no known road or settlement" not in said.text
    spanish = said.translations["es"]
    assert "sigue en vigor" in spanish.html
    assert "No se sabe qué hay en esas zonas" in " ".join(spanish.text.split())
