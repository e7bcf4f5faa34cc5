import logging
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from lswarn.errors import RegionError
from lswarn.grid import Block, Grid
from lswarn.sources import degrees, is_raster, load_vector, raster_digest, read_block, warped

GRID = Grid("EPSG:32616", Affine(30, 0, 700_000, 0, -30, 4_030_000), 20, 30)


@pytest.fixture
def raster(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GeoTIFF; without a transform it lies on GRID."""

    def write(values: np.ndarray, transform: Affine = GRID.transform, crs: str | None = GRID.crs, **profile) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tif"
        scale, offset = profile.pop("scale", 1), profile.pop("offset", 0)
        bands = values if values.ndim == 3 else values[None]
        shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
        with rasterio.open(
            path, "w", driver="GTiff", dtype=values.dtype, crs=crs, transform=transform, **shape, **profile
        ) as dataset:
            dataset.write(bands)
            if (scale, offset) != (1, 0):
                dataset.scales, dataset.offsets = [scale] * len(bands), [offset] * len(bands)
        return path

    return write


@pytest.fixture
def vector(tmp_path: Path) -> Callable[..., Path]:
    def write(
        geometries: list, suffix: str = ".gpkg", crs: str | None = "EPSG:4326", layer: str | None = None, **fields
    ):
        path = tmp_path / f"features{suffix}"
        gpd.GeoDataFrame(fields, geometry=geometries, crs=crs).to_file(path, layer=layer)
        return path

    return write


def read(path: Path, block: Block = GRID.whole, grid: Grid = GRID, **kwargs) -> np.ndarray:
    with warped(path, grid, context="factors.x", **kwargs) as opened:
        return opened.read(block)


def ramp(dtype: str = "float32") -> np.ndarray:
    return np.arange(1, 601).reshape(GRID.shape).astype(dtype)


class TestWarped:
    @pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
    def test_a_raster_on_the_grid_comes_out_as_it_is(self, raster, resampling: str) -> None:
        values = ramp("int16")
        values[3, 4] = -99
        found = read(raster(values, nodata=-99), resampling=resampling)
        np.testing.assert_array_equal(np.isnan(found), values == -99)
        np.testing.assert_allclose(found[values != -99], values[values != -99], rtol=1e-5)

    def test_outside_the_raster_is_unknown_and_outside_the_grid_is_not(self, raster) -> None:
        wide = GRID.expanded(2)
        path = raster(np.full(wide.shape, 7, np.float32), transform=wide.transform)
        found = read(path, GRID.whole.with_halo(3))
        assert (found[1:-1, 1:-1] == 7).all()
        assert np.isnan(found).sum() == found.size - found[1:-1, 1:-1].size

    def test_interpolation_fills_no_gap(self, raster) -> None:
        values = np.full(GRID.shape, 5, np.float32)
        values[5:9, 5:9] = np.nan
        path = raster(values, transform=GRID.transform @ Affine.translation(0.3, 0.3), nodata=np.nan)
        np.testing.assert_array_equal(read(path), read(path, resampling="nearest"))

    def test_nodata_of_region_toml_adds_to_that_of_the_file(self, raster) -> None:
        values = ramp("int16")
        values[0, :3], values[1, :3] = -99, 0
        path = raster(values, nodata=-99)
        assert np.isnan(read(path)).sum() == 3
        assert np.isnan(read(path, nodata=0)).sum() == 6
        assert np.isnan(read(path, nodata=-99)).sum() == 3
        assert np.isnan(read(raster(values), nodata=0)).sum() == 3

    def test_scale_and_offset_of_the_file_are_applied(self, raster) -> None:
        values = ramp("int16")
        values[0, :3], values[1, :3] = -99, 0
        path = raster(values, scale=0.1, offset=-50, nodata=-99)
        found = read(path, nodata=0)
        assert np.isnan(found).sum() == 6
        assert found[2, 0] == pytest.approx(6.1 - 50)

    def test_a_finer_raster_is_averaged(self, raster) -> None:
        fine = np.tile(np.arange(3, dtype=np.float32), (60, 30))  # every cell of the grid holds 0, 1, 2
        path = raster(fine, transform=GRID.transform @ Affine.scale(1 / 3))
        np.testing.assert_allclose(read(path)[:, 2:-2], 1, atol=0.12)

    def test_categories_are_not_mixed(self, raster) -> None:
        codes = np.random.default_rng(0).choice([3, 90], GRID.shape).astype(np.uint8)
        path = raster(codes, transform=GRID.transform @ Affine.translation(0.4, 0.2))
        found = read(path, resampling="nearest")
        assert set(found[np.isfinite(found)]) == {3, 90}

    def test_a_band_is_chosen(self, raster) -> None:
        path = raster(np.stack([ramp(), ramp() * 2]))
        assert read(path, band=2)[0, 1] == 4

    def test_positions_come_from_the_crs(self, raster) -> None:
        west, south, east, north = degrees(GRID)
        cell = 0.0005
        width, height = int((east - west) / cell) + 20, int((north - south) / cell) + 20
        transform = Affine(cell, 0, west - 10 * cell, 0, -cell, north + 10 * cell)
        cols, _ = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        path = raster((transform.c + cell * cols).astype(np.float32), transform=transform, crs="EPSG:4326")
        lon, _ = GRID.lonlat(GRID.whole)
        np.testing.assert_allclose(read(path), lon, atol=cell / 20)

    @settings(deadline=None, max_examples=15)
    @given(st.integers(-5, 15), st.integers(-5, 25), st.integers(1, 12), st.integers(1, 12))
    def test_a_block_is_a_piece_of_the_whole(
        self, tmp_path_factory, row: int, col: int, height: int, width: int
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "degrees.tif"
        if not path.exists():
            west, south, east, north = degrees(GRID.expanded(10))
            noise = np.random.default_rng(0).uniform(0, 1000, (25, 37)).astype(np.float32)
            transform = Affine((east - west) / 37, 0, west, 0, (south - north) / 25, north)
            with rasterio.open(
                path,
                "w",
                driver="GTiff",
                dtype="float32",
                crs="EPSG:4326",
                transform=transform,
                count=1,
                height=25,
                width=37,
            ) as dataset:
                dataset.write(noise, 1)
        whole = read(path, GRID.whole.with_halo(5), resampling="cubic")
        rows, cols = Block(row + 5, col + 5, height, width).slices()
        piece = read(path, Block(row, col, height, width), resampling="cubic")
        rows, cols = slice(rows.start, min(rows.stop, 30)), slice(cols.start, min(cols.stop, 40))
        expected = whole[rows, cols]
        np.testing.assert_allclose(piece[: expected.shape[0], : expected.shape[1]], expected, atol=0.5)

    def test_what_cannot_be_used_is_named(self, raster, tmp_path: Path) -> None:
        text = tmp_path / "notes.tif"
        text.write_text("not a raster")
        far = Grid("EPSG:32616", Affine(30, 0, 100_000, 0, -30, 1_000_000), 5, 5)
        for path, kwargs, words in [
            (tmp_path / "gone.tif", {}, "gone.tif: no such file"),
            (text, {}, "notes.tif: cannot be opened as a raster"),
            (raster(ramp(), crs=None), {}, "has no CRS"),
            (raster(ramp()), {"band": 4}, "no band 4; it has 1"),
            (raster(ramp()), {"grid": far}, "does not overlap the region"),
        ]:
            with pytest.raises(RegionError, match=words) as caught:
                read(path, **kwargs)
            assert str(caught.value).startswith("factors.x: ")

    def test_a_raster_without_a_position_is_refused(self, raster) -> None:
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning), pytest.raises(RegionError, match="has no position"):
            read(raster(ramp(), transform=Affine.identity()))

    def test_a_cut_file_is_named_when_it_is_read(self, raster) -> None:
        path = raster(np.random.default_rng(0).random((400, 500)).astype(np.float32))
        path.write_bytes(path.read_bytes()[:200_000])
        with pytest.raises(RegionError, match=r"factors.x: .*\.tif: cannot be read .*complete"):
            read(path, Block(0, 0, 400, 500))


class TestVector:
    SQUARES = (shapely.box(-84.3, 36.2, -84.2, 36.3), shapely.box(-84.2, 36.2, -84.1, 36.3))

    def test_named_fields_come_in_the_regions_crs(self, vector) -> None:
        path = vector(list(self.SQUARES), name=["a", "b"], age=[1, 2], other=[0, 0])
        frame = load_vector(path, fields=["age", "name"], crs=GRID.crs, context="assets.x")
        assert list(frame.columns) == ["age", "name", "geometry"]
        assert frame.crs.to_epsg() == 32616
        x, y = Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.3, 36.2)
        assert frame.geometry[0].distance(shapely.Point(x, y)) < 0.01

    def test_only_what_meets_the_box_is_read(self, vector) -> None:
        path = vector(list(self.SQUARES), name=["a", "b"])
        box = (-84.15, 36.22, -84.12, 36.25)
        assert list(load_vector(path, fields=["name"], crs=GRID.crs, bbox=box, context="x").name) == ["b"]
        with pytest.raises(RegionError, match=r"x: .*features.gpkg: no feature inside \(1, 2, 3, 4\)"):
            load_vector(path, crs=GRID.crs, bbox=(1, 2, 3, 4), context="x")

    def test_the_feature_id_is_a_field(self, vector) -> None:
        path = vector(list(self.SQUARES), name=["a", "b"])
        frame = load_vector(path, fields=["fid", "name"], crs=GRID.crs, context="x")
        assert list(frame.columns) == ["fid", "name", "geometry"]
        assert list(frame.fid) == [1, 2]

    def test_a_bow_tie_is_repaired(self, vector) -> None:
        tie = shapely.Polygon([(-84.2, 36.2), (-84.1, 36.3), (-84.1, 36.2), (-84.2, 36.3)])
        frame = load_vector(vector([tie], name=["tie"]), crs=GRID.crs, context="x")
        assert frame.geometry.is_valid.all()
        assert frame.area.sum() > 0

    def test_features_without_geometry_are_counted(self, vector, caplog) -> None:
        path = vector([self.SQUARES[0], None, shapely.Polygon()], name=["a", "b", "c"])
        with caplog.at_level(logging.WARNING):
            frame = load_vector(path, fields=["name"], crs=GRID.crs, context="assets.roads")
        assert list(frame.name) == ["a"]
        assert "assets.roads" in caplog.text
        assert "2 features have no geometry" in caplog.text

    def test_a_layer_must_be_named_where_there_are_several(self, vector) -> None:
        vector([self.SQUARES[0]], layer="roads", name=["a"])
        path = vector([self.SQUARES[1]], layer="towns", name=["b"])
        with pytest.raises(RegionError, match=r"several layers.*\(roads, towns\)"):
            load_vector(path, crs=GRID.crs, context="x")
        with pytest.raises(RegionError, match="no layer 'paths'; there are roads, towns"):
            load_vector(path, layer="paths", crs=GRID.crs, context="x")
        assert list(load_vector(path, layer="towns", fields=["name"], crs=GRID.crs, context="x").name) == ["b"]

    def test_what_cannot_be_used_is_named(self, vector, tmp_path: Path) -> None:
        table = tmp_path / "table.csv"
        pd.DataFrame({"a": [1]}).to_csv(table)
        for path, fields, words in [
            (tmp_path / "gone.gpkg", [], "gone.gpkg: no such file"),
            (vector(list(self.SQUARES), name=["a", "b"]), ["rock"], "no field 'rock'; there are name"),
            (self.without_crs(vector), [], "has no CRS"),
            (table, [], "table without geometries"),
        ]:
            with pytest.raises(RegionError, match=words) as caught:
                load_vector(path, fields=fields, crs=GRID.crs, context="assets.x")
            assert str(caught.value).startswith("assets.x: ")

    def without_crs(self, vector) -> Path:
        path = vector(list(self.SQUARES), suffix=".shp", name=["a", "b"])
        path.with_suffix(".prj").unlink()
        return path

    def test_a_damaged_shapefile_is_named(self, vector) -> None:
        path = vector([square.segmentize(0.01) for square in self.SQUARES], suffix=".shp", name=["a", "b"])
        content = bytearray(path.read_bytes())
        content[100 + 8 + 40] += 1  # the first polygon now claims a point more than it has
        path.write_bytes(content)
        with pytest.raises(RegionError, match=r"features.shp: cannot be read as a vector .*complete"):
            load_vector(path, crs=GRID.crs, bbox=(-85, 36, -84, 37), context="x")

    def test_a_cut_shapefile_is_named(self, vector) -> None:
        path = vector([square.segmentize(0.001) for square in self.SQUARES], suffix=".shp", name=["a", "b"])
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(RegionError, match=r"features.shp: cut off: 11,076 of 13,076 bytes"):
            load_vector(path, crs=GRID.crs, context="x")


def test_rasters_and_vectors_are_told_apart(raster, vector, tmp_path: Path) -> None:
    assert is_raster(raster(ramp()), context="x")
    assert not is_raster(vector([shapely.Point(0, 0)], name=["a"]), context="x")
    text = tmp_path / "notes.txt"
    text.write_text("neither")
    with pytest.raises(RegionError, match=r"notes.txt: neither a raster nor a vector"):
        is_raster(text, context="x")
    with pytest.raises(RegionError, match="no such file"):
        is_raster(tmp_path / "gone", context="x")


def test_a_raster_is_known_by_its_content(raster) -> None:
    path = raster(ramp())
    digest = raster_digest(path)
    assert raster_digest(raster(ramp())) == digest
    path.with_name(path.name + ".aux.xml").write_text("<PAMDataset/>")
    assert raster_digest(path) == digest
    assert raster_digest(raster(ramp() + 1)) != digest


def test_a_block_of_bands_is_padded_with_unknown(raster) -> None:
    values = np.stack([ramp("int16"), ramp("int16")])
    values[1, 0, 0] = -99
    with rasterio.open(raster(values, nodata=-99)) as dataset:
        found = read_block(dataset, Block(-2, -1, 5, 4))
        assert found.dtype == np.float32
        assert found.shape == (2, 5, 4)
        np.testing.assert_array_equal(found[0, 2:, 1:], values[0, :3, :3])
        assert np.isnan(found[0]).sum() == 20 - 9
        assert np.isnan(found[1]).sum() == 20 - 8
        assert np.isnan(read_block(dataset, Block(50, 50, 2, 3))).all()
