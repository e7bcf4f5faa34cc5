"""The rain of seven days, derived anew from seven archived days: never a running sum.

A running sum would drift, count a repeated day twice and never forget a bad one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np
import xarray as xr

from lswarn.errors import GridMismatch, IncompleteWindow
from lswarn.rain.grade import Grade
from lswarn.rain.measures import SUM, WINDOW_DAYS, Measure
from lswarn.rain.products import grade_of
from lswarn.rain.regrid import regrid

LEAST_DAYS = 6
MARGIN_CELLS = 2
"""Rain kept around a region, so that it can be interpolated up to the region's edge."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class RainDay:
    """One UTC day of rain as archived.

    Attributes:
        day: the provider's UTC day.
        precipitation: mm/day, dimensions (lat, lon) ascending, cell centres in degrees, NaN = unknown.
        product, version: such as `IMERG-Late`, `V07B`; the version of a forecast is the instant it was issued.
        uri, sha256: where the granule came from, and the digest of its bytes; of several files, the first address and
            the digest of their digests.
        published_at: aware instant at which its provider says it was published; None where nothing says so.
        fetched_at: aware instant.
    """

    day: date
    precipitation: xr.DataArray
    product: str
    version: str
    uri: str
    sha256: str
    published_at: datetime | None
    fetched_at: datetime


@dataclass(frozen=True)
class RainWindow:
    """The rain of the seven days that end with `day`.

    Attributes:
        day: last day of the window.
        measure: what `total` is of the seven days.
        total: mm, (lat, lon), NaN = unknown; a lower bound where `lower_bound` says so.
        known_days: days known in each cell, (lat, lon), 0..7.
        days: what it is made of, oldest first.
        missing: days of the window that are not archived.
        grade: see `Grade`. Of the days; a single cell may be worse off, where a granule has a hole.
        lead_days: how many of its last days are forecast; 0 for an observed window.
    """

    day: date
    measure: Measure
    total: xr.DataArray
    known_days: xr.DataArray
    days: tuple[RainDay, ...]
    missing: tuple[date, ...]
    grade: Grade
    lead_days: int = 0

    @cached_property
    def lower_bound(self) -> xr.DataArray:
        """Where more rain fell than `total` says, by an unknown amount; bool."""
        return self.total.notnull() & (self.known_days < WINDOW_DAYS)

    @cached_property
    def complete(self) -> xr.DataArray:
        """Where all seven days were observed, so that low rain means low rain; bool."""
        return (self.known_days == WINDOW_DAYS) & _worst(self.days).complete


def window_days(day: date) -> tuple[date, ...]:
    """The seven days that end with `day`, oldest first."""
    return tuple(day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS)))


def rain_window(
    day: date,
    days: Mapping[date, RainDay],
    *,
    order: Sequence[str] = (),
    bbox: Bounds | None = None,
    measure: Measure = SUM,
    min_known_days: int = LEAST_DAYS,
    observed_to: date | None = None,
    like: xr.DataArray | None = None,
) -> RainWindow:
    """Make one number a cell of the seven days that end with `day`.

    Days on another grid than the window's are brought onto it, keeping the amount of water. A cell is NaN in the total
    when fewer than `min_known_days` of its days are known; with one of its days unknown it is a lower bound.

    Args:
        days: the best of each day; other days than the seven are passed over.
        order: products, best first: the window lies on the grid of the best one that is there.
        bbox: west, south, east, north, degrees: what the window is cut to, and `MARGIN_CELLS` around it.
        observed_to: last observed day; what is later is forecast. None: all is observed.
        like: a field whose grid the window takes. Where none of the seven days is there, that is all there is of it.

    Raises:
        IncompleteWindow: none of the seven is there, and not even the grid is known.
        GridMismatch: the rain does not cover the box.
    """
    wanted = window_days(day)
    there = tuple(days[each] for each in wanted if each in days)
    missing = tuple(each for each in wanted if each not in days)
    if like is None:
        if not there:
            raise IncompleteWindow(
                f"none of the days {wanted[0]} to {day} is archived; fetch them first (lswarn rain fetch)"
            )
        best = min(there, key=lambda each: order.index(each.product) if each.product in order else len(order))
        like = best.precipitation
    like = _cut(like.transpose("lat", "lon"), bbox)
    fields = {each.day: regrid(each.precipitation, like).values for each in there}

    known = np.zeros(like.shape, np.uint8)
    total = np.zeros(like.shape)
    for back, each in enumerate(reversed(wanted)):
        if each in fields:
            known += ~np.isnan(fields[each])
            total += measure.weights[back] * np.nan_to_num(fields[each].astype(float))
    total[known < min_known_days] = np.nan

    def field(values: np.ndarray, name: str, units: str, long_name: str) -> xr.DataArray:
        axes = {axis: like[axis].values for axis in ("lat", "lon")}
        return xr.DataArray(values, axes, ("lat", "lon"), name, {"units": units, "long_name": long_name})

    lead_days = 0 if observed_to is None else sum(each > observed_to for each in wanted)
    grade = Grade.E if lead_days else _worst(there)
    if missing:
        grade = max(grade, Grade.D) if len(there) >= min_known_days else Grade.E
    return RainWindow(
        day,
        measure,
        field(total.astype(np.float32), "total", "mm", f"{measure.title} to {day}"),
        field(known, "known_days", "1", "days known"),
        there,
        missing,
        grade,
        lead_days,
    )


def require_same_grid(one: xr.DataArray, other: xr.DataArray, what: str) -> None:
    """Refuse to combine two fields cell by cell unless their cell centres are the same.

    Raises:
        GridMismatch: they are not.
    """
    if not all(np.array_equal(one[axis], other[axis]) for axis in ("lat", "lon")):
        raise GridMismatch(f"{what} lie on different grids: {_extent(one)} and {_extent(other)}")


def _extent(field: xr.DataArray) -> str:
    lat, lon = field["lat"].values, field["lon"].values
    return f"{len(lat)} x {len(lon)} cells from {lon[0]:g}, {lat[0]:g} to {lon[-1]:g}, {lat[-1]:g}"


def _cut(field: xr.DataArray, bbox: Bounds | None) -> xr.DataArray:
    """The cells that a box touches, and a margin around them as far as there is any."""
    if bbox is None:
        return field
    west, south, east, north = bbox
    for axis, low, high in (("lat", south, north), ("lon", west, east)):
        centres = field[axis].values
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        reach = (MARGIN_CELLS + 0.5) * step
        if centres[0] - step / 2 > low + 1e-6 or centres[-1] + step / 2 < high - 1e-6:
            raise GridMismatch(f"rain of {_extent(field)} does not cover {bbox}; fetch its days again")
        near = (centres > low - reach + 1e-6) & (centres < high + reach - 1e-6)
        field = field.isel({axis: near})
    return field


def _worst(days: Sequence[RainDay]) -> Grade:
    return max((grade_of(each.product) for each in days), default=Grade.E)
