"""The made rain as files: names, folders and layouts of the providers, and when each is published (door: disk).

What is made: the late run of IMERG as daily netCDF, as GES DISC has it; the early run as 1-day GeoTIFF, as PPS has it;
and a forecast as GFS hands it out.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import xarray as xr

from lswarn.demo import layouts, storms
from lswarn.demo.replicas import Published

SCHEDULE = "schedule.json"
QUARTERS = (0.15, 0.3, 0.35, 0.2)
"""Shares of a forecast day's rain in its four six-hour buckets."""
_LETTER_C_SINCE = date(2026, 3, 4)  # when the provider moved from V07B to V07C
_GFS_LONS = np.arange(-85.25, -83.2, 0.25)
_GFS_LATS = np.arange(35.5, 37.3, 0.25)


def late_path(day: date) -> str:
    """Address of a late daily granule below the server's root."""
    name = f"3B-DAY-L.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.{_version(day)}.nc4"
    return f"data/GPM_L3/GPM_3IMERGDL.07/{day:%Y/%m}/{name}"


def early_path(day: date) -> str:
    """Address of an early 1-day GeoTIFF: it is named by the last half hour of its 24 hours."""
    name = f"3B-HHR-E.MS.MRG.3IMERG.{day:%Y%m%d}-S233000-E235959.1410.{_version(day)}.1day.tif"
    return f"imerg/gis/early/{day:%Y/%m}/{name}"


def forecast_path(issue: date, step_h: int) -> str:
    """Address of a forecast; its inventory lies beside it under the same name and `.idx`."""
    return f"gfs.{issue:%Y%m%d}/00/atmos/gfs.t00z.pgrb2.0p25.f{step_h:03d}"


def save_granules(root: Path, seed: int) -> None:
    """Write the files of every day needed, and `schedule.json`: path → instant of publication."""
    schedule = {}
    for path, body, at in _granules(seed):
        _save(root / path, body)
        schedule[path] = at.isoformat()
    _save(root / SCHEDULE, json.dumps(schedule, indent=0).encode())


def load_published(root: Path) -> dict[str, Published]:
    """What `save_granules` wrote, as a `RainReplica` serves it."""
    schedule = json.loads((root / SCHEDULE).read_text("utf-8"))
    return {path: Published(root / path, datetime.fromisoformat(at)) for path, at in schedule.items()}


def _granules(seed: int) -> Iterator[tuple[str, bytes, datetime]]:
    """Path, bytes and instant of publication of all files."""
    for day in storms.rain_days():
        late = layouts.imerg_daily(day, storms.daily_rain(day, seed))
        yield late_path(day), late, storms.published_at("L", day)
        yield early_path(day), layouts.imerg_gis(storms.early_rain(day, seed)), storms.published_at("E", day)
    for issue in storms.forecast_issues():
        at = datetime.combine(issue, time(0), UTC) + storms.FORECAST_AFTER
        for step_h, rain in _buckets(issue, seed):
            body, index = layouts.gfs(issue, {step_h: rain})
            yield forecast_path(issue, step_h), body, at
            yield forecast_path(issue, step_h) + ".idx", index, at


def _buckets(issue: date, seed: int) -> Iterator[tuple[int, xr.DataArray]]:
    """Step of a forecast, hours, and the mm of the six hours before it, at the points of the forecast's grid."""
    for ahead in range(storms.FORECAST_DAYS):
        rain = storms.forecast_rain(issue, issue + timedelta(days=ahead), seed)
        coarse = rain.interp(lat=_GFS_LATS, lon=_GFS_LONS)
        for quarter, share in enumerate(QUARTERS, 1):
            yield 24 * ahead + 6 * quarter, coarse * share


def _version(day: date) -> str:
    return "V07C" if day >= _LETTER_C_SINCE else "V07B"


def _save(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(body)
    part.rename(path)
