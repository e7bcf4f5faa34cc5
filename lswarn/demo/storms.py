"""The made rain: one table of storms, past and coming, and when each day's files are published. Pure.

Turn the story here. `PAST` teaches the model; `COMING` crosses during the ten days. Nothing else knows what will
happen: the rain of a day is the sum of the storms over it, a light drizzle and a ripple drawn from seed and day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lswarn.rain.measures import WINDOW_DAYS
from lswarn.rain.window import window_days

FIRST_DAY = date(2026, 3, 14)
DAYS = tuple(FIRST_DAY + timedelta(days=n) for n in range(10))

EARLY_ONLY_DAY = DAYS[5]
"""Its late run comes a day later than usual, so its first window is made of an early run (grade B)."""
LATE_DAY = DAYS[6]
"""Both its files come a day later than usual, so its first window lacks it (grade D)."""

RUNS = {"E": timedelta(hours=4, minutes=30), "L": timedelta(hours=14, minutes=45)}
"""Letter of a run in file names (early, late), and how long after the end of its UTC day it is published."""

DEGREES = 0.1
LONS = np.round(np.arange(-85.25, -83.2, DEGREES), 2)
LATS = np.round(np.arange(35.35, 37.3, DEGREES), 2)
"""Cell centres of the made rain, on the provider's global grid; beyond them nothing is claimed (fill)."""

DRIZZLE_MM = 2.5
RIPPLE = 0.08
EARLY_SCALE, EARLY_RIPPLE = 0.85, 0.15
"""An early run sees less than the late one, with an error of its own."""
FORECAST_RIPPLE = 0.15
"""Error of a forecast for each day that it looks ahead; every issue errs in its own way."""
FORECAST_DAYS = 3
FORECAST_AFTER = timedelta(hours=5)
"""How long after the 00 UTC of its issue a forecast is published."""


@dataclass(frozen=True)
class Storm:
    """Rain that falls in a bell around one place, for some days.

    Attributes:
        starts: UTC day of the first of `daily_mm`, the rain at the centre.
        along_km, across_km: standard deviations of the bell, along its axis and across it.
        bearing_deg: of the axis, clockwise from north.
    """

    name: str
    starts: date
    daily_mm: tuple[float, ...]
    lon: float
    lat: float
    along_km: float
    across_km: float
    bearing_deg: float = 45.0

    def mm(self, day: date) -> NDArray[np.float64]:
        """Rain of one day, mm, on (LATS, LONS)."""
        age = (day - self.starts).days
        if not 0 <= age < len(self.daily_mm):
            return np.zeros((len(LATS), len(LONS)))
        east, north = (LONS - self.lon) * 111.32 * np.cos(np.radians(self.lat)), (LATS[:, None] - self.lat) * 111.32
        sin, cos = np.sin(np.radians(self.bearing_deg)), np.cos(np.radians(self.bearing_deg))
        along, across = east * sin + north * cos, east * cos - north * sin
        bell = np.exp(-0.5 * ((along / self.along_km) ** 2 + (across / self.across_km) ** 2))
        return np.asarray(self.daily_mm[age] * bell)


def _past(ends: date, total_mm: float, lon: float, lat: float, along_km: float, bearing_deg: float) -> Storm:
    """A week's storm of the past, as most go: it gathers, breaks on the fifth day and thins out."""
    shares = (0.04, 0.08, 0.12, 0.20, 0.36, 0.16, 0.04)
    starts = ends - timedelta(days=WINDOW_DAYS - 1)
    return Storm(f"storm of {ends}", starts, tuple(total_mm * s for s in shares), lon, lat, along_km, 16.0, bearing_deg)


PAST = (
    # ends,                mm at centre, lon, lat, km along, bearing
    _past(date(2024, 2, 13), 260, -84.38, 36.20, 26, 60),
    _past(date(2024, 4, 21), 130, -84.15, 36.38, 30, 45),
    _past(date(2024, 7, 9), 350, -84.12, 36.42, 24, 45),
    _past(date(2024, 12, 17), 200, -84.22, 36.25, 30, 20),
    _past(date(2025, 2, 18), 320, -84.28, 36.30, 32, 70),
    _past(date(2025, 5, 26), 90, -84.30, 36.22, 40, 90),
    _past(date(2025, 8, 5), 240, -84.40, 36.42, 28, 10),
    _past(date(2026, 1, 27), 290, -84.10, 36.20, 26, 30),
    # Quieter weeks, so that the model also sees rain after which little or nothing happens.
    _past(date(2024, 5, 28), 50, -84.20, 36.30, 60, 45),
    _past(date(2024, 10, 8), 0, -84.20, 36.30, 60, 45),
    _past(date(2025, 4, 1), 70, -84.35, 36.35, 50, 0),
    _past(date(2025, 10, 14), 25, -84.20, 36.30, 60, 45),
)
TRAINING_DAYS = tuple(sorted(storm.starts + timedelta(days=WINDOW_DAYS - 1) for storm in PAST))

COMING = (
    # A band over the south. Its first shower falls before the ten days and leaves the 7-day window on day 5, its
    # main rain on days 2 and 3 leaves it on days 9 and 10: so it can open, rise, ease and clear within the ten.
    Storm("southern band, first shower", DAYS[0] - timedelta(days=3), (72,), -84.23, 36.23, 24, 11, 80),
    Storm("southern band", DAYS[1], (128, 45), -84.23, 36.23, 24, 11, 80),
    # The main storm crosses the north-east on days 5 to 8.
    Storm("main storm", DAYS[4], (40, 85, 130, 30), -84.09, 36.44, 20, 9, 135),
)


def daily_rain(day: date, seed: int) -> xr.DataArray:
    """What the late run will report of one UTC day, mm, (lat, lon)."""
    rain = np.sum([storm.mm(day) for storm in (*PAST, *COMING)], axis=0) * np.exp(RIPPLE * _waves("ripple", day, seed))
    return _field(rain + DRIZZLE_MM * np.clip(_waves("drizzle", day, seed), 0, 2))


def early_rain(day: date, seed: int) -> xr.DataArray:
    """What the early run will report of one UTC day, mm, (lat, lon)."""
    return _field(daily_rain(day, seed).values * EARLY_SCALE * np.exp(EARLY_RIPPLE * _waves("early run", day, seed)))


def forecast_rain(issue: date, day: date, seed: int) -> xr.DataArray:
    """What the forecast of 00 UTC of `issue` says of one UTC day, that day or a later one, mm, (lat, lon).

    Its error grows with the days that it looks ahead.
    """
    ahead = (day - issue).days + 1
    error = np.exp(FORECAST_RIPPLE * ahead * _waves(f"forecast of {issue}", day, seed))
    return _field(daily_rain(day, seed).values * error)


def forecast_issues() -> tuple[date, ...]:
    """Days at whose 00 UTC a forecast is issued: the ten, and the one after, when the last of them is judged."""
    return (*DAYS, DAYS[-1] + timedelta(days=1))


def weekly_rain(day: date, seed: int) -> xr.DataArray:
    """Late-run rain of the seven days that end with `day`, mm, (lat, lon)."""
    return _field(np.sum([daily_rain(d, seed).values for d in window_days(day)], axis=0))


def rain_days() -> tuple[date, ...]:
    """Every day some window needs: those of the past storms and of the ten days, in order."""
    return tuple(sorted({d for end in (*TRAINING_DAYS, *DAYS) for d in window_days(end)}))


def published_at(run: str, day: date) -> datetime:
    """When the file of a run (`E`, `L`) is put on the server."""
    held_back = day == LATE_DAY or (day == EARLY_ONLY_DAY and run == "L")
    end = datetime.combine(day + timedelta(days=1), time(0), UTC)
    return end + RUNS[run] + timedelta(days=1 if held_back else 0)


def _waves(what: str, day: date, seed: int) -> NDArray[np.float64]:
    """Smooth noise of deviation 1; each day draws its own, in whatever order days are asked."""
    noise = np.random.default_rng((seed, day.toordinal(), *what.encode())).standard_normal((len(LATS), len(LONS)))
    smooth = gaussian_filter(noise, 2)
    return np.asarray(smooth / smooth.std())


def _field(mm: NDArray[np.float64]) -> xr.DataArray:
    attrs = {"units": "mm"}
    return xr.DataArray(mm.astype(np.float32), {"lat": LATS, "lon": LONS}, ("lat", "lon"), "precipitation", attrs)
