"""Delivery under Prefect, between the daily runs: what was refused is tried again, and overdue drafts go out."""

from datetime import UTC, datetime

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.patience import DOOR_DELAYS_S
from lswarn import delivery as line
from lswarn.settings import Settings, load_settings


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, cache_policy=NO_CACHE)
def send(settings: Settings) -> line.Delivery:
    """Door: database, and every channel. A message that was refused is queued again by itself, and fails no task."""
    return line.deliver(settings, lambda: datetime.now(UTC))


@flow(name="deliver")
def deliver() -> str:
    """Send what is queued and due, of all regions.

    Returns:
        A sentence on what was done.
    """
    told = send(load_settings()).sentence
    get_run_logger().info(told)
    return told
