"""`lswarn alerts …`: what has been said, what waits for a person, and what a person decides."""

from typing import Annotated

import typer

from lswarn.cli.options import Json, RegionPath, clock, region_of
from lswarn.db import alerts, drafts
from lswarn.db.engine import open_database, transaction
from lswarn.errors import RegionError
from lswarn.settings import load_settings
from lswarn.terminal import say, show_facts, show_table

app = typer.Typer(help="Alerts: what has been said, and what waits for a person.", no_args_is_help=True)

MessageId = Annotated[int, typer.Argument(metavar="MESSAGE", help="Its number in `lswarn alerts list`.")]
By = Annotated[str, typer.Option(help="Who decides; it is kept, and told.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is kept, and told.", show_default=False)]


def _named(by: str) -> str:
    if not by.strip():
        raise typer.BadParameter("--by must name somebody")
    return by.strip()


@app.command("list")
def list_(region: RegionPath = None, as_json: Json = False) -> None:
    """What has been said of each warning area, newest last, who let it out, and to how many it was delivered."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        show_table([vars(row) for row in alerts.find_alert_history(conn, found)], as_json)


@app.command()
def areas(region: RegionPath = None, as_json: Json = False) -> None:
    """How every warning area stands: none, open, easing, or unknown."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        show_table([vars(row) for row in alerts.find_area_states(conn, found)], as_json)


@app.command()
def show(
    message: MessageId,
    region: RegionPath = None,
    cap: Annotated[bool, typer.Option("--cap", help="Its CAP document, as it was given.")] = False,
    as_json: Json = False,
) -> None:
    """A message in full, and what became of it."""
    settings = load_settings()
    found = region_of(region, settings)
    with transaction(open_database(settings)) as conn:
        story = drafts.find_message(conn, found.name, message)
    if cap:
        if story.cap is None:
            raise RegionError(f"message {message} has no CAP document: it was not let out, or none could be made")
        say(story.cap.decode("utf-8"))
        return
    facts = {name: value for name, value in vars(story).items() if name not in ("message", "cap")}
    about = {name: getattr(story.message, name) for name in ("kind", "level", "valid_day", "status", "subject")}
    if as_json:
        show_facts(about | facts | {"text": story.message.text, "payload": story.message.payload}, True)
        return
    show_facts(about | facts, False)
    say("")
    say(story.message.text)


@app.command()
def approve(message: MessageId, by: By, region: RegionPath = None, reason: Reason = "") -> None:
    """Let a draft out.

    Example: lswarn alerts approve 41 --by "A. Duty" --reason "gauges agree"
    """
    from lswarn import release

    settings = load_settings()
    found = region_of(region, settings)
    said = release.approve(found.name, settings, message, by=_named(by), reason=reason, now=clock())
    say(f"message {message} goes out: {said.subject}; `lswarn deliver` sends it now")


@app.command()
def reject(message: MessageId, by: By, reason: Reason, region: RegionPath = None) -> None:
    """Hold a draft back for good. The next run that calls for the warning asks anew.

    Example: lswarn alerts reject 41 --by "A. Duty" --reason "the gauges stayed dry"
    """
    from lswarn import release

    settings = load_settings()
    found = region_of(region, settings)
    said = release.reject(found.name, settings, message, by=_named(by), reason=reason, now=clock())
    say(f"message {message} is held back: {said.subject}")


@app.command()
def cancel(
    area: Annotated[str, typer.Argument(metavar="AREA", help="Id of the warning area.")],
    by: By,
    reason: Reason,
    region: RegionPath = None,
) -> None:
    """Take back the warning in force in an area; whoever was told of it is told. The next run may give a new one.

    Example: lswarn alerts cancel coal-creek --by "A. Duty" --reason "the dam was mapped as a slope"
    """
    from lswarn import release

    settings = load_settings()
    found = region_of(region, settings)
    queued = release.cancel(found, settings, area, by=_named(by), reason=reason, now=clock())
    say(
        f"the warning in {area} is taken back; "
        + ("whoever was told is told" if queued else "nobody had been told of it")
    )


@app.command("test")
def rehearse(
    area: Annotated[str, typer.Argument(metavar="AREA", help="Id of the warning area.")],
    by: By,
    region: RegionPath = None,
    exercise: Annotated[bool, typer.Option("--exercise", help="Call it an exercise, not a test.")] = False,
) -> None:
    """Send a warning that says it is a test the whole way: open, update, all-clear, CAP and delivery.

    Example: lswarn alerts test coal-creek --by "A. Duty"
    """
    from lswarn.delivery import deliver
    from lswarn.drill import drill

    settings = load_settings()
    found = region_of(region, settings)
    status = "exercise" if exercise else "test"
    released = drill(found, settings, area, by=_named(by), now=clock(), status=status)
    say(f"{released} messages of a {status}; {deliver(settings, clock).sentence}")
