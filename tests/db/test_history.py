"""Loading a file again: what changed, retired and returned, and what it was before."""

import logging
import re
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import LineString, Point, box
from sqlalchemy import text

from lswarn.db.assets import Loaded, record_asset, record_assets_digest, record_region
from lswarn.db.history import find_asset_changes, find_holdings

MOVED = LineString([(-84.3, 36.2), (-84.2, 36.2)])


@pytest.fixture
def load(recorded, conn):
    """Loads one kind; left out: the world's own, with some columns of its own."""

    def load(kind: str, frame=None, /, **columns) -> Loaded:
        frame = getattr(recorded, kind) if frame is None else frame
        return record_asset(conn, recorded.region, kind, frame.assign(**columns))

    return load


def changes(conn, region):
    return [(each.kind, each.id, each.change) for each in find_asset_changes(conn, region, 100)]


@pytest.mark.parametrize("name", ["roads", "settlements", "warning_areas"])
def test_the_same_file_again_changes_nothing(recorded, conn, load, name):
    digest = record_assets_digest(conn, recorded.region)
    assert load(name) == Loaded(0, 0, 3 if name == "warning_areas" else 2, 0, 0, ())
    assert changes(conn, recorded.region) == []
    assert record_assets_digest(conn, recorded.region) == digest


def test_what_a_road_was_is_kept(recorded, conn, load):
    before = conn.execute(text("SELECT ST_AsText(geometry) FROM lswarn.road WHERE source_id = 'r1'")).scalar()
    assert load("roads", name=["Longer Road", None]) == Loaded(0, 1, 1, 0, 0, ())
    moved = recorded.roads.set_geometry([MOVED, recorded.roads.geometry[1]], crs=4326)
    assert load("roads", moved, name=["Longer Road", None]) == Loaded(0, 1, 1, 0, 0, ())
    second, first = find_asset_changes(conn, recorded.region, 100)
    assert (first.kind, first.id, first.change) == ("road", "r1", "changed")
    told = {"name": "Long Road", "ref": "I-1", "kind": "", "length_m": pytest.approx(6000, abs=0.1), "retired_at": None}
    assert first.before == told
    assert second.before == told | {"name": "Longer Road"}
    query = "SELECT ST_AsText(geometry) FROM lswarn.asset_change ORDER BY id"
    assert conn.execute(text(query)).scalars().all() == [before, before]


def test_what_is_gone_retires_and_returns(recorded, conn, load, caplog):
    assert load("roads", recorded.roads.iloc[:1]) == Loaded(0, 0, 1, 0, 1, ())
    assert load("roads", recorded.roads.iloc[:1]) == Loaded(0, 0, 1, 0, 0, ())  # it is gone once
    assert load("roads") == Loaded(0, 0, 1, 1, 0, ())
    assert changes(conn, recorded.region) == [("road", "r2", "returned"), ("road", "r2", "retired")]
    back, gone = find_asset_changes(conn, recorded.region, 2)
    assert gone.before["retired_at"] is None
    assert back.before["retired_at"] is not None
    assert caplog.text == ""


def test_a_file_that_retires_most_is_doubted(recorded, load, caplog):
    with caplog.at_level(logging.WARNING):
        load("roads", recorded.roads, id=["x1", "x2"])
    assert "2 of 2 in table road are gone from the file and are retired; is it the right one?" in caplog.text


def test_people_may_become_known(recorded, conn, load):
    load("settlements", population=[2000, 40])
    (change,) = find_asset_changes(conn, recorded.region, 9)
    assert (change.id, change.before["population"]) == ("hamlet", None)


def test_a_road_that_shrinks_to_nothing_is_no_longer_exposed(recorded, conn, load, caplog):
    nowhere = recorded.roads.set_geometry([LineString([(-84.2, 36.2)] * 2), recorded.roads.geometry[1]], crs=4326)
    with caplog.at_level(logging.WARNING):
        assert load("roads", nowhere) == Loaded(0, 0, 1, 0, 1, ("r1",))
    assert "1 of road have no extent and are left out: r1" in caplog.text
    assert changes(conn, recorded.region) == [("road", "r1", "retired")]


def test_a_moved_area_moves_the_rest(recorded, conn, load):
    wider = recorded.warning_areas.geometry.tolist()
    wider[0] = wider[0].union(box(-84.35, 36.26, -84.29, 36.29))
    assert load("warning_areas", recorded.warning_areas.set_geometry(wider, crs=4326)) == Loaded(0, 2, 1, 0, 0, ())
    assert set(changes(conn, recorded.region)) == {
        ("warning_area", "west", "changed"),
        ("warning_area", "elsewhere", "changed"),
    }


def test_the_digest_tells_every_change_and_no_order(recorded, conn, load):
    seen = {record_assets_digest(conn, recorded.region)}
    load("roads", recorded.roads.iloc[::-1])
    assert record_assets_digest(conn, recorded.region) in seen
    for name, columns in (
        ("roads", {"ref": "I-2"}),
        ("settlements", {"population": None}),
        ("warning_areas", {"name": "A"}),
    ):
        load(name, **columns)
        assert record_assets_digest(conn, recorded.region) not in seen
        seen.add(record_assets_digest(conn, recorded.region))
    assert conn.execute(text("SELECT assets_digest FROM lswarn.region")).scalar() in seen


@pytest.mark.parametrize(
    "name", ["zero\x00byte", "line\u2028break", "turned\u202eround", "קרית שמונה", "🏔\u200d", "%s {0} \\N"]
)
def test_any_name_is_stored(recorded, conn, load, name):
    load("roads", name=name)
    plain = name.replace("\x00", " ").replace("\u2028", " ").replace("\u202e", "")
    assert set(conn.execute(text("SELECT name FROM lswarn.road")).scalars()) == {plain}


def test_holdings_are_counted(recorded, conn, load, make_region):
    load("roads", recorded.roads.iloc[:1])
    road, town, area = find_holdings(conn, recorded.region)
    assert (road.kind, road.features, road.retired, road.changes) == ("road", 1, 1, 1)
    assert road.length_km == pytest.approx(6, abs=0.001)
    assert (town.features, town.people, town.uncounted) == (2, 2000, 1)
    assert town.area_km2 == pytest.approx(1.196, abs=0.001)
    assert (area.features, area.changes, area.changed_at) == (3, 0, None)
    assert area.area_km2 == pytest.approx(795, abs=1)  # the grid, which holds the box
    other = make_region(name="other")
    record_region(conn, other, "")
    assert [(each.features, each.uncounted) for each in find_holdings(conn, other)] == [(0, 0)] * 3


def test_regions_have_histories_of_their_own(recorded, conn, make_region):
    other = make_region(name="other")
    record_region(conn, other, "")
    new = gpd.GeoDataFrame({"id": ["town"]}, geometry=[Point(-84.2, 36.2)], crs=4326)
    assert record_asset(conn, other, "settlements", new) == Loaded(1, 0, 0, 0, 0, ())
    record_asset(conn, other, "settlements", new.assign(name="Town"))
    assert changes(conn, recorded.region) == []
    assert changes(conn, other) == [("settlement", "town", "changed")]


def test_the_page_about_assets_asks_what_there_is(recorded, conn, load):
    page = (Path(__file__).parents[2] / "docs" / "assets.md").read_text("utf-8")
    (query,) = re.findall(r"^    (SELECT .*?);$", page, re.MULTILINE | re.DOTALL)
    load("settlements", name=["Old Town", "Hamlet"], population=[2001, None])
    (row,) = conn.execute(text(query.replace("node/58957648", "town"))).all()
    assert (row.change, row.name, row.people) == ("changed", "Town", "2000")
