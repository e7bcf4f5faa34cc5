"""Slope, aspect and curvature of a DEM, from the nine cells of a 3 × 3 window.

Slope and aspect are Horn's (1981, Proc. IEEE 69(1), 14-47, doi 10.1109/PROC.1981.11918), as `gdaldem` computes them;
curvature is that of Zevenbergen and Thorne (1987, Earth Surf. Process. Landf. 12, 47-56, doi 10.1002/esp.3290120107).

Each function takes a DEM in metres with one cell of halo, [h + 2, w + 2], row 0 in the north, and returns [h, w]. A NaN
anywhere in a window makes its centre NaN.
"""

import math
from collections.abc import Collection

import numpy as np
from numba import njit
from numpy.typing import NDArray

FLAT = -1.0
"""Aspect of a cell that faces nowhere."""

_NOTHING = np.empty((0, 0), np.float32)


def derivatives(
    dem: NDArray[np.float32], resolution_m: float, wanted: Collection[str]
) -> dict[str, NDArray[np.float32]]:
    """Those of `slope`, `aspect` and `curvature` that are wanted, each [h, w], in one walk over the terrain.

    Worked without the interpreter's lock, so that threads do blocks side by side.
    """
    height, width = dem.shape[0] - 2, dem.shape[1] - 2
    found = {name: np.empty((height, width), np.float32) for name in wanted}
    slope, aspect, curved = (found.get(name, _NOTHING) for name in ("slope", "aspect", "curvature"))
    if height > 0 and width > 0:
        _walk(np.ascontiguousarray(dem, np.float32), float(resolution_m), slope, aspect, curved)
    return found


def slope_deg(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Steepest inclination, degrees, 0 (flat) to below 90."""
    return derivatives(dem, resolution_m, ["slope"])["slope"]


def aspect_deg(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Direction of steepest descent, degrees clockwise from north, 0 to below 360; `FLAT` where there is none."""
    return derivatives(dem, resolution_m, ["aspect"])["aspect"]


def curvature(dem: NDArray[np.float32], resolution_m: float) -> NDArray[np.float32]:
    """Total curvature -2 (D + E), 1/m: positive on ridges and noses, negative in hollows, 0 on planes.

    D and E are the second-order coefficients along rows and columns of the surface of Zevenbergen and Thorne (1987,
    eq. 4 and 5); their sum is the Laplacian, whose sign is turned so that convex is positive.
    """
    return derivatives(dem, resolution_m, ["curvature"])["curvature"]


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(
    dem: NDArray[np.float32],
    resolution_m: float,
    slope: NDArray[np.float32],
    aspect: NDArray[np.float32],
    curved: NDArray[np.float32],
) -> None:  # pragma: no cover (compiled)
    """Row by row, each output in a loop of its own: simple enough that the compiler does eight cells at once.

    Gradients (rise per metre eastward and northward) are differences of sides weighted 1, 2, 1. All is done in double
    precision: a millimetre on top of 8,848 m is beyond single.
    """
    height, width = dem.shape[0] - 2, dem.shape[1] - 2
    sides, square = 8 * resolution_m, resolution_m**2
    east, north = np.empty(width), np.empty(width)
    for i in range(height):
        above, here, below = dem[i], dem[i + 1], dem[i + 2]
        if slope.size or aspect.size:
            for j in range(width):
                nw, n, ne = np.float64(above[j]), np.float64(above[j + 1]), np.float64(above[j + 2])
                w, z, e = np.float64(here[j]), np.float64(here[j + 1]), np.float64(here[j + 2])
                sw, s, se = np.float64(below[j]), np.float64(below[j + 1]), np.float64(below[j + 2])
                # Every cell of the window but the one in the middle stands in one of the two.
                east[j] = np.nan if z != z else ((ne + 2 * e + se) - (nw + 2 * w + sw)) / sides
                north[j] = ((nw + 2 * n + ne) - (sw + 2 * s + se)) / sides
        if slope.size:
            row = slope[i]
            for j in range(width):
                row[j] = np.float32(_arctan(math.sqrt(east[j] ** 2 + north[j] ** 2)) * (180 / math.pi))
        if aspect.size:
            row = aspect[i]
            for j in range(width):
                row[j] = _facing(east[j] + 0 * north[j], north[j] + 0 * east[j])
        if curved.size:
            row = curved[i]
            for j in range(width):
                w, z, e = np.float64(here[j]), np.float64(here[j + 1]), np.float64(here[j + 2])
                n, s = np.float64(above[j + 1]), np.float64(below[j + 1])
                d, f = ((w + e) / 2 - z) / square, ((n + s) / 2 - z) / square
                corners = (above[j] + above[j + 2]) + (below[j] + below[j + 2])
                row[j] = np.nan if corners != corners else np.float32(-2 * (d + f))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _facing(east: float, north: float) -> np.float32:  # pragma: no cover (compiled)
    """Degrees clockwise from north of the direction opposite to a gradient, without a branch."""
    x, y = abs(east), abs(north)
    flat = (x == 0) & (y == 0)
    turned = x > y
    from_axis = _arctan((y if turned else x) / (1.0 if flat else (x if turned else y))) * (180 / math.pi)
    from_north = 90 - from_axis if turned else from_axis  # of the line, were it to point into the first quarter
    from_north = 180 - from_north if north > 0 else from_north
    degrees = np.float32(360 - from_north if (east > 0) & (from_north > 0) else from_north)
    degrees = np.float32(0) if degrees == 360 else degrees  # a hair below 360 is rounded up to it
    return np.float32(FLAT) if flat else degrees


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _arctan(x: float) -> float:  # pragma: no cover (compiled)
    """Arc tangent of x ≥ 0, to some 1e-16, without a branch, so that a loop of it becomes vector instructions.

    Three ranges are brought onto |t| ≤ 0.42; the series there is the rational one of S. L. Moshier's Cephes (atan.c).
    """
    far, middle = x > 2.414213562373095, x > 0.4142135623730950
    start = math.pi / 2 if far else (math.pi / 4 if middle else 0.0)
    t = (-1.0 if far else (x - 1 if middle else x)) / (x if far else (x + 1 if middle else 1.0))
    z = t * t
    p = -8.750608600031904122785e-1
    p = p * z - 1.615753718733365076637e1
    p = p * z - 7.500855792314704667340e1
    p = p * z - 1.228866684490136173410e2
    p = p * z - 6.485021904942025371773e1
    q = z + 2.485846490142306297962e1
    q = q * z + 1.650270098316988542046e2
    q = q * z + 4.328810604912902668951e2
    q = q * z + 4.853903996359136964868e2
    q = q * z + 1.945506571482613964425e2
    return start + (t + t * z * p / q)


def complete(dem: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Cells whose 3 × 3 window is known throughout: [h + 2, w + 2] to [h, w]."""
    known = ~np.isnan(dem)
    rows = known[:, :-2] & known[:, 1:-1] & known[:, 2:]
    return rows[:-2] & rows[1:-1] & rows[2:]
