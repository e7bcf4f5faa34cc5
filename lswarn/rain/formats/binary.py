"""Days of rain as bare floats: GSMaP and the CPC Unified gauge analysis.

Such a file says nothing of itself: its grid is known, its size is exact, and its bytes must make sense as floats.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.rain.formats.field import Axis, Cut, cut, gather, rain_field, require_land
from lswarn.rain.formats.part import Bounds, Part, corrupt, read_whole
from lswarn.rain.formats.units import to_mm

GSMAP_LAT, GSMAP_LON = Axis(59.95, -0.1, 1200), Axis(0.05, 0.1, 3600)
CPC_LAT, CPC_LON = Axis(-89.75, 0.5, 360), Axis(0.25, 0.5, 720)
FLOAT_BYTES = 4
GSMAP_BYTES = GSMAP_LAT.cells * GSMAP_LON.cells * FLOAT_BYTES
CPC_BYTES = 2 * CPC_LAT.cells * CPC_LON.cells * FLOAT_BYTES
LEAST_RATE = 1e-12
"""Less that is not zero is no rain but the bytes of a float the wrong way round."""


def decode_gsmap(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from GSMaP: mean rate, mm/h; north first, 0..360°; below zero missing. As `products.Decode`."""
    (part,) = parts
    _require_day(part, day)
    return read_gsmap(part, bounds)


def read_gsmap(part: Part, bounds: Bounds | None) -> xr.DataArray:
    """As `decode_gsmap`, of whatever day."""
    raw = np.frombuffer(read_whole(part, GSMAP_BYTES), "<f4").reshape(GSMAP_LAT.cells, GSMAP_LON.cells)
    cells = cut(GSMAP_LAT, GSMAP_LON, bounds, part.uri)
    return rain_field(cells, to_mm(_known(raw, cells, part.uri), "mm/h"), part.uri)


def decode_cpc(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from CPC: a record of 0.1 mm, south first, and one of gauge counts. As `products.Decode`.

    Land that is known and sea that is not prove which way up it is.
    """
    (part,) = parts
    _require_day(part, day)
    return read_cpc(part, bounds)


def read_cpc(part: Part, bounds: Bounds | None) -> xr.DataArray:
    """As `decode_cpc`, of whatever day."""
    raw = np.frombuffer(read_whole(part, CPC_BYTES), "<f4").reshape(2, CPC_LAT.cells, CPC_LON.cells)[0]
    require_land(CPC_LAT, CPC_LON, lambda row, col: bool(raw[row, col] >= 0), part.uri)
    cells = cut(CPC_LAT, CPC_LON, bounds, part.uri)
    return rain_field(cells, to_mm(_known(raw, cells, part.uri), "0.1 mm"), part.uri)


def _known(raw: NDArray, cells: Cut, name: str) -> NDArray[np.float32]:
    """The cells of a cut, NaN where they are missing."""
    values = gather(cells, lambda rows, cols: raw[rows, cols])
    if ((values > 0) & (values < LEAST_RATE)).any():
        raise corrupt(name, "does not hold little-endian floats")
    return np.where(values < 0, np.float32(np.nan), values)


def _require_day(part: Part, day: date) -> None:
    """The files hold no date but the one in their name."""
    if f".{day:%Y%m%d}." not in part.name:
        raise corrupt(part.uri, f"is not named for {day:%Y%m%d}")
