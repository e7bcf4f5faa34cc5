"""The class map of a run in the database: tiles that PostGIS reads as rasters.

A tile is kept by the digest of its place and of its bytes on disk, so that what stays the same from day to day is
stored once, and of a map that lies in such tiles on disk only the new ones are unpacked.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioError
from sqlalchemy import Connection, text
from tifffile import COMPRESSION, PREDICTOR, TiffFile, TiffFileError, TiffPage

from lswarn.db import tables
from lswarn.db.engine import copy_rows
from lswarn.errors import DatabaseError
from lswarn.grid import Block

TILE_CELLS = 512
"""Side of a tile, as on disk. Maps of older runs are kept in tiles of 256: each tells its own size."""

AT_ONCE = 64
"""New tiles that are unpacked at a time: 16 MiB."""

_UINT8 = 4
"""PostGIS' number for the pixel type 8BUI."""


@dataclass(frozen=True)
class Tile:
    """A piece of a class map.

    Attributes:
        row, col: of the tile among tiles, from 0 in the north-west.
        height, width: in cells; less in the south and east, where the map ends.
        head: the raster without its cells, as PostGIS takes it in.
        cells: row by row, or, where `packed`, as a tile of `TILE_CELLS` a side on disk: deflated.
        sha256: digest, in hex: of the tile's place as well as of its cells.
    """

    row: int
    col: int
    height: int
    width: int
    head: bytes
    cells: bytes
    packed: bool
    sha256: str

    @property
    def wkb(self) -> bytes:
        """The raster as PostGIS takes it in.

        Raises:
            zlib.error, ValueError: the cells are damaged.
        """
        if not self.packed:
            return self.head + self.cells
        whole = np.frombuffer(zlib.decompress(self.cells), np.uint8).reshape(TILE_CELLS, TILE_CELLS)
        return self.head + whole[: self.height, : self.width].tobytes()


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
    new = sorted({tile.sha256: tile for tile in found.values() if tile.sha256 not in known}.items())
    for start in range(0, len(new), AT_ONCE):
        try:
            some = [{"sha256": sha256, "wkb": tile.wkb} for sha256, tile in new[start : start + AT_ONCE]]
        except (zlib.error, ValueError) as error:
            raise _damaged(classes, error) from error
        # Another region of the same cells may be storing the same tile this moment.
        conn.execute(
            text("""INSERT INTO lswarn.class_tile (sha256, rast) VALUES (:sha256, ST_RastFromWKB(:wkb))
                    ON CONFLICT DO NOTHING"""),
            some,
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
        with rasterio.open(classes) as file, TiffFile(classes) as tiff:
            srid = file.crs.to_epsg() if file.crs else None
            if srid is None:
                raise DatabaseError(f"{classes}: its CRS has no EPSG code; delete its folder, and run the day again")
            page = tiff.pages.first
            packed = isinstance(page, TiffPage) and cells == TILE_CELLS and _as_stored(page)
            for number, block in enumerate(Block(0, 0, file.height, file.width).split(cells)):
                head = raster_head(
                    block.height, block.width, file.transform @ Affine.translation(block.col, block.row), srid
                )
                if packed:
                    tiff.filehandle.seek(page.dataoffsets[number])
                    values = tiff.filehandle.read(page.databytecounts[number])
                else:
                    values = np.ascontiguousarray(file.read(1, window=block.window)).tobytes()
                sha256 = hashlib.sha256(head + values).hexdigest()
                place = (block.row // cells, block.col // cells)
                yield Tile(*place, block.height, block.width, head, values, packed, sha256)
    except (RasterioError, TiffFileError) as error:
        raise _damaged(classes, error) from error


def _as_stored(page: TiffPage) -> bool:
    """Whether the tiles of a file are ours: bytes, deflated, none left out."""
    return (
        (page.tilelength, page.tilewidth, page.samplesperpixel) == (TILE_CELLS, TILE_CELLS, 1)
        and page.dtype == np.uint8
        and page.compression in (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
        and page.predictor == PREDICTOR.NONE
        and all(page.databytecounts)
    )


def _damaged(classes: Path, error: Exception) -> DatabaseError:
    return DatabaseError(f"{classes}: the class map cannot be read: {error}; delete its folder, and run the day again")


def raster_head(height: int, width: int, transform: Affine, srid: int) -> bytes:
    """One band of bytes in PostGIS' binary form of a raster, without nodata: 0 is a value, and means unknown.

    The form is that of PostGIS' RFC 2 (raster/doc/RFC2-WellKnownBinaryFormat): little-endian, version 0, one band;
    scale, upper-left corner and skew; SRID, width, height; then the band's type and nodata. Its rows follow.
    """
    head = struct.pack("<BHH", 1, 0, 1)
    place = struct.pack("<6d", transform.a, transform.e, transform.c, transform.f, transform.b, transform.d)
    size = struct.pack("<iHH", srid, width, height)
    return head + place + size + struct.pack("<BB", _UINT8, 0)


def forget_orphans(conn: Connection) -> int:
    """Delete tiles that no run names any more; how many."""
    # Until this is over nobody finds a tile there and names it: see `record_tiles`.
    conn.execute(text("LOCK TABLE lswarn.class_tile IN SHARE ROW EXCLUSIVE MODE"))
    orphans = """DELETE FROM lswarn.class_tile AS tile
                 WHERE NOT EXISTS (SELECT FROM lswarn.run_tile WHERE run_tile.sha256 = tile.sha256)"""
    return conn.execute(text(orphans)).rowcount
