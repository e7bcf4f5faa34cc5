from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.alerts.policy import (
    AlertState,
    Decision,
    Hit,
    Kind,
    Level,
    LowDay,
    Stage,
    decide,
    decide_outlooks,
    expected_levels,
    level_of,
)
from lswarn.sections import Alerts

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
        assert change.valid_day == DAY + timedelta(1)
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
        assert opened["a"].below == (LowDay(DAY + timedelta(1), Level.NONE, Level.NONE),)
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


NEXT, LATER = DAY + timedelta(1), DAY + timedelta(2)
RED = {"a": AlertState("a", Level.RED, DAY, (LowDay(DAY, Level.NONE, Level.NONE),), frozenset({TOWN.key}))}


class TestExpected:
    def test_the_highest_of_the_days_ahead(self) -> None:
        outlooks = {NEXT: {"a": [ROAD], "b": []}, LATER: {"a": [TOWN], "c": [ROAD]}}
        assert expected_levels(outlooks, RULES) == {"a": Level.RED, "b": Level.NONE, "c": Level.ORANGE}
        assert expected_levels({}, RULES) == {}

    @pytest.mark.parametrize(
        ("expected", "level", "kind", "held"),
        [
            (Level.RED, Level.RED, None, False),
            (Level.ORANGE, Level.ORANGE, Kind.LOWER, True),
            (Level.NONE, Level.NONE, Kind.CLEAR, False),
        ],
    )
    def test_a_step_down_stops_where_outlooks_hold_it(self, expected, level, kind, held) -> None:
        decision = decide(NEXT, RED, {}, EVERYWHERE, RULES, {"a": expected})
        assert [(change.kind, change.held) for change in decision.changes] == ([(kind, held)] if kind else [])
        assert (decision.after["a"].level if decision.after else Level.NONE) is level

    def test_it_raises_nothing_by_itself(self) -> None:
        assert decide(DAY, {}, {}, EVERYWHERE, RULES, {"a": Level.RED}) == Decision((), {})
        orange = {"a": replace(RED["a"], level=Level.ORANGE, below=())}
        assert decide(NEXT, orange, {}, EVERYWHERE, RULES, {"a": Level.RED}).after["a"].level is Level.ORANGE

    def test_days_below_add_up_while_outlooks_hold_the_step_back(self) -> None:
        state = RED
        for number in range(1, 6):
            state = decide(DAY + timedelta(number), state, {}, EVERYWHERE, RULES, {"a": Level.RED}).after
        assert decide(DAY + timedelta(6), state, {}, EVERYWHERE, RULES).changes[0].kind is Kind.CLEAR


class TestOutlooks:
    def test_it_opens_on_the_day_it_was_made_and_speaks_of_the_day_ahead(self) -> None:
        decision = decide_outlooks(DAY, {}, {NEXT: {}, LATER: {"a": [ROAD]}}, RULES)
        [change] = decision.changes
        assert (change.kind, change.valid_day, change.hits, change.new) == (Kind.OPEN, LATER, (ROAD,), {ROAD.key})
        assert decision.after["a"] == AlertState("a", Level.ORANGE, DAY, (), frozenset({ROAD.key}), outlook_only=True)

    def test_when_what_was_forecast_has_come_people_are_told_once(self) -> None:
        state = decide_outlooks(DAY, {}, {NEXT: {"a": [ROAD]}}, RULES).after
        come = decide(NEXT, state, {"a": [ROAD]}, EVERYWHERE, RULES)
        assert [(c.kind, c.confirmed, c.new) for c in come.changes] == [(Kind.UPDATE, True, frozenset())]
        assert decide(NEXT, come.after, {"a": [ROAD]}, EVERYWHERE, RULES).changes == ()
        assert decide_outlooks(NEXT, come.after, {LATER: {"a": [ROAD]}}, RULES).changes == ()

    def test_less_than_was_forecast_is_no_confirmation(self) -> None:
        state = decide_outlooks(DAY, {}, {NEXT: {"a": [TOWN]}}, RULES).after
        assert decide(NEXT, state, {"a": [ROAD]}, EVERYWHERE, RULES).changes[0].confirmed is False

    def test_an_area_takes_the_worst_day_and_of_equals_the_earliest(self) -> None:
        outlooks = {LATER: {"a": [TOWN], "b": [ROAD]}, NEXT: {"a": [ROAD], "b": [OTHER_ROAD]}}
        changes = decide_outlooks(DAY, {}, outlooks, RULES).changes
        assert [(c.area_id, c.valid_day, c.hits) for c in changes] == [
            ("a", LATER, (TOWN,)),
            ("b", NEXT, (OTHER_ROAD,)),
        ]

    def test_it_raises_but_never_lowers_nor_adds_places(self) -> None:
        orange = {"a": replace(RED["a"], level=Level.ORANGE)}
        assert decide_outlooks(DAY, orange, {NEXT: {"a": [TOWN]}}, RULES).changes[0].kind is Kind.RAISE
        assert decide_outlooks(DAY, RED, {NEXT: {"a": [ROAD]}}, RULES) == Decision((), RED)
        assert decide_outlooks(DAY, RED, {NEXT: {}}, RULES) == Decision((), RED)

    def test_a_rain_that_never_comes_is_taken_back_by_observed_days(self) -> None:
        outlooks = {DAY + timedelta(2): {"a": [TOWN]}}
        state = decide_outlooks(DAY, {}, outlooks, RULES).after
        said = []
        for number in (1, 2):
            day = DAY + timedelta(number)
            ahead = {valid: hits for valid, hits in outlooks.items() if valid > day}
            decision = decide(day, state, {}, EVERYWHERE, RULES, expected_levels(ahead, RULES))
            state = decision.after
            said.append([change.kind for change in decision.changes])
        assert said == [[], [Kind.CLEAR]]


Step = tuple[list[Hit], bool, dict[int, list[Hit]]]
ahead_lists = st.dictionaries(st.integers(1, 3), hit_lists, max_size=3)
seasons = st.lists(st.tuples(hit_lists, st.booleans(), ahead_lists), max_size=12)


def live(steps: list[Step], rules: Alerts) -> list[tuple[dict[str, AlertState], Decision, Decision, Level]]:
    """One area's days: what stood before, the observed decision, that of the outlooks, and what those call for."""
    lived = []
    state: dict[str, AlertState] = {}
    for number, (hits, complete, ahead) in enumerate(steps):
        day = DAY + timedelta(number)
        outlooks = {day + timedelta(lead): {"a": found} for lead, found in ahead.items()}
        expected = expected_levels(outlooks, rules)
        observed = decide(day, state, {"a": hits}, {"a"} if complete else (), rules, expected)
        forecast = decide_outlooks(day, observed.after, outlooks, rules)
        lived.append((state, observed, forecast, expected.get("a", Level.NONE)))
        state = forecast.after
    return lived


def level_in(state: dict[str, AlertState]) -> Level:
    return state["a"].level if state else Level.NONE


class TestOutlookLaws:
    @given(seasons, rulebooks)
    def test_no_escalation_is_lost(self, steps: list[Step], rules: Alerts) -> None:
        for (hits, _, _), (_, _, forecast, expected) in zip(steps, live(steps, rules), strict=True):
            assert level_in(forecast.after) >= max(level_of(hits, rules), expected)

    @given(seasons, rulebooks)
    def test_an_outlook_only_ever_adds(self, steps: list[Step], rules: Alerts) -> None:
        for _, observed, forecast, _ in live(steps, rules):
            assert {change.kind for change in forecast.changes} <= {Kind.OPEN, Kind.RAISE}
            assert level_in(forecast.after) >= level_in(observed.after)
            for area_id, state in observed.after.items():
                assert forecast.after[area_id].below == state.below
                assert forecast.after[area_id].told >= state.told

    @given(seasons, rulebooks)
    def test_no_flapping_between_what_is_and_what_is_forecast(self, steps: list[Step], rules: Alerts) -> None:
        for _, observed, forecast, _ in live(steps, rules):
            down = any(change.after < change.before for change in observed.changes)
            up = any(change.after > change.before for change in forecast.changes)
            assert not (down and up)

    @given(seasons, rulebooks)
    def test_down_only_after_enough_complete_days_below(self, steps: list[Step], rules: Alerts) -> None:
        quiet = 0
        for (hits, complete, _), (before, observed, _, expected) in zip(steps, live(steps, rules), strict=True):
            quiet = 0 if level_of(hits, rules) >= level_in(before) else quiet + complete
            if level_in(observed.after) < level_in(before):
                assert complete
                assert quiet >= rules.clear_after_days
                assert level_in(observed.after) >= expected

    @given(seasons, rulebooks)
    def test_every_alert_ends_once_no_outlook_calls_for_it(self, steps: list[Step], rules: Alerts) -> None:
        quiet: Step = ([], True, {})
        lived = live(steps + [quiet] * rules.clear_after_days, rules)
        assert lived[-1][2].after == {}
        said = [change.kind for _, *decisions, _ in lived for decision in decisions for change in decision.changes]
        assert said.count(Kind.OPEN) == said.count(Kind.CLEAR)

    @given(seasons, rulebooks, st.integers(0, 3))
    def test_days_below_count_also_while_outlooks_call(self, steps: list[Step], rules: Alerts, more: int) -> None:
        held: Step = ([], True, {1: [UNCOUNTED]})
        lived = live([*steps, *[held] * (rules.clear_after_days + more), ([], True, {})], rules)
        assert level_in(lived[-2][2].after) is Level.RED
        assert lived[-1][2].after == {}

    @given(seasons, rulebooks)
    def test_the_same_outlooks_again_say_nothing(self, steps: list[Step], rules: Alerts) -> None:
        for number, ((_, _, ahead), (_, _, forecast, _)) in enumerate(zip(steps, live(steps, rules), strict=True)):
            day = DAY + timedelta(number)
            outlooks = {day + timedelta(lead): {"a": found} for lead, found in ahead.items()}
            assert decide_outlooks(day, forecast.after, outlooks, rules) == Decision((), forecast.after)

    @given(seasons, rulebooks)
    def test_the_observed_day_again_after_its_outlooks_says_nothing(self, steps: list[Step], rules: Alerts) -> None:
        """The day is run twice, and the outlooks stand between: nothing is taken back and said again."""
        days = zip(steps, live(steps, rules), strict=True)
        for number, ((hits, complete, _), (_, _, forecast, expected)) in enumerate(days):
            day = DAY + timedelta(number)
            again = decide(day, forecast.after, {"a": hits}, {"a"} if complete else (), rules, {"a": expected})
            assert again.changes == ()
            assert level_in(again.after) == level_in(forecast.after)


def easing(
    days: list[tuple[list[Hit], list[Hit], bool]], rules: Alerts, state: dict[str, AlertState]
) -> list[Decision]:
    """Days after today: what very-high zones meet, what high ones meet besides, and whether all is known."""
    decisions: list[Decision] = []
    for number, (hits, also, complete) in enumerate(days, 1):
        near = {"a": [*hits, *also]}
        day = DAY + timedelta(number)
        decisions.append(decide(day, state, {"a": hits}, {"a"} if complete else (), rules, near=near))
        state = decisions[-1].after
    return decisions


OPENED = decide(DAY, {}, {"a": [ROAD, TOWN]}, EVERYWHERE, RULES).after


class TestStaying:
    def test_a_place_in_a_high_zone_still_keeps_its_alert(self) -> None:
        days = [([], [TOWN], True)] * 5
        assert [d.changes for d in easing(days, RULES, OPENED)] == [()] * 5

    def test_the_level_falls_to_what_is_left(self) -> None:
        [_, change, *_] = [d.changes for d in easing([([], [ROAD], True)] * 3, RULES, OPENED)]
        assert [(c.kind, c.after) for c in change] == [(Kind.LOWER, Level.ORANGE)]

    def test_a_place_it_was_not_given_for_keeps_nothing(self) -> None:
        assert easing([([], [OTHER_ROAD, UNCOUNTED], True)] * 2, RULES, OPENED)[-1].after == {}

    def test_only_so_long(self) -> None:
        rules = RULES.model_copy(update={"stay_days": 3})
        said = [[c.kind for c in d.changes] for d in easing([([], [TOWN], True)] * 5, rules, OPENED)]
        assert said == [[], [], [], [], [Kind.CLEAR]]  # two days below, and three more

    def test_none_at_all_where_it_is_not_wanted(self) -> None:
        rules = RULES.model_copy(update={"stay_days": 0})
        assert easing([([], [TOWN], True)] * 2, rules, OPENED)[-1].after == {}

    def test_it_opens_and_raises_nothing(self) -> None:
        assert decide(DAY, {}, {}, EVERYWHERE, RULES, near={"a": [TOWN]}) == Decision((), {})
        orange = decide(DAY, {}, {"a": [ROAD]}, EVERYWHERE, RULES).after
        assert easing([([], [ROAD, TOWN], True)], RULES, orange)[-1].after["a"].level is Level.ORANGE

    def test_the_stages_of_an_alert(self) -> None:
        days = [([ROAD, TOWN], [], False), ([ROAD], [], True), ([], [], False), ([ROAD], [], True)]
        found = [d.after["a"].stage for d in easing(days, RULES, OPENED)]
        assert found == [
            Stage.OPEN,
            Stage.EASING,
            Stage.UNKNOWN,
            Stage.OPEN,
        ]  # the last steps down to what it calls for


NOON = datetime.combine(DAY + timedelta(1), time(12), UTC)


def said_at(hours: float, state: dict[str, AlertState], hits: list[Hit], rules: Alerts) -> Decision:
    now = NOON + timedelta(hours=hours)
    return decide(now.date() - timedelta(1), state, {"a": hits}, EVERYWHERE, rules, now=now)


class TestReminder:
    def test_an_alert_in_force_is_said_again_before_what_was_said_of_it_expires(self) -> None:
        state, said = {}, []
        for day in range(20):
            found = said_at(24 * day, state, [ROAD], RULES)  # expires after seven days
            said += [(day, change.kind, change.reminder) for change in found.changes]
            state = found.after
        assert said == [(0, Kind.OPEN, False), *((day, Kind.UPDATE, True) for day in (6, 12, 18))]

    @pytest.mark.parametrize("hits", [[], [ROAD]])
    def test_also_while_rain_is_missing(self, hits: list[Hit]) -> None:
        state = said_at(0, {}, [ROAD], RULES).after
        now = NOON + timedelta(days=6)
        [change] = decide(now.date() - timedelta(1), state, {"a": hits}, (), RULES, now=now).changes
        assert change.reminder
        assert change.after is Level.ORANGE

    def test_news_and_an_end_are_no_reminders(self) -> None:
        state = said_at(0, {}, [ROAD], RULES).after
        assert not said_at(144, state, [ROAD, OTHER_ROAD], RULES).changes[0].reminder
        ended = [change for hours in (24, 48) for change in said_at(hours, state, [], RULES).changes]
        assert not any(change.reminder for change in ended)


class TestCooldown:
    RULES = Alerts(red_people=10, cooldown_h=30)

    def test_a_repeat_is_held_back_and_told_in_the_next_message(self) -> None:
        opened = said_at(0, {}, [ROAD], self.RULES)
        held = said_at(24, opened.after, [ROAD, OTHER_ROAD], self.RULES)
        assert held.changes == ()
        assert held.after["a"].held == (OTHER_ROAD,)
        [change] = said_at(48, held.after, [ROAD], self.RULES).changes
        assert (change.kind, change.new, change.missed) == (Kind.UPDATE, frozenset(), (OTHER_ROAD,))
        assert change.news == {OTHER_ROAD.key}

    def test_what_is_held_back_and_hit_again_is_simply_new(self) -> None:
        held = said_at(24, said_at(0, {}, [ROAD], self.RULES).after, [OTHER_ROAD], self.RULES).after
        [change] = said_at(48, held, [OTHER_ROAD], self.RULES).changes
        assert (change.new, change.missed) == ({OTHER_ROAD.key}, ())

    def test_an_escalation_is_told_at_once_with_all_that_was_held_back(self) -> None:
        held = said_at(12, said_at(0, {}, [ROAD], self.RULES).after, [OTHER_ROAD], self.RULES).after
        [change] = said_at(24, held, [TOWN], self.RULES).changes
        assert (change.kind, change.missed) == (Kind.RAISE, (OTHER_ROAD,))

    def test_a_forecast_that_comes_true_is_told_at_once(self) -> None:
        state = decide_outlooks(DAY, {}, {NEXT: {"a": [ROAD]}}, self.RULES, now=NOON).after
        assert said_at(24, state, [ROAD], self.RULES).changes[0].confirmed

    @given(histories, rulebooks, st.sampled_from([0, 12, 30, 100]))
    def test_nothing_held_back_is_lost_and_no_escalation_waits(
        self, days: list[Day], rules: Alerts, hours: int
    ) -> None:
        rules = rules.model_copy(update={"cooldown_h": hours})
        state: dict[str, AlertState] = {}
        owed: set[str] = set()
        quiet: list[Day] = [([], True)] * (rules.clear_after_days + 5)
        for number, (hits, complete) in enumerate([*days, *quiet]):
            before, now = state, NOON + timedelta(days=number)
            decision = decide(DAY + timedelta(number), state, {"a": hits}, {"a"} if complete else (), rules, now=now)
            state = decision.after
            owed |= {hit.key for hit in hits} - (before["a"].told if before else set())
            for change in decision.changes:
                assert owed == change.news
                owed.clear()
            assert level_in(state) >= level_of(hits, rules)
            assert owed == ({hit.key for hit in state["a"].held} if state else set())
            again = decide(DAY + timedelta(number), state, {"a": hits}, {"a"} if complete else (), rules, now=now)
            assert (again.changes, again.after) == ((), state)
        assert (state, owed) == ({}, set())


nears = st.lists(st.tuples(hit_lists, hit_lists, st.booleans()), max_size=12)


class TestStayingLaws:
    @given(nears, rulebooks, st.integers(0, 5))
    def test_every_alert_ends(self, days, rules, stay_days) -> None:
        """Also where places lie in high zones for ever."""
        rules = rules.model_copy(update={"stay_days": stay_days})
        dry = [([], [ROAD, TOWN, UNCOUNTED], True)] * (rules.clear_after_days + stay_days)
        decisions = easing([*days, *dry], rules, OPENED)
        assert decisions[-1].after == {}

    @given(nears, rulebooks, st.integers(0, 5))
    def test_no_flapping(self, days, rules, stay_days) -> None:
        """No step without enough complete days, nor while what it was given for is near, until that is worn out."""
        rules = rules.model_copy(update={"stay_days": stay_days})
        state, quiet, low = OPENED, 0, 0
        for (hits, also, complete), decision in zip(days, easing(days, rules, OPENED), strict=True):
            level = level_in(state)
            given_for = [hit for hit in [*hits, *also] if state and hit.key in state["a"].told]
            below = level_of(hits, rules) < level
            low = low + complete if below else 0
            near = level_of(given_for, rules) >= level
            quiet = 0 if not below else (0 if near else quiet + 1) if complete else quiet
            if level_in(decision.after) < level:
                assert complete
                assert low >= rules.clear_after_days
                assert quiet >= rules.clear_after_days or low >= rules.clear_after_days + stay_days
                quiet = low = 10**6  # days that were below the new level too count on
            state = decision.after

    @given(nears, rulebooks)
    def test_what_lies_near_never_makes_an_alert_end_sooner(self, days, rules) -> None:
        with_near = easing(days, rules, OPENED)
        without = easing([(hits, [], complete) for hits, _, complete in days], rules, OPENED)
        for near, far in zip(with_near, without, strict=True):
            assert level_in(near.after) >= level_in(far.after)

    def test_a_place_that_is_told_of_today_counts_today(self) -> None:
        """Else the same day asked again would find one more place that holds the alert than it did at first."""
        one, two, three = (Hit("settlement", name, name, "", 0, 6, 0.9) for name in "xyz")
        opened = decide(DAY, {}, {"a": [one, two]}, EVERYWHERE, RULES).after
        first = decide(DAY + timedelta(1), opened, {"a": [three]}, EVERYWHERE, RULES, near={"a": [one, three]})
        assert first.after["a"].below[-1].stays is Level.RED
        again = decide(DAY + timedelta(1), first.after, {"a": [three]}, EVERYWHERE, RULES, near={"a": [one, three]})
        assert again == Decision((), first.after)

    @given(nears, rulebooks, st.integers(0, 3))
    def test_the_same_day_again_changes_nothing(self, days, rules, stay_days) -> None:
        rules = rules.model_copy(update={"stay_days": stay_days})
        for number, ((hits, also, complete), decision) in enumerate(
            zip(days, easing(days, rules, OPENED), strict=True), 1
        ):
            day = DAY + timedelta(number)
            known = {"a"} if complete else ()
            again = decide(day, decision.after, {"a": hits}, known, rules, near={"a": [*hits, *also]})
            assert again == Decision((), decision.after)
