"""One day's hazard over a region, block by block, onto disk."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import pandas as pd

from lswarn.rain.window import Grade


@dataclass(frozen=True)
class Assessment:
    """What was found for one day: rasters on disk, findings in memory.

    Attributes:
        region, day: whose, and which day's.
        key: sha256 of everything it was made from (rain, factors, model, rules, areas): same key, same result.
        grade: of the rain window.
        model_id: checkpoint used; empty under grade E, where no model is asked.
        rain: one dict a day of the window (day, product, version, sha256, uri), oldest first.
        missing: days of the window without rain.
        classes, probability: paths of the day's COGs.
        digests: sha256 of those files, by name.
        zones: GeoDataFrame, EPSG:4326: class (4 or 5), area_m2, probability_mean, probability_max, geometry (Polygon).
        exceedances: GeoDataFrame, EPSG:4326: rain_mm, critical_mm, safety_factor, lower_bound, geometry (a rain cell).
        class_areas: DataFrame: area_id, class (0..5), area_m2.
    """

    region: str
    day: date
    key: str
    grade: Grade
    model_id: str
    rain: tuple[dict[str, str], ...]
    missing: tuple[date, ...]
    classes: Path
    probability: Path
    digests: dict[str, str]
    zones: gpd.GeoDataFrame
    exceedances: gpd.GeoDataFrame
    class_areas: pd.DataFrame
