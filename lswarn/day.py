"""A day, from rain to warning: ingest, assess, publish, deliver.

Read this first. Each step is a plain function that may be killed and repeated at any time: what was archived is not
fetched again, what was assessed from the same inputs is read back, what was published is not published twice, and
what was queued is delivered. `flows/daily.py` schedules the same functions. Which product a day's rain comes from is
told in `cascade`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from lswarn import __version__, release, reserve
from lswarn.alerts.briefing import Briefing, RainInput, Standing
from lswarn.alerts.map import area_map
from lswarn.alerts.message import AlertMessage, compose, compose_data_missing
from lswarn.alerts.policy import AlertState, Decision, decide, decide_outlooks, expected_levels
from lswarn.cascade import archived_days, critical_of, fetch_days, fetch_forecasts, outlook_of, window_of
from lswarn.db import alerts, assets, inputs, store
from lswarn.db.engine import Connection, open_database, transaction
from lswarn.delivery import Delivery as Delivery
from lswarn.delivery import deliver as deliver
from lswarn.errors import NotPrimed, NotYetPublished, RegionError
from lswarn.factors.stack import open_stack
from lswarn.hazard.assess import Assessment
from lswarn.hazard.assess import assess as assess_hazard
from lswarn.hazard.classes import Class
from lswarn.hazard.critical import CriticalLayers, open_layers
from lswarn.logs import about, note
from lswarn.priming import prime
from lswarn.rain.grade import Grade
from lswarn.rain.products import due_at, grade_of, newest_due
from lswarn.rain.window import RainWindow, window_days
from lswarn.region import Region
from lswarn.settings import Settings
from lswarn.workers import workers_of

if TYPE_CHECKING:
    from lswarn.model.predict import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publication:
    """What publishing a day did.

    Attributes:
        run_id: database key of the run that counts for the day.
        repeated: it stood there already, made from the same inputs: nothing was changed or said.
        exposure: what the run found, in numbers.
        ahead: days of which an outlook was stored too.
        messages: what was queued.
    """

    run_id: int
    repeated: bool
    exposure: store.Exposure
    ahead: tuple[date, ...]
    messages: tuple[AlertMessage, ...]

    @property
    def sentence(self) -> str:
        """For people."""
        run = f"run {self.run_id}" + (" stood already" if self.repeated else "")
        outlook = f", outlook to {max(self.ahead)}" if self.ahead else ""
        return f"{run}{outlook}, {len(self.messages)} messages"


@dataclass(frozen=True)
class Hindcast:
    """A past day run again."""

    day: date
    grade: Grade
    run_id: int
    exposure: store.Exposure

    @property
    def sentence(self) -> str:
        """For people."""
        found = self.exposure
        return (
            f"{self.day}: rain grade {self.grade}, {found.zones} zones, {found.road_m / 1000:.1f} km of road, "
            f"{found.people} people"
        )


def yesterday(now: datetime) -> date:
    """The newest UTC day that has ended: the day a run is for unless another is named."""
    return (now.astimezone(UTC) - timedelta(days=1)).date()


# ── ingest ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ingest(region: Region, settings: Settings, day: date | None, now: datetime) -> RainWindow:
    """Fetch what the window of a day lacks or has only in a lesser product, and sum it.

    Every day of the window is looked at again at every run, so that an early product gives way to the late one, and an
    old version to a new one. A product that cannot be had is logged, and the next one tried; what stays missing shows
    in the grade.

    Args:
        day: UTC day; left out, yesterday, or the newest day that is due where every product takes longer.

    Raises:
        NotYetPublished: the day that was asked for is not out, and not yet due either: come back later.
        IncompleteWindow: nothing has ever been archived.
    """
    wanted = day or yesterday(now)
    fetch_days(region, settings, window_days(wanted), now)
    due = min(due_at(source, wanted) for source in region.rain.sources)
    if now < due and not archived_days(region, settings, [wanted]):
        told = f"the rain of {wanted} is due at {due:%Y-%m-%d %H:%M} UTC"
        if day is not None:
            raise NotYetPublished(f"{told}; run again then")
        wanted = newest_due(region.rain.sources, now)
        log.info("%s: %s; taking %s, the newest day that is due", region.name, told, wanted)
        fetch_days(region, settings, window_days(wanted), now)
    return window_of(region, settings, wanted)


def ingest_outlook(
    region: Region, settings: Settings, day: date, lead_days: int, now: datetime
) -> Sequence[RainWindow]:
    """Fetch the forecasts of the days after `day`, and make their windows: observed rain to `day`, forecast after it.

    As many as there is a forecast for without a gap; which are missing is logged.

    Raises:
        RegionError: region.toml names no forecast.
    """
    if not region.rain.forecasts:
        raise RegionError(f"{region.name}: an outlook needs [[rain.forecasts]] in region.toml, such as GFS")
    fetch_forecasts(region, settings, day, lead_days, now)
    windows = outlook_of(region, settings, day, lead_days)
    if len(windows) < lead_days:
        log.error("%s: outlook of %d of %d days only: no forecast of the next", region.name, len(windows), lead_days)
    return windows


# ── assess ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def assess(
    region: Region,
    settings: Settings,
    window: RainWindow,
    on_progress: Callable[[int, int], None],
    *,
    model_id: str | None = None,
    full: bool = False,
) -> Assessment:
    """Classes, zones and exceedances of the day the window ends with.

    The champion is read from its critical layers; where there are none yet, it is primed first. A model that may fall
    as rain rises has none, and is asked about every cell.

    Args:
        model_id: of the region's models, asked about every cell; left out, the champion.
        full: ask the champion about every cell too, as a check of the layers.

    Raises:
        StackNotBuilt, NoModel, CheckpointMismatch, NotPrimed: with what to do about it.
    """
    folder = settings.region_dir(region.name)
    with transaction(open_database(settings)) as conn:
        model = inputs.find_model(conn, region, model_id) if model_id else inputs.find_champion(conn, region)
        areas = assets.find_warning_areas(conn, region)
    with open_stack(region, folder / "factors") as factors:
        assessment = assess_hazard(
            region.name,
            window,
            critical_of(region, window),
            factors,
            _judge(region, settings, model, factors.digest, on_progress, full=full or model_id is not None),
            areas,
            folder / "days",
            min_zone_m2=region.alerts.min_zone_m2,
            simplify_m=region.alerts.simplify_m,
            on_progress=on_progress,
            block_cells=settings.block_cells,
            workers=workers_of(settings.dask) if settings.dask else None,
        )
    if assessment.beyond_m2:
        log.warning(
            "%s %s: %.1f km² had more rain than model %s has seen; judged as if it were the most it has",
            *(region.name, assessment.day, assessment.beyond_m2 / 1e6, assessment.model_id),
        )
    return assessment


def _judge(
    region: Region,
    settings: Settings,
    model: inputs.ModelRow,
    stack: str,
    on_progress: Callable[[int, int], None],
    *,
    full: bool,
) -> "CriticalLayers | Predictor":
    """What a day is judged by: a model's critical layers, or the model itself."""
    if not full:
        try:
            layers = open_layers(settings.region_dir(region.name) / "critical", model.id, stack)
        except NotPrimed as error:
            told = str(error)
        else:
            reserve.look_up(region, settings, layers)  # roads may have changed since
            return layers
    from lswarn.model.predict import load_predictor  # torch: a primed day has no need of it

    predictor = load_predictor(model.path, settings.device)
    if full:
        return predictor
    if not predictor.rises:
        log.warning(
            "%s: model %s may fall as rain rises, so it cannot be primed: asking it about every cell",
            *(region.name, model.id),
        )
        return predictor
    log.warning("%s: %s; priming first, which takes longer than a day", region.name, told)
    return prime(region, settings, on_progress)


# ── publish ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def publish(
    region: Region,
    settings: Settings,
    assessment: Assessment,
    now: datetime,
    *,
    outlooks: Sequence[Assessment] = (),
    dry_run: bool = False,
) -> Publication:
    """Store a day, decide what is to be said, and queue it: in one transaction, or not at all.

    A day that stands there already, made from the same inputs, is left as it is. A day older than the newest one is
    stored without a word: alerts follow the newest day, whose window holds the older day's rain.

    Args:
        outlooks: of the days ahead, oldest first; stored apart from observed days. They may open and raise an alert and
            never lower or end one, and no alert steps down below what one of them calls for.
        dry_run: do all of it, and take it back.
    """
    day = assessment.day
    with about(region=region.name, day=day), transaction(open_database(settings), region) as conn:

        def store_run(found: Assessment, kind: store.Kind) -> store.Published:
            return store.publish(conn, region, found, software=__version__, published_at=now, kind=kind)

        run = store_run(assessment, "observed")
        note(run_id=run.run_id)
        ahead = {each.day: store_run(each, "outlook") for each in outlooks}
        messages: list[AlertMessage] = []
        if day == store.newest_day(conn, region):
            if not run.repeated:
                before = alerts.find_alerts(conn, region)
                decision = decide(
                    day,
                    before,
                    store.find_hits(conn, run.run_id),
                    assessment.complete_areas,
                    region.alerts,
                    expected_levels(store.find_outlook_hits(conn, region, day), region.alerts),
                    near=store.find_hits(conn, run.run_id, Class.HIGH),
                    now=now,
                )
                alerts.mark_known_areas(conn, region, day, assessment.complete_areas)
                messages += _say(conn, region, {day: (assessment, run.run_id)}, before, decision, now)
                messages += _say_what_is_missing(conn, region, assessment, decision, now)
            if not all(each.repeated for each in ahead.values()):
                before = alerts.find_alerts(conn, region)
                decision = decide_outlooks(
                    day,
                    before,
                    {valid: store.find_hits(conn, each.run_id) for valid, each in ahead.items()},
                    region.alerts,
                    now=now,
                )
                found = {each.day: (each, ahead[each.day].run_id) for each in outlooks}
                messages += _say(conn, region, found, before, decision, now)
            release.queue(conn, region, settings, messages, now)
        if dry_run:
            conn.rollback()
        else:
            log.debug("%s %s: run %d, %d messages", region.name, day, run.run_id, len(messages))
    if messages and not dry_run:
        release.save_files(settings, region.name, now)
    return Publication(run.run_id, run.repeated, run.exposure, tuple(ahead), tuple(messages))


def _say(
    conn: Connection,
    region: Region,
    found: Mapping[date, tuple[Assessment, int]],
    before: Mapping[str, AlertState],
    decision: Decision,
    now: datetime,
) -> list[AlertMessage]:
    """Keep what was decided, and put it in words and maps.

    Args:
        found: by the days that were decided on, their assessments and runs.
    """
    names = dict(assets.find_warning_areas(conn, region)[["area_id", "name"]].to_numpy())
    messages = []
    for change in decision.changes:
        assessment, run_id = found[change.valid_day]
        rain = assessment.area_rain.set_index("area_id").loc[change.area_id].to_dict()
        state = decision.after.get(change.area_id) or before[change.area_id]
        name = names[change.area_id]
        about = replace(
            _briefing(region, assessment, now),
            area_name=name,
            opened_on=state.opened_on,
            r7_max_mm=rain["rain_mm"],
            forecast_mm=rain["forecast_mm"],
            lower_bound=bool(rain["lower_bound"]),
            critical_mm=rain["critical_mm"],
            critical_source=rain["critical_source"],
        )
        layers = store.find_map_layers(conn, run_id, change.area_id)
        title = f"{name}, {'outlook for ' if assessment.lead_days else ''}{change.valid_day}"
        picture = area_map(layers.area, layers.zones, layers.roads, layers.settlements, title=title, made=region.made)
        messages.append(compose(change, about, picture))
    runs = {valid: run_id for valid, (_, run_id) in found.items()}
    decided_on = next(iter(found.values()))[0].observed_to
    alerts.record_alerts(conn, region, before, decision.after, decision.changes, runs, decided_on)
    return messages


def _say_what_is_missing(
    conn: Connection, region: Region, assessment: Assessment, decision: Decision, now: datetime
) -> list[AlertMessage]:
    """Where rain is missing, that silence is no all-clear, and what stays in force."""
    rain = assessment.area_rain.set_index("area_id")
    if assessment.grade.complete and rain["known"].all():
        return []
    names = dict(assets.find_warning_areas(conn, region)[["area_id", "name"]].to_numpy())
    gaps = tuple(names[area] for area in rain.index[~rain["known"]]) if assessment.grade.complete else ()
    standing = [Standing(names[area], state.level, state.opened_on) for area, state in decision.after.items()]
    return [compose_data_missing(replace(_briefing(region, assessment, now), gaps=gaps), standing)]


def _briefing(region: Region, assessment: Assessment, now: datetime) -> Briefing:
    """What every message of a day says, before it comes to one area."""
    return Briefing(
        region=region.name,
        title=region.title,
        made=region.made,
        valid_day=assessment.day,
        issued_at=now,
        grade=assessment.grade,
        rain=tuple(
            RainInput(
                valid := date.fromisoformat(each["day"]),
                each["product"],
                each["version"],
                grade_of(each["product"]),
                valid > assessment.observed_to,
            )
            for each in assessment.rain
        ),
        missing=assessment.missing,
        model_id=assessment.model_id,
        clear_after_days=region.alerts.clear_after_days,
        lead_days=assessment.lead_days,
        measure=assessment.measure,
        measure_title=assessment.measure_title,
        model_max_mm=assessment.rain_max_mm,
    )


# ── look back ────────────────────────────────────────────────────────────────────────────────────────────────────────


def hindcast(
    region: Region, settings: Settings, day: date, now: datetime, *, as_of: datetime | None = None
) -> Hindcast:
    """Run a past day again: recorded apart from the daily runs, and nobody is told.

    Args:
        as_of: use only rain that was due by this instant; left out, the best there is today.

    Raises:
        IncompleteWindow: nothing has ever been archived.
    """
    fetch_days(region, settings, window_days(day), now, as_of=as_of)
    window = window_of(region, settings, day, as_of=as_of)
    assessment = assess(region, settings, window, lambda done, total: None)
    with transaction(open_database(settings), region) as conn:
        run = store.publish(conn, region, assessment, software=__version__, published_at=now, kind="hindcast")
    return Hindcast(day, window.grade, run.run_id, run.exposure)
