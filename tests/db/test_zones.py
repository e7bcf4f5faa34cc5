"""Outlines that are stored once, and what is left of them when nobody names them any more."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import shapely
from alembic import command
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lswarn.db import store
from lswarn.db.engine import alembic_config, transaction
from lswarn.db.lineage import overlaps
from lswarn.db.zones import forget_shapes

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
STORED = ("zone_shape", "run_zone", "road_part", "settlement_part")
SEEN = """
    SELECT 'zone', run_id, class, area_m2, probability_max, ST_AsText(geometry) FROM lswarn.susceptibility_zone
    UNION ALL SELECT 'road', run_id, class, length_m, probability_mean, ST_AsText(geometry) FROM lswarn.road_exposure
    UNION ALL SELECT 'town', run_id, class, area_m2, people, ST_AsText(geometry) FROM lswarn.settlement_exposure
    UNION ALL SELECT 'line', run_id, 0, zone_id, earlier_zone_id, '' FROM lswarn.zone_lineage
    UNION ALL SELECT 'view', 0, class, length_m, probability_max, name FROM lswarn.exposed_road_now"""


def counts(conn):
    return {name: conn.execute(text(f"SELECT count(*) FROM lswarn.{name}")).scalar() for name in STORED}


def seen(conn):
    """All that readers see of zones, but for keys."""
    return sorted(map(str, conn.execute(text(SEEN))))


def test_an_outline_is_stored_and_cut_once(recorded, conn):
    recorded.publish(conn)
    first = counts(conn)
    assert first == {"zone_shape": 5, "run_zone": 5, "road_part": 3, "settlement_part": 2}
    recorded.publish(conn, day=DAY + timedelta(days=1))
    recorded.ahead(conn, 2)
    assert counts(conn) == first | {"run_zone": 15}


def test_every_row_that_readers_see_has_a_key_of_its_own(recorded, conn):
    recorded.publish(conn)
    recorded.publish(conn, day=DAY + timedelta(days=1))
    for view, rows in (("road_exposure", 6), ("settlement_exposure", 4), ("susceptibility_zone", 10)):
        query = text(f"SELECT count(DISTINCT id), count(*) FROM lswarn.{view}")
        assert conn.execute(query).one() == (rows, rows)


def test_the_same_outline_twice_on_one_day_is_two_zones(recorded, conn):
    assert recorded.publish(conn, zones=("high", "high")).exposure.zones == 2
    assert counts(conn) == {"zone_shape": 1, "run_zone": 2, "road_part": 1, "settlement_part": 0}


def test_what_no_run_names_goes_with_all_that_lay_in_it(recorded, conn):
    recorded.publish(conn)
    recorded.publish(conn, key="k2", zones=("high",))
    assert counts(conn)["zone_shape"] == 5
    other = recorded.region.model_copy(update={"name": "other"})
    assert forget_shapes(conn, other) == 0
    assert forget_shapes(conn, recorded.region) == 4
    assert counts(conn) == {"zone_shape": 1, "run_zone": 1, "road_part": 1, "settlement_part": 0}
    assert forget_shapes(conn, recorded.region) == 0


def test_older_zones_move_over_and_are_found_again(world, copied_engine):
    """Down and up again readers see the same, and the shapes are those that tomorrow's zones will look for."""
    with transaction(copied_engine) as conn:
        world.record(conn)
        world.publish(conn, zones=("high", "over the border"))
        world.publish(conn, day=DAY + timedelta(days=1))
        before, stored = seen(conn), counts(conn)
    with copied_engine.connect() as conn:
        command.downgrade(alembic_config(conn), "0010")
    with transaction(copied_engine) as conn:
        assert seen(conn) == before
        assert conn.execute(text("SELECT count(*) FROM pg_class WHERE relname = 'zone_shape'")).scalar() == 0
    with copied_engine.connect() as conn:
        command.upgrade(alembic_config(conn), "head")
    with transaction(copied_engine) as conn:
        assert seen(conn) == before
        assert counts(conn) == stored
        world.publish(conn, day=DAY + timedelta(days=2))
        assert counts(conn) == stored | {"run_zone": stored["run_zone"] + 5}


def test_a_day_without_a_raster_of_probabilities(recorded, conn):
    found = replace(recorded.assessment(), probability=None)
    store.publish(conn, recorded.region, found, software="0.1", published_at=NOW)
    assert set(conn.execute(text("SELECT rasters FROM lswarn.run")).scalar_one()) == {"classes"}


@pytest.mark.parametrize("count", [0, 1])
def test_where_nothing_was_nothing_overlaps(count):
    none, some = np.zeros(0, object), np.array([shapely.box(0, 0, 1, 1)] * count, object)
    assert [len(part) for part in overlaps(some, none)] == [0, 0, 0]
    assert [len(part) for part in overlaps(none, some)] == [0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 8)] * 3), min_size=2, max_size=12), st.integers(1, 11))
def test_overlaps_are_those_of_each_with_each(squares, cut):
    shapes = np.array([shapely.box(x, y, x + 1 + side, y + 1 + side) for x, y, side in squares])
    zones, earlier = shapes[:cut], shapes[cut:]
    first, second, share = overlaps(zones, earlier)
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), share, strict=True))
    wanted = {
        (i, j): zone.intersection(one).area / zone.area for i, zone in enumerate(zones) for j, one in enumerate(earlier)
    }
    assert found == pytest.approx({pair: part for pair, part in wanted.items() if part > 0})
