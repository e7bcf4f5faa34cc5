"""One product's rain in the terms of another, so that a stand-in may be held against the other's thresholds (a door).

Empirical quantile mapping (Panofsky & Brier 1958; QUANT of Gudmundsson et al. 2012, doi:10.5194/hess-16-3383-2012):
over the days that both products know, the n-th wettest day of one is given the rain of the n-th wettest of the other.
Frequency is mapped with the amount: where the product rains too often, its lightest rain becomes 0. Where it rains too
seldom, its dry days stay dry: which of them were wet it does not know, and chance has no place in a warning.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import IncompleteWindow, RegionError
from lswarn.rain.archive import iterate_days
from lswarn.rain.products import family_of
from lswarn.rain.regrid import regrid
from lswarn.rain.spool import spooled
from lswarn.rain.window import Bounds

DRY_MM = 0.1
"""Less in a day is no rain: below it products differ by how they draw drizzle, not by weather."""

LEAST_COMMON_DAYS = 365
LEAST_WET_DAYS = 20

SHARES = np.arange(100) / 100
"""Of the mapped product's wet days. Beyond the last, the days are so few that their own differences are chance."""

CONTEXT = "rain.sources.quantile_map"


@dataclass(frozen=True)
class QuantileMap:
    """What the rain of one product would have been by another's measure.

    Attributes:
        source, target: products: whose rain is mapped, and into whose terms.
        first, last: period of the records.
        days: common days of the period.
        from_mm, to_mm: (share, lat, lon), mm/day, on the target's grid, neither falling along `share` of the source's
            wet days: such rain of the source is such rain of the target. NaN in cells with fewer than
            `LEAST_COMMON_DAYS` known to both, or `LEAST_WET_DAYS` wet by the source.
    """

    source: str
    target: str
    first: date
    last: date
    days: int
    from_mm: xr.DataArray
    to_mm: xr.DataArray

    @property
    def cells(self) -> int:
        """With a map."""
        return int(np.isfinite(self.from_mm[0]).sum())

    @cached_property
    def digest(self) -> str:
        """sha256 of what the map does: which rain of which product becomes which."""
        fields = (self.from_mm["lat"], self.from_mm["lon"], self.from_mm, self.to_mm)
        told = f"{self.source} {self.target}".encode()
        return hashlib.sha256(
            told + b"".join(np.ascontiguousarray(each.values).tobytes() for each in fields)
        ).hexdigest()

    @property
    def unknown_cells(self) -> int:
        """Without."""
        return int(self.from_mm[0].size - self.cells)


def save_quantile_map(
    root: Path,
    out: Path,
    source: str,
    target: str,
    first: date,
    last: date,
    *,
    bbox: Bounds | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> QuantileMap:
    """Learn a map from the archived days of two products, and keep it as a small NetCDF file.

    Args:
        root: the region's rain archive.
        out: appears under its name only when it is whole; what was there is replaced.
        source, target: products: whose rain is to be mapped, and into whose terms.
        first, last: days of the period; only those count that both products have.
        bbox: west, south, east, north, degrees; archived rain that does not cover it is passed over.
        on_progress: told days done and days in all, of both products.

    Raises:
        IncompleteWindow: the products have fewer than `LEAST_COMMON_DAYS` in common, or no cell has.
        StorageFull: there is no room beside `out` for the days, 8 bytes a cell and day.
        AccessDenied: the folder of `out` may not be written to.
    """
    total = (last - first).days + 1
    terms = iterate_days(root, target, first, last, bbox=bbox)
    with spooled(terms, first, last, out.parent, on_day=lambda done: on_progress(done, 2 * total)) as wanted:
        like = wanted.like
        days = iterate_days(root, source, first, last, bbox=bbox)
        with spooled(
            days, first, last, out.parent, like=like, on_day=lambda done: on_progress(total + done, 2 * total)
        ) as given:
            common = given.there & wanted.there
            if common.sum() < LEAST_COMMON_DAYS:
                raise _too_few(source, target, first, last, int(common.sum()))
            from_mm, to_mm = (np.full((len(SHARES), *like.shape), np.nan, np.float32) for _ in range(2))
            for (rows, mine), (_, theirs) in zip(given.bands(rows=1), wanted.bands(rows=1), strict=True):
                fitted = fit_quantiles(mine[common, 0], theirs[common, 0])
                from_mm[:, rows.start], to_mm[:, rows.start] = fitted
    on_progress(2 * total, 2 * total)
    axes = {"share": SHARES, "lat": like["lat"].values, "lon": like["lon"].values}
    fields = (xr.DataArray(values, axes, ("share", "lat", "lon"), attrs={"units": "mm"}) for values in (from_mm, to_mm))
    mapping = QuantileMap(source, target, first, last, int(common.sum()), *fields)
    if not mapping.cells:
        raise _too_few(source, target, first, last, mapping.days)
    _write(out, mapping)
    return mapping


def load_quantile_map(path: Path, source: str, target: str) -> QuantileMap:
    """A map that brings rain of `source` into the terms of `target`, or of products of the same families.

    Raises:
        RegionError: no such file, not a map, or one made for other products.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            told, fields = file.attrs, [file[name].load() for name in ("from_mm", "to_mm")]
            first, last = (date.fromisoformat(day) for day in told["period"].split("/"))
            mapping = QuantileMap(told["from_product"], told["to_product"], first, last, int(told["days"]), *fields)
    except FileNotFoundError as error:
        raise RegionError(
            f"{CONTEXT}: {path}: no such file; make it with `lswarn rain mapping --from {source} --to {target}`"
        ) from error
    except (OSError, KeyError, ValueError) as error:
        raise RegionError(f"{CONTEXT}: {path}: not a file of `lswarn rain mapping` ({error}); make it again") from error
    if (family_of(mapping.source), family_of(mapping.target)) != (family_of(source), family_of(target)):
        raise RegionError(
            f"{CONTEXT}: {path}: maps {mapping.source} to {mapping.target}, not {source} to {target}; "
            f"make one with `lswarn rain mapping --from {source} --to {target}`"
        )
    return mapping


def apply(field: xr.DataArray, mapping: QuantileMap) -> xr.DataArray:
    """Rain of the map's source in the terms of its target.

    Less than `DRY_MM` becomes 0. Between two quantiles the map is linear, from 0 to the first of them too; beyond the
    last the correction is that of the last (Boé et al. 2007, doi:10.1002/joc.1602). More rain never becomes less.

    Args:
        field: mm/day, (lat, lon), NaN = unknown.

    Returns:
        mm/day on the map's grid. NaN where the rain is, where the field ends, and where the map has no quantiles.
    """
    there = regrid(field, mapping.from_mm[0].drop_vars("share"))
    rain = there.values.astype(float)
    zero = np.zeros((1, *rain.shape))
    knots, goals = (np.concatenate([zero, each.values]) for each in (mapping.from_mm, mapping.to_mm))
    below = (knots <= rain).sum(axis=0)[None] - 1
    above = np.minimum(below + 1, len(knots) - 1)
    low, high, least, most = (np.take_along_axis(*pair, axis=0)[0] for pair in _pairs(knots, goals, below, above))
    with np.errstate(invalid="ignore", divide="ignore"):
        mapped = np.minimum(least + (rain - low) / (high - low) * (most - least), most)
    mapped = np.where(below[0] == len(knots) - 1, rain + (least - low), mapped)
    mapped = np.where(rain < DRY_MM, 0, mapped)
    mapped[np.isnan(rain) | np.isnan(knots[-1])] = np.nan
    told = f"from {mapping.source} to {mapping.target}, {mapping.first} to {mapping.last}"
    return there.copy(data=mapped.astype(np.float32)).assign_attrs(quantile_mapped=told)


def fit_quantiles(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Quantiles of the source's wet days, and those of the target of the same rank among all days: both [share, cells].

    Args:
        source, target: mm/day of the same days, [days, cells], NaN = unknown.
    """
    from_mm, to_mm = (np.full((len(SHARES), source.shape[1]), np.nan, np.float32) for _ in range(2))
    for cell in range(source.shape[1]):
        known = np.isfinite(source[:, cell]) & np.isfinite(target[:, cell])
        if known.sum() < LEAST_COMMON_DAYS:
            continue
        mine, theirs = (
            np.sort(np.where(rain < DRY_MM, 0, rain)) for rain in (source[known, cell], target[known, cell])
        )
        dry = int((mine == 0).sum())
        if len(mine) - dry < LEAST_WET_DAYS:
            continue
        ranks = dry + SHARES * (len(mine) - 1 - dry)
        knots, goals = (np.interp(ranks, np.arange(len(mine)), rain).astype(np.float32) for rain in (mine, theirs))
        # The same rain can become but one thing: where a product tells amounts coarsely, the mean of all it became.
        _, tied = np.unique(knots, return_inverse=True)
        from_mm[:, cell], to_mm[:, cell] = knots, (np.bincount(tied, goals) / np.bincount(tied))[tied]
    return from_mm, to_mm


def _pairs(
    knots: NDArray, goals: NDArray, below: NDArray[np.int64], above: NDArray[np.int64]
) -> tuple[tuple[NDArray, NDArray], ...]:
    return (knots, below), (knots, above), (goals, below), (goals, above)


def _too_few(source: str, target: str, first: date, last: date, days: int) -> IncompleteWindow:
    return IncompleteWindow(
        f"{source} and {target} have {days} archived days in common, {first} to {last}; a map needs "
        f"{LEAST_COMMON_DAYS}, {LEAST_WET_DAYS} of them wet, known to both in some cell: "
        "fetch more days of both (lswarn rain fetch)"
    )


def _write(out: Path, mapping: QuantileMap) -> None:
    attrs = {
        "Conventions": "CF-1.8",
        "title": f"Rain of {mapping.source} in the terms of {mapping.target}, by lswarn",
        "method": "empirical quantile mapping with wet-day adjustment (doi:10.5194/hess-16-3383-2012)",
        "from_product": mapping.source,
        "to_product": mapping.target,
        "period": f"{mapping.first}/{mapping.last}",
        "days": mapping.days,
    }
    dataset = xr.Dataset({"from_mm": mapping.from_mm, "to_mm": mapping.to_mm}, attrs=attrs)
    encoding = {name: {"_FillValue": np.float32(np.nan), "zlib": True} for name in dataset.data_vars}
    draft = out.with_name(out.name + ".part")
    try:
        dataset.to_netcdf(draft, engine="h5netcdf", encoding=encoding)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
