"""Days of rain as GeoTIFF: IMERG of PPS, CHIRPS and CHIRPS-GEFS.

A file's own georeference says which way up it is. Its nodata tag is not trusted: PPS changed its sentinel without one,
and CHIRPS has none.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lswarn.rain.formats.field import Axis, Cut, cut, gather, rain_field, reading, require_land
from lswarn.rain.formats.part import Bounds, Part, corrupt, require_kind
from lswarn.rain.formats.units import canonical, to_mm

PPS_MISSING = (9999, 29999, 65535)
PPS_MOST = 20_000  # 0.1 mm
MOST_BLOCK_CELLS = 1 << 27
"""Of a tile, strip or image: a longer one is a damaged header, and GDAL would ask for the memory."""


@dataclass(frozen=True)
class Raster:
    """An open raster in degrees.

    Attributes:
        source: as rasterio opened it.
        lat, lon: its cells as they lie in it.
        band: which is meant.
        name: what errors call it.
    """

    source: rasterio.DatasetReader
    lat: Axis
    lon: Axis
    band: int
    name: str

    @property
    def unit(self) -> str:
        """What the file itself says of its unit; mostly nothing."""
        return self.source.units[self.band - 1] or ""

    def read(self, part: Cut) -> NDArray:
        """The cells of a cut, [lat, lon] ascending, as they stand in the file."""
        return gather(part, self.piece)

    def piece(self, rows: slice, cols: slice) -> NDArray:
        """Rows and columns of the file."""
        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        return self.source.read(self.band, window=window)


def decode_pps(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from PPS's 1-day file: 16-bit integers of 0.1 mm and sentinels. As `products.Decode`."""
    (part,) = parts
    _require_day(part, f"{day:%Y%m%d}-")
    return read_pps(part, bounds)


def read_pps(part: Part, bounds: Bounds | None) -> xr.DataArray:
    """As `decode_pps`, of whatever hours."""
    with open_raster(part) as raster:
        dtype = raster.source.dtypes[0]
        if dtype not in ("uint16", "int16"):
            raise corrupt(part.uri, f"holds {dtype}, not the 16-bit integers of 0.1 mm")
        _require_unit(raster, "0.1 mm")
        cells = cut(raster.lat, raster.lon, bounds, part.uri)
        raw = raster.read(cells)
        missing = np.isin(raw, PPS_MISSING) | (raw < 0) | (raw > PPS_MOST)
        return rain_field(cells, np.where(missing, np.float32(np.nan), to_mm(raw, "0.1 mm")), part.uri)


def decode_chirps(parts: Sequence[Part], day: date, bounds: Bounds | None) -> xr.DataArray:
    """Rain of a day from a CHIRPS or CHIRPS-GEFS file: mm, sea and missing -9999 without a tag. As `products.Decode`.

    Where the file is whole its orientation is proved by land that is known and sea that is not.
    """
    (part,) = parts
    _require_day(part, f"{day:%Y.%m.%d}")
    return read_chirps(part, bounds)


def read_chirps(part: Part, bounds: Bounds | None) -> xr.DataArray:
    """As `decode_chirps`, of whatever day."""
    with open_raster(part) as raster:
        dtype = raster.source.dtypes[0]
        if np.dtype(dtype).kind != "f":
            raise corrupt(part.uri, f"holds {dtype}, not the floats of CHIRPS")
        _require_unit(raster, "mm")
        require_land(raster.lat, raster.lon, _known(raster, lambda value: value >= 0), part.uri)
        cells = cut(raster.lat, raster.lon, bounds, part.uri)
        raw = raster.read(cells).astype(np.float32)
        return rain_field(cells, np.where(raw < 0, np.float32(np.nan), raw), part.uri)


@contextmanager
def open_raster(part: Part, band: int = 1) -> Iterator[Raster]:
    """Open a GeoTIFF in degrees; what GDAL raises inside the block is translated, too.

    Raises:
        CorruptGranule: not a GeoTIFF, damaged, without that band, in no or another than geographic coordinates, or its
            cells are turned.
    """
    require_kind(part, "TIFF")
    alone = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO")
    with reading(part.uri, "GeoTIFF", (RasterioError,)), alone, rasterio.open(part.path, driver="GTiff") as source:
        if source.count < band:
            raise corrupt(part.uri, f"has {source.count} bands, and not band {band}")
        rows, cols = source.block_shapes[band - 1]
        if max(source.height, source.width) > 60_000 or rows * cols > MOST_BLOCK_CELLS:
            raise corrupt(part.uri, f"is {source.height} x {source.width} cells in blocks of {rows} x {cols}")
        to_degrees = source.transform
        placed = not to_degrees.is_identity and to_degrees.is_rectilinear and to_degrees.b == 0
        if not placed or (source.crs is not None and not source.crs.is_geographic):
            raise corrupt(
                part.uri, f"does not say where it lies in degrees (CRS {source.crs}, {tuple(to_degrees)[:6]})"
            )
        lon = Axis(to_degrees.c + to_degrees.a / 2, to_degrees.a, source.width)
        lat = Axis(to_degrees.f + to_degrees.e / 2, to_degrees.e, source.height)
        if not all(np.isfinite((each.first, each.step)).all() and abs(each.step) > 1e-4 for each in (lat, lon)):
            raise corrupt(part.uri, f"its georeference makes no sense: {tuple(to_degrees)[:6]}")
        yield Raster(source, _rounded(lat), _rounded(lon), band, part.uri)


def _rounded(cells: Axis) -> Axis:
    """Georeferences are written with few digits: 0.05 as 0.0500000007."""
    last = round(cells.first + cells.step * (cells.cells - 1), 4)
    first = round(cells.first, 4)
    return Axis(first, (last - first) / max(cells.cells - 1, 1) or cells.step, cells.cells)


def _known(raster: Raster, is_rain: Callable[[float], bool]) -> Callable[[int, int], bool]:
    return lambda row, col: bool(is_rain(raster.piece(slice(row, row + 1), slice(col, col + 1))[0, 0]))


def _require_unit(raster: Raster, unit: str) -> None:
    said = raster.unit
    scale, offset = raster.source.scales[raster.band - 1], raster.source.offsets[raster.band - 1]
    if (said and canonical(said) != unit) or (scale, offset) != (1, 0):
        raise corrupt(raster.name, f"says that its unit is {said or 'its own'} × {scale:g} + {offset:g}, not {unit}")


def _require_day(part: Part, written: str) -> None:
    """The files hold no date but the one in their name."""
    if written not in part.name:
        raise corrupt(part.uri, f"is not named for {written.strip('-')}")
