"""One file on its way from a server, over all the tries it takes: what is asked for, what fits, what is kept.

No connection is opened here; see `download`, the door.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from errno import EDQUOT, ENOSPC
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import BinaryIO, Protocol

from urllib3.exceptions import HTTPError

from lswarn.errors import CorruptGranule, StorageFull

CHUNK_BYTES = 1 << 18
MOST_BYTES = 1 << 30  # the largest file of a day has about 500 MB, and only records of it are asked for
LEAST_BYTES_PER_S = 2048  # slower than this is no download but a server that keeps us waiting

Span = tuple[int, int | None]
"""First and last byte; None: to the end."""


class Passing(Exception):
    """A failure that a moment may heal; `after_s` is how long the server asked us to wait."""

    def __init__(self, message: str, *, after_s: float = 0.0, reset: bool = False) -> None:
        self.after_s, self.reset = after_s, reset
        super().__init__(message)


class Body(Protocol):
    """What urllib3 gives to read from."""

    def read1(self, amt: int, decode_content: bool) -> bytes:
        """What is there, at most `amt` bytes; none at the end."""


@dataclass
class Transfer:
    """One file, or a span of its bytes, and how much of it is here.

    Attributes:
        into: what is here; its position is its length.
        since: ask only for what was modified since then; aware.
        most_bytes: more than this is not a file of ours.
        validator: marks the version of what is here, for If-Range; without one, half a file is worth nothing.
    """

    url: str
    into: BinaryIO
    span: Span = (0, None)
    since: datetime | None = None
    most_bytes: int = field(default_factory=lambda: MOST_BYTES)
    validator: str = ""
    etag: str = ""

    @property
    def wanted(self) -> int | None:
        """Bytes in all; None where the end is not known."""
        first, last = self.span
        return None if last is None else last - first + 1

    def headers(self) -> dict[str, str]:
        """Of the next request: for all of it, or for what is not yet here."""
        if not self.validator:
            self.discard()  # the rest could be the rest of another version
        done, (first, last) = self.into.tell(), self.span
        headers: dict[str, str] = {}
        if done or self.span != (0, None):
            headers["Range"] = f"bytes={first + done}-{'' if last is None else last}"
        if done:
            headers["If-Range"] = self.validator
        elif self.since is not None:
            headers["If-Modified-Since"] = format_datetime(self.since.astimezone(UTC), usegmt=True)
        return headers

    def discard(self) -> None:
        """Forget what is here."""
        if self.into.tell():
            self.into.seek(0)
            self.into.truncate()

    def begin(self, status: int, headers: Mapping[str, str]) -> int:
        """How many bytes of a body come before those that are wanted; what is here stays only if they go on from it.

        Raises:
            Passing: it is not what was asked for.
            CorruptGranule: the file has no such span, or is too large.
        """
        done, (first, last), etag = self.into.tell(), self.span, headers.get("ETag", "")
        if status == 416 and not done:
            raise CorruptGranule(
                f"{self.url}: has no bytes {first} to {last}; does the index beside it belong to another file?"
            )
        fits, skip = status == 200, first
        if status == 206:
            came = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", headers.get("Content-Range", "").strip())
            begins = came is not None and int(came[1]) == first + done
            ends = came is not None and (last is not None or came[3] in ("*", str(int(came[2]) + 1)))
            fits, skip = begins and ends and (not done or etag == self.etag), 0
        if not fits:
            self.discard()
            raise Passing("what was asked for is not there any more")
        size = headers.get("Content-Length", "")
        if re.fullmatch(r"\d{1,18}", size) and int(size) > self.most_bytes:
            raise CorruptGranule(f"{self.url}: announces {int(size):,} bytes; no such file has as many")
        if status == 200:
            self.discard()
        self.etag = etag
        self.validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        return skip

    def read(self, body: Body, skip: int, timeout_s: float) -> None:
        """Read what is there as soon as it is there, so that a server cannot hold us by one byte at a time.

        Raises:
            Passing: it was cut short, or comes slower than a trickle after `timeout_s`.
            CorruptGranule: it does not end, or ends too early.
        """
        began_s, came = time.monotonic(), 0
        while self.wanted is None or self.into.tell() < self.wanted:
            try:
                piece = body.read1(CHUNK_BYTES, decode_content=False)
            except HTTPError as error:
                raise Passing(f"the body was cut short ({cause(error)})") from error
            if not piece:
                break
            came += len(piece)
            if came > self.most_bytes:
                raise CorruptGranule(f"{self.url}: does not end; more than {self.most_bytes:,} bytes came")
            piece, skip = piece[skip:], max(0, skip - len(piece))
            self.into.write(piece if self.wanted is None else piece[: self.wanted - self.into.tell()])
            if (waited_s := time.monotonic() - began_s) > timeout_s and came < waited_s * LEAST_BYTES_PER_S:
                raise Passing(f"only {came:,} bytes came in {waited_s:.3g} s")
        if self.wanted is not None and self.into.tell() != self.wanted:
            raise CorruptGranule(
                f"{self.url}: ends before byte {self.span[1]}; does the index beside it belong to another file?"
            )


@dataclass
class Lasting(Transfer):
    """A transfer that may outlive its process: what is here at its beginning is gone on from.

    Attributes:
        mark: file that holds which version is being fetched; missing or unreadable: what is here is worth nothing.
    """

    mark: Path = field(kw_only=True)

    def __post_init__(self) -> None:
        try:
            known = json.loads(self.mark.read_text("utf-8"))
            self.validator, self.etag = str(known["validator"]), str(known["etag"])
        except (OSError, ValueError, KeyError, TypeError):
            self.validator = self.etag = ""
        self.into.seek(0, SEEK_END)

    def begin(self, status: int, headers: Mapping[str, str]) -> int:
        """See `Transfer.begin`."""
        skip = super().begin(status, headers)
        self.into.flush()
        self.mark.write_text(json.dumps({"validator": self.validator, "etag": self.etag}), "utf-8")
        return skip


def cause(error: BaseException) -> BaseException:
    """The innermost reason: requests wraps a refused connection three times over."""
    while error.__context__ is not None:
        error = error.__context__
    return error


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder to download to, gone with all that is in it when it is left.

    Raises:
        StorageFull: there is no room for it, or in it.
    """
    try:
        root = Path(gettempdir())
    except FileNotFoundError as error:  # each place was tried by writing there
        raise StorageFull(f"{error.strerror}: let TMPDIR name one that has room") from error
    with storage(root), TemporaryDirectory(prefix="lswarn-", dir=root, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Say it in our own words where there is no room to write.

    Raises:
        StorageFull: the disk or its quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise StorageFull(
            f"{path}: {error.strerror}; make room there (or let TMPDIR name another place): nothing was kept"
        ) from error
