"""IMERG as HDF5 and netCDF-4: a day's total, or half-hourly mean rates, 48 of which are a day.

A file's axes are told by their names, never by their order: of attached dimension scales or, where there are none
(files of PPS before V06), of the attribute DimensionNames. Dimensions whose lengths do not fit the coordinates they
name are refused, and so are latitudes that descend: no IMERG file has them, so whoever turned the axis may not have
turned the rain. Whether the rain itself runs against coordinates that are right nothing in a file can tell: unlike the
products that know land alone, IMERG knows rain at sea.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import cftime
import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.rain.formats.field import Axis, Cut, axis, cut, gather, rain_field, reading
from lswarn.rain.formats.part import Bounds, Part, corrupt, require_kind
from lswarn.rain.formats.units import canonical

VARIABLES = ("precipitation", "precipitationCal")
"""The calibrated rain as V07 and as earlier versions name it."""

GROUPS = ("/", "Grid")
HALF_HOURS = 48
HOURS_EACH = 0.5
MOST_CHUNK_BYTES = 1 << 28  # a longer chunk is a damaged header, and HDF5 would ask for the memory

START = re.compile(r"3IMERG\.(\d{8})-S(\d{6})-")


@dataclass(frozen=True)
class Granule:
    """What an open file holds, proved but for its values.

    Attributes:
        field: the variable.
        axes: names of its dimensions, in the file's order.
        lat, lon: its cells.
        start_at: aware instant at which what it holds began, or, where only a time axis says it, one within it.
        unit: of the values, as `units.MM_PER` names it.
        name: what errors call it.
    """

    field: h5py.Dataset
    axes: tuple[str, ...]
    lat: Axis
    lon: Axis
    start_at: datetime
    unit: str
    name: str

    def read(self, part: Cut) -> NDArray[np.float32]:
        """The cells of a cut in the file's unit, [lat, lon] ascending; NaN where the file holds a fill."""
        fill = np.ravel(self.field.attrs.get("_FillValue", np.nan))[0]

        def piece(rows: slice, cols: slice) -> NDArray:
            index = {"time": 0, "lat": rows, "lon": cols}
            values = np.asarray(self.field[tuple(index[name] for name in self.axes)], np.float32)
            return values.T if self.axes.index("lon") < self.axes.index("lat") else values

        values = gather(part, piece)
        return np.where((values < 0) | (values == fill), np.float32(np.nan), values)


def decode_day(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from one daily granule of any version, flat or under /Grid. As `products.Decode`."""
    (part,) = parts
    with open_granule(part) as granule:
        if granule.unit != "mm":
            raise corrupt(part.uri, f"its rain is in {granule.unit}, not in mm")
        if granule.start_at.date() != day:
            raise corrupt(part.uri, f"holds {granule.start_at:%Y-%m-%d}, not {day}")
        cells = cut(granule.lat, granule.lon, bounds, part.uri)
        return rain_field(cells, granule.read(cells), part.uri)


def decode_half_hours(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from its 48 half-hourly granules: the sum of mean rates × 0.5 h. As `products.Decode`.

    A cell that one of the 48 does not know is unknown, never a smaller sum.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    starts = {named_start(part): part for part in parts}
    if set(starts) != {midnight + timedelta(hours=HOURS_EACH * n) for n in range(HALF_HOURS)} or len(parts) != len(
        starts
    ):
        raise corrupt(
            parts[0].uri, f"with {len(parts) - 1} others: not the {HALF_HOURS} half hours of {day}, each once"
        )
    halves = (_read_half(part, start_at, bounds) for start_at, part in sorted(starts.items()))
    first, rate = next(halves)
    total = rate * HOURS_EACH
    for cells, rate in halves:
        if not (np.array_equal(cells.lat, first.lat) and np.array_equal(cells.lon, first.lon)):
            raise corrupt(parts[0].uri, "lies on another grid than other half hours of its day")
        total += rate * HOURS_EACH
    return rain_field(first, total, parts[0].uri)


def decode_half_hour(part: Part, bounds: Bounds | None) -> xr.DataArray:
    """Rain of the half hour that one granule's name says, mm, else as `decode_day` gives a day's; for people."""
    cells, rate = _read_half(part, named_start(part), bounds)
    return rain_field(cells, rate * HOURS_EACH, part.uri)


def named_start(part: Part) -> datetime:
    """Aware instant at which a granule begins, as its name says it.

    Raises:
        CorruptGranule: the name says none.
    """
    if (found := START.search(part.name)) is not None:
        try:
            return datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            pass
    raise corrupt(part.uri, "its name says no start (…3IMERG.20260131-S000000-E002959…)")


@contextmanager
def open_granule(part: Part) -> Iterator[Granule]:
    """Open a granule and prove its schema; what a library raises inside the block is translated, too.

    Raises:
        CorruptGranule: not HDF5, damaged, or of another schema; says what was found.
    """
    require_kind(part, "HDF5")
    with reading(part.uri, "HDF5"), h5py.File(part.path, "r") as file:
        yield _granule(file, part)


def _read_half(part: Part, start_at: datetime, bounds: Bounds | None) -> tuple[Cut, NDArray[np.float64]]:
    """The cells of a half hour and its mean rate, mm/h."""
    with open_granule(part) as granule:
        if granule.unit != "mm/h":
            raise corrupt(part.uri, f"its rain is in {granule.unit}, not in mm/h")
        if not timedelta(0) <= granule.start_at - start_at < timedelta(hours=HOURS_EACH):
            raise corrupt(part.uri, f"begins {granule.start_at:%Y-%m-%d %H:%M:%S}, not {start_at:%Y-%m-%d %H:%M:%S}")
        cells = cut(granule.lat, granule.lon, bounds, part.uri)
        return cells, granule.read(cells).astype(np.float64)


def _granule(file: h5py.File, part: Part) -> Granule:
    home, variable, field = _rain(file, part)
    axes = _axes(field)
    coordinates = {name: home.get(name) for name in axes}
    shapes = {name: each.shape for name, each in coordinates.items() if isinstance(each, h5py.Dataset)}
    one_time = shapes.get("time", (1,)) == (1,)
    if sorted({*axes, "time"}) != ["lat", "lon", "time"] or not one_time or len(shapes) != len(field.shape):
        raise corrupt(part.uri, f"{variable} has dimensions {', '.join(axes)} {field.shape}, not one time, lon and lat")
    if [shapes[name] for name in axes] != [(cells,) for cells in field.shape]:
        held = " x ".join(f"{cells} {name}" for name, cells in zip(axes, field.shape, strict=True))
        said = ", ".join(f"{shape[0]} {name}" for name, shape in shapes.items())
        raise corrupt(part.uri, f"{variable} is {held}, its coordinates are {said}: its dimensions are swapped")
    if field.dtype.kind != "f" or "scale_factor" in field.attrs or "add_offset" in field.attrs:
        raise corrupt(part.uri, f"{variable} is packed ({field.dtype}), which IMERG is not")
    if np.prod(field.chunks or (1,), dtype=float) * field.dtype.itemsize > MOST_CHUNK_BYTES:
        raise corrupt(part.uri, f"{variable} lies in chunks of {field.chunks} cells")
    said = text(field, "units") or text(field, "Units")
    if (unit := canonical(said)) is None:
        raise corrupt(part.uri, f"{variable} is in {said or 'no unit'}, not in mm or mm/h")
    lat, lon = (axis(home[name][:], f"{part.uri}: {name}") for name in ("lat", "lon"))
    if lat.step < 0 or (origin := _header(home, "GridHeader").get("Origin", "SOUTHWEST")) != "SOUTHWEST":
        raise corrupt(
            part.uri, f"lat goes from {lat.first:g} southward or starts {origin if lat.step > 0 else 'north'}"
        )
    return Granule(field, axes, lat, lon, _start_at(file, home, part.uri), unit, part.uri)


def _rain(file: h5py.File, part: Part) -> tuple[h5py.Group, str, h5py.Dataset]:
    """The variable and the group it stands in; other programs leave groups of any name behind, even of this one."""
    there = []
    for group in GROUPS:
        home = file.get(group)
        if isinstance(home, h5py.Group):
            for variable in VARIABLES:
                if isinstance(field := home.get(variable), h5py.Dataset):
                    return home, variable, field
            there += [f"{group.strip('/')}/{name}".lstrip("/") for name in home]
    raise corrupt(part.uri, f"has no variable {' or '.join(VARIABLES)}, only {', '.join(there) or 'none'}")


def _axes(field: h5py.Dataset) -> tuple[str, ...]:
    names = [str(scales[0].name).rpartition("/")[2] if len(scales) else "?" for scales in field.dims]
    if "?" in names and (said := text(field, "DimensionNames")):
        names = [name.strip() for name in said.split(",")]
    return tuple(names)


def _start_at(file: h5py.File, home: h5py.Group, name: str) -> datetime:
    """When the file begins, as its header or its time axis says it; where both do, they must agree on the day.

    The time axis may name the begin or the middle of what the file holds: versions differ.
    """
    header, stamp = None, home.get("time")
    if start := _header(file, "FileHeader").get("StartGranuleDateTime"):
        header = datetime.fromisoformat(start).astimezone(UTC).replace(microsecond=0)
    elif begin := text(file, "BeginDate"):
        header = datetime.fromisoformat(f"{begin}T{text(file, 'BeginTime') or '00:00:00Z'}").astimezone(UTC)
    axis_at = _stamp(stamp) if isinstance(stamp, h5py.Dataset) else header
    if axis_at is None:
        raise corrupt(name, "says no date, neither as time nor as FileHeader")
    if header is not None and header.date() != axis_at.date():
        raise corrupt(name, f"says two dates: time {axis_at:%Y-%m-%d %H:%M:%S}, header {header:%Y-%m-%d %H:%M:%S}")
    return header or axis_at


def _stamp(time: h5py.Dataset) -> datetime:
    """The calendar is julian, which numpy's dates are not: cftime reads it as it is meant."""
    stamp = cftime.num2date(float(time[0]), text(time, "units"), text(time, "calendar") or "standard")
    return datetime(stamp.year, stamp.month, stamp.day, stamp.hour, stamp.minute, stamp.second, tzinfo=UTC)


def _header(holder: h5py.Group, attribute: str) -> dict[str, str]:
    """An attribute in PPS's own language: `Key=value;` line by line."""
    pairs = (line.strip().rstrip(";").partition("=") for line in text(holder, attribute).splitlines())
    return {key: value.rstrip(";") for key, _, value in pairs if key}


def text(holder: Any, attribute: str) -> str:
    """An attribute as text, empty where there is none; of a one-element array its element."""
    value = holder.attrs.get(attribute, "")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
