import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from lswarn.factors.raster import RasterDraft
from lswarn.grid import Block, Grid
from lswarn.workers import Threads

VALIDATOR = Path("/usr/lib/python3/dist-packages/osgeo_utils/samples/validate_cloud_optimized_geotiff.py")


def noise(height: int, width: int) -> np.ndarray:
    values = np.random.default_rng(height).standard_normal((height, width)).astype(np.float32)
    values[height // 3 : height // 2, : width // 2] = np.nan
    return values


def halved(values: np.ndarray, mixable: bool) -> np.ndarray:
    """Half the resolution, cell by cell."""
    if not mixable:
        return values[::2, ::2]
    height, width = (size + size % 2 for size in values.shape)
    even = np.full((height, width), np.nan)
    even[: values.shape[0], : values.shape[1]] = values
    four = even.reshape(height // 2, 2, width // 2, 2)
    known = (~np.isnan(four)).sum((1, 3))
    return np.where(known, np.nansum(four, (1, 3)) / np.maximum(known, 1), np.nan).astype(np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes [h, w] values with so many threads."""

    def write(values: np.ndarray, *, mixable: bool = True, threads: int = 2) -> Path:
        path = tmp_path / f"slope{threads}.tif"
        grid = Grid("EPSG:32616", Affine(30, 0, 700_000, 0, -30, 4_000_020), *values.shape)
        names = {"description": "slope", "unit": "deg", "tags": {"LSWARN_DIGEST": "5a"}}
        with RasterDraft(path, grid, **names, mixable=mixable) as draft:
            workers = Threads(threads)
            for block, packed in workers.over(lambda block: draft.pack(block, values[block.slices()]), draft.blocks()):
                draft.put(block, packed)
            draft.finish(workers)
        return path

    return write


@pytest.mark.parametrize("shape", [(7, 5), (512, 512), (513, 1025), (1100, 2100)])
@pytest.mark.parametrize("mixable", [True, False])
def test_gdal_reads_cells_and_overviews_down_to_one_tile(save, shape: tuple[int, int], mixable: bool) -> None:
    values = noise(*shape)
    path = save(values, mixable=mixable)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert dataset.transform == Affine(30, 0, 700_000, 0, -30, 4_000_020)
        assert dataset.crs.to_epsg() == 32616
        assert np.isnan(dataset.nodata)
        assert (dataset.descriptions, dataset.units, dataset.tags()["LSWARN_DIGEST"]) == (("slope",), ("deg",), "5a")
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        levels = len(dataset.overviews(1))
    for level in range(levels):
        values = halved(values, mixable)
        with rasterio.open(path, overview_level=level) as dataset:
            np.testing.assert_allclose(dataset.read(1), values, rtol=1e-5, atol=1e-6)
    assert max(values.shape) <= 512
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_any_number_of_threads_writes_the_same_bytes(save) -> None:
    values = noise(1100, 2100)
    assert save(values, threads=1).read_bytes() == save(values, threads=3).read_bytes()


@pytest.mark.skipif(not VALIDATOR.exists(), reason="GDAL's own validator comes with python3-gdal")
def test_the_validator_of_gdal_finds_no_fault(save) -> None:
    told = subprocess.run(
        ["/usr/bin/python3", VALIDATOR, "--full-check=yes", save(noise(1500, 2600))], capture_output=True, text=True
    )
    assert "is a valid cloud optimized GeoTIFF" in told.stdout, told.stdout + told.stderr


def test_a_raster_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    grid = Grid("EPSG:32616", Affine(30, 0, 0, 0, -30, 0), 20, 30)
    with RasterDraft(tmp_path / "a.tif", grid, description="a", unit="m", tags={}, mixable=True) as draft:
        draft.put(Block(0, 0, 20, 30), draft.pack(Block(0, 0, 20, 30), noise(20, 30)))
        assert [path.name for path in tmp_path.iterdir()] == ["a.0.part"]
    assert not list(tmp_path.iterdir())
