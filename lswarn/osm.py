"""Reads extracts of OpenStreetMap, .osm.pbf or .osm: tags are fields by their own names (door: disk)."""

import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import pyogrio

from lswarn.errors import RegionError
from lswarn.sources import VECTOR_ERRORS, Bounds

ID = "osm_id"
"""Field with the id of a feature: its type with its number, for nodes and ways have the same numbers."""

AREAS = (
    "aeroway,amenity,boundary,building,craft,geological,historic,landuse,leisure,military,natural,office,place,shop,"
    "sport,tourism,highway=platform,public_transport=platform"
)
"""Closed ways with these tags are areas; another closed way, such as a roundabout, is a line."""

LAYERS = ("points", "lines", "multipolygons")
TAG = re.compile(r"[^\s\"',=;\[\]\\]+")

log = logging.getLogger(__name__)


def load_osm(
    path: Path, *, layer: str, tags: Sequence[str], tagged: str, bbox: Bounds | None = None, context: str
) -> gpd.GeoDataFrame:
    """Nodes, lines or areas that have a certain tag.

    Args:
        layer: points, lines or multipolygons.
        tags: what to read of each, such as `name` or `name:en`.
        tagged: only features with this tag, which is one of `tags`.
        bbox: west, south, east, north, degrees: only features that meet it.
        context: key of the file in region.toml, for messages.

    Returns:
        EPSG:4326: osm_id (`node/1`, `way/1` or `relation/1`), the tags as texts (None where a feature has none),
        geometry as it is, invalid ones among them.

    Raises:
        RegionError: no such file; no such layer; what is no tag; a file that is damaged or cut off.
    """
    if not path.exists():
        raise RegionError(f"{context}: {path}: no such file")
    if layer not in LAYERS:
        raise RegionError(f"{context}: {path}: there is no layer {layer!r}; there are {', '.join(LAYERS)}")
    if odd := [tag for tag in tags if not TAG.fullmatch(tag)]:
        raise RegionError(f"{context}: {path}: {', '.join(map(repr, odd))} is no tag of OpenStreetMap")
    with TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rules = Path(folder) / "osm.ini"
        rules.write_text(_rules(tags), "utf-8")
        try:
            frame = pyogrio.read_dataframe(
                path, layer=layer, where=f'"{tagged}" IS NOT NULL', bbox=bbox, CONFIG_FILE=rules
            )
        except VECTOR_ERRORS as error:
            raise RegionError(f"{context}: {path}: cannot be read as OpenStreetMap ({error}); copy it again") from error
    for sentence in sorted({str(each.message) for each in told if issubclass(each.category, RuntimeWarning)}):
        log.warning("%s: %s: %s", context, path, sentence)
    if layer == "multipolygons":
        ways = frame[ID].isna()
        ids = ("relation/" + frame[ID]).where(~ways, "way/" + frame["osm_way_id"])
    else:
        ids = {"points": "node/", "lines": "way/"}[layer] + frame[ID]
    return frame.assign(**{ID: ids.astype(object)})[[ID, *tags, "geometry"]]


def _rules(tags: Sequence[str]) -> str:
    """What GDAL is to make of an extract: the named tags as fields, under their own names, and nothing else."""
    layers = [f"[{layer}]\nosm_id=yes\nattributes={','.join(tags)}\nother_tags=no\n" for layer in LAYERS]
    return f"closed_ways_are_polygons={AREAS}\nattribute_name_laundering=no\n" + "".join(layers)
