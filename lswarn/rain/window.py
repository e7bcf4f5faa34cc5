"""The rain of seven days, derived anew from seven archived days: never a running sum.

A running sum would drift, count a repeated day twice and never forget a bad one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import numpy as np
import xarray as xr

from lswarn.errors import GridMismatch, IncompleteWindow
from lswarn.rain.products import find_product

WINDOW_DAYS = 7
LEAST_DAYS = 6


class Grade(StrEnum):
    """How far the rain of a window can be trusted.

    A: seven days, all of a late or final run. B: seven days, some of an early run. C: seven days, some of a stand-in.
    D: one day missing, so the total is a lower bound: it may raise an alert, never end one.
    E: more days missing; there is no total, and every class is unknown.
    """

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def complete(self) -> bool:
        """Whether all seven days are there, so that low rain means low rain."""
        return self in (Grade.A, Grade.B, Grade.C)


@dataclass(frozen=True)
class RainDay:
    """One UTC day of rain as archived.

    Attributes:
        day: the provider's UTC day.
        precipitation: mm/day, dimensions (lat, lon) ascending, cell centres in degrees, NaN = unknown.
        product, version: such as `IMERG-Late`, `V07B`.
        uri, sha256: where the granule came from, and the digest of its bytes.
        fetched_at: aware instant.
    """

    day: date
    precipitation: xr.DataArray
    product: str
    version: str
    uri: str
    sha256: str
    fetched_at: datetime


@dataclass(frozen=True)
class RainWindow:
    """The rain of the seven days that end with `day`.

    Attributes:
        day: last day of the window.
        total: mm in seven days, (lat, lon), NaN = unknown. Under grade D a lower bound; under grade E all NaN.
        days: what it is made of, oldest first.
        missing: days of the window that are not archived.
        grade: see `Grade`.
    """

    day: date
    total: xr.DataArray
    days: tuple[RainDay, ...]
    missing: tuple[date, ...]
    grade: Grade

    @property
    def lower_bound(self) -> bool:
        """Whether more rain fell than `total` says, by an unknown amount."""
        return self.grade is Grade.D


def window_days(day: date) -> tuple[date, ...]:
    """The seven days that end with `day`, oldest first."""
    return tuple(day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS)))


def rain_window(day: date, days: Mapping[date, RainDay], like: RainDay | None = None) -> RainWindow:
    """Add up the seven days that end with `day`.

    A cell that is NaN in any of the days is NaN in the total: what fell there is unknown.

    Args:
        days: the best of each day; other days than the seven are passed over.
        like: any archived day: it gives the grid where none of the seven is there, and nothing else.

    Raises:
        IncompleteWindow: none of the seven is there, and not even the grid is known.
        GridMismatch: two of them lie on different grids.
    """
    wanted = window_days(day)
    there = tuple(days[each] for each in wanted if each in days)
    missing = tuple(each for each in wanted if each not in days)
    if not there and like is not None:
        unknown = like.precipitation.transpose("lat", "lon") * np.nan
        return RainWindow(day, unknown.rename("rain_7_days"), (), missing, Grade.E)
    if not there:
        raise IncompleteWindow(
            f"none of the days {wanted[0]} to {day} is archived; fetch them first (lswarn rain fetch)"
        )
    for other in there[1:]:
        require_same_grid(there[0].precipitation, other.precipitation, f"the rain of {there[0].day} and of {other.day}")
    fields = np.stack([each.precipitation.transpose("lat", "lon").values for each in there])
    total = fields.sum(axis=0, dtype=np.float64) if len(there) >= LEAST_DAYS else np.full(fields.shape[1:], np.nan)
    attrs = {"units": "mm", "long_name": f"rain of the seven days to {day}"}
    field = there[0].precipitation.transpose("lat", "lon").copy(data=total.astype(np.float32)).assign_attrs(attrs)
    return RainWindow(day, field.rename("rain_7_days"), there, missing, _grade(there))


def require_same_grid(one: xr.DataArray, other: xr.DataArray, what: str) -> None:
    """Refuse to combine two fields cell by cell unless their cell centres are the same.

    Raises:
        GridMismatch: they are not.
    """
    if not all(np.array_equal(one[axis], other[axis]) for axis in ("lat", "lon")):
        raise GridMismatch(
            f"{what} lie on different grids: {_extent(one)} and {_extent(other)}; "
            "did the region's bbox change? Fetch the older days again"
        )


def _extent(field: xr.DataArray) -> str:
    lat, lon = field["lat"].values, field["lon"].values
    return f"{len(lat)} x {len(lon)} cells from {lon[0]:g}, {lat[0]:g} to {lon[-1]:g}, {lat[-1]:g}"


def _grade(there: tuple[RainDay, ...]) -> Grade:
    if len(there) < LEAST_DAYS:
        return Grade.E
    if len(there) < WINDOW_DAYS:
        return Grade.D
    return Grade.A if all(find_product(each.product).late for each in there) else Grade.B
