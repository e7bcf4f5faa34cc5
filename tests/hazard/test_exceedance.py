import numpy as np
import xarray as xr

from lswarn.hazard.exceedance import find_cells


def field(values):
    return xr.DataArray(
        np.array(values, dtype=float),
        dims=("lat", "lon"),
        coords={"lat": [36.15, 36.25], "lon": [-84.45, -84.35, -84.25]},
    )


def test_only_cells_above_their_threshold():
    found = find_cells(field([[100, 120, 121], [0, 240, 50]]), field([[120] * 3] * 2), lower_bound=False)
    assert found.rain_mm.tolist() == [121, 240]
    assert found.safety_factor.tolist() == [120 / 121, 0.5]
    assert not found.lower_bound.any()
    assert np.allclose(found.geometry.iloc[1].bounds, (-84.4, 36.2, -84.3, 36.3))


def test_unknown_rain_or_threshold_is_not_an_exceedance():
    found = find_cells(field([[np.nan, 500, 500], [0, 0, 0]]), field([[120, np.nan, 120], [120] * 3]), lower_bound=True)
    assert found.rain_mm.tolist() == [500]
    assert found.lower_bound.all()
