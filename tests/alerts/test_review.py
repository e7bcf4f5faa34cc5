from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lswarn.alerts.message import compose, compose_data_missing
from lswarn.alerts.policy import Hit, Kind, Level
from lswarn.alerts.review import ask, needs_review, news_of, tell_rejected
from lswarn.sections import Alerts

UNTIL = datetime(2026, 10, 6, 16, 30, tzinfo=UTC)


def rules(*review):
    return Alerts(review=review, reviewers=("somebody",))


@pytest.mark.parametrize(
    ("before", "after", "review", "asked"),
    [
        (Level.NONE, Level.RED, (), False),
        (Level.NONE, Level.RED, ("red",), True),
        (Level.NONE, Level.ORANGE, ("red",), False),
        (Level.ORANGE, Level.RED, ("red",), True),
        (Level.RED, Level.ORANGE, ("red",), True),  # what it takes back was reviewed
        (Level.RED, Level.NONE, ("red",), True),
        (Level.ORANGE, Level.NONE, ("red",), False),
        (Level.ORANGE, Level.NONE, ("orange",), True),
        (Level.NONE, Level.RED, ("orange",), False),
    ],
)
def test_the_higher_of_the_two_levels_decides(change, briefing, before, after, review, asked):
    kind = Kind.OPEN if after > before else Kind.LOWER if after else Kind.CLEAR
    message = compose(replace(change, kind=kind, before=before, after=after), briefing)
    assert needs_review(message, rules(*review)) is asked


def test_missing_rain_and_what_a_person_decided_wait_for_nobody(change, briefing):
    everything = rules("orange", "red")
    assert not needs_review(compose_data_missing(briefing), everything)
    withdrawn = replace(change, kind=Kind.CLEAR, before=Level.RED, after=Level.NONE, hits=())
    assert not needs_review(compose(withdrawn, replace(briefing, withdrawn_by="A. Duty")), everything)


def test_news_are_what_is_new_and_what_was_missed(change, briefing):
    missed = (Hit("road", "z", "Gone Road", "", 10.0, 0, 0.6),)
    message = compose(replace(change, kind=Kind.UPDATE, new=frozenset({"settlement:l"}), missed=missed), briefing)
    assert news_of(message) == ["road:z", "settlement:l"]
    assert "Gone Road" in message.text
    assert "Gone Road" in message.translations["es"].html


def test_what_is_typed_by_whoever_rejects_injects_nothing(change, briefing):
    told = tell_rejected(compose(change, briefing), 7, "<b>Eve</b>\r\nBcc: x", "<script>\u202e")
    assert "<b>Eve" not in told.html
    assert "<script>" not in told.html
    assert "\n" not in told.subject
    assert "\u202e" not in told.text


def test_what_reviewers_get_is_the_draft_and_what_to_type(change, briefing):
    draft = compose(change, briefing, b"\x89PNG map")
    asked = ask(draft, 7, UNTIL)
    assert asked.text.endswith(draft.text)
    assert "16:30 UTC on 6 October 2026" in asked.text
    assert asked.html.index("lswarn alerts approve 7") < asked.html.index("cid:map")
    assert (asked.kind, asked.level, asked.map_png) == (Kind.REVIEW, draft.level, draft.map_png)
    assert asked.payload["type"] == "landslide_review"
