"""The monthly drill under Prefect: a test that goes the whole way, so that somebody notices what no longer works."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.deliver import send
from lswarn import drill as line
from lswarn.db import alerts
from lswarn.db.engine import open_database, transaction
from lswarn.errors import DatabaseError
from lswarn.region import Region, find_region
from lswarn.settings import Settings, load_settings


@task(cache_policy=NO_CACHE)
def rehearse(region: Region, settings: Settings, area_id: str, now: datetime) -> int:
    """Door: database, disk."""
    return line.drill(region, settings, area_id, by="monthly drill", now=now)


@flow(name="drill")
def drill(region: Path | None = None, area: str | None = None) -> str:
    """Open, update and end a test warning, and deliver it to whoever would be told.

    Args:
        region: region.toml or its folder; left out, LSWARN_REGION.
        area: id of a warning area; left out, another one every month.

    Returns:
        A sentence on what was done.
    """
    settings = load_settings()
    watched = find_region(region, settings.region)
    now = datetime.now(UTC)
    with transaction(open_database(settings)) as conn:
        known = sorted(state.area_id for state in alerts.find_area_states(conn, watched))
    if not known:
        raise DatabaseError(f"{watched.name} has no warning areas; run: lswarn region build")
    chosen = area or known[(12 * now.year + now.month) % len(known)]
    released = rehearse(watched, settings, chosen, now)
    told = f"{watched.name}: drill in {chosen}, {released} messages, {send(settings).sentence}"
    get_run_logger().info(told)
    return told
