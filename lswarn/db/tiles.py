"""The class map of a run in the database: tiles that PostGIS reads as rasters.

A tile is kept by the digest of its place and cells, so that what stays the same from day to day is stored once.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from sqlalchemy import Connection, text

from lswarn.db import tables
from lswarn.db.engine import copy_rows
from lswarn.errors import DatabaseError
from lswarn.grid import Block

TILE_CELLS = 256
"""Side of a tile. Smaller ones change less often, and are more to look up."""

_UINT8 = 4
"""PostGIS' number for the pixel type 8BUI."""


@dataclass(frozen=True)
class Tile:
    """A piece of a class map.

    Attributes:
        row, col: of the tile among tiles, from 0 in the north-west.
        wkb: the raster as PostGIS takes it in.
        sha256: digest of `wkb`, in hex: of the tile's place as well as of its cells.
    """

    row: int
    col: int
    wkb: bytes
    sha256: str


def record_tiles(conn: Connection, run_id: int, classes: Path) -> int:
    """Keep the class map of a run.

    Args:
        classes: raster of `Class` values, uint8, in a CRS with an EPSG code.

    Returns:
        How many of its tiles were not there yet.

    Raises:
        DatabaseError: the raster cannot be read.
    """
    # Nobody deletes a tile that this run is about to name: see `retention.prune`.
    conn.execute(text("LOCK TABLE lswarn.class_tile IN ROW EXCLUSIVE MODE"))
    found = {(tile.row, tile.col): tile for tile in load_tiles(classes)}
    query = text("SELECT sha256 FROM lswarn.class_tile WHERE sha256 = ANY(:wanted)")
    known = set(conn.execute(query, {"wanted": [tile.sha256 for tile in found.values()]}).scalars())
    new = {tile.sha256: tile.wkb for tile in found.values() if tile.sha256 not in known}
    if new:
        # Another region of the same cells may be storing the same tile this moment.
        conn.execute(
            text("""INSERT INTO lswarn.class_tile (sha256, rast) VALUES (:sha256, ST_RastFromWKB(:wkb))
                    ON CONFLICT DO NOTHING"""),
            [{"sha256": sha256, "wkb": wkb} for sha256, wkb in sorted(new.items())],
        )
    rows = ((run_id, tile.row, tile.col, tile.sha256) for tile in found.values())
    copy_rows(conn, tables.run_tile, ["run_id", "tile_row", "tile_col", "sha256"], rows)
    return len(new)


def load_tiles(classes: Path, cells: int = TILE_CELLS) -> Iterator[Tile]:
    """Cut a class map on disk into tiles of so many cells a side; those in the east and south may be smaller.

    Raises:
        DatabaseError: the raster cannot be read.
    """
    try:
        with rasterio.open(classes) as file:
            srid = file.crs.to_epsg() if file.crs else None
            if srid is None:
                raise DatabaseError(f"{classes}: its CRS has no EPSG code; delete its folder, and run the day again")
            for block in Block(0, 0, file.height, file.width).split(cells):
                values = file.read(1, window=block.window)
                wkb = raster_wkb(values, file.transform @ Affine.translation(block.col, block.row), srid)
                yield Tile(block.row // cells, block.col // cells, wkb, hashlib.sha256(wkb).hexdigest())
    except RasterioError as error:
        raise DatabaseError(
            f"{classes}: the class map cannot be read: {error}; delete its folder, and run the day again"
        ) from error


def raster_wkb(values: NDArray[np.uint8], transform: Affine, srid: int) -> bytes:
    """One band of bytes in PostGIS' binary form of a raster, without nodata: 0 is a value, and means unknown.

    The form is that of PostGIS' RFC 2 (raster/doc/RFC2-WellKnownBinaryFormat): little-endian, version 0, one band;
    scale, upper-left corner and skew; SRID, width, height; then the band's type and nodata, and its rows.
    """
    height, width = values.shape
    head = struct.pack("<BHH", 1, 0, 1)
    place = struct.pack("<6d", transform.a, transform.e, transform.c, transform.f, transform.b, transform.d)
    size = struct.pack("<iHH", srid, width, height)
    return head + place + size + struct.pack("<BB", _UINT8, 0) + np.ascontiguousarray(values).tobytes()


def forget_orphans(conn: Connection) -> int:
    """Delete tiles that no run names any more; how many."""
    # Until this is over nobody finds a tile there and names it: see `record_tiles`.
    conn.execute(text("LOCK TABLE lswarn.class_tile IN SHARE ROW EXCLUSIVE MODE"))
    orphans = """DELETE FROM lswarn.class_tile AS tile
                 WHERE NOT EXISTS (SELECT FROM lswarn.run_tile WHERE run_tile.sha256 = tile.sha256)"""
    return conn.execute(text(orphans)).rowcount
