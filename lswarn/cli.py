"""`lswarn …`: the steps of the line by hand.

Exit code 0: done. 1: it could not be done, and the message says what to do. 2: the command was not understood.
Rooms are entered where a command needs them: torch and GDAL take seconds to load, and `lswarn status` needs neither.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from rich.text import Text

from lswarn import __version__
from lswarn.db import inputs, outbox, server, status, store
from lswarn.db.engine import database_url, migrate, open_database, shown, transaction
from lswarn.errors import DeliveryError, LswarnError, RegionError
from lswarn.region import FACTORS, Region, find_region
from lswarn.settings import Settings, load_settings
from lswarn.terminal import err, progress, say, show_facts, show_table

app = typer.Typer(
    help="Landslide early warning: from a rain file to a warning that arrives.",
    epilog="Begin with `lswarn demo`; or copy deploy/region.example.toml and ask `lswarn region check region.toml`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
db_app = typer.Typer(help="The database: a private PostGIS, and the schema.", no_args_is_help=True)
region_app = typer.Typer(help="A region: its files and its ten factors.", no_args_is_help=True)
rain_app = typer.Typer(help="Rain: fetch it, look into it.", no_args_is_help=True)
models_app = typer.Typer(help="Models: what has been trained.", no_args_is_help=True)
alerts_app = typer.Typer(help="Alerts: what has been said.", no_args_is_help=True)
app.add_typer(db_app, name="db")
app.add_typer(region_app, name="region")
app.add_typer(rain_app, name="rain")
app.add_typer(models_app, name="models")
app.add_typer(alerts_app, name="alerts")

RegionPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="[REGION]",
        help="region.toml or its folder; left out: LSWARN_REGION, else ./region.toml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Entry point: a user's mistake is a sentence, never a traceback."""
    try:
        app()
    except LswarnError as error:
        for problem in str(error).splitlines():
            err.print(Text("error: ", "bold red") + Text(problem), soft_wrap=True)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"lswarn {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more of what is done.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    logging.getLogger("lswarn").setLevel(logging.DEBUG if verbose else logging.INFO)


# ── db ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@db_app.command("start")
def db_start() -> None:
    """Start the private PostGIS (made on the first call) and bring its schema up to date."""
    settings = load_settings()
    migrate(server.start(settings.var_dir))
    found = server.status(settings.var_dir)
    say(f"PostGIS runs on 127.0.0.1:{found.port}, its data in {found.home}")


@db_app.command("stop")
def db_stop() -> None:
    """Stop the private PostGIS."""
    say("stopped" if server.stop(load_settings().var_dir) else "it was not running")


@db_app.command("migrate")
def db_migrate() -> None:
    """Bring the schema up to date; safe to repeat."""
    migrate(database_url(load_settings()))
    say("the schema is up to date")


@db_app.command("status")
def db_status(as_json: Json = False) -> None:
    """Whether the database answers and its schema is current, and where it is."""
    settings = load_settings()
    show_facts({"database": shown(open_database(settings).url), "answers": True, "schema": "current"}, as_json)


# ── region ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@region_app.command("check")
def region_check(region: RegionPath = None) -> None:
    """Say what is wrong in every entry of region.toml, all at once.

    Example: lswarn region check deploy/region.example.toml
    """
    from lswarn import groundwork

    found = _region(region, load_settings())
    if problems := groundwork.check(found):
        raise RegionError(*problems)
    say(f"{found.title}: nothing is wrong")


@region_app.command("build")
def region_build(region: RegionPath = None) -> None:
    """Build the ten factors, and load roads, settlements, warning areas and landslides into the database.

    May be stopped and started again at any time: what is built stays.
    """
    from lswarn import groundwork

    settings = load_settings()
    found = _region(region, settings)
    with progress("factors", 1 + len(FACTORS)) as advance:
        done: dict[str, float] = {}

        def tell(name: str, share: float) -> None:
            done[name] = share
            advance(sum(done.values()), name)

        stack = groundwork.build(found, settings, tell)
    counts = groundwork.load_assets(found, settings)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    say(f"{found.title}: ten factors on {stack.grid.height} × {stack.grid.width} cells; {told}")


# ── rain ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@rain_app.command("fetch")
def rain_fetch(
    region: RegionPath = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day; left out: six before the last.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day; left out: yesterday.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch the best product there is of each day into the archive.

    Example: lswarn rain fetch region.toml --since 2015-09-26 --until 2015-10-03
    """
    from lswarn import day

    settings = load_settings()
    found = _region(region, settings)
    now = _now()
    last = until.date() if until else day.yesterday(now)
    first = since.date() if since else last - timedelta(days=6)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    with progress("rain", len(days)) as advance:
        told = day.fetch_days(found, settings, days, now, lambda each: advance((each - first).days + 1, str(each)))
    show_table([{"day": each, "rain": what} for each, what in told.items()], as_json)


@rain_app.command("inspect")
def rain_inspect(file: Annotated[Path, typer.Argument(help="A daily granule.")], as_json: Json = False) -> None:
    """Say what a granule is: product, version, day, grid, range, share of missing cells.

    Example: lswarn rain inspect 3B-DAY-L.MS.MRG.3IMERG.20260305-S000000-E235959.V07C.nc4
    """
    from lswarn.rain.fetch import describe_granule

    show_facts(describe_granule(file), as_json)


@rain_app.command("status")
def rain_status(region: RegionPath = None, as_json: Json = False) -> None:
    """What is archived: by day, product, version, and when it was fetched; superseded granules too."""
    from lswarn import day
    from lswarn.rain.archive import load_archived

    settings = load_settings()
    found = _region(region, settings)
    archived = load_archived(settings.region_dir(found.name) / "rain")
    used = day.archived_days(found, settings, {rain.day for rain in archived})
    rows = [
        {
            "day": rain.day,
            "product": rain.product,
            "version": rain.version,
            "in_use": rain.day in used and used[rain.day].sha256 == rain.sha256,
            "mean_mm": round(float(rain.precipitation.mean()), 1),
            "max_mm": round(float(rain.precipitation.max()), 1),
            "missing_share": round(float(rain.precipitation.isnull().mean()), 3),
            "fetched_at": rain.fetched_at,
        }
        for rain in archived
    ]
    show_table(rows, as_json)


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def train(region: RegionPath = None, as_json: Json = False) -> None:
    """Retrain: snapshot, train, evaluate, and promote the candidate if it is no worse than the champion."""
    from lswarn import retraining

    settings = load_settings()
    found = _region(region, settings)
    taken = retraining.snapshot(found, settings, _now())
    with progress("training", found.model.steps) as advance:
        model_id = retraining.train(
            found, settings, taken, lambda step, losses: advance(step, f"loss {losses['total']:.3f}")
        )
    scores = retraining.evaluate(found, settings, taken, model_id, _now())
    promotion = retraining.promote(found, settings, taken, model_id, scores)
    told = {"model": model_id, "promoted": promotion.promoted, "reason": promotion.reason}
    show_facts(told | _figures(scores.as_dict()), as_json)


@models_app.command("list")
def models_list(region: RegionPath = None, as_json: Json = False) -> None:
    """Every model of the region: its role, its snapshot, its scores on ground it had not seen."""
    settings = load_settings()
    found = _region(region, settings)
    with transaction(open_database(settings)) as conn:
        rows = [vars(row) for row in inputs.find_models(conn, found)]
    if not as_json:
        rows = [{name: row[name] for name in ("id", "role", "made_at")} | _figures(row["metrics"]) for row in rows]
    show_table(rows, as_json)


# ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def run(
    region: RegionPath = None,
    date_: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="UTC day; left out: yesterday.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do it all, publish and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """One day: ingest, assess, publish, deliver. Safe to repeat.

    Example: lswarn run region.toml --date 2026-03-06 --dry-run
    """
    from lswarn import day

    settings = load_settings()
    found = _region(region, settings)
    now = _now()
    window = day.ingest(found, settings, date_.date() if date_ else day.yesterday(now), now)
    with progress("blocks", None) as advance:
        assessment = day.assess(found, settings, window, lambda done, total: advance(done, "", total))
    publication = day.publish(found, settings, assessment, now, dry_run=dry_run)
    told: dict[str, object] = {
        "region": found.name,
        "valid_day": window.day,
        "rain_grade": window.grade,
        "zones": len(assessment.zones),
        "exceedances": len(assessment.exceedances),
        "published": "no (dry run)" if dry_run else publication.sentence,
        "messages": [message.subject for message in publication.messages],
    }
    if not dry_run:
        told["delivered"] = day.deliver(settings, _now).sentence
    show_facts(told, as_json)


@app.command()
def deliver(as_json: Json = False) -> None:
    """Send every queued message that is due; safe to repeat, and to run from several machines."""
    from lswarn import day

    delivery = day.deliver(load_settings(), _now)
    show_facts(asdict(delivery), as_json)
    if delivery.refused:
        raise DeliveryError("not every message was taken; it will be tried again")


@alerts_app.command("list")
def alerts_list(region: RegionPath = None, as_json: Json = False) -> None:
    """What has been said of each warning area, newest last, and to how many it was delivered."""
    settings = load_settings()
    found = _region(region, settings)
    with transaction(open_database(settings)) as conn:
        show_table([vars(row) for row in outbox.find_alert_history(conn, found)], as_json)


@app.command()
def runs(region: RegionPath = None, as_json: Json = False) -> None:
    """The last published runs, superseded ones too: which day, which rain, which model."""
    settings = load_settings()
    found = _region(region, settings)
    with transaction(open_database(settings)) as conn:
        rows = [vars(row) for row in store.find_runs(conn, found)]
    show_table(rows, as_json)


@app.command("status")
def status_(region: RegionPath = None, as_json: Json = False) -> None:
    """How a region stands: newest run, what it found, open alerts, deliveries. Of every region where none is named."""
    settings = load_settings()
    with transaction(open_database(settings)) as conn:
        if region or settings.region or Path("region.toml").exists():
            names = [_region(region, settings).name]
        else:
            names = status.find_regions(conn)
        found = [asdict(status.find_status(conn, name)) for name in names]
    if len(found) == 1:
        show_facts(found[0], as_json)
    else:
        show_table(found, as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo world lies.", show_default=False)] = Path("var/demo"),
) -> None:
    """Ten days from rain to warnings, on real terrain in a made world; ends with a report and what to try next."""
    from lswarn.demo import story

    told = story.tell(folder, load_settings(), say, _now)
    show_table(told.rows, False)
    say(told.next_steps)


def _figures(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Those a person asks for first."""
    return {name: scores[name] for name in ("auc", "average_precision", "brier_skill", "physics_consistency")}


def _now() -> datetime:
    return datetime.now(UTC)


def _region(named: Path | None, settings: Settings) -> Region:
    return find_region(named, settings.region)
