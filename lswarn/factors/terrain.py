"""Slope, aspect and curvature of a DEM, from the nine cells of a 3 × 3 window.

Slope and aspect are Horn's (1981, Proc. IEEE 69(1), 14-47, doi 10.1109/PROC.1981.11918), as `gdaldem` computes them;
curvature is that of Zevenbergen and Thorne (1987, Earth Surf. Process. Landf. 12, 47-56, doi 10.1002/esp.3290120107).

Each function takes a DEM in metres with one cell of halo, [h + 2, w + 2], row 0 in the north, and returns [h, w]. A NaN
anywhere in a window makes its centre NaN.
"""

import numpy as np
from numpy.typing import NDArray

FLAT = -1.0
"""Aspect of a cell that faces nowhere."""


def slope_deg(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Steepest inclination, degrees, 0 (flat) to below 90."""
    east, north = _gradient(dem, resolution_m)
    return np.degrees(np.arctan(np.hypot(east, north))).astype(np.float32)


def aspect_deg(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Direction of steepest descent, degrees clockwise from north, 0 to below 360; `FLAT` where there is none."""
    east, north = _gradient(dem, resolution_m)
    aspect = (np.degrees(np.arctan2(-east, -north)) % 360).astype(np.float32)
    aspect[aspect == 360] = 0  # a hair below 360 is rounded up to it
    return np.where((east == 0) & (north == 0), np.float32(FLAT), aspect)


def curvature(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Total curvature -2 (D + E), 1/m: positive on ridges and noses, negative in hollows, 0 on planes.

    D and E are the second-order coefficients along rows and columns of the surface of Zevenbergen and Thorne (1987,
    eq. 4 and 5); their sum is the Laplacian, whose sign is turned so that convex is positive.
    """
    z = dem.astype(np.float64)  # a millimetre on top of 8,848 m is beyond single precision
    d = ((z[1:-1, :-2] + z[1:-1, 2:]) / 2 - z[1:-1, 1:-1]) / resolution_m**2
    e = ((z[:-2, 1:-1] + z[2:, 1:-1]) / 2 - z[1:-1, 1:-1]) / resolution_m**2
    return np.where(complete(z), -2 * (d + e), np.nan).astype(np.float32)


def _gradient(dem: NDArray[np.float32], resolution_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise per metre eastward and northward (Horn 1981): differences of sides weighted 1, 2, 1."""
    z = dem.astype(np.float64)
    nw, n, ne = z[:-2, :-2], z[:-2, 1:-1], z[:-2, 2:]
    w, e = z[1:-1, :-2], z[1:-1, 2:]
    sw, s, se = z[2:, :-2], z[2:, 1:-1], z[2:, 2:]
    east = ((ne + 2 * e + se) - (nw + 2 * w + sw)) / (8 * resolution_m)
    north = ((nw + 2 * n + ne) - (sw + 2 * s + se)) / (8 * resolution_m)
    unknown = ~complete(z)
    east[unknown] = north[unknown] = np.nan
    return east, north


def complete(dem: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Cells whose 3 × 3 window is known throughout: [h + 2, w + 2] to [h, w]."""
    known = ~np.isnan(dem)
    rows = known[:, :-2] & known[:, 1:-1] & known[:, 2:]
    return rows[:-2] & rows[1:-1] & rows[2:]
