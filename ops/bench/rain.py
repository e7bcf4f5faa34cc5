"""What rain costs, as ratios to something run beside it: `python ops/bench/rain.py [region | climatology | fetch]`.

Every figure is taken in a process of its own, with the bytes in the page cache, and tells its peak memory. All files
are made, in a temporary folder, which goes afterwards.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

DAY = date(2026, 1, 31)
COUNTY = (-85.0, 35.0, -83.0, 37.0)
BBOX = (-84.0, 33.0, -75.0, 38.0)  # 5° x 9°
FIRST, LAST = date(2005, 1, 1), date(2024, 12, 31)  # 7,305 days
GRANULE = f"3B-DAY-L.MS.MRG.3IMERG.{DAY:%Y%m%d}-S000000-E235959.V07C.nc4"
REPEATS = 20
DELAY_S = 0.3


def main(parts: list[str]) -> None:
    """Run all parts, or those named."""
    for part in parts or ["region", "climatology", "fetch"]:
        with tempfile.TemporaryDirectory() as folder:
            {"region": bench_region, "climatology": bench_climatology, "fetch": bench_fetch}[part](Path(folder))


def bench_region(folder: Path) -> None:
    """Two regions out of a full global day, by lswarn and by loading the whole grid; the larger lies in two chunks."""
    size_mb = run("make_granule", folder)["result"]
    print(f"regions of a global day ({size_mb:.0f} MB, compressed, full)")
    whole = run("read_whole", folder)
    compare("whole grid by xarray", whole, "lswarn: 2° x 2°", run("read_county", folder))
    compare("whole grid by xarray", whole, "lswarn: 5° x 9°", run("read_region", folder))


def bench_climatology(folder: Path) -> None:
    """Twenty years of percentiles, and reading the same files once."""
    made = run("make_archive", folder)
    print(f"climatology of {made['result']:,} days, 5° x 9° at 0.1° (made in {made['seconds']:.0f} s)")
    reading, xarray = run("read_archive", folder), run("read_archive_by_xarray", folder)
    making = run("make_climatology", folder)
    compare("reading by lswarn", reading, "climatology", making)
    compare("reading by xarray", xarray, "climatology", making)


def bench_fetch(folder: Path) -> None:
    """Seven days from a server that takes its time, one after the other and together."""
    print(f"seven days from a server that takes {DELAY_S} s to answer")
    together = run("fetch_together", folder)
    compare("one after the other", run("fetch_in_turn", folder), "together", together)
    print(f"  at most {together['result']:.0f} requests at the same time")


def compare(name: str, reference: dict[str, float], other: str, measured: dict[str, float]) -> None:
    """Print both, and how they stand to each other."""
    for what, of in ((name, reference), (other, measured)):
        print(f"  {what:24s} {of['seconds']:8.3f} s   peak {of['peak_mb']:6.0f} MB")
    ratio = measured["seconds"] / reference["seconds"]
    print(f"  {'':24s} {ratio:8.3f} x" + (f", {1 / ratio:.1f} times faster" if ratio < 1 else ""))


def run(task: str, folder: Path) -> dict[str, float]:
    """One task in its own process."""
    command = [sys.executable, __file__, task, str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def timed(work: Callable[[], float | None], repeats: int = 1) -> dict[str, float | None]:
    """The shortest of some runs, s; the process's peak memory, MB; what the last run returned."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(seconds), "peak_mb": peak_mb, "result": result}


# ── a region of a global day ─────────────────────────────────────────────────────────────────────────────────────────


def make_granule(folder: Path) -> dict[str, float | None]:
    """A full IMERG day: 3600 x 1800 cells of smooth random rain, in the chunks of the half-hourly files."""
    import h5py
    import numpy as np
    from scipy.ndimage import gaussian_filter

    def work() -> float:
        rng = np.random.default_rng(0)
        field = gaussian_filter(rng.standard_normal((3600, 1800)).astype("f4"), 6, mode="wrap")
        rain = 8 * np.clip(field / field.std() + 1, 0.01, None) ** 2 * rng.gamma(4, 0.25, field.shape)
        path = folder / GRANULE
        with h5py.File(path, "w") as file:
            axes = {"time": np.array([(DAY - date(1970, 1, 1)).days], "f8")}
            axes |= {"lon": np.arange(-179.95, 180, 0.1, dtype="f4"), "lat": np.arange(-89.95, 90, 0.1, dtype="f4")}
            for name, values in axes.items():
                file[name] = values
                file[name].make_scale(name)
            file["time"].attrs["units"] = np.bytes_("days since 1970-01-01 00:00:00Z")
            file["lon"].attrs["units"], file["lat"].attrs["units"] = (
                np.bytes_("degrees_east"),
                np.bytes_("degrees_north"),
            )
            cells = file.create_dataset(
                "precipitation", data=rain[None].astype("f4"), chunks=(1, 145, 1800), compression="gzip",
                compression_opts=4, fillvalue=np.float32(-9999.9),
            )  # fmt: skip
            cells.attrs["units"], cells.attrs["_FillValue"] = np.bytes_("mm/day"), np.array([-9999.9], "f4")
            for number, name in enumerate(axes):
                cells.dims[number].attach_scale(file[name])
        return path.stat().st_size / 1e6

    return timed(work)


def read_whole(folder: Path) -> dict[str, float | None]:
    """As it is mostly done: load the grid, then choose."""
    import xarray as xr

    west, south, east, north = BBOX

    def work() -> float:
        with xr.open_dataset(folder / GRANULE, engine="h5netcdf") as file:
            whole = file["precipitation"].load()
        return float(whole.sel(lon=slice(west, east), lat=slice(south, north)).sum())

    return timed(work, REPEATS)


def read_county(folder: Path) -> dict[str, float | None]:
    """As lswarn does it, all proofs included."""
    return _read(folder, COUNTY)


def read_region(folder: Path) -> dict[str, float | None]:
    """Likewise, more of it."""
    return _read(folder, BBOX)


def _read(folder: Path, bbox: tuple[float, float, float, float]) -> dict[str, float | None]:
    from lswarn.rain.products import Part, find_product
    from lswarn.sections import RainSource

    product = find_product(RainSource(product="IMERG-Late"))
    part = Part(GRANULE, folder / GRANULE, GRANULE)
    return timed(lambda: float(product.decode([part], DAY, bbox).sum()), REPEATS)


# ── a climatology of twenty years ────────────────────────────────────────────────────────────────────────────────────


def make_archive(folder: Path) -> dict[str, float | None]:
    """Days as the archive lays them out: the first is saved by it, the others are that file with other rain in it."""
    import hashlib
    import io

    import h5py
    import numpy as np
    import xarray as xr

    from lswarn.rain.archive import save_day
    from lswarn.rain.window import RainDay

    west, south, east, north = BBOX
    axes = {"lat": np.arange(south - 0.15, north + 0.2, 0.1), "lon": np.arange(west - 0.15, east + 0.2, 0.1)}
    shape = len(axes["lat"]), len(axes["lon"])
    rng = np.random.default_rng(0)
    fields = rng.gamma(0.3, 12, (50, *shape)).astype("f4") * (rng.random((50, *shape)) < 0.4)

    def work() -> float:
        field = xr.DataArray(fields[0], axes, ("lat", "lon"), attrs={"units": "mm"})
        now = datetime(2026, 1, 1, tzinfo=UTC)
        first = save_day(folder / "rain", RainDay(FIRST, field, "IMERG-Late", "V07C", "made", "0" * 64, None, now))
        data, (_, *middle, _) = first.read_bytes(), first.stem.split("_")
        first.unlink()
        for n in range((LAST - FIRST).days + 1):
            day, made = FIRST + timedelta(n), io.BytesIO(data)
            with h5py.File(made, "r+") as file:
                file["precipitation"][:] = np.roll(fields[n % 50], n, axis=(0, 1)) * np.float32(1 + n % 7 / 10)
                file["time"][()] += n
            digest = hashlib.sha256(made.getvalue()).hexdigest()[:12]
            path = folder / "rain" / f"{day:%Y}" / f"{day:%Y%m%d}_{'_'.join(middle)}_{digest}.nc"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(made.getvalue())
        return n + 1

    return timed(work)


def read_archive(folder: Path) -> dict[str, float | None]:
    """Every day once, as the climatology is given them."""
    from lswarn.rain.archive import iterate_days

    return timed(lambda: sum(1 for _ in iterate_days(folder / "rain", "IMERG-Late", FIRST, LAST, bbox=BBOX)))


def read_archive_by_xarray(folder: Path) -> dict[str, float | None]:
    """Every file once, as anybody would."""
    import xarray as xr

    def work() -> float:
        count = 0
        for path in sorted((folder / "rain").glob("*/*.nc")):
            with xr.open_dataset(path, engine="h5netcdf") as file:
                count += file["precipitation"].load().size > 0
        return count

    return timed(work)


def make_climatology(folder: Path) -> dict[str, float | None]:
    """The 99th percentile of seven days of rain in each cell."""
    from lswarn.rain.climatology import save_climatology
    from lswarn.rain.measures import SUM

    out = folder / "rc.tif"
    return timed(lambda: save_climatology(folder / "rain", out, "IMERG-Late", SUM, 99, FIRST, LAST, bbox=BBOX).mean_mm)


# ── seven days from a slow server ────────────────────────────────────────────────────────────────────────────────────


def fetch_in_turn(folder: Path) -> dict[str, float | None]:
    """One day after the other."""
    return _fetch(at_once=1)


def fetch_together(folder: Path) -> dict[str, float | None]:
    """As many days at once as a run asks for; its result is how many requests the server answered at the same time."""
    from lswarn.cascade import AT_ONCE

    return _fetch(AT_ONCE)


def _fetch(at_once: int) -> dict[str, float | None]:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import xarray as xr

    from lswarn.demo.granules import late_path
    from lswarn.demo.layouts import imerg_daily
    from lswarn.demo.replicas import Published, RainReplica
    from lswarn.rain.fetch import fetch_day
    from lswarn.rain.window import window_days
    from lswarn.sections import RainSource
    from lswarn.settings import Settings

    west, south, east, north = BBOX
    axes = {"lat": np.arange(south - 0.45, north + 0.5, 0.1), "lon": np.arange(west - 0.45, east + 0.5, 0.1)}
    field = xr.DataArray(np.ones([len(axis) for axis in axes.values()], "f4"), axes, ("lat", "lon"))
    days, now = window_days(DAY), datetime(2026, 2, 2, tzinfo=UTC)
    files = {late_path(day): Published(imerg_daily(day, field), now - timedelta(hours=6)) for day in days}
    with RainReplica(files, now=now) as server:
        server.delay_s = DELAY_S
        source = RainSource(product="IMERG-Late", at=f"{server.url}/search/granules.json")

        def work() -> float:
            with ThreadPoolExecutor(at_once) as pool:
                found = pool.map(lambda day: fetch_day(source, day, BBOX, now=now, settings=Settings()), days)
                assert all(rain is not None for rain in found)
            return server.busiest

        return timed(work)


if __name__ == "__main__":
    if len(sys.argv) == 3 and Path(sys.argv[2]).is_dir():
        print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
    else:
        main(sys.argv[1:])
