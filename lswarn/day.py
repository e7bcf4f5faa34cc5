"""A day, from rain to warning: ingest, assess, publish, deliver.

Read this first. Each step is a plain function that may be killed and repeated at any time: what was archived is not
fetched again, what was assessed from the same inputs is read back, what was published is not published twice, and
what was queued is delivered. `flows/daily.py` schedules the same four functions.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from lswarn import __version__
from lswarn.alerts.deliver import send
from lswarn.alerts.map import area_map
from lswarn.alerts.message import AlertMessage, Briefing, RainInput, Standing, compose, compose_data_missing
from lswarn.alerts.policy import AlertChange, AlertState, Decision, decide
from lswarn.db import assets, inputs, outbox, store
from lswarn.db.engine import Connection, open_database, transaction
from lswarn.errors import DeliveryError, NotYetPublished, RainError, SourceUnavailable
from lswarn.factors.stack import open_stack
from lswarn.hazard.assess import Assessment
from lswarn.hazard.assess import assess as assess_hazard
from lswarn.model.checkpoint import load_checkpoint
from lswarn.model.predict import Predictor
from lswarn.rain.archive import load_archived, load_days, save_day
from lswarn.rain.fetch import fetch_day
from lswarn.rain.products import due_at
from lswarn.rain.thresholds import critical_rainfall
from lswarn.rain.window import RainDay, RainWindow, rain_window, window_days
from lswarn.region import Region
from lswarn.settings import Settings

log = logging.getLogger(__name__)

DELIVERY_BATCH = 20


@dataclass(frozen=True)
class Publication:
    """What publishing a day did.

    Attributes:
        run_id: database key of the run that counts for the day.
        repeated: it stood there already, made from the same inputs: nothing was changed or said.
        exposure: what the run found, in numbers.
        changes: what was decided about the warning areas.
        messages: what was queued.
    """

    run_id: int
    repeated: bool
    exposure: store.Exposure
    changes: tuple[AlertChange, ...]
    messages: tuple[AlertMessage, ...]

    @property
    def sentence(self) -> str:
        """For people."""
        return f"run {self.run_id} " + ("stood already" if self.repeated else f"with {len(self.messages)} messages")


@dataclass(frozen=True)
class Delivery:
    """How many messages arrived, and how many were refused: those are tried again later, or given up and counted."""

    delivered: int
    refused: int

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.delivered} delivered, {self.refused} refused"


def yesterday(now: datetime) -> date:
    """The newest UTC day that has ended: the day a run is for unless another is named."""
    return (now.astimezone(UTC) - timedelta(days=1)).date()


# ── ingest ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ingest(region: Region, settings: Settings, day: date, now: datetime) -> RainWindow:
    """Fetch what the window of a day lacks or has only in a lesser product, and sum it.

    Every day of the window is looked at again at every run, so that an early product gives way to the late one. A
    product that cannot be had is logged, and the next one tried; what stays missing shows in the grade.

    Raises:
        NotYetPublished: the day itself is not out, and not yet due either: come back later.
        IncompleteWindow: nothing has ever been archived.
    """
    fetch_days(region, settings, window_days(day), now)
    days = archived_days(region, settings, window_days(day))
    due = min(due_at(source, day) for source in region.rain.sources)
    if day not in days and now < due:
        raise NotYetPublished(f"the rain of {day} is due at {due:%Y-%m-%d %H:%M} UTC; run again then")
    archive = settings.region_dir(region.name) / "rain"
    return rain_window(day, days, None if days else next(reversed(load_archived(archive)), None))


def fetch_days(
    region: Region,
    settings: Settings,
    days: Iterable[date],
    now: datetime,
    on_day: Callable[[date], None] = lambda day: None,
) -> dict[date, str]:
    """Fetch the best product there is of each day, unless it is archived already, and record what is archived.

    Returns:
        For each day what happened, in a few words.
    """
    days = tuple(days)
    before = archived_days(region, settings, days)
    told = {}
    silent: set[str] = set()
    for day in days:
        told[day] = _fetch_better(region, settings, day, before.get(day), now, silent)
        on_day(day)
    with transaction(open_database(settings), region) as conn:
        inputs.record_rain_days(conn, region, archived_days(region, settings, days).values())
    return told


def archived_days(region: Region, settings: Settings, days: Iterable[date]) -> dict[date, RainDay]:
    """The best archived product of each day that has one."""
    order = [source.product for source in region.rain.sources]
    return load_days(settings.region_dir(region.name) / "rain", days, order, bbox=region.bbox)


def _fetch_better(
    region: Region, settings: Settings, day: date, archived: RainDay | None, now: datetime, silent: set[str]
) -> str:
    """Archive the first product, best first, that can be had and is better than what is archived.

    A source that does not answer joins `silent`, and is not asked for the other days: it was tried again and again.
    """
    token = settings.rain_token.get_secret_value() if settings.rain_token else None
    troubles = []
    for source in region.rain.sources:
        if archived is not None and archived.product == source.product:
            return f"{archived.product} {archived.version} archived"
        if source.product in silent:
            troubles.append(f"{source.product} does not answer")
            continue
        try:
            fetched = fetch_day(source, day, region.bbox, now=now, token=token, timeout_s=settings.timeout_s)
        except NotYetPublished as trouble:
            level = logging.WARNING if now >= due_at(source, day) else logging.INFO
            log.log(level, "%s of %s: %s", source.product, day, trouble)
            troubles.append(f"{source.product} not yet published")
        except RainError as trouble:
            if isinstance(trouble, SourceUnavailable):
                silent.add(source.product)
            log.error("%s of %s: %s", source.product, day, trouble)
            troubles.append(str(trouble))
        else:
            save_day(settings.region_dir(region.name) / "rain", fetched)
            return f"{fetched.product} {fetched.version} fetched"
    return "; ".join(troubles)


# ── assess ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def assess(
    region: Region, settings: Settings, window: RainWindow, on_progress: Callable[[int, int], None]
) -> Assessment:
    """Classes, zones and exceedances of the day the window ends with, by the region's champion.

    Raises:
        StackNotBuilt, NoModel, CheckpointMismatch: with what to do about it.
    """
    folder = settings.region_dir(region.name)
    with transaction(open_database(settings)) as conn:
        champion = inputs.find_champion(conn, region)
        areas = assets.find_warning_areas(conn, region)
    with open_stack(region, folder / "factors") as factors:
        return assess_hazard(
            region.name,
            window,
            critical_rainfall(region.rain.threshold, window.total),
            factors,
            Predictor(load_checkpoint(champion.path), settings.device),
            areas,
            folder / "days",
            min_zone_m2=region.alerts.min_zone_m2,
            on_progress=on_progress,
        )


# ── publish ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def publish(
    region: Region, settings: Settings, assessment: Assessment, now: datetime, *, dry_run: bool = False
) -> Publication:
    """Store a day, decide what is to be said, and queue it: in one transaction, or not at all.

    A day that stands there already, made from the same inputs, is left as it is. A day older than the newest one is
    stored without a word: alerts follow the newest day, whose window holds the older day's rain.

    Args:
        dry_run: do all of it, and take it back.
    """
    with transaction(open_database(settings), region) as conn:
        run = store.publish(conn, region, assessment, software=__version__, published_at=now)
        changes: tuple[AlertChange, ...] = ()
        messages: list[AlertMessage] = []
        if not run.repeated and assessment.day == store.newest_day(conn, region):
            before = outbox.find_alerts(conn, region)
            hits = store.find_hits(conn, run.run_id)
            decision = decide(assessment.day, before, hits, assessment.complete_areas, region.alerts)
            changes = decision.changes
            messages = _messages(conn, region, assessment, run.run_id, before, decision, now)
            outbox.record_alerts(conn, region, before, decision.after, changes, run.run_id, assessment.day)
            outbox.queue_messages(conn, region, messages, now)
        if dry_run:
            conn.rollback()
    return Publication(run.run_id, run.repeated, run.exposure, changes, tuple(messages))


def _messages(
    conn: Connection,
    region: Region,
    assessment: Assessment,
    run_id: int,
    before: Mapping[str, AlertState],
    decision: Decision,
    now: datetime,
) -> list[AlertMessage]:
    """What was decided, in words and maps; and, where rain is missing, that silence is no all-clear."""
    names = dict(assets.find_warning_areas(conn, region)[["area_id", "name"]].to_numpy())
    briefing = Briefing(
        region=region.name,
        title=region.title,
        made=region.made,
        valid_day=assessment.day,
        issued_at=now,
        grade=assessment.grade,
        rain=tuple(RainInput(date.fromisoformat(d["day"]), d["product"], d["version"]) for d in assessment.rain),
        missing=assessment.missing,
        model_id=assessment.model_id,
        clear_after_days=region.alerts.clear_after_days,
        critical_source=region.rain.threshold.source,
    )
    rain = assessment.area_rain.set_index("area_id")
    messages = []
    for change in decision.changes:
        state = decision.after.get(change.area_id) or before[change.area_id]
        layers = store.find_map_layers(conn, run_id, change.area_id)
        name = names[change.area_id]
        title = f"{name}, {assessment.day}"
        about = replace(
            briefing,
            area_name=name,
            opened_on=state.opened_on,
            r7_max_mm=rain["rain_mm"][change.area_id],
            critical_mm=rain["critical_mm"][change.area_id],
        )
        picture = area_map(layers.area, layers.zones, layers.roads, layers.settlements, title=title, made=region.made)
        messages.append(compose(change, about, picture))
    if not assessment.grade.complete or not rain["known"].all():
        gaps = tuple(names[area] for area in rain.index[~rain["known"]]) if assessment.grade.complete else ()
        standing = [Standing(names[area], state.level, state.opened_on) for area, state in decision.after.items()]
        messages.append(compose_data_missing(replace(briefing, gaps=gaps), standing))
    return messages


# ── deliver ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def deliver(settings: Settings, clock: Callable[[], datetime]) -> Delivery:
    """Send what is queued and due.

    A crash between sending and marking sends a message again, under the same key; it loses none.
    """
    engine = open_database(settings)
    delivered = refused = 0
    while batch := outbox.claim_deliveries(engine, clock(), DELIVERY_BATCH):
        for outgoing in batch:
            try:
                send(outgoing, settings, now=clock())
            except DeliveryError as error:
                log.error("%s to %s: %s", outgoing.channel, outgoing.address, error)
                with transaction(engine) as conn:
                    outbox.mark_failed(conn, outgoing.delivery_id, clock(), str(error), permanent=error.permanent)
                refused += 1
            else:
                with transaction(engine) as conn:
                    outbox.mark_delivered(conn, outgoing.delivery_id, clock())
                delivered += 1
    return Delivery(delivered, refused)
