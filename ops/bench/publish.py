"""How long a day takes to publish: `python ops/bench/publish.py`.

A made country of 200 km by 200 km: 500,000 roads, 50,000 settlements, 25 warning areas with crooked borders, 50,000
zones of 30 m cells, in a private PostGIS that is thrown away afterwards. In one run:

    exposure       from asset table to exposure table: roads, settlements, totals
    GeoPandas      the same for roads alone: read them from PostGIS, overlay, measure, write back; no warning areas
    next day       5 % of the zones have moved by one cell; the rest is carried over
    publish        100,000 zones: `store.publish`, from GeoDataFrame to exposure and totals; the day after, with lineage
    views          each, with a year of daily runs

Seconds on a wall clock. On a machine that others work on too, only the ratio to the peer, in the same run, says
anything.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from shapely import box
from sqlalchemy import Connection, Engine, text

from lswarn.db import assets, exposure, inputs, server, store, tables
from lswarn.db.engine import connect, copy_rows, migrate, transaction
from lswarn.hazard.assess import Assessment
from lswarn.rain.grade import Grade
from lswarn.region import Region

CRS, SRID = "EPSG:32616", 32616
WEST_M, SOUTH_M, SIDE_M, CELL_M = 300_000.0, 3_900_000.0, 200_000.0, 30.0
DAY, NOW = date(2026, 1, 1), datetime(2026, 1, 2, tzinfo=UTC)
TO_DEGREES = Transformer.from_crs(SRID, 4326, always_xy=True)
AREAS_A_SIDE = 5


def degrees(shapes: NDArray[Any]) -> NDArray[Any]:
    """Metric shapes in degrees."""
    lon, lat = TO_DEGREES.transform(*shapely.get_coordinates(shapes).T)
    return shapely.set_coordinates(shapes.copy(), np.column_stack([lon, lat]))


def make_roads(count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Crooked lines of six points, 300 m on average, anywhere."""
    first = rng.uniform((WEST_M, SOUTH_M), (WEST_M + SIDE_M, SOUTH_M + SIDE_M), (count, 2))
    bearing = rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(rng.normal(0, 0.4, (count, 5)), 1)
    step = rng.exponential(60, (count, 1, 1)) + 2
    steps = np.stack([np.cos(bearing), np.sin(bearing)], -1) * step
    path = np.concatenate([first[:, None], first[:, None] + np.cumsum(steps, 1)], 1)
    return degrees(shapely.multilinestrings(shapely.linestrings(path).reshape(-1, 1)))


def make_settlements(count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Rectangles, anywhere."""
    left, bottom = rng.uniform((WEST_M, SOUTH_M), (WEST_M + SIDE_M, SOUTH_M + SIDE_M), (count, 2)).T
    wide, high = rng.uniform(50, 400, (2, count))
    shapes = degrees(shapely.box(left, bottom, left + wide, bottom + high))
    return shapely.multipolygons(shapes.reshape(-1, 1))


def make_areas(rng: np.random.Generator) -> NDArray[Any]:
    """Warning areas side by side; their borders are crooked, and the same from both sides."""
    ends = np.linspace(0, SIDE_M, AREAS_A_SIDE + 1)
    along = np.linspace(0, SIDE_M, 40 * AREAS_A_SIDE + 1)
    across = [end + rng.normal(0, 300, len(along)) * (0 < end < SIDE_M) for end in ends]
    strips = [
        shapely.Polygon([*zip(along, low, strict=True), *zip(along[::-1], high[::-1], strict=True)])
        for low, high in pairwise(across)
    ]
    cuts = [box(left, -1e5, right, SIDE_M + 1e5) for left, right in pairwise(ends)]
    areas = np.array([strip & cut for strip in strips for cut in cuts])
    moved = shapely.transform(areas, lambda points: points + np.array([WEST_M, SOUTH_M]))
    return shapely.multipolygons(degrees(moved).reshape(-1, 1))


def make_zones(count: int, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Connected cells, apart from each other, in metres, from north to south as `hazard.zones` has them."""
    kinds = np.array([_walk(rng) for _ in range(500)])
    side = int(np.ceil(np.sqrt(count)))
    place = rng.permutation(side * side)[:count]
    corner = np.column_stack([place % side, place // side]) * (SIDE_M / side) + (WEST_M, SOUTH_M)
    corner = np.round(corner / CELL_M) * CELL_M
    shapes = kinds[rng.integers(0, len(kinds), count)]
    points = np.repeat(corner, shapely.get_num_coordinates(shapes), axis=0)
    shapes = shapely.set_coordinates(shapes, shapely.get_coordinates(shapes) + points)
    bounds = shapely.bounds(shapes)
    return _zones(shapes[np.lexsort((bounds[:, 0], -bounds[:, 3]))], rng)


def _walk(rng: np.random.Generator) -> shapely.Polygon:
    """Cells that somebody comes by who wanders about in a square of 12."""
    at, seen = np.array([6, 6]), set()
    for _ in range(rng.integers(20, 140)):
        seen.add(tuple(at))
        at[rng.integers(2)] += rng.choice([-1, 1])
        at = at.clip(0, 11)
    return shapely.union_all([box(x * CELL_M, y * CELL_M, (x + 1) * CELL_M, (y + 1) * CELL_M) for x, y in seen])


def _zones(shapes: NDArray[Any], rng: np.random.Generator) -> gpd.GeoDataFrame:
    facts = {
        "class": rng.integers(4, 6, len(shapes)),
        "area_m2": shapely.area(shapes),
        "probability_mean": 0.5,
        "probability_max": 0.6,
    }
    return gpd.GeoDataFrame(facts, geometry=shapes, crs=CRS)


def next_day(zones: gpd.GeoDataFrame, share: float, rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Some zones have moved by one cell."""
    moved = rng.choice(len(zones), round(share * len(zones)), replace=False)
    shapes = zones.geometry.to_numpy().copy()
    shapes[moved] = shapely.transform(shapes[moved], lambda points: points + CELL_M)
    return zones.set_geometry(shapes, crs=CRS)


@dataclass(frozen=True)
class Bench:
    """The country in its database.

    Attributes:
        classes: a small class map: what is in it does not matter here.
    """

    engine: Engine
    region: Region
    classes: Path

    def assessment(self, zones: gpd.GeoDataFrame, day: date) -> Assessment:
        """What `hazard.assess` would hand over."""
        nothing: dict[str, list[float]] = {"rain_mm": [], "critical_mm": [], "safety_factor": [], "lower_bound": []}
        return Assessment(
            region=self.region.name,
            day=day,
            lead_days=0,
            key=f"{day} {len(zones)}",
            grade=Grade.A,
            measure="sum",
            measure_title="rain in 7 days",
            model_id="net",
            rain=(),
            missing=(),
            classes=self.classes,
            probability=self.classes,
            digests={self.classes.name: "c"},
            zones=zones.to_crs(4326),
            exceedances=gpd.GeoDataFrame(nothing, geometry=[], crs=4326),
            class_areas=pd.DataFrame({"area_id": [], "class": [], "area_m2": []}),
            area_rain=pd.DataFrame({"area_id": [], "rain_mm": [], "critical_mm": [], "known": []}),
        )

    def publish(self, conn: Connection, found: Assessment) -> int:
        """As the line does."""
        return store.publish(conn, self.region, found, software="bench", published_at=NOW).run_id


def timed(work: Callable[..., Any], *facts: Any) -> tuple[float, Any]:
    """Do it, and tell the seconds it took."""
    begin = time.perf_counter()
    result = work(*facts)
    return time.perf_counter() - begin, result


def show(what: str, seconds: float, note: str = "") -> None:
    """One line of the table."""
    print(f"{what:52s} {seconds:8.3f} s  {note}", flush=True)


def load(bench: Bench, roads: int, settlements: int, rng: np.random.Generator) -> None:
    """Fill the tables, past `record_assets`, which proves every feature and takes its time."""
    with transaction(bench.engine, bench.region) as conn:
        assets.record_region(conn, bench.region, "assets")
        inputs.record_model(conn, bench.region, "net", path=Path("net.pt"), snapshot_id="s", metrics={}, made_at=NOW)
        plain = ["region", "source_id", "geometry"]
        for table, columns, shapes, values in (
            (tables.road, ["length_m"], make_roads(roads, rng), [300.0]),
            (tables.settlement, ["area_m2", "population"], make_settlements(settlements, rng), [50_000.0, 100]),
            (tables.warning_area, ["name"], make_areas(rng), ["Area"]),
        ):
            wkb = shapely.to_wkb(shapely.set_srid(shapes, 4326), hex=True, include_srid=True)
            rows = ((bench.region.name, str(i), shape, *values) for i, shape in enumerate(wkb))
            copy_rows(conn, table, plain + columns, rows)
            conn.execute(text(f"ANALYZE lswarn.{table.name}"))


def peer(bench: Bench, zones: gpd.GeoDataFrame) -> int:
    """The obvious way: read, overlay, measure, write back."""
    with transaction(bench.engine) as conn:
        query = "SELECT id AS road_id, geometry FROM lswarn.road WHERE retired_at IS NULL"
        roads = gpd.read_postgis(query, conn, geom_col="geometry", crs=4326)
        cut = gpd.overlay(roads, zones, how="intersection", keep_geom_type=True)
        cut["length_m"] = cut.geometry.to_crs(CRS).length
        cut.to_postgis("peer_exposure", conn, if_exists="replace", index=False)
    return len(cut)


def year(conn: Connection, run_id: int, zones: int) -> None:
    """A year of runs before one that is there, each with shapes of its own and all that lies in them."""
    facts = {"run_id": run_id, "zones": zones}
    for statement in (
        """INSERT INTO lswarn.run (region, valid_day, key, status, grade, model_id, rain, missing, rules_digest,
                                   assets_digest, software, rasters, published_at)
           SELECT region, valid_day - back, 'year', status, grade, model_id, rain, missing, rules_digest,
                  assets_digest, software, rasters, published_at - back * interval '1 day'
           FROM lswarn.run, generate_series(1, 365) AS back WHERE id = :run_id""",
        """CREATE TEMPORARY TABLE day ON COMMIT DROP AS
           SELECT nextval(pg_get_serial_sequence('lswarn.zone_shape', 'id')) AS shape_id, run.id AS run_id, zone.*
           FROM lswarn.run
           CROSS JOIN (SELECT shape_id AS of_id, class, area_m2, probability_mean, probability_max
                       FROM lswarn.run_zone WHERE run_id = :run_id LIMIT :zones) AS zone
           WHERE key = 'year'""",
        """INSERT INTO lswarn.zone_shape (id, region, digest, geometry)
           OVERRIDING SYSTEM VALUE
           SELECT shape_id, region, gen_random_uuid(), geometry
           FROM day JOIN lswarn.zone_shape AS shape ON shape.id = of_id""",
        """INSERT INTO lswarn.run_zone (run_id, shape_id, class, area_m2, probability_mean, probability_max)
           SELECT run_id, shape_id, class, area_m2, probability_mean, probability_max FROM day""",
        """INSERT INTO lswarn.road_part (shape_id, number, road_id, area_id, length_m, geometry)
           SELECT day.shape_id, number, road_id, area_id, length_m, geometry
           FROM day JOIN lswarn.road_part AS part ON part.shape_id = of_id""",
        """INSERT INTO lswarn.settlement_part
               (shape_id, number, settlement_id, area_id, area_m2, area_share, people, geometry)
           SELECT day.shape_id, number, settlement_id, area_id, part.area_m2, area_share, people, geometry
           FROM day JOIN lswarn.settlement_part AS part ON part.shape_id = of_id""",
        """INSERT INTO lswarn.exposure_total
               (run_id, area_id, class, roads, road_m, settlements, people, settlements_uncounted)
           SELECT run.id, area_id, class, roads, road_m, settlements, people, settlements_uncounted
           FROM lswarn.exposure_total CROSS JOIN lswarn.run WHERE key = 'year' AND run_id = :run_id""",
    ):
        conn.execute(text(statement), facts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roads", type=int, default=500_000)
    parser.add_argument("--zones", type=int, default=50_000)
    parser.add_argument("--settlements", type=int, default=50_000)
    parser.add_argument("--published", type=int, default=100_000, help="zones of the day that is published whole")
    parser.add_argument("--year-zones", type=int, default=1000, help="of each day of the year")
    asked = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder) / "var"
        try:
            url = server.start(var)
            migrate(url)
            _run(Bench(connect(url), _region(Path(folder)), _class_map(Path(folder))), asked, rng)
        finally:
            server.stop(var)


def _run(bench: Bench, asked: argparse.Namespace, rng: np.random.Generator) -> None:
    print(f"{asked.roads:,} roads, {asked.settlements:,} settlements, {asked.zones:,} zones")
    zones, more = make_zones(asked.zones, rng), make_zones(asked.published, rng)
    show("(the country into its database)", timed(load, bench, asked.roads, asked.settlements, rng)[0])
    took: list[float] = []  # seconds of exposure, of each publish
    record = exposure.record_exposure

    def record_and_time(*facts: Any) -> exposure.Exposure:
        seconds, found = timed(record, *facts)
        took.append(seconds)
        return found

    vars(store)["record_exposure"] = record_and_time
    with transaction(bench.engine, bench.region) as conn:
        run_id = bench.publish(conn, bench.assessment(zones, DAY))
        found = exposure.find_exposure(conn, run_id)
    show("exposure: roads, settlements, totals", took[0], f"{found.roads:,} roads hit")
    seconds, rows = timed(peer, bench, zones.to_crs(4326))
    show("GeoPandas: roads alone", seconds, f"{rows:,} stretches; {seconds / took[0]:.1f} times as long")
    with transaction(bench.engine, bench.region) as conn:
        bench.publish(conn, bench.assessment(next_day(zones, 0.05, rng), DAY + timedelta(days=1)))
    show("exposure of a day with 5 % of the zones changed", took[1], f"{took[0] / took[1]:.1f} times as fast")
    with transaction(bench.engine, bench.region) as conn:
        some, again = next_day(more, 0.5, rng), next_day(more, 0.0, rng)
        for day, those, what in (
            (2, more, "all of them new"),
            (3, some, "half of them changed"),
            (4, next_day(some, 0.05, rng), "5 % of them changed"),
            (5, again, "all seen before"),
        ):
            found_then = bench.assessment(those, DAY + timedelta(days=day))
            seconds, _ = timed(bench.publish, conn, found_then)
            show(f"publish {len(those):,} zones, {what}", seconds, f"of it exposure {took[-1]:.3f} s")
        conn.rollback()
    with transaction(bench.engine, bench.region) as conn:
        year(conn, run_id, asked.year_zones)
    with bench.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
        conn.execute(text("VACUUM ANALYZE"))
        views = text("SELECT viewname FROM pg_views WHERE schemaname = 'lswarn' ORDER BY viewname")
        for view in conn.execute(views).scalars().all():
            counted = text(f"SELECT count(*) FROM (SELECT * FROM lswarn.{view} OFFSET 0) AS rows")
            conn.execute(counted)
            seconds, answer = timed(conn.execute, counted)
            first, _ = timed(conn.execute, text(f"SELECT * FROM lswarn.{view} LIMIT 1000"))
            show(f"view {view}", seconds, f"{answer.scalar():,} rows; the first 1,000 in {first:.3f} s")


def _region(folder: Path) -> Region:
    west, south, east, north = TO_DEGREES.transform_bounds(WEST_M, SOUTH_M, WEST_M + SIDE_M, SOUTH_M + SIDE_M)
    file = {name: folder / f"{name}.gpkg" for name in ("dem", "rock", "roads", "towns", "areas", "inventory")}
    derive, constant = {"derive": True}, {"constant": 1.0}
    return Region.model_validate(
        {
            "name": "bench",
            "title": "Made country",
            "bbox": (west, south, east, north),
            "crs": CRS,
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
                "roads": {"file": file["roads"], "id": "id"},
                "settlements": {"file": file["towns"], "id": "id"},
                "warning_areas": {"file": file["areas"], "id": "id", "name": "name"},
            },
            "inventory": {"file": file["inventory"], "id": "id", "date": "date"},
            "rain": {
                "sources": [{"product": "IMERG-Late", "at": str(folder / "late"), "latency_h": 15}],
                "threshold": {"constant_mm": 100.0, "source": "made"},
            },
        }
    )


def _class_map(folder: Path) -> Path:
    path = folder / "classes.tif"
    at = Affine(CELL_M, 0, WEST_M, 0, -CELL_M, SOUTH_M + SIDE_M)
    with rasterio.open(
        path, "w", driver="GTiff", height=256, width=256, count=1, dtype="uint8", crs=SRID, transform=at
    ) as file:
        file.write(np.ones((256, 256), np.uint8), 1)
    return path


if __name__ == "__main__":
    main()
