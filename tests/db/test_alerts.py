from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from lswarn.alerts.policy import AlertChange, AlertState, Hit, Kind, Level, LowDay, Stage
from lswarn.db import alerts, assets
from lswarn.errors import DatabaseError, RegionError
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)


def scalar(conn, query):
    return conn.execute(text(query)).scalar()


@pytest.fixture
def published(recorded, conn):
    """A world with a run, and its key."""
    return recorded, recorded.publish(conn).run_id


class TestAlerts:
    def keep(self, world, conn, run_id, after, *said, day=DAY):
        before = alerts.find_alerts(conn, world.region)
        changes = [AlertChange(area, day, Kind.UPDATE, Level.RED, Level.RED, ()) for area in said]
        alerts.record_alerts(conn, world.region, before, after, changes, {day: run_id}, day)

    def test_what_is_kept_comes_back(self, published, conn):
        world, run_id = published
        below = (LowDay(DAY, Level.NONE, Level.RED), LowDay(DAY + timedelta(days=1), Level.ORANGE, Level.ORANGE))
        after = {
            "west": AlertState(
                "west",
                Level.RED,
                DAY,
                below,
                frozenset({"road:r1", "settlement:town"}),
                stage=Stage.EASING,
                said_at=NOW,
                held=(Hit("road", "r2", "Low Road", "", 40.0, 0, 0.7),),
            ),
            "elsewhere": AlertState("elsewhere", Level.ORANGE, DAY),
        }
        self.keep(world, conn, run_id, after, "west", "elsewhere")
        assert alerts.find_alerts(conn, world.region) == after
        self.keep(world, conn, run_id, after)
        assert alerts.find_alerts(conn, world.region) == after
        assert scalar(conn, "SELECT count(*) FROM lswarn.alert") == 2

    def test_a_closed_alert_is_history_and_the_next_one_is_new(self, published, conn):
        world, run_id = published
        later = DAY + timedelta(days=5)
        world.alarm(conn, run_id)
        self.keep(world, conn, run_id, {}, "west", day=later)
        assert alerts.find_alerts(conn, world.region) == {}
        assert conn.execute(text("SELECT level, closed_on FROM lswarn.alert")).all() == [(0, later)]
        world.alarm(conn, run_id)
        assert scalar(conn, "SELECT count(*) FROM lswarn.alert") == 2
        assert scalar(conn, "SELECT count(*) FROM lswarn.alert_now") == 1

    def test_an_alert_nothing_is_said_of_keeps_its_last_message(self, published, conn):
        world, run_id = published
        state = world.alarm(conn, run_id)
        self.keep(world, conn, run_id, {"west": state}, day=DAY + timedelta(days=1))
        assert scalar(conn, "SELECT changed_on FROM lswarn.alert") == DAY
        self.keep(world, conn, run_id, {"west": state}, "west", day=DAY + timedelta(days=2))
        assert scalar(conn, "SELECT changed_on FROM lswarn.alert") == DAY + timedelta(days=2)

    def test_each_alert_hangs_on_the_outlook_that_was_spoken_of(self, published, conn):
        """Of several days ahead, decided at once."""
        world, observed = published
        days = {lead: DAY + timedelta(days=lead) for lead in (1, 2)}
        runs = {days[lead]: world.ahead(conn, lead).run_id for lead in days}
        after = {area: AlertState(area, Level.RED, DAY) for area in ("west", "east")}
        changes = [
            AlertChange("west", days[2], Kind.OPEN, Level.NONE, Level.RED, ()),
            AlertChange("east", days[1], Kind.OPEN, Level.NONE, Level.RED, ()),
        ]
        alerts.record_alerts(conn, world.region, {}, after, changes, runs, DAY)
        query = """SELECT source_id, run_id, opened_on, changed_on FROM lswarn.alert
                   JOIN lswarn.warning_area AS area ON area.id = area_id ORDER BY source_id"""
        found = conn.execute(text(query)).all()
        assert found == [("east", runs[days[1]], DAY, DAY), ("west", runs[days[2]], DAY, DAY)]
        alerts.record_alerts(conn, world.region, after, after, [], {DAY: observed}, DAY + timedelta(days=1))
        assert conn.execute(text(query)).all() == found
        alerts.record_alerts(conn, world.region, after, after, [], {}, DAY)

    def test_an_alert_outlives_the_run_and_the_area(self, published, conn):
        world, run_id = published
        state = world.alarm(conn, run_id)
        world.publish(conn, key="k2", zones=())
        conn.execute(text("UPDATE lswarn.warning_area SET retired_at = now()"))
        assert alerts.find_alerts(conn, world.region) == {"west": state}

    def test_an_area_with_a_warning_in_force_cannot_leave_the_file(self, published, conn):
        world, run_id = published
        world.alarm(conn, run_id)
        east = world.warning_areas[world.warning_areas["id"] == "east"]
        with pytest.raises(RegionError, match="west left the file with a warning in force"):
            assets.record_assets(conn, world.region, world.roads, world.settlements, east)

    def test_an_unknown_area_is_an_error_not_a_lost_alert(self, published, conn):
        world, run_id = published
        with pytest.raises(DatabaseError, match="no warning area atlantis"):
            self.keep(world, conn, run_id, {"atlantis": AlertState("atlantis", Level.RED, DAY)})


class TestQueue:
    def names(self, conn):
        query = "SELECT name FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id ORDER BY name"
        return conn.execute(text(query)).scalars().all()

    def test_it_goes_to_those_whose_area_it_is(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        assert len(alerts.queue_messages(conn, world.region, [make_message()], NOW).released) == 1
        assert self.names(conn) == ["duty officer", "west office"]

    def test_a_message_belongs_to_the_run_of_its_kind(self, published, conn, make_message):
        world, observed = published
        ahead = world.publish(conn, "outlook", lead_days=1, grade=Grade.E).run_id
        hindcast = world.publish(conn, "hindcast").run_id
        world.alarm(conn, observed)
        said = [make_message(), make_message(kind=Kind.RAISE, lead_days=1)]
        assert len(alerts.queue_messages(conn, world.region, said, NOW).released) == 2
        runs = conn.execute(text("SELECT run_id FROM lswarn.alert_message ORDER BY id")).scalars().all()
        assert runs == [observed, ahead]
        assert hindcast not in runs

    def test_missing_rain_goes_to_everybody_once_a_day(self, published, conn, make_message):
        world, _ = published
        missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
        assert len(alerts.queue_messages(conn, world.region, [missing, missing], NOW).released) == 1
        world.publish(conn, key="k2")
        assert len(alerts.queue_messages(conn, world.region, [missing], NOW).released) == 0
        assert self.names(conn) == ["duty officer", "east office", "west office"]
        tomorrow = make_message(None, Kind.DATA_MISSING, level=Level.NONE, valid_day=DAY + timedelta(days=1))
        assert len(alerts.queue_messages(conn, world.region, [tomorrow], NOW).released) == 1

    def test_a_change_of_a_run_is_said_once(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        assert len(alerts.queue_messages(conn, world.region, [make_message(), make_message()], NOW).released) == 1
        assert len(alerts.queue_messages(conn, world.region, [make_message(text="reworded")], NOW).released) == 0
        assert len(self.names(conn)) == 2

    def test_better_rain_may_say_more_on_the_same_day(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        update = make_message(kind=Kind.UPDATE)
        assert len(alerts.queue_messages(conn, world.region, [update], NOW).released) == 1
        world.publish(conn, key="k2")
        assert len(alerts.queue_messages(conn, world.region, [update], NOW).released) == 1

    def test_a_message_hangs_on_an_alert(self, published, conn, make_message):
        world, _ = published
        with pytest.raises(IntegrityError, match="ck_alert_message_alert"), conn.begin_nested():
            alerts.queue_messages(conn, world.region, [make_message()], NOW)

    def test_the_history_tells_what_was_said(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
        alerts.queue_messages(conn, world.region, [make_message(), missing], NOW)
        opened, silent = alerts.find_alert_history(conn, world.region)
        assert (opened.area_name, opened.kind, opened.level, opened.pending) == ("West", Kind.OPEN, Level.RED, 2)
        assert (silent.alert_id, silent.area_id, silent.kind, silent.pending) == (None, "", Kind.DATA_MISSING, 3)
        assert opened.queued_at == NOW
