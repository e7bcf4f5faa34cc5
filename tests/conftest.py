"""A real PostGIS for every test that wants one: `LSWARN_DATABASE_URL`, else the private server under `var/`.

And a whole house for those that ask for the line: `house`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from lswarn import day as line
from lswarn import groundwork, retraining
from lswarn.cascade import fetch_days
from lswarn.db import server
from lswarn.db.engine import connect, migrate, open_database, transaction
from lswarn.db.store import forget_days
from lswarn.db.tables import metadata
from lswarn.demo.granules import load_published
from lswarn.demo.providers import Providers
from lswarn.demo.servers import MailSink, WebhookReceiver
from lswarn.demo.world import World, make_world
from lswarn.hazard.assess import Assessment
from lswarn.rain.window import window_days
from lswarn.region import Region, load_region
from lswarn.settings import Settings

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


SECRET = "whsec_dGVzdHMgc2lnbiB3aXRoIHRoaXMga2V5IQ=="


@dataclass
class House:
    """A region ready for its first day, and the servers around it."""

    world: World
    region: Region
    settings: Settings
    rain: Providers
    mail: MailSink
    hooks: WebhookReceiver

    @property
    def environment(self) -> dict[str, str]:
        """The same settings as LSWARN_… variables, and the region."""
        told = self.settings.model_dump(exclude_defaults=True) | {"region": self.world.region_toml}
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in told.items()
        }
        return {f"LSWARN_{name.upper()}": str(value) for name, value in plain.items()}

    def begin(self) -> None:
        """Forget every day: nothing archived of it, nothing published, nothing said."""
        with transaction(open_database(self.settings), self.region) as conn:
            forget_days(conn, self.region)
        archive = self.settings.region_dir(self.region.name) / "rain"
        for path in (*archive.glob("*/*.nc"), *self.mail.received, *self.hooks.received):
            path.unlink()

    def run_at(self, day: date) -> datetime:
        return datetime.combine(day + timedelta(days=1), time(15, 30), UTC)

    def assess(self, day: date, now: datetime | None = None) -> Assessment:
        self.rain.now = now or self.run_at(day)
        window = line.ingest(self.region, self.settings, day, self.rain.now)
        return line.assess(self.region, self.settings, window, lambda done, total: None)

    def outlook(self, day: date, lead_days: int) -> list[Assessment]:
        """Of the days after one that was assessed just now."""
        windows = line.ingest_outlook(self.region, self.settings, day, lead_days, self.rain.now)
        return [line.assess(self.region, self.settings, window, lambda done, total: None) for window in windows]

    def publish(self, day: date, now: datetime | None = None, **options: bool) -> line.Publication:
        return line.publish(self.region, self.settings, self.assess(day, now), self.rain.now, **options)

    def deliver(self) -> line.Delivery:
        return line.deliver(self.settings, lambda: datetime.now(UTC))

    def rows(self) -> dict[str, list]:
        """Everything the database holds of the region's days, but for keys and instants."""
        queries = {
            "run": "SELECT valid_day, key, status, grade, superseded_at IS NULL FROM lswarn.run",
            "zone": "SELECT class, area_m2, probability_max, ST_AsText(geometry) FROM lswarn.susceptibility_zone",
            "exceedance": "SELECT rain_mm, critical_mm, ST_AsText(geometry) FROM lswarn.rainfall_exceedance",
            "area": "SELECT area_id, class, area_m2 FROM lswarn.class_area",
            "road": "SELECT road_id, area_id, class, length_m FROM lswarn.road_exposure",
            "settlement": "SELECT settlement_id, area_id, class, people FROM lswarn.settlement_exposure",
            "alert": "SELECT area_id, level, opened_on, closed_on, told FROM lswarn.alert",
            "message": "SELECT kind, level, valid_day, subject FROM lswarn.alert_message",
            "delivery": "SELECT subscriber_id, status FROM lswarn.delivery",
        }
        with transaction(open_database(self.settings)) as conn:
            return {name: sorted(map(str, conn.execute(text(query)))) for name, query in queries.items()}


@pytest.fixture(scope="session")
def _world_database_url(_cluster: Engine, _migrated: str) -> Iterator[str]:
    name = f"{_migrated}_world"
    yield _create(_cluster, name, _migrated)
    _drop(_cluster, name)


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory, _world_database_url: str) -> Iterator[House]:
    """The demo world in coarse cells, with its servers, factors, assets and a model trained on it."""
    folder: Path = tmp_path_factory.mktemp("house")
    with (
        Providers() as rain,
        MailSink(folder / "mail") as mail,
        WebhookReceiver(folder / "hooks", SECRET) as hooks,
    ):
        world = make_world(folder / "world", rain=rain.addresses, webhook_url=hooks.url, resolution_m=90)
        rain.serve(load_published(world.granules))
        settings = Settings(
            database_url=SecretStr(_world_database_url),
            var_dir=folder / "var",
            smtp_host=mail.host,
            smtp_port=mail.port,
            webhook_secret=SecretStr(SECRET),
            **rain.accounts,
        )
        region = load_region(world.region_toml)
        # The kind that is trained quickest, of those under which more rain can only raise a probability.
        quick = region.model.model_copy(update={"network": "boosting", "depth": 2})
        region = region.model_copy(update={"model": quick})
        first = datetime.combine(world.days[0], time(), UTC)
        rain.now = first
        groundwork.build(region, settings, lambda name, share: None)
        groundwork.load_assets(region, settings)
        weeks = {day for last in world.training_days for day in window_days(last)}
        fetch_days(region, settings, sorted(weeks), first)
        taken = retraining.snapshot(region, settings, first)
        model_id = retraining.train(region, settings, taken, lambda step, steps, losses: None)
        scores = retraining.evaluate(region, settings, taken, model_id, first)
        assert retraining.promote(region, settings, taken, model_id, scores).promoted
        yield House(world, region, settings, rain, mail, hooks)


@pytest.fixture
def house(_built: House) -> House:
    """The demo world in coarse cells with a trained model, before its first day."""
    _built.begin()
    return _built
