"""`lswarn assets …` in an empty database: load, load again, list, and a sentence for every mistake."""

import json
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import LineString, Polygon, box
from sqlalchemy import text
from typer.testing import CliRunner

from lswarn.cli import app
from lswarn.errors import RegionError

REGION = """
name = "hills"
title = "The hills"
bbox = [-84.4, 36.2, -84.1, 36.4]
crs = "EPSG:32616"
[factors]
dem = { file = "dem.tif" }
rock_type = { file = "rock.gpkg", field = "code" }
river_distance = "derive"
fault_distance = { file = "faults.gpkg" }
rainfall = { constant = 1300.0, unit = "mm/year" }
temperature = { derive = true, sea_level_deg_c = 20.0 }
seismic_intensity = { constant = 0.1 }
[assets.roads]
file = "roads.gpkg"
id = "id"
name = "name"
[assets.settlements]
file = "valley.osm"
point_radius_m = 100
[assets.warning_areas]
file = "areas.gpkg"
id = "id"
[inventory]
file = "slides.gpkg"
[[rain.sources]]
product = "IMERG-Late"
at = "rain/{year}"
latency_h = 14.7
[rain.threshold]
constant_mm = 120
source = "a test"
"""
VALLEY = """<osm version="0.6">
<node id="1" lat="36.25" lon="-84.3"><tag k="place" v="village"/><tag k="population" v="1,200"/></node>
<node id="2" lat="36.26" lon="-84.2"><tag k="place" v="hamlet"/><tag k="population" v="few"/></node></osm>"""
ROADS = [LineString([(-84.3, 36.3 + n / 100), (-84.2, 36.3 + n / 100)]) for n in range(3)]


@pytest.fixture
def lswarn(tmp_path: Path, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "region.toml").write_text(REGION)
    (tmp_path / "valley.osm").write_text(VALLEY)
    frame(ROADS[:2], id=[1, 2], name=["A <b>", "B"]).to_file(tmp_path / "roads.gpkg")
    monkeypatch.setenv("LSWARN_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("LSWARN_REGION", str(tmp_path / "region.toml"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object):
        done = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(done.exception, RegionError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in words else done.stdout

    return run


def frame(shapes, **columns):
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=4326)


def counts(told: dict) -> tuple:
    return tuple(told[key] for key in ("new", "changed", "unchanged", "returned", "retired"))


def test_load_update_and_list(lswarn, tmp_path, fresh_engine):
    assert counts(lswarn("assets", "load", "roads", "--json")) == (2, 0, 0, 0, 0)
    frame(ROADS[1:], id=[2, 3], name=["B", "C"]).to_file(tmp_path / "roads.gpkg")
    assert counts(lswarn("assets", "load", "roads", "--json")) == (1, 0, 1, 0, 1)

    told = lswarn("assets", "load", "settlements", "--json")
    assert counts(told) == (2, 0, 0, 0, 0)
    with fresh_engine.connect() as conn:
        towns = conn.execute(text("SELECT source_id, population, area_m2 FROM lswarn.settlement ORDER BY 1")).all()
    assert [tuple(town[:2]) for town in towns] == [("node/1", 1200), ("node/2", None)]
    assert towns[0].area_m2 == pytest.approx(3.14159 * 100**2, rel=0.01)

    road, town, area = lswarn("assets", "list", "--json")
    assert (road["features"], road["retired"], road["changes"]) == (2, 1, 1)
    assert (town["people"], town["uncounted"], area["features"]) == (1200, 1, 0)
    assert "settlement" in lswarn("assets", "list")
    (change,) = lswarn("assets", "changes", "--json")
    assert (change["id"], change["change"], change["before"]["name"]) == ("1", "retired", "A <b>")


def test_a_file_beside_region_toml_says_so(lswarn, tmp_path):
    other = tmp_path / "other.geojson"
    frame(ROADS, code=["x", "y", "z"], sort=["main", "track", "main"]).to_file(other)
    words = ("assets", "load", "roads", other, "--id", "code", "--kind", "sort", "--only", "main")
    told = lswarn(*words, "--json")
    assert counts(told) == (2, 0, 0, 0, 0)
    assert told["left_out"] == {"kind track": 1}
    assert "until [assets.roads] does as well" in lswarn(*words)
    assert "until [assets.roads]" not in lswarn("assets", "load", "roads")


def test_repairs_are_told(lswarn, tmp_path):
    tie = Polygon([(-84.3, 36.3), (-84.2, 36.35), (-84.2, 36.3), (-84.3, 36.35)])
    frame([tie, box(-84.3, 36.21, -84.2, 36.25)], id=["knot", "plain"]).to_file(tmp_path / "areas.gpkg")
    told = lswarn("assets", "load", "warning-areas", "--json")
    assert (told["repaired"], told["lost_by_repair"]) == (1, 0)
    assert told["repairs"] == ["knot: Self-intersection, nothing lost"]
    assert counts(told) == (3, 0, 0, 0, 0)  # elsewhere is the third


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["roads.gpkg"], "give id = …"),
        (["roads.gpkg", "--id", "number"], "no field 'number'; there are id, name"),
        (["gone.gpkg", "--id", "id"], "no such file"),
        (["valley.osm", "--id", "number"], "take id out"),
    ],
)
def test_a_mistake_is_a_sentence(lswarn, tmp_path, words, says):
    with pytest.raises(RegionError, match=says):
        lswarn("assets", "load", "roads", tmp_path / words[0], *words[1:])


def test_fields_need_their_file(lswarn):
    with pytest.raises(AssertionError, match="name the FILE"):
        lswarn("assets", "load", "roads", "--id", "id")
