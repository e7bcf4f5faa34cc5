"""The one place that opens a user's raster or vector: on the region's grid, with unknown as NaN, or not at all.

Every function takes the key under which region.toml names the file, so that an error can say which entry to mend.
"""

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
from numpy.typing import NDArray
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from shapely import make_valid

from lswarn.errors import RegionError
from lswarn.grid import Block, Grid

VECTOR_ERRORS = (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError)

TOLERANCE_CELLS = 1e-4
"""How far, in cells of the source, a warped position may be off: so little that blocks fit each other."""

Bounds = tuple[float, float, float, float]

log = logging.getLogger(__name__)


def is_raster(path: Path, *, context: str) -> bool:
    """Whether GDAL opens a file as a raster; else it is a vector.

    Raises:
        RegionError: there is no such file, or it is neither.
    """
    _require(path, context)
    try:
        with rasterio.open(path) as dataset:
            return bool(dataset.count)
    except RasterioIOError:
        pass
    try:
        pyogrio.list_layers(path)
    except VECTOR_ERRORS as error:
        raise RegionError(
            f"{context}: {path}: neither a raster nor a vector that GDAL can open ({error}); is it complete?"
        ) from error
    return False


def load_vector(
    path: Path,
    *,
    layer: str | None = None,
    fields: Sequence[str] = (),
    crs: str,
    bbox: Bounds | None = None,
    context: str,
) -> gpd.GeoDataFrame:
    """Features of a vector file, in the region's CRS, with the named fields and no others.

    Args:
        layer: needed where the file has several.
        fields: columns to keep; the name of the file's feature id (`fid` of a GeoPackage) may be among them.
        bbox: west, south, east, north, degrees: only features that meet it.
        context: key of the file in region.toml, for messages.

    Returns:
        Valid, non-empty geometries in `crs`. Invalid ones are repaired; features without a geometry are left out and
        counted in a logged warning.

    Raises:
        RegionError: no such file, layer or field; no CRS; damaged; nothing inside `bbox`.
    """
    frame = load_raw_vector(path, layer=layer, fields=fields, bbox=bbox, context=context)
    frame = frame.to_crs(crs)
    without = frame.geometry.isna() | frame.geometry.is_empty
    if without.any():
        log.warning("%s: %s: %d features have no geometry and are left out", context, path, without.sum())
        frame = frame[~without]
    broken = ~frame.geometry.is_valid
    if broken.any():
        log.info("%s: %s: %d invalid geometries repaired", context, path, broken.sum())
        frame = frame.set_geometry(make_valid(frame.geometry.values))
    if frame.empty:
        raise nothing_inside(path, layer=layer, bbox=bbox, context=context)
    return frame[[*fields, "geometry"]].reset_index(drop=True)


def nothing_inside(path: Path, *, layer: str | None, bbox: Bounds | None, context: str) -> RegionError:
    """What to say of a vector file without a feature where they are looked for: where it has some."""
    where = f"inside {bbox}" if bbox else "in it"
    extent = _describe(path, layer, context)["total_bounds"]
    reach = f"; it reaches over {_rounded(extent)}" if extent is not None else ""
    return RegionError(f"{context}: {path}: no feature {where}{reach}")


def load_placeless(path: Path, *, layer: str | None, field: str, context: str) -> tuple[list[object], int]:
    """What a look into a box never finds: features without a geometry, or with an empty one.

    Returns:
        One field of each, and how many features the file has in all.

    Raises:
        RegionError: as `load_vector`.
    """
    try:
        fids, bounds = pyogrio.read_bounds(path, layer=layer)
        nowhere = fids[~np.isfinite(bounds).all(axis=0) | ~bounds.any(axis=0)]  # some formats place the empty at 0, 0
        if not nowhere.size:
            return [], len(fids)
        found = pyogrio.read_dataframe(
            path, layer=layer, columns=[field], fids=nowhere, read_geometry=False, fid_as_index=True
        )
    except VECTOR_ERRORS as error:
        raise _unreadable(path, context, error) from error
    return list(found.get(field, found.index)), len(fids)


def fields_of(path: Path, *, layer: str | None = None, context: str) -> list[str]:
    """Names of the fields of a vector file, the last that of its feature id where it has a name.

    Raises:
        RegionError: as `load_vector`.
    """
    info = _describe(path, layer, context)
    return list(dict.fromkeys([*map(str, info["fields"]), *filter(None, [info["fid_column"]])]))


def load_raw_vector(
    path: Path,
    *,
    layer: str | None = None,
    fields: Sequence[str] = (),
    bbox: Bounds | None = None,
    context: str,
) -> gpd.GeoDataFrame:
    """Features of a vector file as they are: in the file's CRS, invalid and missing geometries among them.

    Args, Raises: as `load_vector`, but that there may be none.
    """
    info = _describe(path, layer, context)
    present, fid = [str(name) for name in info["fields"]], info["fid_column"]
    if missing := [name for name in fields if name not in (*present, fid)]:
        raise RegionError(
            f"{context}: {path}: there is no field {', '.join(map(repr, missing))}; "
            f"there are {', '.join(present) or 'none'}"
        )
    # A GeoJSON may have its `id` among the fields as well.
    by_fid = fid in fields and fid not in present
    try:
        frame = pyogrio.read_dataframe(
            path,
            layer=layer,
            columns=[name for name in fields if name in present],
            bbox=_bounds_in("EPSG:4326", info["crs"], bbox) if bbox else None,
            fid_as_index=by_fid,
        )
    except VECTOR_ERRORS as error:
        raise _unreadable(path, context, error) from error
    return frame.rename_axis(fid).reset_index() if by_fid else frame


@dataclass(frozen=True)
class Warped:
    """One band of an open raster, read on a grid. For one thread."""

    dataset: DatasetReader
    grid: Grid
    band: int
    nodata: float | None
    resampling: Resampling
    context: str

    def read(self, block: Block) -> NDArray[np.float32]:
        """Values at a block's cell centres, scale and offset of the file applied; the block may reach outside the grid.

        Returns:
            Array of the block's shape. NaN beyond the raster, and where the raster's own cell under the centre is
            nodata: interpolation fills no gap.

        Raises:
            RegionError: the file is damaged there.
        """
        values = self._warp(block, self.resampling)
        if self.resampling is not Resampling.nearest:
            values[np.isnan(self._warp(block, Resampling.nearest))] = np.nan
        scale, offset = self.dataset.scales[self.band - 1], self.dataset.offsets[self.band - 1]
        return values if (scale, offset) == (1, 0) else (values * scale + offset).astype(np.float32)

    def _warp(self, block: Block, resampling: Resampling) -> NDArray[np.float32]:
        try:
            with WarpedVRT(
                self.dataset,
                crs=self.grid.crs,
                transform=self.grid.block_transform(block),
                height=block.height,
                width=block.width,
                resampling=resampling,
                src_nodata=self.nodata,
                nodata=np.nan,
                dtype="float32",
                tolerance=TOLERANCE_CELLS,
                **self._scale,
            ) as vrt:
                return vrt.read(self.band)
        except RasterioIOError as error:
            raise RegionError(
                f"{self.context}: {self.dataset.name}: cannot be read ({error}); is it complete?"
            ) from error

    @cached_property
    def _scale(self) -> dict[str, str]:
        """Cells of the grid per cell of the source: fixed, since GDAL would choose another for every block."""
        left, bottom, right, top = self.grid.bounds
        x, y, step = (left + right) / 2, (bottom + top) / 2, self.grid.resolution_m
        to_source = Transformer.from_crs(self.grid.crs, self.dataset.crs, always_xy=True)
        xs, ys = to_source.transform([x, x + step, x], [y, y, y + step])
        cols, rows = ~self.dataset.transform @ (np.asarray(xs), np.asarray(ys))
        sizes = (math.hypot(*(v[1:] - v[0])) for v in (cols, rows))
        # A hair's breadth from one is one: two neighbouring UTM zones differ by as much.
        return {
            key: str(1 / max(size, 1) if size > 1.05 else 1)
            for key, size in zip(("XSCALE", "YSCALE"), sizes, strict=True)
        }

    @property
    def bounds(self) -> Bounds:
        """What the raster covers of the grid: left, bottom, right, top in the grid's CRS."""
        there = _overlap(self.dataset.bounds, _bounds_in(self.grid.crs, self.dataset.crs, self.grid.bounds))
        here = _overlap(self.grid.bounds, _bounds_in(self.dataset.crs, self.grid.crs, there)) if there else None
        if here is None:
            wanted = _bounds_in(self.grid.crs, self.dataset.crs, self.grid.bounds)
            raise RegionError(
                f"{self.context}: {self.dataset.name}: does not overlap the region; in its CRS, "
                f"{self.dataset.crs.to_string()}, it covers {_rounded(self.dataset.bounds)} and the region "
                f"{_rounded(wanted)}: check bbox and the CRS"
            )
        return here


@contextmanager
def warped(
    path: Path,
    grid: Grid,
    *,
    band: int = 1,
    nodata: float | None = None,
    resampling: Literal["bilinear", "nearest", "cubic"] = "bilinear",
    context: str,
) -> Iterator[Warped]:
    """Open a raster on a grid. Reading is lazy: memory is bounded by the block that is asked for.

    A source finer than the grid is averaged by the widened kernel of the resampling; categories need `nearest`.

    Args:
        nodata: a raw value that is unknown, besides those the file declares.
        context: key of the file in region.toml, for messages.

    Raises:
        RegionError: no such file or band, not a raster, no CRS or position, no overlap with the grid.
    """
    _require(path, context)
    try:
        dataset = rasterio.open(path)
    except RasterioIOError as error:
        raise RegionError(f"{context}: {path}: cannot be opened as a raster ({error})") from error
    with closing(dataset):  # by whichever thread: rasterio's own `with` hangs on the one that opened it
        if band > dataset.count:
            raise RegionError(f"{context}: {path}: there is no band {band}; it has {dataset.count}")
        if dataset.crs is None:
            raise RegionError(
                f"{context}: {path}: it has no CRS; assign the one it is in (gdal_edit.py -a_srs EPSG:… {path})"
            )
        if dataset.transform.is_identity:
            raise RegionError(f"{context}: {path}: it has no position (geotransform); georeference it first")
        declared = dataset.nodatavals[band - 1]
        if nodata is None or declared is None or nodata == declared:
            yield _checked(
                Warped(dataset, grid, band, declared if nodata is None else nodata, Resampling[resampling], context)
            )
        else:
            with closing(rasterio.open(_both_nodata(dataset, path, band, nodata))) as virtual:
                yield _checked(Warped(virtual, grid, 1, declared, Resampling[resampling], context))


def raster_digest(path: Path) -> str:
    """sha256 of a raster's files (a virtual one has many), but for the statistics and overviews that viewers add."""
    with rasterio.open(path) as dataset:
        files = [Path(name) for name in dataset.files if not name.endswith((".aux.xml", ".ovr"))]
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def read_block(dataset: DatasetReader, block: Block) -> NDArray[np.float32]:
    """All bands of a raster that lies on the grid already: [bands, h, w], NaN for nodata and outside of it."""
    values = np.full((dataset.count, *block.shape), np.nan, np.float32)
    top, left = max(block.row, 0), max(block.col, 0)
    bottom, right = min(block.row + block.height, dataset.height), min(block.col + block.width, dataset.width)
    if top < bottom and left < right:
        inner = Block(top, left, bottom - top, right - left)
        rows, cols = Block(top - block.row, left - block.col, *inner.shape).slices()
        values[:, rows, cols] = dataset.read(window=inner.window, masked=True, out_dtype="float32").filled(np.nan)
    return values


def degrees(grid: Grid) -> Bounds:
    """West, south, east, north of a grid."""
    return _bounds_in(grid.crs, "EPSG:4326", grid.bounds)


def _require(path: Path, context: str) -> None:
    if not path.exists():
        raise RegionError(f"{context}: {path}: no such file")


def _describe(path: Path, layer: str | None, context: str) -> dict[str, Any]:
    """What pyogrio knows of one layer, which is in the file, has geometries, and says in which CRS."""
    _require(path, context)
    if path.suffix.lower() == ".shp":  # a cut one reads as features without geometry; its head tells its length
        with path.open("rb") as stream:
            length = 2 * int.from_bytes(stream.read(28)[24:], "big")
        if path.stat().st_size < length:
            raise RegionError(f"{context}: {path}: cut off: {path.stat().st_size:,} of {length:,} bytes; copy it again")
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer is None and len(layers) > 1:
            raise RegionError(f"{context}: {path}: several layers; say which with layer = … ({', '.join(layers)})")
        if layer is not None and layer not in layers:
            raise RegionError(f"{context}: {path}: there is no layer {layer!r}; there are {', '.join(layers)}")
        info: dict[str, Any] = pyogrio.read_info(path, layer=layer)
    except VECTOR_ERRORS as error:
        raise _unreadable(path, context, error) from error
    if info["geometry_type"] is None:
        raise RegionError(f"{context}: {path}: it is a table without geometries")
    if info["crs"] is None:
        raise RegionError(f"{context}: {path}: it has no CRS; assign the one it is in (ogr2ogr -a_srs EPSG:… …)")
    return info


def _unreadable(path: Path, context: str, error: Exception) -> RegionError:
    return RegionError(f"{context}: {path}: cannot be read as a vector ({error}); is it complete?")


def _checked(raster: Warped) -> Warped:
    _ = raster.bounds  # raises where there is no overlap
    return raster


def _both_nodata(dataset: DatasetReader, path: Path, band: int, nodata: float) -> str:
    """A virtual copy of one band, in which a second nodata value has become the declared one."""
    rectangle = f'xOff="0" yOff="0" xSize="{dataset.width}" ySize="{dataset.height}"'
    kind = {"uint8": "Byte", "int8": "Int8"}.get(
        dataset.dtypes[band - 1], dataset.dtypes[band - 1].title().replace("Ui", "UI")
    )
    scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
    return (
        f'<VRTDataset rasterXSize="{dataset.width}" rasterYSize="{dataset.height}">'
        f"<SRS>{escape(dataset.crs.to_wkt())}</SRS>"
        f"<GeoTransform>{','.join(map(repr, dataset.transform.to_gdal()))}</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1"><NoDataValue>{dataset.nodatavals[band - 1]!r}</NoDataValue>'
        f"<Scale>{scale!r}</Scale><Offset>{offset!r}</Offset><ComplexSource>"
        f'<SourceFilename relativeToVRT="0" shared="0">{escape(str(path.absolute()))}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand><SrcRect {rectangle}/><DstRect {rectangle}/><NODATA>{nodata!r}</NODATA>"
        "</ComplexSource></VRTRasterBand></VRTDataset>"
    )


def _bounds_in(source: object, target: object, bounds: Bounds) -> Bounds:
    return Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds, densify_pts=51)


def _overlap(a: Bounds, b: Bounds) -> Bounds | None:
    left, bottom, right, top = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (left, bottom, right, top) if left < right and bottom < top else None


def _rounded(bounds: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.6g}" for v in bounds) + ")"
