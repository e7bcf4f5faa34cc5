import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lswarn.rain.regrid import regrid


def axis(west, step, cells):
    """Centres, rounded as files round them."""
    return np.round(west + step * (np.arange(cells) + 0.5), 4)


def make(values, south=10.0, west=20.0, step=0.25):
    values = np.asarray(values, np.float32)
    axes = {"lat": axis(south, step, values.shape[0]), "lon": axis(west, step, values.shape[1])}
    return xr.DataArray(values, axes, ("lat", "lon"), "precipitation", {"units": "mm"})


def water(field):
    """mm times cells' areas in square degrees, of which regridding takes account."""
    step = float(field["lon"][1] - field["lon"][0]) * float(field["lat"][1] - field["lat"][0])
    return float(field.astype(float).sum()) * step


rain = arrays(np.float32, (8, 12), elements=st.floats(0, 1500, width=32))  # 2° x 3°
holes = arrays(bool, (8, 12))
GRIDS = {
    "finer": make(np.zeros((20, 30)), step=0.1),
    "coarser": make(np.zeros((4, 6)), step=0.5),
    "oblique": make(np.zeros((8, 12)), south=10.1, west=20.05),
    "inside": make(np.zeros((5, 7)), south=10.33, west=20.41, step=0.2),
    "beyond": make(np.zeros((12, 16)), south=9.5, west=19.5),
}
grids = st.sampled_from(list(GRIDS.values()))


def test_the_same_grid_is_the_same_field():
    field = make([[1, np.nan, 3], [4, 5, 6]])
    assert regrid(field, make(np.zeros((2, 3)))).identical(field)
    assert regrid(field.transpose("lon", "lat"), field.transpose("lon", "lat")).identical(field)


def test_halves_by_hand():
    field = make([[0, 10], [20, 30]], step=0.5)
    finer = regrid(field, make(np.zeros((4, 4)), step=0.25))
    assert finer.values.tolist() == [[0, 0, 10, 10], [0, 0, 10, 10], [20, 20, 30, 30], [20, 20, 30, 30]]
    shifted = regrid(field, make(np.zeros((2, 2)), south=10.25, west=20.25, step=0.25))
    assert shifted.values.tolist() == [[0, 10], [20, 30]]
    between = regrid(field, make(np.zeros((2, 2)), south=10.125, west=20.25, step=0.25))
    assert between.values == pytest.approx(np.array([[0, 10], [10, 20]]))


def test_name_units_and_kind_are_kept():
    field = regrid(make(np.ones((8, 12))), GRIDS["oblique"])
    assert (field.name, field.dtype, field.dims) == ("precipitation", np.float32, ("lat", "lon"))
    assert field.attrs == {"units": "mm"}
    assert all(np.array_equal(field[axis], GRIDS["oblique"][axis]) for axis in ("lat", "lon"))


@pytest.mark.parametrize("name", ["finer", "coarser"])
@given(values=rain)
def test_water_is_kept(name, values):
    field = make(values)
    assert water(regrid(field, GRIDS[name])) == pytest.approx(water(field), rel=1e-5, abs=1e-3)


@given(grid=grids, mm=st.floats(0, 1500, width=32))
def test_a_constant_stays_constant_and_beyond_the_field_is_unknown(grid, mm):
    found = regrid(make(np.full((8, 12), mm)), grid)
    known = found.notnull().values
    assert found.values[known] == pytest.approx(mm, rel=1e-6)
    lat, lon = grid["lat"].values, grid["lon"].values
    half = (lon[1] - lon[0]) / 2
    rows = (lat - half > 10 - 1e-3) & (lat + half < 12 + 1e-3)
    cols = (lon - half > 20 - 1e-3) & (lon + half < 23 + 1e-3)
    assert (known == np.outer(rows, cols)).all()


@given(grid=grids, values=rain, more=rain)
def test_more_rain_is_never_less(grid, values, more):
    drier, wetter = regrid(make(values), grid), regrid(make(values + more), grid)
    assert (wetter.values >= drier.values * (1 - 1e-6))[drier.notnull()].all()


@given(grid=grids, values=rain)
def test_no_cell_leaves_the_range_of_the_field(grid, values):
    found = regrid(make(values), grid)
    assert float(found.min()) >= values.min() * (1 - 1e-6)
    assert float(found.max()) <= values.max() * (1 + 1e-6)


@given(grid=grids, values=rain, holes=holes)
def test_a_cell_is_unknown_where_any_of_it_is(grid, values, holes):
    whole, field = regrid(make(values), grid), regrid(make(np.where(holes, np.nan, values)), grid)
    # The share of a cell that lies over holes, by the same rule a field of holes is brought over.
    over_holes = regrid(make(holes), grid)
    touched = over_holes.values > 1e-5
    assert np.isnan(field.values[touched]).all()
    untouched = over_holes.values < 1e-7
    assert np.array_equal(field.values[untouched], whole.values[untouched], equal_nan=True)


@given(values=rain)
def test_there_and_back_on_halved_cells_is_the_same(values):
    field = make(values)
    there = regrid(field, make(np.zeros((16, 24)), step=0.125))
    assert regrid(there, field).values == pytest.approx(field.values, rel=1e-5)


def test_rounded_centres_do_not_let_the_neighbour_in():
    """0.1° centres stored as float32: a hair's breadth of overlap with an unknown cell is none."""
    values = np.ones((6, 6))
    values[:, 3] = np.nan
    field = make(values, step=0.1)
    rounded = field.assign_coords(lat=field["lat"].astype("f4"), lon=field["lon"].astype("f4"))
    found = regrid(rounded, field)
    assert np.array_equal(np.isnan(found.values), np.isnan(values))
