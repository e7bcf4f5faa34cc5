"""The rain archive: one small CF netCDF file for each granule ever fetched, cut to the region (a door).

    ROOT/2026/20260131_IMERG-Late_V07C_5f0c2a91d3e4_9b1d7c3388aa.nc

The first digest is of the granule and the cells kept, so that the same rain is kept once; the second is of the file's
own bytes, so that a damaged file is known before it is read. Nothing is overwritten: a better product or a newer
version lies beside what it supersedes, and `load_days` chooses.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import xarray as xr

from lswarn.errors import CorruptGranule
from lswarn.rain.products import version_rank
from lswarn.rain.window import RainDay

DIGEST_DIGITS = 12


def save_day(root: Path, rain: RainDay) -> Path:
    """Archive a day of rain; a granule whose same cells are archived already is left as it is.

    The file appears under its name only when it is whole.
    """
    folder = root / f"{rain.day:%Y}"
    stem = f"{rain.day:%Y%m%d}_{rain.product}_{rain.version}_{_rain_digest(rain)}"
    for archived in sorted(folder.glob(f"{stem}_*.nc")):
        if _is_whole(archived, archived.read_bytes()):
            return archived
    data = _encode(rain)
    path = folder / f"{stem}_{_digest(data)}.nc"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{path.name}.{os.getpid()}.part"
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def load_days(
    root: Path, days: Iterable[date], order: Sequence[str], *, bbox: tuple[float, float, float, float] | None = None
) -> dict[date, RainDay]:
    """The best archived rain of each day; a day without any is left out.

    Best is the product that comes first in `order`, then the newest version, then what was fetched last.

    Args:
        order: products, best first; others are passed over.
        bbox: west, south, east, north, degrees; rain that does not cover it (of an earlier bbox) is passed over.

    Raises:
        CorruptGranule: an archived file is damaged.
    """
    best: dict[date, RainDay] = {}
    for rain in load_archived(root, days):
        if rain.product in order and (bbox is None or _covers(rain, bbox)):
            best[rain.day] = max(best.get(rain.day, rain), rain, key=lambda each: _rank(each, order))
    return best


def load_archived(root: Path, days: Iterable[date] | None = None) -> list[RainDay]:
    """All that is archived, of some days or of all, superseded rain included: by day, then by when it was fetched.

    Raises:
        CorruptGranule: an archived file is damaged.
    """
    patterns = ["*/*.nc"] if days is None else [f"{day:%Y}/{day:%Y%m%d}_*.nc" for day in set(days)]
    loaded = [_load(path) for pattern in patterns for path in sorted(root.glob(pattern))]
    return sorted(loaded, key=lambda rain: (rain.day, rain.fetched_at))


def _rank(rain: RainDay, order: Sequence[str]) -> tuple[int, tuple[int, str], datetime]:
    return -order.index(rain.product), version_rank(rain.version), rain.fetched_at


def _covers(rain: RainDay, bbox: tuple[float, float, float, float]) -> bool:
    lat, lon = (rain.precipitation[axis].values for axis in ("lat", "lon"))
    west, south, east, north = bbox
    half = (lon[1] - lon[0]) / 2
    return bool(lon[0] - half <= west and lat[0] - half <= south and east <= lon[-1] + half and north <= lat[-1] + half)


def _rain_digest(rain: RainDay) -> str:
    """Of a granule and the cells kept of it: after a change of bbox the same granule is archived anew."""
    cells = (np.ascontiguousarray(rain.precipitation[axis].values).tobytes() for axis in ("lat", "lon"))
    return _digest(b"".join((rain.sha256.encode(), *cells)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]


def _is_whole(path: Path, data: bytes) -> bool:
    return path.stem.endswith(f"_{_digest(data)}")


def _encode(rain: RainDay) -> bytes:
    attrs = {
        "Conventions": "CF-1.8",
        "title": f"Rain of {rain.day}, cut to a region by lswarn",
        "product": rain.product,
        "product_version": rain.version,
        "granule_uri": rain.uri,
        "granule_sha256": rain.sha256,
        "fetched_at": rain.fetched_at.astimezone(UTC).isoformat(),
    }
    field = rain.precipitation.transpose("lat", "lon").astype(np.float32)
    field = field.assign_coords(time=np.datetime64(rain.day, "ns")).rename("precipitation")
    field["lat"].attrs = {"units": "degrees_north", "standard_name": "latitude"}
    field["lon"].attrs = {"units": "degrees_east", "standard_name": "longitude"}
    field["time"].attrs = {"standard_name": "time", "long_name": "start of the UTC day"}
    encoding: dict[str, dict[str, object]] = {
        "precipitation": {"_FillValue": np.float32(np.nan)},
        "time": {"units": "days since 1970-01-01", "dtype": "int32"},
    }
    return bytes(field.to_dataset().assign_attrs(attrs).to_netcdf(engine="h5netcdf", encoding=encoding))


def _load(path: Path) -> RainDay:
    data = path.read_bytes()
    if not _is_whole(path, data):
        raise CorruptGranule(f"{path}: damaged since it was archived; delete it and fetch its day again")
    with xr.open_dataset(io.BytesIO(data), engine="h5netcdf") as dataset:
        return RainDay(
            day=dataset["time"].values.astype("datetime64[D]").item(),
            precipitation=dataset["precipitation"].drop_vars("time").load(),
            product=dataset.attrs["product"],
            version=dataset.attrs["product_version"],
            uri=dataset.attrs["granule_uri"],
            sha256=dataset.attrs["granule_sha256"],
            fetched_at=datetime.fromisoformat(dataset.attrs["fetched_at"]),
        )
