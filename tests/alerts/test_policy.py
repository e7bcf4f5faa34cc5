from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.alerts.policy import AlertState, Decision, Hit, Kind, Level, decide, level_of
from lswarn.region import Alerts

DAY = date(2026, 10, 1)
EVERYWHERE = ("a", "b", "c")
RULES = Alerts(red_people=10, clear_after_days=2)
ROAD = Hit("road", "25", "Main Street", "US 25W", 420.0, 0, 0.8)
OTHER_ROAD = Hit("road", "9", "", "TN 9", 60.0, 0, 0.7)
HAMLET = Hit("settlement", "h", "Hamlet", "", 0.0, 9, 0.7)
TOWN = Hit("settlement", "t", "Town", "", 0.0, 400, 0.9)
UNCOUNTED = Hit("settlement", "u", "Uncounted", "", 0.0, None, 0.6)

Day = tuple[list[Hit], bool]


def play(days: list[Day], rules: Alerts = RULES, area: str = "a") -> list[Decision]:
    """Decide one area's days in order, each from the state the one before left."""
    decisions: list[Decision] = []
    state: dict[str, AlertState] = {}
    for number, (hits, complete) in enumerate(days):
        decisions.append(decide(DAY + timedelta(number), state, {area: hits}, {area} if complete else (), rules))
        state = decisions[-1].after
    return decisions


def kinds(days: list[Day], rules: Alerts = RULES) -> list[Kind | None]:
    return [d.changes[0].kind if d.changes else None for d in play(days, rules)]


def test_hit_key() -> None:
    assert ROAD.key == "road:25"


def test_a_gap_in_the_rain_of_one_area_holds_only_its_alert() -> None:
    state = decide(DAY, {}, {"a": [ROAD], "b": [ROAD]}, EVERYWHERE, RULES).after
    for number in (1, 2):
        state = decide(DAY + timedelta(number), state, {}, ("b",), RULES).after
    assert set(state) == {"a"}


class TestLevelOf:
    @pytest.mark.parametrize(
        ("hits", "level"),
        [
            ([], Level.NONE),
            ([ROAD], Level.ORANGE),
            ([ROAD, HAMLET], Level.ORANGE),  # 9 people, red from 10
            ([HAMLET, HAMLET], Level.RED),  # people add up
            ([TOWN], Level.RED),
            ([UNCOUNTED], Level.RED),
        ],
    )
    def test_people_make_it_red(self, hits: list[Hit], level: Level) -> None:
        assert level_of(hits, RULES) is level

    def test_red_people_is_obeyed(self) -> None:
        assert level_of([TOWN], Alerts(red_people=401)) is Level.ORANGE
        assert level_of([TOWN], Alerts(red_people=400)) is Level.RED


class TestDecide:
    def test_the_life_of_an_alert(self) -> None:
        days: list[Day] = [([], True), ([ROAD], True), ([ROAD, TOWN], True), ([ROAD], True), ([ROAD], True)]
        days += [([], True), ([], True), ([], True)]
        assert kinds(days) == [None, Kind.OPEN, Kind.RAISE, None, Kind.LOWER, None, Kind.CLEAR, None]

    def test_change_says_what_was_and_is(self) -> None:
        change = play([([ROAD], True), ([ROAD, TOWN], True)])[1].changes[0]
        assert (change.area_id, change.before, change.after) == ("a", Level.ORANGE, Level.RED)
        assert change.hits == (ROAD, TOWN)
        assert change.new == {"settlement:t"}

    def test_update_names_what_is_new_once(self) -> None:
        decisions = play([([ROAD], True), ([ROAD, OTHER_ROAD], True), ([OTHER_ROAD], True), ([ROAD], True)])
        assert [len(d.changes) for d in decisions] == [1, 1, 0, 0]
        assert decisions[1].changes[0].kind is Kind.UPDATE
        assert decisions[1].changes[0].new == {"road:9"}

    def test_update_on_a_day_below_the_level(self) -> None:
        assert kinds([([TOWN], True), ([ROAD], True)]) == [Kind.OPEN, Kind.UPDATE]

    def test_steps_to_the_highest_of_the_last_days(self) -> None:
        # Red, then orange and nothing: two days below red, the higher of them orange; one more day and it is over.
        days: list[Day] = [([ROAD, TOWN], True), ([ROAD], True), ([], True), ([], True)]
        assert kinds(days) == [Kind.OPEN, None, Kind.LOWER, Kind.CLEAR]

    def test_red_clears_at_once_after_enough_empty_days(self) -> None:
        assert kinds([([TOWN], True), ([], True), ([], True)]) == [Kind.OPEN, None, Kind.CLEAR]

    def test_incomplete_day_does_not_count_and_does_not_reset(self) -> None:
        assert kinds([([ROAD], True), ([], True), ([], False), ([], True)]) == [Kind.OPEN, None, None, Kind.CLEAR]

    def test_incomplete_day_that_surely_hits_resets(self) -> None:
        assert kinds([([ROAD], True), ([], True), ([ROAD], False), ([], True)])[-1] is None

    def test_incomplete_day_may_open_and_raise(self) -> None:
        assert kinds([([ROAD], False), ([ROAD, TOWN], False)]) == [Kind.OPEN, Kind.RAISE]

    def test_day_found_incomplete_later_is_taken_back(self) -> None:
        opened = play([([ROAD], True), ([], True)])[-1].after
        again = decide(DAY + timedelta(1), opened, {}, (), RULES)
        assert opened["a"].below == ((DAY + timedelta(1), Level.NONE),)
        assert again.after["a"].below == ()
        assert again.changes == ()

    def test_better_rain_of_the_same_day_may_raise(self) -> None:
        opened = play([([ROAD], True)])[-1].after
        assert decide(DAY, opened, {"a": [ROAD, TOWN]}, EVERYWHERE, RULES).changes[0].kind is Kind.RAISE

    def test_better_rain_of_the_same_day_counts_once(self) -> None:
        state = play([([ROAD], True), ([], True)])[-1].after
        assert decide(DAY + timedelta(1), state, {}, EVERYWHERE, RULES).changes == ()

    def test_areas_are_apart_and_in_order(self) -> None:
        decision = decide(DAY, {}, {"b": [ROAD], "a": [TOWN], "c": []}, EVERYWHERE, RULES)
        assert [(c.area_id, c.after) for c in decision.changes] == [("a", Level.RED), ("b", Level.ORANGE)]
        assert list(decision.after) == ["a", "b"]

    def test_opened_on_is_kept(self) -> None:
        assert play([([ROAD], True), ([TOWN], True), ([ROAD], True)])[-1].after["a"].opened_on == DAY

    def test_clear_after_days_is_obeyed(self) -> None:
        days: list[Day] = [([TOWN], True), ([], True), ([], True), ([], True)]
        assert kinds(days, Alerts(clear_after_days=1))[1] is Kind.CLEAR
        assert kinds(days, Alerts(clear_after_days=3))[1:] == [None, None, Kind.CLEAR]


hit_lists = st.lists(st.sampled_from([ROAD, OTHER_ROAD, HAMLET, TOWN, UNCOUNTED]), unique=True)
histories = st.lists(st.tuples(hit_lists, st.booleans()), max_size=15)
rulebooks = st.builds(Alerts, red_people=st.sampled_from([1, 10, 500]), clear_after_days=st.integers(1, 4))


class TestLaws:
    @given(histories, rulebooks)
    def test_no_escalation_is_lost(self, days: list[Day], rules: Alerts) -> None:
        told = Level.NONE
        for (hits, _), decision in zip(days, play(days, rules), strict=True):
            called = level_of(hits, rules)
            if called > told:
                assert [c.after for c in decision.changes] == [called]
            told = decision.after["a"].level if decision.after else Level.NONE
            assert told >= called

    @given(histories, rulebooks)
    def test_down_only_after_enough_complete_days_below(self, days: list[Day], rules: Alerts) -> None:
        """No flapping: a level that was just called for stands for `clear_after_days` complete days more."""
        quiet = 0
        for (hits, complete), decision in zip(days, play(days, rules), strict=True):
            before = decision.changes[0].before if decision.changes else None
            level = before if before is not None else decision.after["a"].level if decision.after else Level.NONE
            quiet = 0 if level_of(hits, rules) >= level else quiet + complete
            for change in decision.changes:
                if change.kind in (Kind.LOWER, Kind.CLEAR):
                    assert complete
                    assert quiet >= rules.clear_after_days

    @given(histories, rulebooks)
    def test_every_alert_ends(self, days: list[Day], rules: Alerts) -> None:
        dry: list[Day] = [([], True)] * rules.clear_after_days
        decisions = play(days + dry, rules)
        assert decisions[-1].after == {}
        said = [c.kind for d in decisions for c in d.changes]
        assert said.count(Kind.OPEN) == said.count(Kind.CLEAR)

    @given(histories, rulebooks)
    def test_same_day_again_changes_nothing(self, days: list[Day], rules: Alerts) -> None:
        for number, ((hits, complete), decision) in enumerate(zip(days, play(days, rules), strict=True)):
            again = decide(DAY + timedelta(number), decision.after, {"a": hits}, {"a"} if complete else (), rules)
            assert again.changes == ()
            assert again.after == decision.after

    @given(histories, rulebooks)
    def test_missing_rain_never_lowers(self, days: list[Day], rules: Alerts) -> None:
        level = Level.NONE
        for decision in play([(hits, False) for hits, _ in days], rules):
            now = decision.after["a"].level if decision.after else Level.NONE
            assert now >= level
            level = now

    @given(histories, histories, rulebooks)
    def test_areas_do_not_touch_each_other(self, ours: list[Day], theirs: list[Day], rules: Alerts) -> None:
        alone = play(ours, rules)
        state: dict[str, AlertState] = {}
        for number, (hits, complete) in enumerate(ours):
            other = theirs[number][0] if number < len(theirs) else []
            decision = decide(DAY + timedelta(number), state, {"a": hits, "b": other}, {"a"} if complete else (), rules)
            state = decision.after
            assert tuple(c for c in decision.changes if c.area_id == "a") == alone[number].changes
