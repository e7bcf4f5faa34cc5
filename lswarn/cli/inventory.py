"""`lswarn inventory …`: the landslides that are known, and what may be learnt from them."""

from pathlib import Path
from typing import Annotated

import typer

from lswarn.cli.options import Json, RegionPath, clock, region_of
from lswarn.sections import Inventory
from lswarn.settings import load_settings
from lswarn.terminal import show_facts

app = typer.Typer(help="Known landslides: read them, load them.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE|REGION]",
            help="An inventory, taken as it comes; or region.toml or its folder, whose [inventory] is meant.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what an inventory holds: events by day, accuracy and trigger, what is left out or teaches nothing, and why.

    Example: lswarn inventory check nasa_global_landslide_catalog_point.csv
    """
    from lswarn.inventory import load_inventory, summary

    today = clock().date()
    if file is not None and file.suffix != ".toml" and not (file / "region.toml").exists():
        inventory = Inventory(file=file)
        reading = load_inventory(inventory, today=today, context="file")
    else:
        region = region_of(file, load_settings())
        inventory = region.inventory
        reading = load_inventory(inventory, bbox=region.bbox, today=today)
    show_facts(summary(reading, inventory), as_json)


@app.command()
def load(region: RegionPath = None, as_json: Json = False) -> None:
    """Put the inventory into the database: known events are updated by their id, none is forgotten. Safe to repeat.

    Example: lswarn inventory load region.toml
    """
    from lswarn import groundwork

    settings = load_settings()
    found = region_of(region, settings)
    show_facts(groundwork.load_landslides(found, settings, clock().date()), as_json)
