"""A whole country, from rain grid to queued alerts: `python ops/bench/country.py` (`make bench`, `make bench-full`).

Makes a country from fractal terrain (`made.py`), with roads, settlements and warning areas in a private PostGIS, and a
model that learnt on a piece of it. Then, each step in a process of its own, as the command line would run it:

    ground     terrain and vectors written
    factors    the ten factors
    assets     into the database (told apart: no day pays for it)
    prime      the model asked once about every cell
    dry        a day without rain: assess, publish
    wet        a day of the wanted shape: rain over 30 % of the area, 2 % of the cells HIGH or above
    again      the same day, the same inputs
    changed    the day after: 5 % of the area has more rain
    full       the obvious way, beside them: the whole network in tiles of 512 cells, on a few tiles; extrapolated

A line a step: seconds on the wall, those of its process with the start of Python, cells a second, cores kept busy, peak
memory of Python and of PostgreSQL, bytes read and written by Python. The wet day is watched: where its threads were,
many times a second, lies as folded stacks (speedscope, flamegraph.pl) beside the table. On a machine that others work
on too, only ratios say anything.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import made
import numpy as np
import publish
import rasterio
from numpy.typing import NDArray

from lswarn import day as line
from lswarn.db import inputs, server
from lswarn.db.engine import connect, migrate, transaction
from lswarn.factors.stack import FactorStack, build_stack, open_stack
from lswarn.grid import sample
from lswarn.hazard.classes import Class
from lswarn.region import Region
from lswarn.settings import Settings

STEPS = ("ground", "factors", "assets", "prime", "dry", "wet", "again", "changed", "full")
KEPT = ("ground", "factors")
SIDES = {"small": (3000, 6000), "full": (3000, 6000, 12_000, 23_100)}
FULL_CELLS = 23_100**2
ROADS, SETTLEMENTS = 500_000, 50_000
"""Of the whole country; a smaller one has as many to the cell."""
LOOK_S = 0.02
PEER_TILES, PEER_WIDTH = 4, 32
"""Tiles of the obvious way, and the base width of the U-Net that the goal was set against."""


@dataclass(frozen=True)
class Country:
    """Where one country lies.

    Attributes:
        home: folder of everything.
        side: cells along a side.
    """

    home: Path
    side: int

    @cached_property
    def region(self) -> Region:
        """As region.toml would say it."""
        return made.region_of(self.home / "files", self.side)

    @cached_property
    def settings(self) -> Settings:
        """Of the environment, but for where things lie."""
        return Settings(var_dir=self.home / "var")

    @property
    def cells(self) -> int:
        """Of the grid."""
        grid = made.grid_of(self.region)
        return grid.height * grid.width

    @property
    def storm(self) -> dict[str, float]:
        """How hard it rains on the wet day."""
        return json.loads((self.home / "storm.json").read_text("utf-8"))

    def folder(self) -> Path:
        """Of the region, under `var`."""
        return self.settings.region_dir(self.region.name)

    @contextmanager
    def stack(self) -> Iterator[FactorStack]:
        """The ten factors."""
        with open_stack(self.region, self.folder() / "factors") as factors:
            yield factors


# ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────────


def ground(country: Country) -> str:
    """The files."""
    made.make_ground(country.region, country.home / "files")
    return f"{(country.home / 'files/dem.tif').stat().st_size / 1e9:.2f} GB of terrain"


def factors(country: Country) -> str:
    """The stack."""
    build_stack(country.region, country.folder() / "factors", on_progress=_quiet)
    return f"{_size(country.folder() / 'factors') / 1e9:.2f} GB on disk"


def assets(country: Country) -> str:
    """Roads, settlements, warning areas and the champion; and the storm of its wet day."""
    import school

    from lswarn.model.checkpoint import load_checkpoint, save_checkpoint

    region, settings, share = country.region, country.settings, country.cells / FULL_CELLS
    with country.stack() as stack:
        model, edge_mm, most_mm = school.suited(region, stack, load_checkpoint(country.home / "model.pt"))
    save_checkpoint(model, country.home / "suited.pt")
    side_m = country.side * made.CELL_M * 0.98
    grid = made.grid_of(region)
    west, south, *_ = grid.bounds
    vars(publish).update(WEST_M=west + 0.01 * side_m, SOUTH_M=south + 0.01 * side_m, SIDE_M=side_m)
    migrate(server.start(settings.var_dir))
    engine = connect(server.status(settings.var_dir).url)
    bench = publish.Bench(engine, region, country.home)
    counts = round(ROADS * share), round(SETTLEMENTS * share)
    publish.load(bench, *counts, np.random.default_rng(made.SEED))
    path = country.folder() / "models" / f"{model.id}.pt"
    save_checkpoint(model, path)
    with transaction(engine, region) as conn:
        inputs.record_model(
            conn, region, model.id, path=path, snapshot_id=model.snapshot_id, metrics={}, made_at=datetime.now(UTC)
        )
        inputs.promote_model(conn, region, model.id)
    (country.home / "storm.json").write_text(json.dumps({"edge_mm": edge_mm, "most_mm": most_mm}), "utf-8")
    return f"{counts[0]:,} roads, {counts[1]:,} settlements; storm of {edge_mm:.1f} to {most_mm:.0f} mm"


def prime(country: Country) -> str:
    """The critical layers."""
    found = line.prime(country.region, country.settings, lambda done, total: None)
    return f"{_size(found.folder) / 1e9:.2f} GB on disk"


def dry(country: Country) -> str:
    """No rain at all."""
    return _day(country, 0, 0.0)


def wet(country: Country) -> str:
    """The goal."""
    return _day(country, 1, made.WET_SHARE)


def changed(country: Country) -> str:
    """The storm has grown."""
    return _day(country, 2, made.WET_SHARE + made.CHANGED_SHARE)


def _day(country: Country, after: int, share: float) -> str:
    """Assess and publish a day, as `lswarn run` does, from its rain grid on."""
    region, settings = country.region, country.settings
    rain = made.storm(region, share, **country.storm)
    window = made.window_of(region, made.FIRST_DAY + timedelta(days=after), rain)
    begin = time.perf_counter()
    found = line.assess(region, settings, window, lambda done, total: None)
    assessed = time.perf_counter()
    publication = line.publish(region, settings, found, datetime.combine(window.day, datetime.min.time(), UTC))
    published = time.perf_counter()
    counts = np.zeros(len(Class), np.int64)
    with rasterio.open(found.classes) as file:
        for _, block in file.block_windows():
            counts += np.bincount(file.read(1, window=block).ravel(), minlength=len(Class))
    torch_there = ", torch loaded" if "torch" in sys.modules else ""
    return (
        f"assess {assessed - begin:.2f} s, publish {published - assessed:.2f} s; {len(found.zones):,} zones, "
        f"{counts[Class.HIGH :].sum() / counts.sum():.2%} HIGH or above, {len(publication.messages)} messages"
        f"{', stood already' if publication.repeated else ''}{torch_there}"
    )


def full(country: Country) -> str:
    """The obvious way on a few tiles of the wet day; which of its classes are not those of the day."""
    import torch

    from lswarn.hazard.classes import classify
    from lswarn.hazard.critical import rain_tenths
    from lswarn.model.checkpoint import load_checkpoint
    from lswarn.model.networks import build
    from lswarn.model.predict import Predictor

    region, settings = country.region, country.settings
    model = load_checkpoint(country.home / "suited.pt")
    predictor, rain = Predictor(model, settings.device), made.storm(region, made.WET_SHARE, **country.storm)
    torch.manual_seed(made.SEED)
    config = region.model.model_copy(update={"network": "unet", "base_width": PEER_WIDTH})
    unet = build(config, model.encoding, None).eval()
    days = country.folder() / "days" / (made.FIRST_DAY + timedelta(days=1)).isoformat()
    classes = next(days.glob("*/classes.tif"), None)
    seconds, cells, apart = np.zeros(2), 0, 0
    with country.stack() as stack:
        tiles = list(stack.grid.blocks(512))
        chosen = [tiles[k] for k in np.random.default_rng(0).permutation(len(tiles))[:PEER_TILES]]
        for block in chosen:
            around = block.with_halo(predictor.halo)
            inner = np.s_[predictor.halo :, predictor.halo :]
            seen, falling = stack.read(around), sample(rain, stack.grid, around)
            begin = time.perf_counter()
            tenths = (rain_tenths(falling, predictor.rain_max_mm) / 10).astype(np.float32)
            probability = predictor.probability(seen, np.where(np.isnan(falling), np.nan, tenths))
            between = time.perf_counter()
            ours = classify(probability[inner][: block.height, : block.width], predictor.breaks)
            wide = _in_32s(np.nan_to_num(seen)), _in_32s(np.nan_to_num(falling)[np.newaxis])
            begun = time.perf_counter()
            with torch.inference_mode():
                unet(*(torch.from_numpy(each).unsqueeze(0) for each in wide))
            seconds += between - begin, time.perf_counter() - begun
            cells += block.height * block.width
            if classes is not None:
                with rasterio.open(classes) as file:
                    apart += int((file.read(1, window=block.window) != ours).sum())
    rates = cells / seconds
    whole = country.cells / rates
    return (
        f"on {len(chosen)} tiles: the champion {rates[0] / 1e6:.2f} M cells/s, hence {whole[0]:,.0f} s; a U-Net of "
        f"base {PEER_WIDTH} {rates[1] / 1e6:.2f} M cells/s, hence {whole[1]:,.0f} s; of the day's classes "
        f"{1 - apart / cells:.4%} are the network's"
    )


def _in_32s(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Padded so that a U-Net can halve it."""
    return np.pad(values, [(0, 0), *((0, -n % 32) for n in values.shape[1:])])


def _quiet(name: str, share: float) -> None:
    """Nobody looks on."""


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


WORK: dict[str, Callable[[Country], str]] = {
    "ground": ground,
    "factors": factors,
    "assets": assets,
    "prime": prime,
    "dry": dry,
    "wet": wet,
    "again": wet,
    "changed": changed,
    "full": full,
}


# ── what a step takes ────────────────────────────────────────────────────────────────────────────────────────────────


class Watch:
    """Looks many times a second where every thread is, and how much memory PostgreSQL holds.

    Attributes:
        stacks: how often each thread was found at each stack, folded: `thread;module.function;…`.
        postgres: most bytes that the server's processes held together, shared memory counted once.
    """

    def __init__(self, postmaster: int | None, *, threads: bool) -> None:
        self.stacks: Counter[str] = Counter()
        self.postgres = 0
        self._postmaster, self._threads = postmaster, threads
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        number = 0
        while not self._over.wait(LOOK_S):
            if self._threads:
                self._stacks()
            if self._postmaster and number % 10 == 0:
                self.postgres = max(self.postgres, _held(self._postmaster))
            number += 1

    def _stacks(self) -> None:
        names = {each.ident: each.name.split("_")[0] for each in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == self._thread.ident:
                continue
            stack = []
            while frame is not None:
                stack.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")
                frame = frame.f_back
            self.stacks[";".join([names.get(ident, "thread"), *reversed(stack)])] += 1


def _held(postmaster: int) -> int:
    """Bytes held by a process and its children."""
    total = 0
    for each in [postmaster, *_children(postmaster)]:
        try:
            told = Path(f"/proc/{each}/smaps_rollup").read_text("ascii")
        except OSError:  # it has ended, or is not ours to look at
            continue
        total += 1024 * sum(int(row.split()[1]) for row in told.splitlines() if row.startswith("Pss:"))
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []


def _proc(name: str) -> dict[str, int]:
    """Figures of /proc/self/<name>."""
    rows = (row.split(":", 1) for row in Path(f"/proc/self/{name}").read_text("ascii").splitlines())
    return {key: int(value.split()[0]) for key, value in rows if value.split()[:1] and value.split()[0].isdigit()}


def measured(country: Country, name: str) -> dict[str, Any]:
    """Do a step in this process, and tell what it took."""
    pid = country.settings.var_dir / "postgres/data/postmaster.pid"
    postmaster = int(pid.read_text("ascii").split()[0]) if pid.exists() else None
    io, used, begin = _proc("io"), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with Watch(postmaster, threads=name == "wet") as watch:
        told = WORK[name](country)
    seconds, then, late = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF), _proc("io")
    if watch.stacks:
        rows = (f"{stack} {count}" for stack, count in watch.stacks.most_common())
        (country.home / f"{name}.folded").write_text("\n".join(rows) + "\n", "utf-8")
    return {
        "step": name,
        "cells": country.cells,
        "seconds": seconds,
        "busy": (then.ru_utime + then.ru_stime - used.ru_utime - used.ru_stime) / seconds,
        "python_bytes": 1024 * _proc("status")["VmHWM"],
        "postgres_bytes": watch.postgres,
        "read_bytes": late["rchar"] - io["rchar"],
        "written_bytes": late["wchar"] - io["wchar"],
        "told": told,
    }


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def show(row: dict[str, Any]) -> None:
    """One line."""
    print(
        f"{row['cells'] / 1e6:6.0f} M  {row['step']:8s} {row['seconds']:9.2f} {row['process_seconds']:8.2f} "
        f"{row['cells'] / row['seconds'] / 1e6:9.2f} {row['busy']:6.2f} "
        f"{row['python_bytes'] / 1e9:8.2f} {row['postgres_bytes'] / 1e9:8.2f} "
        f"{row['read_bytes'] / 1e9:8.2f} {row['written_bytes'] / 1e9:8.2f}  {row['told']}",
        flush=True,
    )


def show_trace(folded: Path) -> None:
    """What the wet day waited for: where its main thread was, by the deepest frame of lswarn and what lies under it."""
    spent: Counter[str] = Counter()
    own = {path.stem for path in (Path(line.__file__).parent).rglob("*.py")}
    total = 0
    for row in folded.read_text("utf-8").splitlines():
        stack, count = row.rsplit(" ", 1)
        thread, *frames = stack.split(";")
        if thread != "MainThread":
            continue
        inside = [k for k, frame in enumerate(frames) if frame.split(".")[0] in own]
        at = inside[-1] if inside else len(frames) - 1
        under = frames[-1] if at < len(frames) - 1 else ""
        spent[f"{frames[at]}{f' → {under}' if under else ''}"] += int(count)
        total += int(count)
    print(f"\nWhere the main thread of the wet day was ({total} looks; all threads in {folded}):")
    for place, count in spent.most_common(12):
        print(f"  {count / max(total, 1):6.1%}  {place}")


def run(home: Path, side: int, model: Path) -> list[dict[str, Any]]:
    """All steps of a country of a size, each in a process of its own."""
    country = Country(home, side)
    home.mkdir(parents=True, exist_ok=True)
    (home / "model.pt").write_bytes(model.read_bytes())
    server.stop(country.settings.var_dir)
    for old in ("postgres", *(f"regions/{country.region.name}/{name}" for name in ("days", "critical"))):
        shutil.rmtree(country.settings.var_dir / old, ignore_errors=True)
    rows = []
    try:
        for name in STEPS:
            kept = home / f"{name}.json"
            if name in KEPT and kept.exists():
                rows.append(json.loads(kept.read_text("utf-8")))
                show(rows[-1])
                continue
            command = [sys.executable, __file__, "--step", name, "--home", home, "--side", str(side)]
            seconds, done = publish.timed(lambda command=command: subprocess.run(command, stdout=-1, check=False))
            if done.returncode:
                print(f"{country.cells / 1e6:6.0f} M  {name:8s} failed ({done.returncode})", flush=True)
                continue
            rows.append(json.loads(done.stdout.splitlines()[-1]) | {"process_seconds": seconds})
            kept.write_text(json.dumps(rows[-1]), "utf-8")
            show(rows[-1])
        if (home / "wet.folded").exists():
            show_trace(home / "wet.folded")
    finally:
        server.stop(country.settings.var_dir)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", help="cells along the side of each country, with commas")
    parser.add_argument("--full", action="store_true", help="the whole country of 534 M cells, after 9, 36 and 144 M")
    parser.add_argument(
        "--keep", type=Path, help="folder to keep it all in; terrain, factors and model are then not made again"
    )
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    for hidden, kind in (("--step", str), ("--home", Path), ("--side", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(measured(Country(asked.home, asked.side), asked.step)))
        return
    sides = [int(each) for each in asked.sides.split(",")] if asked.sides else SIDES["full" if asked.full else "small"]
    rows = []
    with tempfile.TemporaryDirectory(dir=asked.keep) as scratch:
        folder = asked.keep or Path(scratch)
        model = folder / "model.pt"
        if not model.exists():
            _learn(folder / "school", model)
        print(f"{os.cpu_count()} cores")
        print(
            f"{'cells':>8s}  {'step':8s} {'seconds':>9s} {'process':>8s} {'M cells/s':>9s} {'cores':>6s} "
            f"{'Python':>8s} {'Postgres':>8s} {'read':>8s} {'written':>8s}  GB"
        )
        for side in sides:
            rows += run(folder / str(side), side, model)
        show_growth(rows)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1), "utf-8")


def _learn(folder: Path, path: Path) -> None:
    import school

    from lswarn.model.checkpoint import save_checkpoint

    seconds, checkpoint = publish.timed(school.make_model, folder)
    save_checkpoint(checkpoint, path)
    print(f"a model that learnt on {school.SCHOOL_CELLS} x {school.SCHOOL_CELLS} cells in {seconds:.0f} s")


def show_growth(rows: list[dict[str, Any]]) -> None:
    """Each step by size: nanoseconds a cell, and memory."""
    sizes = sorted({row["cells"] for row in rows})
    print(f"\n{'growth':8s} " + "".join(f"{size / 1e6:14.0f} M" for size in sizes) + "    (ns a cell, Python GB)")
    for name in STEPS:
        told = {row["cells"]: row for row in rows if row["step"] == name}
        each = (
            f"{told[n]['seconds'] / n * 1e9:8.0f} {told[n]['python_bytes'] / 1e9:6.2f} " if n in told else " " * 16
            for n in sizes
        )
        print(f"{name:8s} " + "".join(each))


if __name__ == "__main__":
    main()
