"""How long each step of one day takes, and how much memory: `python ops/bench/steps.py REGION DAY`.

The day is assessed anew, in a folder of its own, and published as a dry run: nothing is changed, nobody is told.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from lswarn import day as line
from lswarn.cascade import critical_of
from lswarn.db import assets, inputs
from lswarn.db.engine import open_database, transaction
from lswarn.factors.stack import open_stack
from lswarn.hazard.assess import assess
from lswarn.model.checkpoint import load_checkpoint
from lswarn.model.predict import Predictor
from lswarn.region import load_region
from lswarn.settings import load_settings


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print what a step took."""
    start = time.perf_counter()
    yield
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:24s} {time.perf_counter() - start:7.2f} s   peak so far {peak_mb:6.0f} MB")


def main(path: Path, day: date) -> None:
    """Time one day of one region, step by step."""
    settings, region, now = load_settings(), load_region(path), datetime.now(UTC)
    folder = settings.region_dir(region.name)
    with timed("ingest (all archived)"):
        window = line.ingest(region, settings, day, now)
    with timed("open model and factors"):
        with transaction(open_database(settings)) as conn:
            champion, areas = inputs.find_champion(conn, region), assets.find_warning_areas(conn, region)
        predictor = Predictor(load_checkpoint(champion.path), settings.device)
        critical = critical_of(region, window)
    with open_stack(region, folder / "factors") as factors, tempfile.TemporaryDirectory() as scratch:
        cells = factors.grid.height * factors.grid.width
        with timed(f"assess {cells / 1e6:.2f} M cells"):
            rule = region.alerts.min_zone_m2
            found = assess(
                region.name, window, critical, factors, predictor, areas, Path(scratch), min_zone_m2=rule,
                on_progress=lambda done, total: None,
            )  # fmt: skip
    with timed(f"publish {len(found.zones)} zones"):
        # Another key than the one that stands, so that the day is really done again, and then taken back.
        again = type(found)(**(vars(found) | {"key": "bench"}))
        line.publish(region, settings, again, now, dry_run=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]))
