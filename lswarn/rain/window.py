"""The rain of seven days, derived anew from seven archived days: never a running sum.

A running sum would drift, count a repeated day twice and never forget a bad one.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import xarray as xr

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
