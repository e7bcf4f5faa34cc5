"""The made rain as files: the provider's daily netCDF-4 layout, names and folders (door: disk)."""

import json
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from lswarn.demo import storms

FILL = -9999.9
SCHEDULE = "schedule.json"
_LONS = np.round(np.arange(-179.95, 180, 0.1), 2)
_LATS = np.round(np.arange(-89.95, 90, 0.1), 2)
_LETTER_C_SINCE = date(2026, 3, 4)  # when the provider moved from V07B to V07C


def granule_path(run: str, day: date) -> str:
    """Address of a granule below the server's root."""
    letter = "C" if day >= _LETTER_C_SINCE else "B"
    name = f"3B-DAY-{run}.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.V07{letter}.nc4"
    return f"data/GPM_L3/GPM_3IMERGD{run}.07/{day:%Y/%m}/{name}"


def save_granules(root: Path, seed: int) -> None:
    """Write the granules of every day needed, both runs, and `schedule.json`: path → instant of publication."""
    schedule = {}
    for day in storms.rain_days():
        for run, rain in (("L", storms.daily_rain(day, seed)), ("E", storms.early_rain(day, seed))):
            path = granule_path(run, day)
            save_granule(root / path, day, rain)
            schedule[path] = storms.published_at(run, day).isoformat()
    (root / SCHEDULE).write_text(json.dumps(schedule, indent=0), "utf-8")


def save_granule(path: Path, day: date, rain: xr.DataArray) -> None:
    """Write one granule: global 0.1°, longitude before latitude, mm/day.

    Cells outside `rain` are fill, not zero: the made world says nothing of the rest. Their chunks are never allocated,
    which keeps a global file at some 50 kB.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with netCDF4.Dataset(part, "w", format="NETCDF4") as file:
        file.title = "MADE for the lswarn demo, in the layout of GPM IMERG daily V07; not an observation"
        file.BeginDate = file.EndDate = day.isoformat()
        for name, values in (("time", [float((day - date(1970, 1, 1)).days)]), ("lon", _LONS), ("lat", _LATS)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8" if name == "time" else "f4", (name,))[:] = values
        file["time"].setncatts({"units": "days since 1970-01-01 00:00:00Z", "calendar": "julian"})
        file["lon"].units, file["lat"].units = "degrees_east", "degrees_north"
        grid = file.createVariable(
            "precipitation", "f4", ("time", "lon", "lat"), zlib=True, chunksizes=(1, 60, 60), fill_value=FILL
        )
        grid.setncatts({"units": "mm/day", "long_name": "Daily mean precipitation rate", "coordinates": "time lon lat"})
        at_lon, at_lat = (int(np.abs(all_ - first).argmin()) for all_, first in _corners(rain))
        grid[0, at_lon : at_lon + rain.sizes["lon"], at_lat : at_lat + rain.sizes["lat"]] = rain.transpose("lon", "lat")
    part.rename(path)


def _corners(rain: xr.DataArray) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]:
    return (_LONS, float(rain["lon"][0])), (_LATS, float(rain["lat"][0]))
