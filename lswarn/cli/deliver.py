"""`lswarn deliver`: whoever is to be told is told."""

from dataclasses import asdict
from typing import Annotated

import typer

from lswarn.cli.options import Json, clock
from lswarn.db import outbox
from lswarn.db.engine import open_database, transaction
from lswarn.errors import DeliveryError
from lswarn.settings import load_settings
from lswarn.terminal import say, show_facts, show_table


def deliver(
    workers: Annotated[int, typer.Option(min=1, max=32, help="So many at once, where receivers are slow.")] = 1,
    list_dead: Annotated[bool, typer.Option("--list-dead", help="Only list what was given up, and why.")] = False,
    retry_dead: Annotated[bool, typer.Option("--retry-dead", help="What was given up too, once more.")] = False,
    as_json: Json = False,
) -> None:
    """Send every queued message that is due; safe to repeat, and to run from several machines.

    Example: lswarn deliver --retry-dead --workers 4
    """
    from lswarn import delivery

    settings = load_settings()
    if list_dead:
        with transaction(open_database(settings)) as conn:
            return show_table([vars(letter) for letter in outbox.find_dead_letters(conn)], as_json)
    if retry_dead:
        with transaction(open_database(settings)) as conn:
            again = outbox.queue_dead_again(conn, clock())
        if not as_json:
            say(f"{again} given up before are tried again")
    done = delivery.deliver(settings, clock, workers=workers)
    show_facts(asdict(done), as_json)
    if done.refused or done.held:
        raise DeliveryError("not every message was taken; it will be tried again")
    return None
