"""What is carried over from the run before, and what cannot be hit."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from shapely import LineString, Point
from sqlalchemy import event, text

from lswarn.db import assets, lineage, store
from lswarn.db.engine import connect, migrate, transaction
from lswarn.db.server import start, stop
from lswarn.errors import DatabaseDown

DAY, NOW = date(2015, 10, 2), datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
EXPOSED = {
    "road_exposure": "road_id, area_id, class, length_m, probability_max, ST_AsText(geometry)",
    "settlement_exposure": "settlement_id, area_id, class, area_share, people, probability_max, ST_AsText(geometry)",
    "exposure_total": "area_id, class, roads, road_m, settlements, people, settlements_uncounted",
}


def exposed(conn, run_id):
    """Everything that lies in the zones of a run, but for keys."""
    return {
        table: sorted(map(str, conn.execute(text(f"SELECT {columns} FROM lswarn.{table} WHERE run_id = {run_id}"))))
        for table, columns in EXPOSED.items()
    }


def orphans(conn):
    """Exposed parts of which a zone, run, asset or area is not there."""
    return sum(
        conn.execute(
            text(f"""SELECT count(*) FROM lswarn.{asset}_exposure AS part
                     LEFT JOIN lswarn.susceptibility_zone AS zone
                       ON (zone.id, zone.run_id) = (part.zone_id, part.run_id)
                     LEFT JOIN lswarn.{asset} AS asset ON asset.id = part.{asset}_id
                     LEFT JOIN lswarn.warning_area AS area ON area.id = part.area_id
                     WHERE zone.id IS NULL OR asset.id IS NULL OR area.id IS NULL""")
        ).scalar()
        for asset in ("road", "settlement")
    )


@pytest.fixture
def cuts(conn):
    """Statements that cut assets by zones, as they are run."""
    seen = []

    def note(conn, cursor, statement, *rest):
        if "_piece ON COMMIT DROP" in statement:
            seen.append(statement)

    event.listen(conn, "before_cursor_execute", note)
    yield seen
    event.remove(conn, "before_cursor_execute", note)


class TestCarriedOver:
    def test_it_is_what_cutting_anew_would_give(self, recorded, conn, cuts):
        recorded.publish(conn, zones=("over the border", "quarter of the town", "nothing there"))
        shapes = "SELECT count(*) FROM lswarn.zone_shape"
        assert conn.execute(text(shapes)).scalar() == 3
        carried = recorded.publish(conn, day=DAY + timedelta(days=1))
        assert conn.execute(text(shapes)).scalar() == 5, "the new zones alone"
        both = exposed(conn, carried.run_id)
        conn.execute(text("UPDATE lswarn.region SET assets_digest = 'other'"))
        anew = recorded.publish(conn, day=DAY + timedelta(days=2))
        assert exposed(conn, anew.run_id) == both
        assert len(both["road_exposure"]) == 3
        assert orphans(conn) == 0

    def test_the_same_zones_are_not_cut_again(self, recorded, conn, cuts):
        first = recorded.publish(conn)
        cuts.clear()
        second = recorded.publish(conn, day=DAY + timedelta(days=1), key="k2")
        assert cuts == []
        assert exposed(conn, second.run_id) == exposed(conn, first.run_id)

    def test_of_the_same_day_from_the_run_that_is_replaced(self, recorded, conn, cuts):
        before = exposed(conn, recorded.publish(conn).run_id)
        cuts.clear()
        assert exposed(conn, recorded.publish(conn, key="k2").run_id) == before
        assert cuts == []
        assert orphans(conn) == 0

    def test_class_and_probability_are_of_today(self, recorded, conn, cuts):
        recorded.publish(conn)
        found = recorded.assessment(day=DAY + timedelta(days=1))
        risen = found.zones.assign(**{"class": 5, "probability_max": 0.99})
        cuts.clear()
        run = store.publish(conn, recorded.region, replace(found, zones=risen), software="0.1", published_at=NOW)
        assert cuts == []
        query = text(f"SELECT DISTINCT class, probability_max FROM lswarn.road_exposure WHERE run_id = {run.run_id}")
        assert conn.execute(query).all() == [(5, 0.99)]

    def test_nothing_where_assets_or_rules_have_changed(self, recorded, conn, cuts):
        recorded.publish(conn)
        conn.execute(text("UPDATE lswarn.road SET retired_at = now()"))
        conn.execute(text("UPDATE lswarn.settlement SET population = 8 WHERE source_id = 'town'"))
        conn.execute(text("UPDATE lswarn.region SET assets_digest = 'other'"))
        exposure = recorded.publish(conn, day=DAY + timedelta(days=1)).exposure
        assert (exposure.roads, exposure.people) == (0, 2)
        cuts.clear()
        wider = recorded.region.model_copy(update={"title": "Another title, another digest"})
        found = recorded.assessment(day=DAY + timedelta(days=2))
        store.publish(conn, wider, found, software="0.1", published_at=NOW)
        assert cuts

    def test_an_outlook_carries_over_from_today(self, recorded, conn, cuts):
        recorded.publish(conn)
        cuts.clear()
        assert recorded.ahead(conn, 1).exposure.roads == 1
        assert cuts == []


def test_a_road_without_length_a_town_without_people_and_assets_far_away(recorded, conn, caplog):
    """Are left out, counted as unknown, and never hit; the others are exposed as ever."""
    before = recorded.publish(conn).exposure
    dot, far = LineString([(-84.25, 36.275)] * 2), LineString([(-70, 10), (-70.1, 10.1)])
    roads = recorded.roads.assign(id=["dot", "far"]).set_geometry([dot, far], crs=4326)
    towns = recorded.settlements.assign(population=float("nan"))
    city = towns.iloc[:1].assign(id="city", population=9e6).set_geometry([Point(0, 0)], crs=4326)
    both = pd.concat([recorded.roads, roads], ignore_index=True)
    all_towns = pd.concat([towns, city], ignore_index=True)
    assets.record_assets(conn, recorded.region, both, all_towns, recorded.warning_areas)
    conn.execute(text("UPDATE lswarn.region SET assets_digest = 'other'"))
    run = recorded.publish(conn)
    assert "dot" in caplog.text
    assert run.exposure == replace(before, people=0)
    query = "SELECT sum(settlements), sum(people), sum(settlements_uncounted) FROM lswarn.exposure_history"
    assert conn.execute(text(query)).one() == (2, 0, 2)


def test_the_database_restarts_in_the_middle_of_a_publish(world, tmp_path_factory, monkeypatch):
    """Nothing of the day is there; after the restart the same publish goes through."""
    var = tmp_path_factory.mktemp("restart") / "var"
    try:
        migrate(start(var))
        engine = connect(start(var))
        with transaction(engine, world.region) as conn:
            world.record(conn)
            first = world.publish(conn, zones=("high",))

        def crash(conn, run_id):
            stop(var)
            return lineage.record_lineage(conn, run_id)

        with monkeypatch.context() as patched:
            patched.setattr(store, "record_lineage", crash)
            with pytest.raises(DatabaseDown), transaction(engine, world.region) as conn:
                world.publish(conn, key="k2")
        start(var)
        with transaction(engine, world.region) as conn:
            assert store.find_runs(conn, world.region)[0].run_id == first.run_id
            assert conn.execute(text("SELECT count(*) FROM lswarn.susceptibility_zone")).scalar() == 1
            assert conn.execute(text("SELECT count(*) FROM lswarn.road_exposure")).scalar() == 1
        with transaction(engine, world.region) as conn:
            assert world.publish(conn, key="k2").exposure.zones == 5
            assert orphans(conn) == 0
        engine.dispose()
    finally:
        stop(var)
