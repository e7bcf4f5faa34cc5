import logging
from datetime import date

import geopandas as gpd
import pytest
from shapely import LineString, Point, Polygon, box
from sqlalchemy import text

from lswarn.db import alerts
from lswarn.db.assets import (
    Recorded,
    find_landslides,
    find_warning_areas,
    record_assets,
    record_landslides,
    record_region,
)
from lswarn.errors import DatabaseError, RegionError
from lswarn.grid import Grid

BBOX_KM2 = 26.98 * 27.74  # 0.3 degrees of longitude at 36.275 N, 0.25 of latitude; ellipsoidal


def rows(conn, table, columns="*"):
    found = conn.execute(text(f"SELECT {columns} FROM lswarn.{table} ORDER BY source_id")).mappings()
    return {row["source_id"]: row for row in found}


def again(world, conn, **changed):
    frames = {name: changed.get(name, getattr(world, name)) for name in ("roads", "settlements", "warning_areas")}
    record_assets(conn, world.region, **frames)


class TestRegion:
    def test_what_is_kept_of_it(self, recorded, conn):
        row = (
            conn.execute(text("SELECT *, ST_AsText(ST_Envelope(geometry)) AS box FROM lswarn.region")).mappings().one()
        )
        assert (row["name"], row["srid"], row["made"]) == ("testland", 32616, "everything")
        assert row["rules_digest"] == recorded.region.digest
        assert row["box"] == "POLYGON((-84.4 36.15,-84.4 36.4,-84.1 36.4,-84.1 36.15,-84.4 36.15))"

    def test_recorded_again_it_has_the_new_digest(self, world, conn):
        for digest in ("one", "two"):
            record_region(conn, world.region, digest)
            assert conn.execute(text("SELECT assets_digest FROM lswarn.region")).scalars().all() == [digest]

    def test_a_subscriber_who_left_is_told_nothing_more(self, recorded, conn, make_message):
        recorded.alarm(conn, recorded.publish(conn).run_id)
        alerts.queue_messages(conn, recorded.region, [make_message()], "2015-10-03T00:00Z")
        stays = recorded.region.model_copy(update={"subscribers": recorded.region.subscribers[:1]})
        record_region(conn, stays, "assets")
        query = "SELECT name, status FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id"
        assert dict(conn.execute(text(query)).all()) == {"duty officer": "pending", "west office": "dead"}
        record_region(conn, recorded.region, "assets")
        assert conn.execute(text("SELECT count(*) FROM lswarn.subscriber WHERE retired_at IS NULL")).scalar() == 3


class TestAssets:
    def test_lengths_areas_and_names(self, recorded, conn):
        roads, towns = rows(conn, "road"), rows(conn, "settlement")
        assert roads["r1"]["length_m"] == pytest.approx(6000, abs=0.1)
        assert (roads["r1"]["name"], roads["r1"]["ref"]) == ("Long Road", "I-1")
        assert (roads["r2"]["name"], roads["r2"]["ref"]) == ("", "")
        assert towns["town"]["area_m2"] == pytest.approx(1e6, rel=1e-5)
        assert (towns["town"]["population"], towns["hamlet"]["population"]) == (2000, None)

    def test_a_point_is_a_disc(self, recorded, conn):
        assert rows(conn, "settlement")["hamlet"]["area_m2"] == pytest.approx(3.14159 * 250**2, rel=0.01)

    def test_elsewhere_is_the_rest_of_the_grid(self, recorded, conn):
        areas = find_warning_areas(conn, recorded.region).set_index("area_id").to_crs(32616)
        assert list(areas.index) == ["east", "elsewhere", "west"]
        grid = Grid.from_bbox(recorded.region.bbox, recorded.region.crs, 30).expanded(1)
        assert grid.height * grid.width * 900 / 1e6 > BBOX_KM2
        assert areas.area.sum() == pytest.approx(grid.height * grid.width * 900, rel=1e-5)
        assert areas.union_all().buffer(1).contains(box(*grid.bounds))
        assert areas.geometry["elsewhere"].intersection(areas.geometry["west"]).area == pytest.approx(0, abs=1)

    def test_areas_that_cover_everything_leave_no_elsewhere(self, world, conn):
        halves = [box(-85, 36, -84.25, 37), box(-84.249999, 36, -83, 37)]  # a slit of 9 cm between them is no place
        frame = gpd.GeoDataFrame({"id": [1.0, 2.0], "name": ["", "Two"]}, geometry=halves, crs=4326)
        record_region(conn, world.region, "")
        again(world, conn, warning_areas=frame)
        assert dict(find_warning_areas(conn, world.region)[["area_id", "name"]].to_numpy()) == {"1": "1", "2": "Two"}

    def test_no_areas_at_all_leave_elsewhere_alone(self, world, conn):
        record_region(conn, world.region, "")
        again(world, conn, warning_areas=world.warning_areas.iloc[:0])
        assert list(find_warning_areas(conn, world.region)["area_id"]) == ["elsewhere"]

    def test_loading_again_updates_and_retires(self, recorded, conn):
        before = rows(conn, "road")
        changed = recorded.roads.assign(name=["Longer Road", None]).iloc[:1]
        again(recorded, conn, roads=changed)
        after = rows(conn, "road")
        assert after["r1"]["id"] == before["r1"]["id"]
        assert (after["r1"]["name"], after["r1"]["retired_at"]) == ("Longer Road", None)
        assert after["r2"]["retired_at"] is not None
        again(recorded, conn)
        assert rows(conn, "road")["r2"]["retired_at"] is None

    def test_another_region_keeps_its_own(self, recorded, conn, make_region):
        other = make_region(name="other")
        record_region(conn, other, "")
        record_assets(conn, other, recorded.roads.iloc[:1], recorded.settlements, recorded.warning_areas)
        assert list(conn.execute(text("SELECT region || retired_at FROM lswarn.road")).scalars()) == [None] * 3

    def test_what_cannot_be_hit_is_left_out_with_a_warning(self, recorded, conn, caplog):
        nowhere = LineString([(-84.2, 36.2), (-84.2, 36.2)])
        bent = gpd.GeoDataFrame({"id": ["zero", "none"]}, geometry=[nowhere, None], crs=4326)
        with caplog.at_level(logging.WARNING):
            again(recorded, conn, roads=bent)
        assert "2 of road have no extent and are left out: none, zero" in caplog.text

    def test_an_invalid_polygon_is_repaired(self, recorded, conn):
        bowtie = Polygon([(-84.2, 36.2), (-84.19, 36.21), (-84.19, 36.2), (-84.2, 36.21)])
        again(recorded, conn, settlements=gpd.GeoDataFrame({"id": ["knot"]}, geometry=[bowtie], crs=4326))
        assert rows(conn, "settlement", "source_id, ST_NumGeometries(geometry) AS n")["knot"]["n"] == 2

    @pytest.mark.parametrize("name", ["O'Brien; DROP TABLE run", 'a\\b\t"c"', "<b>קרית</b>", "two\nlines"])
    def test_a_name_is_a_name(self, recorded, conn, name):
        again(recorded, conn, roads=recorded.roads.assign(name=name))
        assert rows(conn, "road")["r1"]["name"] == " ".join(name.split())

    def test_a_population_that_is_no_number_is_unknown(self, recorded, conn, caplog):
        with caplog.at_level(logging.WARNING):
            again(recorded, conn, settlements=recorded.settlements.assign(population=["about 2000", "12.6"]))
        assert "town: 'about 2000'" in caplog.text
        assert [row["population"] for row in rows(conn, "settlement").values()] == [13, None]

    @pytest.mark.parametrize(
        ("frame", "columns", "says"),
        [
            ("roads", {"id": ["a", "a"]}, "roads: the id field is no id, since features share a"),
            ("roads", {"id": ["a", None]}, "roads: 1 features have no id"),
            ("settlements", {"population": [-99, 5]}, "settlements: population -99 is negative"),
            ("warning_areas", {"id": ["elsewhere", "b"]}, "'elsewhere' is kept for the rest"),
        ],
    )
    def test_bad_input_is_named(self, recorded, conn, frame, columns, says):
        with pytest.raises(RegionError, match=says):
            again(recorded, conn, **{frame: getattr(recorded, frame).assign(**columns)})

    def test_the_region_comes_first(self, world, conn):
        with pytest.raises(DatabaseError, match="testland is not recorded"):
            again(world, conn)


class TestLandslides:
    @staticmethod
    def events(ids, shapes, **columns):
        facts = {"id": ids, "day": None, "accuracy_m": 0.0, "trigger": "rain"} | columns
        return gpd.GeoDataFrame(facts, geometry=shapes, crs=4326)

    def test_polygons_stay_and_points_become_discs(self, recorded, conn):
        shapes = [box(-84.2, 36.2, -84.199, 36.201), Point(-84.3, 36.3)]
        known = self.events([7, 8], shapes, day=[date(2014, 2, 3), None], accuracy_m=[float("nan"), 20.0])
        assert record_landslides(conn, recorded.region, known) == Recorded(2, 0, 0)
        found = find_landslides(conn, recorded.region)
        assert found.left_out == {}
        teaching = found.teaching.set_index("id")
        assert list(teaching["day"]) == [date(2014, 2, 3), None]
        assert teaching.geometry["7"].geoms[0].equals(shapes[0])
        assert teaching.to_crs(32616).area["8"] == pytest.approx(3.14159 * 45**2, rel=0.01)
        kept = rows(conn, "landslide")
        assert [(row["accuracy_m"], row["outline"]) for row in kept.values()] == [(None, True), (20, False)]

    def test_recording_again_updates_and_forgets_none(self, recorded, conn):
        known = self.events([1, 2, 3], [Point(-84.3, 36.3 + n / 100) for n in range(3)])
        assert record_landslides(conn, recorded.region, known) == Recorded(3, 0, 0)
        assert record_landslides(conn, recorded.region, known) == Recorded(0, 0, 3)
        changed = known.iloc[:2].assign(day=[date(2015, 1, 1), None], source=["News", ""])
        assert record_landslides(conn, recorded.region, changed) == Recorded(0, 1, 1)
        found = find_landslides(conn, recorded.region).teaching
        assert list(zip(found["id"], found["day"], strict=True)) == [("1", date(2015, 1, 1)), ("2", None), ("3", None)]
        assert rows(conn, "landslide")["1"]["source"] == "News"

    def test_what_teaches_nothing_is_kept_and_counted(self, recorded, conn):
        shapes = [Point(-84.3 + n / 100, 36.3) for n in range(5)]
        known = self.events(
            list("abcde"),
            shapes,
            accuracy_m=[0.0, 1000.0, float("nan"), 0.0, 0.0],
            trigger=["Downpour", "rain", "rain", "earthquake", ""],
        )
        record_landslides(conn, recorded.region, known)
        found = find_landslides(conn, recorded.region)
        assert list(found.teaching["id"]) == ["a", "e"]
        assert found.left_out == {
            "location worse than 100 m": 1,
            "location of unknown accuracy": 1,
            "trigger earthquake": 1,
        }
        assert rows(conn, "landslide")["a"]["trigger"] == "Downpour"
        generous = recorded.region.inventory.model_copy(update={"max_accuracy_m": 1000})
        assert len(find_landslides(conn, recorded.region.model_copy(update={"inventory": generous})).teaching) == 3

    def test_an_event_that_another_catalogue_told_of_is_learnt_once(self, recorded, conn):
        place, day = Point(-84.3, 36.3), [date(2014, 2, 3)]
        record_landslides(conn, recorded.region, self.events(["glc-1"], [place], day=day))
        record_landslides(conn, recorded.region, self.events(["coolr-9"], [place], day=day, accuracy_m=[50.0]))
        found = find_landslides(conn, recorded.region)
        assert list(found.teaching["id"]) == ["glc-1"]
        assert found.left_out == {"the same event as another": 1}

    def test_places_that_held_are_kept_apart(self, recorded, conn):
        shapes = [Point(-84.3 + n / 100, 36.3) for n in range(4)]
        known = self.events(list("abcd"), shapes, trigger="", slid=[True, False, False, True])
        known = known.assign(day=[None, date(2014, 2, 3), None, None], accuracy_m=[0.0, 0.0, 5000.0, 5000.0])
        assert record_landslides(conn, recorded.region, known) == Recorded(4, 0, 0)
        found = find_landslides(conn, recorded.region)
        assert list(found.teaching["id"]) == ["a"]
        assert list(zip(found.stable["id"], found.stable["day"], strict=True)) == [("b", date(2014, 2, 3))]
        assert found.stable.crs.to_epsg() == 4326
        assert found.left_out == {"location worse than 100 m": 2}

    def test_a_place_may_turn_out_to_have_slid(self, recorded, conn):
        place = self.events(["a"], [Point(-84.3, 36.3)], slid=False)
        record_landslides(conn, recorded.region, place)
        assert record_landslides(conn, recorded.region, place) == Recorded(0, 0, 1)
        assert record_landslides(conn, recorded.region, place.assign(slid=True)) == Recorded(0, 1, 0)
        assert find_landslides(conn, recorded.region).stable.empty

    def test_an_empty_inventory_is_an_empty_frame(self, recorded, conn):
        found = find_landslides(conn, recorded.region)
        assert found.teaching.empty
        assert found.stable.empty
        assert found.teaching.crs.to_epsg() == 4326
        assert found.left_out == {}

    def test_the_region_comes_first(self, world, conn):
        with pytest.raises(DatabaseError, match="testland is not recorded; run: lswarn region build"):
            record_landslides(conn, world.region, self.events([1], [Point(-84.3, 36.3)]))
