"""What lies still: due, and taken on by nobody."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from lswarn.db import alerts, circuit, outbox
from lswarn.db.unsent import Unsent, find_unsent

NOW = datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def queued(recorded, conn, make_message):
    """One message to two subscribers, due now."""
    recorded.alarm(conn, recorded.publish(conn).run_id)
    alerts.queue_messages(conn, recorded.region, [make_message()], NOW)
    return conn


def after(conn, waited, region="testland"):
    """What has lain still for half an hour, so long after it was queued."""
    return find_unsent(conn, region, NOW + waited - 30 * MINUTE, NOW + waited)


def test_what_is_due_lies_still_only_after_a_while(queued):
    assert after(queued, 29 * MINUTE) == Unsent(0, 0)
    assert after(queued, 31 * MINUTE) == Unsent(2, 0)
    assert after(queued, 31 * MINUTE, "elsewhere") == Unsent(0, 0)


def test_what_was_taken_on_sent_or_given_up_does_not(queued):
    first, second = queued.execute(text("SELECT id FROM lswarn.delivery ORDER BY id")).scalars()
    outbox.mark_delivered(queued, first, NOW)
    assert after(queued, HOUR) == Unsent(1, 0)
    outbox.mark_failed(queued, second, NOW, "busy", again_at=NOW + HOUR)
    assert after(queued, HOUR) == Unsent(0, 0)
    outbox.mark_failed(queued, second, NOW, "gone", again_at=None)
    assert after(queued, 9 * HOUR) == Unsent(0, 0)


def test_what_waits_for_a_lane_to_open_does_not(queued):
    lane = queued.execute(text("SELECT min(lane) FROM lswarn.subscriber")).scalar()
    circuit.mark_lane_failed(queued, lane, NOW, "refused", until=NOW + HOUR)
    assert after(queued, 40 * MINUTE) == Unsent(1, 0)
    assert after(queued, 2 * HOUR) == Unsent(2, 0)


def test_a_draft_that_nobody_let_out_in_time(queued):
    queued.execute(
        text("UPDATE lswarn.alert_message SET approval = 'waiting', released_at = NULL, review_until = :at"),
        {"at": NOW},
    )
    assert after(queued, 20 * MINUTE).drafts == 0
    assert after(queued, HOUR).drafts == 1
