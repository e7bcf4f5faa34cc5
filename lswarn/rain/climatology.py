"""How much rain is much rain here: local percentiles of a product's own record, as a raster of thresholds (a door).

Products differ too much for one product's threshold to serve another (Kirschbaum & Stanley 2018 take percentiles of
the product they watch with), so the raster says of which record it was made, and `thresholds` asks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from lswarn.errors import IncompleteWindow
from lswarn.rain.archive import iterate_days
from lswarn.rain.measures import WINDOW_DAYS, Measure
from lswarn.rain.spool import Spool, spooled
from lswarn.rain.thresholds import raster_grid
from lswarn.rain.window import Bounds

LEAST_SHARE = 0.8
"""Of a season's days that must be known in a cell, for a percentile there to mean anything."""


@dataclass(frozen=True)
class Season:
    """A part of every year.

    Attributes:
        name: such as `6-9`, `11-3` or `whole year`.
        months: 1 to 12.
    """

    name: str
    months: frozenset[int]


WHOLE_YEAR = Season("whole year", frozenset(range(1, 13)))


@dataclass(frozen=True)
class Climatology:
    """What `save_climatology` made of how much.

    Attributes:
        path: the raster.
        source: what it holds, in words, as region.toml's `rain.threshold.source` may say it.
        first, last: days of the period.
        cells: with a threshold.
        unknown_cells: too few of whose days are known.
        dry_cells: whose percentile is 0 mm, which is no threshold; unknown too.
        samples: fewest windows behind any cell that has a threshold.
        days, missing_days: of the period, archived and not.
        min_mm, mean_mm, max_mm: of the thresholds.
    """

    path: Path
    source: str
    first: date
    last: date
    cells: int
    unknown_cells: int
    dry_cells: int
    samples: int
    days: int
    missing_days: int
    min_mm: float
    mean_mm: float
    max_mm: float


def find_season(text: str) -> Season:
    """Months as people write them: `6-9`, `11-3` over the end of the year, `5`, `4-6,9-11`; empty: the whole year.

    Raises:
        ValueError: they are not.
    """
    months: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", part)
        begin, end = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not (1 <= begin <= 12 and 1 <= end <= 12):
            raise ValueError(f"{text!r} is no season; say months, such as 6-9, or 11-3 over the end of the year")
        months |= {(begin + n - 1) % 12 + 1 for n in range((end - begin) % 12 + 1)}
    return Season(text.strip(), frozenset(months)) if 0 < len(months) < 12 else WHOLE_YEAR


def save_climatology(
    root: Path,
    out: Path,
    product: str,
    measure: Measure,
    percentile: float,
    first: date,
    last: date,
    *,
    season: Season = WHOLE_YEAR,
    bbox: Bounds | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Climatology:
    """Make a raster of local percentiles of the measure from a product's archived days.

    A window counts when all its seven days lie in the period and are known in that cell; it is of the season of its
    last day. Windows overlap, as those that are watched do. Percentiles interpolate linearly between neighbours of the
    sorted sample (type 7 of Hyndman & Fan 1996, doi:10.2307/2684934). A cell has none where less than `LEAST_SHARE` of
    the season's days is known, where there are fewer windows than it takes for one to lie above (100 of the 99th), and
    where it is 0 mm.

    Args:
        root: the region's rain archive.
        out: GeoTIFF: mm, float32, NaN where there is no threshold, EPSG:4326, row 0 in the north. Its tags say of what
            it was made. It appears under its name only when it is whole; what was there is replaced.
        percentile: above 0, below 100.
        bbox: west, south, east, north, degrees; archived rain that does not cover it is passed over.
        on_progress: told days done and days in all.

    Raises:
        IncompleteWindow: so few days are archived that no cell has a percentile.
        StorageFull: there is no room beside `out` for the days, 4 bytes a cell and day.
        AccessDenied: the folder of `out` may not be written to.
    """
    if not 0 < percentile < 100:
        raise ValueError(f"percentile {percentile:g} is not above 0 and below 100")
    total = (last - first).days + 1
    days = iterate_days(root, product, first, last, bbox=bbox)
    with spooled(days, first, last, out.parent, on_day=lambda done: on_progress(done, total)) as spool:
        values, samples = _percentiles(spool, first, measure, percentile, season)
        like, there = spool.like, int(spool.there.sum())
    on_progress(total, total)
    dry = values <= 0
    values[dry] = np.nan
    known = np.isfinite(values)
    if not known.any():
        raise IncompleteWindow(
            f"{product}, {first} to {last}, {season.name}: {there} of {total} days are archived; no cell has the "
            f"{_least_samples(percentile)} whole windows, and {LEAST_SHARE:.0%} of its days, that percentile "
            f"{percentile:g} needs, or it is 0 mm everywhere; fetch more days (lswarn rain fetch), or ask for less"
        )
    source = f"percentile {percentile:g} of {measure.title}, {product}, {season.name}, {first} to {last}"
    fewest = int(samples[known].min())
    tags = {
        "source": source,
        "product": product,
        "measure": measure.name,
        "percentile": f"{percentile:g}",
        "season": season.name,
        "period": f"{first}/{last}",
        "samples": str(fewest),
        "share_of_days": f"{there / total:.4f}",
    }
    _write(out, values.astype(np.float32), raster_grid(like).transform, tags)
    kept = values[known]
    return Climatology(
        out, source, first, last, int(known.sum()), int((~known & ~dry).sum()), int(dry.sum()), fewest, there,
        total - there, float(kept.min()), float(kept.mean()), float(kept.max()),
    )  # fmt: skip


def _percentiles(
    spool: Spool, first: date, measure: Measure, percentile: float, season: Season
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """On the spool's grid: the percentile, NaN where too little is known, and how many windows are behind it."""
    values, samples = np.full(spool.like.shape, np.nan), np.zeros(spool.like.shape, np.int64)
    months = (np.datetime64(first) + np.arange(len(spool.there))).astype("datetime64[M]").astype(int) % 12 + 1
    in_season = np.isin(months, list(season.months))
    if len(in_season) < WINDOW_DAYS or not in_season[WINDOW_DAYS - 1 :].any():
        return values, samples
    for rows, band in spool.bands():
        for row in range(rows.start, rows.stop):
            days = band[:, row - rows.start]
            windows = measured(days, measure)[in_season[WINDOW_DAYS - 1 :]]
            samples[row] = np.isfinite(windows).sum(axis=0)
            enough = samples[row] >= _least_samples(percentile)
            enough &= np.isfinite(days[in_season]).mean(axis=0) >= LEAST_SHARE
            values[row, enough] = quantiles(windows[:, enough], samples[row, enough], percentile / 100)
    return values, samples


def measured(days: NDArray[np.float32], measure: Measure) -> NDArray[np.float64]:
    """The measure of every seven days in a row: [days, cells] to [days - 6, cells], by last day; NaN where one is."""
    windows = np.zeros((len(days) - WINDOW_DAYS + 1, *days.shape[1:]))
    for back, weight in enumerate(measure.weights):
        windows += weight * days[WINDOW_DAYS - 1 - back : len(days) - back].astype(float)
    return windows


def quantiles(sample: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> NDArray:
    """One quantile of each column's known values, type 7 of Hyndman & Fan; `counts` says how many those are."""
    at = (counts - 1) * share
    low, high = np.floor(at).astype(int), np.ceil(at).astype(int)
    if not counts.size:
        return at
    # NaN sorts last, so the known values of a column are its first ones.
    ranked = np.partition(np.ascontiguousarray(sample.T), np.unique((low, high)), axis=1)
    below, above = (np.take_along_axis(ranked, at[:, None], axis=1)[:, 0] for at in (low, high))
    return below + (at - low) * (above - below)


def _least_samples(percentile: float) -> int:
    """With fewer, the percentile would be the wettest window itself."""
    return int(np.ceil(round(100 / (100 - percentile), 6)))


def _write(out: Path, values: NDArray[np.float32], transform: object, tags: dict[str, str]) -> None:
    draft = out.with_name(out.name + ".part")
    height, width = values.shape
    try:
        with rasterio.open(
            draft, "w", driver="GTiff", height=height, width=width, count=1, dtype="float32", nodata=np.nan,
            crs="EPSG:4326", transform=transform, compress="deflate",
        ) as raster:  # fmt: skip
            raster.write(values[::-1], 1)  # row 0 of a raster is in the north
            raster.update_tags(**tags)
            raster.set_band_description(1, "critical rainfall, mm")
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
