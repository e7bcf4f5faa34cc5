"""Cuts what was fetched to the region, and says of each what it could not give (door: disk).

A file that turns out damaged is deleted, so that the next try fetches it again.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.merge import merge
from shapely import box

from lswarn.errors import CorruptGranule, NotYetPublished, RegionError, SourceUnavailable, StorageFull
from lswarn.inventory import COLUMNS
from lswarn.osm import load_osm
from lswarn.prospect.catalogue import RIVERS
from lswarn.sources import Bounds, load_raw_vector

NODATA = -9999.0
PROFILE = {"driver": "GTiff", "tiled": True, "compress": "deflate"}
MARGIN_CELLS = 2
TOLD_BYTES = 4096
"""What an Overpass server says of its answer stands in so many bytes at its beginning and end."""

FARTHEST_DEG = 5.0
"""Faults farther than this are not looked for."""

INVENTORY = ("id", "date", "accuracy", "trigger", "source", "lon", "lat")


@contextmanager
def _whole(paths: Sequence[Path]) -> Iterator[None]:
    """Whoever reads here finds whole files, or is told and they are gone.

    Raises:
        CorruptGranule: they are not what they claim to be.
    """
    try:
        yield
    except (RasterioError, RegionError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the file
        for path in paths:
            path.unlink(missing_ok=True)
        names = ", ".join(path.name for path in paths)
        raise CorruptGranule(f"{names}: damaged, and deleted ({str(error).splitlines()[0]}); begin again") from error


def save_dem(tiles: Sequence[Path], out: Path, bounds: Bounds) -> None:
    """Lay tiles of elevations together and cut them out, on the cells of the first of them.

    Where there is no tile, elevations are unknown. Memory does not grow with the region.
    """
    for tile in tiles:
        with _whole([tile]), rasterio.open(tile) as raster:
            for _, window in raster.block_windows(1):
                raster.read(1, window=window)
    part = out.with_name(f"{out.name}.part")
    with _room(part), ExitStack() as opened:
        rasters = [opened.enter_context(rasterio.open(path)) for path in tiles]
        finest = min(rasters, key=lambda each: each.res[0])  # north of 50° tiles are coarser from west to east
        merge(
            rasters,
            bounds=_snapped(bounds, finest.transform),
            res=finest.res,
            nodata=NODATA,
            dtype="float32",
            resampling=Resampling.bilinear,
            mem_limit=64,
            dst_path=part,
            dst_kwds=PROFILE | {"predictor": 3, "blockxsize": 512, "blockysize": 512},
        )
    part.replace(out)


def save_climate(tiles: Sequence[Path], out: Path, bounds: Bounds, *, yearly: bool) -> None:
    """The year of twelve months: their sum, or their mean. A month that is unknown leaves the year unknown.

    Args:
        yearly: the sum; else the mean.
    """
    with _whole(tiles):
        months, transform = _merged(tiles, bounds)
        if len(months) != 12:
            raise ValueError(f"it has {len(months)} bands, and twelve months were expected")
        year = months.sum(axis=0) if yearly else months.mean(axis=0)
    _save_raster(out, year, transform)


def save_shaking(archive: Path, out: Path, bounds: Bounds) -> None:
    """The one raster of accelerations in an archive. Zero is where no hazard was worked out: unknown."""
    with _whole([archive]):
        with zipfile.ZipFile(archive) as files:
            names = [name for name in files.namelist() if not Path(name).name.startswith("._")]  # made by a Mac
            rasters = [name for name in names if name.lower().endswith((".tif", ".tiff"))]
        if len(rasters) != 1:
            raise ValueError(f"it holds {len(rasters)} rasters, and one was expected: {', '.join(rasters)}")
        (values,), transform = _merged([f"/vsizip/{archive}/{rasters[0]}"], bounds)
    _save_raster(out, np.where(values > 0, values, np.nan), transform)


def save_faults(source: Path, out: Path, bounds: Bounds, crs: str) -> float:
    """Faults of a box.

    Args:
        bounds: as far as a fault counts, degrees.
        crs: of the region.

    Returns:
        0 where there is one; else how far the nearest is from the middle of the box, m, and nothing is written: at
        least what `FARTHEST_DEG` means.
    """
    west, south, east, north = bounds
    wide = (west - FARTHEST_DEG, south - FARTHEST_DEG, east + FARTHEST_DEG, north + FARTHEST_DEG)
    with _whole([source]):
        faults = load_raw_vector(source, bbox=wide, context="faults")
    near = faults[faults.intersects(box(*bounds))]
    if near.empty:
        out.unlink(missing_ok=True)
        middle = gpd.GeoSeries([box(*bounds).centroid], crs=4326).to_crs(crs).iloc[0]
        return float(faults.to_crs(crs).distance(middle).min()) if len(faults) else FARTHEST_DEG * 111_000
    _save_vector(near[["geometry"]], out)
    return 0.0


def save_rivers(extract: Path, out: Path, bounds: Bounds) -> int:
    """Rivers and streams of an extract of OpenStreetMap; how many, and nothing is written where there are none."""
    lines = load_osm(extract, layer="lines", tags=["waterway", "name"], tagged="waterway", bbox=bounds, context="osm")
    lines = lines[lines["waterway"].isin(RIVERS)]
    if lines.empty:
        out.unlink(missing_ok=True)
    else:
        _save_vector(lines, out)
    return len(lines)


def require_extract(extract: Path) -> str:
    """See whether the answer of an Overpass server is whole; which state of the map it is of.

    Raises:
        SourceUnavailable: the server gave up in the middle, and says so at the end of what looks like an answer.
        CorruptGranule: it is cut off, or no extract.
    """
    with extract.open("rb") as file:
        head = file.read(TOLD_BYTES)
        file.seek(max(0, extract.stat().st_size - TOLD_BYTES))
        tail = file.read()
    if remark := re.search(rb"<remark>(.*?)</remark>", tail, re.DOTALL):
        extract.unlink()
        told = unescape(" ".join(remark[1].decode("utf-8", "replace").split()))
        raise SourceUnavailable(
            f"the server gave up: {told}; try again later, or give an extract: --file osm=….osm.pbf"
        )
    with _whole([extract]):
        if b"<osm" not in head or not tail.rstrip().endswith(b"</osm>"):
            raise ValueError("it is cut off, or no extract of OpenStreetMap")
    state = re.search(rb'osm_base="([^"]*)"', head)
    return state[1].decode() if state else ""


def find_level(extract: Path, bounds: Bounds, wanted: str | None) -> dict[str, int]:
    """How many areas of administration an extract has of each level; of one alone where it is wanted."""
    areas = load_osm(
        extract, layer="multipolygons", tags=["admin_level"], tagged="admin_level", bbox=bounds, context="osm"
    )
    counts = {str(level): int(n) for level, n in areas["admin_level"].value_counts().sort_index().items()}
    return {level: n for level, n in counts.items() if wanted in (None, level)}


def save_whole_area(out: Path, bbox: Bounds, name: str) -> None:
    """The box itself as the one warning area."""
    _save_vector(gpd.GeoDataFrame({"id": ["all"], "name": [name]}, geometry=[box(*bbox)], crs=4326), out)


def save_landslides(pages: Sequence[Path], out: Path) -> int:
    """Landslides of all pages in one table, their days as days and their ids apart; how many."""
    rows: list[dict[str, Any]] = []
    with _whole(pages):
        for path in pages:
            kind = path.name.split("-")[1]
            rows += [_landslide(each, kind) for each in json.loads(path.read_bytes())["features"] if each["geometry"]]
    table = pd.DataFrame(rows, columns=list(INVENTORY)).drop_duplicates("id")
    if table.empty:
        out.unlink(missing_ok=True)
        return 0
    part = out.with_name(f"{out.name}.part")
    table.to_csv(part, index=False)
    part.replace(out)
    return len(table)


def _landslide(feature: dict[str, Any], kind: str) -> dict[str, Any]:
    """One row, its fields under the names by which every inventory is recognised."""
    given = {str(name).lower(): value for name, value in feature["properties"].items()}
    row: dict[str, Any] = {
        meaning: next((given[name] for name in COLUMNS[meaning] if given.get(name) is not None), "")
        for meaning in ("id", "date", "accuracy", "trigger", "source")
    }
    if isinstance(row["date"], int | float):  # the server counts milliseconds
        row["date"] = datetime.fromtimestamp(row["date"] / 1000, UTC).date().isoformat()
    row["lon"], row["lat"] = feature["geometry"]["coordinates"][:2]
    return row | {"id": f"{kind}-{row['id']}"}


def _merged(paths: Sequence[Path | str], bounds: Bounds) -> tuple[NDArray[np.float64], Affine]:
    """All bands of small rasters, cut out, NaN where unknown; and where they lie."""
    with ExitStack() as opened:
        rasters: list[DatasetReader] = [opened.enter_context(rasterio.open(path)) for path in paths]
        cut = _snapped(bounds, rasters[0].transform)
        values, transform = merge(rasters, bounds=cut, masked=True, dtype="float64", nodata=NODATA)
        return np.ma.filled(values, np.nan), transform


def _snapped(bounds: Bounds, transform: Affine) -> Bounds:
    """The box in whole cells, a few more on each side: nothing is moved by part of a cell."""
    west, north = ~transform @ (bounds[0], bounds[3])
    east, south = ~transform @ (bounds[2], bounds[1])
    left, top = transform @ (np.floor(west) - MARGIN_CELLS, np.floor(north) - MARGIN_CELLS)
    right, bottom = transform @ (np.ceil(east) + MARGIN_CELLS, np.ceil(south) + MARGIN_CELLS)
    return left, bottom, right, top


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Whoever writes a raster here has room for it, or is told.

    Raises:
        StorageFull: it cannot be written.
    """
    try:
        yield
    except RasterioError as error:
        path.unlink(missing_ok=True)
        raise StorageFull(f"{path}: cannot be written ({error}); is there room? What was fetched stays") from error


def _save_raster(out: Path, values: NDArray[np.float64], transform: Affine) -> None:
    if not np.isfinite(values).any():
        raise NotYetPublished("it holds nothing of this region")
    height, width = values.shape
    part = out.with_name(f"{out.name}.part")
    shape = {"height": height, "width": width, "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": np.nan}
    with _room(part), rasterio.open(part, "w", **PROFILE, **shape, transform=transform) as file:
        file.write(values.astype(np.float32), 1)
    part.replace(out)


def _save_vector(frame: gpd.GeoDataFrame, out: Path) -> None:
    part = out.with_name(f"{out.stem}.part.gpkg")
    part.unlink(missing_ok=True)
    frame.to_file(part, layer=re.sub(r"\W", "_", out.stem), driver="GPKG", engine="pyogrio")
    part.replace(out)
