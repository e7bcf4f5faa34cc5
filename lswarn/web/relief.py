"""The ground under the map: hills shaded from the region's own terrain, for no map is fetched from elsewhere.

    /tiles/{region}/relief/{z}/{x}/{y}.png      256 × 256, black in shadow and white in light, transparent where level

It goes over whatever is drawn of a day, and says nothing of landslides: without terrain it shows level ground.
"""

import hashlib
import io
import logging
import math
import os
from pathlib import Path
from threading import Lock
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from morecantile import Tile
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import RasterioError
from rio_tiler.errors import RioTilerError, TileOutsideBounds
from rio_tiler.io import Reader

from lswarn.settings import Settings
from lswarn.web.deps import Config
from lswarn.web.painting import TILE
from lswarn.web.problems import Problem
from lswarn.web.rasters import MERCATOR, inside
from lswarn.web.tiles import At, Name, find_standing

log = logging.getLogger(__name__)
router = APIRouter(tags=["tiles"])

MAX_ZOOM = 15
"""Beyond it a browser stretches what it has: the terrain has 30 m a cell."""
KEEP = "public, max-age=3600"
SOON = "public, max-age=60"
SUN_FROM_DEG, SUN_HEIGHT_DEG = 315.0, 45.0
STYLE = 1
"""Raised whenever the same terrain would give another picture."""
_AT_ONCE = Lock()

Zoom = Annotated[int, InPath(ge=0, le=MAX_ZOOM)]


@router.get(
    "/{region}/relief/{z}/{x}/{y}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: {}},
)
def relief(request: Request, settings: Config, region: Name, z: Zoom, x: At, y: At) -> Response:
    """A picture of the hills; level where the terrain of the region is not on this machine."""
    if max(x, y) >= 2**z:
        raise Problem(404, f"there is no tile {z}/{x}/{y}: at zoom {z}, x and y go up to {2**z - 1}")
    area, _ = find_standing(settings, region, "newest")
    path = terrain_of(settings, area.name)
    try:
        told = path.stat()
        version = hashlib.sha256(f"{STYLE} {told.st_mtime_ns} {told.st_size} {area.box}".encode()).hexdigest()[:20]
        headers = {"ETag": f'"{version}"', "Cache-Control": KEEP}
        if request.headers.get("if-none-match", "").removeprefix("W/") == f'"{version}"':
            return Response(status_code=304, headers=headers)
        lighter = shade(*load_heights(path, z, x, y)) * inside(area.box, z, x, y)
    except (OSError, RasterioError, RioTilerError) as error:
        log.debug("region %s has no terrain here: %s", region, error)
        lighter, headers = np.zeros((TILE, TILE), np.float32), {"Cache-Control": SOON}
    return Response(to_png(lighter), media_type="image/png", headers=headers)


def terrain_of(settings: Settings, region: str) -> Path:
    """Where the factor stack keeps the terrain of a region."""
    return settings.region_dir(region) / "factors" / "dem.tif"


def load_heights(path: Path, z: int, x: int, y: int) -> tuple[NDArray[np.float32], float]:
    """Heights of a tile with a pixel more on each side, m [258, 258], NaN where unknown; and the side of a pixel, m.

    Raises:
        OSError, RasterioError, RioTilerError: the file cannot be read.
    """
    tile = Tile(x, y, z)
    bounds, box = MERCATOR.bounds(tile), MERCATOR.xy_bounds(tile)
    pixel_m = (box.right - box.left) / TILE * math.cos(math.radians((bounds.top + bounds.bottom) / 2))
    nothing = np.full((TILE + 2, TILE + 2), np.nan, np.float32)
    with _AT_ONCE, Reader(os.fspath(path), tms=MERCATOR) as reader:
        try:
            image = reader.tile(
                x, y, z, tilesize=TILE, buffer=1, resampling_method="bilinear", reproject_method="bilinear"
            )
        except TileOutsideBounds:
            return nothing, pixel_m
    return np.where(image.mask > 0, image.data[0], nothing).astype(np.float32), pixel_m


def shade(heights_m: NDArray[np.float32], pixel_m: float) -> NDArray[np.float32]:
    """How much lighter than level ground each pixel is, [h - 2, w - 2]: below 0 in shadow, 0 where unknown.

    Lambert's law, with one sun. Hills are made steeper the wider a pixel is, for smoothing has made them flatter.
    """
    steeper = (max(pixel_m, 30.0) / 30.0) ** 0.35 * 1.4
    down = (heights_m[2:, 1:-1] - heights_m[:-2, 1:-1]) * steeper / (2 * pixel_m)
    right = (heights_m[1:-1, 2:] - heights_m[1:-1, :-2]) * steeper / (2 * pixel_m)
    azimuth, height = math.radians(SUN_FROM_DEG), math.radians(SUN_HEIGHT_DEG)
    east, north, up = math.sin(azimuth) * math.cos(height), math.cos(azimuth) * math.cos(height), math.sin(height)
    light = (up - right * east + down * north) / np.sqrt(1 + right**2 + down**2)
    return np.nan_to_num(np.maximum(light, 0) - up).astype(np.float32)


def to_png(lighter: NDArray[np.float32]) -> bytes:
    """A picture to be laid over others: white where it is lighter than level ground, black where darker."""
    strength = np.where(lighter < 0, -0.75 * lighter, 0.55 * lighter)
    alpha = (np.clip(strength, 0, 0.6) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.dstack([np.where(lighter < 0, 0, 255).astype(np.uint8), alpha]), "LA").save(
        file, "PNG", compress_level=3
    )
    return file.getvalue()
