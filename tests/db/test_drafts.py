"""From a draft to what people are told: by a person, by the clock, and not at all."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from typer.testing import CliRunner

from lswarn import release
from lswarn.alerts.briefing import Briefing, RainInput
from lswarn.alerts.cap.check import check
from lswarn.alerts.cap.files import file_of
from lswarn.alerts.message import compose, compose_data_missing
from lswarn.alerts.policy import AlertChange, AlertState, Hit, Kind, Level
from lswarn.cli import alerts as cli
from lswarn.db import alerts, drafts, outbox
from lswarn.db.engine import transaction
from lswarn.drill import drill
from lswarn.errors import DatabaseError, RegionError
from lswarn.sections import Alerts
from lswarn.settings import Settings

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
TOWN = Hit("settlement", "town", "Town", "", 0.0, 500, 0.8)
ROAD = Hit("road", "r1", "Long Road", "I-1", 500.0, 0, 0.8)
HOUR = timedelta(hours=1)


def flat(message):
    """Its text, however it is wrapped."""
    return " ".join(message.text.split())


class Desk:
    """A region whose red messages are reviewed, in a database of its own."""

    def __init__(self, world, engine, url, folder, **rules):
        rules = {"review": ("red",), "reviewers": ("duty officer",), "review_minutes": 30} | rules
        self.world = replace(world, region=world.region.model_copy(update={"alerts": Alerts(**rules)}))
        self.region, self.engine = self.world.region, engine
        self.settings = Settings(database_url=SecretStr(url), var_dir=folder)
        with transaction(engine, self.region) as conn:
            self.world.record(conn)
            self.runs = {DAY: self.world.publish(conn).run_id}

    def say(self, kind, before, after, hits, new=None, *, at=NOW, day=DAY):
        """Decide and queue as a day does, without a policy; the key of what was queued."""
        new = frozenset(hit.key for hit in (hits if new is None else new))
        change = AlertChange("west", day, kind, before, after, tuple(hits), new)
        with transaction(self.engine, self.region) as conn:
            if day not in self.runs:
                self.runs[day] = self.world.publish(conn, day=day, key=f"key of {day}").run_id
            standing = alerts.find_alerts(conn, self.region)
            old = standing.get("west", AlertState("west", Level.NONE, day))
            left = {"west": replace(old, level=after, told=old.told | new, said_at=at)} if after else {}
            alerts.record_alerts(conn, self.region, standing, left, [change], {day: self.runs[day]}, day)
            queued = release.queue(conn, self.region, self.settings, [compose(change, self.briefing(at, day))], at)
        release.save_files(self.settings, self.region.name, at)
        (message_id,) = queued.released + queued.waiting
        return message_id

    def briefing(self, at, day):
        rain = tuple(RainInput(day - timedelta(back), "IMERG-Late", "V07B", "A") for back in range(6, -1, -1))
        facts = {"region": "testland", "title": "Test Land", "made": "everything", "clear_after_days": 2}
        facts |= {"grade": "A", "missing": (), "model_id": "net", "area_name": "West", "opened_on": DAY}
        return Briefing(valid_day=day, issued_at=at, rain=rain, **facts)

    def open(self, **when):
        return self.say(Kind.OPEN, Level.NONE, Level.RED, [TOWN, ROAD], **when)

    def arrived(self, now=NOW):
        """Who is sent what, oldest first."""
        with transaction(self.engine) as conn:
            names = dict(conn.execute(text("SELECT address, name FROM lswarn.subscriber")).all())
        said = []
        for outgoing in outbox.claim_deliveries(self.engine, now, 50):
            with transaction(self.engine) as conn:
                outbox.mark_delivered(conn, outgoing.delivery_id, now)
            said += [(names[outgoing.address], message) for message in outgoing.messages]
        return said

    def story(self, message_id):
        with transaction(self.engine) as conn:
            return drafts.find_message(conn, self.region.name, message_id)

    def standing(self):
        with transaction(self.engine) as conn:
            return alerts.find_alerts(conn, self.region)

    def approve(self, message_id, at=NOW):
        return release.approve(self.region.name, self.settings, message_id, by="A. Duty", reason="gauges agree", now=at)

    def reject(self, message_id, at=NOW):
        why = "gauges are dry"
        return release.reject(self.region.name, self.settings, message_id, by="A. Duty", reason=why, now=at)


@pytest.fixture
def make_desk(world, fresh_engine, fresh_database_url, tmp_path):
    return lambda **rules: Desk(world, fresh_engine, fresh_database_url, tmp_path, **rules)


@pytest.fixture
def desk(make_desk):
    return make_desk()


class TestReview:
    def test_a_draft_goes_to_reviewers_alone_with_what_to_type(self, desk):
        draft = desk.open()
        [(name, message)] = desk.arrived()
        assert (name, message.kind) == ("duty officer", Kind.REVIEW)
        for words in (f"lswarn alerts approve {draft} --by", f"lswarn alerts reject {draft} --by", "16:00 UTC", "Town"):
            assert words in message.text
        assert desk.story(draft).cap is None

    def test_a_level_that_is_not_reviewed_goes_out_at_once(self, desk):
        message_id = desk.say(Kind.OPEN, Level.NONE, Level.ORANGE, [ROAD])
        assert {name for name, _ in desk.arrived()} == {"duty officer", "west office"}
        assert desk.story(message_id).approval == "auto"

    def test_taking_back_a_reviewed_level_is_reviewed_too(self, desk):
        desk.approve(desk.open())
        assert desk.story(desk.say(Kind.CLEAR, Level.RED, Level.NONE, [], day=DAY + timedelta(1))).approval == "waiting"

    def test_approved_it_says_by_whom(self, desk):
        draft = desk.open()
        desk.arrived()
        desk.approve(draft)
        said = desk.arrived()
        assert {name for name, _ in said} == {"duty officer", "west office"}
        assert all("A. Duty" in message.text for _, message in said)
        story = desk.story(draft)
        assert (story.approval, story.decided_by, story.reason, story.released_at) == (
            "approved",
            "A. Duty",
            "gauges agree",
            NOW,
        )

    @pytest.mark.parametrize("decide", [Desk.approve, Desk.reject])
    def test_what_is_decided_is_decided(self, desk, decide):
        draft = desk.open()
        desk.approve(draft)
        with pytest.raises(DatabaseError, match="does not wait for anybody: approved by A"):
            decide(desk, draft)
        with pytest.raises(DatabaseError, match="no message 9999"):
            decide(desk, 9999)

    def test_one_that_nobody_looks_at_goes_out_and_says_so(self, desk):
        draft = desk.open()
        desk.arrived()
        assert release.release_overdue(desk.settings, NOW + timedelta(minutes=29)) == 0
        late = NOW + timedelta(minutes=30)
        assert release.release_overdue(desk.settings, late) == 1
        assert release.release_overdue(desk.settings, late) == 0
        said = desk.arrived(late)
        assert {name for name, _ in said} == {"duty officer", "west office"}
        assert all("not reviewed" in message.subject and "Not reviewed" in message.text for _, message in said)
        assert desk.story(draft).approval == "timed_out"
        assert b"<value>timed_out</value>" in desk.story(draft).cap

    def test_a_later_draft_takes_the_place_of_an_earlier_one(self, desk):
        first = desk.open()
        second = desk.say(Kind.UPDATE, Level.RED, Level.RED, [TOWN, ROAD], [], day=DAY + timedelta(1))
        desk.approve(second)
        story = desk.story(first)
        assert (story.approval, story.reason) == ("rejected", f"replaced by message {second}")
        assert release.release_overdue(desk.settings, NOW + HOUR) == 0
        assert desk.standing()["west"].level is Level.RED

    def test_rejected_it_reaches_nobody_else_and_reviewers_are_told(self, desk):
        draft = desk.open()
        desk.arrived()
        desk.reject(draft)
        [(name, message)] = desk.arrived()
        assert name == "duty officer"
        assert "gauges are dry" in flat(message)
        assert release.release_overdue(desk.settings, NOW + HOUR) == 0

    def test_a_rejected_opening_leaves_no_alert_and_is_asked_anew(self, desk):
        desk.reject(desk.open())
        assert desk.standing() == {}
        again = desk.open(day=DAY + timedelta(1))
        assert desk.story(again).approval == "waiting"

    def test_a_rejected_raise_leaves_the_level_people_know(self, desk):
        desk.say(Kind.OPEN, Level.NONE, Level.ORANGE, [ROAD])
        desk.reject(desk.say(Kind.RAISE, Level.ORANGE, Level.RED, [ROAD, TOWN], [TOWN], day=DAY + timedelta(1)))
        state = desk.standing()["west"]
        assert (state.level, state.told, state.said_at) == (Level.ORANGE, {ROAD.key}, NOW)

    def test_a_rejected_all_clear_leaves_the_alert_in_force(self, desk):
        desk.approve(desk.open())
        desk.reject(desk.say(Kind.CLEAR, Level.RED, Level.NONE, [], day=DAY + timedelta(1)))
        state = desk.standing()["west"]
        assert (state.level, state.opened_on) == (Level.RED, DAY)

    def test_rejecting_an_old_draft_changes_nothing_that_a_later_one_says(self, desk):
        first = desk.say(Kind.OPEN, Level.NONE, Level.RED, [TOWN])
        desk.say(Kind.UPDATE, Level.RED, Level.RED, [TOWN, ROAD], [ROAD], day=DAY + timedelta(1))
        desk.reject(first)
        assert desk.standing()["west"].level is Level.RED


class TestCancel:
    def cancel(self, desk, at=NOW + HOUR):
        return release.cancel(desk.region, desk.settings, "west", by="A. Duty", reason="a dam, no slope", now=at)

    def test_whoever_was_told_is_told(self, desk):
        first = desk.open()
        desk.approve(first)
        desk.arrived()
        assert self.cancel(desk) == 1
        said = desk.arrived(NOW + HOUR)
        assert {name for name, _ in said} == {"duty officer", "west office"}
        assert all("by A. Duty" in flat(message) and "a dam, no slope" in flat(message) for _, message in said)
        assert desk.standing() == {}
        with transaction(desk.engine) as conn:
            *_, last = alerts.find_alert_history(conn, desk.region)
        story = desk.story(last.message_id)
        assert (last.decided_by, story.reason) == ("A. Duty", "a dam, no slope")
        assert b"<msgType>Cancel</msgType>" in story.cap
        assert desk.story(first).cap_identifier in story.cap_references

    def test_of_what_nobody_was_told_nobody_is_told(self, desk):
        draft = desk.open()
        desk.arrived()
        assert self.cancel(desk) == 0
        assert desk.arrived(NOW + HOUR) == []
        assert desk.story(draft).approval == "rejected"
        assert release.release_overdue(desk.settings, NOW + 9 * HOUR) == 0

    def test_only_what_is_in_force(self, desk):
        with pytest.raises(DatabaseError, match="no warning is in force in west"):
            self.cancel(desk)


class TestDocuments:
    def chain(self, desk):
        said = [desk.open()]
        later = {"day": DAY + timedelta(1), "at": NOW + 24 * HOUR}
        said.append(desk.say(Kind.UPDATE, Level.RED, Level.RED, [TOWN, ROAD], [], **later))
        later = {"day": DAY + timedelta(4), "at": NOW + 96 * HOUR}
        said.append(desk.say(Kind.CLEAR, Level.RED, Level.NONE, [], **later))
        return [desk.story(message_id) for message_id in said]

    def test_each_follows_the_ones_before(self, make_desk):
        stories = self.chain(make_desk(review=()))
        for story in stories:
            check(story.cap)
        kinds = [story.cap.partition(b"<msgType>")[2].partition(b"<")[0] for story in stories]
        assert kinds == [b"Alert", b"Update", b"Update"]
        assert b"AllClear" in stories[2].cap
        assert stories[0].cap_references is None
        references = [each.split(",")[1] for each in stories[2].cap_references.split()]
        assert references == [story.cap_identifier for story in stories[:2]]

    def test_they_lie_as_files_beside_a_feed(self, make_desk):
        desk = make_desk(review=())
        stories = self.chain(desk)
        folder = desk.settings.region_dir(desk.region.name) / "cap"
        assert all((folder / file_of(story.cap_identifier)).read_bytes() == story.cap for story in stories)
        feed = (folder / "feed.xml").read_text()
        assert feed.count("<entry>") == 3
        assert all(file_of(story.cap_identifier) in feed for story in stories)
        assert not list(folder.glob(".*"))
        (folder / file_of(stories[0].cap_identifier)).unlink()  # cut short
        release.save_files(desk.settings, desk.region.name, NOW + 97 * HOUR)
        assert (folder / file_of(stories[0].cap_identifier)).exists()

    def test_a_document_that_cannot_be_made_holds_up_no_warning(self, make_desk, monkeypatch, caplog):
        desk = make_desk(review=())
        monkeypatch.setattr(release, "to_xml", lambda document: b"<alert/>")
        message_id = desk.open()
        assert len(desk.arrived()) == 2
        assert desk.story(message_id).cap is None
        assert "goes out without a CAP document" in caplog.text

    def test_missing_rain_has_one_of_its_own(self, make_desk):
        desk = make_desk(review=("orange", "red"))
        message = compose_data_missing(replace(desk.briefing(NOW, DAY), area_name=""))
        with transaction(desk.engine, desk.region) as conn:
            queued = release.queue(conn, desk.region, desk.settings, [message], NOW)
        (message_id,) = queued.released
        story = desk.story(message_id)
        check(story.cap)
        assert b"AllClear" not in story.cap


class TestDrill:
    def test_it_goes_the_whole_way_and_touches_no_alert(self, desk):
        desk.say(Kind.OPEN, Level.NONE, Level.ORANGE, [ROAD])
        standing = desk.standing()
        desk.arrived()
        assert drill(desk.region, desk.settings, "west", by="A. Duty", now=NOW) == 3
        assert desk.standing() == standing
        said = desk.arrived(NOW + HOUR)
        assert all(message.status == "test" and "TEST" in message.subject for _, message in said)
        told = [message.kind for name, message in said if name == "west office"]
        assert told == [Kind.OPEN, Kind.UPDATE, Kind.CLEAR]
        asked = [message for name, message in said if name == "duty officer" and message.kind is Kind.REVIEW]
        assert len(asked) == 3
        with transaction(desk.engine) as conn:
            history = [event for event in alerts.find_alert_history(conn, desk.region) if event.status == "test"]
            assert {state.area_id: state.state for state in alerts.find_area_states(conn, desk.region)}[
                "west"
            ] == "open"
        stories = [desk.story(event.message_id) for event in history]
        assert [story.approval for story in stories] == ["approved"] * 3
        for story in stories:
            check(story.cap)
            assert b"<status>Test</status>" in story.cap
        assert stories[1].cap_identifier in stories[2].cap_references

    def test_again_next_month(self, desk):
        for month in range(2):
            assert drill(desk.region, desk.settings, "east", by="x", now=NOW + month * 30 * 24 * HOUR) == 3

    def test_no_such_area(self, desk):
        with pytest.raises(DatabaseError, match="no warning area atlantis"):
            drill(desk.region, desk.settings, "atlantis", by="x", now=NOW)


class TestCommands:
    """`lswarn alerts …`, by hand."""

    @pytest.fixture
    def lswarn(self, desk, monkeypatch):
        monkeypatch.setattr(cli, "load_settings", lambda: desk.settings)
        monkeypatch.setattr(cli, "region_of", lambda named, settings: desk.region)
        monkeypatch.setattr(cli, "clock", lambda: NOW)

        def run(*words):
            result = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
            return result.exit_code, result.output

        return run

    def test_from_the_draft_to_its_document(self, desk, lswarn):
        draft = str(desk.open())
        assert "waiting" in lswarn("list")[1]
        assert '"drafts_waiting": 1' in lswarn("areas", "--json")[1]
        assert "TOWN" in lswarn("show", draft)[1].upper()
        assert lswarn("approve", draft, "--by", " ")[0] == 2  # nobody
        assert lswarn("approve", draft)[0] == 2
        assert "goes out" in lswarn("approve", draft, "--by", "A. Duty", "--reason", "gauges agree")[1]
        check(lswarn("show", draft, "--cap")[1].strip().encode())
        facts = json.loads(lswarn("show", draft, "--json")[1])
        assert (facts["approval"], facts["decided_by"], facts["reason"]) == ("approved", "A. Duty", "gauges agree")
        assert "taken back" in lswarn("cancel", "west", "--by", "A. Duty", "--reason", "no slope")[1]
        assert desk.standing() == {}

    def test_rejected(self, desk, lswarn):
        draft = str(desk.open())
        assert lswarn("reject", draft, "--by", "A. Duty")[0] == 2  # why?
        assert "held back" in lswarn("reject", draft, "--by", "A. Duty", "--reason", "dry")[1]
        with pytest.raises(RegionError, match="no CAP document"):
            lswarn("show", draft, "--cap")


def test_the_way_back_forgets_drills_and_drafts_alone(desk):
    """Down from 0009 with everything there is, and nothing of it kept from the other tests."""
    kept = desk.say(Kind.OPEN, Level.NONE, Level.ORANGE, [ROAD])
    desk.say(Kind.RAISE, Level.ORANGE, Level.RED, [ROAD, TOWN], [TOWN], day=DAY + timedelta(1))
    drill(desk.region, desk.settings, "west", by="x", now=NOW)
    down = Path(__file__).parents[2] / "migrations" / "versions" / "0009_alert_life.down.sql"
    with desk.engine.connect() as conn, conn.begin() as everything:
        conn.connection.driver_connection.execute(down.read_text("utf-8"))
        assert conn.execute(text("SELECT id FROM lswarn.alert_message")).scalars().all() == [kept]
        assert conn.execute(text("SELECT level FROM lswarn.alert_now")).scalars().all() == [2]
        conn.connection.driver_connection.execute(down.with_name("0009_alert_life.sql").read_text("utf-8"))
        said = "SELECT said_at = queued_at FROM lswarn.alert JOIN lswarn.alert_message AS m ON m.alert_id = alert.id"
        assert conn.execute(text(said)).scalars().all() == [True]  # or nobody would say again what is in force
        everything.rollback()


class TestAreas:
    def states(self, conn, region):
        return {state.area_id: state.state for state in alerts.find_area_states(conn, region)}

    def test_unknown_is_not_none(self, recorded, conn):
        assert set(self.states(conn, recorded.region).values()) == {"unknown"}  # nothing is published yet
        recorded.publish(conn)
        alerts.mark_known_areas(conn, recorded.region, DAY, {"west", "elsewhere"})
        assert self.states(conn, recorded.region) == {"west": "none", "east": "unknown", "elsewhere": "none"}
        alerts.mark_known_areas(conn, recorded.region, DAY + timedelta(1), {"west"})
        since = {state.area_id: state.unknown_since for state in alerts.find_area_states(conn, recorded.region)}
        assert since == {"west": None, "east": DAY, "elsewhere": DAY + timedelta(1)}
