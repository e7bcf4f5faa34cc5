"""What verification asks of the database: when people were told, and what was known of each area."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from lswarn.alerts.policy import Kind, Level
from lswarn.db import alerts, verify
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
LATER = timedelta(hours=2)


@pytest.fixture
def said(recorded, conn, make_message):
    """A red alert in the west, queued for its subscribers."""
    recorded.alarm(conn, recorded.publish(conn).run_id)
    alerts.queue_messages(conn, recorded.region, [make_message()], NOW)
    return recorded


def told(world, conn, start=DAY, end=DAY):
    return verify.find_said(conn, world.region, start, end)


def test_people_are_told_when_the_first_of_them_took_the_message(said, conn):
    ((word,), closed) = told(said, conn)
    assert (word.area_id, word.level, word.day, word.told_at) == ("west", Level.RED, DAY, None)
    assert closed == {word.alert_id: None}
    take = text("""UPDATE lswarn.delivery SET status = 'sent', delivered_at = :at
                   WHERE id = (SELECT id FROM lswarn.delivery WHERE status <> 'sent' ORDER BY id LIMIT 1)""")
    conn.execute(take, {"at": NOW + 2 * LATER})
    conn.execute(take, {"at": NOW + LATER})
    ((word,), _) = told(said, conn)
    assert word.told_at == NOW + LATER


def test_where_nobody_is_subscribed_a_message_is_told_when_it_is_released(said, conn):
    conn.execute(text("DELETE FROM lswarn.delivery"))
    assert told(said, conn)[0][0].told_at == NOW


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE lswarn.alert SET status = 'test'",
        "UPDATE lswarn.alert_message SET approval = 'rejected', released_at = NULL, decided_by = 'x', "
        "decided_at = now()",
        "UPDATE lswarn.alert_message SET approval = 'waiting', released_at = NULL, review_until = now()",
    ],
)
def test_drills_and_drafts_are_no_warnings(said, conn, change):
    conn.execute(text(change))
    assert told(said, conn) == ([], {})


def test_alerts_that_ended_before_or_opened_after_are_not_asked(said, conn):
    day = timedelta(days=1)
    assert told(said, conn, DAY - 2 * day, DAY - day)[0] == []
    assert len(told(said, conn, DAY + 9 * day, DAY + 10 * day)[0]) == 1
    conn.execute(text("UPDATE lswarn.alert SET level = 0, state = 'closed', closed_on = :day"), {"day": DAY + day})
    assert told(said, conn, DAY + 9 * day, DAY + 10 * day)[0] == []
    assert set(told(said, conn)[1].values()) == {DAY + day}


def test_a_message_about_missing_rain_is_of_no_alert(recorded, conn, make_message):
    missing = make_message(None, Kind.DATA_MISSING, level=Level.NONE)
    alerts.queue_messages(conn, recorded.region, [missing], NOW)
    assert told(recorded, conn) == ([], {})


def test_a_day_is_known_where_its_run_is_complete_and_no_more_than_always_is_unknown(recorded, conn):
    days = [DAY + timedelta(days=n) for n in range(3)]
    for number, day in enumerate(days):
        recorded.publish(conn, day=day, key=f"k{number}", grade=Grade.D if number == 2 else Grade.A)
    # On the second day a third of the east is unknown that was known on the first.
    conn.execute(
        text("""UPDATE lswarn.class_area SET area_m2 = 7500 FROM lswarn.warning_area AS area, lswarn.run
                WHERE area.id = area_id AND run.id = run_id AND source_id = 'east' AND class = 0
                  AND valid_day = :day"""),
        {"day": days[1]},
    )
    runs = verify.find_run_days(conn, recorded.region, days[0], days[2])
    assert {run.valid_day: run.status for run in runs.values()} == dict(
        zip(days, ("complete", "complete", "lower_bound"), strict=True)
    )
    found = verify.find_class_areas(conn, list(runs.values()))
    assert {key for key in found.known if key[0] != "elsewhere"} == {
        ("west", days[0]),
        ("east", days[0]),
        ("west", days[1]),
    }
    assert found.highest["west", days[0]] == 5
    assert found.area_m2[5] == 9 * 5000
    assert verify.find_class_areas(conn, []).known == frozenset()


def test_an_observed_run_comes_before_a_hindcast_and_a_superseded_one_is_gone(recorded, conn):
    before = recorded.publish(conn, "hindcast", key="h").run_id
    region = recorded.region
    assert verify.find_run_days(conn, region, DAY, DAY) == {}
    assert verify.find_run_days(conn, region, DAY, DAY, hindcasts=True)[DAY].run_id == before
    recorded.publish(conn, key="old")
    run_id = recorded.publish(conn, key="new").run_id
    assert verify.find_run_days(conn, region, DAY, DAY, hindcasts=True)[DAY].run_id == run_id
