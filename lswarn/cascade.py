"""Where a day's rain comes from: the best product that can be had, looked for again at every run.

A product that is missing or broken falls to the next; a better one that arrives later takes its place; what was used
before stays archived. Rain of another product is brought into the terms of the first one by its quantile map.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import xarray as xr

from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import GridMismatch, LswarnError, NotYetPublished, RainError, SourceUnavailable
from lswarn.rain.accounts import token_warning
from lswarn.rain.archive import archived_products, load_archived, load_days, save_day
from lswarn.rain.families import require_one_family
from lswarn.rain.fetch import fetch_day
from lswarn.rain.measures import Measure, find_measure
from lswarn.rain.products import due_at, find_product
from lswarn.rain.quantile_map import QuantileMap, apply, load_quantile_map
from lswarn.rain.thresholds import critical_rainfall
from lswarn.rain.window import RainDay, RainWindow, rain_window, window_days
from lswarn.region import Region
from lswarn.sections import RainSource
from lswarn.settings import Settings

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Days asked for at the same time; how many of them reach one server together is its source's `connections`."""

BATCH_DAYS = 60
"""Days held in memory together."""

REVISED = timedelta(days=30)
"""Days after which a day's file is no longer looked for again: years of rain are fetched once."""

MANY_HOLES = 0.05
"""Share of missing cells above which a day is worth a warning; of whole IMERG granules less than 1 % is missing."""


def measure_of(region: Region) -> Measure:
    """What the region makes of seven days of rain."""
    return find_measure(region.rain.measure, region.rain.effective_k)


def fetch_days(
    region: Region,
    settings: Settings,
    days: Iterable[date],
    now: datetime,
    on_day: Callable[[date], None] = lambda day: None,
    *,
    sources: Sequence[RainSource] | None = None,
    as_of: datetime | None = None,
) -> dict[date, str]:
    """Fetch the best product there is of each day, several days at once, and record what is archived.

    Of a day no older than `REVISED` a newer version is looked for even if its best product is archived.

    Args:
        sources: best first; left out, those of the region.
        as_of: pass over products that were not due by this instant.

    Returns:
        For each day what happened, in a few words.

    Raises:
        RegionError: products of several families without a quantile map.
    """
    if sources is None:
        require_one_family(region.rain)
        sources = region.rain.sources
    _warn_of_account(settings, now)
    days, told = tuple(days), dict[date, str]()
    silent: set[str] = set()
    for first in range(0, len(days), BATCH_DAYS):
        batch = days[first : first + BATCH_DAYS]
        before = _best(region, settings, sources, batch, as_of)

        def fetch(day: date, before: Mapping[date, RainDay] = before) -> str:
            chosen = [source for source in sources if as_of is None or due_at(source, day) <= as_of]
            what = _fetch_better(region, settings, chosen, day, before.get(day), now, silent)
            on_day(day)
            return what

        with ThreadPoolExecutor(AT_ONCE) as pool:
            told |= dict(zip(batch, pool.map(fetch, batch), strict=True))
        _record(region, settings, batch)
    return told


def _fetch_better(
    region: Region,
    settings: Settings,
    sources: Iterable[RainSource],
    day: date,
    archived: RainDay | None,
    now: datetime,
    silent: set[str],
) -> str:
    """Archive the first product, best first, that can be had and is better or newer than what is archived.

    A source that does not answer joins `silent`, and is not asked for later days: it was tried again and again.
    """
    again = now.astimezone(UTC).date() - day <= REVISED
    troubles = []
    for source in sources:
        known = archived if archived is not None and archived.product == source.product else None
        kept = f"{known.product} {known.version} archived" if known else ""
        if known and (not again or source.product in silent):
            return kept
        if source.product in silent:
            troubles.append(f"{source.product} does not answer")
            continue
        issue = day if find_product(source).forecast else None
        try:
            fetched = fetch_day(source, day, region.bbox, now=now, settings=settings, issue=issue, known=known)
        except LswarnError as trouble:
            troubles.append(_tell(source, day, trouble, now, silent, known=known is not None))
            if known:
                return kept
        else:
            if fetched is None:
                return kept
            _warn_of_holes(region, fetched)
            save_day(archive_of(region, settings), fetched)
            return f"{fetched.product} {fetched.version} fetched"
    return "; ".join(troubles)


def _tell(source: RainSource, day: date, trouble: LswarnError, now: datetime, silent: set[str], *, known: bool) -> str:
    """Log what went wrong as loudly as it deserves; in a few words for the caller."""
    if isinstance(trouble, NotYetPublished):
        overdue = now >= due_at(source, day) and not known
        log.log(logging.WARNING if overdue else logging.INFO, "%s of %s: %s", source.product, day, trouble)
        return f"{source.product} not yet published" + (" (overdue)" if overdue else "")
    if not isinstance(trouble, RainError | GridMismatch):
        raise trouble
    if isinstance(trouble, SourceUnavailable):
        silent.add(source.product)
    log.error("%s of %s: %s", source.product, day, trouble)
    return str(trouble)


def _warn_of_holes(region: Region, rain: RainDay) -> None:
    """Holes stay holes; but so many of them are worth a look."""
    share = float(inside(region, rain).isnull().mean())
    if share > MANY_HOLES:
        log.warning("%s: of %s, %.0f %% of the region's cells are missing", rain.uri, rain.day, 100 * share)


def inside(region: Region, rain: RainDay) -> xr.DataArray:
    """The cells that the region's box touches, without the margin that is archived around them."""
    west, south, east, north = region.bbox
    lat, lon = (rain.precipitation[axis].values for axis in ("lat", "lon"))
    half_lat, half_lon = (lat[1] - lat[0]) / 2, (lon[1] - lon[0]) / 2
    return rain.precipitation.sel(
        lat=slice(south - half_lat, north + half_lat), lon=slice(west - half_lon, east + half_lon)
    )


def fetch_forecasts(region: Region, settings: Settings, day: date, lead_days: int, now: datetime) -> None:
    """Fetch the newest forecast of each of the days after `day`, as far as there is one, and record it.

    The issue asked for is that of the morning after `day`, and where it is not out yet, the one before.
    """
    _warn_of_account(settings, now)
    ahead = tuple(day + timedelta(days=n) for n in range(1, lead_days + 1))
    issues = [issue for issue in (day + timedelta(days=1), day) if issue <= now.astimezone(UTC).date()]
    silent: set[str] = set()

    def fetch(valid: date) -> None:
        for source in region.rain.forecasts:
            archived = load_days(archive_of(region, settings), [valid], [source.product], bbox=region.bbox).get(valid)
            for issue in issues:
                if archived is not None and archived.version.startswith(issue.isoformat()):
                    return
                try:
                    fetched = fetch_day(source, valid, region.bbox, now=now, settings=settings, issue=issue)
                except LswarnError as trouble:
                    _tell(source, valid, trouble, now, silent, known=False)
                else:
                    if fetched is not None:
                        save_day(archive_of(region, settings), fetched)
                        return

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(fetch, ahead))
    _record(region, settings, ahead)


def archived_days(
    region: Region, settings: Settings, days: Iterable[date], *, as_of: datetime | None = None
) -> dict[date, RainDay]:
    """The best archived product of each day that has one, as published; `as_of` as in `fetch_days`."""
    return _best(region, settings, region.rain.sources, days, as_of)


def _best(
    region: Region, settings: Settings, sources: Sequence[RainSource], days: Iterable[date], as_of: datetime | None
) -> dict[date, RainDay]:
    named = {source.product: source for source in sources}
    return load_days(
        archive_of(region, settings),
        days,
        list(named),
        bbox=region.bbox,
        wanted=lambda rain: as_of is None or due_at(named[rain.product], rain.day) <= as_of,
    )


def archived_period(region: Region, settings: Settings, products: Sequence[str]) -> tuple[date, date] | None:
    """First and last day of which each of some products is archived; None where they share none."""
    there = archived_products(archive_of(region, settings))
    days = [day for day, archived in there.items() if archived.issuperset(products)]
    return (min(days), max(days)) if days else None


def find_known_days(region: Region, settings: Settings) -> set[date]:
    """Every day of which some observed product is archived; no file is opened."""
    products = {source.product for source in region.rain.sources}
    return {day for day, there in archived_products(archive_of(region, settings)).items() if there & products}


def window_of(
    region: Region, settings: Settings, day: date, *, as_of: datetime | None = None, like: xr.DataArray | None = None
) -> RainWindow:
    """The observed window of a day, from the archive; `as_of` as in `fetch_days`, `like` as in `rain_window`.

    Raises:
        IncompleteWindow: nothing has ever been archived.
    """
    days = archived_days(region, settings, window_days(day), as_of=as_of)
    if not days and like is None:
        like = _any_grid(region, settings)
    return _window(region, day, days, None, like)


def outlook_of(region: Region, settings: Settings, day: date, lead_days: int) -> list[RainWindow]:
    """The windows of the days after `day`: observed rain to `day`, forecast rain after it.

    As many as there is a forecast for without a gap. A forecast issued before `day` is not used: it is old.
    """
    observed = archived_days(region, settings, [day - timedelta(days=n) for n in range(len(window_days(day)))])
    ahead = [day + timedelta(days=n) for n in range(1, lead_days + 1)]
    forecast = load_days(
        archive_of(region, settings),
        ahead,
        [source.product for source in region.rain.forecasts],
        bbox=region.bbox,
        wanted=lambda rain: rain.version >= day.isoformat(),
    )
    windows = []
    for valid in ahead:
        if valid not in forecast:
            break
        windows.append(_window(region, valid, observed | forecast, day, None))
    return windows


def critical_of(region: Region, window: RainWindow) -> xr.DataArray:
    """Critical rainfall on a window's cells, in its measure; see `rain.thresholds.critical_rainfall`."""
    product = region.rain.sources[0].product
    return critical_rainfall(region.rain.threshold, window.total, product=product, measure=window.measure)


def _window(
    region: Region, day: date, days: Mapping[date, RainDay], observed_to: date | None, like: xr.DataArray | None
) -> RainWindow:
    rain = region.rain
    sources = {source.product: source for source in (*rain.sources, *rain.forecasts)}
    maps = {
        product: load_quantile_map(path, product, rain.sources[0].product)
        for product in {each.product for each in days.values()}
        if (path := sources[product].quantile_map) is not None
    }
    return rain_window(
        day,
        {each: _mapped(found, maps.get(found.product)) for each, found in days.items()},
        order=list(sources),
        bbox=region.bbox,
        measure=measure_of(region),
        min_known_days=rain.min_known_days,
        observed_to=observed_to,
        like=like,
    )


def _mapped(found: RainDay, chart: QuantileMap | None) -> RainDay:
    """In the terms of the first product, where there is a quantile map; the version says so."""
    if chart is None:
        return found
    version = f"{found.version} mapped {chart.digest[:8]}"
    return replace(found, precipitation=apply(found.precipitation, chart), version=version)


def _any_grid(region: Region, settings: Settings) -> xr.DataArray | None:
    """The grid of the newest archived day: where no rain is known, the map of the unknown still needs one."""
    known = find_known_days(region, settings)
    newest = archived_days(region, settings, [max(known)]).values() if known else ()
    return next((rain.precipitation for rain in newest), None)


def _record(region: Region, settings: Settings, days: Iterable[date]) -> None:
    with transaction(open_database(settings), region) as conn:
        inputs.record_rain_days(conn, region, load_archived(archive_of(region, settings), days))


def archive_of(region: Region, settings: Settings) -> Path:
    """Folder of the region's rain archive."""
    return settings.region_dir(region.name) / "rain"


def account_warning(settings: Settings, now: datetime) -> str | None:
    """What an operator must soon do about an account, if anything."""
    token = settings.earthdata_token
    return None if token is None else token_warning(token.get_secret_value(), now)


def _warn_of_account(settings: Settings, now: datetime) -> None:
    if warning := account_warning(settings, now):
        log.warning("%s", warning)
