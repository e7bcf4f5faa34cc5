"""Retraining under Prefect: the four steps of `lswarn/retraining.py` as tasks."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.patience import DOOR_DELAYS_S, time_may_heal
from lswarn import priming
from lswarn import retraining as line
from lswarn.errors import LswarnError
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


@task(cache_policy=NO_CACHE)
def prime(region: Region, settings: Settings) -> str:
    """Computes; what a killed task worked out is gone on with.

    Returns:
        What became of it, in words.
    """
    log = get_run_logger()

    def tell(done: int, total: int) -> None:
        if done % max(1, total // 10) == 0:
            log.info("%d of %d blocks primed", done, total)

    try:
        return f"critical layers: {priming.prime(region, settings, tell).folder}"
    except LswarnError as error:  # the new champion is in use all the same, and the next run tries again
        log.error("not primed: %s", error)
        return f"not primed: {error}"


@flow(name="retrain")
def retrain(region: Path | None = None) -> str:
    """Train a candidate, and make it the champion if it is no worse than the one there is.

    A new champion is primed at once, so that the next day need not wait for it.

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
    if promotion.promoted:
        get_run_logger().info("%s", prime(watched, settings))
    get_run_logger().info("model card: %s", promotion.card or "not written")
    return f"{promotion.model_id}: {promotion.reason}"
