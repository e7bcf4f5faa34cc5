"""Which zone comes from which."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import geopandas as gpd
import pytest
from pyproj import Transformer
from shapely import box
from sqlalchemy import text

from lswarn.db import store
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))


@pytest.fixture
def publish(recorded, conn):
    """`publish(day, (class, left, bottom, right, top), …)`: metres from the world's middle."""

    def publish(day, *zones, key="k1", kind="observed", **which):
        shapes = [box(X + left, Y + bottom, X + right, Y + top) for _, left, bottom, right, top in zones]
        frame = gpd.GeoDataFrame(
            {
                "class": [zone[0] for zone in zones],
                "area_m2": [shape.area for shape in shapes],
                "probability_mean": 0.5,
                "probability_max": 0.6,
            },
            geometry=shapes,
            crs=32616,
        ).to_crs(4326)
        found = recorded.assessment(day=DAY + timedelta(days=day), key=key, zones=(), **which)
        found = replace(found, zones=frame) if zones else found
        return store.publish(conn, recorded.region, found, software="0.1", published_at=NOW, kind=kind).run_id

    return publish


def changes(conn, run_id):
    query = f"""SELECT change, class, earlier_class, cardinality(earlier_zones), round(overlap_m2)
                FROM lswarn.zone_changes({run_id}) ORDER BY change, class, 4, 5"""
    return [tuple(row) for row in conn.execute(text(query))]


def test_what_became_of_each_zone(publish, conn):
    publish(
        0,
        (5, 0, 0, 100, 100),  # stays
        (5, 200, 0, 300, 100),  # grows
        (5, 400, 0, 500, 100),  # is cut in two
        (5, 600, 0, 640, 100),  # these two become one
        (5, 660, 0, 700, 100),
        (5, 800, 0, 900, 100),  # goes
    )
    run_id = publish(
        1,
        (5, 0, 0, 100, 100),
        (5, 200, 0, 320, 100),
        (5, 400, 0, 440, 100),
        (5, 460, 0, 500, 100),
        (5, 600, 0, 700, 100),
        (4, 1000, 0, 1100, 100),
    )
    assert changes(conn, run_id) == [
        ("continued", 5, 5, 1, 10_000),
        ("continued", 5, 5, 1, 10_000),
        ("gone", None, 5, 1, 0),
        ("merged", 5, 5, 2, 8_000),
        ("new", 4, None, 0, 0),
        ("split", 5, 5, 1, 4_000),
        ("split", 5, 5, 1, 4_000),
    ]


def test_the_same_class_comes_first(publish, conn):
    """The core grows into the high ground around it; neither has split or merged."""
    publish(0, (4, 0, 0, 100, 100), (5, 100, 0, 200, 100))
    run_id = publish(1, (4, 0, 0, 50, 100), (5, 50, 0, 200, 100))
    assert changes(conn, run_id) == [("continued", 4, 4, 1, 5_000), ("continued", 5, 5, 1, 10_000)]


def test_high_ground_that_rises_is_no_new_zone(publish, conn):
    publish(0, (4, 0, 0, 100, 100))
    assert changes(conn, publish(1, (5, 0, 0, 100, 100))) == [("continued", 5, 4, 1, 10_000)]


def test_zones_that_touch_are_strangers(publish, conn):
    publish(0, (5, 0, 0, 100, 100))
    assert changes(conn, publish(1, (5, 100, 0, 200, 100), (5, -100, 100, 0, 200))) == [
        ("gone", None, 5, 1, 0),
        ("new", 5, None, 0, 0),
        ("new", 5, None, 0, 0),
    ]


def test_where_rain_is_missing_nothing_is_gone(publish, conn):
    publish(0, (5, 0, 0, 100, 100))
    assert changes(conn, publish(1, grade=Grade.D)) == [("unknown", None, 5, 1, 0)]


def test_before_the_first_day_nothing_is_known(publish, conn):
    assert changes(conn, publish(0, (5, 0, 0, 100, 100))) == [("unknown", 5, None, 0, 0)]


def test_an_unknown_day_is_passed_over(publish, conn):
    first = publish(0, (5, 0, 0, 100, 100))
    assert changes(conn, publish(1, grade=Grade.E, model_id="")) == []
    last = publish(2, (5, 0, 0, 100, 100))
    assert changes(conn, last) == [("continued", 5, 5, 1, 10_000)]
    assert conn.execute(text(f"SELECT earlier_run_id FROM lswarn.run WHERE id = {last}")).scalar() == first


def test_a_day_that_is_published_late_or_again_is_what_the_next_is_held_against(publish, conn):
    publish(0, (5, 0, 0, 100, 100))
    third = publish(2, (5, 0, 0, 100, 100))
    publish(1)
    assert changes(conn, third) == [("new", 5, None, 0, 0)]
    publish(1, (5, 0, 0, 100, 300), key="k2")
    assert changes(conn, third) == [("continued", 5, 5, 1, 10_000)]


def test_outlooks_and_hindcasts_are_held_against_nothing(publish, conn):
    publish(0, (5, 0, 0, 100, 100))
    publish(1, (5, 0, 0, 100, 100), kind="outlook", lead_days=1, grade=Grade.E)
    publish(1, (5, 0, 0, 100, 100), kind="hindcast")
    assert conn.execute(text("SELECT count(*) FROM lswarn.zone_lineage")).scalar() == 0


def test_the_view_is_of_the_newest_day(publish, conn):
    publish(0, (5, 0, 0, 100, 100))
    publish(1, (5, 0, 0, 100, 200), (4, 500, 0, 600, 100))
    query = "SELECT change, valid_day, earlier_day, GeometryType(geometry) FROM lswarn.zone_change_now ORDER BY change"
    day, earlier = DAY + timedelta(days=1), DAY
    assert conn.execute(text(query)).all() == [
        ("continued", day, earlier, "POLYGON"),
        ("new", day, earlier, "POLYGON"),
    ]
