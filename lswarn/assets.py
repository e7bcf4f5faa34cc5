"""Reads roads, settlements and warning areas from GeoPackage, Shapefile, GeoJSON or OpenStreetMap (door: disk).

Nothing goes missing in silence: an invalid geometry is mended and told with what the mending lost, and whatever is left
out is counted by its reason.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from lswarn.errors import RegionError
from lswarn.osm import load_osm
from lswarn.region import Region
from lswarn.sections import Asset
from lswarn.sources import load_placeless, load_raw_vector, nothing_inside

AssetName = Literal["roads", "settlements", "warning_areas"]
MEANINGS = ("id", "name", "ref", "kind", "population")
TOLD = 20
"""So many of a kind are told one by one."""

MOST_PEOPLE = 1e8
GROUPED = re.compile(r"\d{1,3}(?:[ ,.'’\u00a0\u202f]\d{3})+")
"""Thousands set apart, as people write them: 12 345, 12,345, 12.345."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tags:
    """Where OpenStreetMap keeps an asset: in which layer, its kind under which tag, and which kinds count."""

    layer: str
    kind: str
    kinds: tuple[str, ...]


HIGHWAYS = ("motorway", "trunk", "primary", "secondary", "tertiary")
OSM = {
    "roads": Tags(
        "lines",
        "highway",
        (*HIGHWAYS, *(f"{kind}_link" for kind in HIGHWAYS), "unclassified", "residential", "living_street", "road"),
    ),
    "settlements": Tags(
        "points",
        "place",
        ("city", "borough", "suburb", "quarter", "neighbourhood", "town", "village", "hamlet", "isolated_dwelling"),
    ),
    "warning_areas": Tags("multipolygons", "admin_level", ()),
}
"""What is taken of OpenStreetMap where region.toml says nothing else."""


@dataclass(frozen=True)
class Repair:
    """An invalid geometry that was mended.

    Attributes:
        fault: what was wrong, in the words of GEOS.
        lost: of what its outlines enclose, or of its course, so much is no longer in it: m², or m of a line. None
            where that cannot be known, since a coordinate is no number.
    """

    id: str
    fault: str
    lost: float | None


@dataclass(frozen=True)
class Reading:
    """What a file holds of a region.

    Attributes:
        features: EPSG:4326; id, name, ref, kind, population (None throughout where no field says it), geometry (valid,
            not empty, but perhaps without length or area).
        left_out: why features of the file are not among them, and how many.
        repairs: what was mended.
    """

    features: gpd.GeoDataFrame
    left_out: dict[str, int]
    repairs: tuple[Repair, ...]

    @property
    def told(self) -> dict[str, Any]:
        """The reading in figures, for people: features, repaired, lost by repair, left out."""
        known = [repair.lost for repair in self.repairs if repair.lost is not None]
        examples = [f"{each.id}: {each.fault}, {_lost(each.lost)}" for each in self.repairs[:TOLD]]
        return {
            "features": len(self.features),
            "repaired": len(self.repairs),
            "lost_by_repair": sum(known),
            "repairs": examples,
            "left_out": self.left_out,
        }


def load_asset(region: Region, name: AssetName, asset: Asset | None = None) -> Reading:
    """Read the features of one kind that meet the region.

    Args:
        asset: the file to read; left out: that of region.toml.

    Raises:
        RegionError: no such file, layer or field; no CRS; damaged; nothing in the region; areas of OpenStreetMap
            without saying which (`kinds`).
    """
    asset, context = asset or getattr(region.assets, name), f"assets.{name}"
    what = f"{context}: {asset.file}"
    fields = fields_of(asset, name)
    frame = _read(region, asset, name, fields, context)
    left_out: dict[str, int] = {}

    if not asset.is_extract:  # where every feature has a place
        nowhere, total = load_placeless(asset.file, layer=asset.layer, field=fields["id"], context=context)
        if nowhere:
            told = _listed([str(each) for each in nowhere])
            log.warning("%s: %d features have no geometry and are left out: %s", what, len(nowhere), told)
        left_out = {"no geometry": len(nowhere), "outside the region": total - len(nowhere) - len(frame)}
        left_out = {reason: number for reason, number in left_out.items() if number > 0}

    if kinds := _kinds(asset, name):
        counts = frame["kind"].isna() | frame["kind"].map(str).isin(kinds)
        others = frame["kind"][~counts].value_counts()
        left_out |= {f"kind {kind}": int(number) for kind, number in others.items()}
        if not counts.any() and not others.empty:
            raise RegionError(f"{what}: none is of kind {', '.join(kinds)}; there are {_listed(list(others.index))}")
        frame = frame[counts]
    elif asset.is_extract and name == "warning_areas" and not frame.empty:
        levels = frame["kind"].value_counts().sort_index()
        there = ", ".join(f"{level} ({number} areas)" for level, number in levels.items())
        raise RegionError(f"{what}: areas of several levels lie over each other; say kinds = […] of: {there}")

    if frame["id"].duplicated().any():
        again = frame.assign(shape=frame.geometry.to_wkb()).drop(columns="geometry").duplicated()
        if again.any():
            left_out["said twice"] = int(again.sum())
            frame = frame[~again.to_numpy()]
    if frame.empty:
        layer = OSM[name].layer if asset.is_extract and asset.layer is None else asset.layer
        raise nothing_inside(asset.file, layer=layer, bbox=region.bbox, context=context)
    frame, repairs = _repaired(frame.reset_index(drop=True), region.crs)
    if repairs:
        told = _listed([f"{each.id} ({each.fault}, {_lost(each.lost)})" for each in repairs])
        log.warning("%s: %d invalid geometries were repaired: %s", what, len(repairs), told)
    return Reading(frame, left_out, repairs)


def fields_of(asset: Asset, name: AssetName) -> dict[str, str]:
    """Which field of its file has which meaning; of OpenStreetMap also those that are not said."""
    fields = {meaning: field for meaning in MEANINGS if (field := getattr(asset, meaning)) is not None}
    if not asset.is_extract:
        return fields
    known = {"id": "osm_id", "name": "name", "kind": OSM[name].kind}
    known |= {"roads": {"ref": "ref"}, "settlements": {"population": "population"}}.get(name, {})
    return known | fields


def people_of(value: Any) -> int | None:
    """Whole people, of a number or a text; None where it is neither, or more than live on a continent."""
    if isinstance(value, str) and GROUPED.fullmatch(value.strip()):
        value = re.sub(r"\D", "", value)
    number = float(pd.to_numeric(value, errors="coerce"))
    return round(number) if np.isfinite(number) and number <= MOST_PEOPLE else None


def _read(region: Region, asset: Asset, name: AssetName, fields: dict[str, str], context: str) -> gpd.GeoDataFrame:
    """The file's features in degrees, their fields named by what they mean."""
    wanted = sorted(set(fields.values()))
    if asset.is_extract:
        layer, tags = asset.layer or OSM[name].layer, [field for field in wanted if field != fields["id"]]
        frame = load_osm(asset.file, layer=layer, tags=tags, tagged=fields["kind"], bbox=region.bbox, context=context)
    else:
        frame = load_raw_vector(asset.file, layer=asset.layer, fields=wanted, bbox=region.bbox, context=context)
    frame = frame.to_crs(4326)
    columns = {meaning: frame[fields[meaning]].astype(object) if meaning in fields else None for meaning in MEANINGS}
    return gpd.GeoDataFrame(columns, geometry=frame.geometry, index=frame.index)


def _kinds(asset: Asset, name: AssetName) -> tuple[str, ...]:
    """Which kinds count; empty = all."""
    if asset.kinds:
        return asset.kinds
    return OSM[name].kinds if asset.is_extract and asset.kind in (None, OSM[name].kind) else ()


def _repaired(frame: gpd.GeoDataFrame, crs: str) -> tuple[gpd.GeoDataFrame, tuple[Repair, ...]]:
    """Valid geometries, and what that took.

    Of two parts that lie over each other the union is kept: the even-odd rule would cut a hole where they do.
    """
    shapes = frame.geometry.to_numpy()
    broken = np.flatnonzero(~shapely.is_valid(shapes))
    if not broken.size:
        return frame, ()
    before = shapes[broken]
    after = shapely.make_valid(before, method="structure", keep_collapsed=False)
    faults = [reason.split("[")[0] for reason in shapely.is_valid_reason(before)]
    losses = [_lost_of(was, now, crs) for was, now in zip(before, after, strict=True)]
    ids = frame["id"].iloc[broken].map(str)
    repairs = tuple(Repair(*facts) for facts in zip(ids, faults, losses, strict=True))
    mended = shapes.copy()
    mended[broken] = after
    return frame.set_geometry(gpd.GeoSeries(mended, index=frame.index, crs=4326)), repairs


def _lost_of(before: BaseGeometry, after: BaseGeometry, crs: str) -> float | None:
    """How much of what was drawn is gone, to a tenth: m² of areas, m of lines."""
    if not np.isfinite(shapely.get_coordinates(before)).all():
        return None
    if areas := [part for part in _parts(before) if part.geom_type == "Polygon"]:
        gone = shapely.union_all([_enclosed(area) for area in areas]).difference(after)
        return round(float(_metric(gone, crs).area), 1)
    return max(round(float(_metric(before, crs).length - _metric(after, crs).length), 1), 0.0)


def _metric(shape: BaseGeometry, crs: str) -> BaseGeometry:
    return gpd.GeoSeries([shape], crs=4326).to_crs(crs).iloc[0]


def _parts(shape: BaseGeometry) -> Any:
    return shapely.get_parts(shapely.get_parts(shape))


def _enclosed(area: Any) -> BaseGeometry:
    """What an area's outline encloses, however it crosses itself, without what its holes do."""
    faces = [
        shapely.union_all(shapely.get_parts(shapely.polygonize(shapely.get_parts(shapely.node(ring)))))
        for ring in (area.exterior, *area.interiors)
    ]
    return faces[0].difference(shapely.union_all(faces[1:]))


def _lost(lost: float | None) -> str:
    return "nobody knows how much was lost" if lost is None else f"{lost:g} lost" if lost else "nothing lost"


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
    return ", ".join(texts[:TOLD]) + more
