import json
import pickle
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from scipy.ndimage import distance_transform_edt

from lswarn.errors import RegionError, StackNotBuilt, StorageFull
from lswarn.factors import layers
from lswarn.factors.landform import LOOKUP_CELLS, landform
from lswarn.factors.rivers import upslope_km2
from lswarn.factors.stack import FactorStack, build_stack, open_stack
from lswarn.factors.terrain import aspect_deg, curvature, slope_deg
from lswarn.grid import Block, Grid
from lswarn.region import Region
from lswarn.sections import FACTORS
from lswarn.workers import Threads


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Region], FactorStack]:
    return lambda region: build_stack(region, tmp_path / "factors", on_progress=lambda name, share: None)


def bands(stack: FactorStack) -> dict[str, np.ndarray]:
    return dict(zip(FACTORS, stack.read(stack.grid.whole), strict=True))


def files(tmp_path: Path) -> dict[str, int]:
    """Rasters of the stack and when each was last written."""
    return {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "factors").glob("*.tif")}


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with rasterio.open(path, "r+") as dataset:
        dataset.write(change(dataset.read(1)), 1)


class TestValues:
    def test_what_is_derived_follows_the_dem_to_the_edge(self, make_region, build, hills_dem) -> None:
        found = bands(build(make_region()))
        m = 40
        one, far = (
            hills_dem[m - 1 : 1 - m, m - 1 : 1 - m],
            hills_dem[m - LOOKUP_CELLS : LOOKUP_CELLS - m, m - LOOKUP_CELLS : LOOKUP_CELLS - m],
        )
        np.testing.assert_allclose(found["slope"], slope_deg(one, 30), atol=1e-3)
        np.testing.assert_allclose(found["curvature"], curvature(one, 30), atol=1e-6)
        np.testing.assert_allclose((found["aspect"] - aspect_deg(one, 30) + 180) % 360, 180, atol=0.1)
        assert (found["landform"] == landform(far, 30)).mean() > 0.999
        np.testing.assert_allclose(found["temperature"], 15 - 0.0065 * hills_dem[m:-m, m:-m], atol=1e-4)

    def test_a_dem_in_feet_is_read_as_metres(self, make_region, build, hills_dem, tmp_path: Path) -> None:
        region = make_region(dem={"file": str(tmp_path / "dem.tif"), "unit": "ft"})
        expected = 15 - 0.0065 * 0.3048 * hills_dem[40:-40, 40:-40]
        np.testing.assert_allclose(bands(build(region))["temperature"], expected, atol=1e-4)

    def test_a_lapse_rate_of_ones_own(self, make_region, build, hills_dem) -> None:
        region = make_region(temperature={"derive": True, "sea_level_deg_c": 20, "lapse_deg_c_per_km": 5})
        np.testing.assert_allclose(
            bands(build(region))["temperature"], 20 - 0.005 * hills_dem[40:-40, 40:-40], atol=1e-4
        )

    def test_units_are_converted(self, make_region, build) -> None:
        found = bands(build(make_region()))
        assert found["seismic_intensity"] == pytest.approx(np.full(found["slope"].shape, 0.5))
        assert 12 * 900 < found["rainfall"].min() < found["rainfall"].max() < 12 * 1500

    def test_texts_become_codes_in_alphabetical_order(self, make_region, build, tmp_path: Path) -> None:
        found = bands(build(make_region()))
        assert found["rock_type"][70, 5] == 2  # slate, in the west
        assert found["rock_type"][70, -5] == 1
        manifest = json.loads((tmp_path / "factors" / "stack.json").read_text())
        assert manifest["factors"]["rock_type"]["legend"] == {"1": "granite", "2": "slate"}

    def test_numbers_of_a_field_are_burned_and_gaps_are_unknown(self, make_region, build, tmp_path: Path) -> None:
        west = shapely.box(-84.41, 36.19, -84.37, 36.25)
        nameless = shapely.box(-84.36, 36.19, -84.35, 36.25)
        path = tmp_path / "rain.gpkg"
        gpd.GeoDataFrame({"mm": [1200.5, None]}, geometry=[west, nameless], crs=4326).to_file(path)
        found = bands(build(make_region(rainfall={"file": str(path), "field": "mm"})))["rainfall"]
        assert (found[:, :80] == 1200.5).all()
        assert np.isnan(found[:, -80:]).all()

    def test_distance_counts_features_just_outside(self, make_region, build, grid: Grid, tmp_path: Path) -> None:
        _, bottom, right, top = grid.bounds
        x = right + 3000 + 15  # the middle of a cell 100 cells east of the last
        path = tmp_path / "fault.gpkg"
        line = shapely.LineString([(x, bottom - 2000), (x, top + 2000)])
        gpd.GeoDataFrame(geometry=[line], crs=grid.crs).to_file(path)
        found = bands(build(make_region(fault_distance={"file": str(path)})))["fault_distance"]
        np.testing.assert_allclose(found, np.tile(30 * (100 + np.arange(grid.width, 0, -1)), (grid.height, 1)))

    def test_rivers_are_where_enough_land_drains(self, make_region, build) -> None:
        many = bands(build(make_region(river_distance={"derive": True, "min_upslope_km2": 0.2})))["river_distance"]
        few = bands(build(make_region(river_distance={"derive": True, "min_upslope_km2": 2})))["river_distance"]
        assert 0 < (few == 0).sum() < (many == 0).sum()
        assert (many <= few).all()

    def test_rasters_of_codes_and_angles_are_not_mixed(
        self, make_region, build, write_raster, grid: Grid, tmp_path: Path
    ) -> None:
        coarse = Grid(grid.crs, grid.transform @ grid.transform.scale(7, 7), 40, 40)
        angles = np.random.default_rng(0).choice([1, 359], coarse.shape).astype(np.float32)
        path = write_raster(tmp_path / "aspect.tif", angles, coarse)
        found = bands(build(make_region(aspect={"file": str(path)})))["aspect"]
        assert set(np.unique(found)) == {1, 359}

    def test_unknown_in_unknown_out(self, make_region, build, tmp_path: Path) -> None:
        def hole(dem: np.ndarray) -> np.ndarray:
            dem[100:110, 120:140] = 0
            return dem

        rewrite(tmp_path / "dem.tif", hole)
        found = bands(build(make_region(dem={"file": str(tmp_path / "dem.tif"), "nodata": 0})))
        for name in ("temperature", "river_distance"):
            unknown = np.isnan(found[name])
            assert unknown[60:70, 80:100].all()
            assert unknown.sum() == 200
        for name in ("slope", "curvature", "aspect", "landform"):
            unknown = np.isnan(found[name])
            assert unknown[59:71, 79:101].all()
            assert unknown.sum() == 12 * 22
        assert not np.isnan(found["rock_type"]).any()


def test_borders_of_blocks_cannot_be_seen(make_region, build, hills, write_raster, tmp_path: Path) -> None:
    fine = {"resolution_m": 8.0}  # 570 × 680 cells: four blocks
    grid = Grid.from_bbox(make_region().bbox, make_region().crs, 8.0)
    assert len(list(grid.blocks())) == 4
    wide = grid.expanded(LOOKUP_CELLS)
    write_raster(tmp_path / "dem.tif", hills(wide), wide)
    found = bands(build(make_region(rest=fine, fault_distance={"file": str(tmp_path / "roads.gpkg")})))
    with rasterio.open(tmp_path / "factors" / "dem.tif") as dataset:
        dem = dataset.read(1)
    n = LOOKUP_CELLS
    np.testing.assert_array_equal(found["slope"], slope_deg(dem[n - 1 : 1 - n, n - 1 : 1 - n], 8))
    np.testing.assert_array_equal(found["landform"], landform(dem, 8))
    on_road = found["fault_distance"] == 0
    inside = distance_transform_edt(~on_road) * 8
    # The road ends in the corners of the bbox, so only there may a piece outside be nearer.
    assert (found["fault_distance"] <= inside.astype(np.float32)).all()
    np.testing.assert_array_equal(
        found["fault_distance"][200:400, 200:400], inside.astype(np.float32)[200:400, 200:400]
    )


class TestBuilding:
    def test_nothing_is_made_twice(self, make_region, build, tmp_path: Path) -> None:
        first = build(make_region())
        before = files(tmp_path)
        assert set(before) == {"dem", *FACTORS}
        assert build(make_region()).digest == first.digest
        assert files(tmp_path) == before

    def test_what_changed_is_made_again_and_nothing_else(self, make_region, build, tmp_path: Path) -> None:
        first = build(make_region())
        before = files(tmp_path)
        second = build(make_region(rainfall={"constant": 800}))
        assert {name for name, at in files(tmp_path).items() if at != before[name]} == {"rainfall"}
        assert second.digest != first.digest
        before = files(tmp_path)
        rewrite(tmp_path / "dem.tif", lambda dem: dem + 10)
        third = build(make_region(rainfall={"constant": 800}))
        remade = {"dem", "slope", "curvature", "aspect", "landform", "river_distance", "temperature"}
        assert {name for name, at in files(tmp_path).items() if at != before[name]} == remade
        assert third.digest != second.digest

    def test_a_vector_saved_again_has_not_changed(self, make_region, build, tmp_path: Path) -> None:
        first = build(make_region())
        before = files(tmp_path)
        path = tmp_path / "rock.gpkg"
        content = path.read_bytes()
        gpd.read_file(path).to_crs(3857).to_file(tmp_path / "again.gpkg")
        gpd.read_file(tmp_path / "again.gpkg").to_crs(4326).to_file(path)
        assert path.read_bytes() != content
        assert build(make_region()).digest == first.digest
        assert files(tmp_path) == before

    def test_a_killed_build_is_resumed(self, make_region, build, tmp_path: Path) -> None:
        whole = build_stack(make_region(), tmp_path / "straight", on_progress=lambda name, share: None)

        def killed(name: str, share: float) -> None:
            if name == "landform" and share == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_stack(make_region(), tmp_path / "factors", on_progress=killed)
        with pytest.raises(StackNotBuilt, match=r"stack.json: .*hills have not been built; run `lswarn region build`"):
            open_stack(make_region(), tmp_path / "factors")
        before = files(tmp_path)
        assert set(before) == {"dem", "slope", "curvature", "aspect", "landform"}
        resumed = build(make_region())
        assert before.items() <= files(tmp_path).items()
        assert resumed.digest == whole.digest
        np.testing.assert_array_equal(resumed.read(resumed.grid.whole), whole.read(whole.grid.whole))
        assert not list((tmp_path / "factors").glob("*.part"))

    def test_a_killed_rebuild_leaves_no_mixed_stack(self, make_region, build, tmp_path: Path) -> None:
        build(make_region())
        rewrite(tmp_path / "dem.tif", lambda dem: dem + 10)

        def killed(name: str, share: float) -> None:
            if name == "slope" and share == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_stack(make_region(), tmp_path / "factors", on_progress=killed)
        with pytest.raises(StackNotBuilt):
            open_stack(make_region(), tmp_path / "factors")

    def test_progress_rises_to_one_for_each_factor(self, make_region, tmp_path: Path) -> None:
        told: list[tuple[str, float]] = []
        build_stack(make_region(), tmp_path / "factors", on_progress=lambda *step: told.append(step))
        assert sorted(name for name, share in told if share == 1) == sorted(["dem", *FACTORS])
        for name in ("dem", *FACTORS):
            shares = [share for told_of, share in told if told_of == name]
            assert shares == sorted(shares)
            assert shares[-1] == 1
        assert told[-1][0] == "seismic_intensity"

    def test_any_number_of_threads_writes_the_same_bytes(self, make_region, tmp_path: Path) -> None:
        region = make_region(rest={"resolution_m": 5.0})  # 912 × 1088 cells: two blocks

        def written(count: int) -> dict[str, bytes]:
            folder = tmp_path / str(count)
            build_stack(region, folder, on_progress=lambda name, share: None, workers=Threads(count))
            return {path.name: path.read_bytes() for path in folder.iterdir()}

        assert written(1) == written(3)

    def test_a_full_disk_leaves_nothing_half_written(self, make_region, build, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        try:
            with pytest.raises(StorageFull, match=r"File too large.*make room and run `lswarn region build` again"):
                build(make_region())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert not list((tmp_path / "factors").glob("*"))
        straight = build_stack(make_region(), tmp_path / "straight", on_progress=lambda name, share: None)
        found = build(make_region())
        np.testing.assert_array_equal(found.read(found.grid.whole), straight.read(straight.grid.whole))

    def test_a_region_without_a_feature_is_not_far_from_one(self, make_region, build, tmp_path: Path) -> None:
        with pytest.raises(RegionError, match=r"min_upslope_km2 = 500.*lower it, or give a file"):
            build(make_region(river_distance={"derive": True, "min_upslope_km2": 500}))
        path = tmp_path / "far.gpkg"
        gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4326).to_file(path)
        with pytest.raises(RegionError, match=r"factors.fault_distance: .*far.gpkg: no feature inside"):
            build(make_region(fault_distance={"file": str(path)}))

    def test_too_many_cells_for_following_water(self, make_region, build, monkeypatch) -> None:
        monkeypatch.setattr(layers, "MAX_FLOW_CELLS", 1000)
        with pytest.raises(RegionError, match=r"water can be followed over 1,000 at most: give a file of rivers"):
            build(make_region())


def test_a_licence_changes_nothing(make_region, build, tmp_path: Path) -> None:
    before = build(make_region())
    entry = make_region().factors.dem.model_dump(exclude_defaults=True) | {"licence": "CC-BY 4.0"}
    licensed = make_region(dem=entry)
    assert licensed.factors.dem.licence == "CC-BY 4.0"
    assert open_stack(licensed, tmp_path / "factors").digest == build(licensed).digest == before.digest


STEEP = {
    "model": {
        "physics_source": "infinite-slope",
        "soil": {"cohesion": 0.1, "friction_deg": 31, "transmissivity_m2_day": 50},
    }
}


class TestUpslopeArea:
    """Of a region whose physics is the infinite slope, and of no other."""

    @pytest.fixture
    def plain(self, make_region) -> dict:
        """Entries without rivers from the terrain: what follows water here is the upslope area alone."""
        return {"river_distance": {"file": make_region().factors.fault_distance.file}}

    def test_land_above_over_the_width_of_a_cell(self, make_region, build, hills_dem, plain, tmp_path: Path) -> None:
        stack = build(make_region(STEEP, **plain))
        whole = stack.read_upslope(stack.grid.whole)
        margin = 40 - LOOKUP_CELLS
        dem = hills_dem[margin:-margin, margin:-margin]
        expected = upslope_km2(dem, 30)[LOOKUP_CELLS:-LOOKUP_CELLS, LOOKUP_CELLS:-LOOKUP_CELLS] * 1e6 / 30
        assert whole.min() == pytest.approx(30)  # a cell on a ridge drains itself
        assert np.isclose(whole, expected, rtol=1e-3).mean() > 0.98  # elevations differ by the last bits of a warp
        found = stack.read_upslope(Block(140, -5, 30, 20))
        height = stack.grid.height - 140
        np.testing.assert_array_equal(found[:height, 5:], whole[140:, :15])
        assert np.isnan(found).sum() == 30 * 20 - height * 15
        assert stack.read(stack.grid.whole).shape[0] == 10
        copy = pickle.loads(pickle.dumps(stack))
        np.testing.assert_array_equal(copy.read_upslope(Block(3, 4, 5, 6)), whole[3:8, 4:10])
        with rasterio.open(tmp_path / "factors" / "upslope_area.tif") as dataset:
            assert (dataset.units, dataset.descriptions) == (("m",), ("upslope_area",))

    def test_unknown_terrain_is_unknown(self, make_region, build, plain, tmp_path: Path) -> None:
        def hole(dem: np.ndarray) -> np.ndarray:
            dem[100:110, 120:140] = 0
            return dem

        rewrite(tmp_path / "dem.tif", hole)
        stack = build(make_region(STEEP, dem={"file": str(tmp_path / "dem.tif"), "nodata": 0}, **plain))
        unknown = np.isnan(stack.read_upslope(stack.grid.whole))
        assert unknown[60:70, 80:100].all()
        assert unknown.sum() == 200

    def test_only_where_it_is_asked_for(self, make_region, build, plain, tmp_path: Path) -> None:
        without = build(make_region(**plain))
        assert set(files(tmp_path)) == {"dem", *FACTORS}
        with pytest.raises(StackNotBuilt, match=r"upslope_area.tif: there is no upslope area, .*`lswarn region build`"):
            without.read_upslope(without.grid.whole)
        before = files(tmp_path)
        with pytest.raises(StackNotBuilt, match=r"stack.json: there is no upslope area, which model.physics_source"):
            open_stack(make_region(STEEP, **plain), tmp_path / "factors")
        told: list[tuple[str, float]] = []
        with_it = build_stack(
            make_region(STEEP, **plain), tmp_path / "factors", on_progress=lambda *step: told.append(step)
        )
        assert told[-1] == ("upslope_area", 1)
        after = files(tmp_path)
        assert set(after) - set(before) == {"upslope_area"}
        assert before.items() <= after.items()
        assert with_it.digest != without.digest
        softer = STEEP["model"] | {"soil": STEEP["model"]["soil"] | {"cohesion": 0.0}}
        assert build(make_region({"model": softer}, **plain)).digest == with_it.digest
        assert files(tmp_path) == after
        assert build(make_region(**plain)).digest == without.digest
        assert files(tmp_path) == before  # it would outlive its DEM

    def test_another_dem_makes_it_anew_and_a_lost_one_is_told(self, make_region, build, plain, tmp_path: Path) -> None:
        region = make_region(STEEP, **plain)
        first = build(region)
        rewrite(tmp_path / "dem.tif", lambda dem: dem + 10 * np.random.default_rng(0).random(dem.shape, np.float32))
        assert build(region).digest != first.digest
        (tmp_path / "factors" / "upslope_area.tif").unlink()
        with pytest.raises(StackNotBuilt, match="upslope_area: the raster is gone"):
            open_stack(region, tmp_path / "factors")


class TestReading:
    @pytest.fixture
    def stack(self, make_region, build) -> FactorStack:
        return build(make_region())

    def test_any_block_is_a_piece_of_the_whole_and_outside_is_unknown(self, stack: FactorStack) -> None:
        whole = stack.read(stack.grid.whole)
        assert whole.shape == (10, *stack.grid.shape)
        assert whole.dtype == np.float32
        assert np.isfinite(whole).all()
        found = stack.read(Block(140, -5, 30, 20))
        height = stack.grid.height - 140
        np.testing.assert_array_equal(found[:, :height, 5:], whole[:, 140:, :15])
        assert np.isnan(found).sum() == 10 * (30 * 20 - height * 15)

    def test_many_threads_read_the_same(self, stack: FactorStack) -> None:
        blocks = list(stack.grid.blocks(16))
        whole = stack.read(stack.grid.whole)
        with ThreadPoolExecutor(8) as pool:
            for block, found in zip(blocks, pool.map(stack.read, blocks), strict=True):
                np.testing.assert_array_equal(found, whole[(slice(None), *block.slices())])

    def test_a_pickled_stack_reads_the_same(self, stack: FactorStack) -> None:
        block = Block(3, 4, 5, 6)
        copy = pickle.loads(pickle.dumps(stack))
        assert (copy.grid, copy.digest) == (stack.grid, stack.digest)
        np.testing.assert_array_equal(copy.read(block), stack.read(block))

    def test_a_closed_stack_opens_again(self, stack: FactorStack) -> None:
        with stack as opened:
            before = opened.read(Block(0, 0, 2, 2))
        np.testing.assert_array_equal(stack.read(Block(0, 0, 2, 2)), before)

    def test_gis_sees_named_bands_and_tiles(self, stack: FactorStack, tmp_path: Path) -> None:
        with rasterio.open(tmp_path / "factors" / "stack.vrt") as dataset:
            assert dataset.descriptions == FACTORS
            assert dataset.units[0] == "deg"
            assert dataset.crs.to_epsg() == 32616
        with rasterio.open(tmp_path / "factors" / "slope.tif") as dataset:
            assert dataset.block_shapes == [(512, 512)]
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"

    def test_the_folder_may_be_moved(self, stack: FactorStack, make_region, tmp_path: Path) -> None:
        before = stack.read(stack.grid.whole)
        (tmp_path / "factors").rename(tmp_path / "elsewhere")
        moved = open_stack(make_region(), tmp_path / "elsewhere")
        np.testing.assert_array_equal(moved.read(moved.grid.whole), before)

    def test_other_rules_make_it_stale(self, stack: FactorStack, make_region, tmp_path: Path) -> None:
        for other in (make_region(rainfall={"constant": 1}), make_region(rest={"resolution_m": 20.0})):
            with pytest.raises(StackNotBuilt, match=r"factors, bbox, crs or resolution_m of region hills have changed"):
                open_stack(other, tmp_path / "factors")
        assert open_stack(make_region(rest={"title": "Other"}), tmp_path / "factors").digest == stack.digest

    def test_damage_is_named(self, stack: FactorStack, make_region, tmp_path: Path) -> None:
        folder = tmp_path / "factors"
        slope = folder / "slope.tif"
        content = slope.read_bytes()
        slope.write_bytes(content[: len(content) // 2])
        with pytest.raises(StackNotBuilt, match=r"cannot be read .*delete its folder and run `lswarn region build`"):
            stack.read(stack.grid.whole)
        slope.unlink()
        with pytest.raises(StackNotBuilt, match="slope: the raster is gone"):
            open_stack(make_region(), folder)
        (folder / "stack.json").write_text("{")
        with pytest.raises(StackNotBuilt, match=r"stack.json: damaged"):
            open_stack(make_region(), folder)
