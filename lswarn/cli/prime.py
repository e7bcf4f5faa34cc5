"""`lswarn prime`: what the model says under any rain, worked out before the rain falls."""

from typing import Annotated

import typer

from lswarn.cli.options import DaskAddress, Json, RegionPath, region_of
from lswarn.settings import load_settings
from lswarn.terminal import progress, say, show_facts


def prime(
    region: RegionPath = None,
    model: Annotated[
        str | None,
        typer.Option(help="This model, or the beginning of its id; left out: the champion.", show_default=False),
    ] = None,
    dask: DaskAddress = None,
    as_json: Json = False,
) -> None:
    """Work out the critical rainfall of every cell: once for each model and stack of factors, days then only read it.

    May be stopped and started again at any time: what is worked out stays. Layers that were edited or damaged are made
    anew. A run primes by itself where this was not done; here it is done before it is urgent.

    Example: lswarn prime region.toml --model 3f2a
    """
    from lswarn import priming

    settings = load_settings(dask=dask)
    found = region_of(region, settings)
    with progress("blocks", None) as advance:
        layers = priming.prime(found, settings, lambda done, total: advance(done, "", total), model_id=model)
    if as_json:
        show_facts(
            {
                "region": found.name,
                "model": layers.model_id,
                "folder": layers.folder,
                "cells": layers.grid.height * layers.grid.width,
                "unknown_cells": int(layers.unknown.sum()),
                "rain_max_mm": layers.rain_max_mm,
            },
            as_json,
        )
        return
    say(f"{found.title}: model {layers.model_id} is primed on {layers.grid.height} × {layers.grid.width} cells")
