"""A day of rain from a folder or an http(s) server, proved to be what it claims before anything is kept (a door)."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copyfileobj
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from lswarn.errors import AccessDenied, CorruptGranule, NotYetPublished, RainError, SourceUnavailable
from lswarn.rain.accounts import Account, account_for
from lswarn.rain.download import Client
from lswarn.rain.formats.part import first_words, kind
from lswarn.rain.listings import Place, in_page, in_search, search_address
from lswarn.rain.products import (
    File,
    Part,
    Product,
    address,
    choose,
    due_at,
    find_product,
    version_rank,
)
from lswarn.rain.transfer import Span, storage, workplace
from lswarn.rain.window import RainDay
from lswarn.sections import RainSource
from lswarn.settings import Settings

log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 14
READABLE = ("an empty file", "an HTML page", "an XML document", "JSON", "text")
"""Kinds that a server sends instead of a file; all others are for the decoders to prove."""


@dataclass(frozen=True)
class _Got:
    """A part of the day on this disk, and when its provider published it."""

    part: Part
    published_at: datetime | None


class _Origin(Protocol):
    """Where the files of a day are: a folder or a server."""

    def find(self, files: Sequence[File]) -> dict[str, Place]:
        """What is there, by name: at least what is wanted of it."""

    def get(self, place: Place, file: File, into: Path, since: datetime | None) -> _Got | None:
        """Fetch one; None where it was not modified since."""


def fetch_day(
    source: RainSource,
    day: date,
    bbox: tuple[float, float, float, float],
    *,
    now: datetime,
    settings: Settings,
    issue: date | None = None,
    known: RainDay | None = None,
) -> RainDay | None:
    """Fetch the newest version of a product's day, and read the part of it that covers a box.

    Args:
        bbox: west, south, east, north, degrees.
        now: aware instant; becomes `fetched_at`.
        settings: accounts, and the longest silence of a server.
        issue: of a forecast: the day at whose 00 UTC it was made.
        known: what is archived of this product's day, over this box.

    Returns:
        The day; None where `known` is still the newest there is.

    Raises:
        NotYetPublished: no such file yet; says when it is, or was, due.
        SourceUnavailable: the server or folder does not answer, after a few tries.
        AccessDenied: 401, 403, a login page, an account that has ended, or a file we may not read.
        CorruptGranule: what came is an HTML page, cut short, of another day or schema.
        StorageFull: there is no room to download to.
        GridMismatch: the granule does not cover the box.
        RegionError: the source's product or `at` makes no sense.
    """
    product, at = find_product(source), address(source, day, issue)
    with workplace() as folder:
        try:
            files = product.files(day, issue)
            with _open_origin(source, product, at, day, now, settings) as origin:
                got = _get_newest(origin, product, files, folder, issue, known, source.connections)
        except NotYetPublished as error:
            due = due_at(source, day, issue)
            overdue = "" if now < due else f", {(now - due).total_seconds() / 3600:.1f} h ago: check rain.sources.at"
            raise NotYetPublished(f"{at}: {error}; it is due at {due:%Y-%m-%d %H:%M} UTC{overdue}") from error
        if got is None:
            return None
        version, taken = got
        parts = [each.part for each in taken]
        rain = product.decode(parts, day, bbox)
        sha256 = _sha256(parts)
    published = [each.published_at for each in taken if each.published_at is not None]
    return RainDay(day, rain, product.name, version, parts[0].uri, sha256, max(published, default=None), now)


def _get_newest(
    origin: _Origin,
    product: Product,
    files: Sequence[File],
    folder: Path,
    issue: date | None,
    known: RainDay | None,
    connections: int,
) -> tuple[str, list[_Got]] | None:
    """The parts of a day and their version; None where what is known is still the newest."""
    places = origin.find(files)
    _tell_versions(product, files, places)
    chosen = choose(files, places)
    wanted = [places[name] for name, _ in chosen]
    version = _version(product, [version for _, version in chosen], issue)
    since = known.published_at if known is not None and known.version == version else None
    if known is not None and version_rank(version) < version_rank(known.version):
        return None
    if since is not None and all(each.updated_at is not None and each.updated_at <= since for each in wanted):
        return None

    def get(index: int, since: datetime | None) -> _Got | None:
        return origin.get(wanted[index], files[index], folder / str(index), since)

    every = range(len(files))
    got = _at_once(lambda index: get(index, since), every, connections)
    if since is not None and not any(got.values()):
        return None
    unchanged = [index for index in every if got[index] is None]
    got |= _at_once(lambda index: get(index, None), unchanged, connections)
    return version, [each for _, each in sorted(got.items()) if each is not None]


def _at_once(get: Callable[[int], _Got | None], indices: Sequence[int], connections: int) -> dict[int, _Got | None]:
    """Several downloads at a time; after the first failure none is begun any more."""
    with ThreadPoolExecutor(connections, thread_name_prefix="rain") as pool:
        futures = {index: pool.submit(get, index) for index in indices}
        done, pending = wait(futures.values(), return_when=FIRST_EXCEPTION)
        for future in pending:
            future.cancel()
        for future in done:
            future.result()
    return {index: future.result() for index, future in futures.items()}


def _version(product: Product, versions: Sequence[str], issue: date | None) -> str:
    """Of several parts the oldest, so that a day that is part old, part new is fetched again when all of it is new."""
    if issue is not None:
        return f"{issue}T00Z"
    return min((version for version in versions if version), key=version_rank, default=product.version)


def _tell_versions(product: Product, files: Sequence[File], places: dict[str, Place]) -> None:
    for file in files:
        names = sorted(name for name in places if file.pattern.fullmatch(name))
        if len(names) > 1:
            log.info("%s: the newest of %s is taken", product.name, ", ".join(names))


def _sha256(parts: Sequence[Part]) -> str:
    digests = []
    for part in parts:
        with part.path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@contextmanager
def _open_origin(
    source: RainSource, product: Product, at: str, day: date, now: datetime, settings: Settings
) -> Iterator[_Origin]:
    if not at.startswith(("http://", "https://")):
        rule = source.at or at
        yield _Folder(*((str(Path(each).parent) for each in (at, rule)) if product.template else (at, rule)))
        return
    timeout_s, connections = settings.timeout_s, source.connections
    account = account_for(product.account, settings, now)
    with (
        Client(account, timeout_s=timeout_s, connections=connections, resets=product.resets) as client,
        Client(Account(), timeout_s=timeout_s, connections=connections) as anonymous,
    ):
        yield _Server(at, product, day, client, anonymous)


# ── a server ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Server:
    at: str
    product: Product
    day: date
    client: Client
    anonymous: Client

    def find(self, files: Sequence[File]) -> dict[str, Place]:
        if self.product.short_name and urlsplit(self.at).path.endswith(".json"):
            asked = search_address(self.at, self.product.short_name, self.day)
            return in_search(self.anonymous.get_text(asked), asked)
        folder = f"{self.at.rpartition('/')[0] if self.product.template else self.at.rstrip('/')}/"
        named = [file.name for file in files if file.name is not None]
        if len(named) == len(files):
            return {name: Place(name, folder + name) for name in named}
        if self.product.account == "pps":
            try:
                return self._find_as_text(folder, files)
            except NotYetPublished as error:
                log.info("%s: %s; looking into the folder itself", self.product.name, error)
        return in_page(self.client.get_text(folder), folder, files)

    def _find_as_text(self, folder: str, files: Sequence[File]) -> dict[str, Place]:
        """PPS keeps plain listings of its folders beside them, under /text/."""
        at = urlsplit(folder)
        path = at.path.removeprefix("/text")
        page = urlunsplit(at._replace(path=f"/text{path}"))
        return in_page(self.client.get_text(page), page, files, base=urlunsplit(at._replace(path=path)))

    def get(self, place: Place, file: File, into: Path, since: datetime | None) -> _Got | None:
        span = self._span(place, file) if file.index else (0, None)
        answer = self.client.get_file(place.address, into, span=span, since=since)
        if answer is None:
            return None
        _prove(into, place.address, lambda head: self.client.refuse_page(head, place.address, answer))
        return _Got(Part(place.name, into, place.address), answer.modified_at or place.updated_at)

    def _span(self, place: Place, file: File) -> Span:
        index = place.address.removesuffix(place.name) + file.index_of(place.name)
        return _record(file, self.client.get_text(index), index)


# ── a folder ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Folder:
    """`rule` is `at` before its placeholders were filled in."""

    at: str
    rule: str

    def find(self, files: Sequence[File]) -> dict[str, Place]:
        fixed = re.split(r"[{*]", self.rule)[0]  # a folder that must be there whatever the day
        root, folder = Path(fixed) if fixed == self.rule else Path(f"{fixed}x").parent, Path(self.at)
        if not root.is_dir():
            raise SourceUnavailable(f"{root}: no such folder; is it mounted, and is rain.sources.at right?")
        try:
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        except OSError as error:
            raise _unreadable(folder, error) from error
        return {name: Place(name, str(folder / name)) for name in names}

    def get(self, place: Place, file: File, into: Path, since: datetime | None) -> _Got | None:
        """Copied before it is proved, so that what is proved is what is read even if the file is being replaced."""
        path = Path(place.address)
        try:
            before = path.stat()
            published_at = datetime.fromtimestamp(before.st_mtime, UTC)
            if since is not None and published_at <= since:
                return None
            with storage(into), path.open("rb") as original, into.open("wb") as copy:
                first, last = self._span(path, file)
                original.seek(first)
                if last is None:
                    copyfileobj(original, copy)
                else:
                    copy.write(original.read(last - first + 1))
            after = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise NotYetPublished(f"{path} is still being written")
        _prove(into, str(path))
        return _Got(Part(place.name, into, str(path)), published_at)

    def _span(self, path: Path, file: File) -> Span:
        """Of the record wanted, where its index lies beside it; else of the whole file."""
        index = path.with_name(file.index_of(path.name))
        if not file.index or not index.is_file():
            return 0, None
        return _record(file, index.read_text("utf-8", "replace"), str(index))


def _unreadable(path: Path, error: OSError) -> RainError:
    if isinstance(error, PermissionError):
        return AccessDenied(f"{path}: may not be read; give this user the right to")
    return SourceUnavailable(f"{path}: {error.strerror}; is the path right, and the disk mounted and sound?")


# ── proof ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prove(path: Path, uri: str, refuse_page: Callable[[bytes], None] = lambda head: None) -> None:
    """A server may answer 200 and send an error page or its login form; the rest is for the decoders."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if kind(head) in READABLE:
        refuse_page(head)
        raise _no_file(uri, head)


def _record(file: File, index: str, uri: str) -> Span:
    """Where the record lies that is wanted of a file, by the index beside it."""
    if kind(index.encode()) == "an HTML page":
        raise _no_file(uri, index.encode())
    try:
        return file.record(index) if file.record is not None else (0, None)
    except CorruptGranule as error:
        raise CorruptGranule(f"{uri}: {error}") from error


def _no_file(uri: str, head: bytes) -> CorruptGranule:
    begins = f", beginning {first_words(head)!r}" if head else ""
    return CorruptGranule(f"{uri}: {kind(head)}{begins}; open the address in a browser to see what the server says")
