"""Groundwork: what must lie ready before the first day, the factors on disk and the assets in the database.

Repeated whenever region.toml or a file it names has changed; what has not changed is not done again.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from pydantic import ValidationError

from lswarn.assets import AssetName
from lswarn.assets import load_asset as read_asset
from lswarn.db import assets
from lswarn.db.engine import open_database, transaction
from lswarn.db.verify import find_known_landslides
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
from lswarn.sections import Asset, Inventory, Rain
from lswarn.settings import Settings

ANY_DAY = date(2026, 1, 1)
ANOTHER_M = 1000.0
"""A landslide whose place is corrected does not move so far."""


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
    readings = {name: read_asset(region, name) for name in assets.TABLE}
    landslides = load_inventory(region.inventory, bbox=region.bbox, today=today).events
    with transaction(open_database(settings), region) as conn:
        assets.record_region(conn, region, "")
        assets.record_assets(conn, region, **{name: reading.features for name, reading in readings.items()})
        assets.record_assets_digest(conn, region)
        assets.record_landslides(conn, region, landslides)
    told = {name.replace("_", " "): len(reading.features) for name, reading in readings.items()}
    slid = int(landslides["slid"].sum())
    told["landslides"] = slid
    if slid < len(landslides):
        told["places that did not slide"] = len(landslides) - slid
    return told


def asset_of(region: Region, name: AssetName, file: Path, fields: dict[str, Any]) -> Asset:
    """An asset file that region.toml does not name; what holds for its kind there, such as `point_radius_m`, holds.

    Args:
        fields: which field means what, the layer and the kinds, as in [assets].

    Raises:
        RegionError: with every fault of the fields.
    """
    radius_m = getattr(region.assets, name).point_radius_m
    try:
        return Asset.model_validate({"file": file.absolute(), "point_radius_m": radius_m, **fields})
    except ValidationError as error:
        raise RegionError(*(f"{file}: {fault['msg']}" for fault in error.errors())) from error


def load_asset(region: Region, settings: Settings, name: AssetName, asset: Asset | None = None) -> dict[str, Any]:
    """Put the features of one kind into the database: known ones are updated, those that are gone are retired.

    Args:
        asset: the file to read; left out: that of region.toml.

    Returns:
        What was read and done, in figures: `Reading.told` with `Loaded`, and the file.

    Raises:
        RegionError: as `lswarn.assets.load_asset` and `record_asset`.
    """
    asset = asset or getattr(region.assets, name)
    reading = read_asset(region, name, asset)
    with transaction(open_database(settings), region) as conn:
        assets.record_region(conn, region, "")
        loaded = assets.record_asset(conn, region, name, reading.features)
        assets.record_assets_digest(conn, region)
    without_extent = {"without_extent": list(loaded.left_out)} if loaded.left_out else {}
    done = {key: value for key, value in asdict(loaded).items() if key != "left_out"}
    return {"file": str(asset.file), **reading.told, **without_extent, **done}


def load_landslides(
    region: Region, settings: Settings, today: date, *, inventory: Inventory | None = None, prefix: str = ""
) -> dict[str, Any]:
    """Put landslides into the database; known events are updated, by their id, and none is forgotten.

    Args:
        inventory: another one than the region's, such as a file of new events. One of its ids that is known as another
            landslide, of another day and more than `ANOTHER_M` away, is refused: it would be overwritten.
        prefix: put before each id.

    Returns:
        What was read and done, in figures (`inventory.summary`): of the file, and `known`: of all the database has now.

    Raises:
        RegionError: as `inventory.load_inventory`; ids that are known as other landslides.
        DatabaseError: the region is not recorded yet.
    """
    source = inventory or region.inventory
    reading = load_inventory(
        source, bbox=region.bbox, today=today, context="inventory" if inventory is None else "file"
    )
    events = reading.events.assign(id=prefix + reading.events["id"])
    with transaction(open_database(settings), region) as conn:
        if inventory and (others := _other_landslides(events, find_known_landslides(conn, region), region.crs)):
            raise RegionError(
                f"file: {source.file}: {len(others)} ids are known as other landslides, of another day and place "
                f"({', '.join(others[:5])}); give these events ids of their own: --prefix puts a word before each"
            )
        recorded = assets.record_landslides(conn, region, events)
        known = assets.find_landslides(conn, region)
    return {
        **summary(reading, source),
        **asdict(recorded),
        "known": {
            "teaching": len(known.teaching),
            **({"stable_teaching": len(known.stable)} if region.inventory.label else {}),
            **known.left_out,
        },
    }


def _other_landslides(events: gpd.GeoDataFrame, known: gpd.GeoDataFrame, crs: str) -> list[str]:
    """Ids that both have, for landslides of another day and place."""
    one, other = (each.set_index("id").to_crs(crs) for each in (events, known))
    shared = sorted(set(one.index) & set(other.index))
    one, other = one.loc[shared], other.loc[shared]
    far = one.geometry.distance(other.geometry) > ANOTHER_M
    dated = one["day"].notna() & other["day"].notna()
    return list(far.index[far & dated & (one["day"] != other["day"])])
