"""The day under Prefect: the four steps of `lswarn/day.py` as tasks.

A step that opens a door to the network or the database is tried again; assessing computes, and would fail the same way.
Where LSWARN_DASK names a cluster, each day is assessed by one of its workers, the outlooks beside the day itself.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.deliver import send
from flows.patience import DOOR_DELAYS_S, time_may_heal
from flows.runner import on_a_worker, task_runner
from lswarn import day as line
from lswarn.hazard.assess import Assessment
from lswarn.rain.window import RainWindow
from lswarn.region import Region, find_region
from lswarn.settings import Settings, load_settings


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, retry_condition_fn=time_may_heal, cache_policy=NO_CACHE)
def ingest(region: Region, settings: Settings, day: date | None, now: datetime) -> RainWindow:
    """Door: network, disk, database."""
    return line.ingest(region, settings, day, now)


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, retry_condition_fn=time_may_heal, cache_policy=NO_CACHE)
def ingest_outlook(
    region: Region, settings: Settings, day: date, lead_days: int, now: datetime
) -> Sequence[RainWindow]:
    """Door: network, disk, database."""
    return line.ingest_outlook(region, settings, day, lead_days, now)


@task(cache_policy=NO_CACHE)
def assess(region: Region, settings: Settings, window: RainWindow) -> Assessment:
    """Computes, block by block."""
    log = get_run_logger()
    return line.assess(region, settings, window, lambda done, total: log.info("block %d of %d", done, total))


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, cache_policy=NO_CACHE)
def publish(
    region: Region, settings: Settings, assessment: Assessment, outlooks: Sequence[Assessment], now: datetime
) -> line.Publication:
    """Door: database."""
    return line.publish(region, settings, assessment, now, outlooks=outlooks)


@flow(name="daily", task_runner=task_runner())
def daily(region: Path | None = None, day: date | None = None, lead_days: int = 0) -> str:
    """One day of one region, from rain to warning.

    Args:
        region: region.toml or its folder; left out, LSWARN_REGION.
        day: UTC day; left out, yesterday, or the newest that is due.
        lead_days: also an outlook of so many days, 0 to 3.

    Returns:
        A sentence on what was done.
    """
    settings = load_settings()
    watched = find_region(region, settings.region)
    now = datetime.now(UTC)
    window = ingest(watched, settings, day, now)
    ahead = ingest_outlook(watched, settings, window.day, lead_days, now) if lead_days else []
    assessing = [assess.submit(watched, on_a_worker(settings), each) for each in (window, *ahead)]
    assessment, *outlooks = (each.result() for each in assessing)
    publication = publish(watched, settings, assessment, outlooks, now)
    delivery = send(settings)
    told = f"{watched.name} {window.day}: rain grade {window.grade}, {publication.sentence}, {delivery.sentence}"
    get_run_logger().info(told)
    return told
