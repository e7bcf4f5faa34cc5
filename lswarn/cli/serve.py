"""`lswarn serve`, `lswarn tokens …`: the web server, and who may use it."""

import logging
import os
import tempfile
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lswarn.cli.options import Json, clock
from lswarn.db import tokens
from lswarn.db.engine import open_database, transaction
from lswarn.settings import load_settings
from lswarn.terminal import say, show_table

tokens_app = typer.Typer(help="Tokens of the web server: who may read, review and report.", no_args_is_help=True)


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    REVIEW = "review"
    REPORT = "report"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; leave it, and put a proxy with TLS before it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Serve the map, the API, tiles and feeds of every region in the database, until it is stopped.

    It starts without the database, says that it is away, and recovers by itself.

    Example: lswarn serve --port 8080 --workers 2
    """
    import uvicorn

    settings = load_settings()
    options = {"host": host, "port": port, "log_config": None, "access_log": False, "server_header": False}
    logging.getLogger("uvicorn").setLevel(logging.INFO)
    if workers == 1:
        from lswarn.web.app import create_app

        uvicorn.run(create_app(settings), **options)  # type: ignore[arg-type]
        return
    with tempfile.TemporaryDirectory(prefix="lswarn-metrics-") as counts:
        # Read by prometheus_client when it is imported, here and in each worker.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(counts))
        uvicorn.run("lswarn.web.served:app", workers=workers, **options)  # type: ignore[arg-type]


@tokens_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will hold it, such as duty-desk.")],
    scope: Annotated[list[Scope], typer.Option(help="read, review (drafts) or report (landslides); may be repeated.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="Good for so many days.")] = 365,
) -> None:
    """Make a token and print it, this once: only its digest is kept.

    Example: lswarn tokens create duty-desk --scope review --scope report --days 90
    """
    if not (name.isascii() and name.isprintable() and name.strip() == name and 0 < len(name) <= 64):
        raise typer.BadParameter("NAME is 1 to 64 plain letters, digits and signs, without blanks at its ends")
    now = clock()
    with transaction(open_database(load_settings())) as conn:
        token = tokens.record_token(conn, name, [each.value for each in scope], now, now + timedelta(days=days))
    say(token)


@tokens_app.command("list")
def list_(as_json: Json = False) -> None:
    """Every token, expired and revoked ones too: its name, scopes, and when it was used last."""
    with transaction(open_database(load_settings())) as conn:
        show_table([vars(each) for each in tokens.find_tokens(conn)], as_json)


@tokens_app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Its name in `lswarn tokens list`.")]) -> None:
    """Put a token out of force, at once and for good.

    Example: lswarn tokens revoke duty-desk
    """
    with transaction(open_database(load_settings())) as conn:
        revoked = tokens.mark_revoked(conn, name, clock())
    say(f"token {name} is revoked" if revoked else f"token {name} was revoked before")
