"""What a model learns from: rains over the region, and the landslides that happened under each.

The rule for labels, in one place. In the scene of a dated rain, a cell inside a landslide of that scene is 1 and any
other known cell is 0: also one that slid in another dated scene, for it did not slide under this rain. Landslides
without a date meet the critical rainfall in a scene of their own; since nobody knows how they and the dated ones
behaved in each other's rain, their cells are unknown in dated scenes and the dated ones' are unknown in the undated
scene. A cell with an unknown factor or unknown rain is unknown.

The snapshot's rule for negatives narrows what counts as 0 (`sections.Negatives`): only given places, nothing close to a
landslide, nothing flat. A place given as stable is 0 in its scene, also close to a landslide, but never in one.
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
from scipy.ndimage import map_coordinates
from shapely import to_wkb
from shapely.geometry.base import BaseGeometry

from lswarn.errors import GridMismatch, TrainingError
from lswarn.grid import Block, Grid
from lswarn.model.loss import danger
from lswarn.model.places import Places
from lswarn.model.stability import Hillslopes
from lswarn.sections import FACTORS, Negatives

RAINS = ("rain", "critical")

DEFAULT_MEASURE = "sum"
"""What is made of seven days of rain where a snapshot, from before there was a choice, says nothing."""

ELSEWHERE = Negatives()
"""What counts as stable where nothing is said: all known ground that did not slide."""


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

    def read_upslope(self, block: Block) -> NDArray[np.float32]:
        """Specific catchment area [h, w], m, NaN where unknown and outside the grid; asked by `Hillslopes` alone."""
        ...


@dataclass(frozen=True)
class Scene:
    """One 7-day rain over the region and the landslides that happened under it, perhaps none.

    Attributes:
        day: last day of the rain; None for landslides without a date, which are given the critical rainfall as rain.
        rain: R7, mm, of seven days, (lat, lon) ascending, cell centres in degrees, NaN = unknown.
        critical: Rc, mm, in the same measure and on the same grid, NaN = unknown.
        landslides: polygons in the CRS of the region's grid.
        stable: polygons of places known not to have slid under it.
    """

    day: date | None
    rain: xr.DataArray
    critical: xr.DataArray
    landslides: tuple[BaseGeometry, ...]
    stable: tuple[BaseGeometry, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All a model is trained and judged on, besides the factors. Its `id` is that of its content.

    Attributes:
        crs: of the landslides, `EPSG:…`.
        scenes: at least one, all on one rain grid.
        factors_digest: of the factor stack it was taken with.
        made_at: aware instant; no part of the id.
        measure: name of what the scenes' rain is of seven days, as `rain.measures` has it.
        negatives: which ground counts as stable.

    Raises:
        TrainingError: there is no scene.
        GridMismatch: the scenes' rain lies on different grids.
    """

    crs: str
    scenes: tuple[Scene, ...]
    factors_digest: str
    made_at: datetime
    measure: str = DEFAULT_MEASURE
    negatives: Negatives = ELSEWHERE

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
        if self.negatives != ELSEWHERE:
            digest.update(self.negatives.model_dump_json().encode())
        for axis in ("lat", "lon"):
            digest.update(self.scenes[0].rain[axis].values.astype("<f8").tobytes())
        for scene in self.scenes:
            digest.update(str(scene.day).encode())
            for field in (scene.rain, scene.critical):
                digest.update(field.transpose("lat", "lon").values.astype("<f4").tobytes())
            for landslide in scene.landslides:
                digest.update(to_wkb(landslide, byte_order=1, output_dimension=2))
            for place in scene.stable:
                digest.update(b"stable" + to_wkb(place, byte_order=1, output_dimension=2))
        return digest.hexdigest()[:16]


def rule_in_words(snapshot: Snapshot) -> str:
    """Which ground a snapshot counts as stable, for readers."""
    rule, given = snapshot.negatives, sum(len(scene.stable) for scene in snapshot.scenes)
    if rule.rule == "given":
        told = (
            f"Only the {given} places that the inventory gives as not having slid count as stable; all other ground is "
            "unknown. Probabilities and shares of area are those among the places given, not those of the ground."
        )
    else:
        told = "All known ground outside the landslides of a storm counts as stable under its rain"
        told += f", {given} places that the inventory gives as stable among it." if given else "."
        told += " A landslide that is missing from the inventory so counts as stable."
    if rule.buffer_m:
        told += f" Ground within {rule.buffer_m:g} m of a landslide but not in it is unknown."
    if rule.min_slope_deg:
        flat = f"Ground flatter than {rule.min_slope_deg:g}°"
        told += f" {flat} is unknown, and a landslide mapped there as well: it teaches nothing and is not judged."
    return told


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
    rows = [
        (i, slid, shape)
        for i, scene in enumerate(snapshot.scenes)
        for slid, places in ((True, scene.landslides), (False, scene.stable))
        for shape in places
    ]
    numbers, slid = [i for i, _, _ in rows], np.array([slid for _, slid, _ in rows], bool)
    landslides = gpd.GeoDataFrame(
        {"scene": numbers, "slid": slid}, geometry=[shape for _, _, shape in rows], crs=snapshot.crs
    )
    landslides.to_file(draft / "landslides.gpkg", engine="pyogrio", promote_to_multi=False, geometry_type="Unknown")
    manifest = {
        "id": snapshot.id,
        "crs": snapshot.crs,
        "factors_digest": snapshot.factors_digest,
        "made_at": snapshot.made_at.isoformat(),
        "days": [scene.day and scene.day.isoformat() for scene in snapshot.scenes],
        "measure": snapshot.measure,
        "negatives": snapshot.negatives.model_dump(),
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
        places = gpd.read_file(folder / "landslides.gpkg", engine="pyogrio")
        # A snapshot from before places could be given as stable does not tell: all slid.
        slid = places["slid"].astype(bool) if "slid" in places else np.ones(len(places), bool)
        scenes = tuple(
            Scene(
                day and date.fromisoformat(day),
                fields["rain"][i].drop_attrs(),
                fields["critical"][i].drop_attrs(),
                *(tuple(places.geometry[(places["scene"] == i) & (slid == kind)]) for kind in (True, False)),
            )
            for i, day in enumerate(manifest["days"])
        )
        made_at = datetime.fromisoformat(manifest["made_at"])
        measure = manifest.get("measure", DEFAULT_MEASURE)
        negatives = Negatives.model_validate(manifest.get("negatives", {}))
        snapshot = Snapshot(manifest["crs"], scenes, manifest["factors_digest"], made_at, measure, negatives)
    except (OSError, ValueError, KeyError, IndexError, DataSourceError) as error:
        raise TrainingError(f"{folder}: not a whole snapshot ({error}); {remedy}") from error
    if snapshot.id != manifest["id"]:
        raise TrainingError(f"{folder}: its content is {snapshot.id}, not {manifest['id']} as it says; {remedy}")
    return snapshot


class Observed:
    """Rain, label and danger of any block under any of a snapshot's scenes. Does not change.

    Args:
        hillslopes: asked for the danger (`stability.hillslopes`); None: the critical rainfall is.

    Attributes:
        scenes: how many there are.
        scene_of: which scene each landslide belongs to.
        cells_of: row and column [n, 2] of a cell inside each landslide; may lie outside the grid.
        stable_scene_of, stable_cells_of: the same of each place given as stable.

    Raises:
        GridMismatch: the landslides are in another CRS than the grid.
        TrainingError: an infinite slope is to be asked, and the rain is no sum of seven days.
    """

    def __init__(self, snapshot: Snapshot, grid: Grid, hillslopes: Hillslopes | None = None) -> None:
        if snapshot.crs != grid.crs:
            raise GridMismatch(f"the snapshot's landslides are in {snapshot.crs}, the factors in {grid.crs}")
        if hillslopes is not None and snapshot.measure != DEFAULT_MEASURE:
            raise TrainingError(
                f"snapshot {snapshot.id} holds rain measure {snapshot.measure!r}; an infinite slope is wetted by the "
                f'sum of seven days: set rain.measure = "{DEFAULT_MEASURE}" and take a new snapshot, or set '
                'model.physics_source = "threshold"'
            )
        scenes = snapshot.scenes
        self._grid, self._hillslopes = grid, hillslopes
        self.scenes = len(scenes)
        self._dated = np.array([scene.day is not None for scene in scenes])
        self._rule = snapshot.negatives
        self._slid = Places([scene.landslides for scene in scenes], grid)
        self._around = self._slid.grown(self._rule.buffer_m) if self._rule.buffer_m else None
        self._held = Places([scene.stable for scene in scenes], grid)
        self._lat, self._lon = (scenes[0].rain[axis].values.astype(float) for axis in ("lat", "lon"))
        self._fields = np.stack(
            [[getattr(s, name).transpose("lat", "lon").values.astype(float) for s in scenes] for name in RAINS]
        )  # (rain and critical, scenes, lat, lon)
        self.scene_of, self.cells_of = self._slid.scene_of, self._slid.cells_of
        self.stable_scene_of, self.stable_cells_of = self._held.scene_of, self._held.cells_of

    def at(self, block: Block, factors: NDArray[np.float32], scenes: Sequence[int]) -> "Cells":
        """What happened in a block under each of some scenes.

        Args:
            factors: of the block, [10, h, w].
            scenes: positions in the snapshot's scenes.
        """
        rain, critical = self._rain(block, scenes)
        label = self._labels(block, scenes)
        slope = factors[FACTORS.index("slope")]
        label[np.isnan(rain) | np.isnan(factors).any(0) | (slope < self._rule.min_slope_deg)] = np.nan
        if self._hillslopes is None:
            return Cells(rain, label, danger(rain, critical, slope))
        return Cells(rain, label, self._hillslopes.danger(block, rain, slope))

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
        """Labels [scenes, h, w] by the rule above, before factors and rain are asked; what is said last, holds."""
        slid, held = self._slid.inside(block), self._held.inside(block)
        around = self._around.inside(block) if self._around else None
        elsewhere = np.nan if self._rule.rule == "given" else 0.0
        label = np.full((len(scenes), *block.shape), elsewhere, np.float32)
        for cells, number in zip(label, scenes, strict=True):
            own, unclear = np.arange(self.scenes) == number, self._dated != self._dated[number]
            if around:
                cells[around(unclear) | around(own)] = np.nan
            cells[held(own)] = 0
            cells[slid(unclear)] = np.nan
            cells[slid(own)] = 1
        return label


@dataclass(frozen=True)
class Cells:
    """A block under S scenes: rain mm, label (1, 0 or NaN) and danger (`loss` or `stability`), each [S, h, w]."""

    rain: NDArray[np.float32]
    label: NDArray[np.float32]
    danger: NDArray[np.float32]
