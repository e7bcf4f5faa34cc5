"""`lswarn rain …`: fetch it, look into it, make thresholds of it."""

from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lswarn.cli.options import DAY, Json, RegionPath, clock, region_of
from lswarn.errors import IncompleteWindow
from lswarn.region import Region
from lswarn.sections import RainSource
from lswarn.settings import load_settings
from lswarn.terminal import err, progress, show_facts, show_table

app = typer.Typer(help="Rain: fetch it, look into it, make thresholds of it.", no_args_is_help=True)

Since = Annotated[datetime | None, typer.Option(formats=DAY, help="First day; left out: six before the last.")]
Until = Annotated[datetime | None, typer.Option(formats=DAY, help="Last day; left out: yesterday.")]

Period = Annotated[datetime | None, typer.Option(formats=DAY, help="Left out: all that is archived.")]


@app.command()
def fetch(
    region: RegionPath = None,
    since: Since = None,
    until: Until = None,
    product: Annotated[
        str | None, typer.Option(help="This product alone, from region.toml or from its own address.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch the best product there is of each day into the archive, several days at once.

    Example: lswarn rain fetch region.toml --since 2015-09-26 --until 2015-10-03
    """
    from lswarn import cascade

    settings = load_settings()
    found = region_of(region, settings)
    first, last = _days(since, until)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    done = count(1)
    with progress("rain", len(days)) as advance:
        told = cascade.fetch_days(
            found,
            settings,
            days,
            clock(),
            lambda each: advance(next(done), str(each)),
            sources=[_source(found, product)] if product else None,
        )
    show_table([{"day": each, "rain": what} for each, what in told.items()], as_json)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A file of any product that lswarn reads.")],
    at: Annotated[str | None, typer.Option(metavar="LAT,LON", help="Also the value at a point, degrees.")] = None,
    product: Annotated[str | None, typer.Option(help="Of region.toml: a file with a layout of its own.")] = None,
    region: Annotated[Path | None, typer.Option(help="The region.toml that names --product.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a file is: product, version, day, grid, unit, range, share of missing cells, the value at a point.

    Example: lswarn rain inspect 3B-DAY-L.MS.MRG.3IMERG.20260305-S000000-E235959.V07C.nc4 --at 36.35,-84.15
    """
    from lswarn.rain.inspect import describe

    source = _source(region_of(region, load_settings()), product) if product else None
    show_facts(describe(file, at=_point(at) if at else None, source=source), as_json)


@app.command()
def status(
    region: RegionPath = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="So many, the newest last.")] = 10,
    until: Until = None,
    archive: Annotated[bool, typer.Option("--archive", help="All that is archived of them, superseded too.")] = False,
    as_json: Json = False,
) -> None:
    """How the rain of the last days stands: product, grade, age, what is due and what is overdue."""
    from lswarn import cascade, standing

    settings = load_settings()
    found = region_of(region, settings)
    if warning := cascade.account_warning(settings, clock()):
        err.print(Text(warning, "bold yellow"), soft_wrap=True)
    _, last = _days(None, until)
    wanted = [last - timedelta(days=back) for back in reversed(range(days))]
    if archive:
        show_table(standing.archived_rows(found, settings, wanted), as_json)
    else:
        show_table([asdict(row) for row in standing.standing(found, settings, clock(), wanted)], as_json)


@app.command()
def climatology(
    out: Annotated[Path, typer.Option(help="GeoTIFF to write, for rain.threshold.file.")],
    region: RegionPath = None,
    product: Annotated[str | None, typer.Option(help="Whose record; left out: the region's first.")] = None,
    since: Period = None,
    until: Period = None,
    percentile: Annotated[float, typer.Option(min=1, max=99.9)] = 95.0,
    season: Annotated[str, typer.Option(help="Months, as 6-9 or 11-3; left out: the whole year.")] = "",
    as_json: Json = False,
) -> None:
    """Local percentiles of a product's archived record, in the region's measure: a raster of critical rainfall.

    Example: lswarn rain climatology region.toml --percentile 95 --season 6-9 --out thresholds.tif
    """
    from lswarn import cascade
    from lswarn.rain.climatology import find_season, save_climatology

    settings = load_settings()
    found = region_of(region, settings)
    chosen = product or found.rain.sources[0].product
    first, last = _period(cascade.archived_period(found, settings, [chosen]), since, until)
    try:
        months = find_season(season)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--season") from error
    with progress("rain", None) as advance:
        made = save_climatology(
            cascade.archive_of(found, settings),
            out,
            chosen,
            cascade.measure_of(found),
            percentile,
            first,
            last,
            season=months,
            bbox=found.bbox,
            on_progress=lambda done, total: advance(done, "", total),
        )
    show_facts(asdict(made), as_json)


@app.command()
def mapping(
    source: Annotated[str, typer.Option("--from", help="Product whose rain is to be mapped.")],
    target: Annotated[str, typer.Option("--to", help="Product in whose terms.")],
    out: Annotated[Path, typer.Option(help="NetCDF file to write, for quantile_map.")],
    region: RegionPath = None,
    since: Period = None,
    until: Period = None,
    as_json: Json = False,
) -> None:
    """Learn from days that two products share how the rain of one would have been measured by the other.

    Example: lswarn rain mapping region.toml --from CHIRPS-prelim --to IMERG-Late --out chirps.nc
    """
    from lswarn import cascade
    from lswarn.rain.quantile_map import save_quantile_map

    settings = load_settings()
    found = region_of(region, settings)
    first, last = _period(cascade.archived_period(found, settings, [source, target]), since, until)
    root = cascade.archive_of(found, settings)
    with progress("rain", None) as advance:
        made = save_quantile_map(
            root,
            out,
            source,
            target,
            first,
            last,
            bbox=found.bbox,
            on_progress=lambda done, total: advance(done, "", total),
        )
    told = {"from": source, "to": target, "first": first, "last": last, "common_days": made.days}
    show_facts(told | {"cells": made.cells, "unknown_cells": made.unknown_cells, "path": out}, as_json)


def _period(archived: tuple[date, date] | None, since: datetime | None, until: datetime | None) -> tuple[date, date]:
    """What is asked for, and where nothing is said, what is archived."""
    first, last = archived or (None, None)
    first, last = since.date() if since else first, until.date() if until else last
    if first is None or last is None:
        raise IncompleteWindow("nothing of that product is archived; fetch it first (lswarn rain fetch --product …)")
    if first > last:
        raise typer.BadParameter(f"--since {first} is after --until {last}")
    return first, last


def _days(since: datetime | None, until: datetime | None) -> tuple[date, date]:
    last = until.date() if until else (clock() - timedelta(days=1)).date()
    first = since.date() if since else last - timedelta(days=6)
    if first > last:
        raise typer.BadParameter(f"--since {first} is after --until {last}")
    return first, last


def _source(region: Region, product: str) -> RainSource:
    """A product as region.toml names it, else from its own address."""
    named = {source.product: source for source in (*region.rain.sources, *region.rain.forecasts)}
    return named.get(product) or RainSource(product=product)


def _point(text: str) -> tuple[float, float]:
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not LAT,LON in degrees, such as 36.35,-84.15", param_hint="--at"
        ) from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise typer.BadParameter(f"{text!r} is no place: latitude first, then longitude", param_hint="--at")
    return lat, lon
