"""Days of rain as netCDF of either kind: ERA5-Land, and products whose layout region.toml declares.

Latitudes may run either way: which way is what the coordinates say.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.rain.formats.field import MOST_CELLS, Axis, Cut, axis, cut, gather, rain_field, reading, require_land
from lswarn.rain.formats.part import Bounds, Part, corrupt, require_kind
from lswarn.rain.formats.units import canonical, to_mm

_AXES = {"lat": ("lat", "latitude", "y"), "lon": ("lon", "longitude", "x"), "time": ("time", "valid_time")}
MOST_TIMES = 2_000_000
ERA5_LAND_STEP = 0.1


@dataclass(frozen=True)
class Variable:
    """A variable of an open file, proved but for its values.

    Attributes:
        field: as it stands in the file, neither masked nor scaled.
        axes: what each of its dimensions is: lat, lon, time, or empty (of length 1).
        lat, lon: its cells.
        times: aware instants of its time axis; None where it has none.
        unit: its own spelling; empty where it has none.
        name: what errors call it.
    """

    field: xr.DataArray
    axes: tuple[str, ...]
    lat: Axis
    lon: Axis
    times: tuple[datetime, ...] | None
    unit: str
    name: str

    def read(self, part: Cut, time: int = 0, missing: Sequence[float] = ()) -> NDArray[np.float64]:
        """The cells of a cut at one time, in the file's unit, [lat, lon] ascending, NaN where missing.

        Args:
            missing: further values that mean missing, besides what the file says.
        """
        return gather(part, lambda rows, cols: self.piece(rows, cols, time, missing))

    def piece(self, rows: slice, cols: slice, time: int, missing: Sequence[float] = ()) -> NDArray[np.float64]:
        """Rows and columns as they lie in the file."""
        index = {"lat": rows, "lon": cols, "time": time, "": 0}
        raw = self.field.isel({dim: index[what] for dim, what in zip(self.field.dims, self.axes, strict=True)}).values
        raw = raw.T if self.axes.index("lon") < self.axes.index("lat") else raw
        attrs = self.field.attrs
        fills = [float(value) for key in ("_FillValue", "missing_value") for value in np.ravel(attrs.get(key, ()))]
        unknown = np.isin(raw, np.array(fills, raw.dtype)) if fills else np.zeros(raw.shape, bool)
        values = raw * float(attrs.get("scale_factor", 1)) + float(attrs.get("add_offset", 0))
        for value in missing:
            unknown |= np.isclose(values, value, rtol=1e-6)
        return np.where(unknown, np.nan, values)


def decode_era5_land(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from ERA5-Land: `tp`, metres since 00 UTC, of which day D is what stands at 00 UTC of D + 1.

    Land that is known and sea that is not prove which way up it is. As `products.Decode`.
    """
    (part,) = parts
    end_at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    with open_variable(part, "tp") as rain:
        if canonical(rain.unit) != "m":
            raise corrupt(part.uri, f"tp is in {rain.unit or 'no unit'}, not in m")
        if abs(abs(rain.lat.step) - ERA5_LAND_STEP) > 1e-3:
            raise corrupt(
                part.uri, f"has cells of {abs(rain.lat.step):g}°: not ERA5-Land, and ERA5 does not accumulate"
            )
        if rain.times is None or rain.times.count(end_at) != 1:
            held = f"{min(rain.times)} to {max(rain.times)}" if rain.times else "no time"
            raise corrupt(part.uri, f"holds {held}, and not {end_at}, at which the rain of {day} stands once")
        time = rain.times.index(end_at)

        def known(row: int, col: int) -> bool:
            return not np.isnan(rain.piece(slice(row, row + 1), slice(col, col + 1), time)).any()

        require_land(rain.lat, rain.lon, known, part.uri)
        cells = cut(rain.lat, rain.lon, bounds, part.uri)
        return rain_field(cells, to_mm(rain.read(cells, time), "m"), part.uri)


def era5_land_days(part: Part) -> list[date]:
    """The days of which a file of ERA5-Land holds the rain, oldest first."""
    with open_variable(part, "tp") as rain:
        midnights = sorted(each for each in set(rain.times or ()) if (each.hour, each.minute, each.second) == (0, 0, 0))
        return [each.date() - timedelta(days=1) for each in midnights]


@contextmanager
def open_variable(part: Part, name: str) -> Iterator[Variable]:
    """Open one variable of a file; what a library raises inside the block is translated, too.

    Raises:
        CorruptGranule: not netCDF, damaged, without that variable, or it has other dimensions than latitude, longitude
            and perhaps time.
    """
    engine = "h5netcdf" if require_kind(part, "HDF5", "netCDF-3") == "HDF5" else "scipy"
    opened = partial(xr.open_dataset, part.path, engine=engine, decode_cf=False, cache=False)
    with reading(part.uri, "netCDF"), opened() as dataset:
        if name not in dataset.data_vars:
            there = ", ".join(str(each) for each in dataset.data_vars) or "none"
            raise corrupt(part.uri, f"has no variable {name}, only {there}")
        yield _variable(dataset, name, part.uri)


def _variable(dataset: xr.Dataset, name: str, uri: str) -> Variable:
    field = dataset[name]
    dims = {what: [dim for dim in field.dims if str(dim).lower() in names] for what, names in _AXES.items()}
    what_of = {dim: what for what, found in dims.items() for dim in found}
    others = [dim for dim in field.dims if dim not in what_of and field.sizes[dim] != 1]
    if (
        [len(dims[what]) for what in ("lat", "lon")] != [1, 1]
        or len(dims["time"]) > 1
        or others
        or field.dtype.kind not in "fiu"
    ):
        sizes = ", ".join(f"{size} {dim}" for dim, size in field.sizes.items())
        raise corrupt(uri, f"{name} has dimensions {sizes} ({field.dtype}), not latitude, longitude and time")
    if any(field.sizes[dims[what][0]] > MOST_CELLS for what in ("lat", "lon")):
        raise corrupt(uri, f"{name} has {dict(field.sizes)} cells")
    for dim in what_of:
        if dim not in dataset.variables:
            raise corrupt(uri, f"has no coordinates of {name}'s dimension {dim}")
    lat, lon = (axis(dataset[dims[what][0]].values, f"{uri}: {dims[what][0]}") for what in ("lat", "lon"))
    times = None
    if dims["time"]:
        stamps = dataset[dims["time"][0]]
        if stamps.size > MOST_TIMES:
            raise corrupt(uri, f"has {stamps.size:,} times")
        times = _instants(stamps)
    axes = tuple(what_of.get(dim, "") for dim in field.dims)
    return Variable(field, axes, lat, lon, times, str(field.attrs.get("units", "")).strip(), uri)


def _instants(stamps: xr.DataArray) -> tuple[datetime, ...]:
    calendar = str(stamps.attrs.get("calendar", "standard"))
    found: Any = cftime.num2date(stamps.values, str(stamps.attrs["units"]), calendar)
    return tuple(
        datetime(each.year, each.month, each.day, each.hour, each.minute, each.second, tzinfo=UTC)
        for each in np.ravel(found)
    )
