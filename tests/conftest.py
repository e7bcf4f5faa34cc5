"""A real PostGIS for every test that wants one: `LSWARN_DATABASE_URL`, else the private server under `var/`."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from lswarn.db import server
from lswarn.db.engine import connect, migrate
from lswarn.db.tables import metadata
from lswarn.region import Region

COPIES = count(1)


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Engine]:
    """Where databases are made and dropped."""
    url = os.environ.get("LSWARN_DATABASE_URL") or server.start(Path(__file__).parents[1] / "var")
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _create(cluster: Engine, name: str, template: str = "") -> str:
    with cluster.connect() as conn:
        conn.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        conn.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")))
    return cluster.url.set(database=name).render_as_string(hide_password=False)


def _drop(cluster: Engine, name: str) -> None:
    with cluster.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def _migrated(_cluster: Engine) -> Iterator[str]:
    """Name of a database migrated to head, which nobody connects to: the others are copies of it."""
    name = f"lswarn_test_{os.getpid()}"
    migrate(_create(_cluster, name))
    yield name
    _drop(_cluster, name)


@pytest.fixture(scope="session")
def database_url(_cluster: Engine, _migrated: str) -> Iterator[str]:
    """URL of a migrated database that the whole session shares: leave nothing behind in it (see `conn`)."""
    name = f"{_migrated}_shared"
    yield _create(_cluster, name, _migrated)
    _drop(_cluster, name)


@pytest.fixture(scope="session")
def _own(_cluster: Engine, _migrated: str) -> Iterator[Engine]:
    name = f"{_migrated}_own"
    engine = connect(_create(_cluster, name, _migrated))
    yield engine
    engine.dispose()
    _drop(_cluster, name)


@pytest.fixture
def fresh_database_url(_own: Engine) -> Iterator[str]:
    """URL of a migrated, empty database of the test's own, for what commits rows."""
    yield _own.url.render_as_string(hide_password=False)
    with _own.begin() as conn:
        for table in reversed(metadata.sorted_tables):
            conn.execute(table.delete())


@pytest.fixture
def copied_database_url(_cluster: Engine, _migrated: str) -> Iterator[str]:
    """URL of a migrated database of the test's own, for what changes the schema."""
    name = f"{_migrated}_{next(COPIES)}"
    yield _create(_cluster, name, _migrated)
    _drop(_cluster, name)


@pytest.fixture
def empty_database_url(_cluster: Engine, _migrated: str) -> Iterator[str]:
    """URL of a database of the test's own that has not been migrated."""
    name = f"{_migrated}_{next(COPIES)}"
    yield _create(_cluster, name)
    _drop(_cluster, name)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """Of the shared database."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def fresh_engine(fresh_database_url: str) -> Iterator[Engine]:
    """Of a database of the test's own, for what commits rows."""
    engine = connect(fresh_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    """A connection to the shared database; whatever the test does is rolled back."""
    with engine.connect() as conn, conn.begin() as outer:
        yield conn
        outer.rollback()


@pytest.fixture
def make_region(tmp_path: Path) -> Callable[..., Region]:
    """`make_region(name="other", …)`: a small valid region in UTM 16N; none of its files exist."""

    def make(**overrides: Any) -> Region:
        file = {name: tmp_path / f"{name}.gpkg" for name in ("dem", "rock", "roads", "towns", "areas", "inventory")}
        derive, constant = {"derive": True}, {"constant": 1.0}
        facts: dict[str, Any] = {
            "name": "testland",
            "title": "Test Land",
            "bbox": (-84.40, 36.15, -84.10, 36.40),
            "crs": "EPSG:32616",
            "made": "everything",
            "factors": {
                "dem": {"file": file["dem"]},
                "rock_type": {"file": file["rock"], "field": "code"},
                "river_distance": derive,
                "fault_distance": constant,
                "rainfall": constant,
                "temperature": derive,
                "seismic_intensity": constant,
            },
            "assets": {
                "roads": {"file": file["roads"], "id": "id", "name": "name", "ref": "ref", "kind": "class"},
                "settlements": {"file": file["towns"], "id": "id", "name": "name", "population": "population"},
                "warning_areas": {"file": file["areas"], "id": "id", "name": "name"},
            },
            "inventory": {"file": file["inventory"], "id": "id", "date": "date"},
            "rain": {
                "sources": [
                    {"product": "IMERG-Late", "at": str(tmp_path / "late"), "latency_h": 15},
                    {"product": "IMERG-Early", "at": str(tmp_path / "early"), "latency_h": 5},
                ],
                "threshold": {"constant_mm": 100.0, "source": "made for tests"},
            },
        }
        return Region.model_validate(facts | overrides)

    return make
