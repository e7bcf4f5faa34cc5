"""The factor stack: ten rasters on the region's grid, built once, block by block, and read by blocks ever after.

    factors/
      dem.tif                 the DEM on the grid, 20 cells wider on each side, m
      slope.tif … seismic_intensity.tif
      upslope_area.tif        m; only where the region's physics is the infinite slope
      stack.vrt               the ten as the bands of one raster, in the order of `region.FACTORS`
      stack.json              what they were made from; written last, so that its presence says the stack is whole

Each raster carries the digest of what it was made from. A build that was killed, or is repeated, makes only those
whose digest has changed.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from lswarn.errors import StackNotBuilt
from lswarn.factors.landform import LOOKUP_CELLS
from lswarn.factors.layers import (
    UNMIXABLE,
    UPSLOPE,
    Features,
    Reader,
    factor_digest,
    load_features,
    open_factor,
    open_upslope,
    upslope_digest,
)
from lswarn.grid import Block, Grid
from lswarn.region import Region
from lswarn.sections import FACTORS, UNITS, Source
from lswarn.sources import read_block

DIGEST_TAG = "LSWARN_DIGEST"
REMEDY = "run `lswarn region build`"
NO_UPSLOPE = 'there is no upslope area, which model.physics_source = "infinite-slope" asks for'


class FactorStack:
    """The open stack. May be read from many threads; a pickled one opens its files anew.

    Attributes:
        grid: the region's cells.
        digest: of sources, settings, grid and method: same digest, same values.
    """

    def __init__(self, path: Path, grid: Grid, digest: str) -> None:
        self.grid = grid
        self.digest = digest
        self._path = path
        self._local = threading.local()
        self._opened: list[DatasetReader] = []

    def read(self, block: Block) -> NDArray[np.float32]:
        """Ten factors in the order of `region.FACTORS`, [10, h, w], NaN where unknown.

        The block may reach outside the grid, where all is unknown. A cell with any NaN is unknown to every model.

        Raises:
            StackNotBuilt: a file of the stack is missing or damaged.
        """
        return self._read(self._path, block)

    def read_upslope(self, block: Block) -> NDArray[np.float32]:
        """Specific catchment area, m [h, w]: land that drains through each cell over the cell's width.

        NaN where unknown and outside the grid.

        Raises:
            StackNotBuilt: it was not asked for when the stack was built, or is damaged.
        """
        path = self._path.with_name(f"{UPSLOPE}.tif")
        if not path.exists():
            raise StackNotBuilt(f"{path}: {NO_UPSLOPE}; {REMEDY}")
        return self._read(path, block)[0]

    def _read(self, path: Path, block: Block) -> NDArray[np.float32]:
        """All bands of a file of the stack."""
        try:
            handles: dict[Path, DatasetReader] = self._local.__dict__.setdefault("handles", {})
            dataset = handles.get(path)
            if dataset is None or dataset.closed:  # GDAL's handles are for one thread each
                dataset = handles[path] = rasterio.open(path)
                self._opened.append(dataset)
            return read_block(dataset, block)
        except RasterioIOError as error:
            raise StackNotBuilt(f"{path}: cannot be read ({error}); delete its folder and {REMEDY}") from error

    def close(self) -> None:
        """Close the files in all threads; reading opens them again."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[type, tuple[Path, Grid, str]]:
        return type(self), (self._path, self.grid, self.digest)


def build_stack(region: Region, folder: Path, *, on_progress: Callable[[str, float], None]) -> FactorStack:
    """Make every factor that is missing or no longer what region.toml and its files say, and open the stack.

    Args:
        folder: where the stack lies; made if missing. Holds one uncompressed factor more while distances are built.
        on_progress: told the factor (`dem` first) and the share of it that is done, 1.0 once for each.

    Raises:
        RegionError: a source cannot be used; `check` finds all such at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    grid = Grid.from_bbox(region.bbox, region.crs, region.resolution_m)
    entries: dict[str, dict[str, object]] = {}
    for name in ("dem", *FACTORS):
        cells = grid.expanded(LOOKUP_CELLS) if name == "dem" else grid
        features = load_features(region, name, cells)
        digest = factor_digest(region, name, cells, features, str(entries["dem"]["digest"]) if entries else "")
        path = folder / f"{name}.tif"
        if _digest_of(path) != digest:
            (folder / "stack.json").unlink(missing_ok=True)  # from here on the old stack is no more
            with open_factor(region, name, cells, features, folder / "dem.tif", folder) as read:
                _save(path, name, next(iter(UNITS[name])), cells, read, digest, on_progress)
        on_progress(name, 1.0)
        entries[name] = _entry(region, name, features, digest)
    dem = str(entries.pop("dem")["digest"])
    digests = [entry["digest"] for entry in entries.values()]
    if region.model.soil is not None:
        digests.append(_build_upslope(folder, grid, dem, on_progress))
    else:
        (folder / f"{UPSLOPE}.tif").unlink(missing_ok=True)  # it would outlive its DEM
    _write_vrt(folder / "stack.vrt", grid)
    manifest = {
        "region": region.name,
        "made": region.made,
        "rules": _rules(region),
        "digest": _sha256([digests, list(grid.transform[:6]), grid.shape]),
        "grid": {"crs": grid.crs, "transform": grid.transform[:6], "height": grid.height, "width": grid.width},
        "factors": entries,
        UPSLOPE: region.model.soil is not None,
    }
    _replace(folder / "stack.json", json.dumps(manifest, indent=2, ensure_ascii=False))
    return open_stack(region, folder)


def _build_upslope(folder: Path, grid: Grid, dem: str, on_progress: Callable[[str, float], None]) -> str:
    """Make the upslope area if it is missing or of another DEM; its digest."""
    path, digest = folder / f"{UPSLOPE}.tif", upslope_digest(grid, dem)
    if _digest_of(path) != digest:
        (folder / "stack.json").unlink(missing_ok=True)
        with open_upslope(folder / "dem.tif", grid) as read:
            _save(path, UPSLOPE, "m", grid, read, digest, on_progress)
    on_progress(UPSLOPE, 1.0)
    return digest


def open_stack(region: Region, folder: Path) -> FactorStack:
    """The stack that `build_stack` left in a folder.

    Raises:
        StackNotBuilt: there is none, it is damaged, or it was built for other factors, bbox, CRS or resolution, or
            without the upslope area that the region's physics asks for.
    """
    path = folder / "stack.json"
    try:
        manifest = json.loads(path.read_text("utf-8"))
        cells = manifest["grid"]
        grid = Grid(cells["crs"], Affine(*cells["transform"]), cells["height"], cells["width"])
        rules, digest = manifest["rules"], manifest["digest"]
    except FileNotFoundError as error:
        raise StackNotBuilt(f"{path}: the factors of region {region.name} have not been built; {REMEDY}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StackNotBuilt(f"{path}: damaged ({error!r}); {REMEDY}") from error
    if rules != _rules(region):
        raise StackNotBuilt(
            f"{path}: factors, bbox, crs or resolution_m of region {region.name} have changed since; {REMEDY}"
        )
    asked = region.model.soil is not None
    if asked and not manifest.get(UPSLOPE):
        raise StackNotBuilt(f"{path}: {NO_UPSLOPE}; {REMEDY}")
    if missing := [name for name in (*FACTORS, *[UPSLOPE] * asked) if not (folder / f"{name}.tif").exists()]:
        raise StackNotBuilt(f"{folder}: {', '.join(missing)}: the raster is gone; {REMEDY}")
    return FactorStack(folder / "stack.vrt", grid, digest)


def _rules(region: Region) -> str:
    """Digest of that part of region.toml that a stack hangs on."""
    unread = {"factors": {name: {"licence"} for name in type(region.factors).model_fields}}
    return _sha256(region.model_dump(mode="json", include={"factors", "bbox", "crs", "resolution_m"}, exclude=unread))


def _entry(region: Region, name: str, features: Features | None, digest: str) -> dict[str, object]:
    source: Source = getattr(region.factors, name)
    if source.constant is not None:
        origin = f"constant {source.constant:g} {source.unit or ''}".rstrip()
    else:
        origin = "derived from the DEM" if source.derive else str(source.file)
    legend = features.legend if features else {}
    return {"digest": digest, "unit": next(iter(UNITS[name])), "source": origin, "legend": legend}


def _digest_of(path: Path) -> str | None:
    """What a raster says it was made from; None if there is no such raster, or it cannot be opened."""
    try:
        with rasterio.open(path) as dataset:
            return dataset.tags().get(DIGEST_TAG)
    except RasterioIOError:
        return None


def _save(
    path: Path, name: str, unit: str, grid: Grid, read: Reader, digest: str, on_progress: Callable[[str, float], None]
) -> None:
    """Write a layer as a Cloud-Optimized GeoTIFF: tiles first, then overviews and order, then its name."""
    tiles, draft = path.with_suffix(".tiles.part"), path.with_suffix(".part")
    blocks = list(grid.blocks())
    with rasterio.open(
        tiles,
        "w",
        driver="GTiff",
        height=grid.height,
        width=grid.width,
        count=1,
        dtype="float32",
        crs=grid.crs,
        transform=grid.transform,
        nodata=np.nan,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="zstd",
        zstd_level=1,
        bigtiff="if_safer",
    ) as dataset:
        dataset.set_band_description(1, name)
        dataset.set_band_unit(1, unit)
        dataset.update_tags(**{DIGEST_TAG: digest})
        for done, block in enumerate(blocks):
            on_progress(name, done / len(blocks))
            dataset.write(read(block), 1, window=block.window)
    rasterio.shutil.copy(
        tiles,
        draft,
        driver="COG",
        compress="zstd",
        predictor="yes",
        bigtiff="if_safer",
        overview_resampling="nearest" if name in UNMIXABLE else "average",
    )
    tiles.unlink()
    draft.replace(path)


def _write_vrt(path: Path, grid: Grid) -> None:
    """The ten rasters as bands of one, with their names; relative, so that the folder may be moved."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    ET.SubElement(root, "SRS").text = grid.crs
    ET.SubElement(root, "GeoTransform").text = ", ".join(map(repr, grid.transform.to_gdal()))
    for number, name in enumerate(FACTORS, 1):
        band = ET.SubElement(root, "VRTRasterBand", dataType="Float32", band=str(number))
        ET.SubElement(band, "Description").text = name
        ET.SubElement(band, "NoDataValue").text = "nan"
        ET.SubElement(band, "UnitType").text = next(iter(UNITS[name]))
        source = ET.SubElement(band, "SimpleSource")
        # Not shared: threads that read at once must not meet in one handle.
        ET.SubElement(source, "SourceFilename", relativeToVRT="1", shared="0").text = f"{name}.tif"
        ET.SubElement(source, "SourceBand").text = "1"
    _replace(path, ET.tostring(root, encoding="unicode"))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _sha256(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
