from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from lswarn.grid import Grid
from lswarn.region import Region

BBOX = (-84.40, 36.20, -84.34, 36.24)
CRS = "EPSG:32616"


def _write_raster(path: Path, values: np.ndarray, grid: Grid, **profile) -> Path:
    """Write [h, w] values of a grid as a GeoTIFF."""
    profile = {"crs": grid.crs, "transform": grid.transform, "dtype": values.dtype} | profile
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, **profile
    ) as dataset:
        dataset.write(values, 1)
    return path


def _hills(grid: Grid) -> np.ndarray:
    """Valleys every 3 km or so, falling eastward: elevations around 600 m."""
    rows, cols = np.indices(grid.shape) * grid.resolution_m
    return (600 + 150 * np.sin(rows / 500) * np.cos(cols / 700) - 0.02 * cols).astype(np.float32)


@pytest.fixture
def write_raster() -> Callable[..., Path]:
    """Writes [h, w] values of a grid as a GeoTIFF."""
    return _write_raster


@pytest.fixture
def hills() -> Callable[[Grid], np.ndarray]:
    """Elevations on any grid."""
    return _hills


@pytest.fixture
def hills_dem(grid: Grid) -> np.ndarray:
    """Elevations of dem.tif, which is 40 cells wider than the region on each side."""
    return _hills(grid.expanded(40))


@pytest.fixture
def grid() -> Grid:
    """The cells of the region: 154 × 185 of 30 m."""
    return Grid.from_bbox(BBOX, CRS, 30)


@pytest.fixture
def make_region(tmp_path: Path, grid: Grid) -> Callable[..., Region]:
    """A region with every kind of source. Keyword arguments replace entries of `factors`; others go by `rest`."""
    west, south, east, north = BBOX
    west_half = shapely.box(west - 0.01, south - 0.01, (west + east) / 2, north + 0.01)
    east_half = shapely.box((west + east) / 2, south - 0.01, east + 0.01, north + 0.01)
    middle = shapely.Point((west + east) / 2, (south + north) / 2)
    across = shapely.LineString([(west, south), (east, north)])

    def save(stem: str, geometries: list, **fields) -> str:
        path = tmp_path / f"{stem}.gpkg"
        gpd.GeoDataFrame(fields, geometry=geometries, crs="EPSG:4326").to_file(path)
        return str(path)

    wide = grid.expanded(40)
    coarse = np.linspace(900, 1500, 12 * 16, dtype=np.float32).reshape(12, 16)
    box = Affine(0.01, 0, west - 0.05, 0, -0.0116, north + 0.05)  # 16 × 12 cells
    _write_raster(tmp_path / "dem.tif", _hills(wide), wide)
    _write_raster(tmp_path / "normals.tif", coarse, wide, crs="EPSG:4326", transform=box)
    factors = {
        "dem": {"file": str(tmp_path / "dem.tif")},
        "rock_type": {"file": save("rock", [west_half, east_half], rock=["slate", "granite"]), "field": "rock"},
        "river_distance": "derive",
        "fault_distance": {"file": save("faults", [across], name=["a"])},
        "rainfall": {"file": str(tmp_path / "normals.tif"), "unit": "mm/month"},
        "temperature": "derive",
        "seismic_intensity": {"constant": 4.903325, "unit": "m/s2"},
    }
    settled = [middle, middle.buffer(0.003)]
    document = {
        "name": "hills",
        "title": "Hills",
        "bbox": BBOX,
        "crs": CRS,
        "assets": {
            "roads": {"file": save("roads", [across], id=["r1"], name=["A 1"]), "id": "id", "name": "name"},
            "settlements": {
                "file": save("towns", settled, id=["t1", "t2"], people=[10, 250]),
                "id": "id",
                "population": "people",
            },
            "warning_areas": {"file": save("areas", [west_half, east_half], id=["w", "e"]), "id": "id"},
        },
        "inventory": {
            "file": save("slides", [middle, middle.buffer(0.001)], id=[1, 2], day=["2020-05-01", None]),
            "id": "id",
            "date": "day",
        },
        "rain": {
            "sources": [{"product": "IMERG-Late", "at": str(tmp_path), "latency_h": 14.0}],
            "threshold": {"constant_mm": 120, "source": "made for the tests"},
        },
    }

    def make(rest: dict | None = None, **changed) -> Region:
        return Region.model_validate(document | {"factors": factors | changed} | (rest or {}))

    return make
