"""`lswarn region init`: a region of one's own, from what is open."""

import re
from pathlib import Path
from typing import Annotated

import typer

from lswarn.cli.options import Json, clock
from lswarn.errors import RegionError
from lswarn.settings import load_settings
from lswarn.terminal import err, say, show_table


def init(
    bbox: Annotated[str, typer.Option(metavar="W,S,E,N", help="West, south, east, north, degrees.")],
    name: Annotated[str, typer.Option(help="Lower case; used in paths and in the database.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where its files will lie; left out: ./NAME.", show_default=False)
    ] = None,
    title: Annotated[str, typer.Option(help="As people call it; left out: NAME.", show_default=False)] = "",
    crs: Annotated[
        str | None, typer.Option(help="Projected, in metres; left out: the UTM zone.", show_default=False)
    ] = None,
    resolution_m: Annotated[float, typer.Option("--resolution-m", min=10, max=1000, help="Side of a cell.")] = 30.0,
    admin_level: Annotated[
        str | None,
        typer.Option(help="Of the warning areas, as OpenStreetMap counts; left out: 6, 7 or 8.", show_default=False),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=FILE", help="A file of yours in place of a source; may be said again."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="SOURCE=URL", help="Another address of a source; may be said again."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Begin a region: fetch what is open of it, and write a region.toml that says where everything came from.

    Sources: dem (Copernicus), osm (OpenStreetMap), faults, seismic (GEM), rainfall, temperature (WorldClim), inventory
    (NASA COOLR); of rivers and rock there are only files. What cannot be had is named, with how to supply it, and the
    exit code is 1. Safe to repeat: what is here is not fetched again, and a region.toml that is there is not touched.

    Example: lswarn region init --bbox 9.0,46.2,9.5,46.5 --name my-valley --file osm=extract.osm.pbf
    """
    from lswarn.prospect.begin import Wish, begin_region, rows
    from lswarn.prospect.catalogue import CATALOGUE, FETCHED

    files = {key: Path(value) for key, value in _pairs(file, "--file", tuple(CATALOGUE)).items()}
    wish = Wish(
        name,
        title or name,
        _box(bbox),
        crs,
        resolution_m,
        admin_level,
        files,
        _pairs(mirror, "--from", FETCHED),
    )
    begun = begin_region(
        folder or Path(name),
        wish,
        load_settings(),
        clock(),
        lambda what: err.print(f"fetching {what}", highlight=False),
    )
    show_table(rows(begun), as_json)
    if not as_json:
        say(f"\n{begun.toml} is written: read it, then `lswarn region check {begun.toml.parent}`")
    if begun.missing:
        raise RegionError(
            *begun.missing, "what is here stays: begin again with the same command, or supply these files"
        )


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not W,S,E,N in degrees, such as 9.0,46.2,9.5,46.5", param_hint="--bbox"
        ) from None
    if not (-180 <= west < east <= 180 and -84 <= south < north <= 84):
        raise typer.BadParameter(
            f"{text!r}: west < east within 180 degrees, south < north within 84 (where UTM ends)", param_hint="--bbox"
        )
    return west, south, east, north


def _pairs(given: list[str] | None, option: str, known: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for each in given or ():
        if not (found := re.fullmatch(r"([a-z]+)=(.+)", each)) or found[1] not in known:
            raise typer.BadParameter(f"{each!r}: give SOURCE=…, of {', '.join(known)}", param_hint=option)
        pairs[found[1]] = found[2]
    return pairs
