"""The web server put together: which door stands where, and what stands before all of them.

    create_app(settings)
    ├── /api/*      api.py    regions, runs, exposure, rain, places   (open or by token)
    │           desk.py   alerts, messages, decisions, reports of landslides; docs.py: this interface for people
    ├── /tiles/*    tiles.py  raster and vector tiles
    ├── /ogc/*      ogc.py    OGC API Features
    ├── /stac/*     stac.py   an item for each run
    ├── /cap/*      feed.py   the CAP feed and its documents
    ├── /health /ready /metrics   ops.py   (always open: they tell nothing of places or people)
    └── / and /static/*           the map, from lswarn/web/static

A room of routes is a module with `router = APIRouter()`. It gets what it needs by the annotated dependencies of
`deps.py`: `Config` (settings), `Database` (an engine) and `Reading` (a read-only transaction with a time limit).
"""

from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from lswarn import __version__
from lswarn.settings import Settings
from lswarn.web import api, desk, docs, feed, ogc, ops, relief, stac, tiles
from lswarn.web.guards import add_guards
from lswarn.web.metrics import Metrics
from lswarn.web.problems import add_handlers
from lswarn.web.security import may_read

STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings) -> FastAPI:
    """The web server of an installation; it touches the database only when it is asked something."""
    app = FastAPI(
        title="lswarn",
        version=__version__,
        description="Landslide early warning: what is known of each day, and how surely.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.metrics = Metrics()
    add_handlers(app)
    reads = [Depends(may_read)]
    app.include_router(ops.router)
    app.include_router(api.router, prefix="/api", dependencies=reads)
    app.include_router(desk.router, prefix="/api", dependencies=reads)
    app.include_router(docs.router, prefix="/api")
    app.include_router(relief.router, prefix="/tiles", dependencies=reads)
    app.include_router(tiles.router, prefix="/tiles", dependencies=reads)
    app.include_router(stac.router, prefix="/stac", dependencies=reads)
    app.include_router(feed.router, prefix="/cap", dependencies=reads)
    app.mount("/ogc", ogc.create_ogc(app), name="ogc")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    add_guards(app, settings, app.state.metrics)
    if settings.web_read == "open":
        _say_what_is_open(app.openapi())
    return app


def _say_what_is_open(described: dict[str, Any]) -> None:
    """Say in the description of the interface, which the application keeps, that reading takes no token."""
    for methods in described["paths"].values():
        for operation in methods.values():
            if "security" in operation and "403" not in operation["responses"]:
                operation["security"].insert(0, {})
