"""How much rain roads, settlements and warning areas can take, and how much has fallen: what `rain_to_go` stands on."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from sqlalchemy import Connection, text

from lswarn.db import tables
from lswarn.db.engine import copy_rows
from lswarn.errors import DatabaseError
from lswarn.region import Region

KINDS = ("warning_area", "road", "settlement")
"""What can be hit, by the names of the tables."""

_FLOAT32 = 10
"""PostGIS' number for the pixel type 32BF."""


@dataclass(frozen=True)
class CriticalSource:
    """Where the critical rainfall of assets comes from.

    Attributes:
        layers: key of the critical layers.
        model_id, measure, rain_max_mm: as the layers say.
    """

    layers: str
    model_id: str
    measure: str
    rain_max_mm: float


@dataclass(frozen=True)
class CriticalRows:
    """The least critical rainfall of some assets of one kind, in columns; see table `asset_critical`.

    Attributes:
        kind: of `KINDS`.
        asset_id: their keys in the database.
        square, warned, ground_unknown: as `hazard.least` has them.
        critical_mm: NaN where no rain puts a known cell there.
        lon, lat: degrees.
    """

    kind: str
    asset_id: NDArray[np.int64]
    square: NDArray[np.int32]
    warned: NDArray[np.uint8]
    critical_mm: NDArray[np.float64]
    ground_unknown: NDArray[np.bool_]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]


@dataclass(frozen=True)
class Pressed:
    """An asset, and how much more rain it takes until some of it is in a class: a row of the view `rain_to_go_now`.

    Attributes:
        kind: of `KINDS`.
        status: reached, known, at_most, never, beyond_model or unknown.
        to_go_mm, critical_mm, rain_mm: at the place that is nearest to it; None where there is none.
        lon, lat: that place.
        beyond_model: on some of it more rain fell than the model has seen; None where no rain is known.
    """

    kind: str
    source_id: str
    name: str
    ref: str
    status: str
    to_go_mm: float | None
    critical_mm: float | None
    rain_mm: float | None
    lon: float | None
    lat: float | None
    beyond_model: bool | None


def record_rain(conn: Connection, run_id: int, rain: Path, *, lower_bound: bool = False) -> None:
    """Keep the rain that a run was made from.

    Args:
        rain: raster of 7-day rain on its own grid, EPSG:4326; mm by the scale it says, nodata or NaN = unknown.
        lower_bound: somewhere more fell than it says.

    Raises:
        DatabaseError: the raster cannot be read.
    """
    try:
        with rasterio.open(rain) as file:
            values = file.read(1, masked=True).astype(np.float32).filled(np.nan) * np.float32(file.scales[0])
            transform = file.transform
    except RasterioError as error:
        raise DatabaseError(
            f"{rain}: the day's rain cannot be read: {error}; delete its folder, and run the day again"
        ) from error
    query = text("""INSERT INTO lswarn.run_rain (run_id, lower_bound, rast)
                    VALUES (:run_id, :lower_bound, ST_RastFromWKB(:wkb))""")
    conn.execute(query, {"run_id": run_id, "lower_bound": lower_bound, "wkb": _wkb(values, transform)})


def _wkb(values: NDArray[np.float32], transform: Affine) -> bytes:
    """One band of float32 in degrees, as `tiles.raster_head`; without nodata, for NaN says it."""
    height, width = values.shape
    head = struct.pack("<BHH", 1, 0, 1)
    place = struct.pack("<6d", transform.a, transform.e, transform.c, transform.f, transform.b, transform.d)
    size = struct.pack("<iHH", 4326, width, height)
    return head + place + size + struct.pack("<Bf", _FLOAT32, 0) + np.ascontiguousarray(values, "<f4").tobytes()


def find_assets_digest(conn: Connection, region: Region) -> str:
    """Digest of what can be hit, as `assets.record_assets_digest` left it.

    Raises:
        DatabaseError: the region is not recorded.
    """
    query = text("SELECT assets_digest FROM lswarn.region WHERE name = :region")
    found = conn.execute(query, {"region": region.name}).scalar()
    if found is None:
        raise DatabaseError(f"region {region.name} is not recorded; run: lswarn region build")
    return str(found)


def is_current(conn: Connection, region: Region, layers: str) -> bool:
    """Whether the assets, as they are now, have been looked up in the layers of this key."""
    query = text("""SELECT EXISTS (
        SELECT FROM lswarn.critical_source AS source JOIN lswarn.region ON region.name = source.region
        WHERE source.region = :region AND layers = :layers AND source.assets_digest = region.assets_digest)""")
    return bool(conn.execute(query, {"region": region.name, "layers": layers}).scalar_one())


def find_shapes(
    conn: Connection, region: Region, kind: str, batch: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.object_]]]:
    """Keys and shapes, EPSG:4326, of one kind of assets, so many at a time, such as are near each other together."""
    # PostGIS sorts geometries along a Hilbert curve.
    query = text(f"""SELECT id, ST_AsBinary(geometry) FROM lswarn.{_named(kind)}
                     WHERE region = :region AND retired_at IS NULL ORDER BY geometry, id""")  # noqa: S608
    rows = conn.execute(query, {"region": region.name}, execution_options={"yield_per": batch})
    for part in rows.partitions(batch):
        ids, shapes = zip(*part, strict=True)
        yield np.array(ids, np.int64), shapely.from_wkb(np.array(shapes, dtype=object))


def _named(kind: str) -> str:
    assert kind in KINDS  # noqa: S101 - it becomes part of a statement
    return kind


def record_critical(
    conn: Connection, region: Region, source: CriticalSource, found: Sequence[CriticalRows], assets_digest: str
) -> None:
    """Write down the critical rainfall of all assets of a region, in place of what was there.

    Args:
        conn: of a transaction that holds the region's lock.
        assets_digest: of the assets that were looked up: if they have changed since, it is to be done again.
    """
    facts: dict[str, Any] = {"region": region.name, "assets_digest": assets_digest, **vars(source)}
    for table in (tables.asset_critical, tables.critical_source):
        conn.execute(table.delete().where(table.c.region == region.name))
    conn.execute(tables.critical_source.insert().values(facts))
    columns = ["region", "kind", "asset_id", "class", "square", "critical_mm", "ground_unknown", "lon", "lat"]
    copy_rows(conn, tables.asset_critical, columns, _copied(region.name, found))
    conn.execute(text("ANALYZE lswarn.asset_critical"))


def _copied(region: str, found: Sequence[CriticalRows]) -> Iterator[tuple[Any, ...]]:
    for each in found:
        critical = [None if mm != mm else mm for mm in each.critical_mm.tolist()]
        columns = (each.asset_id, each.warned, each.square, critical, each.ground_unknown, each.lon, each.lat)
        values = (column.tolist() if isinstance(column, np.ndarray) else column for column in columns)
        for row in zip(*values, strict=True):
            yield region, each.kind, *row


def find_pressed(
    conn: Connection, region: Region, *, warned: int = 5, kinds: Sequence[str] = KINDS, most: int = 20
) -> list[Pressed]:
    """The assets that need the least more rain on the newest day until some of them is in a class, the nearest first.

    Those of which nothing is known come after those that are known, and those that no rain puts there last: they are
    not few, so let `most` be large where all are wanted.

    Args:
        warned: class asked for, 4 or 5.
    """
    query = text("""
        SELECT kind, source_id, name, ref, status, to_go_mm, critical_mm, rain_mm, ST_X(geometry) AS lon,
               ST_Y(geometry) AS lat, beyond_model
        FROM lswarn.rain_to_go_now
        WHERE region = :region AND class = :warned AND kind = ANY(:kinds)
        ORDER BY to_go_mm NULLS LAST, array_position(ARRAY['unknown', 'beyond_model', 'never'], status), kind, source_id
        LIMIT :most""")
    facts = {"region": region.name, "warned": warned, "kinds": list(kinds), "most": most}
    return [Pressed(**row) for row in conn.execute(query, facts).mappings()]
