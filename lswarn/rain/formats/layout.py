"""Days of rain in a layout that region.toml declares: netCDF or GeoTIFF, with their unit and the hours of their day."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import CorruptGranule
from lswarn.rain.formats.field import cut, rain_field
from lswarn.rain.formats.geotiff import open_raster
from lswarn.rain.formats.netcdf import Variable, open_variable
from lswarn.rain.formats.part import Bounds, Part, corrupt
from lswarn.rain.formats.units import canonical, to_mm
from lswarn.sections import RainLayout


def file_date(day: date, ends_h: float) -> date:
    """Date by which the file is named whose 24 hours share most with a UTC day.

    Args:
        ends_h: hours from 00 UTC of the date in a file's name to the end of what it holds.
    """
    return day + timedelta(days=math.floor((24 - ends_h) / 24 + 0.5))


def decode_layout(parts: Sequence[Part], day: date, bounds: Bounds | None, *, layout: RainLayout) -> xr.DataArray:
    """Rain of the file that shares most hours with a day. As `products.Decode`, once the layout is given.

    A unit that the file itself says must be the declared one; a unit it does not say, or says in words that nobody
    knows, is believed to be.
    """
    (part,) = parts
    named = file_date(day, layout.ends_h)
    if layout.band is not None:
        with open_raster(part, layout.band) as raster:
            _require_unit(raster.unit, layout, part.uri)
            cells = cut(raster.lat, raster.lon, bounds, part.uri)
            source, band = raster.source, layout.band - 1
            raw = raster.read(cells)
            values = raw * float(source.scales[band]) + float(source.offsets[band])
            if (nodata := source.nodatavals[band]) is not None and not np.isnan(nodata):
                values = np.where(np.isclose(raw, nodata, rtol=1e-6), np.nan, values)
    else:
        with open_variable(part, str(layout.variable)) as rain:
            _require_unit(rain.unit, layout, part.uri)
            time = _time(rain, named, layout, part.uri)
            cells = cut(rain.lat, rain.lon, bounds, part.uri)
            values = rain.read(cells, time)
    try:
        return rain_field(cells, to_mm(_masked(values, layout), layout.unit), part.uri)
    except CorruptGranule as error:
        raise CorruptGranule(f"{error}; or is its unit not {layout.unit}, or missing = … not declared?") from error


def _masked(values: NDArray, layout: RainLayout) -> NDArray[np.float64]:
    unknown = np.zeros(values.shape, bool)
    for value in layout.missing:
        unknown |= np.isnan(values) if np.isnan(value) else np.isclose(values, value, rtol=1e-6)
    return np.where(unknown, np.nan, values)


def _require_unit(said: str, layout: RainLayout, uri: str) -> None:
    known = canonical(said)
    if known is not None and known != layout.unit:
        raise corrupt(uri, f"says that its unit is {said}, and region.toml that it is {layout.unit}")


def _time(rain: Variable, named: date, layout: RainLayout, uri: str) -> int:
    """Which of its times is the day's: the one within the declared 24 hours, or the one of the date in its name."""
    if rain.times is None:
        return 0
    end_at = datetime(named.year, named.month, named.day, tzinfo=UTC) + timedelta(hours=layout.ends_h)
    of_date = [n for n, each in enumerate(rain.times) if each.date() == named]
    within = [n for n, each in enumerate(rain.times) if end_at - timedelta(days=1) <= each <= end_at]
    if len(rain.times) == 1 and (of_date or within):
        return 0
    if len(of_date) == 1:
        return of_date[0]
    held = f"{min(rain.times):%Y-%m-%d %H:%M} to {max(rain.times):%Y-%m-%d %H:%M}" if rain.times else "nothing"
    raise corrupt(uri, f"holds {len(rain.times)} times, {held}, and not one of {named}")
