"""The ten factors of a large region, and gdaldem beside them: `python ops/bench/factors.py [MILLION CELLS …]`.

First slope and aspect from file to file, plain GeoTIFFs both ways, two processes of gdaldem against as many threads of
ours, in turns; then whole stacks of growing size, each in a process of its own, with its wall time and peak memory.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import made
import numpy as np
import rasterio
from numpy.typing import NDArray

from lswarn.factors.landform import LOOKUP_CELLS, landform
from lswarn.factors.stack import build_stack
from lswarn.factors.terrain import derivatives
from lswarn.grid import Block
from lswarn.region import Region
from lswarn.sources import read_block

STRIP = 512
ROUNDS = 3
BESIDE_CELLS = 36_000_000
PAIR = ("slope", "aspect")
UNKNOWN = -9999.0


def gdaldem(dem: Path, folder: Path) -> float:
    """Seconds in which two processes make slope and aspect."""
    start = time.perf_counter()
    running = [
        subprocess.Popen(["gdaldem", kind, "-q", "-compute_edges", str(dem), str(folder / f"{kind}_peer.tif")])
        for kind in PAIR
    ]
    assert [process.wait() for process in running] == [0, 0]
    return time.perf_counter() - start


def ours(dem: Path, folder: Path) -> float:
    """Seconds in which two threads make both; files of the same make as gdaldem's."""
    start = time.perf_counter()
    with rasterio.open(dem) as source, ThreadPoolExecutor(2) as pool:
        profile = source.profile | {"nodata": UNKNOWN}
        outs = {name: rasterio.open(folder / f"{name}_ours.tif", "w", **profile) for name in PAIR}
        waiting: list[tuple[Block, Future[dict[str, NDArray[np.float32]]]]] = []

        def write() -> None:
            strip, result = waiting.pop(0)
            for name, values in result.result().items():
                values[np.isnan(values)] = UNKNOWN
                outs[name].write(values, 1, window=strip.window)

        for row in range(0, source.height, STRIP):
            strip = Block(row, 0, min(STRIP, source.height - row), source.width)
            around = read_block(source, strip.with_halo(1))[0]
            waiting.append((strip, pool.submit(derivatives, around, 30.0, PAIR)))
            if len(waiting) > 2:
                write()
        while waiting:
            write()
        for out in outs.values():
            out.close()
    return time.perf_counter() - start


def beside_gdaldem(folder: Path) -> None:
    """Print rates and their ratio; then how far the values are apart."""
    region = made.region_of(folder, round(math.sqrt(BESIDE_CELLS)))
    made.make_ground(region, folder)
    dem = folder / "plain.tif"
    with rasterio.open(folder / "dem.tif") as source:
        plain = {"driver": "GTiff", "count": 1, "dtype": "float32", "nodata": UNKNOWN}
        plain |= {name: source.profile[name] for name in ("height", "width", "crs", "transform")}
        heights = source.read(1)
    heights[np.isnan(heights)] = UNKNOWN
    with rasterio.open(dem, "w", **plain) as target:
        target.write(heights, 1)
    derivatives(heights[:9, :9], 30.0, PAIR)  # compiled or loaded
    landform(heights[:64, :64], 30.0)
    pairs = [(gdaldem(dem, folder), ours(dem, folder)) for _ in range(ROUNDS)]
    peer, here = (min(each) for each in zip(*pairs, strict=True))
    mega = heights.size / 1e6
    print(f"slope and aspect of {mega:.0f} M cells, file to file, best of {ROUNDS} in turns:")
    print(f"    gdaldem, 2 processes {mega / peer:6.1f} Mcells/s; ours, 2 threads {mega / here:6.1f} Mcells/s", end="")
    print(f": {peer / here:.1f} times as fast")
    for name in PAIR:
        with rasterio.open(folder / f"{name}_peer.tif") as one, rasterio.open(folder / f"{name}_ours.tif") as other:
            inner = Block(1, 1, one.height - 2, one.width - 2).window
            apart = np.abs((one.read(1, window=inner) - other.read(1, window=inner) + 180) % 360 - 180)
        print(
            f"    {name}: more than 0.01° apart in {np.mean(apart > 0.01):.1e} of the cells (gdaldem: single precision)"
        )
    heights = heights[: 2048 + 2 * LOOKUP_CELLS, : 2048 + 2 * LOOKUP_CELLS]
    for what in (("slope",), ("aspect",), (*PAIR, "curvature"), ("landform",)):
        start = time.perf_counter()
        if what == ("landform",):
            landform(heights, 30.0)
        else:
            derivatives(heights, 30.0, what)
        rate = heights.size / 1e6 / (time.perf_counter() - start)
        print(f"    {', '.join(what)} in memory, 1 thread: {rate:.0f} Mcells/s")


def stack(folder: Path) -> None:
    """Build the stack of a region that was saved, and print a line of JSON: core seconds by factor, and peak memory."""
    region = Region.model_validate_json((folder / "region.json").read_text("utf-8"))
    started, ended = time.perf_counter(), {"": time.process_time()}

    def tell(name: str, share: float) -> None:
        ended[name] = time.process_time()

    before = _peak_mb()
    build_stack(region, folder / "factors", on_progress=tell)
    wall = time.perf_counter() - started
    ends = sorted(ended.items(), key=lambda item: item[1])
    total = max(ended.values()) - ended[""]
    each = {name: round(end - begin, 1) for (name, end), (_, begin) in zip(ends[1:], ends, strict=False)}
    print(json.dumps({"wall_s": wall, "peak_mb": _peak_mb(), "before_mb": before, "cpu_s": total, "each": each}))


def _peak_mb() -> float:
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def growth(folder: Path, cells: float) -> None:
    """Print a stack's line."""
    region = made.region_of(folder, round(math.sqrt(cells)))
    made.make_ground(region, folder)
    (folder / "region.json").write_text(region.model_dump_json(exclude_defaults=True), "utf-8")
    told = subprocess.run([sys.executable, __file__, "--stack", folder], check=True, stdout=subprocess.PIPE)
    found = json.loads(told.stdout.splitlines()[-1])
    grid = made.grid_of(region)
    mega = grid.height * grid.width / 1e6
    size = sum(path.stat().st_size for path in (folder / "factors").iterdir())
    rate = mega / found["wall_s"]
    print(f"ten factors of {mega:.1f} M cells: {found['wall_s']:.1f} s, {rate:.2f} Mcells/s, peak ", end="")
    print(f"{found['peak_mb']:.0f} MB ({found['before_mb']:.0f} before it), {size / 1e6 / mega:.1f} B a cell")
    print(f"    {found['cpu_s']:.1f} s of a core: ", end="")
    print(", ".join(f"{name} {seconds}" for name, seconds in found["each"].items()), flush=True)


def main(sizes: list[float]) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="lswarn-factors-") as name:
        beside_gdaldem(Path(name))
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="lswarn-factors-") as name:
            growth(Path(name), size * 1e6)


if __name__ == "__main__":
    if "--stack" in sys.argv:
        stack(Path(sys.argv[2]))
    else:
        main([float(size) for size in sys.argv[1:]] or [9, 36, 144])
