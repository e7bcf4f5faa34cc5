"""Groundwork: what must lie ready before the first day, the factors on disk and the assets in the database.

Repeated whenever region.toml or a file it names has changed; what has not changed is not done again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from lswarn.db import assets
from lswarn.db.engine import open_database, transaction
from lswarn.errors import RegionError
from lswarn.factors.check import check as check_files
from lswarn.factors.stack import FactorStack, build_stack
from lswarn.inventory import load_inventory, summary
from lswarn.rain.families import require_forecasts, require_one_family
from lswarn.rain.measures import find_measure
from lswarn.rain.products import address, find_product
from lswarn.rain.thresholds import critical_rainfall
from lswarn.rain.window import Bounds
from lswarn.region import Region
from lswarn.sections import Asset, Rain
from lswarn.settings import Settings
from lswarn.sources import load_vector

ANY_DAY = date(2026, 1, 1)
MEANINGS = ("id", "name", "ref", "kind", "population")


def check(region: Region, today: date | None = None) -> list[str]:
    """Everything that is wrong in region.toml and the files it names, a sentence each; empty if nothing is.

    Args:
        today: no landslide can have happened after it; left out: that is not asked.
    """
    problems = check_files(region, today)
    for source in (*region.rain.sources, *region.rain.forecasts):
        try:
            address(source, ANY_DAY, ANY_DAY if find_product(source).forecast else None)
        except RegionError as error:
            problems += error.problems
    for rule in (require_one_family, require_forecasts, partial(_require_threshold, region.bbox)):
        try:
            rule(region.rain)
        except RegionError as error:
            problems += error.problems
    return problems


def _require_threshold(bbox: Bounds, rain: Rain) -> None:
    """Ask for the critical rainfall as a run will, on cells of 0.1°."""
    west, south, east, north = bbox
    axes = {"lat": np.arange(south, north + 0.1, 0.1), "lon": np.arange(west, east + 0.1, 0.1)}
    like = xr.DataArray(np.zeros([len(axis) for axis in axes.values()]), axes)
    measure = find_measure(rain.measure, rain.effective_k)
    critical_rainfall(rain.threshold, like, product=rain.sources[0].product, measure=measure)


def build(region: Region, settings: Settings, on_progress: Callable[[str, float], None]) -> FactorStack:
    """Check every entry of region.toml, then build what is missing of the ten factors.

    Raises:
        RegionError: with everything that is wrong, before anything is built.
    """
    if problems := check(region):
        raise RegionError(*problems)
    return build_stack(region, settings.region_dir(region.name) / "factors", on_progress=on_progress)


def load_assets(region: Region, settings: Settings, today: date | None = None) -> dict[str, int]:
    """Put roads, settlements, warning areas and known landslides into the database; known ones are updated.

    Args:
        today: no landslide can have happened after it; left out: that is not asked.

    Returns:
        How many features there are of each.
    """
    frames = {
        name: _features(region, getattr(region.assets, name), f"assets.{name}")
        for name in ("roads", "settlements", "warning_areas")
    }
    landslides = load_inventory(region.inventory, bbox=region.bbox, today=today).events
    digest = hashlib.sha256()
    for frame in frames.values():
        digest.update(frame.to_wkb().to_csv(index=False).encode())
    with transaction(open_database(settings), region) as conn:
        assets.record_region(conn, region, digest.hexdigest())
        assets.record_assets(conn, region, **frames)
        assets.record_landslides(conn, region, landslides)
    told = {name.replace("_", " "): len(frame) for name, frame in frames.items()}
    slid = int(landslides["slid"].sum())
    told["landslides"] = slid
    if slid < len(landslides):
        told["places that did not slide"] = len(landslides) - slid
    return told


def load_landslides(region: Region, settings: Settings, today: date) -> dict[str, Any]:
    """Put the inventory into the database; known events are updated, by their id, and none is forgotten.

    Returns:
        What was read and done, in figures (`inventory.summary`): of the file, and `known`: of all the database has now.

    Raises:
        RegionError: as `inventory.load_inventory`.
        DatabaseError: the region is not recorded yet.
    """
    reading = load_inventory(region.inventory, bbox=region.bbox, today=today)
    with transaction(open_database(settings), region) as conn:
        recorded = assets.record_landslides(conn, region, reading.events)
        known = assets.find_landslides(conn, region)
    return {
        **summary(reading, region.inventory),
        **asdict(recorded),
        "known": {
            "teaching": len(known.teaching),
            **({"stable_teaching": len(known.stable)} if region.inventory.label else {}),
            **known.left_out,
        },
    }


def _features(region: Region, asset: Asset, context: str) -> gpd.GeoDataFrame:
    """One asset file with its fields named by what they mean, in degrees."""
    named = {meaning: field for meaning in MEANINGS if (field := getattr(asset, meaning)) is not None}
    frame = load_vector(
        asset.file,
        layer=asset.layer,
        fields=sorted(set(named.values())),
        crs="EPSG:4326",
        bbox=region.bbox,
        context=context,
    )
    columns = {meaning: frame[named[meaning]] if meaning in named else None for meaning in MEANINGS}
    return gpd.GeoDataFrame(columns, geometry=frame.geometry, index=frame.index)
