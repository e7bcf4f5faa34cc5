"""`lswarn critical`: how much more rain it takes."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from lswarn.cli.options import Json, RegionPath, region_of
from lswarn.db import critical as found_in
from lswarn.db.engine import open_database, transaction
from lswarn.settings import load_settings
from lswarn.terminal import show_table


def critical(
    region: RegionPath = None,
    until: Annotated[
        Literal["high", "very-high"], typer.Option(help="Until some of it is in this class.")
    ] = "very-high",
    kind: Annotated[Literal["road", "settlement", "warning_area"], typer.Option(help="Of which assets.")] = "road",
    most: Annotated[int, typer.Option(min=1, help="So many of them.")] = 20,
    as_json: Json = False,
) -> None:
    """The roads that need the least more rain than on the newest day until some of them is in a very-high zone.

    `reached`: it is there. `at_most`: some rain or ground is unknown, so that less may do. `never`: no rain that the
    model has seen puts it there. `beyond_model`: more than that has fallen, and nobody knows what it does. `unknown`.

    Example: lswarn critical region.toml --kind settlement --most 5
    """
    settings = load_settings()
    watched = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        pressed = found_in.find_pressed(
            conn, watched, warned={"high": 4, "very-high": 5}[until], kinds=(kind,), most=most
        )
    show_table([asdict(each) for each in pressed], as_json)
