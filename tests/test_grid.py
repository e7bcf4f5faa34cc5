import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from lswarn.grid import Block, Field, Grid, sample

BBOX = (-84.41375, 36.15958, -84.07792, 36.44625)


def test_the_grid_covers_its_box_on_multiples_of_the_resolution():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 30)
    left, bottom, right, top = grid.bounds
    assert (left % 30, bottom % 30, right % 30, top % 30) == (0, 0, 0, 0)
    to_metric = Transformer.from_crs("EPSG:4326", "EPSG:32616", always_xy=True)
    for lon in BBOX[::2]:
        for lat in BBOX[1::2]:
            x, y = to_metric.transform(lon, lat)
            assert left <= x <= right
            assert bottom <= y <= top


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40))
def test_blocks_cover_every_cell_once(height, width, cells):
    grid = Grid("EPSG:32616", Affine(30, 0, 0, 0, -30, 0), height, width)
    seen = np.zeros(grid.shape, dtype=int)
    for block in grid.blocks(cells):
        seen[block.slices()] += 1
        assert max(block.shape) <= cells
    assert (seen == 1).all()


def test_row_zero_is_in_the_north():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 90)
    lon, lat = grid.lonlat(Block(0, 0, 3, 5))
    assert lon.shape == (3, 5)
    assert lat[0, 0] > lat[2, 0]
    assert lon[0, 4] > lon[0, 0]


def test_expanding_moves_the_corner_and_keeps_the_cells():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 90)
    wide = grid.expanded(2)
    assert wide.shape == (grid.height + 4, grid.width + 4)
    inner = wide.lonlat(Block(2, 2, 1, 1))
    assert np.allclose(inner, grid.lonlat(Block(0, 0, 1, 1)))


def plane(values=None):
    lon, lat = np.arange(-84.65, -83.8, 0.1), np.arange(35.95, 36.7, 0.1)
    return xr.DataArray(lat[:, None] * 10 + lon[None, :], dims=("lat", "lon"), coords={"lat": lat, "lon": lon})


def test_bilinear_sampling_is_exact_on_a_plane():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 300)
    lon, lat = grid.lonlat(grid.whole)
    assert sample(plane(), grid, grid.whole) == pytest.approx(lat * 10 + lon, abs=1e-4)


def test_unknown_spreads_to_all_that_would_need_it_and_no_further():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 300)
    field = plane()
    field[4, 4] = np.nan
    found = sample(field, grid, grid.whole)
    lon, lat = grid.lonlat(grid.whole)
    near = (abs(lon - float(field.lon[4])) < 0.1) & (abs(lat - float(field.lat[4])) < 0.1)
    assert np.isnan(found[near]).all()
    assert not np.isnan(found[~near]).any()


def test_beyond_the_field_is_unknown():
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 300)
    found = sample(plane().isel(lon=slice(0, 4)), grid, grid.whole)
    lon, _ = grid.lonlat(grid.whole)
    assert np.isnan(found[lon > -84.34]).all()
    assert not np.isnan(found[lon < -84.36]).any()


@pytest.mark.parametrize(("crs", "x", "y", "cell"), [
    ("EPSG:32616", 730_000, 4_100_000, 30),
    ("EPSG:32633", 200_000, 7_500_000, 30),
    ("EPSG:32717", 600_000, 9_900_000, 90),
    ("EPSG:3035", 2_700_000, 1_600_000, 30),
])  # fmt: skip
def test_degrees_between_nodes_are_less_than_ten_centimetres_from_projs(crs, x, y, cell):
    grid = Grid(crs, Affine(cell, 0, x, 0, -cell, y), 23_100, 23_100)
    block = Block(23_100 - 700, 311, 600, 500)
    lon, lat = grid.lonlat(block)
    cols, rows = np.meshgrid(np.arange(500) + 311.5, np.arange(600) + 22_400.5)
    exact = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*(grid.transform @ (cols, rows)))
    east, north = (lon - exact[0]) * 111_320 * np.cos(np.radians(lat)), (lat - exact[1]) * 111_320
    assert np.hypot(east, north).max() < 0.1


@given(st.integers(-40, 900), st.integers(-40, 900), st.integers(1, 70), st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_a_cells_rain_and_degrees_do_not_depend_on_the_block_it_is_asked_in(row, col, height, width, more):
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 30)
    block = Block(row, col, height, width)
    inner = (..., slice(more, more + height), slice(more, more + width))
    field = plane() ** 2
    assert np.array_equal(sample(field, grid, block), sample(field, grid, block.with_halo(more))[inner], equal_nan=True)
    assert np.array_equal(grid.lonlat(block), np.stack(grid.lonlat(block.with_halo(more)))[inner])
    corner = grid.corners_lonlat(np.array([row]), np.array([col]))
    many = grid.corners_lonlat(np.array([row, -99, 2000]), np.array([col, 2000, -99]))
    assert (corner[0][0], corner[1][0]) == (many[0][0], many[1][0])


@given(st.integers(-40, 900), st.integers(-40, 900), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_what_lies_under_a_block_bounds_its_rain(row, col, height, width, seed):
    grid = Grid.from_bbox(BBOX, "EPSG:32616", 30)
    block, field = Block(row, col, height, width), plane()
    field[:] = np.random.default_rng(seed).uniform(0, 300, field.shape)
    field[2, 3] = np.nan
    under, found = Field.of(field).under(grid, block), sample(field, grid, block)
    if np.isnan(found).any():
        assert np.isnan(under).any()
    if not np.isnan(found).all():
        assert np.nanmin(under) - 1e-4 <= np.nanmin(found) <= np.nanmax(found) <= np.nanmax(under) + 1e-4
