"""The providers' grids: where a cell stands in a file. Pure."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Axis:
    """Cell centres along one side of a grid, degrees; a whole turn of longitude closes upon itself."""

    first: float
    step: float
    size: int

    @property
    def values(self) -> NDArray[np.float64]:
        """Centres, in the order of the file."""
        return np.round(self.first + self.step * np.arange(self.size), 6)

    def index(self, values: NDArray[np.floating]) -> NDArray[np.intp]:
        """Where given centres stand.

        Raises:
            ValueError: they are not this grid's.
        """
        steps = (values.astype(float) - self.first) / self.step
        if abs(self.size * self.step) == 360:
            steps = (steps + 0.25) % self.size - 0.25
        index = np.round(steps).astype(np.intp)
        if np.abs(steps - index).max() > 0.01 or index.min() < 0 or index.max() >= self.size:
            raise ValueError(f"{values[0]:g} to {values[-1]:g} are not cell centres of {self}")
        return index


IMERG_LATS, IMERG_LONS = Axis(-89.95, 0.1, 1800), Axis(-179.95, 0.1, 3600)
NORTH_FIRST = Axis(89.95, -0.1, 1800)
"""The latitudes of IMERG as its GeoTIFFs have them."""


def block(rain: xr.DataArray, lats: Axis, lons: Axis) -> tuple[Box, NDArray[np.float64]]:
    """The smallest part of a grid that holds all of `rain`: where it is, and its values (NaN where none is given)."""
    rows, cols = lats.index(rain["lat"].values), lons.index(rain["lon"].values)
    box = slice(int(rows.min()), int(rows.max()) + 1), slice(int(cols.min()), int(cols.max()) + 1)
    values = np.full((box[0].stop - box[0].start, box[1].stop - box[1].start), np.nan)
    values[np.ix_(rows - box[0].start, cols - box[1].start)] = rain.transpose("lat", "lon").values
    return box, values
