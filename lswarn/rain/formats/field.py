"""What a file must prove whatever its layout, and the field that is made of it. Pure.

A decoder says where a file's cells lie (two axes, as the file holds them), `cut` says which of them a box needs, the
decoder reads those and no others, and `rain_field` proves what came and turns it the right way up.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from lswarn.errors import GridMismatch, LswarnError
from lswarn.rain.formats.part import Bounds, corrupt

MARGIN_DEG = 1.0
MARGIN_CELLS = 2
"""Rain kept around a region, whichever is more: it is interpolated up to the region's edge, and regridded."""

MOST_MM = 5000.0
"""More in a day is a fill value or another unit: the most ever gauged is 1,825 mm (Foc-Foc, La Réunion, 1966)."""

NOISE_MM = 0.5
"""So far below zero a value is nothing: packing rounds, and the difference of two rounded totals does so twice."""

DECIMALS = 4
"""Of cell centres in degrees: float32 in the files, and one centre must be one number in all of them."""

MOST_CELLS = 60_000
"""Along an axis; a longer one is a damaged header (0.006° around the globe)."""

LAND_AND_SEA = (
    ((50.25, 100.25), (-50.25, 100.25)),
    ((45.25, 135.25), (45.25, -44.75)),
    ((45.25, 44.75), (45.25, -44.75)),
)
"""Places (lat, lon) that are land, each with the sea that stands in its place where a file is upside down, half a turn
around the globe off, or mirrored."""

DAMAGE: tuple[type[Exception], ...] = (
    *(
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
        AssertionError,
    ),
    *(MemoryError, struct.error, zlib.error),
)
"""What the readers of damaged bytes are known to raise, h5py and xarray by far the most kinds (found by fuzzing)."""


@contextmanager
def reading(uri: str, what: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Whatever a library raises over damaged bytes is one error, which names the file.

    Args:
        what: the file should be, such as `HDF5`.
        also: further exceptions of that library.

    Raises:
        CorruptGranule: a library gave up.
    """
    try:
        yield
    except LswarnError:
        raise
    except (*DAMAGE, *also) as error:
        raise corrupt(uri, f"damaged or cut short: not readable as {what} ({error or type(error).__name__})") from error


@dataclass(frozen=True)
class Axis:
    """Evenly spaced cell centres as a file holds them.

    Attributes:
        first: centre of the first cell, degrees.
        step: to the next one; below zero where the file goes from north to south.
        cells: how many.
    """

    first: float
    step: float
    cells: int


def axis(centres: ArrayLike, name: str) -> Axis:
    """The axis of these centres, degrees.

    Raises:
        CorruptGranule: they are not evenly spaced, not one-dimensional, or not finite.
    """
    values = np.asarray(centres, float)
    if values.ndim != 1 or not 2 <= len(values) <= MOST_CELLS or not np.isfinite(values).all():
        raise corrupt(name, f"its {values.shape} cell centres are no axis")
    first, last = round(float(values[0]), DECIMALS), round(float(values[-1]), DECIMALS)
    step = (last - first) / (len(values) - 1)
    if abs(step) < 1e-4 or abs(values - (first + step * np.arange(len(values)))).max() > 0.02 * abs(step):
        raise corrupt(name, f"its cell centres from {first:g} to {last:g} are not evenly spaced")
    return Axis(first, step, len(values))


@dataclass(frozen=True)
class Cut:
    """The cells of a file that a box needs.

    Attributes:
        lat, lon: their centres, ascending, degrees; `lon` in the box's own turn around the globe.
        rows, cols: where they lie in the file; the pieces of `cols` lie side by side from west to east.
        southward: the file's rows go from north to south.
        own: the rows and columns of the cut that the box itself touches, without the margin.
        bounds: the box; None for all there is.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    rows: slice
    cols: tuple[slice, ...]
    southward: bool
    own: tuple[slice, slice]
    bounds: Bounds | None


def cut(lat: Axis, lon: Axis, bounds: Bounds | None, name: str) -> Cut:
    """Find the cells that a box touches, and a margin around them as far as the file goes.

    A file that goes once around the globe has no edge in longitude: the box may lie across its seam (0° in files of
    0..360), and the margin reaches beyond ±180 where the box does nearly.

    Raises:
        CorruptGranule: the axes are of no globe.
        GridMismatch: the box reaches beyond the file's cells.
    """
    south = lat if lat.step > 0 else Axis(lat.first + lat.step * (lat.cells - 1), -lat.step, lat.cells)
    if max(abs(south.first), abs(south.first + south.step * (south.cells - 1))) > 90 + 1e-3:
        raise corrupt(
            name,
            f"its latitudes reach from {south.first:g} by {south.cells} steps of {south.step:g}: is it turned?",
        )
    lon = _one_turn(lon, name)
    circular = abs(lon.cells * lon.step - 360) < 0.02 * lon.step
    if bounds is None:
        rows, own_rows = range(south.cells), slice(None)
        start = math.ceil((-180 - lon.first) / lon.step - 0.02) if circular else 0
        cols, own_cols, turn = range(start, start + lon.cells), slice(None), 0.0
        if not circular:
            turn = 360.0 * math.floor((lon.first + lon.step * (lon.cells - 1) / 2 + 180) / 360)
    else:
        box_west, box_south, box_east, box_north = bounds
        rows, own_rows = _near(south, box_south, box_north, f"{name}: lat", endless=False)
        turn = 0.0 if circular else _turn(lon, box_west, box_east)
        cols, own_cols = _near(lon, box_west + turn, box_east + turn, f"{name}: lon", endless=circular)
    in_file = slice(rows.start, rows.stop)
    if lat.step < 0:
        in_file = slice(lat.cells - rows.stop, lat.cells - rows.start)
    return Cut(
        np.round(south.first + south.step * np.array(rows), DECIMALS),
        np.round(lon.first + lon.step * np.array(cols) - turn, DECIMALS),
        in_file,
        _pieces(cols, lon.cells),
        lat.step < 0,
        (own_rows, own_cols),
        bounds,
    )


def gather(part: Cut, read: Callable[[slice, slice], NDArray]) -> NDArray:
    """The cells of a cut, [lat, lon] ascending, of a function that reads [rows, columns] as they lie in the file."""
    values = np.concatenate([read(part.rows, cols) for cols in part.cols], axis=1)
    if values.shape != (len(part.lat), len(part.lon)):
        raise ValueError(f"{values.shape} cells came, not {(len(part.lat), len(part.lon))}")
    return values[::-1] if part.southward else values


def rain_field(part: Cut, mm: NDArray, name: str) -> xr.DataArray:
    """The day's rain, proved.

    Args:
        part: where the cells lie.
        mm: [lat, lon] ascending, mm/day, NaN where the file says the value is missing.

    Returns:
        `precipitation`, mm/day, float32, (lat, lon) ascending, NaN = unknown; what rounding took below zero is zero.

    Raises:
        CorruptGranule: a value that cannot be rain, or all of the box is missing.
    """
    values = np.array(mm, np.float32)
    if np.isnan(values[part.own]).all():
        raise corrupt(name, f"every cell of {part.bounds or 'it'} is missing")
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    if most > MOST_MM:
        raise corrupt(name, f"holds {most:g} mm in a day, more than can fall ({MOST_MM:g})")
    if least < -NOISE_MM:
        raise corrupt(name, f"holds {least:g} mm in a day, less than none")
    np.maximum(values, 0, out=values)  # NaN stays NaN
    attrs = {"units": "mm/day", "long_name": "rain of one UTC day"}
    return xr.DataArray(values, {"lat": part.lat, "lon": part.lon}, ("lat", "lon"), "precipitation", attrs)


def require_land(lat: Axis, lon: Axis, known: Callable[[int, int], bool], name: str) -> None:
    """Prove the orientation of a product that knows no rain at sea.

    Args:
        known: whether the file has a value at a row and column as they lie in it.

    Raises:
        CorruptGranule: a place on land is missing, and the sea that would be there in a turned file is known.
    """
    for land, sea in LAND_AND_SEA:
        cells = [_cell(lat, lon, place) for place in (land, sea)]
        if None in cells:
            continue
        on_land, at_sea = (known(*cell) for cell in cells if cell is not None)
        if at_sea and not on_land:
            raise corrupt(
                name,
                f"is turned: rain is known at sea ({sea[0]:g}, {sea[1]:g}), missing on land ({land[0]:g}, {land[1]:g})",
            )


def _cell(lat: Axis, lon: Axis, place: tuple[float, float]) -> tuple[int, int] | None:
    row = round((place[0] - lat.first) / lat.step)
    col = round(((place[1] - lon.first) % 360) / lon.step)
    return (row, col) if 0 <= row < lat.cells and 0 <= col < lon.cells else None


def _one_turn(lon: Axis, name: str) -> Axis:
    """A file that holds the first meridian again as its last column loses it."""
    if lon.step < 0:
        raise corrupt(name, "its longitudes go from east to west")
    if abs((lon.cells - 1) * lon.step - 360) < 0.02 * lon.step:
        lon = Axis(lon.first, lon.step, lon.cells - 1)
    if lon.cells * lon.step > 360 * 1.0001 or not -361 < lon.first < 361:
        raise corrupt(name, f"its longitudes reach from {lon.first:g} by {lon.cells} steps of {lon.step:g}")
    return lon


def _turn(lon: Axis, west: float, east: float) -> float:
    """By how many degrees a box moves into the longitudes of a file that does not go around the globe."""
    edge, end = lon.first - lon.step / 2, lon.first + lon.step * (lon.cells - 0.5)
    return next(
        (turn for turn in (0.0, 360.0, -360.0) if edge - 1e-6 <= west + turn and east + turn <= end + 1e-6), 0.0
    )


def _near(cells: Axis, low: float, high: float, name: str, *, endless: bool) -> tuple[range, slice]:
    """The cells that a range touches with the margin, and which of them it touches itself."""
    edge, rounding = cells.first - cells.step / 2, 1e-6
    first, end = math.floor((low - edge) / cells.step + rounding), math.ceil((high - edge) / cells.step - rounding)
    if not endless and (first < 0 or end > cells.cells):
        raise GridMismatch(
            f"{name} runs from {edge:g} to {edge + cells.step * cells.cells:g} and does not cover {low:g} to {high:g}; "
            "use files that cover the whole region, or make its bbox smaller"
        )
    margin = max(MARGIN_CELLS, math.ceil(MARGIN_DEG / cells.step - rounding))
    if endless:
        margin = max(0, min(margin, (cells.cells - (end - first)) // 2))
        near = range(first - margin, max(end, min(end + margin, first - margin + cells.cells)))
    else:
        near = range(max(first - margin, 0), min(end + margin, cells.cells))
    return near, slice(first - near.start, end - near.start)


def _pieces(cols: range, cells: int) -> tuple[slice, ...]:
    """Columns that may run over the file's last one, as slices of the file."""
    pieces, at = [], cols.start
    while at < cols.stop:
        begin = at % cells
        length = min(cells - begin, cols.stop - at)
        pieces.append(slice(begin, begin + length))
        at += length
    return tuple(pieces)
