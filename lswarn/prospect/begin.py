"""Begins a region: fetches what is open, cuts it to the box, and writes region.toml. May be killed and repeated.

What has been had before is not fetched again, and a region.toml that is there is never touched: a new text is laid
beside it. What cannot be had keeps its place in the file, with how to supply it.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from lswarn.errors import LswarnError, NotYetPublished, RegionError, StorageFull
from lswarn.factors.landform import LOOKUP_CELLS
from lswarn.factors.layers import DISTANCE_MARGIN_M
from lswarn.grid import Grid
from lswarn.prospect import save
from lswarn.prospect.catalogue import AREA_LEVELS, CATALOGUE, DEM_HOLES, FETCHED
from lswarn.prospect.fetch import Fetched, Fetcher, Told
from lswarn.prospect.text import Entry, region_text
from lswarn.region import load_region
from lswarn.sections.assets import EXTRACTS
from lswarn.settings import Settings
from lswarn.sources import Bounds, degrees

MOST_DEG = 10.0
MOST_AREAS = 60
"""Of the levels of administration the finest with no more areas than these is taken: each has an alert of its own."""

AT_A_TIME = 4
FILES = {
    "dem": "dem.tif",
    "osm": "openstreetmap.osm",
    "rivers": "rivers.gpkg",
    "faults": "faults.gpkg",
    "rainfall": "rainfall.tif",
    "temperature": "temperature.tif",
    "seismic": "seismic.tif",
    "rock": "rock.gpkg",
    "inventory": "landslides.csv",
}
ROCK = "the same rock everywhere: it can be built with it, but learns nothing of rock"


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        bbox: west, south, east, north, degrees.
        crs: None: the UTM zone of its middle.
        level: `admin_level` of the warning areas; None: see `MOST_AREAS`.
        files: files of the user's own in place of sources, by keys of `CATALOGUE`.
        addresses: of mirrors, by keys of `FETCHED`.
    """

    name: str
    title: str
    bbox: Bounds
    crs: str | None = None
    resolution_m: float = 30.0
    level: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """What came of it.

    Attributes:
        toml: the text that was written: region.toml, or region.new.toml beside one that is another.
        entries: what became of each source.
    """

    toml: Path
    entries: dict[str, Entry]

    @property
    def missing(self) -> list[str]:
        """A sentence for each source that could not be had: why, and how to supply it."""
        return [
            f"{key}: {CATALOGUE[key].title}: {entry.note}; put in its place ({self.toml.with_name(entry.file)}) "
            f"{CATALOGUE[key].supply}"
            for key, entry in self.entries.items()
            if entry.state == "missing"
        ]


def begin_region(folder: Path, wish: Wish, settings: Settings, now: datetime, on_file: Told) -> Begun:
    """Fetch, cut and write.

    Args:
        folder: where the region's files will lie; made if missing.
        on_file: told what is about to be done, from several threads.

    Raises:
        RegionError: the wish cannot be one of a region, or names a file that is not there.
        StorageFull: no room; what is whole stays.
    """
    crs = wish.crs or utm_of(wish.bbox)
    _require(wish, crs)
    grid = Grid.from_bbox(wish.bbox, crs, wish.resolution_m)
    near, wide = (_around(grid, metres) for metres in (LOOKUP_CELLS * wish.resolution_m, DISTANCE_MARGIN_M))
    downloads = folder / "downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegionError(f"{downloads}: cannot be made ({error.strerror}); name a folder that can be") from error
    job = _Job(folder, wish, crs, near, wide, now)
    entries = job.load_before() | {key: _given(path, folder) for key, path in wish.files.items()}
    wanted = [key for key in FETCHED if key not in entries]
    fetcher = Fetcher(wish.bbox, near, wide, downloads, timeout_s=settings.timeout_s, on_file=on_file)
    came = _begin_all({key: partial(fetcher.fetch, key, job.address(key)) for key in wanted})
    for key in wanted:
        entries[key] = job.cut(key, came[key].result)
        job.save_record(entries)
    for key in ("rivers", "rock"):
        if key not in entries:
            entries[key] = job.rivers(entries["osm"]) if key == "rivers" else Entry("stand-in", note=ROCK, constant=1)
    entries["osm"] = job.with_areas(entries["osm"])
    entries = {key: entries[key] for key in CATALOGUE}
    job.save_record(entries)
    if not any(downloads.iterdir()):
        downloads.rmdir()
    return Begun(job.save_toml(entries), entries)


def utm_of(bbox: Bounds) -> str:
    """The UTM zone of the middle of a box."""
    lon, lat = (bbox[0] + bbox[2]) / 2, (bbox[1] + bbox[3]) / 2
    return f"EPSG:{326 if lat >= 0 else 327}{min(int((lon + 180) // 6) + 1, 60):02}"


def _begin_all(jobs: Mapping[str, Callable[[], Fetched]]) -> dict[str, Future[Fetched]]:
    """What will come of jobs, a few at a time, on threads that keep nobody who is told to stop."""
    came: dict[str, Future[Fetched]] = {key: Future() for key in jobs}
    waiting: SimpleQueue[str] = SimpleQueue()
    for key in jobs:
        waiting.put(key)

    def work() -> None:
        with suppress(Empty):
            while True:
                key = waiting.get_nowait()
                try:
                    came[key].set_result(jobs[key]())
                except BaseException as error:
                    came[key].set_exception(error)

    for _ in range(AT_A_TIME):
        Thread(target=work, daemon=True).start()
    return came


class _Job:
    """One beginning: what each source is cut with."""

    def __init__(self, folder: Path, wish: Wish, crs: str, near: Bounds, wide: Bounds, now: datetime) -> None:
        self.folder, self.wish, self.crs, self.near, self.wide, self.now = folder, wish, crs, near, wide, now
        self._record = folder / "sources.json"
        self._box = {"bbox": list(wish.bbox), "crs": crs, "resolution_m": wish.resolution_m}

    def address(self, key: str) -> str:
        """Where a source is asked for."""
        return self.wish.addresses.get(key, CATALOGUE[key].at).rstrip("/")

    def load_before(self) -> dict[str, Entry]:
        """What is here: of an earlier call for this very box, and files that a person laid in their place."""
        entries: dict[str, Entry] = {}
        same = False
        try:
            record = json.loads(self._record.read_text("utf-8"))
            same = record["region"] == self._box
            entries = {key: Entry(**known["entry"]) for key, known in record["sources"].items() if key in CATALOGUE}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # there is none, or it is no record: then nothing is known of what is here
        here: dict[str, Entry] = {}
        for key, name in FILES.items():
            path, entry = self.folder / name, entries.get(key, Entry("missing"))
            if path.is_file() and _sha256(path) != entry.sha256:
                here[key] = replace(_given(path, self.folder), note="it was found here, and nothing is known of it")
            elif (
                same and key in FETCHED and entry.state == "fetched" and (path.is_file() or entry.constant is not None)
            ):
                here[key] = entry
        return here

    def save_record(self, entries: Mapping[str, Entry]) -> None:
        """Where everything came from, for programs and for `load_before`."""
        told = {
            key: {"title": source.title, "licence": source.licence, "citation": source.citation}
            | {"entry": asdict(entries[key])}
            for key, source in CATALOGUE.items()
            if key in entries
        }
        part = self._record.with_name("sources.json.part")
        part.write_text(json.dumps({"region": self._box, "sources": told}, indent=2, ensure_ascii=False), "utf-8")
        part.replace(self._record)

    def cut(self, key: str, result: Callable[[], Fetched]) -> Entry:
        """What came of a source, once it is asked for."""
        try:
            fetched = result()
            entry = self._cut(key, fetched, self.folder / FILES[key])
        except StorageFull:
            raise
        except LswarnError as error:
            return self._without(key, re.sub(r"\?[^\s:;]+", "", " ".join(str(error).split())))  # questions are long
        for path in fetched.paths:
            path.unlink(missing_ok=True)
        return entry

    def _cut(self, key: str, fetched: Fetched, out: Path) -> Entry:
        paths, note, constant = fetched.paths, "", None
        match key:
            case "dem":
                save.save_dem(paths, out, self.near)
                if fetched.absent:
                    note = f"without tiles {', '.join(fetched.absent)} ({DEM_HOLES}): there, all is unknown"
            case "rainfall" | "temperature":
                save.save_climate(paths, out, self.near, yearly=key == "rainfall")
            case "seismic":
                save.save_shaking(paths[0], out, self.near)
            case "faults":
                metres = save.save_faults(paths[0], out, self.wide, self.crs)
                if metres:
                    constant = round(metres, -3)
                    note = f"none within {DISTANCE_MARGIN_M / 1000:g} km; the nearest is so many metres away, or more"
            case "osm":
                state = save.require_extract(paths[0])
                paths[0].replace(out)
                note = f"state of the map: {state}" if state else ""
            case "inventory":
                number = save.save_landslides(paths, out)
                if not number:
                    raise NotYetPublished("it knows of no landslide in this region")
                note = f"{number} landslides; `lswarn inventory check` says how many of them can teach"
        known = {"address": self.address(key), "fetched_at": self.now.isoformat(timespec="seconds")}
        file = "" if constant is not None else out.name
        return Entry("fetched", file, note, constant, sha256=_sha256(out) if file else "", **known)

    def _without(self, key: str, why: str) -> Entry:
        """A source that could not be had."""
        if key == "temperature":
            return Entry("derived", note=f"from the DEM, since WorldClim could not be had ({why})")
        return Entry("missing", FILES[key], why)

    def rivers(self, osm: Entry) -> Entry:
        """Rivers of the extract; where it has none, of the DEM."""
        if osm.state == "missing":
            return Entry("derived", note="from the DEM, since OpenStreetMap could not be had")
        out = self.folder / FILES["rivers"]
        try:
            number = save.save_rivers(self.folder / osm.file, out, self.wide)
        except RegionError as error:
            return Entry("derived", note=f"from the DEM ({' '.join(str(error).split())})")
        if not number:
            return Entry("derived", note="from the DEM: OpenStreetMap knows no river or stream here")
        at = osm.fetched_at or self.now.isoformat(timespec="seconds")
        return Entry("fetched", out.name, f"cut from {osm.file}", fetched_at=at, sha256=_sha256(out))

    def with_areas(self, osm: Entry) -> Entry:
        """Which level of administration the warning areas are of; else the whole region is one."""
        if osm.state == "missing":
            return replace(osm, level=self.wish.level or AREA_LEVELS[0])
        try:
            counts = save.find_level(self.folder / osm.file, self.wish.bbox, self.wish.level)
        except RegionError as error:
            return replace(osm, state="missing", note=" ".join(str(error).split()))
        levels = (self.wish.level,) if self.wish.level else AREA_LEVELS
        known = {level: n for level, n in counts.items() if level in levels}
        if not known:
            if not (areas := self.folder / "areas.gpkg").exists():
                save.save_whole_area(areas, self.wish.bbox, self.wish.title)
            there = ", ".join(f"{level} ({n})" for level, n in counts.items()) or "none"
            told = f"no area of admin_level {' or '.join(levels)} (there are: {there}): the whole region is one"
            return replace(osm, level="", areas=told)
        few = [level for level, n in known.items() if n <= MOST_AREAS]
        level = max(few, key=int) if few else min(known, key=lambda each: known[each])
        return replace(osm, level=level, areas=f"{known[level]} of admin_level {level}")

    def save_toml(self, entries: Mapping[str, Entry]) -> Path:
        """Write region.toml, or its new text beside one that a person may have changed."""
        wish = self.wish
        text = region_text(wish.name, wish.title, wish.bbox, self.crs, wish.resolution_m, entries)
        path = self.folder / "region.toml"
        if path.exists() and path.read_text("utf-8") != text:
            path = self.folder / "region.new.toml"
        part = path.with_name(f"{path.name}.part")
        part.write_text(text, "utf-8")
        part.replace(path)
        load_region(path)
        return path


def _require(wish: Wish, crs: str) -> None:
    """Refuse, before anything is fetched, what could not become a region."""
    west, south, east, north = wish.bbox
    if max(east - west, north - south) > MOST_DEG:
        raise RegionError(
            f"bbox: {list(wish.bbox)} is larger than {MOST_DEG:g}° by {MOST_DEG:g}°; make several regions of it"
        )
    problems = [f"--file {key}: {path}: no such file" for key, path in wish.files.items() if not path.exists()]
    extract = wish.files.get("osm")
    if extract is not None and not extract.name.lower().endswith(EXTRACTS):
        problems.append(
            f"--file osm: {extract}: an extract ends in .osm.pbf or .osm; files of roads or settlements alone are "
            "named in [assets] of region.toml (docs/assets.md)"
        )
    nothing = {key: Entry("missing", FILES[key]) for key in CATALOGUE}
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "region.toml"
        draft.write_text(region_text(wish.name, wish.title, wish.bbox, crs, wish.resolution_m, nothing), "utf-8")
        try:
            load_region(draft)
        except RegionError as error:
            problems += [problem.removeprefix(f"{draft}: ") for problem in error.problems]
    if problems:
        raise RegionError(*problems)


def _around(grid: Grid, metres: float) -> Bounds:
    west, south, east, north = degrees(grid.expanded(math.ceil(metres / grid.resolution_m)))
    return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)


def _given(path: Path, folder: Path) -> Entry:
    """A file of the user's, named from the region's folder where it lies in it."""
    at, home = path.absolute(), folder.absolute()
    return Entry(
        "given",
        str(at.relative_to(home) if at.is_relative_to(home) else at),
        sha256=_sha256(path) if path.is_file() else "",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows(begun: Begun) -> list[dict[str, Any]]:
    """A line a source, for people."""
    return [
        {
            "source": key,
            "state": entry.state,
            "entry": entry.file or (entry.constant and f"constant = {entry.constant:g}") or "derive",
            "note": "; ".join(filter(None, [entry.note, entry.areas and f"warning areas: {entry.areas}"])),
        }
        for key, entry in begun.entries.items()
    ]
