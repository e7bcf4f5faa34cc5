"""Where a file's features land before they are merged into what is known, in one statement a kind."""

import logging
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely
from geoalchemy2 import Geometry
from sqlalchemy import Boolean, Column, Connection, Date, Double, Integer, MetaData, Table, Text, text

from lswarn.assets import people_of
from lswarn.db.engine import copy_rows
from lswarn.errors import RegionError
from lswarn.region import Region

log = logging.getLogger(__name__)

INCOMING = Table(
    "incoming",
    MetaData(),
    *(Column(name, Text) for name in ("source_id", "name", "ref", "kind", "trigger", "source")),
    Column("population", Integer),
    Column("day", Date),
    Column("accuracy_m", Double),
    Column("outline", Boolean),
    Column("slid", Boolean),
    Column("geometry", Geometry("GEOMETRY", srid=4326, spatial_index=False)),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

CONTROLS: dict[int, str | None] = {
    **dict.fromkeys([*range(32), *range(127, 160)], " "),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
}
"""No name has these: the database refuses a zero byte, and an override of the direction of writing turns round what
comes after it in a message. Names from right to left need none.
"""


def land(conn: Connection, features: gpd.GeoDataFrame, key: str) -> None:
    """Put a file's features into the temporary table `incoming`, whatever was there before.

    Args:
        features: columns id, geometry (any CRS), and where known those of `INCOMING`.
        key: what they are, for messages.

    Raises:
        RegionError: an id is missing or given twice; a population is negative.
    """
    ids = _ids(features["id"], key)
    columns = {
        "source_id": ids,
        **{name: _texts(features, name) for name in ("name", "ref", "kind", "trigger", "source")},
        "population": _population(features, ids, key),
        "day": _nullable(features, "day"),
        "accuracy_m": _nullable(features, "accuracy_m"),
        **{name: _nullable(features, name) for name in ("outline", "slid")},
        "geometry": _ewkb(features),
    }
    INCOMING.drop(conn, checkfirst=True)
    INCOMING.create(conn)
    copy_rows(conn, INCOMING, list(columns), zip(*columns.values(), strict=True))
    conn.execute(text("ANALYZE incoming"))


def discs(features: gpd.GeoDataFrame, region: Region, radius_m: float) -> gpd.GeoDataFrame:
    """A polygon as it is; of a point or line, the ground within a radius."""
    thin = shapely.get_dimensions(features.geometry.to_numpy()) < 2
    if not thin.any():
        return features
    shapes = features.geometry.to_crs(4326)
    shapes[thin] = shapes[thin].to_crs(region.crs).buffer(radius_m).to_crs(4326)
    return features.set_geometry(shapes)


def _ids(ids: pd.Series, key: str) -> list[str]:
    if pd.api.types.is_float_dtype(ids) and (ids.dropna() % 1 == 0).all():
        ids = ids.astype("Int64")
    texts = ["" if pd.isna(value) else _plain(value) for value in ids]
    if empty := texts.count(""):
        raise RegionError(f"{key}: {empty} features have no id; give each its own in the id field")
    if twice := sorted(pd.Series(texts)[pd.Series(texts).duplicated()].unique()):
        raise RegionError(f"{key}: the id field is no id, since features share {', '.join(twice[:5])}")
    return texts


def _texts(features: gpd.GeoDataFrame, name: str) -> list[str]:
    if name not in features:
        return [""] * len(features)
    return ["" if pd.isna(value) else _plain(value) for value in features[name].astype(object)]


def _plain(value: object) -> str:
    """One line of text, every letter and sign of it kept."""
    return " ".join(str(value).translate(CONTROLS).split())


def _population(features: gpd.GeoDataFrame, ids: list[str], key: str) -> list[int | None]:
    """Whole people; what is no number is unknown, with a warning."""
    if "population" not in features:
        return [None] * len(features)
    given = features["population"].astype(object)
    counts = [None if pd.isna(value) else people_of(value) for value in given]
    if odd := [
        f"{i}: {v!r}" for i, v, count in zip(ids, given, counts, strict=True) if count is None and not pd.isna(v)
    ]:
        log.warning("%s: %d populations are no numbers and taken as unknown: %s", key, len(odd), ", ".join(odd[:20]))
    if (least := min((count for count in counts if count is not None), default=0)) < 0:
        raise RegionError(f"{key}: population {least} is negative; leave it empty where it is unknown")
    return counts


def _nullable(features: gpd.GeoDataFrame, name: str) -> list[Any]:
    if name not in features:
        return [None] * len(features)
    return [None if pd.isna(value) else value for value in features[name].astype(object)]


def _ewkb(features: gpd.GeoDataFrame) -> Any:
    shapes = shapely.force_2d(features.geometry.to_crs(4326).to_numpy())
    shapes = shapely.make_valid(shapes, method="structure", keep_collapsed=False)
    return shapely.to_wkb(shapely.set_srid(shapes, 4326), hex=True, include_srid=True)
