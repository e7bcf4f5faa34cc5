"""The duration matrix: every area-day in one cell, unknown ones in a row of their own."""

from datetime import date
from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from lswarn.alerts.verification.counts import DAY, Event, days_between
from lswarn.alerts.verification.edumap import (
    CLASSES,
    CRITERION,
    GRADES,
    INDICATORS,
    LEVELS,
    duration_matrix,
    landslide_events,
)

FIRST = date(2026, 3, 1)
DAYS = days_between(FIRST, FIRST + 9 * DAY)
KNOWN = frozenset(("west", day) for day in DAYS)


def slides(*numbers: int, area: str = "west", near: tuple[str, ...] = ()) -> list[Event]:
    return [
        Event(f"{area} {k}", area, FIRST + number * DAY, frozenset({area, *near})) for k, number in enumerate(numbers)
    ]


def test_tables_fit():
    assert len(CRITERION) == len(GRADES) == len(LEVELS)
    assert {len(row) for row in (*CRITERION, *GRADES)} == {len(CLASSES)}
    silent = duration_matrix(["west"], DAYS, {}, KNOWN, [], [], 1)
    assert silent.indicators().keys() == INDICATORS.keys()
    assert all(isnan(figure) for figure in silent.indicators().values())


def test_landslides_of_neighbouring_days_are_one_event():
    found = landslide_events([*slides(1, 1, 2, 5), *slides(2, area="east")])
    assert [(each.area_id, each.landslides, (each.last - each.first).days) for each in found] == [
        ("east", 1, 0),
        ("west", 3, 1),
        ("west", 1, 0),
    ]
    assert [each.column for each in found] == [1, 2, 1]
    assert landslide_events(slides(*[3] * 10))[0].column == 3


def test_by_hand():
    warned = {("west", FIRST + n * DAY): level for n, level in ((2, 1), (3, 2), (4, 2), (7, 1))}
    found = duration_matrix(["west"], DAYS, warned, KNOWN, slides(3, 3, 9), [], 1)
    # Days 2 to 4 are of the event of two landslides, with its tolerance; on day 9 a single one came unwarned.
    assert found.days == ((5, 1, 0, 0), (1, 0, 1, 0), (0, 0, 2, 0))
    assert found.indicators() == {
        "efficiency": 3 / 5,
        "hit_rate": 3 / 4,
        "predictive_power": 3 / 4,
        "error_rate": 0,
        "serious_mistakes": 0,
    }


def test_days_that_were_not_known_are_apart():
    found = duration_matrix(["west"], DAYS, {("west", DAYS[0]): 1}, frozenset(), slides(3), [], 1)
    assert found.unknown == (8, 1, 0, 0)
    assert found.days == ((0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0))


def test_a_warning_near_a_landslide_of_the_neighbour_or_of_uncertain_place_is_in_no_cell():
    warned = {("west", DAYS[3]): 1}
    border = slides(3, area="east", near=("west",))
    assert sum(map(sum, duration_matrix(["west"], DAYS, warned, KNOWN, border, [], 1).days)) == 9
    assert sum(map(sum, duration_matrix(["west"], DAYS, warned, KNOWN, [], slides(4), 1).days)) == 9


@given(
    st.dictionaries(st.sampled_from(DAYS), st.integers(0, 2)),
    st.frozensets(st.sampled_from(DAYS)),
    st.lists(st.integers(0, 9), max_size=15),
    st.integers(0, 3),
)
def test_every_area_day_has_one_cell(levels, known, numbers, tolerance):
    warned = {("west", day): level for day, level in levels.items()}
    days = frozenset(("west", day) for day in known)
    found = duration_matrix(["west"], DAYS, warned, days, slides(*numbers), [], tolerance)
    assert sum(map(sum, found.days)) + sum(found.unknown) == len(DAYS)
    assert sum(each.landslides for each in found.events) == len(numbers)
    assert sum(found.total(grade) for grade in ("green", "yellow", "red", "purple")) == sum(map(sum, found.days))
    for figure in found.indicators().values():
        assert isnan(figure) or 0 <= figure <= 1
