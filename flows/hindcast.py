"""Past days under Prefect: each as it would have been run, recorded apart, and nobody told."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.patience import DOOR_DELAYS_S, time_may_heal
from flows.runner import on_a_worker, task_runner
from lswarn import day as line
from lswarn.region import Region, find_region
from lswarn.settings import Settings, load_settings


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, retry_condition_fn=time_may_heal, cache_policy=NO_CACHE)
def replay(region: Region, settings: Settings, day: date, as_of: datetime | None) -> line.Hindcast:
    """Door: network, disk, database."""
    return line.hindcast(region, settings, day, datetime.now(UTC), as_of=as_of)


@flow(name="hindcast", task_runner=task_runner())
def hindcast(
    start: date, end: date, region: Path | None = None, as_of_latency: bool = True, run_at: time = time(15, 30)
) -> int:
    """Replay every day from start to end.

    Args:
        start, end: first and last UTC day.
        region: region.toml or its folder; left out, LSWARN_REGION.
        as_of_latency: only rain that was due by `run_at` (UTC) on the day after each.

    Returns:
        How many days were run.
    """
    settings = load_settings()
    watched = find_region(region, settings.region)
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    running = []
    for day in days:
        as_of = datetime.combine(day + timedelta(days=1), run_at, UTC) if as_of_latency else None
        running.append(replay.submit(watched, on_a_worker(settings), day, as_of))
    for each in running:
        get_run_logger().info(each.result().sentence)
    return len(days)
