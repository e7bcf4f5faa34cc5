"""Priming a region: the champion is asked once about every cell, and days are read from what it said.

Before the day: `lswarn prime` by hand, retraining after a promotion, or the first day itself.
"""

from collections.abc import Callable

from lswarn import reserve
from lswarn.db import inputs
from lswarn.db.engine import open_database, transaction
from lswarn.errors import NoModel
from lswarn.factors.stack import open_stack
from lswarn.hazard.critical import CriticalLayers
from lswarn.hazard.prime import prime as prime_layers
from lswarn.region import Region
from lswarn.settings import Settings
from lswarn.workers import Workers, workers_of


def prime(
    region: Region,
    settings: Settings,
    on_progress: Callable[[int, int], None],
    *,
    model_id: str | None = None,
    workers: Workers | None = None,
) -> CriticalLayers:
    """The critical layers of a model of a region; what lies there whole is not made again. Safe to kill and repeat.

    Args:
        on_progress: called with blocks done and blocks in all.
        model_id: of the region's models; left out, the champion.
        workers: who does the blocks; left out, what the settings say.

    Raises:
        StackNotBuilt, NoModel, CheckpointMismatch: with what to do about it.
        ModelError: more rain may lower what the model says: its days go through the network.
        NotEnoughMemory, StorageFull, ClusterDown: what was worked out is kept.
    """
    from lswarn.model.predict import load_predictor  # torch: only where something is to be worked out

    with transaction(open_database(settings)) as conn:
        model = inputs.find_model(conn, region, model_id) if model_id else inputs.find_champion(conn, region)
        try:
            champion = frozenset({inputs.find_champion(conn, region).id})
        except NoModel:
            champion = frozenset()
    folder = settings.region_dir(region.name)
    with open_stack(region, folder / "factors") as factors:
        layers = prime_layers(
            region.name,
            factors,
            load_predictor(model.path, settings.device),
            folder / "critical",
            workers=workers or workers_of(settings.dask),
            on_progress=on_progress,
            block_cells=settings.block_cells,
            keep=champion,
        )
    if model.id in champion:
        reserve.look_up(region, settings, layers)
    return layers
