"""The arithmetic of a verification: every area-day counted once, unknown never right, tolerance only helps."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.alerts.verification.counts import (
    DAY,
    Answer,
    Contingency,
    Event,
    Said,
    answer,
    contingency,
    days_between,
    lead_of,
    levels_by_day,
)

FIRST = date(2026, 3, 1)
DAYS = days_between(FIRST, FIRST + 9 * DAY)
AREAS = ("east", "west")


def day(number: int) -> date:
    return FIRST + number * DAY


def event(number: int, area: str = "west", near: tuple[str, ...] = (), name: str = "slide") -> Event:
    return Event(f"{name} {number} {area}", area, day(number), frozenset({area, *near}))


def count(warned, known, events, *, area="west", level=1, tolerance=1, unplaced=()):
    answers = {each: answer(each, warned, known, tolerance) for each in events}
    return contingency(area, DAYS, level, warned, known, answers, unplaced, tolerance)


ALL_KNOWN = frozenset((area, each) for area in AREAS for each in DAYS)


def test_by_hand():
    warned = {("west", day(2)): 1, ("west", day(3)): 2, ("west", day(7)): 1}
    events = [event(3), event(5)]
    found = count(warned, ALL_KNOWN, events)
    assert found == Contingency(hits=1, misses=1, false_alarms=1, near=1, correct_negatives=6)
    assert (found.pod, found.far, found.csi) == (1 / 2, 1 / 2, 1 / 3)
    assert found.pofd == pytest.approx(1 / 7)
    assert count(warned, ALL_KNOWN, events, level=2) == Contingency(hits=1, misses=1, correct_negatives=8)
    # With a day more of tolerance the second landslide is warned of too, and no alarm is false.
    assert count(warned, ALL_KNOWN, events, tolerance=2) == Contingency(hits=2, near=2, correct_negatives=6)
    assert count(warned, ALL_KNOWN, events, tolerance=0).hits == 1


def test_nothing_known_is_never_right():
    found = count({}, frozenset(), [event(3)])
    assert found == Contingency(blind=1, unknown=9)
    assert isnan(found.pod)
    assert found.pod_blind == 0
    assert isnan(found.pofd)
    # A warning stands whatever its day is worth, and may be as wrong.
    stood = count({("west", day(3)): 1, ("west", day(8)): 1}, frozenset(), [event(3)])
    assert stood == Contingency(hits=1, false_alarms=1, unknown=8)


def test_a_warning_next_door_is_one_of_a_landslide_at_the_border():
    warned = {("east", day(4)): 1}
    at_the_border = [event(4, near=("east",))]
    assert count(warned, ALL_KNOWN, at_the_border).hits == 1
    assert count(warned, ALL_KNOWN, at_the_border, area="east").near == 1
    assert count(warned, ALL_KNOWN, [event(4)]).misses == 1
    assert count(warned, ALL_KNOWN, [event(4)], area="east").false_alarms == 1


def test_a_landslide_of_uncertain_place_makes_no_hit_and_no_alarm_false():
    warned = {("west", day(4)): 1}
    found = count(warned, ALL_KNOWN, [], unplaced=[event(4)])
    assert found == Contingency(near=1, correct_negatives=9)


def test_of_two_landslides_on_an_area_day_one_that_was_warned_of_makes_the_hit():
    answers = {event(4, name="a"): Answer(5, True), event(4, name="b"): Answer(0, True)}
    assert contingency("west", DAYS, 4, {}, ALL_KNOWN, answers, (), 1).hits == 1


area_days = st.tuples(st.sampled_from(AREAS), st.sampled_from(DAYS))
warnings = st.dictionaries(area_days, st.integers(0, 2), max_size=12)
landslides = st.lists(
    st.builds(
        lambda key, near, number: Event(str(number), key[0], key[1], frozenset({key[0], *near})),
        area_days,
        st.sets(st.sampled_from(AREAS)),
        st.integers(0, 10_000),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)


@given(warnings, st.frozensets(area_days), landslides, landslides, st.sampled_from([1, 2]), st.integers(0, 3))
def test_every_area_day_is_counted_once_and_figures_are_shares(warned, known, events, unplaced, level, tolerance):
    found = count(warned, known, events, level=level, tolerance=tolerance, unplaced=unplaced)
    assert found.area_days == len(DAYS)
    with_landslide = {each.day for each in events if each.area_id == "west"}
    assert found.hits + found.misses + found.blind == len(with_landslide)
    for figure in (found.pod, found.pod_blind, found.far, found.pofd, found.csi):
        assert isnan(figure) or 0 <= figure <= 1
    if found.hits:
        assert found.csi <= min(found.pod, 1 - found.far) + 1e-12
        assert found.pod_blind <= found.pod


@given(warnings, st.frozensets(area_days), landslides, st.sampled_from([1, 2]), st.integers(0, 3))
def test_tolerance_never_costs_a_hit_nor_makes_a_false_alarm(warned, known, events, level, tolerance):
    strict = count(warned, known, events, level=level, tolerance=tolerance)
    lenient = count(warned, known, events, level=level, tolerance=tolerance + 1)
    assert lenient.hits >= strict.hits
    assert lenient.false_alarms <= strict.false_alarms


@given(warnings, st.frozensets(area_days), landslides)
def test_knowing_less_never_makes_more_right(warned, known, events):
    blind, sighted = count(warned, frozenset(), events), count(warned, known, events)
    assert blind.hits == sighted.hits
    assert blind.false_alarms == sighted.false_alarms
    assert blind.correct_negatives == blind.misses == 0


@given(warnings, st.frozensets(area_days), landslides)
def test_a_higher_level_is_never_warned_of_more_often(warned, known, events):
    orange, red = (count(warned, known, events, level=level) for level in (1, 2))
    assert red.hits <= orange.hits
    assert red.false_alarms <= orange.false_alarms


def said(order: int, level: int, number: int, told: datetime | None = None, alert: int = 1) -> Said:
    return Said("west", alert, order, level, day(number), told)


def test_the_last_word_on_a_day_is_in_force():
    # An outlook for day 5, then observed: orange on day 3, red on 4, lower on 6, closed on 8.
    words = [said(1, 1, 5), said(2, 1, 3), said(3, 2, 4), said(4, 1, 6), said(5, 0, 8)]
    found = levels_by_day(words, {1: day(8)}, DAYS)
    assert {each.day - FIRST.day: level for (_, each), level in found.items()} == {3: 1, 4: 2, 5: 2, 6: 1, 7: 1}
    # Taken back before its day came: it never was in force.
    assert levels_by_day([said(1, 2, 5), said(2, 0, 3)], {1: day(3)}, DAYS) == {}
    # An alert that was ended without a word is ended all the same, and two alerts do not end each other.
    assert set(levels_by_day([said(1, 1, 0), said(2, 2, 4, alert=2)], {1: day(2), 2: None}, DAYS)) == {
        ("west", each) for each in (day(0), day(1), *DAYS[4:])
    }


def test_lead_time_is_of_the_first_word_of_the_stretch():
    told = datetime(2026, 3, 3, 18, tzinfo=UTC)
    words = [said(1, 1, 2, told), said(2, 2, 4, told + 2 * timedelta(days=1)), said(3, 0, 6)]
    warned = levels_by_day(words, {1: day(6)}, DAYS)
    orange, red = (lead_of(event(5), level, warned, words, 1) for level in (1, 2))
    assert orange is not None
    assert red is not None
    assert (orange.lead_h, orange.ahead, orange.in_time) == (2 * 24 + 6, True, True)
    assert red.lead_h == 6
    late = lead_of(event(2), 1, warned, words, 1)
    assert late is not None
    assert (late.lead_h, late.ahead, late.in_time) == (6 - 24, False, True)
    unsaid = [replace(each, told_at=None) for each in words]
    nobody = lead_of(event(5), 1, warned, unsaid, 1)
    assert nobody is not None
    assert (nobody.told_at, nobody.in_time) == (None, False)
    assert lead_of(event(9), 1, warned, words, 1) is None
