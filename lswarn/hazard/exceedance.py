"""How the rain of seven days compares with the critical rainfall: cell by cell, and area by area. Pure."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr
from numpy.typing import NDArray

from lswarn.rain.thresholds import safety_factor


def find_cells(total: xr.DataArray, critical: xr.DataArray, *, lower_bound: bool) -> gpd.GeoDataFrame:
    """Rain cells whose safety factor Rc / R7 is below one.

    Args:
        total: R7, mm, (lat, lon) cell centres in degrees, NaN = unknown.
        critical: Rc, mm, on the same cells, NaN where no threshold is known.
        lower_bound: whether more rain fell than `total` says.

    Returns:
        GeoDataFrame in EPSG:4326: rain_mm, critical_mm, safety_factor, lower_bound, geometry (the cell). A cell whose
        rain or threshold is unknown is not in it: it is not known to exceed. Unknown rain gives an unknown class.
    """
    fields = (total, critical, safety_factor(critical, total))
    rain, limit, factor = (field.transpose("lat", "lon").values.astype(float) for field in fields)
    above = factor < 1
    return gpd.GeoDataFrame(
        {
            "rain_mm": rain[above],
            "critical_mm": limit[above],
            "safety_factor": factor[above],
            "lower_bound": np.full(above.sum(), lower_bound),
        },
        geometry=_cells(total)[above],
        crs="EPSG:4326",
    )


def area_rain(total: xr.DataArray, critical: xr.DataArray, areas: gpd.GeoDataFrame) -> pd.DataFrame:
    """The most rain of seven days in each warning area, and the critical rainfall where it fell.

    Args:
        total, critical: R7 and Rc, mm, (lat, lon), NaN = unknown.
        areas: area_id and geometry, in any CRS.

    Returns:
        One row an area: area_id, rain_mm and critical_mm (NaN where no rain of the area is known), and known: whether
        all rain that its slopes are judged by is.
    """
    rain, limit = (field.transpose("lat", "lon").values.astype(float).ravel() for field in (total, critical))
    tree = shapely.STRtree(_cells(total).ravel())
    cell_deg = float(abs(total["lon"][1] - total["lon"][0]))
    rows = []
    for area_id, geometry in zip(areas["area_id"], areas.geometry.to_crs("EPSG:4326"), strict=True):
        cells = tree.query(geometry, predicate="intersects")
        known = cells[~np.isnan(rain[cells])]
        most, needed = (np.nan, np.nan)
        if len(known):
            wettest = known[np.argmax(rain[known])]
            most, needed = rain[wettest], limit[wettest]
        # Rain is sampled between centres: a gap in the next cell reaches into the area too.
        near = tree.query(geometry, predicate="dwithin", distance=cell_deg)
        rows.append((area_id, most, needed, len(near) > 0 and not np.isnan(rain[near]).any()))
    return pd.DataFrame(rows, columns=["area_id", "rain_mm", "critical_mm", "known"])


def _cells(field: xr.DataArray) -> NDArray[np.object_]:
    """The cell around each centre, [lat, lon]."""
    lat, lon = np.meshgrid(field["lat"].values.astype(float), field["lon"].values.astype(float), indexing="ij")
    half_lat, half_lon = abs(lat[1, 0] - lat[0, 0]) / 2, abs(lon[0, 1] - lon[0, 0]) / 2
    return shapely.box(lon - half_lon, lat - half_lat, lon + half_lon, lat + half_lat)
