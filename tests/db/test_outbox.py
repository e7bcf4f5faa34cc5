import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from lswarn.alerts.policy import AlertChange, AlertState, Kind, Level
from lswarn.db import assets, outbox
from lswarn.db.engine import transaction
from lswarn.db.status import find_status
from lswarn.errors import DatabaseError, RegionError
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)


def scalar(conn, query):
    return conn.execute(text(query)).scalar()


@pytest.fixture
def published(recorded, conn):
    """A world with a run, and its key."""
    return recorded, recorded.publish(conn).run_id


@pytest.fixture
def queued(world, fresh_engine, make_message):
    """An engine whose database holds one message to two subscribers."""
    with transaction(fresh_engine, world.region) as conn:
        world.record(conn)
        world.alarm(conn, world.publish(conn).run_id)
        outbox.queue_messages(conn, world.region, [make_message()], NOW)
    return fresh_engine


class TestAlerts:
    def keep(self, world, conn, run_id, after, *said, day=DAY):
        before = outbox.find_alerts(conn, world.region)
        changes = [AlertChange(area, day, Kind.UPDATE, Level.RED, Level.RED, ()) for area in said]
        outbox.record_alerts(conn, world.region, before, after, changes, {day: run_id}, day)

    def test_what_is_kept_comes_back(self, published, conn):
        world, run_id = published
        below = ((DAY, Level.NONE), (DAY + timedelta(days=1), Level.ORANGE))
        after = {
            "west": AlertState("west", Level.RED, DAY, below, frozenset({"road:r1", "settlement:town"})),
            "elsewhere": AlertState("elsewhere", Level.ORANGE, DAY),
        }
        self.keep(world, conn, run_id, after, "west", "elsewhere")
        assert outbox.find_alerts(conn, world.region) == after
        self.keep(world, conn, run_id, after)
        assert outbox.find_alerts(conn, world.region) == after
        assert scalar(conn, "SELECT count(*) FROM lswarn.alert") == 2

    def test_a_closed_alert_is_history_and_the_next_one_is_new(self, published, conn):
        world, run_id = published
        later = DAY + timedelta(days=5)
        world.alarm(conn, run_id)
        self.keep(world, conn, run_id, {}, "west", day=later)
        assert outbox.find_alerts(conn, world.region) == {}
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
        outbox.record_alerts(conn, world.region, {}, after, changes, runs, DAY)
        query = """SELECT source_id, run_id, opened_on, changed_on FROM lswarn.alert
                   JOIN lswarn.warning_area AS area ON area.id = area_id ORDER BY source_id"""
        found = conn.execute(text(query)).all()
        assert found == [("east", runs[days[1]], DAY, DAY), ("west", runs[days[2]], DAY, DAY)]
        outbox.record_alerts(conn, world.region, after, after, [], {DAY: observed}, DAY + timedelta(days=1))
        assert conn.execute(text(query)).all() == found
        outbox.record_alerts(conn, world.region, after, after, [], {}, DAY)

    def test_an_alert_outlives_the_run_and_the_area(self, published, conn):
        world, run_id = published
        state = world.alarm(conn, run_id)
        world.publish(conn, key="k2", zones=())
        conn.execute(text("UPDATE lswarn.warning_area SET retired_at = now()"))
        assert outbox.find_alerts(conn, world.region) == {"west": state}

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
        assert outbox.queue_messages(conn, world.region, [make_message()], NOW) == 1
        assert self.names(conn) == ["duty officer", "west office"]

    def test_a_message_belongs_to_the_run_of_its_kind(self, published, conn, make_message):
        world, observed = published
        ahead = world.publish(conn, "outlook", lead_days=1, grade=Grade.E).run_id
        hindcast = world.publish(conn, "hindcast").run_id
        world.alarm(conn, observed)
        said = [make_message(), make_message(kind=Kind.RAISE, lead_days=1)]
        assert outbox.queue_messages(conn, world.region, said, NOW) == 2
        runs = conn.execute(text("SELECT run_id FROM lswarn.alert_message ORDER BY id")).scalars().all()
        assert runs == [observed, ahead]
        assert hindcast not in runs

    def test_missing_rain_goes_to_everybody_once_a_day(self, published, conn, make_message):
        world, _ = published
        missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
        assert outbox.queue_messages(conn, world.region, [missing, missing], NOW) == 1
        world.publish(conn, key="k2")
        assert outbox.queue_messages(conn, world.region, [missing], NOW) == 0
        assert self.names(conn) == ["duty officer", "east office", "west office"]
        tomorrow = make_message(None, Kind.DATA_MISSING, level=Level.NONE, valid_day=DAY + timedelta(days=1))
        assert outbox.queue_messages(conn, world.region, [tomorrow], NOW) == 1

    def test_a_change_of_a_run_is_said_once(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        assert outbox.queue_messages(conn, world.region, [make_message(), make_message()], NOW) == 1
        assert outbox.queue_messages(conn, world.region, [make_message(text="reworded")], NOW) == 0
        assert len(self.names(conn)) == 2

    def test_better_rain_may_say_more_on_the_same_day(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        update = make_message(kind=Kind.UPDATE)
        assert outbox.queue_messages(conn, world.region, [update], NOW) == 1
        world.publish(conn, key="k2")
        assert outbox.queue_messages(conn, world.region, [update], NOW) == 1

    def test_a_message_hangs_on_an_alert(self, published, conn, make_message):
        world, _ = published
        with pytest.raises(IntegrityError, match="ck_alert_message_alert"), conn.begin_nested():
            outbox.queue_messages(conn, world.region, [make_message()], NOW)

    def test_the_history_tells_what_was_said(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
        outbox.queue_messages(conn, world.region, [make_message(), missing], NOW)
        opened, silent = outbox.find_alert_history(conn, world.region)
        assert (opened.area_name, opened.kind, opened.level, opened.pending) == ("West", Kind.OPEN, Level.RED, 2)
        assert (silent.alert_id, silent.area_id, silent.kind, silent.pending) == (None, "", Kind.DATA_MISSING, 3)
        assert opened.queued_at == NOW


class TestDelivery:
    def deliver(self, engine, now, limit=10):
        claimed = outbox.claim_deliveries(engine, now, limit)
        with transaction(engine) as conn:
            for outgoing in claimed:
                outbox.mark_delivered(conn, outgoing.delivery_id, now)
        return claimed

    def test_what_was_queued_goes_out_whole_and_once(self, queued, make_message):
        mail, hook = sorted(self.deliver(queued, NOW), key=lambda outgoing: outgoing.channel)
        assert mail.message == hook.message == make_message()
        assert (mail.channel, mail.address) == ("email", "duty@example.org")
        assert mail.idempotency_key != hook.idempotency_key
        assert self.deliver(queued, NOW + timedelta(days=365)) == []

    def test_a_crash_between_sending_and_marking_repeats_and_never_loses(self, queued):
        first = outbox.claim_deliveries(queued, NOW, 10)  # sent, then killed
        assert outbox.claim_deliveries(queued, NOW + outbox.LEASE / 2, 10) == []
        assert self.deliver(queued, NOW + outbox.LEASE) == first
        assert outbox.claim_deliveries(queued, NOW + 3 * outbox.LEASE, 10) == []

    def test_it_is_not_due_before_it_was_queued(self, queued):
        assert outbox.claim_deliveries(queued, NOW - timedelta(seconds=1), 10) == []

    def test_workers_share_the_work(self, queued):
        together, claimed = threading.Barrier(4), []

        def worker():
            together.wait()
            claimed.extend(outgoing.delivery_id for outgoing in outbox.claim_deliveries(queued, NOW, 1))

        threads = [threading.Thread(target=worker) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(claimed) == len(set(claimed)) == 2

    def test_a_locked_delivery_is_passed_over(self, queued):
        with transaction(queued) as conn:
            locked = scalar(conn, "SELECT id FROM lswarn.delivery ORDER BY id LIMIT 1 FOR UPDATE")
            (other,) = outbox.claim_deliveries(queued, NOW, 10)
            assert other.delivery_id != locked

    def fail(self, engine, now, *, permanent=False):
        (outgoing,) = outbox.claim_deliveries(engine, now, 1)
        with transaction(engine) as conn:
            outbox.mark_failed(conn, outgoing.delivery_id, now, "550 no such user", permanent=permanent)
            row = text("SELECT status, due_at FROM lswarn.delivery WHERE id = :id")
            return conn.execute(row, {"id": outgoing.delivery_id}).one()

    def test_a_refusal_is_tried_again_ever_later(self, queued):
        self.deliver(queued, NOW, 1)
        now, waits = NOW, []
        for _ in range(10):
            status, due_at = self.fail(queued, now)
            assert status == "pending"
            waits.append(due_at - now)
            now = due_at
        for tried, wait in enumerate(waits):
            expected = min(outbox.BACKOFF * 2**tried, outbox.BACKOFF_MAX)
            assert expected / 2 <= wait <= expected * 1.5
        assert len(self.deliver(queued, now)) == 1

    def test_a_permanent_refusal_is_given_up_and_counted(self, queued, world):
        assert self.fail(queued, NOW, permanent=True).status == "dead"
        assert len(self.deliver(queued, NOW)) == 1
        assert outbox.claim_deliveries(queued, NOW + timedelta(days=9), 10) == []
        with transaction(queued) as conn:
            status = find_status(conn, world.region.name)
        assert (status.pending_deliveries, status.failed_deliveries) == (0, 1)

    def test_at_last_it_is_given_up(self, queued, monkeypatch):
        monkeypatch.setattr(outbox, "TRIES", 3)
        self.deliver(queued, NOW, 1)
        found = [self.fail(queued, NOW + timedelta(days=day)).status for day in range(3)]
        assert found == ["pending", "pending", "dead"]

    def test_every_attempt_is_recorded(self, queued):
        self.fail(queued, NOW)
        later = NOW + timedelta(hours=1)
        self.deliver(queued, later)
        with transaction(queued) as conn:
            query = "SELECT attempted_at, address, error FROM lswarn.delivery_attempt ORDER BY id"
            found = conn.execute(text(query)).all()
        assert found[0] == (NOW, "duty@example.org", "550 no such user")
        assert sorted(row.address for row in found[1:]) == ["duty@example.org", "http://127.0.0.1:9/west"]
        assert {(row.attempted_at, row.error) for row in found[1:]} == {(later, None)}

    def test_arrived_stays_arrived(self, queued):
        (outgoing,) = self.deliver(queued, NOW, 1)
        with transaction(queued) as conn:
            later = NOW + timedelta(hours=1)
            outbox.mark_failed(conn, outgoing.delivery_id, later, "a slow rival", permanent=True)
            outbox.mark_delivered(conn, outgoing.delivery_id, later)
            row = text("SELECT status, delivered_at FROM lswarn.delivery WHERE id = :id")
            assert conn.execute(row, {"id": outgoing.delivery_id}).one() == ("sent", NOW)
