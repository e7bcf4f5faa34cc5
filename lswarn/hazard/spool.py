"""Finished tiles of a priming, one after the other in a file that only grows: what a kill leaves is gone on with.

The first line says what the tiles are of. Each record holds one tile and its own checksum; reading stops at the first
record that is cut or damaged, and what follows is worked out again.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_NAMES = 7
_HEAD = struct.Struct(f"<4sII4HI{_NAMES}II{_NAMES}II")
_MARK = b"TILE"


@dataclass(frozen=True)
class Tile:
    """A tile of all layers, compressed.

    Attributes:
        row, col: among the tiles.
        least: least critical rainfall above zero for each class of `RISING`, tenths.
        unknown: cells of which a factor is unknown.
        crc: crc32 of the cells of each layer, in the order of `LAYERS`.
        packed_crc: crc32 of the tile of dry.tif as its file will hold it.
        packed: each layer's tile so.
    """

    row: int
    col: int
    least: tuple[int, ...]
    unknown: int
    crc: tuple[int, ...]
    packed_crc: int
    packed: tuple[bytes, ...]


@dataclass(frozen=True)
class Place:
    """Where a tile lies in the spool, and what is known of it without its cells. See `Tile`."""

    offset: int
    least: tuple[int, ...]
    unknown: int
    crc: tuple[int, ...]
    packed_crc: int
    sizes: tuple[int, ...]


class Spool:
    """The open spool.

    Attributes:
        places: of the tiles that are in it, by row and column.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.places: dict[tuple[int, int], Place] = {}
        self._file = file
        self._end = file.tell()
        while (size := self._take()) is not None:
            self._end += size
        file.truncate(self._end)

    def add(self, tile: Tile) -> None:
        """Put a tile at the end.

        Raises:
            OSError: there is no room; the tiles before are untouched.
        """
        sizes = tuple(len(blob) for blob in tile.packed)
        fields = (_MARK, tile.row, tile.col, *tile.least, tile.unknown, *tile.crc, tile.packed_crc, *sizes)
        payload = b"".join(tile.packed)
        crc = zlib.crc32(payload, zlib.crc32(repr(fields).encode()))
        self._file.seek(self._end)
        self._file.write(_HEAD.pack(*fields, crc) + payload)
        self._file.flush()
        self._note(fields)
        self._end += _HEAD.size + len(payload)

    def packed(self, layer: int, row: int, col: int) -> bytes:
        """A tile of one layer, by its number. May be asked from many threads."""
        place = self.places[row, col]
        return os.pread(self._file.fileno(), place.sizes[layer], place.offset + sum(place.sizes[:layer]))

    def _take(self) -> int | None:
        """Note the record at the end of what is noted; its size, None where no whole one follows."""
        self._file.seek(self._end)
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        *fields, crc = _HEAD.unpack(head)
        size = sum(fields[-_NAMES:])
        payload = self._file.read(size) if fields[0] == _MARK else b""
        if len(payload) < size or zlib.crc32(payload, zlib.crc32(repr(tuple(fields)).encode())) != crc:
            return None
        self._note(tuple(fields))
        return _HEAD.size + size

    def _note(self, fields: tuple[Any, ...]) -> None:
        _, row, col = fields[:3]
        crc, packed_crc, sizes = fields[8 : 8 + _NAMES], fields[8 + _NAMES], fields[9 + _NAMES :]
        self.places[row, col] = Place(self._end + _HEAD.size, fields[3:7], fields[7], crc, packed_crc, sizes)


@contextmanager
def open_spool(path: Path, what: dict[str, Any]) -> Iterator[Spool]:
    """The spool at a path, with the tiles that a killed priming left in it; begun anew where they are of another.

    Args:
        path: of the file; made if missing.
        what: all that the tiles hang on.

    Raises:
        OSError: it cannot be written.
    """
    first = json.dumps(what, sort_keys=True).encode() + b"\n"
    path.touch()
    with path.open("r+b") as file:
        if file.read(len(first)) != first:
            file.seek(0)
            file.truncate()
            file.write(first)
            file.flush()
        yield Spool(file)
