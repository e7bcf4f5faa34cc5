"""The demo: ten days from rain to warnings, through the same functions that run for real.

The world is made and its servers run on the loopback; all else (fetching, factors, training, runs, database, mails,
webhooks) is the real thing. Each telling begins anew: what an earlier one archived, published and sent is forgotten
first, while what it built and trained stays.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import geopandas as gpd
from pydantic import SecretStr

from lswarn import day as line
from lswarn import groundwork, priming, retraining, verification
from lswarn.alerts.message import AlertMessage
from lswarn.cascade import critical_of, fetch_days
from lswarn.db import alerts, assets, inputs, server, store
from lswarn.db.engine import database_url, migrate, open_database, transaction
from lswarn.demo.granules import load_published
from lswarn.demo.providers import Providers
from lswarn.demo.report import ReportDay, ReportMessage, write_report
from lswarn.demo.servers import MailSink, WebhookReceiver
from lswarn.demo.world import World, make_world
from lswarn.errors import CheckpointMismatch, NoModel
from lswarn.hazard.classes import Class
from lswarn.model.checkpoint import load_checkpoint
from lswarn.rain.window import window_days
from lswarn.region import Region, load_region
from lswarn.settings import Settings

RUN_AT = time(15, 30)
"""When the demo's daily run is, UTC, on the day after the one it is about."""

OUTLOOK_DAYS = 2
"""How far each day of the demo looks ahead."""

WEBHOOK_SECRET = SecretStr("whsec_bHN3YXJuLWRlbW8tbm90LWEtc2VjcmV0LWF0LWFsbA==")
"""Signs the demo's webhooks, between two ends of one process."""


@dataclass(frozen=True)
class Told:
    """What the demo came to.

    Attributes:
        rows: one a day, for a table.
        next_steps: what to look at and to try next.
    """

    rows: list[dict[str, object]]
    next_steps: str


def tell(folder: Path, settings: Settings, say: Callable[[str], None], clock: Callable[[], datetime]) -> Told:
    """Make the world, train a model, run the ten days, and write the report.

    Args:
        folder: of the world, its mails and webhooks, and the report.
        say: told what is being done.
        clock: real time, for training; the days themselves run on the world's own calendar.
    """
    folder = folder.absolute()
    if settings.database_url is None:
        say("starting the private PostGIS")
        server.start(settings.var_dir)
    migrate(database_url(settings))
    for name in ("mail", "webhooks"):
        shutil.rmtree(folder / name, ignore_errors=True)

    with ExitStack() as servers:
        rain = servers.enter_context(Providers())
        secret = WEBHOOK_SECRET.get_secret_value()
        hooks = servers.enter_context(WebhookReceiver(folder / "webhooks", secret, clock=lambda: rain.now))
        mail = servers.enter_context(MailSink(folder / "mail"))
        say("making the world: terrain, roads, rock, past landslides, rain, forecasts")
        world = make_world(folder / "world", rain=rain.addresses, webhook_url=hooks.url)
        rain.serve(load_published(world.granules))
        rain.now = _run_at(world.days[0])
        sink = {"smtp_host": mail.host, "smtp_port": mail.port, "webhook_secret": WEBHOOK_SECRET, **rain.accounts}
        settings = settings.model_copy(update=sink)
        region = load_region(world.region_toml)
        _forget(region, settings)

        say("building the ten factors")
        groundwork.build(region, settings, lambda name, share: None)
        groundwork.load_assets(region, settings)
        _train(region, settings, world, say, clock)

        days, rows = [], []
        for day in world.days:
            rain.now = _run_at(day)
            told, row = _run(region, settings, day, rain.now)
            days.append(told)
            rows.append(row)
            say(f"  {day}: rain grade {told.grade}; {row['said'] or 'nothing new to say'}")

        say("asking what the warnings were worth")
        slid = _verify(region, settings, world, rain.now, say)
        say("writing the report")
        _write_report(folder / "report.html", region, settings, world, days)
        return Told(rows, _next_steps(folder, world, settings, slid, len(mail.received), len(hooks.received)))


def _run_at(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), RUN_AT, UTC)


def _forget(region: Region, settings: Settings) -> None:
    """Begin anew, as far as the days go."""
    with transaction(open_database(settings), region) as conn:
        store.forget_days(conn, region)
    shutil.rmtree(settings.region_dir(region.name) / "rain", ignore_errors=True)


def _train(
    region: Region, settings: Settings, world: World, say: Callable[[str], None], clock: Callable[[], datetime]
) -> None:
    """Train a model, unless the champion learnt from this very snapshot."""
    say("fetching the rain of past storms")
    weeks = {day for last in world.training_days for day in window_days(last)}
    fetch_days(region, settings, sorted(weeks), _run_at(world.days[0]))
    taken = retraining.snapshot(region, settings, clock())
    try:
        with transaction(open_database(settings)) as conn:
            champion = inputs.find_champion(conn, region)
        known = champion.snapshot_id == taken.name and load_checkpoint(champion.path).config == region.model
    except (NoModel, CheckpointMismatch):
        known = False
    if known:
        say(f"model {champion.id} has learnt from these storms already")
        return
    say(f"training on {len(world.training_days)} past weeks of rain")
    model_id = retraining.train(region, settings, taken, lambda step, steps, losses: None)
    scores = retraining.evaluate(region, settings, taken, model_id, clock())
    promotion = retraining.promote(region, settings, taken, model_id, scores)
    say(
        f"model {model_id}: AUC {scores.auc:.3f} on ground held out; promoted: {promotion.promoted}, {promotion.reason}"
    )


def _run(region: Region, settings: Settings, day: date, now: datetime) -> tuple[ReportDay, dict[str, object]]:
    """One day, as `lswarn run` does it: what the report shows of it, and a row of the table."""
    window = line.ingest(region, settings, day, now)
    ahead = line.ingest_outlook(region, settings, day, OUTLOOK_DAYS, now)
    assessment, *outlooks = (line.assess(region, settings, each, lambda done, of: None) for each in (window, *ahead))
    publication = line.publish(region, settings, assessment, now, outlooks=outlooks)
    delivery = line.deliver(settings, lambda: now)
    with transaction(open_database(settings)) as conn:
        standing = alerts.find_alerts(conn, region)
        hits = [hit for found in store.find_hits(conn, publication.run_id).values() for hit in found]
    early = ", ".join(f"{d.day:%-d %b} from the early run" for d in window.days if d.product.startswith("IMERG-Early"))
    absent = ", ".join(f"{missing:%-d %b} is missing" for missing in window.missing)
    told = ReportDay(
        day=day,
        grade=window.grade,
        classes=assessment.classes,
        rain=window.total,
        critical=critical_of(region, window),
        zones=assessment.zones,
        exceedances=assessment.exceedances,
        levels={area_id: state.level for area_id, state in standing.items()},
        road_km=sum(hit.length_m for hit in hits) / 1000,
        people=sum(hit.people or 0 for hit in hits),
        note="; ".join(filter(None, (absent, early))),
    )
    row: dict[str, object] = {
        "day": f"{day:%-d %b}",
        "grade": window.grade.value,
        "rain_mm": round(float(window.total.max())),
        "zones": int((assessment.zones["class"] == Class.VERY_HIGH).sum()),
        "road_km": round(told.road_km, 1),
        "people": told.people,
        "sent": delivery.delivered,
        "said": "; ".join(_said(message) for message in publication.messages),
    }
    return told, row


def _said(message: AlertMessage) -> str:
    """Such as `open coal-creek (outlook)`."""
    words = f"{message.kind} {message.area_id or ''}".strip().replace("_", " ")
    return words + (" (outlook)" if message.lead_days else "")


def _verify(region: Region, settings: Settings, world: World, now: datetime, say: Callable[[str], None]) -> Path:
    """Hold the warnings against the landslides that the hidden truth let fall meanwhile; where the page is."""
    events = region.inventory.model_copy(update={"file": world.events})
    groundwork.load_landslides(region, settings, now.date(), inventory=events, prefix=store.EVENTS)
    verified = verification.verify(region, settings, world.days[0], world.days[-1], now)
    for score in verified.found.alerts:
        found = score.total
        say(
            f"  {score.name} or above: {found.hits} hits, {found.misses} misses, {found.false_alarms} false alarms, "
            f"{found.unknown + found.blind} not known (warning areas and days)"
        )
    return verified.html_path


def _write_report(path: Path, region: Region, settings: Settings, world: World, days: Sequence[ReportDay]) -> None:
    with transaction(open_database(settings)) as conn:
        history = alerts.find_alert_history(conn, region)
        areas = assets.find_warning_areas(conn, region).rename(columns={"area_id": "id"})
    said_of = {event.area_id for event in history}
    # The made areas cover the terrain; the rest, a rim without terrain, is shown only where something was said of it.
    areas = areas[(areas["id"] != assets.ELSEWHERE) | areas["id"].isin(said_of)]
    write_report(
        path,
        title=region.title,
        made=region.made,
        dem=world.dem,
        areas=areas,
        roads=gpd.read_file(region.assets.roads.file),
        settlements=gpd.read_file(region.assets.settlements.file),
        days=days,
        messages=[_reported(event) for event in history],
        critical=priming.prime(region, settings, lambda done, of: None).folder / "very_high.tif",
    )


def _reported(event: alerts.AlertEvent) -> ReportMessage:
    ran_for = line.yesterday(event.queued_at)
    return ReportMessage(
        ran_for, event.area_id or None, event.kind, event.level, event.subject, outlook=event.valid_day > ran_for
    )


def _next_steps(folder: Path, world: World, settings: Settings, verified: Path, mails: int, webhooks: int) -> str:
    region, database = world.region_toml, database_url(settings).replace("+psycopg", "")
    classes = settings.region_dir("demo") / "days"
    return f"""
The report:      {folder / "report.html"}
Was it right:    {verified}
{mails} mails:        {folder / "mail"}/*.eml
{webhooks} webhooks:     {folder / "webhooks"}/*.json
CAP documents:   {settings.region_dir("demo") / "cap"}/

What to try next
  lswarn status {region}
  lswarn critical {region}
  lswarn alerts areas {region}
  lswarn alerts list {region}
  lswarn rain status {region} --until {world.days[-1]}
  psql '{database}' -c 'TABLE lswarn.exposed_road_now'
  QGIS: open {classes}/<day>/<key>/classes.tif, and deploy/qgis/lswarn.qgs over the same connection"""
