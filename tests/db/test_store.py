import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from lswarn.alerts.policy import Hit
from lswarn.db import alerts, assets, exposure, store
from lswarn.db.engine import transaction
from lswarn.errors import DatabaseError
from lswarn.rain.grade import Grade

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
FOUND = ("susceptibility_zone", "rainfall_exceedance", "class_area", "road_exposure", "settlement_exposure")


def counts(conn):
    return [conn.execute(text(f"SELECT count(*) FROM lswarn.{table}")).scalar() for table in FOUND]


def rows(conn):
    """Every row of every findings table without its key, as text."""
    return {
        table: sorted(conn.execute(text(f"SELECT (to_jsonb(t) - 'id')::text FROM lswarn.{table} AS t")).scalars())
        for table in (*FOUND, "run")
    }


class TestPublish:
    def test_what_it_says_it_found(self, recorded, conn):
        published = recorded.publish(conn)
        assert not published.repeated
        exposure = published.exposure
        assert (exposure.zones, exposure.exceedances, exposure.roads, exposure.settlements) == (5, 1, 1, 2)
        assert exposure.road_m == pytest.approx(1000, abs=0.1)
        assert exposure.people == 500

    @pytest.mark.parametrize(
        ("grade", "status"),
        [("A", "complete"), ("B", "complete"), ("C", "complete"), ("D", "lower_bound"), ("E", "modelled")],
    )
    def test_the_status_follows_the_grade(self, recorded, conn, grade, status):
        recorded.publish(conn, grade=Grade(grade), zones=())
        recorded.publish(conn, day=DAY + timedelta(days=1), grade=Grade(grade), model_id="", zones=())
        found = conn.execute(text("SELECT status FROM lswarn.run ORDER BY valid_day")).scalars().all()
        assert found == [status, "unknown"]

    def test_an_outlook_is_modelled_whatever_its_grade(self, recorded, conn):
        recorded.publish(conn, "outlook", lead_days=1, grade=Grade.C)
        assert conn.execute(text("SELECT status FROM lswarn.run")).scalar() == "modelled"

    def test_the_kinds_of_a_day_stand_beside_each_other(self, recorded, conn):
        published = [
            recorded.publish(conn, "hindcast"),
            recorded.publish(conn, "outlook", lead_days=2, grade=Grade.E),
            recorded.publish(conn),
        ]
        assert [run.repeated for run in published] == [False] * 3
        again = recorded.publish(conn, "outlook", lead_days=1, grade=Grade.E, key="k2", zones=("high",))
        assert [(run.kind, run.lead_days, run.current) for run in store.find_runs(conn, recorded.region)] == [
            ("outlook", 1, True),
            ("observed", 0, True),
            ("outlook", 2, False),
            ("hindcast", 0, True),
        ]
        assert again.exposure.zones == 1
        assert counts(conn)[0] == 11

    @pytest.mark.parametrize(("kind", "lead_days"), [("observed", 1), ("hindcast", 1), ("outlook", 0)])
    def test_forecast_rain_makes_an_outlook_and_nothing_else_does(self, recorded, conn, kind, lead_days):
        with pytest.raises(IntegrityError, match="ck_run_lead"), conn.begin_nested():
            recorded.publish(conn, kind, lead_days=lead_days)

    def test_twice_leaves_the_same_rows(self, recorded, conn):
        first = recorded.publish(conn)
        before = rows(conn)
        second = recorded.publish(conn)
        assert second == store.Published(first.run_id, True, first.exposure)
        assert rows(conn) == before

    def test_another_result_replaces_the_day(self, recorded, conn):
        first = recorded.publish(conn)
        second = recorded.publish(conn, key="k2", zones=("high",))
        assert not second.repeated
        assert counts(conn) == [1, 1, 18, 1, 0]
        assert [(run.run_id, run.current) for run in store.find_runs(conn, recorded.region)] == [
            (second.run_id, True),
            (first.run_id, False),
        ]

    def test_back_to_the_first_result_is_a_run_of_its_own(self, recorded, conn):
        before = recorded.publish(conn)
        recorded.publish(conn, key="k2", zones=())
        after = recorded.publish(conn)
        assert after.run_id != before.run_id
        assert after.exposure == before.exposure

    def test_other_days_are_left_alone(self, recorded, conn):
        recorded.publish(conn)
        recorded.publish(conn, day=DAY + timedelta(days=1))
        assert counts(conn)[0] == 10
        assert store.newest_day(conn, recorded.region) == DAY + timedelta(days=1)

    def test_new_assets_are_exposed_by_the_same_assessment(self, recorded, conn):
        first = recorded.publish(conn)
        recorded.record(conn, "other assets")
        second = recorded.publish(conn)
        assert not second.repeated
        assert second.exposure == first.exposure

    def test_retired_assets_are_not_exposed(self, recorded, conn):
        conn.execute(text("UPDATE lswarn.road SET retired_at = now()"))
        conn.execute(text("UPDATE lswarn.settlement SET retired_at = now()"))
        assert recorded.publish(conn).exposure.roads == 0
        assert counts(conn)[3:] == [0, 0]

    def test_a_day_without_findings(self, recorded, conn):
        assert recorded.publish(conn, zones=()).exposure.zones == 0

    def test_the_region_and_its_areas_come_first(self, world, conn):
        with pytest.raises(DatabaseError, match="testland is not recorded"):
            world.publish(conn)
        world.record(conn)
        conn.execute(text("UPDATE lswarn.warning_area SET retired_at = now() WHERE source_id = 'west'"))
        with pytest.raises(DatabaseError, match="warning areas west of testland are not recorded"):
            world.publish(conn)

    def test_killed_in_the_middle_leaves_the_day_before(self, world, fresh_engine, monkeypatch):
        with transaction(fresh_engine, world.region) as conn:
            world.record(conn)
            world.publish(conn, zones=("high",))
            before = rows(conn)

        def killed(key):
            with transaction(fresh_engine, world.region) as conn:
                world.publish(conn, key=key)

        monkeypatch.setitem(exposure.KEEP, "settlement", "SELECT 1 / 0")
        with pytest.raises(DatabaseError, match="division by zero"):
            killed("k2")
        with transaction(fresh_engine) as conn:
            assert rows(conn) == before

    @pytest.mark.parametrize("keys", [("k1", "k1"), ("k1", "k2")])
    def test_two_publishers_at_once(self, world, fresh_engine, keys):
        with transaction(fresh_engine, world.region) as conn:
            world.record(conn)
        together, published = threading.Barrier(2), []

        def publisher(key):
            together.wait()
            with transaction(fresh_engine, world.region) as conn:
                published.append(world.publish(conn, key=key))

        threads = [threading.Thread(target=publisher, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [run.repeated for run in published] == [False, keys[0] == keys[1]]
        with transaction(fresh_engine) as conn:
            assert counts(conn) == [5, 1, 18, 3, 2]
            assert len([run for run in store.find_runs(conn, world.region) if run.current]) == 1


class TestExposure:
    def test_a_road_is_cut_where_zone_and_area_end(self, recorded, conn):
        recorded.publish(conn)
        query = "SELECT area_id, class, length_m, ST_Length(ST_Transform(geometry, 32616)) FROM lswarn.exposed_road_now"
        found = {(row[0], row[1]): row[2:] for row in conn.execute(text(query))}
        assert set(found) == {("west", 5), ("east", 5), ("east", 4)}
        for key, metres in {("west", 5): 500, ("east", 5): 300, ("east", 4): 200}.items():
            assert found[key] == pytest.approx((metres, metres), abs=0.1)

    def test_a_settlement_is_hit_by_its_share(self, recorded, conn):
        recorded.publish(conn)
        query = "SELECT settlement_id, area_share, people, area_m2 FROM lswarn.exposed_settlement_now"
        found = {row[0]: row[1:] for row in conn.execute(text(query))}
        assert found["town"] == pytest.approx((0.25, 500, 250_000), rel=1e-4)
        assert found["hamlet"][:2] == (pytest.approx(0.5, abs=1e-3), None)

    def test_outside_all_areas_is_elsewhere(self, world, conn):
        world.record(conn)
        conn.execute(text("DELETE FROM lswarn.warning_area"))
        store_areas = world.warning_areas.iloc[:1]
        assets.record_assets(conn, world.region, world.roads, world.settlements, store_areas)
        found = world.assessment()
        keep = found.class_areas[found.class_areas["area_id"] != "east"]
        run = store.publish(conn, world.region, replace(found, class_areas=keep), software="0.1", published_at=NOW)
        hits = store.find_hits(conn, run.run_id)
        assert set(hits) == {"west", "elsewhere"}
        assert hits["elsewhere"][0].length_m == pytest.approx(300, abs=0.1)
        assert hits["elsewhere"][1].asset_id == "hamlet"

    def test_a_road_along_the_edge_of_a_zone_is_not_in_it(self, recorded, conn):
        recorded.publish(conn, zones=("nothing there",))
        assert counts(conn)[3:] == [0, 0]

    def test_history_tells_unknown_from_nothing(self, recorded, conn):
        recorded.publish(conn)
        recorded.publish(conn, day=DAY + timedelta(days=1), grade=Grade.E, model_id="", zones=())
        recorded.publish(conn, day=DAY + timedelta(days=2), grade=Grade.A, zones=())
        recorded.ahead(conn, 3)
        recorded.publish(conn, "hindcast")
        query = """SELECT valid_day - CAST('2015-10-02' AS date) AS day, roads, road_m, settlements, people,
                          settlements_uncounted
                   FROM lswarn.exposure_history WHERE area_id = 'east' AND class = 5 ORDER BY 1"""
        first, unknown, clear = conn.execute(text(query)).all()
        assert first == (0, 1, pytest.approx(300, abs=0.1), 1, 0, 1)
        assert unknown == (1, None, None, None, None, None)
        assert clear == (2, 0, 0, 0, 0, 0)

    def test_the_views_show_the_newest_day(self, recorded, conn):
        recorded.publish(conn, day=DAY + timedelta(days=1), zones=("high",))
        recorded.publish(conn)
        assert conn.execute(text("SELECT class, valid_day FROM lswarn.current_zone")).all() == [
            (4, DAY + timedelta(days=1))
        ]
        assert conn.execute(text("SELECT count(*) FROM lswarn.exposed_road_now")).scalar() == 1


class TestHits:
    def test_very_high_alone_and_by_area(self, recorded, conn):
        hits = store.find_hits(conn, recorded.publish(conn).run_id)
        near = pytest.approx
        assert hits == {
            "east": [
                Hit("road", "r1", "Long Road", "I-1", near(300, abs=0.1), 0, 0.8),
                Hit("settlement", "hamlet", "Hamlet", "", 0, None, near(0.83)),
            ],
            "west": [
                Hit("road", "r1", "Long Road", "I-1", near(500, abs=0.1), 0, 0.8),
                Hit("settlement", "town", "Town", "", 0, 500, near(0.82)),
            ],
        }

    def test_an_asset_in_several_zones_is_one_hit(self, recorded, conn):
        zones = ("quarter of the town", "quarter of the town", "over the border", "high")
        hits = store.find_hits(conn, recorded.publish(conn, zones=zones).run_id)
        assert [(hit.asset, hit.people) for hit in hits["west"]] == [("road", 0), ("settlement", 1000)]
        assert hits["west"][1].probability_max == pytest.approx(0.81)
        assert hits["east"][0].length_m == pytest.approx(300, abs=0.1)

    def test_people_are_rounded_once(self, recorded, conn):
        conn.execute(text("UPDATE lswarn.settlement SET population = 1 WHERE source_id = 'town'"))
        hits = store.find_hits(conn, recorded.publish(conn, zones=("quarter of the town",) * 3).run_id)
        assert hits["west"][0].people == 1  # 0.75 of a person, not three times none

    def test_nothing_is_hit(self, recorded, conn):
        run_id = recorded.publish(conn, zones=("high", "nothing there")).run_id
        assert store.find_hits(conn, run_id) == {}
        [hit] = store.find_hits(conn, run_id, 4)["east"]  # for what was told of before, they count towards staying
        assert (hit.key, round(hit.length_m)) == ("road:r1", 200)

    def test_the_order_is_stable(self, recorded, conn):
        zones = ("half of the hamlet", "over the border", "quarter of the town")
        first = store.find_hits(conn, recorded.publish(conn, zones=zones).run_id)
        second = store.find_hits(conn, recorded.publish(conn, key="k2", zones=zones).run_id)
        assert first == second


class TestOutlooks:
    def test_hits_of_every_day_ahead(self, recorded, conn):
        assert store.find_outlook_hits(conn, recorded.region, DAY) == {}
        recorded.publish(conn)
        recorded.ahead(conn, 1, zones=("high",))
        run = recorded.ahead(conn, 2)
        recorded.publish(conn, "hindcast", day=DAY + timedelta(days=3))
        found = store.find_outlook_hits(conn, recorded.region, DAY)
        assert found == {DAY + timedelta(days=1): {}, DAY + timedelta(days=2): store.find_hits(conn, run.run_id)}
        assert found[DAY + timedelta(days=2)]["west"]
        assert list(store.find_outlook_hits(conn, recorded.region, DAY + timedelta(days=1))) == [
            DAY + timedelta(days=2)
        ]

    def test_a_newer_outlook_of_the_day_counts_alone(self, recorded, conn):
        recorded.ahead(conn, 1)
        recorded.ahead(conn, 1, key="k2", zones=())
        assert store.find_outlook_hits(conn, recorded.region, DAY) == {DAY + timedelta(days=1): {}}

    def test_the_newest_day_is_an_observed_one(self, recorded, conn):
        recorded.ahead(conn, 3)
        recorded.publish(conn, "hindcast", day=DAY + timedelta(days=9))
        assert store.newest_day(conn, recorded.region) is None
        recorded.publish(conn)
        assert store.newest_day(conn, recorded.region) == DAY

    def test_what_speaks_of_now_speaks_of_what_was_observed(self, recorded, conn):
        recorded.publish(conn, zones=("high",))
        recorded.ahead(conn, 1)
        recorded.publish(conn, "hindcast", day=DAY + timedelta(days=1))
        seen = {
            "current_run": [(DAY,)],
            "current_zone": [(DAY,)],
            "exposed_road_now": [(DAY,)],
            "exposed_settlement_now": [],
            "exposure_history": [(DAY,)],
            "rain_status": [(DAY,)],
        }
        for view, days in seen.items():
            assert conn.execute(text(f"SELECT DISTINCT valid_day FROM lswarn.{view}")).all() == days

    def test_the_views_of_the_days_ahead(self, recorded, conn):
        recorded.publish(conn)
        recorded.ahead(conn, 1, zones=("high",))
        recorded.ahead(conn, 3, zones=("quarter of the town",))
        day, rows_of = DAY + timedelta(days=1), lambda query: conn.execute(text(query)).all()
        later = DAY + timedelta(days=3)
        ahead = [(day, 1, "modelled"), (later, 3, "modelled")]
        assert rows_of("SELECT valid_day, lead_days, status FROM lswarn.outlook_run ORDER BY 1") == ahead
        zones = rows_of("SELECT valid_day, lead_days, class FROM lswarn.outlook_zone ORDER BY 1")
        assert zones == [(day, 1, 4), (later, 3, 5)]
        assert rows_of("SELECT lead_days, road_id, class FROM lswarn.outlook_exposed_road") == [(1, "r1", 4)]
        towns = rows_of("SELECT lead_days, settlement_id, people, area_id FROM lswarn.outlook_exposed_settlement")
        assert towns == [(3, "town", 500, "west")]

    def test_a_day_that_has_been_observed_is_not_ahead(self, recorded, conn):
        recorded.ahead(conn, 1)
        recorded.ahead(conn, 2)
        count = text("SELECT array_agg(lead_days ORDER BY lead_days) FROM lswarn.outlook_run")
        assert conn.execute(count).scalar() == [1, 2]
        recorded.publish(conn, day=DAY + timedelta(days=1), grade=Grade.E, model_id="", zones=())
        assert conn.execute(count).scalar() == [2]
        assert set(conn.execute(text("SELECT lead_days FROM lswarn.outlook_zone")).scalars()) == {2}


class TestMapLayers:
    def test_what_is_drawn_of_an_area(self, recorded, conn):
        layers = store.find_map_layers(conn, recorded.publish(conn).run_id, "west")
        west = recorded.warning_areas.geometry.iloc[0]
        assert layers.area.symmetric_difference(west).area == pytest.approx(0, abs=1e-12)
        assert list(layers.zones["class"]) == [5, 5, 5]
        assert [tuple(road) for road in layers.roads[["name", "ref", "exposed"]].to_numpy()] == [
            ("Long Road", "I-1", False),
            ("", "", False),
            ("Long Road", "I-1", True),
            ("Long Road", "I-1", True),  # the stretch next door, which touches the frame
        ]
        assert [tuple(town) for town in layers.settlements[["name", "exposed"]].to_numpy()] == [("Town", True)]
        assert layers.roads.crs.to_epsg() == 4326

    def test_empty_layers_are_frames_too(self, recorded, conn):
        layers = store.find_map_layers(conn, recorded.publish(conn, zones=()).run_id, "east")
        assert layers.zones.empty
        assert not layers.roads["exposed"].any()

    def test_an_unknown_area_is_named(self, recorded, conn):
        with pytest.raises(DatabaseError, match="no warning area atlantis"):
            store.find_map_layers(conn, recorded.publish(conn).run_id, "atlantis")


def test_before_the_first_run(recorded, conn):
    assert store.newest_day(conn, recorded.region) is None
    assert store.find_runs(conn, recorded.region) == []


class TestForgetDays:
    def test_a_made_region_starts_anew(self, recorded, conn, make_message):
        recorded.alarm(conn, recorded.publish(conn).run_id)
        alerts.queue_messages(conn, recorded.region, [make_message()], NOW)
        recorded.ahead(conn, 1)
        recorded.publish(conn, "hindcast")
        store.forget_days(conn, recorded.region)
        assert counts(conn) == [0] * 5
        left = ("run", "alert", "alert_message", "delivery", "rain_day")
        assert [conn.execute(text(f"SELECT count(*) FROM lswarn.{table}")).scalar() for table in left] == [0] * 5
        assert not recorded.publish(conn).repeated

    def test_a_real_region_forgets_nothing(self, recorded, conn):
        recorded.publish(conn)
        with pytest.raises(DatabaseError, match="testland is a real region"):
            store.forget_days(conn, recorded.region.model_copy(update={"made": ""}))
        assert counts(conn)[0] == 5
