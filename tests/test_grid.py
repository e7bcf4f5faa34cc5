import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from lswarn.grid import Block, Grid, sample

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
