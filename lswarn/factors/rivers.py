"""Rivers read off the terrain, for a region without a map of them."""

import numpy as np
from affine import Affine
from numpy.typing import NDArray

MAX_FLOW_CELLS = 25_000_000
"""Water is followed over the whole DEM at once, at some 50 bytes a cell: this is the most it is tried on (1.3 GB)."""

_NODATA = np.float32(-9999)


def upslope_km2(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Land that drains through each cell, its own included, km²; NaN where the DEM is.

    Depressions are filled (Wang and Liu 2006, doi 10.1080/13658810500433453), then each cell drains to its steepest of
    eight neighbours (D8). Water that enters the DEM from outside is not known of: rivers that come from afar are found
    too late or not at all, and a vector source is better where there is one.
    """
    import pyflwdir  # a second and 100 MB to import: only where rivers are derived

    known = np.isfinite(dem)
    flow = pyflwdir.from_dem(
        np.where(known, dem, _NODATA),
        nodata=_NODATA,
        transform=Affine(resolution_m, 0, 0, 0, -resolution_m, 0),
        latlon=False,
    )
    return np.where(known, flow.upstream_area(unit="km2"), np.nan).astype(np.float32)
