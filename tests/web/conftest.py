"""A small world with three days, an outlook, an alert, a message and a draft; and the web server before it."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pydantic import SecretStr
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from lswarn.alerts.message import AlertMessage, Translation
from lswarn.alerts.policy import Kind, Level
from lswarn.db import alerts, critical, tokens
from lswarn.db.engine import connect, transaction
from lswarn.rain.grade import Grade
from lswarn.settings import Settings
from lswarn.web.app import create_app
from lswarn.web.deps import clock

_path = Path(__file__).parents[1] / "db" / "conftest.py"
_spec = importlib.util.spec_from_file_location("small_world", _path)
small_world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small_world)
world = small_world.world

DAY: date = small_world.DAY
NOW = datetime(2015, 10, 3, 18, tzinfo=UTC)
LON, LAT = -84.25, 36.275
SCOPES = ("read", "review", "report")


@dataclass
class Face:
    """The web server of the small world."""

    engine: Engine
    settings: Settings
    tokens: dict[str, str]
    released: int
    draft: int

    def client(self, now: datetime = NOW, **overrides: Any) -> TestClient:
        """A client of a server with some settings changed."""
        app = create_app(self.settings.model_copy(update=overrides))
        app.dependency_overrides[clock] = lambda: now
        return TestClient(app, raise_server_exceptions=False)

    def bearer(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scope]}"}


def rain_file(path: Path) -> Path:
    """Five by five cells of 0.1°, one of them unknown."""
    cells = np.full((5, 5), 120.0, np.float32)
    cells[0, 0] = np.nan
    grid = Affine(0.1, 0, LON - 0.25, 0, -0.1, LAT + 0.25)
    profile = {"driver": "GTiff", "height": 5, "width": 5, "count": 1, "crs": 4326, "transform": grid}
    with rasterio.open(path, "w", dtype="float32", nodata=np.nan, **profile) as file:
        file.write(cells, 1)
    return path


def say(conn: Any, region: Any, kind: Kind, subject: str) -> int:
    words = {"subject": subject, "text": f"{subject}, at length", "html": f'<p>{subject}<img src="cid:map">'}
    message = AlertMessage(
        "west",
        kind,
        level=Level.RED,
        valid_day=DAY,
        payload={"data": {"languages": {"en": {}, "es": {}}}},
        map_png=b"\x89PNG\x00",
        translations={"es": Translation("Rojo", "Largo", "<p>Rojo")},
        **words,
    )
    (message_id,) = alerts.queue_messages(conn, region, [message], NOW).released
    return message_id


def make_draft(conn: Any, message_id: int) -> None:
    """As if a person was to be asked."""
    conn.execute(text("DELETE FROM lswarn.delivery WHERE message_id = :id"), {"id": message_id})
    conn.execute(
        text("""UPDATE lswarn.alert_message SET approval = 'waiting', released_at = NULL, decided_at = NULL,
                cap_rules = NULL, review_until = :until WHERE id = :id"""),
        {"id": message_id, "until": NOW + timedelta(hours=1)},
    )


@pytest.fixture(scope="session")
def _web_database(_cluster: Engine, _migrated: str) -> Iterator[dict[str, Any]]:
    name = f"{_migrated}_web"
    with _cluster.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name} TEMPLATE {_migrated}"))
    kept: dict[str, Any] = {"url": _cluster.url.set(database=name).render_as_string(hide_password=False)}
    yield kept
    if "face" in kept:
        kept["face"].engine.dispose()
    with _cluster.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def face(
    request: pytest.FixtureRequest, _web_database: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Face:
    """The same for the whole session: change nothing that others look at."""
    if "face" not in _web_database:
        world = request.getfixturevalue("world")
        _web_database["face"] = _fill(world, _web_database["url"], tmp_path_factory.mktemp("web"))
    return _web_database["face"]


def _fill(world: Any, url: str, folder: Path) -> Face:
    engine = connect(url)
    with transaction(engine) as conn:
        world.record(conn)
        conn.execute(
            text("""INSERT INTO lswarn.region (name, title, srid, geometry, rules_digest)
                    VALUES ('otherland', 'Other <b>Land</b>', 32616, ST_MakeEnvelope(10, 40, 11, 41, 4326), '')""")
        )
        gone = world.publish(conn, day=DAY - timedelta(days=9))
        conn.execute(text("UPDATE lswarn.run SET pruned_at = now() WHERE id = :id"), {"id": gone.run_id})
        world.publish(conn, day=DAY - timedelta(days=1), grade=Grade.D, key="k0", zones=("high",))
        run = world.publish(conn, day=DAY)
        critical.record_rain(conn, run.run_id, rain_file(folder / "rain.tif"))
        world.alarm(conn, run.run_id)
        alerts.mark_known_areas(conn, world.region, DAY, frozenset({"west"}))
        released = say(conn, world.region, Kind.OPEN, "Red in <West>")
        draft = say(conn, world.region, Kind.UPDATE, "Still red")
        make_draft(conn, draft)
        world.ahead(conn, key="ahead")
        far = datetime(2100, 1, 1, tzinfo=UTC)
        made = {scope: tokens.record_token(conn, f"holder of {scope}", [scope], NOW, far) for scope in SCOPES}
    settings = Settings(database_url=SecretStr(url), var_dir=folder / "var", web_rate=1_000_000)
    return Face(engine, settings, made, released, draft)


@pytest.fixture
def client(face: Face) -> TestClient:
    return face.client()
