"""`lswarn verify`, `lswarn events …`: how the warnings did, and the landslides they are held against."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lswarn.cli.options import DAY, Json, RegionPath, clock, region_of
from lswarn.db import reports
from lswarn.db.engine import open_database, transaction
from lswarn.sections import Inventory
from lswarn.settings import load_settings
from lswarn.terminal import progress, say, show_facts, show_table

events_app = typer.Typer(
    help="Landslides that happened: take new ones in, and decide about reported ones.", no_args_is_help=True
)

ReportId = Annotated[str, typer.Argument(metavar="REPORT", help="Its id in `lswarn events reports`.")]
By = Annotated[str, typer.Option(help="Who decides; it is kept.", show_default=False)]


def verify(
    start: Annotated[datetime, typer.Argument(formats=DAY, help="First day.")],
    end: Annotated[datetime, typer.Argument(formats=DAY, help="Last day.")],
    region: RegionPath = None,
    tolerance_days: Annotated[
        int, typer.Option(min=0, max=7, help="A warning so many days from a landslide is one of it.")
    ] = 1,
    tolerance_m: Annotated[
        float,
        typer.Option(min=0, max=10_000, help="And so many metres; more where its place is less sure."),
    ] = 500.0,
    hindcasts: Annotated[
        bool, typer.Option("--hindcasts", help="On days without a run, ask hindcasts for classes and probabilities.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Alerts and classes against the landslides that came: hits, misses, false alarms, lead time; and a page of it.

    Days without a run, or with rain that is not to be trusted, are counted as such and never as right.

    Example: lswarn verify 2026-01-01 2026-03-31 region.toml
    """
    from lswarn import verification

    settings = load_settings()
    found = region_of(region, settings)
    with progress("days", None) as advance:
        done = verification.verify(
            found,
            settings,
            start.date(),
            end.date(),
            clock(),
            tolerance_days=tolerance_days,
            tolerance_m=tolerance_m,
            hindcasts=hindcasts,
            on_progress=lambda done, total: advance(done, "", total),
        )
    if as_json:
        show_facts(done.told | {"page": str(done.html_path)}, as_json)
        return
    show_facts({"landslides": done.told["landslides"], "days": done.told["days"]}, as_json)
    show_table(_rows(done.told), as_json)
    say(f"the page: {done.html_path}")


def _rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a count or figure, a column a level, the formula last."""
    levels = {f"{kind} {level}": found for kind in ("alerts", "classes") for level, found in told[kind].items()}
    names = [name for name in told["alerts"]["orange"] if name not in ("areas", "lead")]
    rows = [
        {"figure": name.replace("_", " ")}
        | {level: found[name] for level, found in levels.items()}
        | {"formula": told["formulas"].get(name, "")}
        for name in names
    ]
    leads = {level: found["lead"]["median_h"] if "lead" in found else None for level, found in levels.items()}
    return [*rows, {"figure": "lead, hours"} | leads | {"formula": "median, to the beginning of the landslide's day"}]


@events_app.command("import")
def events_import(
    file: Annotated[Path, typer.Argument(help="Landslides: any vector that GDAL opens, or a CSV.")],
    region: RegionPath = None,
    id_: Annotated[str | None, typer.Option("--id", help="Field that names an event.", show_default=False)] = None,
    date_: Annotated[str | None, typer.Option("--date", help="Field with its day.", show_default=False)] = None,
    prefix: Annotated[str, typer.Option(help="Put before each id, so that it is no other inventory's.")] = "",
    as_json: Json = False,
) -> None:
    """Take new landslides into the database: known ones are updated by their id, none is forgotten. Safe to repeat.

    Fields that are not named are recognised by the names in use; `lswarn inventory check FILE` says how it is read.

    Example: lswarn events import reports-2026-03.csv region.toml --prefix district-
    """
    from lswarn import groundwork

    settings = load_settings()
    found = region_of(region, settings)
    rules = found.inventory
    inventory = Inventory(
        file=file,
        id=id_,
        date=date_,
        point_radius_m=rules.point_radius_m,
        max_accuracy_m=rules.max_accuracy_m,
        triggers=rules.triggers,
    )
    told = groundwork.load_landslides(found, settings, clock().date(), inventory=inventory, prefix=prefix)
    show_facts(told, as_json)


@events_app.command("reports")
def events_reports(
    region: RegionPath = None,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided about too.")] = False,
    as_json: Json = False,
) -> None:
    """Landslides that people reported over the web and that wait for somebody to confirm them, the newest first."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        told, _ = reports.find_reports(conn, region=found.name, waiting=not every)
    show_table([vars(each) for each in told], as_json)


@events_app.command("confirm")
def events_confirm(report: ReportId, by: By, region: RegionPath = None) -> None:
    """Let a reported landslide count: it may teach, and warnings are judged by it.

    Example: lswarn events confirm report-0123456789abcdef --by "A. Duty"
    """
    _decide(report, by, region, confirmed=True)
    say(f"{report} is confirmed; the next training may learn from it")


@events_app.command("dismiss")
def events_dismiss(report: ReportId, by: By, region: RegionPath = None) -> None:
    """Keep a reported landslide from counting: it was none, or is known already.

    Example: lswarn events dismiss report-0123456789abcdef --by "A. Duty"
    """
    _decide(report, by, region, confirmed=False)
    say(f"{report} is dismissed; it teaches nothing")


def _decide(report: str, by: str, region: Path | None, *, confirmed: bool) -> None:
    if not by.strip():
        raise typer.BadParameter("--by must name somebody")
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        reports.mark_report(conn, found.name, report, confirmed=confirmed, by=by.strip(), at=clock())
