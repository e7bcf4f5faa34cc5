"""What several commands share: their arguments, the region they mean, the time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lswarn.region import Region, find_region
from lswarn.settings import Settings

RegionPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="[REGION]",
        help="region.toml or its folder; left out: LSWARN_REGION, else ./region.toml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Scheduler whose workers do the blocks, tcp://HOST:8786; left out: LSWARN_DASK, else threads here.",
        show_default=False,
    ),
]
DAY = ["%Y-%m-%d"]
"""How a day is written."""


def clock() -> datetime:
    """The one place where the command line reads the clock."""
    return datetime.now(UTC)


def region_of(named: Path | None, settings: Settings) -> Region:
    """The region a command means."""
    return find_region(named, settings.region)
