"""Retraining under Prefect: the four steps of `lswarn/retraining.py` as tasks."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.patience import DOOR_DELAYS_S, time_may_heal
from lswarn import retraining as line
from lswarn.model.evaluate import Evaluation
from lswarn.region import Region, find_region
from lswarn.settings import Settings, load_settings


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, retry_condition_fn=time_may_heal, cache_policy=NO_CACHE)
def snapshot(region: Region, settings: Settings, now: datetime) -> Path:
    """Door: database, network, disk."""
    return line.snapshot(region, settings, now)


@task(cache_policy=NO_CACHE)
def train(region: Region, settings: Settings, taken: Path) -> str:
    """Computes."""
    log = get_run_logger()

    def tell(step: int, steps: int, losses: dict[str, float]) -> None:
        if step % 20 == 0:
            log.info(
                "step %d of at most %d: %s",
                step,
                steps,
                ", ".join(f"{name} {value:.4f}" for name, value in losses.items()),
            )

    return line.train(region, settings, taken, tell)


@task(cache_policy=NO_CACHE)
def evaluate(region: Region, settings: Settings, taken: Path, model_id: str) -> Evaluation:
    """Computes."""
    return line.evaluate(region, settings, taken, model_id, datetime.now(UTC))


@task(retries=3, retry_delay_seconds=DOOR_DELAYS_S, cache_policy=NO_CACHE)
def promote(region: Region, settings: Settings, taken: Path, model_id: str, scores: Evaluation) -> line.Promotion:
    """Door: database."""
    return line.promote(region, settings, taken, model_id, scores)


@flow(name="retrain")
def retrain(region: Path | None = None) -> str:
    """Train a candidate, and make it the champion if it is no worse than the one there is.

    Args:
        region: region.toml or its folder; left out, LSWARN_REGION.

    Returns:
        The candidate and what became of it, in words.
    """
    settings = load_settings()
    watched = find_region(region, settings.region)
    taken = snapshot(watched, settings, datetime.now(UTC))
    model_id = train(watched, settings, taken)
    promotion = promote(watched, settings, taken, model_id, evaluate(watched, settings, taken, model_id))
    get_run_logger().info("%s: %s", promotion.model_id, promotion.reason)
    if promotion.drift:
        get_run_logger().info("drift: %s", promotion.drift)
    get_run_logger().info("model card: %s", promotion.card or "not written")
    return f"{promotion.model_id}: {promotion.reason}"
