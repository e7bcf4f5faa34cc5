"""Forgetting under Prefect: what the database need not keep, by `[retention]` of region.toml."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.patience import DOOR_DELAYS_S
from lswarn.db import retention as forgetting
from lswarn.db.engine import open_database, transaction
from lswarn.region import Region, find_region
from lswarn.settings import Settings, load_settings


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, cache_policy=NO_CACHE)
def prune(region: Region, settings: Settings, now: datetime) -> forgetting.Pruned:
    """Door: database."""
    with transaction(open_database(settings), region) as conn:
        return forgetting.prune(conn, region, region.retention.zone_days, now)


@flow(name="retention")
def retention(region: Path | None = None) -> str:
    """Delete maps, zones and exposure that are older than they may be; runs, alerts and messages stay.

    Args:
        region: region.toml or its folder; left out, LSWARN_REGION.

    Returns:
        A sentence on what was done.
    """
    settings = load_settings()
    watched = find_region(region, settings.region)
    told = f"{watched.name}: {prune(watched, settings, datetime.now(UTC)).sentence}"
    get_run_logger().info(told)
    return told
