"""One file of a day on this disk, and what its first bytes say it is."""

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from lswarn.errors import CorruptGranule

HEAD_BYTES = 2048

Bounds = tuple[float, float, float, float]
"""West, south, east, north, degrees."""

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"CDF\x01", "netCDF-3"),
    (b"CDF\x02", "netCDF-3"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x1f\x8b", "gzip"),
    (b"GRIB", "GRIB"),
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "a PDF"),
)


@dataclass(frozen=True)
class Part:
    """One file of a day, on this disk.

    Attributes:
        name: its own name, in which date and version stand.
        path: where its bytes lie.
        uri: where it came from, as errors call it.
    """

    name: str
    path: Path
    uri: str


def corrupt(uri: str, fault: str) -> CorruptGranule:
    """What every decoder says of a file that is not what it claims to be, with the remedy."""
    return CorruptGranule(f"{uri}: {fault}; fetch it again, and if that does not help ask its provider")


def kind(head: bytes) -> str:
    """What the first bytes of a file say it is: `HDF5`, `TIFF`, `an HTML page`, …; raw floats are `binary`."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return "an empty file"
    if text[:1] == b"<" and (_is_text(head) or b"<html" in head.lower()):
        return "an XML document" if text[:5].lower() == b"<?xml" and b"<html" not in head.lower() else "an HTML page"
    if text[:1] in (b"{", b"[") and _is_text(head):
        return "JSON"
    return "text" if _is_text(head) else "binary"


def first_words(head: bytes) -> str:
    """What a person would read at the beginning of a page that came instead of a file, without its tags."""
    return " ".join(re.sub(rb"<[^>]*>", b" ", head).decode("utf-8", "replace").split())[:120]


def require_kind(part: Part, *wanted: str) -> str:
    """The kind of a file, which must be one of those wanted; a server may answer 200 and send an error page.

    Raises:
        CorruptGranule: it is another; says what it is and how it begins.
    """
    with part.path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if (found := kind(head)) in wanted:
        return found
    readable = found in ("an HTML page", "an XML document", "JSON", "text")
    begins = f", beginning {first_words(head)!r}" if readable else ""
    remedy = "open the address in a browser to see what the server says"
    raise CorruptGranule(f"{part.uri}: {found}{begins}, not {' or '.join(wanted)}; {remedy}")


def read_whole(part: Part, size: int) -> bytes:
    """All bytes of a file of known size, unpacked where it is gzip: no more is ever unpacked than it must hold.

    Raises:
        CorruptGranule: its bytes are fewer or more, or its gzip is damaged or cut short.
    """
    found = require_kind(part, "binary", "gzip")
    try:
        with gzip.open(part.path) if found == "gzip" else part.path.open("rb") as file:
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise corrupt(part.uri, f"its gzip is damaged or cut short ({error})") from error
    if len(data) != size:
        raise corrupt(part.uri, f"holds {'more' if len(data) > size else f'{len(data):,}'} bytes, not {size:,}")
    return data


def _is_text(head: bytes) -> bool:
    """Bare floats may hold no control character either, but they are no UTF-8."""
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head):
        return False
    try:
        return bool(codecs.getincrementaldecoder("utf-8")().decode(head).strip())  # its last character may be cut
    except UnicodeDecodeError:
        return False
