"""The demo world on disk: terrain, what lies on it, past landslides, rain granules and region.toml (door: disk).

Real are the terrain (SRTM, as it ships with matplotlib) and the names and places of four towns. All else is made, from
a seed: rock, faults, normals, shaking, the towns' outlines, the courses of the roads, the warning areas, the landslides
(by the hidden truth of `truth`, under the past rain of `storms`) and the rain.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from matplotlib.cbook import get_sample_data
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import shapes
from rasterio.transform import from_bounds
from rasterio.warp import Resampling, reproject
from scipy.ndimage import distance_transform_edt, gaussian_filter
from shapely import LineString, MultiLineString, Point, Polygon, box, polygonize
from shapely.geometry import shape
from shapely.ops import unary_union
from skimage.graph import MCP_Geometric, route_through_array

from lswarn.demo import places, storms, truth
from lswarn.demo.granules import save_granules
from lswarn.grid import Grid, sample

BBOX = (-84.41375, 36.15958, -84.07792, 36.44625)
"""True extent of the terrain, degrees; the latitudes in the file's own metadata are wrong."""
CRS = "EPSG:32616"
STAMP = "world.json"
MADE = (
    "Demo world. Real: the terrain (SRTM) and the names and places of the four towns. Made from a seed: the rain, past "
    "landslides, rock, faults, climate, shaking, outlines of towns, courses of roads and borders of warning areas."
)


@dataclass(frozen=True)
class World:
    """Where the demo world lies.

    Attributes:
        region_toml: loadable by `region.load_region`.
        granules: root folder of the rain, for `granules.load_published`.
        days: the ten days. training_days: last days of the weeks to learn from, quiet ones included.
        rain_days: every day whose granule these need, oldest first.
        dem: the terrain, for pictures.
        events: the landslides of the ten days, which nobody knows of before they are over.
    """

    region_toml: Path
    granules: Path
    days: tuple[date, ...]
    training_days: tuple[date, ...]
    rain_days: tuple[date, ...]
    dem: Path
    events: Path


def make_world(
    folder: Path, *, rain: places.Addresses, webhook_url: str, seed: int = 7, resolution_m: float = 30.0
) -> World:
    """Write the demo world, or find it already written by this very code with this seed.

    Args:
        rain: where its rain is served from.
        webhook_url: where the made webhook subscriber listens.
        resolution_m: cell size; coarser is quicker.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made_of = {"code": _code_digest(), "seed": seed, "resolution_m": resolution_m}
    stamp = folder / STAMP
    if not stamp.exists() or json.loads(stamp.read_text("utf-8")) != made_of:
        stamp.unlink(missing_ok=True)  # a half-written world has none, and is written again
        _write_world(folder, seed, resolution_m)
        stamp.write_text(json.dumps(made_of), "utf-8")
    toml = places.region_toml(BBOX, CRS, resolution_m, MADE, rain=rain, webhook_url=webhook_url)
    (folder / "region.toml").write_text(toml, "utf-8")
    return World(
        region_toml=folder / "region.toml",
        granules=folder / "granules",
        days=storms.DAYS,
        training_days=storms.TRAINING_DAYS,
        rain_days=storms.rain_days(),
        dem=folder / "dem.tif",
        events=folder / "events.gpkg",
    )


def _code_digest() -> str:
    """Turning a constant anywhere in this room makes another world."""
    rooms = ("world", "places", "storms", "granules", "layouts", "geotiffs", "gribs", "axes", "truth")
    sources = (Path(__file__).with_name(f"{name}.py") for name in rooms)
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _write_world(folder: Path, seed: int, resolution_m: float) -> None:
    grid = Grid.from_bbox(BBOX, CRS, resolution_m)
    land = make_land(grid, seed)
    _save_raster(folder / "dem.tif", land.dem, grid.transform, CRS)
    _save_climate(folder, land, grid, seed)
    save_granules(folder / "granules", seed)
    for name, features in {
        "rock": _rock_polygons(land.rock, grid),
        "faults": _lines(places.FAULTS),
        "towns": _towns(land.dem, grid),
        "roads": _roads(land.dem, grid),
        "areas": warning_areas(),
        "thresholds": _threshold_zones(),
        "inventory": _inventory(land.ground, grid, seed),
        "events": _events(land.ground, grid, seed),
    }.items():
        features.to_file(folder / f"{name}.gpkg", layer=name, driver="GPKG", engine="pyogrio")


@dataclass(frozen=True)
class Land:
    """Whole-world arrays: elevation m (NaN outside the terrain), rock codes everywhere, and the hidden ground."""

    dem: NDArray[np.float32]
    rock: NDArray[np.uint8]
    ground: truth.Ground


def make_land(grid: Grid, seed: int) -> Land:
    """Warp the terrain to the grid and lay made rock under it."""
    rng = np.random.default_rng(seed)
    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as file:
        srtm = file["elevation"].astype(np.float32)
    dem = np.full(grid.shape, np.nan, np.float32)
    reproject(
        srtm,
        dem,
        src_transform=from_bounds(*BBOX, srtm.shape[1], srtm.shape[0]),
        src_crs="EPSG:4326",
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=Resampling.cubic_spline,
    )
    # Beds dip with elevation, waver, and end against a valley of dolomite.
    height = gaussian_filter(_filled(dem), 600 / grid.resolution_m)
    waver = gaussian_filter(rng.standard_normal(grid.shape), 1500 / grid.resolution_m)
    bed = height + 90 * waver / waver.std()
    rock = np.select([bed < 350, bed < 480, bed < 640], [1, 2, 3], 4).astype(np.uint8)
    return Land(dem, rock, truth.make_ground(dem, grid.transform, rock, rng))


def _filled(dem: NDArray[np.float32]) -> NDArray[np.float32]:
    """The terrain carried on beyond its edge, so that what is made of it covers the whole grid."""
    nearest = distance_transform_edt(np.isnan(dem), return_distances=False, return_indices=True)
    return np.asarray(dem[tuple(nearest)])


def _inventory(ground: truth.Ground, grid: Grid, seed: int) -> gpd.GeoDataFrame:
    """Past landslides, week by week, as the hidden truth lets them happen."""
    rows = []
    for week in storms.TRAINING_DAYS:
        rain = sample(storms.weekly_rain(week, seed), grid, grid.whole)
        patches = truth.landslides(
            truth.failure_probability(ground, rain), np.random.default_rng((seed, week.toordinal()))
        )
        found = sorted(shapes(patches, patches > 0, connectivity=4, transform=grid.transform), key=lambda s: s[1])
        rows += [{"id": f"{week}-{n:04.0f}", "date": week.isoformat(), "geometry": shape(s)} for s, n in found]
    return gpd.GeoDataFrame(rows, crs=CRS)


def _events(ground: truth.Ground, grid: Grid, seed: int) -> gpd.GeoDataFrame:
    """Landslides of the ten days. A slope has one chance for all of them: it goes on the first day that is too much."""
    rows, gone = [], np.zeros(grid.shape, bool)
    for day in storms.DAYS:
        rain = sample(storms.weekly_rain(day, seed), grid, grid.whole)
        chance = np.random.default_rng((seed, storms.FIRST_DAY.toordinal()))
        patches = truth.landslides(truth.failure_probability(ground, rain), chance)
        old = np.unique(patches[gone])
        fresh = np.where(np.isin(patches, old), 0, patches)
        gone |= patches > 0
        found = sorted(shapes(fresh, fresh > 0, connectivity=4, transform=grid.transform), key=lambda s: s[1])
        rows += [{"id": f"{day}-{n:04.0f}", "date": day.isoformat(), "geometry": shape(s)} for s, n in found]
    return gpd.GeoDataFrame(rows, crs=CRS)


def _rock_polygons(rock: NDArray[np.uint8], grid: Grid) -> gpd.GeoDataFrame:
    rows = [
        {"code": int(code), "name": truth.ROCKS[int(code)].name, "geometry": shape(polygon)}
        for polygon, code in shapes(rock, transform=grid.transform)
    ]
    return gpd.GeoDataFrame(rows, crs=CRS).dissolve("code", as_index=False)


def _save_climate(folder: Path, land: Land, grid: Grid, seed: int) -> None:
    """The rainfall normal (mm/year) and the shaking (g), on coarse degree grids a little wider than the region."""
    rng = np.random.default_rng((seed, 1))
    west, south, east, north = (edge + margin for edge, margin in zip(BBOX, (-0.05, -0.05, 0.05, 0.05), strict=True))
    for name, step in (("normals", 0.01), ("seismic", 0.02)):
        height, width = round((north - south) / step), round((east - west) / step)
        transform = from_bounds(west, south, east, north, width, height)
        noise = gaussian_filter(rng.standard_normal((height, width)), 5)
        if name == "normals":  # wetter on the heights
            relief = np.zeros((height, width), np.float32)
            reproject(
                _filled(land.dem), relief, src_transform=grid.transform, src_crs=grid.crs, dst_transform=transform,
                dst_crs="EPSG:4326", resampling=Resampling.average,
            )  # fmt: skip
            values = 1180 + 0.45 * gaussian_filter(np.where(relief > 0, relief, np.nanmean(land.dem)), 2) + 900 * noise
        else:  # stronger towards the south-east
            lat, lon = np.mgrid[0:height, 0:width]
            values = 0.07 + 0.05 * (lat / height + lon / width) / 2 + 0.05 * noise
        _save_raster(folder / f"{name}.tif", values.astype(np.float32), transform, "EPSG:4326")


def _towns(dem: NDArray[np.float32], grid: Grid) -> gpd.GeoDataFrame:
    """Outlines: the ground that is easiest to reach from the town's centre, as much of it as its people need."""
    ease, coarse = _ease(dem, grid, places.TOWN_STEEPNESS)
    rows = []
    for town in places.TOWNS:
        cost = MCP_Geometric(ease).find_costs([_cell(town.lon, town.lat, coarse)])[0]
        cells = round(town.km2 * 1e6 / coarse.cell_m2)
        reached = cost <= np.partition(cost.ravel(), cells)[cells]
        polygons = [shape(s) for s, _ in shapes(reached.astype(np.uint8), reached, transform=coarse.transform)]
        outline = unary_union(polygons).buffer(60).buffer(-60).simplify(20)
        rows.append({"id": town.id, "name": town.name, "population": town.population, "geometry": outline})
    return gpd.GeoDataFrame(rows, crs=CRS)


def _roads(dem: NDArray[np.float32], grid: Grid) -> gpd.GeoDataFrame:
    """Least-cost paths over the real terrain from place to place, one feature a leg."""
    rows = []
    for road in places.ROADS:
        ease, coarse = _ease(dem, grid, places.ROAD_STEEPNESS[road.kind])
        for number, leg in enumerate(zip(road.through, road.through[1:], strict=False), 1):
            cells, _ = route_through_array(ease, *(_cell(lon, lat, coarse) for lon, lat in leg))
            course = LineString([coarse.transform @ (col + 0.5, row + 0.5) for row, col in cells])
            row = {"id": f"{road.id}-{number}", "name": road.name, "ref": road.ref, "class": road.kind}
            rows.append(row | {"geometry": _rounded(course.simplify(45))})
    return gpd.GeoDataFrame(rows, crs=CRS)


def _ease(dem: NDArray[np.float32], grid: Grid, steepness_deg: float) -> tuple[NDArray[np.float64], Grid]:
    """Cost of crossing a cell of about 90 m, 1 on flat ground and growing with slope; infinite off the terrain."""
    step = max(1, round(90 / grid.resolution_m))
    rows, cols = (n // step * step for n in grid.shape)
    thinned = dem[:rows, :cols].reshape(rows // step, step, cols // step, step).mean(axis=(1, 3))
    coarse = Grid(grid.crs, grid.transform @ Affine.scale(step), *thinned.shape)
    slope = np.degrees(np.arctan(np.hypot(*np.gradient(thinned, coarse.resolution_m))))
    return np.where(np.isnan(slope), np.inf, 1 + (slope / steepness_deg) ** 2), coarse


def _cell(lon: float, lat: float, grid: Grid) -> tuple[int, int]:
    x, y = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(lon, lat)
    col, row = ~grid.transform @ (x, y)
    return int(row), int(col)


def _rounded(line: LineString) -> LineString:
    """Corners cut twice (Chaikin 1974), ends kept: a road, not a staircase."""
    for _ in range(2):
        points = np.array(line.coords)
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1)
        line = LineString([points[0], *cut.reshape(-1, 2), points[-1]])
    return line


def warning_areas() -> gpd.GeoDataFrame:
    """The box, cut along the divides: areas without gaps or overlaps, named by a point inside."""
    cuts = unary_union([box(*BBOX).exterior, *(LineString(line).intersection(box(*BBOX)) for line in places.DIVIDES)])
    pieces = list(polygonize(list(cuts.geoms)).geoms)
    rows = [
        {"id": id_, "name": name, "geometry": next(p for p in pieces if p.contains(Point(inside)))}
        for id_, name, inside in places.AREAS
    ]
    return gpd.GeoDataFrame(rows, crs="EPSG:4326")


def _threshold_zones() -> gpd.GeoDataFrame:
    """Critical rainfall: mountains and valley, out to where the outermost rain cells have their centres."""
    around, valley = box(*BBOX).buffer(0.3, join_style="mitre"), Polygon(places.VALLEY)
    mountains_mm, valley_mm = places.CRITICAL_MM
    zones = {"mountains": (around - valley, mountains_mm), "valley": (around & valley, valley_mm)}
    made = {"source": "made for the demo", "date": "2026-03"}
    rows = [{"name": name, "critical_mm": mm, "geometry": zone} | made for name, (zone, mm) in zones.items()]
    return gpd.GeoDataFrame(rows, crs="EPSG:4326")


def _lines(lines: Sequence[Sequence[tuple[float, float]]]) -> gpd.GeoDataFrame:
    rows = [{"id": f"F{n}", "geometry": MultiLineString([line])} for n, line in enumerate(lines, 1)]
    return gpd.GeoDataFrame(rows, crs="EPSG:4326")


def _save_raster(path: Path, values: NDArray[np.float32], transform: Affine, crs: str) -> None:
    height, width = values.shape
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": height, "width": width, "crs": crs}
    tiled = {"tiled": True, "compress": "deflate", "predictor": 3, "nodata": np.nan, "transform": transform}
    with rasterio.open(path, "w", **profile, **tiled) as file:
        file.write(values, 1)
