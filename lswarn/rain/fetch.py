"""Granules from a folder or an http(s) server, proved to be what they claim before anything is kept (a door).

What a moment may heal (a reset connection, 429, 5xx, a body cut short) is tried again here; what an hour may heal
(not yet published) and what only a person can heal (access denied) is said at once.
"""

import hashlib
import io
import logging
import math
import re
import shutil
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import requests
from requests import PreparedRequest, Response
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from lswarn.errors import AccessDenied, CorruptGranule, NotYetPublished, RainError, SourceUnavailable
from lswarn.rain.products import (
    Granule,
    Product,
    decode_imerg_daily,
    due_at,
    find_product,
    granule_folder,
    newest_granule,
    parse_granule,
)
from lswarn.rain.window import RainDay
from lswarn.region import RainSource

log = logging.getLogger(__name__)

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
LONGEST_PAUSE_S = 60.0  # a server that asks for more is asked again by the next run
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
CHUNK_BYTES = 1 << 18
MOST_BYTES = 1 << 30  # a daily granule has about 30 MB


class _Passing(Exception):
    """A failure that a moment may heal; `after_s` is how long the server asked us to wait."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(message)


def fetch_day(
    source: RainSource,
    day: date,
    bbox: tuple[float, float, float, float],
    *,
    now: datetime,
    token: str | None,
    timeout_s: float,
) -> RainDay:
    """Fetch the newest version of a product's day, and read the part of it that covers a box.

    Args:
        bbox: west, south, east, north, degrees.
        now: becomes `fetched_at`.
        token: sent as a bearer token to the source's own host, never to one that it redirects to.
        timeout_s: longest silence of a server.

    Raises:
        NotYetPublished: no such file yet; says when it is, or was, due.
        SourceUnavailable: the server or folder does not answer, after a few tries.
        AccessDenied: 401, 403, a login page, or a file we may not read.
        CorruptGranule: what came is an HTML page, cut short, of another day or schema.
        GridMismatch: the granule does not cover the box.
        RegionError: the source's product or `at` makes no sense.
    """
    product, folder = find_product(source.product), granule_folder(source, day)
    with TemporaryFile() as file:
        try:
            if folder.startswith(("http://", "https://")):
                granule, uri = _download(folder, product, day, token, timeout_s, file)
            else:
                granule, uri = _copy(Path(folder), _root(source), product, day, file)
        except NotYetPublished as error:
            due = due_at(source, day)
            overdue = "" if now < due else f", {(now - due).total_seconds() / 3600:.1f} h ago: check rain.sources.at"
            raise NotYetPublished(f"{folder}: {error}; it is due at {due:%Y-%m-%d %H:%M} UTC{overdue}") from error
        _prove(file, uri)
        sha256 = _sha256(file)
        rain = decode_imerg_daily(file, day, bbox, name=uri)
    return RainDay(day, rain, product.name, granule.version, uri, sha256, now)


def describe_granule(path: Path) -> dict[str, object]:
    """What a granule on disk holds, read and proved as a fetched one would be; for people.

    Raises:
        SourceUnavailable, AccessDenied: there is no such file, or it may not be read.
        CorruptGranule: it is not a whole IMERG daily granule of the day in its name.
    """
    with TemporaryFile() as file:
        _copy_file(path, file)
        _prove(file, str(path))
        granule = parse_granule(path.name)
        rain = decode_imerg_daily(file, granule.day, None, name=str(path))
        lat, lon = rain["lat"].values, rain["lon"].values
        wettest = rain.where(rain == rain.max(), drop=True)[0, 0]
        return {
            "product": granule.product.name,
            "version": granule.version,
            "day": granule.day,
            "cells": f"{len(lat)} x {len(lon)}",
            "lat": f"{lat[0]:g} to {lat[-1]:g}",
            "lon": f"{lon[0]:g} to {lon[-1]:g}",
            "mean_mm": round(float(rain.mean()), 2),
            "max_mm": round(float(rain.max()), 1),
            "max_at": f"{float(wettest['lat']):g}, {float(wettest['lon']):g}",
            "missing_share": round(float(rain.isnull().mean()), 4),
            "sha256": _sha256(file),
        }


# ── a folder ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _copy(folder: Path, root: Path, product: Product, day: date, file: BinaryIO) -> tuple[Granule, str]:
    """Copied before it is proved, so that what is proved is what is read even if the file is being replaced."""
    if not root.is_dir():
        raise SourceUnavailable(f"{root}: no such folder; is it mounted, and is rain.sources.at right?")
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise _unreadable(error) from error
    granule = newest_granule(names, product, day)
    _copy_file(folder / granule.name, file)
    return granule, str(folder / granule.name)


def _copy_file(path: Path, file: BinaryIO) -> None:
    try:
        with path.open("rb") as original:
            shutil.copyfileobj(original, file)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> RainError:
    if isinstance(error, PermissionError):
        return AccessDenied(f"{error.filename}: may not be read; give this user the right to")
    return SourceUnavailable(f"{error.filename}: {error.strerror}; is the path right, and the disk mounted and sound?")


def _root(source: RainSource) -> Path:
    """The folder that must be there whatever the day: all before the first placeholder."""
    fixed, placeholder, _ = source.at.partition("{")
    return Path(f"{fixed}x").parent if placeholder else Path(fixed)


# ── a server ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _download(
    folder: str, product: Product, day: date, token: str | None, timeout_s: float, file: BinaryIO
) -> tuple[Granule, str]:
    """Read the folder's listing, then the granule. A listing is any text in which the names stand: HTML or plain."""
    folder = folder.rstrip("/") + "/"
    with requests.Session() as session:
        session.headers["User-Agent"] = "lswarn"
        if token is not None:
            session.auth = _bearer(token)
        listing = io.BytesIO()
        _get(session, folder, listing, timeout_s)
        page = listing.getvalue()
        _refuse_login(page, folder)
        granule = newest_granule(re.findall(r"[\w.+-]+", page.decode("utf-8", "replace")), product, day)
        _get(session, folder + granule.name, file, timeout_s)
    return granule, folder + granule.name


def _bearer(token: str) -> Callable[[PreparedRequest], PreparedRequest]:
    """As `auth` rather than a header: so no .netrc entry replaces it, and requests drops it when the host changes."""
    if not re.fullmatch(r"[!-~]+", token := token.strip()):
        raise AccessDenied("the rain token (LSWARN_RAIN_TOKEN) holds spaces, line breaks or no text; copy it again")

    def authorise(request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorise


def _get(session: requests.Session, url: str, into: BinaryIO, timeout_s: float) -> None:
    """Stream a body into a file, trying again what a moment may heal."""
    pauses_s = iter(PAUSES_S)
    while True:
        try:
            _get_once(session, url, into, timeout_s)
        except _Passing as error:
            pause_s = max(next(pauses_s, math.inf), error.after_s)
            if pause_s > LONGEST_PAUSE_S:
                raise SourceUnavailable(f"{url}: {error}; try again later") from error
            log.info("%s: %s; trying again in %g s", url, error, pause_s)
            time.sleep(pause_s)
        else:
            return


def _get_once(session: requests.Session, url: str, into: BinaryIO, timeout_s: float) -> None:
    into.seek(0)
    into.truncate()
    try:
        with session.get(url, stream=True, timeout=timeout_s) as answer:
            _judge(answer, url)
            for piece in answer.iter_content(CHUNK_BYTES):
                into.write(piece)
                if into.tell() > MOST_BYTES:
                    raise CorruptGranule(f"{url}: does not end; more than {MOST_BYTES:,} bytes came")
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _Passing(f"no answer ({_cause(error)})") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise _Passing(f"the body was cut short ({_cause(error)})") from error
    except requests.RequestException as error:
        raise SourceUnavailable(f"{url}: {error}; is rain.sources.at right?") from error


def _judge(answer: Response, url: str) -> None:
    status = answer.status_code
    if status in (401, 403):
        raise AccessDenied(
            f"{url}: answered {status}; renew LSWARN_RAIN_TOKEN (an Earthdata token lasts 60 days), "
            "and let the account use this archive"
        )
    if status in (404, 410):
        raise NotYetPublished(f"answered {status}, there is no {url}")
    if status in (408, 429) or status >= 500:
        raise _Passing(f"answered {status}", _retry_after_s(answer))
    if status != 200:
        raise SourceUnavailable(f"{url}: answered {status}; is rain.sources.at right?")


def _retry_after_s(answer: Response) -> float:
    try:
        return Retry().parse_retry_after(answer.headers.get("Retry-After", "0"))
    except InvalidHeader:
        return 0.0


def _cause(error: BaseException) -> str:
    """The innermost reason: requests wraps a refused connection three times over."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


# ── proof ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prove(file: BinaryIO, uri: str) -> None:
    """A server may answer 200 and send an error page or its login form."""
    file.seek(0)
    head = file.read(CHUNK_BYTES)
    if head.startswith(HDF5_MAGIC):
        return
    _refuse_login(head, uri)
    text = " ".join(re.sub(rb"<[^>]*>", b" ", head[:2000]).decode("utf-8", "replace").split())[:120]
    kind = "an HTML page" if head.lstrip()[:1] == b"<" else "an empty file" if not head else "not netCDF-4"
    raise CorruptGranule(
        f"{uri}: {kind}, beginning {text!r}; open the address in a browser to see what the server says"
    )


def _refuse_login(page: bytes, uri: str) -> None:
    if re.search(rb"""type=["']?password""", page, re.IGNORECASE):
        raise AccessDenied(
            f"{uri}: answered with a login form; set LSWARN_RAIN_TOKEN, and let the account use this archive"
        )


def _sha256(file: io.BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
