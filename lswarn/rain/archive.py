"""The rain archive: one small CF netCDF file for each granule ever fetched, cut to the region (a door).

    ROOT/2026/20260131_IMERG-Late_V07C_5f0c2a91d3e4_9b1d7c3388aa.nc

The first digest is of the granule and the cells kept, so that the same rain is kept once; the second is of the file's
own bytes, so that a damaged file is known before it is read, and not used. Nothing is overwritten: a better product or
a newer version lies beside what it supersedes, and `load_days` chooses.
"""

import errno
import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

import h5py
import numpy as np
import xarray as xr

from lswarn.errors import StorageFull
from lswarn.rain.products import version_rank
from lswarn.rain.window import Bounds, RainDay

log = logging.getLogger(__name__)

DIGEST_DIGITS = 12
EPOCH = date(1970, 1, 1)
DRAFT_LIFE_S = 86_400
"""A draft untouched for a day was left by a run that was killed; a younger one may be a rival's."""


def save_day(root: Path, rain: RainDay) -> Path:
    """Archive a day of rain; a granule whose same cells are archived already is left as it is.

    The file appears under its name only when it is whole; two who save the same day at once do not meet.

    Raises:
        StorageFull: nothing was kept.
    """
    folder = root / f"{rain.day:%Y}"
    stem = f"{rain.day:%Y%m%d}_{rain.product}_{rain.version}_{_rain_digest(rain)}"
    for archived in sorted(folder.glob(f"{stem}_*.nc")):
        if _is_whole(archived, archived.read_bytes()):
            return archived
    data = _encode(rain)
    path = folder / f"{stem}_{_digest(data)}.nc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _write(path, data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"{path}: {error.strerror}; make room under {root} and fetch {rain.day} again") from error
        raise
    return path


def load_days(
    root: Path,
    days: Iterable[date],
    order: Sequence[str],
    *,
    bbox: Bounds | None = None,
    wanted: Callable[[RainDay], bool] = lambda rain: True,
) -> dict[date, RainDay]:
    """The best archived rain of each day; a day without any is left out.

    Best is the product that comes first in `order`, then the newest version, then what was fetched last.

    Args:
        order: products, best first; others are passed over.
        bbox: west, south, east, north, degrees; rain that does not cover it (of an earlier bbox) is passed over.
        wanted: asked of each; what is not wanted is passed over.
    """
    best: dict[date, RainDay] = {}
    for rain in _load_all(root, days, order):
        if (bbox is None or _covers(rain, bbox)) and wanted(rain):
            best[rain.day] = max(best.get(rain.day, rain), rain, key=lambda each: _rank(each, order))
    return best


def load_archived(root: Path, days: Iterable[date]) -> list[RainDay]:
    """All that is archived of some days, superseded rain included: by day, then by when it was fetched."""
    return sorted(_load_all(root, days, ["*"]), key=lambda rain: (rain.day, rain.fetched_at))


def iterate_days(root: Path, product: str, first: date, last: date, *, bbox: Bounds | None = None) -> Iterator[RainDay]:
    """The best of one product's archived days, in order, one at a time; days without any are passed over."""
    for n in range((last - first).days + 1):
        yield from load_days(root, [first + timedelta(days=n)], [product], bbox=bbox).values()


def archived_products(root: Path) -> dict[date, set[str]]:
    """Which products are archived of which days, by the names of the files: none is opened."""
    found: dict[date, set[str]] = {}
    for path in root.glob("*/*.nc"):
        stamp, product, *_ = path.name.split("_")
        found.setdefault(datetime.strptime(stamp, "%Y%m%d").replace(tzinfo=UTC).date(), set()).add(product)
    return found


def _load_all(root: Path, days: Iterable[date], products: Iterable[str]) -> Iterator[RainDay]:
    """Of some products, by the names of the files: no other is opened. A product of `*` means any."""
    patterns = (f"{day:%Y}/{day:%Y%m%d}_{product}_*.nc" for day in set(days) for product in products)
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            if (rain := _load(path)) is not None:
                yield rain


def _rank(rain: RainDay, order: Sequence[str]) -> tuple[object, ...]:
    return -order.index(rain.product), version_rank(rain.version), rain.fetched_at


def _covers(rain: RainDay, bbox: Bounds) -> bool:
    lat, lon = (rain.precipitation[axis].values for axis in ("lat", "lon"))
    west, south, east, north = bbox
    half = (lon[1] - lon[0]) / 2 + 1e-6
    return bool(lon[0] - half <= west and lat[0] - half <= south and east <= lon[-1] + half and north <= lat[-1] + half)


def _rain_digest(rain: RainDay) -> str:
    """Of a granule and the cells kept of it: after a change of bbox the same granule is archived anew."""
    cells = (np.ascontiguousarray(rain.precipitation[axis].values).tobytes() for axis in ("lat", "lon"))
    return _digest(b"".join((rain.sha256.encode(), *cells)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]


def _is_whole(path: Path, data: bytes) -> bool:
    return path.stem.endswith(f"_{_digest(data)}")


def _sweep(folder: Path) -> None:
    for draft in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # a rival's draft may get its final name this moment
            if time.time() - draft.stat().st_mtime > DRAFT_LIFE_S:
                draft.unlink()


def _write(path: Path, data: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        draft = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            draft.chmod(0o644)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _encode(rain: RainDay) -> bytes:
    attrs = {
        "Conventions": "CF-1.8",
        "title": f"Rain of {rain.day}, cut to a region by lswarn",
        "product": rain.product,
        "product_version": rain.version,
        "granule_uri": rain.uri,
        "granule_sha256": rain.sha256,
        "published_at": rain.published_at.astimezone(UTC).isoformat() if rain.published_at else "",
        "fetched_at": rain.fetched_at.astimezone(UTC).isoformat(),
    }
    field = rain.precipitation.transpose("lat", "lon").astype(np.float32)
    field = field.assign_coords(time=np.datetime64(rain.day, "ns")).rename("precipitation")
    field["lat"].attrs = {"units": "degrees_north", "standard_name": "latitude"}
    field["lon"].attrs = {"units": "degrees_east", "standard_name": "longitude"}
    field["time"].attrs = {"standard_name": "time", "long_name": "start of the UTC day"}
    encoding: dict[str, dict[str, object]] = {
        "precipitation": {"_FillValue": np.float32(np.nan), "zlib": True, "complevel": 1},
        "time": {"units": f"days since {EPOCH}", "dtype": "int32"},
    }
    return bytes(field.to_dataset().assign_attrs(attrs).to_netcdf(engine="h5netcdf", encoding=encoding))


def _load(path: Path) -> RainDay | None:
    """None where the file is damaged: its day is then missing, and fetched again as any other that is."""
    data = path.read_bytes()
    if not _is_whole(path, data):
        log.error("%s: damaged since it was archived, and not used; delete it", path)
        return None
    # Not by xarray, which takes ten times as long to open a file: decades of days are read to learn what much rain is.
    with h5py.File(io.BytesIO(data)) as file:
        told, field = file.attrs, file["precipitation"]
        attrs = {key: value for key, value in field.attrs.items() if isinstance(value, str) and key != "coordinates"}
        axes = {axis: file[axis][()] for axis in ("lat", "lon")}
        return RainDay(
            day=EPOCH + timedelta(days=int(file["time"][()])),
            precipitation=xr.DataArray(field[()], axes, ("lat", "lon"), "precipitation", attrs),
            product=told["product"],
            version=told["product_version"],
            uri=told["granule_uri"],
            sha256=told["granule_sha256"],
            published_at=datetime.fromisoformat(published) if (published := told.get("published_at")) else None,
            fetched_at=datetime.fromisoformat(told["fetched_at"]),
        )
