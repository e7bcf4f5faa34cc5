"""From one product's cells to another's, keeping the amount of water. Pure."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

LEAST_OVERLAP = 1e-3
"""Of the smaller cell, below which two cells do not touch: centres are rounded, and some files hold them as float32."""


def regrid(field: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """First-order conservative remapping between two longitude-latitude grids (Jones 1999), in degrees.

    Args:
        field: mm, (lat, lon) ascending and evenly spaced cell centres, NaN = unknown.
        like: any field on the wanted grid.

    Returns:
        mm on the wanted grid: the mean over each cell of what lies under it. NaN where any part of a cell lies over
        unknown rain or beyond the field: what fell there is unknown.
    """
    field, like = field.transpose("lat", "lon"), like.transpose("lat", "lon")
    if all(np.array_equal(field[axis], like[axis]) for axis in ("lat", "lon")):
        return field
    rows, cols = (_overlaps(field[axis].values, like[axis].values) for axis in ("lat", "lon"))
    unknown = np.isnan(field.values)
    mean = rows @ np.where(unknown, 0, field.values).astype(float) @ cols.T
    touched = (rows > 0).astype(float) @ unknown @ (cols > 0).astype(float).T
    covered = np.outer(rows.any(axis=1), cols.any(axis=1))
    values = np.where(covered & (touched == 0), mean, np.nan).astype(np.float32)
    return like.copy(data=values).rename(field.name).assign_attrs(field.attrs)


def _overlaps(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each target cell that lies in each source cell, [target, source]; rows of cells not covered are 0."""
    steps = [float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in (source, target)]
    least = LEAST_OVERLAP * min(steps)
    low = np.maximum.outer(target - steps[1] / 2, source - steps[0] / 2)
    high = np.minimum.outer(target + steps[1] / 2, source + steps[0] / 2)
    shared = np.where(high - low > least, high - low, 0)
    whole = shared.sum(axis=1, keepdims=True)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > steps[1] - 2 * least)
