from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from lswarn.factors import layers
from lswarn.factors.check import check, zero_filled
from lswarn.grid import Grid
from lswarn.region import Region

MIDDLE = shapely.Point(-84.37, 36.22)


@pytest.fixture
def problem(make_region) -> Callable[..., str]:
    """The one problem of a region."""

    def only(*args, **kwargs) -> str:
        problems = check(make_region(*args, **kwargs))
        assert len(problems) == 1, problems
        return problems[0]

    return only


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., dict]:
    """Saves a vector, and gives the entry that names it."""

    def write(geometries: list, **fields) -> dict:
        path = tmp_path / "given.gpkg"
        gpd.GeoDataFrame(fields, geometry=geometries, crs=4326).to_file(path)
        return {"file": str(path)}

    return write


def assets(region: Region, **changed) -> dict:
    return {"assets": region.assets.model_dump() | changed}


def test_a_region_without_fault_has_no_problem(make_region) -> None:
    assert check(make_region()) == []


def test_every_problem_is_told_at_once(make_region, tmp_path: Path) -> None:
    region = make_region(
        rest={"inventory": {"file": "/gone/slides.gpkg", "id": "id"}},
        dem={"file": "/gone/dem.tif"},
        rock_type={"file": str(tmp_path / "rock.gpkg"), "field": "stone"},
        fault_distance={"file": str(tmp_path / "dem.tif"), "band": 2},
    )
    told = check(region)
    assert [line.split(":")[0] for line in told] == [
        "factors.dem",
        "factors.rock_type",
        "factors.fault_distance",
        "inventory",
    ]
    assert told[0] == "factors.dem: /gone/dem.tif: no such file"
    assert "no field 'stone'; there are rock" in told[1]
    assert "no band 2; it has 1" in told[2]


class TestRasters:
    def test_a_dem_without_crs(self, problem, hills_dem, grid: Grid, write_raster, tmp_path: Path) -> None:
        write_raster(tmp_path / "dem.tif", hills_dem, grid.expanded(40), crs=None)
        assert "dem.tif: it has no CRS; assign the one it is in" in problem()

    def test_a_dem_elsewhere(self, problem, hills_dem, grid: Grid, write_raster, tmp_path: Path) -> None:
        write_raster(tmp_path / "dem.tif", hills_dem, grid.expanded(40), crs="EPSG:32618")
        told = problem()
        assert told.startswith("factors.dem: ")
        assert "does not overlap the region" in told

    def test_two_rasters_that_do_not_meet(self, problem, hills_dem, grid: Grid, write_raster, tmp_path: Path) -> None:
        half = np.full((grid.height, 20), 900, np.float32)
        write_raster(tmp_path / "normals.tif", half, grid)  # the westernmost 600 m
        moved = grid.transform @ grid.transform.translation(100, 0)
        write_raster(tmp_path / "dem.tif", hills_dem[:, :60], grid, transform=moved)
        told = problem()
        assert told.startswith("factors.dem, factors.rainfall: ")
        assert "do not overlap inside the region" in told

    def test_nothing_but_nodata(self, problem, grid: Grid, write_raster, tmp_path: Path) -> None:
        write_raster(tmp_path / "normals.tif", np.full(grid.shape, -9, np.float32), grid, nodata=-9)
        assert "normals.tif: band 1 holds nothing but nodata" in problem()

    def test_a_raster_has_no_field(self, problem, tmp_path: Path) -> None:
        assert "neither field nor layer" in problem(rainfall={"file": str(tmp_path / "normals.tif"), "field": "mm"})

    def test_a_zero_filled_border(self, make_region, problem, tmp_path: Path) -> None:
        with rasterio.open(tmp_path / "dem.tif", "r+") as dataset:
            dem = dataset.read(1)
            dem[:60] = dem[:, :70] = 0
            dataset.write(dem, 1)
        told = problem()
        assert told.startswith(f"factors.dem: {tmp_path}/dem.tif: ")
        assert "exactly 0 behind a step" in told
        assert "set nodata = 0" in told
        assert check(make_region(dem={"file": str(tmp_path / "dem.tif"), "nodata": 0})) == []

    def test_too_large_for_deriving_rivers(self, problem, monkeypatch) -> None:
        monkeypatch.setattr(layers, "MAX_FLOW_CELLS", 1000)
        assert "give a file of rivers" in problem()

    def test_too_large_for_the_upslope_area(self, problem, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setattr(layers, "MAX_FLOW_CELLS", 1000)
        soil = {"cohesion": 0.1, "friction_deg": 31, "transmissivity_m2_day": 50}
        told = problem(
            rest={"model": {"physics_source": "infinite-slope", "soil": soil}},
            river_distance={"file": str(tmp_path / "faults.gpkg")},
        )
        assert told.startswith('model.physics_source = "infinite-slope": the region has ')
        assert 'water can be followed over 1,000 at most: take physics_source = "threshold"' in told


class TestZeroFilled:
    def test_the_sea_is_not_a_filling(self) -> None:
        _, cols = np.indices((60, 80))
        coast = np.maximum(cols - 30, 0).astype(np.float32) * 4
        assert zero_filled(coast) == 0

    def test_a_border_and_a_gap_are(self) -> None:
        dem = np.full((60, 80), 300, np.float32)
        dem[:6], dem[30:36, 40:50] = 0, 0
        assert zero_filled(dem) == pytest.approx(0.1 + 60 / 4800)

    def test_a_few_zeros_and_nothing_but_zeros_are_not(self) -> None:
        dem = np.full((60, 80), 300, np.float32)
        dem[5, 5] = 0
        assert zero_filled(dem) == 0
        assert zero_filled(np.zeros((5, 6), np.float32)) == 0


class TestVectors:
    def test_a_field_must_be_named(self, problem, tmp_path: Path) -> None:
        assert 'say which field holds the value with field = "…"' in problem(
            rock_type={"file": str(tmp_path / "rock.gpkg")}
        )

    def test_a_dem_is_a_raster(self, problem, tmp_path: Path) -> None:
        assert "a raster of elevations is needed" in problem(dem={"file": str(tmp_path / "rock.gpkg")})

    def test_distances_need_neither_field_nor_unit(self, problem, tmp_path: Path) -> None:
        told = problem(fault_distance={"file": str(tmp_path / "faults.gpkg"), "unit": "km"})
        assert "take out field and unit" in told

    def test_points_give_no_cell_a_value(self, problem, save) -> None:
        told = problem(rainfall=save([MIDDLE], mm=[900]) | {"field": "mm"})
        assert "polygons are needed to give cells a value; there are Point" in told

    def test_a_field_without_a_value(self, problem, save) -> None:
        told = problem(rainfall=save([MIDDLE.buffer(1)], mm=[None]) | {"field": "mm"})
        assert "field 'mm' is empty in every feature" in told

    def test_text_is_no_number(self, problem, save) -> None:
        told = problem(rainfall=save([MIDDLE.buffer(1)], mm=["much"]) | {"field": "mm"})
        assert "field 'mm' holds text ('much')" in told


class TestAssets:
    @pytest.mark.parametrize(
        ("ids", "words"),
        [
            (["a", None], "field 'id' is empty in 1 of 2 features"),
            (["a", "a"], "field 'id' holds 'a' in 2 of 2 features: an id may stand once"),
        ],
    )
    def test_an_id_names_one_feature(self, make_region, problem, save, ids: list, words: str) -> None:
        areas = save([MIDDLE.buffer(0.01), MIDDLE.buffer(0.02)], id=ids) | {"id": "id"}
        told = problem(rest=assets(make_region(), warning_areas=areas))
        assert told.startswith("assets.warning_areas: ")
        assert words in told

    def test_a_missing_field(self, make_region, problem, save) -> None:
        roads = save([MIDDLE.buffer(0.01).boundary], id=[1]) | {"id": "id", "ref": "number"}
        assert "no field 'number'; there are id" in problem(rest=assets(make_region(), roads=roads))

    def test_roads_are_lines(self, make_region, problem, save) -> None:
        roads = save([MIDDLE], id=[1]) | {"id": "id"}
        assert "1 of 1 geometries are Point; each should be a line" in problem(rest=assets(make_region(), roads=roads))

    def test_people_are_counted_in_numbers(self, make_region, problem, save) -> None:
        towns = save([MIDDLE] * 4, id=[1, 2, 3, 4], people=["12", "many", "-1", None]) | {
            "id": "id",
            "population": "people",
        }
        told = problem(rest=assets(make_region(), settlements=towns))
        assert "field 'people' holds 'many', '-1' in 2 of 4 features" in told

    def test_an_extract_of_openstreetmap_is_checked_as_well(self, make_region, tmp_path) -> None:
        towns = tmp_path / "valley.osm"
        tags = '<tag k="place" v="hamlet"/><tag k="population" v="few"/>'
        towns.write_text(f'<osm version="0.6"><node id="1" lat="{MIDDLE.y}" lon="{MIDDLE.x}">{tags}</node></osm>')
        facts = assets(make_region(), settlements={"file": towns}, roads={"file": towns})
        told = check(Region.model_validate(make_region().model_dump() | facts))
        assert not any("settlements" in sentence for sentence in told)
        assert any(sentence.startswith("assets.roads: ") and "no feature" in sentence for sentence in told)


def test_days_of_landslides_are_days(problem, save) -> None:
    slides = save([MIDDLE] * 3, id=[1, 2, 3], day=["2020-05-01", "May 2020", None]) | {"id": "id", "date": "day"}
    told = problem(rest={"inventory": slides})
    assert told.startswith("inventory: ")
    assert "field 'day' holds 'May 2020' in 1 of 3 features: a day is YYYY-MM-DD" in told
