"""OGC API Features over the views of `docs/sql.md`, by tipg: for QGIS, ArcGIS and whatever speaks it.

An application of its own, mounted at /ogc, for its errors and its description are its own too. It may only read, not
for long, and as `lswarn_reader` where the database has that role. Of CQL2 it understands comparisons, times and places:
a function by its name would be any function that the database has.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Annotated, Any

import asyncpg
from cql2 import Expr
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from tipg.collections import register_collection_catalog
from tipg.database import connect_to_db
from tipg.dependencies import filter_query
from tipg.errors import DEFAULT_STATUS_CODES, TiPgError
from tipg.factory import OGCFeaturesFactory
from tipg.settings import DatabaseSettings, PostgresSettings

from lswarn import __version__
from lswarn.db.engine import database_url
from lswarn.db.reading import LONGEST_S
from lswarn.errors import DatabaseDown
from lswarn.web.deps import settings_of
from lswarn.web.problems import Problem, add_handlers, problem_response
from lswarn.web.security import may_read
from lswarn.web.tagged import Tagged

VIEWS = (
    "area_state",
    "alert_now",
    "current_zone",
    "exposed_road_now",
    "exposed_settlement_now",
    "outlook_zone",
    "outlook_exposed_road",
    "outlook_exposed_settlement",
    "rainfall_exceedance",
    "warning_area",
    "road",
    "settlement",
)
"""What is offered; nothing else of the database is."""

CATALOGUE_S = 300
"""How long it is believed what columns there are."""

OPERATORS = frozenset(
    {"and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "like", "between", "in", "isnull", "casei", "accenti"}
    | {"+", "-", "*", "/", "div", "%", "^"}
    | {"s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps", "s_touches", "s_within"}
    | {"t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedby", "t_finishes"}
    | {"t_intersects", "t_meets", "t_metby", "t_overlappedby", "t_overlaps", "t_startedby", "t_starts"}
)
"""Of CQL2, in small letters."""


class _Features(OGCFeaturesFactory):
    """Without pages: they would take scripts and styles from elsewhere, and a browser is shown the JSON."""

    def _create_html_response(self, request: Request, data: Any, *_: Any, **__: Any) -> Any:
        return JSONResponse(data)


def create_ogc(parent: FastAPI) -> ASGIApp:
    """The application to be mounted.

    Args:
        parent: whose state (settings, rates) it shares.
    """
    app = FastAPI(
        title="lswarn: OGC API Features",
        version=__version__,
        openapi_url="/api",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(may_read), Depends(_connected)],
    )
    app.state = parent.state
    add_handlers(app)
    for kind in DEFAULT_STATUS_CODES:
        if issubclass(kind, TiPgError):
            app.add_exception_handler(kind, _refused)
    for refused in (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, OSError, TimeoutError):
        app.add_exception_handler(refused, _database)
    app.dependency_overrides[filter_query] = checked_filter

    @app.get("/docs", name="swagger_ui_html", include_in_schema=False)
    def described(request: Request) -> Response:
        return RedirectResponse(request.url_for("openapi"))

    app.include_router(_Features(title="lswarn").router)
    answer = Tagged(app)

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        # Links are to begin here, and names are those of this application.
        scope.pop("router", None)
        scope["app_root_path"] = scope.get("root_path", "")
        await answer(scope, receive, send)

    return mounted


def checked_filter(
    query: Annotated[str | None, Query(alias="filter", max_length=4000, description="CQL2, as text or JSON")] = None,
) -> Expr | None:
    """A filter that asks for nothing but comparisons.

    Raises:
        Problem: it cannot be read, or names a function.
    """
    if query is None:
        return None
    try:
        used = set(_operators(Expr(query).to_json()))
        found = filter_query(query)
    except Exception as error:  # cql2 raises nothing more precise
        raise Problem(422, f"filter: this is not CQL2: {error}") from error
    if unknown := sorted(used - OPERATORS):
        raise Problem(422, f"filter: {', '.join(unknown)} cannot be asked for; comparisons, times and places can")
    return found


def _operators(node: Any) -> Iterator[str]:
    """Every operator and function of a filter, in small letters."""
    if isinstance(node, dict):
        if "op" in node:
            yield str(node["op"]).lower()
        if "function" in node:  # as an older draft wrote it
            yield "function"
        for value in node.values():
            yield from _operators(value)
    elif isinstance(node, list):
        for value in node:
            yield from _operators(value)


class _Standing:
    """Which database the pool is of, and until when its catalogue is believed."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.of: tuple[str, int] | None = None
        self.until = 0.0


async def _connected(request: Request) -> None:
    """See that there is a pool of connections, and a catalogue.

    Raises:
        DatabaseDown: there is no connection.
    """
    state = request.app.state
    url = database_url(settings_of(request))
    here = (url, id(asyncio.get_running_loop()))
    standing = getattr(state, "ogc", None)
    if standing is None or standing.of not in (None, here):
        standing = state.ogc = _Standing()
    if standing.of == here and time.monotonic() < standing.until:
        return
    async with standing.lock:
        try:
            if standing.of is None:
                await _open(request.app, url)
            if standing.of is None or time.monotonic() >= standing.until:
                tables = [f"lswarn.{view}" for view in VIEWS]
                # Extents would read every row of every view.
                offered = DatabaseSettings(
                    schemas=["lswarn"], tables=tables, functions=[], spatial_extent=False, datetime_extent=False
                )
                await register_collection_catalog(request.app, db_settings=offered)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise DatabaseDown(f"OGC: {error}") from error
        standing.of, standing.until = here, time.monotonic() + CATALOGUE_S


async def _open(app: FastAPI, url: str) -> None:
    plain = f"postgresql://{url.partition('://')[2]}"  # whichever driver it names
    await connect_to_db(
        app,
        schemas=["lswarn"],
        settings=PostgresSettings(database_url=plain, db_min_conn_size=1, db_max_conn_size=4),
        setup=_restrain,
        timeout=LONGEST_S,
    )


async def _restrain(conn: asyncpg.Connection) -> None:
    """Before every use of a connection: it may read, and not for long."""
    await conn.execute(f"SET statement_timeout = '{LONGEST_S}s'")
    await conn.execute("SET search_path = lswarn, public; SET default_transaction_read_only = on")
    if await conn.fetchval("SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = 'lswarn_reader'"):
        await conn.execute("SET ROLE lswarn_reader")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = DEFAULT_STATUS_CODES.get(type(error), 500)
    return problem_response(status, str(error) or type(error).__name__)


async def _database(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, asyncpg.QueryCanceledError):
        return problem_response(503, f"this took longer than {LONGEST_S} seconds; ask for less of it")
    lost = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, OSError, TimeoutError)
    if isinstance(error, lost):
        return problem_response(503, "the database does not answer just now; try again soon", {"Retry-After": "5"})
    if isinstance(error, asyncpg.PostgresError):
        return problem_response(422, f"the database cannot answer this: {error}")
    return problem_response(422, f"a value cannot be read: {error}")
