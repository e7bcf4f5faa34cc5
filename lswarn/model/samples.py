"""What a model learns from: rains over the region, and the landslides that happened under each.

The rule for labels, in one place. In the scene of a dated rain, a cell inside a landslide of that scene is 1 and any
other known cell is 0: also one that slid in another dated scene, for it did not slide under this rain. Landslides
without a date meet the critical rainfall in a scene of their own; since nobody knows how they and the dated ones
behaved in each other's rain, their cells are unknown in dated scenes and the dated ones' are unknown in the undated
scene. A cell with an unknown factor or unknown rain is unknown.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

import geopandas as gpd
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from rasterio.features import rasterize
from scipy.ndimage import map_coordinates
from shapely import STRtree, box, get_x, get_y, point_on_surface, to_wkb
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from lswarn.errors import GridMismatch, TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.checkpoint import DEFAULT_MEASURE
from lswarn.model.loss import danger
from lswarn.sections import FACTORS

RAINS = ("rain", "critical")


class FactorReader(Protocol):
    """The ten factors of a region, read block by block.

    Attributes:
        grid: the region's cells.
        digest: of all they were made from.
    """

    @property
    def grid(self) -> Grid: ...  # noqa: D102

    @property
    def digest(self) -> str: ...  # noqa: D102

    def read(self, block: Block) -> NDArray[np.float32]:
        """Factors [10, h, w] in the order of `region.FACTORS`, NaN where unknown and outside the grid."""
        ...


@dataclass(frozen=True)
class Scene:
    """One 7-day rain over the region and the landslides that happened under it, perhaps none.

    Attributes:
        day: last day of the rain; None for landslides without a date, which are given the critical rainfall as rain.
        rain: R7, mm, of seven days, (lat, lon) ascending, cell centres in degrees, NaN = unknown.
        critical: Rc, mm, in the same measure and on the same grid, NaN = unknown.
        landslides: polygons in the CRS of the region's grid.
    """

    day: date | None
    rain: xr.DataArray
    critical: xr.DataArray
    landslides: tuple[BaseGeometry, ...]


@dataclass(frozen=True)
class Snapshot:
    """All a model is trained and judged on, besides the factors. Its `id` is that of its content.

    Attributes:
        crs: of the landslides, `EPSG:…`.
        scenes: at least one, all on one rain grid.
        factors_digest: of the factor stack it was taken with.
        made_at: aware instant; no part of the id.
        measure: name of what the scenes' rain is of seven days, as `rain.measures` has it.

    Raises:
        TrainingError: there is no scene.
        GridMismatch: the scenes' rain lies on different grids.
    """

    crs: str
    scenes: tuple[Scene, ...]
    factors_digest: str
    made_at: datetime
    measure: str = DEFAULT_MEASURE

    def __post_init__(self) -> None:
        if not self.scenes:
            raise TrainingError("the snapshot has no scene: archive the rain of the landslides' days first")
        like = self.scenes[0].rain
        for scene in self.scenes:
            for field in (scene.rain, scene.critical):
                if not all(np.array_equal(field[axis].values, like[axis].values) for axis in ("lat", "lon")):
                    raise GridMismatch(f"the rain of {scene.day} and of {self.scenes[0].day} are on different grids")

    @cached_property
    def id(self) -> str:
        """Sixteen hex digits of the sha256 of everything but `made_at`."""
        digest = hashlib.sha256(f"{self.crs} {self.factors_digest}".encode())
        if self.measure != DEFAULT_MEASURE:  # so that snapshots from before there were others keep their id
            digest.update(self.measure.encode())
        for axis in ("lat", "lon"):
            digest.update(self.scenes[0].rain[axis].values.astype("<f8").tobytes())
        for scene in self.scenes:
            digest.update(str(scene.day).encode())
            for field in (scene.rain, scene.critical):
                digest.update(field.transpose("lat", "lon").values.astype("<f4").tobytes())
            for landslide in scene.landslides:
                digest.update(to_wkb(landslide, byte_order=1, output_dimension=2))
        return digest.hexdigest()[:16]


def save_snapshot(snapshot: Snapshot, root: Path) -> Path:
    """Write a snapshot as folder `root/<id>`: rain.nc, landslides.gpkg, snapshot.json. Once there it is left alone."""
    folder = root / snapshot.id
    if folder.exists():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{snapshot.id}-", dir=root))
    fields = {
        name: xr.concat([getattr(scene, name).astype("float32") for scene in snapshot.scenes], "scene", join="exact")
        for name in RAINS
    }
    xr.Dataset({name: field.assign_attrs(units="mm") for name, field in fields.items()}).to_netcdf(draft / "rain.nc")
    owner = [i for i, scene in enumerate(snapshot.scenes) for _ in scene.landslides]
    shapes = [shape for scene in snapshot.scenes for shape in scene.landslides]
    landslides = gpd.GeoDataFrame({"scene": owner}, geometry=shapes, crs=snapshot.crs)
    landslides.to_file(draft / "landslides.gpkg", engine="pyogrio", promote_to_multi=False, geometry_type="Unknown")
    manifest = {
        "id": snapshot.id,
        "crs": snapshot.crs,
        "factors_digest": snapshot.factors_digest,
        "made_at": snapshot.made_at.isoformat(),
        "days": [scene.day and scene.day.isoformat() for scene in snapshot.scenes],
        "measure": snapshot.measure,
    }
    (draft / "snapshot.json").write_text(json.dumps(manifest, indent=2), "utf-8")
    try:
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # somebody else wrote the same snapshot meanwhile
            raise
        shutil.rmtree(draft)
    return folder


def load_snapshot(folder: Path) -> Snapshot:
    """Read what `save_snapshot` wrote.

    Raises:
        TrainingError: a file is missing or damaged, or the content is not what the id says.
    """
    remedy = "take a new snapshot"
    try:
        manifest = json.loads((folder / "snapshot.json").read_text("utf-8"))
        with xr.open_dataset(folder / "rain.nc") as opened:
            fields = opened.load()
        landslides = gpd.read_file(folder / "landslides.gpkg", engine="pyogrio")
        scenes = tuple(
            Scene(
                day and date.fromisoformat(day),
                fields["rain"][i].drop_attrs(),
                fields["critical"][i].drop_attrs(),
                tuple(landslides.geometry[landslides["scene"] == i]),
            )
            for i, day in enumerate(manifest["days"])
        )
        made_at = datetime.fromisoformat(manifest["made_at"])
        measure = manifest.get("measure", DEFAULT_MEASURE)
        snapshot = Snapshot(manifest["crs"], scenes, manifest["factors_digest"], made_at, measure)
    except (OSError, ValueError, KeyError, IndexError, DataSourceError) as error:
        raise TrainingError(f"{folder}: not a whole snapshot ({error}); {remedy}") from error
    if snapshot.id != manifest["id"]:
        raise TrainingError(f"{folder}: its content is {snapshot.id}, not {manifest['id']} as it says; {remedy}")
    return snapshot


class Observed:
    """Rain, label and danger of any block under any of a snapshot's scenes. Does not change.

    Attributes:
        scenes: how many there are.
        scene_of: which scene each landslide belongs to.
        cells_of: row and column [n, 2] of a cell inside each landslide; may lie outside the grid.

    Raises:
        GridMismatch: the landslides are in another CRS than the grid.
    """

    def __init__(self, snapshot: Snapshot, grid: Grid) -> None:
        if snapshot.crs != grid.crs:
            raise GridMismatch(f"the snapshot's landslides are in {snapshot.crs}, the factors in {grid.crs}")
        scenes = snapshot.scenes
        self._grid = grid
        self.scenes = len(scenes)
        self._dated = np.array([scene.day is not None for scene in scenes])
        landslides = np.array([shape for scene in scenes for shape in scene.landslides], dtype=object)
        self._index = STRtree(landslides)
        self._shapes = [mapping(shape) for shape in landslides]
        self._lat, self._lon = (scenes[0].rain[axis].values.astype(float) for axis in ("lat", "lon"))
        self._fields = np.stack(
            [[getattr(s, name).transpose("lat", "lon").values.astype(float) for s in scenes] for name in RAINS]
        )  # (rain and critical, scenes, lat, lon)
        self.scene_of = np.array([i for i, scene in enumerate(scenes) for _ in scene.landslides], dtype=int)
        inside = point_on_surface(landslides)
        col, row = ~grid.transform @ (get_x(inside), get_y(inside))
        self.cells_of = np.floor(np.stack([row, col], 1)).astype(int)

    def at(self, block: Block, factors: NDArray[np.float32], scenes: Sequence[int]) -> "Cells":
        """What happened in a block under each of some scenes.

        Args:
            factors: of the block, [10, h, w].
            scenes: positions in the snapshot's scenes.
        """
        rain, critical = self._rain(block, scenes)
        label = self._labels(block, scenes)
        label[np.isnan(rain) | np.isnan(factors).any(0)] = np.nan
        return Cells(rain, label, danger(rain, critical, factors[FACTORS.index("slope")]))

    def _rain(self, block: Block, scenes: Sequence[int]) -> NDArray[np.float32]:
        """Rain and critical rain, mm [2, scenes, h, w], as `grid.sample` gives, its positions worked out only once."""
        lon, lat = self._grid.lonlat(block)
        at = [
            (where - axis[0]) / ((axis[-1] - axis[0]) / (len(axis) - 1))
            for where, axis in ((lat, self._lat), (lon, self._lon))
        ]
        fields = self._fields[:, list(scenes)].reshape(-1, len(self._lat), len(self._lon))
        sampled = [map_coordinates(field, at, order=1, mode="constant", cval=np.nan) for field in fields]
        return np.array(sampled, np.float32).reshape(2, len(scenes), *block.shape)

    def _labels(self, block: Block, scenes: Sequence[int]) -> NDArray[np.float32]:
        """Labels [scenes, h, w] by the rule above, before factors and rain are asked.

        A cell is inside a landslide when its centre is, or when it holds `point_on_surface` of it: none is so small
        that it vanishes.
        """
        transform = self._grid.block_transform(block)
        left, top = transform @ (0, 0)
        right, bottom = transform @ (block.width, block.height)
        near = self._index.query(box(left, bottom, right, top), predicate="intersects")
        scene, dated = self.scene_of[near], self._dated[self.scene_of[near]]

        def inside(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
            found = np.zeros(block.shape, np.uint8)
            if chosen.any():
                rasterize([self._shapes[i] for i in near[chosen]], out=found, transform=transform)
                at = self.cells_of[near[chosen]] - (block.row, block.col)
                found[tuple(at[((at >= 0) & (at < block.shape)).all(1)].T)] = 1
            return found.astype(bool)

        unclear = {kind: inside(dated != kind) for kind in (True, False)}
        label = np.zeros((len(scenes), *block.shape), np.float32)
        for cells, number in zip(label, scenes, strict=True):
            cells[unclear[bool(self._dated[number])]] = np.nan
            cells[inside(scene == number)] = 1
        return label


@dataclass(frozen=True)
class Cells:
    """A block under S scenes: rain mm, label (1, 0 or NaN) and danger (see `loss`), each [S, h, w]."""

    rain: NDArray[np.float32]
    label: NDArray[np.float32]
    danger: NDArray[np.float32]
