"""A hand-checkable world: two warning areas side by side, two roads, two towns, and zones cut to whole metres."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize
from shapely import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Engine

from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import AlertChange, AlertState, Kind, Level
from lswarn.db import alerts, assets, inputs, store
from lswarn.db.engine import connect
from lswarn.hazard.assess import Assessment
from lswarn.rain.grade import Grade
from lswarn.region import Region

DAY = date(2015, 10, 2)
NOW = datetime(2015, 10, 3, 15, 30, tzinfo=UTC)
MADE_AT = datetime(2015, 9, 1, tzinfo=UTC)
X, Y = map(round, Transformer.from_crs(4326, 32616, always_xy=True).transform(-84.25, 36.275))


def rectangle(left: float, bottom: float, right: float, top: float) -> Polygon:
    """Metres east and north of the world's middle, in UTM."""
    return box(X + left, Y + bottom, X + right, Y + top)


def frame(shapes: list[BaseGeometry], **columns: list[object]) -> gpd.GeoDataFrame:
    """UTM shapes as lswarn passes them on: in degrees. Straight edges over some km stay straight to a few cm."""
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=32616).to_crs(4326)


WEST, EAST = rectangle(-4000, -2000, 0, 2000), rectangle(0, -2000, 4000, 2000)
ZONES = {
    "over the border": (5, rectangle(-500, -50, 300, 50)),
    "high": (4, rectangle(1000, -50, 1200, 50)),
    "quarter of the town": (5, rectangle(-2000, 500, -1500, 1000)),
    "half of the hamlet": (5, rectangle(2000, 500, 3000, 1500)),
    "nothing there": (5, rectangle(-3900, -1900, -3800, -1800)),
}
UNKNOWN = rectangle(3000, -2000, 4000, -1000)
"""Where the map of every day has no class."""
CELL_M = 12.5
MAP = Affine(CELL_M, 0, X - 4500, 0, -CELL_M, Y + 2500)
"""Of the class map: 720 by 400 cells, in two tiles."""


@dataclass(frozen=True)
class World:
    region: Region
    roads: gpd.GeoDataFrame
    settlements: gpd.GeoDataFrame
    warning_areas: gpd.GeoDataFrame
    folder: Path

    def class_map(self, zones: list[tuple[int, Polygon]]) -> Path:
        """A day's class map on disk: very low, but low in the warning areas, and the zones."""
        path = self.folder / f"{hashlib.sha256(repr(zones).encode()).hexdigest()}.tif"
        if not path.exists():
            shapes = [(WEST, 2), (EAST, 2), *((s, c) for c, s in zones), (UNKNOWN, 0)]
            cells = rasterize(shapes, (400, 720), fill=1, transform=MAP, dtype="uint8")
            profile = {"driver": "GTiff", "height": 400, "width": 720, "count": 1, "crs": 32616, "transform": MAP}
            with rasterio.open(path, "w", dtype="uint8", **profile) as file:
                file.write(cells, 1)
        return path

    def record(self, conn: Connection, assets_digest: str = "assets") -> None:
        """Everything a run hangs on."""
        assets.record_region(conn, self.region, assets_digest)
        assets.record_assets(conn, self.region, self.roads, self.settlements, self.warning_areas)
        inputs.record_model(
            conn, self.region, "net", path=Path("net.pt"), snapshot_id="s", metrics={"auc": 0.9}, made_at=MADE_AT
        )

    def assessment(
        self,
        *,
        day: date = DAY,
        lead_days: int = 0,
        key: str = "k1",
        grade: Grade = Grade.A,
        model_id: str = "net",
        zones: tuple[str, ...] = tuple(ZONES),
    ) -> Assessment:
        chosen = [ZONES[name] for name in zones]
        shapes = [shape for _, shape in chosen]
        cell = {"rain_mm": [210.0], "critical_mm": [100.0], "safety_factor": [100 / 210], "lower_bound": [False]}
        return Assessment(
            region=self.region.name,
            day=day,
            lead_days=lead_days,
            key=key,
            grade=grade,
            measure="sum",
            measure_title="rain in 7 days",
            model_id=model_id,
            rain=({"day": day.isoformat(), "product": "IMERG-Late", "version": "V07B", "sha256": "ab", "uri": "x"},),
            missing=(),
            classes=self.class_map(chosen),
            probability=Path("probability.tif"),
            digests={self.class_map(chosen).name: "c", "probability.tif": "p"},
            zones=frame(
                shapes,
                **{"class": [c for c, _ in chosen]},
                area_m2=[shape.area for shape in shapes],
                probability_mean=[0.6 + 0.01 * i for i in range(len(chosen))],
                probability_max=[0.8 + 0.01 * i for i in range(len(chosen))],
            ),
            exceedances=frame([rectangle(-3000, -1000, -1000, 1000)], **cell),
            class_areas=pd.DataFrame(
                [(area, c, 1000.0 * c) for area in ("west", "east", "elsewhere") for c in range(6)],
                columns=["area_id", "class", "area_m2"],
            ),
            area_rain=pd.DataFrame(
                {"area_id": ["west", "east"], "rain_mm": 210.0, "critical_mm": 100.0, "known": True}
            ),
        )

    def publish(self, conn: Connection, kind: store.Kind = "observed", **which: object) -> store.Published:
        found = self.assessment(**which)
        return store.publish(conn, self.region, found, software="0.1", published_at=NOW, kind=kind)

    def ahead(self, conn: Connection, lead_days: int = 1, **which: object) -> store.Published:
        """Publish an outlook made on the first day."""
        day = DAY + timedelta(days=lead_days)
        return self.publish(conn, "outlook", day=day, lead_days=lead_days, grade=Grade.E, **which)

    def alarm(self, conn: Connection, run_id: int, kind: Kind = Kind.OPEN, level: Level = Level.RED) -> AlertState:
        """Keep an open alert in the west."""
        state = AlertState("west", level, DAY, told=frozenset({"road:r1"}))
        before = alerts.find_alerts(conn, self.region)
        change = AlertChange("west", DAY, kind, Level.NONE, level, ())
        alerts.record_alerts(conn, self.region, before, before | {"west": state}, [change], {DAY: run_id}, DAY)
        return state


@pytest.fixture
def world(make_region: Callable[..., Region], tmp_path: Path) -> World:
    subscribers = (
        {"name": "duty officer", "channel": "email", "address": "duty@example.org"},
        {"name": "west office", "channel": "webhook", "address": "http://127.0.0.1:9/west", "areas": ("west",)},
        {"name": "east office", "channel": "email", "address": "east@example.org", "areas": ("east",)},
    )
    return World(
        make_region(subscribers=subscribers),
        roads=frame(
            [LineString([(X - 3000, Y), (X + 3000, Y)]), LineString([(X - 3000, Y - 1500), (X + 3000, Y - 1500)])],
            id=["r1", "r2"],
            name=["Long Road", None],
            ref=["I-1", None],
        ),
        settlements=frame(
            [rectangle(-2000, 500, -1000, 1500), Point(X + 2000, Y + 1000)],
            id=["town", "hamlet"],
            name=["Town", "Hamlet"],
            population=[2000, float("nan")],
        ),
        warning_areas=frame([WEST, EAST], id=["west", "east"], name=["West", "East"]),
        folder=tmp_path,
    )


@pytest.fixture
def recorded(world: World, conn: Connection) -> World:
    world.record(conn)
    return world


@pytest.fixture
def copied_engine(copied_database_url: str) -> Iterator[Engine]:
    """A migrated database of the test's own."""
    engine = connect(copied_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def make_message() -> Callable[..., AlertMessage]:
    def make(area_id: str | None = "west", kind: Kind = Kind.OPEN, **overrides: object) -> AlertMessage:
        facts = {"level": Level.RED, "valid_day": DAY, "subject": "Red", "text": "Long", "html": "<p>Long"}
        extras = {"payload": {"level": "red"}, "map_png": b"\x89PNG\x00"}
        return AlertMessage(area_id, kind, **(facts | extras | overrides))

    return make
