"""Fetches open sources as they come, file by file (doors: network, disk).

What is whole keeps its name, what is half here ends in `.part` and is gone on from: a run that was killed is repeated.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lswarn.errors import NotYetPublished, SourceUnavailable
from lswarn.prospect.catalogue import (
    CATALOGUE,
    COOLR_LAYERS,
    PAGE,
    climate_tiles,
    coolr_url,
    dem_tiles,
    osm_url,
)
from lswarn.rain.accounts import Account
from lswarn.rain.download import Client
from lswarn.sources import Bounds

MOST_PAGES = 50
CLIMATE = {"rainfall": "prec", "temperature": "tavg"}
HTML = (b"<!doctype html", b"<html")

Told = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """Files of one source, as they came.

    Attributes:
        paths: in the order in which they were asked for.
        absent: names of files that the server does not have.
    """

    paths: tuple[Path, ...]
    absent: tuple[str, ...] = ()


class Fetcher:
    """Fetches the sources of one region into a folder; may be used by several threads, each for another source.

    Args:
        bbox: of the region, degrees.
        near, wide: what rasters, and what lines must cover: the bbox and a margin, degrees.
        folder: where files are laid; it exists.
        timeout_s: longest silence of a server that is not known to think for longer.
        on_file: told the name of each file that is about to be fetched.
    """

    def __init__(
        self, bbox: Bounds, near: Bounds, wide: Bounds, folder: Path, *, timeout_s: float, on_file: Told
    ) -> None:
        self._bbox, self._near, self._wide, self._folder = bbox, near, wide, folder
        self._timeout_s, self._on_file = timeout_s, on_file

    def fetch(self, key: str, at: str) -> Fetched:
        """One source of `catalogue.FETCHED`.

        Args:
            at: its address, or a mirror's.

        Raises:
            NotYetPublished: the server has nothing of this region.
            SourceUnavailable: no answer, or one that says that it cannot answer.
            AccessDenied, CorruptGranule, StorageFull: as `Client.get_file`.
        """
        timeout_s = max(self._timeout_s, CATALOGUE[key].timeout_s)
        with Client(Account(), timeout_s=timeout_s, connections=2, named=f"--from {key}=…") as client:
            match key:
                case "dem":
                    names = [f"{tile}/{tile}.tif" for tile in dem_tiles(self._near)]
                    return self._tiles(client, key, [f"{at}/{name}" for name in names])
                case "rainfall" | "temperature":
                    return self._tiles(
                        client, key, [f"{at}/{tile}" for tile in climate_tiles(self._near, CLIMATE[key])]
                    )
                case "osm":
                    return Fetched((self._file(client, key, osm_url(at, self._bbox, self._wide), "extract.osm"),))
                case "inventory":
                    pages = [page for kind in COOLR_LAYERS for page in self._pages(client, at, kind)]
                    return Fetched(tuple(pages))
                case _:
                    return Fetched((self._file(client, key, at, at.rsplit("/", 1)[-1]),))

    def _tiles(self, client: Client, key: str, urls: list[str]) -> Fetched:
        paths, absent = [], []
        for url in urls:
            name = url.rsplit("/", 1)[-1]
            try:
                paths.append(self._file(client, key, url, name))
            except NotYetPublished:
                absent.append(name)
        if not paths:
            raise NotYetPublished(
                f"{len(absent)} tiles were asked for, and the server has none of them ({absent[0]}, …)"
            )
        return Fetched(tuple(paths), tuple(absent))

    def _file(self, client: Client, key: str, url: str, name: str) -> Path:
        """A file that is here already is not fetched again: its name holds what was asked."""
        stem, dot, ending = name.partition(".")
        path = self._folder / f"{stem}-{_digest(url)}{dot}{ending}"
        if not path.exists():
            self._on_file(name)
            part = path.with_name(f"{path.name}.part")
            client.resume_file(url, part, most_bytes=CATALOGUE[key].most_bytes)
            with part.open("rb") as file:
                head = file.read(512).lstrip().lower()
            if head.startswith(HTML):
                part.unlink()
                raise SourceUnavailable(
                    f"{url.partition('?')[0]}: answered with a web page; open it to see what it says"
                )
            part.replace(path)
        return path

    def _pages(self, client: Client, at: str, kind: str) -> list[Path]:
        """Pages of landslides, until one is not full."""
        pages: list[Path] = []
        offset = 0
        while len(pages) < MOST_PAGES:
            name = f"landslides-{kind}-{offset}.geojson"
            path = self._file(client, "inventory", coolr_url(at, COOLR_LAYERS[kind], self._bbox, offset), name)
            page = _page(path)
            pages.append(path)
            offset += len(page["features"])  # a server may give fewer than it is asked for
            told = page.get("properties") or {}
            more = page.get("exceededTransferLimit") or told.get("exceededTransferLimit")
            if not page["features"] or not (more or len(page["features"]) >= PAGE):
                return pages
        raise SourceUnavailable(f"{at}: more than {offset:,} landslides in this box: give a smaller one")


def _page(path: Path) -> dict[str, Any]:
    """What one answer of the inventory's server holds; one that is no answer is forgotten."""
    try:
        page = json.loads(path.read_bytes())
        if isinstance(page["features"], list):
            return dict(page)
        raise KeyError("features")
    except (ValueError, KeyError, TypeError) as error:
        begins = path.read_bytes()[:120].decode("utf-8", "replace")
        path.unlink()
        raise SourceUnavailable(f"instead of landslides the server sent {begins!r}; try again later") from error


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:8]
