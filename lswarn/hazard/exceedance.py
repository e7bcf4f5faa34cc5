"""How the rain of seven days compares with the critical rainfall: cell by cell, and area by area. Pure."""

from datetime import timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray

from lswarn.rain.regrid import regrid
from lswarn.rain.thresholds import safety_factor
from lswarn.rain.window import RainWindow


def find_cells(window: RainWindow, critical: xr.DataArray) -> gpd.GeoDataFrame:
    """Rain cells whose safety factor Rc / R7 is below one.

    Args:
        critical: Rc, mm, on the window's cells and in its measure, NaN where no threshold is known.

    Returns:
        GeoDataFrame in EPSG:4326: rain_mm, critical_mm, safety_factor, lower_bound (more rain fell than rain_mm says),
        geometry (the cell). A cell whose rain or threshold is unknown is not in it: it is not known to exceed. Unknown
        rain gives an unknown class.
    """
    rain, limit = _values(window.total), _values(critical)
    factor, short = _values(safety_factor(critical, window.total)), _values(window.lower_bound).astype(bool)
    above = factor < 1
    return gpd.GeoDataFrame(
        {
            "rain_mm": rain[above],
            "critical_mm": limit[above],
            "safety_factor": factor[above],
            "lower_bound": short[above],
        },
        geometry=_cells(window.total)[above],
        crs="EPSG:4326",
    )


def area_rain(window: RainWindow, critical: xr.DataArray, areas: gpd.GeoDataFrame) -> pd.DataFrame:
    """The most rain of seven days in each warning area, and the critical rainfall where it fell.

    Args:
        critical: Rc, mm, on the window's cells and in its measure, NaN = unknown. Where a value comes from is said by
            its coordinate `source` (lat, lon), else by its attribute `source`.
        areas: area_id and geometry, in any CRS.

    Returns:
        One row an area:
        area_id;
        rain_mm, the most there, and forecast_mm, how much of that is forecast: NaN where no rain of the area is known;
        critical_mm there, NaN = unknown, and critical_source, where it comes from, empty = unknown;
        lower_bound: more may have fallen, since some of the area's rain is a lower bound or unknown;
        known: all rain that its slopes are judged by was observed, on all seven days.
    """
    fields = (window.total, forecast_part(window), critical, window.lower_bound, window.complete)
    rain, ahead, limit, short, complete = (_values(field).ravel() for field in fields)
    sources = np.full(rain.shape, critical.attrs.get("source", ""), dtype=object)
    if "source" in critical.coords:
        sources = critical["source"].transpose("lat", "lon").values.ravel()
    tree = shapely.STRtree(_cells(window.total).ravel())
    cell_deg = float(abs(window.total["lon"][1] - window.total["lon"][0]))
    rows = []
    for area_id, geometry in zip(areas["area_id"], areas.geometry.to_crs("EPSG:4326"), strict=True):
        cells = tree.query(geometry, predicate="intersects")
        there = cells[~np.isnan(rain[cells])]
        found = (np.nan, np.nan, np.nan, "")
        if len(there):
            wettest = there[np.argmax(rain[there])]
            source = "" if np.isnan(limit[wettest]) else str(sources[wettest])
            found = (rain[wettest], ahead[wettest], limit[wettest], source)
        # Rain is sampled between centres: what is unknown in the next cell reaches into the area too.
        near = tree.query(geometry, predicate="dwithin", distance=cell_deg)
        bound = bool((np.isnan(rain[near]) | (short[near] > 0)).any())
        known = window.lead_days == 0 and len(near) > 0 and bool(complete[near].all())
        rows.append((area_id, *found, bound, known))
    columns = ["area_id", "rain_mm", "forecast_mm", "critical_mm", "critical_source", "lower_bound", "known"]
    return pd.DataFrame(rows, columns=columns)


def forecast_part(window: RainWindow) -> xr.DataArray:
    """How much of a window's total is forecast rain: mm on its cells, 0 for an observed window, NaN = unknown."""
    part = xr.zeros_like(window.total)
    for each in window.days:
        if each.day > window.day - timedelta(days=window.lead_days):
            weight = window.measure.weights[(window.day - each.day).days]
            part = part + weight * regrid(each.precipitation, window.total).fillna(0)
    return part.where(window.total.notnull())


def _values(field: xr.DataArray) -> NDArray[np.float64]:
    return field.transpose("lat", "lon").values.astype(float)


def _cells(field: xr.DataArray) -> NDArray[np.object_]:
    """The cell around each centre, [lat, lon]."""
    lat, lon = np.meshgrid(field["lat"].values.astype(float), field["lon"].values.astype(float), indexing="ij")
    half_lat, half_lon = abs(lat[1, 0] - lat[0, 0]) / 2, abs(lon[0, 1] - lon[0, 0]) / 2
    return shapely.box(lon - half_lon, lat - half_lat, lon + half_lon, lat + half_lat)
