import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from lswarn.alerts.policy import Kind, Level
from lswarn.db import alerts, circuit, outbox, subscribers
from lswarn.db.engine import transaction
from lswarn.db.status import find_status
from lswarn.sections import Subscriber

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
        alerts.queue_messages(conn, world.region, [make_message()], NOW)
    return fresh_engine


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

    def fail(self, engine, now, *, again_at=None):
        (outgoing,) = outbox.claim_deliveries(engine, now, 1)
        with transaction(engine) as conn:
            outbox.mark_failed(conn, outgoing.delivery_id, now, "550 no such user", again_at=again_at)
            row = text("SELECT status, due_at, tries FROM lswarn.delivery WHERE id = :id")
            return conn.execute(row, {"id": outgoing.delivery_id}).one()

    def test_a_refusal_is_tried_again_when_it_is_told(self, queued):
        self.deliver(queued, NOW, 1)
        again_at = NOW + timedelta(minutes=3)
        assert self.fail(queued, NOW, again_at=again_at) == ("pending", again_at, 1)
        assert outbox.claim_deliveries(queued, again_at - timedelta(seconds=1), 1) == []
        (again,) = self.deliver(queued, again_at)
        assert again.tries == 1

    def test_what_is_given_up_is_counted_and_named_and_may_be_sent_again(self, queued, world):
        assert self.fail(queued, NOW).status == "dead"
        assert len(self.deliver(queued, NOW)) == 1
        assert outbox.claim_deliveries(queued, NOW + timedelta(days=9), 10) == []
        with transaction(queued) as conn:
            status = find_status(conn, world.region.name)
            (letter,) = outbox.find_dead_letters(conn)
            assert outbox.find_dead_letters(conn, "other") == []
            assert outbox.queue_dead_again(conn, NOW) == 1
        assert (status.pending_deliveries, status.failed_deliveries) == (0, 1)
        assert status.dead_letters == ("duty officer: Red (550 no such user)",)
        assert (letter.name, letter.channel, letter.lane, letter.tries) == ("duty officer", "email", "email", 1)
        (again,) = self.deliver(queued, NOW)
        assert (again.address, again.tries) == ("duty@example.org", 0)

    def test_nobody_who_left_is_written_to_again(self, queued):
        self.fail(queued, NOW)
        with transaction(queued) as conn:
            conn.execute(text("UPDATE lswarn.subscriber SET retired_at = now()"))
            assert outbox.find_dead_letters(conn) == []
            assert outbox.queue_dead_again(conn, NOW) == 0

    @pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=400)])
    def test_a_clock_that_is_set_back_holds_nothing_up(self, queued, back):
        assert len(self.deliver(queued, NOW - back)) == 2

    def test_a_clock_that_is_set_back_holds_up_no_second_try_for_long(self, queued):
        self.deliver(queued, NOW, 1)
        self.fail(queued, NOW, again_at=NOW + timedelta(minutes=90))
        assert len(self.deliver(queued, NOW - timedelta(days=1))) == 1

    def test_a_worker_whose_clock_is_behind_takes_nothing_from_another(self, queued):
        assert len(outbox.claim_deliveries(queued, NOW, 10)) == 2
        assert outbox.claim_deliveries(queued, NOW - timedelta(minutes=10), 10) == []

    def test_a_clock_that_runs_ahead_repeats_and_never_loses(self, queued):
        first = outbox.claim_deliveries(queued, NOW, 10)
        assert self.deliver(queued, NOW + timedelta(days=400)) == first

    def test_every_attempt_is_recorded(self, queued):
        self.fail(queued, NOW, again_at=NOW)
        later = NOW + timedelta(hours=1)
        self.deliver(queued, later)
        with transaction(queued) as conn:
            query = "SELECT attempted_at, address, error FROM lswarn.delivery_attempt ORDER BY id"
            found = conn.execute(text(query)).all()
        assert found[0] == (NOW, "duty@example.org", "550 no such user")
        assert sorted(row.address for row in found[1:]) == ["duty@example.org", "http://127.0.0.1:9"]
        assert {(row.attempted_at, row.error) for row in found[1:]} == {(later, None)}

    def test_arrived_stays_arrived(self, queued):
        (outgoing,) = self.deliver(queued, NOW, 1)
        with transaction(queued) as conn:
            later = NOW + timedelta(hours=1)
            outbox.mark_failed(conn, outgoing.delivery_id, later, "a slow rival", again_at=None)
            outbox.mark_delivered(conn, outgoing.delivery_id, later)
            row = text("SELECT status, delivered_at FROM lswarn.delivery WHERE id = :id")
            assert conn.execute(row, {"id": outgoing.delivery_id}).one() == ("sent", NOW)


class TestWhomItConcerns:
    """One subscriber for each question; the messages are of alerts in the west."""

    def subscribe(self, world, conn, **wishes):
        one = {"name": "she", "channel": "email", "address": "she@example.org"} | wishes
        region = world.region.model_copy(update={"subscribers": (Subscriber.model_validate(one),)})
        subscribers.record_subscribers(conn, region)
        return region

    @pytest.fixture
    def say(self, recorded, conn, make_message):
        run_ids = iter([recorded.publish(conn, key=f"k{n}") for n in range(9)])

        def say(*kinds_and_levels, area="west"):
            run_id = next(run_ids).run_id
            if conn.execute(text("SELECT count(*) FROM lswarn.alert")).scalar() == 0:
                recorded.alarm(conn, run_id)
            conn.execute(text("UPDATE lswarn.run SET superseded_at = now() WHERE id <> :id"), {"id": run_id})
            conn.execute(text("UPDATE lswarn.run SET superseded_at = NULL WHERE id = :id"), {"id": run_id})
            said = [make_message(area, kind, level=level) for kind, level in kinds_and_levels]
            alerts.queue_messages(conn, recorded.region, said, NOW)
            query = """SELECT name FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id
                       WHERE message_id = (SELECT max(id) FROM lswarn.alert_message) AND retired_at IS NULL"""
            return bool(conn.execute(text(query)).all())

        return say

    def test_from_the_level_on_that_was_chosen_and_to_the_end(self, recorded, conn, say):
        self.subscribe(recorded, conn, level="red")
        assert not say((Kind.OPEN, Level.ORANGE))
        assert not say((Kind.UPDATE, Level.ORANGE))
        assert say((Kind.RAISE, Level.RED))
        assert say((Kind.LOWER, Level.ORANGE))
        assert not say((Kind.UPDATE, Level.ORANGE))
        assert say((Kind.CLEAR, Level.NONE))

    def test_who_heard_nothing_hears_no_end(self, recorded, conn, say):
        self.subscribe(recorded, conn, level="red")
        assert not say((Kind.OPEN, Level.ORANGE))
        assert not say((Kind.CLEAR, Level.NONE))

    def test_missing_rain_concerns_everybody(self, recorded, conn, say):
        self.subscribe(recorded, conn, level="red", areas=("east",))
        assert say((Kind.DATA_MISSING, Level.NONE), area=None)

    def test_it_can_be_addressed_to_some_by_name(self, published, conn, make_message):
        world, run_id = published
        world.alarm(conn, run_id)
        missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
        alerts.queue_messages(conn, world.region, [missing], NOW)
        conn.execute(text("DELETE FROM lswarn.delivery"))
        (message_id,) = conn.execute(text("SELECT id FROM lswarn.alert_message")).scalars()
        assert outbox.queue_deliveries(conn, [message_id], NOW, names=["east office", "nobody"]) == 1
        assert outbox.queue_deliveries(conn, [message_id], NOW, names=["east office"]) == 0


class TestDigest:
    ADDRESS = "she@example.org"

    @pytest.fixture
    def ten(self, world, fresh_engine, make_message):
        """Two messages of one run, to one who wants a digest, by two subscriptions, and to one who does not."""

        def ten(**wishes):
            wanted = {"channel": "email", "address": self.ADDRESS} | wishes
            chosen = [
                {"name": "she", **wanted, "areas": ("west",)},
                {"name": "she again", **wanted, "areas": ("east", "west")},
                {"name": "hook", "channel": "webhook", "address": "https://example.org/hook"},
            ]
            region = world.region.model_copy(update={"subscribers": tuple(map(Subscriber.model_validate, chosen))})
            with transaction(fresh_engine, region) as conn:
                world.record(conn)
                subscribers.record_subscribers(conn, region)
                world.alarm(conn, world.publish(conn).run_id)
                said = [make_message(), make_message(None, Kind.DATA_MISSING, level=Level.NONE, subject="Missing")]
                alerts.queue_messages(conn, region, said, NOW)
            return fresh_engine

        return ten

    def test_the_messages_of_a_run_come_in_one_mail(self, ten):
        engine = ten()
        found = outbox.claim_deliveries(engine, NOW, 10)
        (mail,) = (each for each in found if each.channel == "email")
        assert [message.kind for message in mail.messages] == [Kind.OPEN, Kind.DATA_MISSING]
        assert [len(each.messages) for each in found if each.channel == "webhook"] == [1, 1]
        with transaction(engine) as conn:
            outbox.mark_delivered(conn, mail.delivery_id, NOW)
            query = "SELECT status, count(*) FROM lswarn.delivery GROUP BY status ORDER BY status"
            assert conn.execute(text(query)).all() == [("pending", 2), ("sent", 4)]
            assert scalar(conn, "SELECT count(*) FROM lswarn.delivery_attempt") == 1

    def test_two_workers_do_not_share_a_mail(self, ten):
        engine = ten()
        (first,) = outbox.claim_deliveries(engine, NOW, 1)
        rest = outbox.claim_deliveries(engine, NOW, 10)
        assert len(first.messages) == 2
        assert {each.channel for each in rest} == {"webhook"}

    def test_it_is_given_up_and_sent_again_as_one(self, ten):
        engine = ten()
        (mail,) = outbox.claim_deliveries(engine, NOW, 1)
        with transaction(engine) as conn:
            outbox.mark_failed(conn, mail.delivery_id, NOW, "550 no", again_at=None)
            assert [letter.last_error for letter in outbox.find_dead_letters(conn)] == ["550 no"] * 4
            assert outbox.queue_dead_again(conn, NOW) == 4
        (again,) = (each for each in outbox.claim_deliveries(engine, NOW, 10) if each.channel == "email")
        assert again == mail

    def test_who_wants_none_gets_every_message_by_itself(self, ten):
        found = outbox.claim_deliveries(ten(digest=False), NOW, 10)
        assert [len(each.messages) for each in found] == [1] * len(found)
        assert sum(each.channel == "email" for each in found) == 4

    def test_the_language_is_kept(self, ten):
        (mail,) = outbox.claim_deliveries(ten(language="es"), NOW, 1)
        assert mail.language == "es"


class TestCircuit:
    def test_a_lane_is_left_alone_after_so_many_failures_and_tried_again(self, queued):
        with transaction(queued) as conn:
            opened = [circuit.mark_lane_failed(conn, "email", NOW, "no answer") for _ in range(circuit.FAILURES)]
        assert opened == [None] * (circuit.FAILURES - 1) + [NOW + circuit.PAUSE]
        (hook,) = outbox.claim_deliveries(queued, NOW, 10)
        assert hook.channel == "webhook"
        later = NOW + circuit.PAUSE
        (mail,) = outbox.claim_deliveries(queued, later, 10)
        with transaction(queued) as conn:
            assert circuit.mark_lane_failed(conn, "email", later, "no answer") == later + circuit.PAUSE
            (lane,) = circuit.find_failing_lanes(conn, "testland")
            assert (lane.failures, lane.error) == (circuit.FAILURES + 1, "no answer")
            outbox.mark_delivered(conn, mail.delivery_id, later)
            assert circuit.find_failing_lanes(conn, "testland") == []

    def test_a_host_that_asks_for_silence_gets_it_at_once(self, queued, world):
        lane = "webhook 127.0.0.1"
        until = NOW + timedelta(minutes=30)
        with transaction(queued) as conn:
            assert circuit.mark_lane_failed(conn, lane, NOW, "429 slow down", until=until) == until
            assert circuit.mark_lane_failed(conn, lane, NOW, "timed out") == until
            (told,) = find_status(conn, world.region.name).failing_lanes
        assert told == "webhook 127.0.0.1: 2 times in a row, timed out"
        assert [each.channel for each in outbox.claim_deliveries(queued, NOW, 10)] == ["email"]

    def test_a_clock_that_is_set_back_leaves_no_lane_closed(self, queued):
        with transaction(queued) as conn:
            circuit.mark_lane_failed(conn, "email", NOW, "no", until=NOW + timedelta(minutes=5))
        assert len(outbox.claim_deliveries(queued, NOW - timedelta(days=3), 10)) == 2
