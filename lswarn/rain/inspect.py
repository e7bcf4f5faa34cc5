"""What a file of rain on this disk is and holds, read and proved as a fetched one would be; for people (a door)."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import rasterio
import xarray as xr
from rasterio.errors import RasterioError

from lswarn.errors import AccessDenied, CorruptGranule, GridMismatch, SourceUnavailable
from lswarn.rain.formats.binary import CPC_BYTES, GSMAP_BYTES, read_cpc, read_gsmap
from lswarn.rain.formats.field import DAMAGE
from lswarn.rain.formats.geotiff import open_raster, read_chirps, read_pps
from lswarn.rain.formats.grib import read_totals, total_field
from lswarn.rain.formats.imerg import decode_day, decode_half_hour, named_start, open_granule
from lswarn.rain.formats.layout import decode_layout, file_date
from lswarn.rain.formats.netcdf import decode_era5_land, era5_land_days, open_variable
from lswarn.rain.formats.part import HEAD_BYTES, Part, first_words, kind
from lswarn.rain.products import PRODUCTS, Product
from lswarn.sections import RainSource

CENTRES = {"kwbc": "GFS", "ecmf": "ECMWF"}
_DATE = re.compile(r"(?=(\d{4})\.?(\d{2})\.?(\d{2}))")
_IMERG = re.compile(r"3B-(DAY|HHR)(-[EL])?\.MS\.MRG\.3IMERG\.(\d{8})-S\d{6}-E\d{6}\.(?:\d{4}\.)?(V\d{2}[A-Z]?)")
_GIS = re.compile(
    r"3B-HHR-([EL])\.MS\.MRG\.3IMERG\.(\d{8})-S\d{6}-E(\d{6})\.\d{4}\.(V\d{2}[A-Z]?)\.(\w+)\.(?:\w+\.)?tif"
)
_HOURS = {"30min": "0.5 h", "3hr": "3 h", "1day": "24 h"}


@dataclass(frozen=True)
class _Held:
    """What a file turned out to be: rain in mm over `period`, and its unit in the file."""

    product: str
    version: str
    day: date | None
    period: str
    unit: str
    rain: xr.DataArray
    more: Mapping[str, object] = field(default_factory=dict)


def describe(
    path: Path, *, at: tuple[float, float] | None = None, source: RainSource | None = None
) -> dict[str, object]:
    """What a file holds, whichever product's it is: told by its name and proved by its bytes, or by its bytes alone.

    A file of a day that has several (a half hour, a forecast step) is told by itself: mm of its own hours.

    Args:
        at: latitude and longitude of a point, degrees; its cell's value is told, too.
        source: of a declared layout, whose files say nothing of themselves.

    Returns:
        product, version, day (None where nothing says it), period, cells, lat, lon, unit (in the file), min, mean and
        max in mm, max_at, missing_share, of a point its cell and mm (None: missing), sha256; of a forecast file every
        total that stands in it.

    Raises:
        SourceUnavailable, AccessDenied: there is no such file, or it may not be read.
        CorruptGranule: it is damaged, or no file of a known product; says what it looks like.
        GridMismatch: the point lies outside.
    """
    part = Part(path.name, path, str(path))
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise AccessDenied(f"{path}: may not be read; give this user the right to") from error
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}; is the path right, and is it a file?") from error
    held = _declared(part, source) if source is not None and source.layout is not None else _recognise(part, kind(head))
    if held is None:
        raise CorruptGranule(f"{path}: no file of a known product: {_looks(part, head)}")
    values, lat, lon = held.rain.values, held.rain["lat"].values, held.rain["lon"].values
    row, col = np.unravel_index(np.nanargmax(values), values.shape)
    return {
        "product": held.product,
        "version": held.version,
        "day": held.day,
        "period": held.period,
        "cells": f"{len(lat)} x {len(lon)}",
        "lat": f"{lat[0]:g} to {lat[-1]:g}",
        "lon": f"{lon[0]:g} to {lon[-1]:g}",
        "unit": held.unit,
        "min_mm": round(float(np.nanmin(values)), 2),
        "mean_mm": round(float(np.nanmean(values, dtype=np.float64)), 2),
        "max_mm": round(float(values[row, col]), 1),
        "max_at": f"{lat[row]:g}, {lon[col]:g}",
        "missing_share": round(float(np.isnan(values).mean()), 4),
        **(_at(held.rain, *at, part.uri) if at is not None else {}),
        **held.more,
        "sha256": sha256,
    }


def _at(rain: xr.DataArray, lat: float, lon: float, name: str) -> dict[str, object]:
    """The cell that a point lies in."""
    index = {}
    for axis, value in (("lat", lat), ("lon", lon)):
        centres = rain[axis].values
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        turns = (value, value - 360, value + 360) if axis == "lon" else (value,)
        near = [(each - centres[0]) / step for each in turns]
        inside = [cells for cells in near if -0.5 - 1e-6 <= cells <= len(centres) - 0.5 + 1e-6]
        if not inside:
            raise GridMismatch(f"{name}: {axis} {value:g} lies outside of {centres[0]:g} to {centres[-1]:g}")
        index[axis] = min(max(round(inside[0]), 0), len(centres) - 1)
    cell = rain.isel(index)
    value = float(cell)
    return {
        "at_cell": f"{float(cell['lat']):g}, {float(cell['lon']):g}",
        "at_mm": None if np.isnan(value) else round(value, 2),
    }


# ── which product ────────────────────────────────────────────────────────────────────────────────────────────────────


def _recognise(part: Part, found: str) -> _Held | None:
    """By the bytes what it can be, and by the name which of these it is."""
    match found:
        case "GRIB":
            return _forecast(part)
        case "TIFF":
            return _geotiff(part)
        case "gzip" | "binary":
            return _binary(part)
        case "HDF5" | "netCDF-3":
            variables = _variables(part, found)
            if any(name.rpartition("/")[2] in ("precipitation", "precipitationCal") for name in variables):
                return _imerg(part)
            return _era5_land(part) if "tp" in variables else None
    return None


def _named(name: str) -> tuple[Product, str, date] | None:
    """Product, version and day of a file by its name alone."""
    for day in _dates(name):
        for product in PRODUCTS.values():
            if product.name in CENTRES.values():
                continue
            for file in product.files(day, None) if not product.template else ():
                if hit := file.pattern.fullmatch(name):
                    return product, hit.groupdict().get("version") or product.version, day
    return None


def _dates(name: str) -> Iterator[date]:
    for hit in _DATE.finditer(name):
        try:
            yield date(*(int(part) for part in hit.groups()))
        except ValueError:
            continue


def _imerg(part: Part) -> _Held:
    with open_granule(part) as granule:
        start_at, unit = granule.start_at, granule.unit
        said = granule.field.file.attrs
        notes = " ".join(
            [part.name, *(str(value) for key, value in said.items() if key in ("FileHeader", "title", "InputPointer"))]
        )
    named = _named(part.name)
    hit = _IMERG.search(notes)
    run = {"-E": "Early", "-L": "Late", "": "Final"}[hit[2] or ""] if hit else "(run unknown)"
    version = named[1] if named else hit[4] if hit else ""
    if unit == "mm/h":
        if _IMERG.search(part.name) is None:  # what it holds is told, under whatever name
            part = Part(f"3IMERG.{start_at:%Y%m%d-S%H%M%S}-", part.path, part.uri)
        end_at = named_start(part) + timedelta(minutes=30)
        period = f"half hour {start_at:%H:%M} to {end_at:%H:%M} UTC"
        return _Held(f"IMERG-{run}-30min", version, start_at.date(), period, unit, decode_half_hour(part, None))
    day = named[2] if named else start_at.date()
    return _Held(f"IMERG-{run}", version, day, "UTC day", unit, decode_day([part], day, None))


def _era5_land(part: Part) -> _Held | None:
    days = era5_land_days(part)
    if not days:
        return None
    rain = decode_era5_land([part], days[-1], None)
    more = {"days": f"{len(days)}: {days[0]} to {days[-1]}, of which the last is told here"}
    version = PRODUCTS["ERA5-Land"].version
    return _Held("ERA5-Land", version, days[-1], "UTC day", "m since 00 UTC", rain, more if len(days) > 1 else {})


def _geotiff(part: Part) -> _Held | None:
    named = _named(part.name)
    with open_raster(part) as raster:
        dtype, step = raster.source.dtypes[0], abs(raster.lat.step)
    if dtype in ("uint16", "int16") and abs(step - 0.1) < 1e-3:
        if (hit := _GIS.fullmatch(part.name)) and not named:  # of other hours than a UTC day, or of one phase
            end_at = datetime.strptime(hit[2] + hit[3], "%Y%m%d%H%M%S")  # noqa: DTZ007 UTC, for people
            period = f"{_HOURS.get(hit[5], hit[5])} to {end_at:%Y-%m-%d %H:%M:%S} UTC"
            named_run, version = ("Early" if hit[1] == "E" else "Late"), hit[4]
            return _Held(f"IMERG-{named_run}-GIS", version, None, period, "0.1 mm", read_pps(part, None))
        product, version, day = (named[0].name, *named[1:]) if named else ("IMERG (GeoTIFF of PPS)", "", None)
        return _Held(product, version, day, "UTC day" if day else "unknown", "0.1 mm", read_pps(part, None))
    if np.dtype(dtype).kind == "f" and abs(step - 0.05) < 1e-3:
        product, version, day = (named[0].name, *named[1:]) if named else ("CHIRPS", "", None)
        return _Held(product, version, day, "day", "mm", read_chirps(part, None))
    return None


def _binary(part: Part) -> _Held | None:
    named = _named(part.name)
    product = named[0].name if named else ""
    if not named and part.path.stat().st_size == CPC_BYTES:
        product = "CPC-Unified"
    elif not named and (part.path.stat().st_size == GSMAP_BYTES or "gsmap" in part.name.lower()):
        product = "GSMaP"
    if not product.startswith(("CPC", "GSMaP")):
        return None
    version, day = (named[1], named[2]) if named else ("", None)
    if product.startswith("CPC"):
        return _Held(product, version, day, "gauge day", "0.1 mm", read_cpc(part, None))
    return _Held(product, version, day, "UTC day", "mm/h, mean of the day", read_gsmap(part, None))


def _forecast(part: Part) -> _Held:
    totals = read_totals([part])
    first = totals[0]
    more = {"totals": [str(total) for total in totals]}
    rain = total_field(first, None)
    product = CENTRES.get(first.centre, f"forecast of {first.centre}")
    version = f"{first.run_at:%Y-%m-%dT%H}Z"
    return _Held(product, version, first.start_at.date(), str(first), first.unit, rain, more)


def _declared(part: Part, source: RainSource) -> _Held:
    layout = source.layout
    if layout is None:
        raise ValueError(f"{source.product} declares no layout")
    named = next(_dates(part.name), None)
    shift = file_date(date(2000, 1, 1), layout.ends_h) - date(2000, 1, 1)
    day = named - shift if named else None
    rain = decode_layout([part], day or _first_day(part, source) - shift, None, layout=layout)
    hours = f"24 h to {layout.ends_h:g} UTC of {named}" if named else f"24 h to {layout.ends_h:g} UTC of its date"
    return _Held(source.product, "", day, hours, layout.unit, rain)


def _first_day(part: Part, source: RainSource) -> date:
    """The date of the first time that stands in a file whose name says none."""
    if source.layout is None or source.layout.variable is None:
        return date(2000, 1, 1)  # a GeoTIFF says no date, and none is asked of it
    with open_variable(part, source.layout.variable) as rain:
        return min(rain.times).date() if rain.times else date(2000, 1, 1)


# ── what else it is ──────────────────────────────────────────────────────────────────────────────────────────────────


def _variables(part: Part, found: str) -> list[str]:
    """Names of the variables of a netCDF or HDF5 file, of the root and its groups; none where they cannot be read."""
    names: list[str] = []
    try:
        if found == "HDF5":
            with h5py.File(part.path, "r") as file:
                for name, member in file.items():
                    group = isinstance(member, h5py.Group)
                    names += [f"{name}/{each}" for each in member] if group else [str(name)]
        else:
            with xr.open_dataset(part.path, engine="scipy", decode_cf=False, cache=False) as dataset:
                names = [str(name) for name in dataset.variables]
    except DAMAGE as error:
        raise CorruptGranule(f"{part.uri}: {found}, damaged or cut short ({error}); fetch it again") from error
    return names


def _looks(part: Part, head: bytes) -> str:
    """In words for a person."""
    found = kind(head)
    if found in ("HDF5", "netCDF-3"):
        return f"{found} with {', '.join(_variables(part, found)[:12]) or 'no variable'}"
    if found == "TIFF":
        try:
            with rasterio.open(part.path, driver="GTiff") as raster:
                return f"TIFF of {raster.height} x {raster.width} cells, {raster.dtypes[0]}, CRS {raster.crs}"
        except (*DAMAGE, RasterioError) as error:
            return f"a damaged TIFF ({error})"
    if found in ("an HTML page", "an XML document", "JSON", "text"):
        return f"{found}, beginning {first_words(head)!r}"
    return f"{found}, {part.path.stat().st_size:,} bytes"
