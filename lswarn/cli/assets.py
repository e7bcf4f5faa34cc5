"""`lswarn assets …`: roads, settlements and warning areas: load them, see what is known."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lswarn.cli.options import Json, RegionPath, region_of
from lswarn.db.engine import open_database, transaction
from lswarn.settings import load_settings
from lswarn.terminal import say, show_facts, show_table

if TYPE_CHECKING:
    from lswarn.assets import AssetName

app = typer.Typer(help="Roads, settlements and warning areas: load them, see what is known.", no_args_is_help=True)

Field = Annotated[str | None, typer.Option(metavar="FIELD", show_default=False)]


class Kind(StrEnum):
    """As a user writes it."""

    ROADS = "roads"
    SETTLEMENTS = "settlements"
    WARNING_AREAS = "warning-areas"


KEY: "dict[Kind, AssetName]" = {
    Kind.ROADS: "roads",
    Kind.SETTLEMENTS: "settlements",
    Kind.WARNING_AREAS: "warning_areas",
}


@app.command()
def load(
    kind: Annotated[Kind, typer.Argument(help="What the file holds.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="GeoPackage, Shapefile, GeoJSON or .osm.pbf; left out: the one of region.toml.", show_default=False
        ),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="FIELD", help="What names a feature for ever; OpenStreetMap has its own."),
    ] = None,
    name: Field = None,
    ref: Field = None,
    class_: Annotated[
        str | None, typer.Option("--kind", metavar="FIELD", help="Class of road or settlement.", show_default=False)
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KIND", help="Only features of this kind; may be repeated.", show_default=False),
    ] = None,
    population: Field = None,
    layer: Annotated[str | None, typer.Option(help="Where the file has several.", show_default=False)] = None,
    region: Annotated[
        Path | None,
        typer.Option(help="region.toml or its folder; left out: LSWARN_REGION.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a file: known features are updated by their id, those that are gone from it are retired. Safe to repeat.

    Example: lswarn assets load roads andorra.osm.pbf --only primary --only secondary
    """
    from lswarn import groundwork

    settings = load_settings()
    found = region_of(region, settings)
    fields = {"layer": layer, "id": id_, "name": name, "ref": ref, "kind": class_, "population": population}
    if file is None and (named := [f"--{key}" for key, value in (fields | {"only": kinds}).items() if value]):
        raise typer.BadParameter(f"{', '.join(named)}: name the FILE; region.toml has the fields of its own")
    key = KEY[kind]
    asset = None
    if file is not None:
        given = {name: value for name, value in fields.items() if value is not None}
        asset = groundwork.asset_of(found, key, file, given | ({"kinds": tuple(kinds)} if kinds else {}))
    told = groundwork.load_asset(found, settings, key, asset)
    show_facts(told, as_json)
    if asset is not None and asset != getattr(found.assets, key) and not as_json:
        say(
            f"region.toml names other fields or another file: until [assets.{key}] does as well, "
            "the next `lswarn region build` loads that again"
        )


@app.command("list")
def list_(region: RegionPath = None, as_json: Json = False) -> None:
    """What is known of each kind: how many, how long or large, how many people, how many are retired."""
    from lswarn.db import history

    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        show_table([asdict(row) for row in history.find_holdings(conn, found)], as_json)


@app.command()
def changes(
    region: RegionPath = None,
    most: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """The last changes, newest first: what a feature was before a file changed, retired or brought it back."""
    from lswarn.db import history

    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        show_table([asdict(row) for row in history.find_asset_changes(conn, found, most)], as_json)
