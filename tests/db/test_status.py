from datetime import UTC, date, datetime, timedelta

from lswarn.alerts.policy import Kind
from lswarn.db import alerts
from lswarn.db.status import LastRun, Outlook, Status, find_status
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)


def test_a_region_that_is_not_even_recorded(world, conn):
    assert find_status(conn, world.region.name) == Status("testland", None, 0, 0, 0, 0, None, 0, 0, 0, 0)


def test_after_a_day_with_an_alert(recorded, conn, make_message):
    recorded.alarm(conn, recorded.publish(conn).run_id)
    alerts.queue_messages(conn, recorded.region, [make_message()], NOW)
    assert find_status(conn, recorded.region.name) == Status(
        region="testland",
        last_run=LastRun(DAY, "A", "complete"),
        zones=5,
        exceedances=1,
        exposed_roads=1,
        exposed_settlements=2,
        outlook=None,
        open_alerts=1,
        waiting_drafts=0,
        pending_deliveries=2,
        failed_deliveries=0,
    )


def test_the_newest_day_is_told_even_where_nothing_is_known_of_it(recorded, conn, make_message):
    recorded.publish(conn)
    recorded.publish(conn, day=DAY + timedelta(days=1), grade=Grade.E, model_id="", zones=())
    alerts.queue_messages(conn, recorded.region, [make_message(None, Kind.DATA_MISSING)], NOW)
    status = find_status(conn, recorded.region.name)
    assert status.last_run == LastRun(DAY + timedelta(days=1), "E", "unknown")
    assert (status.zones, status.pending_deliveries) == (0, 3)


def test_another_region_counts_for_itself(recorded, conn, make_region):
    recorded.publish(conn)
    assert find_status(conn, "other").last_run is None


def test_the_furthest_outlook_is_told_beside_the_newest_observed_day(recorded, conn):
    recorded.publish(conn, zones=())
    recorded.ahead(conn, 1)
    recorded.ahead(conn, 3, zones=("over the border",))
    status = find_status(conn, recorded.region.name)
    assert (status.last_run, status.zones) == (LastRun(DAY, "A", "complete"), 0)
    assert status.outlook == Outlook(DAY + timedelta(days=3), 3, 1, 0)
    recorded.publish(conn, day=DAY + timedelta(days=3))
    assert find_status(conn, recorded.region.name).outlook is None
