"""The rainfall products: what to ask for, when it is due, and how a granule is read. Pure.

IMERG daily granules (GPM_3IMERGDE, DL and DF) are netCDF-4 of one UTC day's total on a global 0.1° grid. The letter of
their version moves a few times a year (V07B became V07C in March 2026), so it is read from the names that are there
and never built into one.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import BinaryIO

import cftime
import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import CorruptGranule, GridMismatch, NotYetPublished, RegionError
from lswarn.region import RainSource

VARIABLES = ("precipitation", "precipitationCal")
"""The day's total as V07 and as V06 name it."""

UNITS = ("mm", "mm/day", "mm day-1")

MARGIN_CELLS = 2
"""Rain kept around a region, so that it can be interpolated up to the region's edge."""

MOST_MM = 5000.0
"""More in a day is a fill value or another unit: the most ever gauged is 1,825 mm (Foc-Foc, La Réunion, 1966)."""

DECIMALS = 4
"""Of cell centres in degrees: float32 in the files, and one centre must be one number in all of them."""


@dataclass(frozen=True)
class Product:
    """One run of IMERG.

    Attributes:
        name: as region.toml says it.
        run: the letter in file names; a Final file has none.
        late: made of (nearly) all satellite passes, unlike the early run.
    """

    name: str
    run: str
    late: bool


PRODUCTS = {
    product.name: product
    for product in (
        Product("IMERG-Early", "-E", late=False),
        Product("IMERG-Late", "-L", late=True),
        Product("IMERG-Final", "", late=True),
    )
}


@dataclass(frozen=True)
class Granule:
    """What the name of a daily file says."""

    name: str
    product: Product
    day: date
    version: str


_NAME = re.compile(r"3B-DAY(-[EL])?\.MS\.MRG\.3IMERG\.(\d{8})-S000000-E235959\.(V\d{2}[A-Z]?)\.(nc|nc4|nc4\.nc4|RT-NC)")


def find_product(name: str) -> Product:
    """The product that region.toml names.

    Raises:
        RegionError: there is none of that name.
    """
    if name not in PRODUCTS:
        raise RegionError(f"rain.sources: product {name!r} is unknown; use one of {', '.join(PRODUCTS)}")
    return PRODUCTS[name]


def granule_folder(source: RainSource, day: date) -> str:
    """Folder path or http(s) address where a day's granule lies.

    Raises:
        RegionError: `at` has a placeholder other than {year}, {month}, {day}, {doy}, or a scheme other than http(s).
    """
    try:
        folder = source.at.format(year=f"{day:%Y}", month=f"{day:%m}", day=f"{day:%d}", doy=f"{day:%j}")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise RegionError(
            f"rain.sources: at = {source.at!r} cannot be filled in ({error}); use {{year}} {{month}} {{day}} {{doy}}"
        ) from error
    if "://" in folder and not folder.startswith(("http://", "https://")):
        raise RegionError(f"rain.sources: at = {source.at!r} is neither a folder nor an http(s) address")
    return folder


def due_at(source: RainSource, day: date) -> datetime:
    """Instant by which a day's granule should be out: the end of its UTC day and the source's latency."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) + timedelta(hours=source.latency_h)


def parse_granule(name: str) -> Granule:
    """Read the name of an IMERG daily file.

    Raises:
        CorruptGranule: it is not such a name.
    """
    if (found := _NAME.fullmatch(name)) is None:
        raise CorruptGranule(
            f"{name}: not the name of an IMERG daily file (3B-DAY-L.MS.MRG.3IMERG.20260131-….V07C.nc4)"
        )
    run, day, version, _ = found.groups(default="")
    product = next(product for product in PRODUCTS.values() if product.run == run)
    return Granule(name, product, datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date(), version)


def version_rank(version: str) -> tuple[int, str]:
    """Sort key of versions: V06 < V07A < V07C < V10A."""
    return int(version[1:3]), version[3:]


def newest_granule(names: Iterable[str], product: Product, day: date) -> Granule:
    """The newest version of a product's day among the names in a folder; all other names are passed over.

    Raises:
        NotYetPublished: none of them is it.
    """
    listed = set(names)
    there = (parse_granule(name) for name in listed if _NAME.fullmatch(name))
    found = [granule for granule in there if (granule.product, granule.day) == (product, day)]
    if not found:
        alike = sorted(name for name in listed if f"3IMERG.{day:%Y%m%d}-" in name)
        raise NotYetPublished(f"no {product.name} of {day} (there of that day: {', '.join(alike) or 'nothing'})")
    return max(found, key=lambda granule: (version_rank(granule.version), granule.name))


def decode_imerg_daily(
    file: BinaryIO, day: date, bbox: tuple[float, float, float, float] | None, *, name: str
) -> xr.DataArray:
    """Rain of one day over a box and `MARGIN_CELLS` around it; no more of the file is read.

    Args:
        file: netCDF-4, V06 (`precipitationCal`) or V07 (`precipitation`), dimensions time, lon, lat in any order.
        day: the UTC day it must hold.
        bbox: west, south, east, north, degrees; None for all that the file covers.
        name: what errors call it.

    Returns:
        `precipitation`, mm/day, float32, dimensions (lat, lon) ascending, cell centres in degrees. NaN where the file
        holds a fill (anything below 0) or NaN.

    Raises:
        CorruptGranule: not netCDF-4, damaged, or of another day, schema, unit or grid; or all of the box is missing.
        GridMismatch: the box reaches beyond the file's grid.
    """
    try:
        with h5py.File(file, "r") as granule:
            return _decode(granule, day, bbox, name)
    except (OSError, KeyError, ValueError, RuntimeError, OverflowError) as error:  # it depends on the damaged bytes
        raise _corrupt(name, f"not a readable netCDF-4 file ({error})") from error


def _decode(granule: h5py.File, day: date, bbox: tuple[float, float, float, float] | None, name: str) -> xr.DataArray:
    found = next((variable for variable in VARIABLES if variable in granule), None)
    if found is None:
        raise _corrupt(name, f"has no variable {' or '.join(VARIABLES)}, only {', '.join(granule) or 'none'}")
    field = granule[found]
    axes = [str(dimension[0].name).removeprefix("/") if len(dimension) else "?" for dimension in field.dims]
    if sorted(axes) != ["lat", "lon", "time"] or len(granule["time"]) != 1:
        raise _corrupt(name, f"{found} has dimensions {', '.join(axes)} {field.shape}, not one time, lon and lat")
    if (unit := _text(field, "units")) not in UNITS:
        raise _corrupt(name, f"{found} is in {unit or 'no unit'}, not in {' or '.join(UNITS)}")
    if "scale_factor" in field.attrs or "add_offset" in field.attrs:
        raise _corrupt(name, f"{found} is packed, which IMERG is not")
    if (held := _day_of(granule["time"])) != day:
        raise _corrupt(name, f"holds {held}, not {day}")

    lats, lons = (_centres(granule[axis], f"{name}: {axis}") for axis in ("lat", "lon"))
    rows, cols = slice(None), slice(None)
    if bbox is not None:
        west, south, east, north = bbox
        rows, cols = _near(lats, south, north, f"{name}: lat"), _near(lons, west, east, f"{name}: lon")
    part = {"time": 0, "lat": rows, "lon": cols}
    rain = np.asarray(field[tuple(part[axis] for axis in axes)], np.float32)
    if axes.index("lon") < axes.index("lat"):
        rain = rain.T
    rain = np.where((rain < 0) | (rain == field.attrs.get("_FillValue", np.nan)), np.float32(np.nan), rain)
    if np.isnan(rain).all():
        raise _corrupt(name, f"every cell of {bbox or 'it'} is missing")
    if (most := np.nanmax(rain)) > MOST_MM:
        raise _corrupt(name, f"holds {most:g} mm in a day, more than can fall ({MOST_MM:g})")
    attrs = {"units": "mm/day", "long_name": "rain of one UTC day"}
    return xr.DataArray(rain, {"lat": lats[rows], "lon": lons[cols]}, ("lat", "lon"), "precipitation", attrs)


def _corrupt(name: str, fault: str) -> CorruptGranule:
    return CorruptGranule(f"{name}: {fault}; fetch it again, and if that does not help ask its provider")


def _text(holder: h5py.Dataset, attribute: str) -> str:
    value = holder.attrs.get(attribute, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _day_of(time: h5py.Dataset) -> date:
    """The calendar is julian, which numpy's dates are not: cftime reads it as it is meant."""
    stamp = cftime.num2date(time[0], _text(time, "units"), _text(time, "calendar") or "standard")
    return date(stamp.year, stamp.month, stamp.day)


def _centres(axis: h5py.Dataset, name: str) -> NDArray[np.float64]:
    centres = np.asarray(axis, float)
    steps = np.diff(centres)
    if len(steps) == 0 or not steps[0] > 0 or not np.allclose(steps, steps[0], rtol=1e-2, atol=0):
        raise _corrupt(name, "not evenly spaced and ascending")
    return np.round(centres, DECIMALS)


def _near(centres: NDArray[np.float64], low: float, high: float, axis: str) -> slice:
    """The cells that a range touches, and the margin around them as far as the axis goes."""
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    edge, rounding = centres[0] - step / 2, 1e-6
    first, end = math.floor((low - edge) / step + rounding), math.ceil((high - edge) / step - rounding)
    if first < 0 or end > len(centres):
        raise GridMismatch(
            f"{axis} runs from {edge:g} to {centres[-1] + step / 2:g} and does not cover {low:g} to {high:g}; "
            "use granules that cover the whole region, or make its bbox smaller"
        )
    return slice(max(first - MARGIN_CELLS, 0), min(end + MARGIN_CELLS, len(centres)))
