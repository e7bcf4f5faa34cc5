import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from lswarn.db import alerts, retention
from lswarn.db.engine import transaction
from lswarn.db.retention import prune
from lswarn.db.store import find_runs

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
"""Every run of the world is published at `NOW`."""
LATER = NOW + timedelta(days=401)
GONE = ("susceptibility_zone", "rainfall_exceedance", "road_exposure", "settlement_exposure", "run_tile")
LEFT = ("zone_shape", "run_zone", "road_part", "settlement_part")
KEPT = ("class_area", "exposure_total", "run", "alert", "alert_message")


def counts(conn, names):
    return {name: conn.execute(text(f"SELECT count(*) FROM lswarn.{name}")).scalar() for name in names}


@pytest.fixture
def two_days(recorded, conn, make_message):
    """A day, and a quiet one after it."""
    recorded.alarm(conn, recorded.publish(conn).run_id)
    alerts.queue_messages(conn, recorded.region, [make_message()], NOW)
    recorded.publish(conn, day=DAY + timedelta(days=1), zones=())
    return recorded


def test_old_findings_go_and_what_was_said_stays(two_days, conn):
    newest = recorded_tiles(conn)
    kept = counts(conn, KEPT)
    pruned = prune(conn, two_days.region, 400, LATER)
    assert counts(conn, KEPT) == kept
    left = counts(conn, GONE)
    assert left == {name: {"rainfall_exceedance": 1, "run_tile": 2}.get(name, 0) for name in GONE}
    assert recorded_tiles(conn) == newest - 2
    assert pruned == retention.Pruned(1, pruned.rows, 2, 5)
    assert pruned.rows == 5 + 1 + 2
    assert pruned.sentence == f"{pruned.rows} rows of 1 runs deleted, 5 outlines and 2 map tiles"
    assert set(counts(conn, LEFT).values()) == {0}


def recorded_tiles(conn):
    return counts(conn, ["class_tile"])["class_tile"]


def test_nothing_is_deleted_before_its_time_or_twice(two_days, conn):
    before = counts(conn, GONE)
    assert prune(conn, two_days.region, 400, NOW + timedelta(days=400)) == retention.Pruned(0, 0, 0, 0)
    assert counts(conn, GONE) == before
    assert prune(conn, two_days.region, 400, LATER).runs == 1
    again = prune(conn, two_days.region, 400, LATER)
    assert again.sentence == "nothing is older than it may be"
    assert prune(conn, two_days.region.model_copy(update={"name": "other"}), 1, LATER).runs == 0


def test_the_newest_day_keeps_what_it_found_however_old(recorded, conn):
    recorded.publish(conn)
    before = counts(conn, GONE)
    assert prune(conn, recorded.region, 1, NOW + timedelta(days=9999)).runs == 0
    assert counts(conn, GONE) == before


def test_outlooks_and_superseded_runs_are_marked_too(recorded, conn):
    recorded.ahead(conn)
    recorded.publish(conn)
    recorded.publish(conn, key="k2")
    recorded.publish(conn, "hindcast", day=DAY - timedelta(days=900))
    assert prune(conn, recorded.region, 400, NOW + timedelta(days=399)).runs == 0, "a hindcast is as old as its making"
    assert prune(conn, recorded.region, 400, LATER).runs == 3
    assert len(find_runs(conn, recorded.region)) == 4


def test_tiles_and_outlines_of_superseded_runs_go_at_once(recorded, conn):
    recorded.publish(conn)
    recorded.publish(conn, key="k2", zones=())
    pruned = prune(conn, recorded.region, 400, NOW)
    assert pruned == retention.Pruned(0, 0, 2, 5)
    assert pruned.sentence == "0 rows of 0 runs deleted, 5 outlines and 2 map tiles"


def test_what_was_deleted_is_not_shown_as_none(two_days, conn):
    history = text("SELECT * FROM lswarn.exposure_history WHERE valid_day = :day ORDER BY area_id, class")
    summary = text("SELECT road_km, people, very_high_m2, at_least FROM lswarn.summary(:day) WHERE area_id = 'west'")
    day = {"day": DAY}
    before = conn.execute(history, day).all()
    prune(conn, two_days.region, 400, LATER)
    assert conn.execute(history, day).all() == before, "the totals are kept for ever"
    assert conn.execute(summary, day).one() == (None, None, 5000.0, True)
    there = "ST_SetSRID(ST_MakePoint(-84.25, 36.275), 4326)"
    assert conn.execute(text(f"SELECT lswarn.class_at({there}, :day)"), day).scalar() is None
    told = conn.execute(text(f"SELECT class, points FROM lswarn.exposure_of({there}, :day)"), day).all()
    assert told == [(None, 1)]


def test_a_day_that_is_run_again_has_its_findings_back(two_days, conn):
    before = counts(conn, GONE)
    prune(conn, two_days.region, 400, LATER)
    assert not two_days.publish(conn).repeated
    assert counts(conn, GONE) == before


def test_a_tile_that_is_being_named_is_not_deleted(world, fresh_engine):
    """A publisher of another region finds the orphan there while it is being deleted, and stores it again."""
    with transaction(fresh_engine, world.region) as conn:
        world.record(conn)
        world.publish(conn)
        world.publish(conn, day=DAY + timedelta(days=1), zones=())
    other = type(world)(
        world.region.model_copy(update={"name": "other"}),
        world.roads,
        world.settlements,
        world.warning_areas,
        world.folder,
    )
    with transaction(fresh_engine, other.region) as conn:
        other.record(conn)

    def publish():
        with transaction(fresh_engine, other.region) as conn:
            other.publish(conn)

    rival = threading.Thread(target=publish)
    with transaction(fresh_engine, world.region) as conn:
        assert prune(conn, world.region, 400, LATER).tiles == 2
        rival.start()
        rival.join(0.5)
        assert rival.is_alive()
    rival.join(20)
    with transaction(fresh_engine) as conn:
        assert counts(conn, ["run_tile", "class_tile"]) == {"run_tile": 4, "class_tile": 4}


def test_a_writer_may(two_days, conn):
    conn.execute(text("SET LOCAL ROLE lswarn_writer"))
    assert prune(conn, two_days.region, 400, LATER).runs == 1
