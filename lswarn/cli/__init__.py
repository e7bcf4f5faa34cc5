"""`lswarn …`: the steps of the line by hand.

Exit code 0: done. 1: it could not be done, and the message says what to do. 2: the command was not understood.
Rooms are entered where a command needs them: torch and GDAL take seconds to load, and `lswarn status` needs neither.
"""

import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler
from rich.text import Text

from lswarn import __version__
from lswarn.cli import alerts, assets, critical, deliver, inventory, models, prime, prospect, rain, serve, verify
from lswarn.cli.options import DAY, DaskAddress, Json, RegionPath, clock, region_of
from lswarn.db import retention, server, status, store
from lswarn.db.engine import database_url, migrate, open_database, shown, transaction
from lswarn.errors import LswarnError, RegionError
from lswarn.logs import json_handler
from lswarn.sections import FACTORS
from lswarn.settings import load_settings
from lswarn.terminal import err, progress, say, show_facts, show_table

app = typer.Typer(
    help="Landslide early warning: from a rain file to a warning that arrives.",
    epilog="Begin with `lswarn demo`; then `lswarn region init --help`, for a region of your own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
db_app = typer.Typer(help="The database: a private PostGIS, and the schema.", no_args_is_help=True)
region_app = typer.Typer(help="A region: its files and its ten factors.", no_args_is_help=True)
app.add_typer(db_app, name="db")
app.add_typer(region_app, name="region")
app.add_typer(assets.app, name="assets")
app.add_typer(inventory.app, name="inventory")
app.add_typer(verify.events_app, name="events")
app.add_typer(rain.app, name="rain")
app.add_typer(models.app, name="models")
app.add_typer(alerts.app, name="alerts")
region_app.command("init")(prospect.init)
app.command()(models.train)
app.command()(models.evaluate)
app.command()(prime.prime)
app.command()(critical.critical)
app.command()(verify.verify)
app.command()(deliver.deliver)
app.add_typer(serve.tokens_app, name="tokens")
app.command()(serve.serve)


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
    # Before the settings are read: what is wrong with them is said by the command.
    as_json = os.environ.get("LSWARN_LOG", "").lower() == "json"
    handler = json_handler() if as_json else RichHandler(console=err, show_path=False)
    if not as_json:
        handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
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


@db_app.command("prune")
def db_prune(region: RegionPath = None) -> None:
    """Delete maps, zones and exposure older than `retention.zone_days`; runs, alerts and messages stay for ever.

    Example: lswarn db prune my-valley
    """
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings), found) as conn:
        pruned = retention.prune(conn, found, found.retention.zone_days, clock())
    say(f"{found.title}: {pruned.sentence}")


# ── region ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@region_app.command("check")
def region_check(region: RegionPath = None) -> None:
    """Say what is wrong in every entry of region.toml, all at once.

    Example: lswarn region check deploy/region.example.toml
    """
    from lswarn import groundwork

    found = region_of(region, load_settings())
    if problems := groundwork.check(found, clock().date()):
        raise RegionError(*problems)
    say(f"{found.title}: nothing is wrong")


@region_app.command("build")
def region_build(region: RegionPath = None) -> None:
    """Build the ten factors, and load roads, settlements, warning areas and landslides into the database.

    May be stopped and started again at any time: what is built stays.
    """
    from lswarn import groundwork

    settings = load_settings()
    found = region_of(region, settings)
    with progress("factors", 1 + len(FACTORS) + (found.model.soil is not None)) as advance:
        done: dict[str, float] = {}

        def tell(name: str, share: float) -> None:
            done[name] = share
            advance(sum(done.values()), name)

        stack = groundwork.build(found, settings, tell)
    counts = groundwork.load_assets(found, settings, clock().date())
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    say(f"{found.title}: ten factors on {stack.grid.height} × {stack.grid.width} cells; {told}")


# ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def run(
    region: RegionPath = None,
    date_: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=DAY, help="UTC day; left out: yesterday, or the newest that is due.", show_default=False
        ),
    ] = None,
    lead: Annotated[int, typer.Option(min=0, max=3, help="Also an outlook of so many days, by forecast rain.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do it all, publish and send nothing.")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Ask this model, not the champion; with --dry-run only.", show_default=False),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Ask the model about every cell, not its critical rainfall.")
    ] = False,
    dask: DaskAddress = None,
    as_json: Json = False,
) -> None:
    """One day: ingest, assess, publish, deliver. Safe to repeat.

    Example: lswarn run region.toml --date 2026-03-06 --lead 3 --dry-run
    """
    from lswarn import day

    if model and not dry_run:
        raise typer.BadParameter("only the champion warns; add --dry-run, or `lswarn models promote` it")
    settings = load_settings(dask=dask)
    found = region_of(region, settings)
    now = clock()
    window = day.ingest(found, settings, date_.date() if date_ else None, now)
    ahead = day.ingest_outlook(found, settings, window.day, lead, now) if lead else []
    with progress("blocks", None) as advance:
        assessment, *outlooks = (
            day.assess(found, settings, each, lambda done, total: advance(done, "", total), model_id=model, full=full)
            for each in (window, *ahead)
        )
    publication = day.publish(found, settings, assessment, now, outlooks=outlooks, dry_run=dry_run)
    told: dict[str, object] = {
        "region": found.name,
        "valid_day": window.day,
        "rain_grade": window.grade,
        "model": assessment.model_id,
        "zones": len(assessment.zones),
        "exceedances": len(assessment.exceedances),
        "beyond_km2": round(assessment.beyond_m2 / 1e6, 1),
        "outlook_days": [each.day for each in ahead],
        "published": "no (dry run)" if dry_run else publication.sentence,
        "messages": [message.subject for message in publication.messages],
    }
    if not dry_run:
        told["delivered"] = day.deliver(settings, clock).sentence
    show_facts(told, as_json)


@app.command()
def hindcast(
    start: Annotated[datetime, typer.Argument(formats=DAY, help="First day.")],
    end: Annotated[datetime, typer.Argument(formats=DAY, help="Last day.")],
    region: RegionPath = None,
    as_of_latency: Annotated[
        bool, typer.Option("--as-of-latency", help="Only rain that was due by the hour of each day's run.")
    ] = False,
    at: Annotated[
        datetime, typer.Option(formats=["%H:%M"], help="UTC hour of the run, on the day after.", show_default="15:30")
    ] = datetime(1900, 1, 1, 15, 30),  # noqa: DTZ001 (an hour of the day)
    as_json: Json = False,
) -> None:
    """Past days as they would have been run: recorded apart from the daily runs, and nobody is told.

    Example: lswarn hindcast 2024-07-01 2024-07-31 region.toml --as-of-latency --at 05:30
    """
    from lswarn import day

    settings = load_settings()
    found = region_of(region, settings)
    days = [start.date() + timedelta(days=n) for n in range((end - start).days + 1)]
    if not days:
        raise typer.BadParameter(f"END {end:%Y-%m-%d} is before START {start:%Y-%m-%d}")
    rows = []
    with progress("days", len(days)) as advance:
        for done, each in enumerate(days, 1):
            as_of = datetime.combine(each + timedelta(days=1), at.time(), UTC) if as_of_latency else None
            ran = day.hindcast(found, settings, each, clock(), as_of=as_of)
            rows.append({"day": ran.day, "rain_grade": ran.grade, "run_id": ran.run_id} | asdict(ran.exposure))
            advance(done, str(each))
    show_table(rows, as_json)


@app.command()
def runs(region: RegionPath = None, as_json: Json = False) -> None:
    """The last published runs, superseded ones too: which day, which rain, which model."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        rows = [vars(row) for row in store.find_runs(conn, found)]
    show_table(rows, as_json)


@app.command("status")
def status_(region: RegionPath = None, as_json: Json = False) -> None:
    """How a region stands: newest run, what it found, open alerts, deliveries. Of every region where none is named."""
    settings = load_settings()
    with transaction(open_database(settings)) as conn:
        if region or settings.region or Path("region.toml").exists():
            names = [region_of(region, settings).name]
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

    told = story.tell(folder, load_settings(), say, clock)
    show_table(told.rows, False)
    say(told.next_steps)
