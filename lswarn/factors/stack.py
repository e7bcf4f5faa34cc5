"""The factor stack: ten rasters on the region's grid, built once, block by block, and read by blocks ever after.

    factors/
      dem.tif                 the DEM on the grid, 20 cells wider on each side, m
      slope.tif … seismic_intensity.tif
      upslope_area.tif        m; only where the region's physics is the infinite slope
      stack.vrt               the ten as the bands of one raster, in the order of `region.FACTORS`
      stack.json              what they were made from; written last, so that its presence says the stack is whole

Each raster carries the digest of what it was made from. A build that was killed, or is repeated, makes only those
whose digest has changed. Blocks are worked by all cores, and memory follows the block; only where water is followed is
the whole DEM held.
"""

import errno
import hashlib
import json
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from lswarn.errors import StackNotBuilt, StorageFull
from lswarn.factors.landform import LOOKUP_CELLS
from lswarn.factors.layers import (
    TERRAIN,
    UNMIXABLE,
    UPSLOPE,
    Features,
    TerrainReader,
    factor_digest,
    load_features,
    open_factor,
    open_terrain,
    open_upslope,
    upslope_digest,
)
from lswarn.factors.raster import Packed, RasterDraft
from lswarn.grid import Block, Grid
from lswarn.region import Region
from lswarn.sections import FACTORS, UNITS, Source
from lswarn.sources import read_block
from lswarn.workers import Threads, Workers

DIGEST_TAG = "LSWARN_DIGEST"
REMEDY = "run `lswarn region build`"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CACHE_BYTES = 128 << 20
"""What GDAL may keep of files it has read. Every cell is read about once; its own choice is a share of the machine."""

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


def build_stack(
    region: Region, folder: Path, *, on_progress: Callable[[str, float], None], workers: Workers | None = None
) -> FactorStack:
    """Make every factor that is missing or no longer what region.toml and its files say, and open the stack.

    Args:
        folder: where the stack lies; made if missing. While it is built it holds one uncompressed factor more, and the
            compressed ones that are being made twice.
        on_progress: told the factor (`dem` first, then what is derived from it) and the share of it that is done, 1.0
            once for each.
        workers: threads that do the blocks; left out, one a core. The same bytes come of any number.

    Raises:
        RegionError: a source cannot be used; `check` finds all such at once.
        StorageFull: the disk is full; rasters that are whole stay, and a repeated build goes on from them.
    """
    try:
        return _build_stack(region, folder, workers or Threads(), on_progress)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(
            f"{folder}: {error.strerror} while factors are built; make room and {REMEDY} again: it goes on from there"
        ) from error


def _build_stack(
    region: Region, folder: Path, workers: Workers, on_progress: Callable[[str, float], None]
) -> FactorStack:
    folder.mkdir(parents=True, exist_ok=True)
    grid = Grid.from_bbox(region.bbox, region.crs, region.resolution_m)
    for part in folder.glob("*.part"):
        part.unlink()  # of a build that was killed
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        build = _Build(region, folder, grid, workers, on_progress)
        dem = str(build.factor("dem", "")["digest"])
        derived = [name for name in TERRAIN if getattr(region.factors, name).derive]
        entries = build.terrain(derived, dem)
        entries |= {name: build.factor(name, dem) for name in FACTORS if name not in derived}
        digests = [entries[name]["digest"] for name in FACTORS]
        if region.model.soil is not None:
            digests.append(build.upslope(dem))
        else:
            (folder / f"{UPSLOPE}.tif").unlink(missing_ok=True)  # it would outlive its DEM
    _write_vrt(folder / "stack.vrt", grid)
    manifest = {
        "region": region.name,
        "made": region.made,
        "rules": _rules(region),
        "digest": _sha256([digests, list(grid.transform[:6]), grid.shape]),
        "grid": {"crs": grid.crs, "transform": grid.transform[:6], "height": grid.height, "width": grid.width},
        "factors": {name: entries[name] for name in FACTORS},
        UPSLOPE: region.model.soil is not None,
    }
    _replace(folder / "stack.json", json.dumps(manifest, indent=2, ensure_ascii=False))
    return open_stack(region, folder)


class _Build:
    """One build: what each of its rasters is made with."""

    def __init__(
        self, region: Region, folder: Path, grid: Grid, workers: Workers, on_progress: Callable[[str, float], None]
    ) -> None:
        self.region, self.folder, self.grid = region, folder, grid
        self.workers, self._on_progress = workers, on_progress
        self._told: dict[str, float] = {}

    def factor(self, name: str, dem: str) -> dict[str, object]:
        """Make a factor, or the DEM, if it is missing or stale; its entry in the manifest."""
        grid = self.grid.expanded(LOOKUP_CELLS) if name == "dem" else self.grid
        features = load_features(self.region, name, grid)
        digest = factor_digest(self.region, name, grid, features, dem)
        if self._stale(name, digest):
            with open_factor(
                self.region,
                name,
                grid,
                features,
                self.folder / "dem.tif",
                self.folder,
                workers=self.workers,
                on_progress=lambda share: self._tell(name, share / 2),
            ) as read:
                self._save({name: digest}, grid, lambda block: {name: read(block)})
        self._tell(name, 1.0)
        return _entry(self.region, name, features, digest)

    def terrain(self, names: Collection[str], dem: str) -> dict[str, dict[str, object]]:
        """Make those that are missing or stale together; the entries of all."""
        digests = {name: factor_digest(self.region, name, self.grid, None, dem) for name in names}
        stale = {name: digest for name, digest in digests.items() if self._stale(name, digest)}
        if stale:
            with open_terrain(self.region, stale, self.grid, self.folder / "dem.tif") as read:
                self._save(stale, self.grid, read)
        for name in names:
            self._tell(name, 1.0)
        return {name: _entry(self.region, name, None, digest) for name, digest in digests.items()}

    def upslope(self, dem: str) -> str:
        """Make the upslope area if it is missing or of another DEM; its digest."""
        digest = upslope_digest(self.grid, dem)
        if self._stale(UPSLOPE, digest):
            with open_upslope(self.folder / "dem.tif", self.grid) as read:
                self._save({UPSLOPE: digest}, self.grid, lambda block: {UPSLOPE: read(block)})
        self._tell(UPSLOPE, 1.0)
        return digest

    def _tell(self, name: str, share: float) -> None:
        if self._told.get(name) != 1:
            self._told[name] = share
            self._on_progress(name, share)

    def _stale(self, name: str, digest: str) -> bool:
        if _digest_of(self.folder / f"{name}.tif") == digest:
            return False
        (self.folder / "stack.json").unlink(missing_ok=True)  # from here on the old stack is no more
        return True

    def _save(self, digests: dict[str, str], grid: Grid, read: TerrainReader) -> None:
        """Write rasters whose blocks are read together."""
        with ExitStack() as opened:
            drafts = {
                name: opened.enter_context(
                    RasterDraft(
                        self.folder / f"{name}.tif",
                        grid,
                        description=name,
                        unit="m" if name == UPSLOPE else next(iter(UNITS[name])),
                        tags={DIGEST_TAG: digest},
                        mixable=name not in UNMIXABLE,
                    )
                )
                for name, digest in digests.items()
            }

            def work(block: Block) -> dict[str, Packed]:
                values = read(block)
                return {name: draft.pack(block, values[name]) for name, draft in drafts.items()}

            blocks = list(next(iter(drafts.values())).blocks())
            begun = {name: self._told.get(name, 0.0) for name in drafts}
            for done, (block, packed) in enumerate(self.workers.over(work, blocks)):
                for name, draft in drafts.items():
                    draft.put(block, packed[name])
                    self._tell(name, begun[name] + (1 - begun[name]) * done / len(blocks))
            for name, draft in drafts.items():
                draft.finish(self.workers)
                self._tell(name, 1.0)


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
