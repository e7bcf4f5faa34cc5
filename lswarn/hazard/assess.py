"""One day's hazard over a region, block by block, onto disk.

A day's folder is named by the key of everything it was made from, so that the same inputs find their result there,
and a run that was killed leaves nothing that could be taken for one.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import rasterio.shutil
import xarray as xr
from numpy.typing import NDArray
from rasterio.features import rasterize

from lswarn.errors import CheckpointMismatch
from lswarn.factors.stack import FactorStack
from lswarn.grid import BLOCK_CELLS, Block, Grid, sample
from lswarn.hazard.classes import Class, classify
from lswarn.hazard.exceedance import area_rain, find_cells
from lswarn.hazard.zones import block_pieces, join_pieces
from lswarn.model.predict import Predictor
from lswarn.rain.grade import Grade
from lswarn.rain.window import RainWindow

METHOD = "2"
"""Raised whenever the same inputs would give other results."""

DRAFT_LIFE_S = 86_400
"""A draft untouched for a day was left by a run that was killed; a younger one may be a rival's."""

PROBABILITY_STEP = 2e-5
"""The probability raster counts in these steps, as uint16; 65535 is unknown."""
UNKNOWN_PROBABILITY = 65535


@dataclass(frozen=True)
class Assessment:
    """What was found for one day: rasters on disk, findings in memory.

    Attributes:
        region, day: whose, and which day's.
        lead_days: how many of its last days of rain are forecast; 0 where all are past.
        key: sha256 of everything it was made from (rain, factors, model, rules, areas): same key, same result.
        grade: of the rain window.
        measure, measure_title: what the rain is of the seven days, by name and for people.
        model_id: checkpoint used; empty where no rain is known at all, so that no model is asked.
        rain: one dict a day of the window (day, product, version, sha256, uri), oldest first.
        missing: days of the window without rain.
        classes, probability: paths of the day's COGs.
        digests: sha256 of those files, by name.
        zones: GeoDataFrame, EPSG:4326: class (4 or 5), area_m2, probability_mean, probability_max, geometry (Polygon).
        exceedances: GeoDataFrame, EPSG:4326: rain_mm, critical_mm, safety_factor, lower_bound, geometry (a rain cell).
        class_areas: DataFrame: area_id, class (0..5), area_m2.
        area_rain: DataFrame, one row an area, as `exceedance.area_rain` makes it.
    """

    region: str
    day: date
    lead_days: int
    key: str
    grade: Grade
    measure: str
    measure_title: str
    model_id: str
    rain: tuple[dict[str, str], ...]
    missing: tuple[date, ...]
    classes: Path
    probability: Path
    digests: dict[str, str]
    zones: gpd.GeoDataFrame
    exceedances: gpd.GeoDataFrame
    class_areas: pd.DataFrame
    area_rain: pd.DataFrame

    @property
    def complete_areas(self) -> frozenset[str]:
        """Warning areas whose seven days of rain were all observed: there, low means low."""
        return frozenset(self.area_rain["area_id"][self.area_rain["known"]])

    @property
    def observed_to(self) -> date:
        """Last day that is no forecast."""
        return self.day - timedelta(days=self.lead_days)


def assess(
    region: str,
    window: RainWindow,
    critical: xr.DataArray,
    factors: FactorStack,
    predictor: Predictor,
    areas: gpd.GeoDataFrame,
    folder: Path,
    *,
    min_zone_m2: float,
    on_progress: Callable[[int, int], None],
    block_cells: int = BLOCK_CELLS,
) -> Assessment:
    """Classes, probabilities, zones, exceedances and class areas of the day the window ends with.

    Args:
        region: its name.
        window: the day's rain.
        critical: Rc on the window's cells, mm, in its measure; see `exceedance.area_rain`.
        factors: the region's stack.
        predictor: the champion; not asked where no rain is known at all, and every cell is UNKNOWN.
        areas: warning areas with area_id, in any CRS.
        folder: holds the region's days; the result goes to `folder/<day>/<key>/`.
        min_zone_m2: smaller zones are left out.
        on_progress: called with blocks done and blocks in all.
        block_cells: side of a block, a multiple of the network's phase; more take more memory.

    Returns:
        The assessment; read from disk where the same inputs have been assessed before.

    Raises:
        CheckpointMismatch: the model was trained on another measure of rain.
    """
    if predictor.measure != window.measure.name:
        raise CheckpointMismatch(
            f"model {predictor.model_id} was trained on rain measure {predictor.measure!r}, region {region} says "
            f"{window.measure.name!r}; train a model (lswarn train), or set rain.measure back"
        )
    areas = areas.to_crs(factors.grid.crs).sort_values("area_id")
    rain = tuple(
        {"day": d.day.isoformat(), "product": d.product, "version": d.version, "sha256": d.sha256, "uri": d.uri}
        for d in window.days
    )
    model_id = predictor.model_id if window.total.notnull().any() else ""
    described: dict[str, Any] = {
        "region": region,
        "day": window.day.isoformat(),
        "lead_days": window.lead_days,
        "grade": window.grade.value,
        "measure": window.measure.name,
        "measure_title": window.measure.title,
        "model_id": model_id,
        "rain": rain,
        "missing": [day.isoformat() for day in window.missing],
    }
    key = _key(described, window, critical, factors.digest, areas, min_zone_m2)
    final = folder / window.day.isoformat() / key[:16]
    if (final / "assessment.json").exists():
        return load_assessment(final)

    final.parent.mkdir(parents=True, exist_ok=True)
    for dead in final.parent.glob(".draft-*"):
        with suppress(FileNotFoundError):  # a rival's draft may get its final name this moment
            if time.time() - dead.stat().st_mtime > DRAFT_LIFE_S:
                shutil.rmtree(dead, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=final.parent))
    try:
        blocks = list(factors.grid.blocks(block_cells))
        pieces, class_m2 = _write_rasters(draft, blocks, window, factors, predictor, areas, on_progress)
        zones = join_pieces(pieces, factors.grid.crs, factors.grid.cell_m2, min_zone_m2)
        zones.to_file(draft / "findings.gpkg", layer="zones", driver="GPKG")
        found = find_cells(window, critical)
        found.to_file(draft / "findings.gpkg", layer="exceedances", driver="GPKG")
        described |= {
            "key": key,
            "digests": {name: _sha256(draft / name) for name in ("classes.tif", "probability.tif")},
            "class_areas": class_m2.to_dict(orient="list"),
            "area_rain": area_rain(window, critical, areas).to_dict(orient="list"),
        }
        (draft / "assessment.json").write_text(json.dumps(described, indent=1), "utf-8")
        draft.chmod(0o755)
        try:
            draft.rename(final)
        except OSError:
            if not (final / "assessment.json").exists():  # a rival run with the same inputs may have been faster
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return load_assessment(final)


def load_assessment(folder: Path) -> Assessment:
    """Read a day's folder as `assess` left it."""
    told = json.loads((folder / "assessment.json").read_text("utf-8"))
    return Assessment(
        region=told["region"],
        day=date.fromisoformat(told["day"]),
        lead_days=told["lead_days"],
        key=told["key"],
        grade=Grade(told["grade"]),
        measure=told["measure"],
        measure_title=told["measure_title"],
        model_id=told["model_id"],
        rain=tuple(told["rain"]),
        missing=tuple(date.fromisoformat(day) for day in told["missing"]),
        classes=folder / "classes.tif",
        probability=folder / "probability.tif",
        digests=told["digests"],
        zones=gpd.read_file(folder / "findings.gpkg", layer="zones"),
        exceedances=gpd.read_file(folder / "findings.gpkg", layer="exceedances"),
        class_areas=pd.DataFrame(told["class_areas"]),
        area_rain=pd.DataFrame(told["area_rain"]),
    )


def _write_rasters(
    folder: Path,
    blocks: Sequence[Block],
    window: RainWindow,
    factors: FactorStack,
    predictor: Predictor,
    areas: gpd.GeoDataFrame,
    on_progress: Callable[[int, int], None],
) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Write classes.tif and probability.tif; return the zones' pieces and the class areas."""
    grid = factors.grid
    cells = np.zeros((len(areas) + 1, len(Class)), dtype=np.int64)
    pieces = []
    profile = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "crs": grid.crs}
    profile |= {"transform": grid.transform, "tiled": True, "blockxsize": 512, "blockysize": 512, "BIGTIFF": "IF_SAFER"}
    with (
        rasterio.open(folder / "classes.raw", "w", dtype="uint8", **profile) as class_file,
        rasterio.open(
            folder / "probability.raw", "w", dtype="uint16", nodata=UNKNOWN_PROBABILITY, **profile
        ) as probability_file,
    ):
        class_file.write_colormap(1, {c.value: tuple(bytes.fromhex(c.colour[1:])) for c in Class})
        probability_file.scales = (PROBABILITY_STEP,)
        for done, block in enumerate(blocks, 1):
            probability = _probability(block, window, factors, predictor)
            classes = classify(probability, predictor.breaks, lower_bound=_lower_bound(block, window, grid))
            class_file.write(classes, 1, window=block.window)
            steps = np.where(np.isnan(probability), UNKNOWN_PROBABILITY, np.round(probability / PROBABILITY_STEP))
            probability_file.write(steps.astype(np.uint16), 1, window=block.window)
            pieces.append(block_pieces(classes, probability, grid.block_transform(block)))
            cells += _cells_by_area(classes, areas, grid, block)
            on_progress(done, len(blocks))
    for name, overviews in (("classes", "mode"), ("probability", "average")):
        raw = folder / f"{name}.raw"
        rasterio.shutil.copy(
            raw,
            folder / f"{name}.tif",
            driver="COG",
            compress="deflate",
            overview_resampling=overviews,
            predictor="yes",
        )
        raw.unlink()
    by_area, by_class = np.nonzero(cells[1:])
    class_m2 = pd.DataFrame(
        {
            "area_id": areas["area_id"].to_numpy()[by_area],
            "class": by_class,
            "area_m2": cells[1:][by_area, by_class] * grid.cell_m2,
        }
    )
    return pieces, class_m2


def _probability(block: Block, window: RainWindow, factors: FactorStack, predictor: Predictor) -> NDArray[np.float32]:
    """Probability of a block's cells, NaN where rain or any factor is unknown."""
    halo = predictor.halo
    around = block.with_halo(halo)
    rain = sample(window.total, factors.grid, around)
    if np.isnan(rain).all():
        return np.full(block.shape, np.nan, dtype=np.float32)
    probability = predictor.probability(factors.read(around), rain)
    return probability[halo : halo + block.height, halo : halo + block.width]


def _lower_bound(block: Block, window: RainWindow, grid: Grid) -> NDArray[np.bool_] | bool:
    """Where a block's rain is interpolated from any that is a lower bound."""
    if not window.lower_bound.any():
        return False
    return sample(window.lower_bound.astype(float), grid, block) > 0


def _cells_by_area(classes: NDArray[np.uint8], areas: gpd.GeoDataFrame, grid: Grid, block: Block) -> NDArray[np.int64]:
    """Count of cells [area, class]; row 0 counts the cells outside every area."""
    numbers = np.zeros(block.shape, dtype=np.int32)
    if len(areas):
        burnt = zip(areas.geometry, range(1, len(areas) + 1), strict=True)
        rasterize(burnt, out=numbers, transform=grid.block_transform(block))
    size = (len(areas) + 1) * len(Class)
    return np.bincount((numbers * len(Class) + classes).ravel(), minlength=size).reshape(-1, len(Class))


def _key(
    described: dict[str, Any],
    window: RainWindow,
    critical: xr.DataArray,
    stack: str,
    areas: gpd.GeoDataFrame,
    min_zone_m2: float,
) -> str:
    # The same granule from another server is the same rain.
    rain = [{name: value for name, value in day.items() if name != "uri"} for day in described["rain"]]
    told = critical["source"].values.tolist() if "source" in critical.coords else critical.attrs.get("source", "")
    inputs = [METHOD, described | {"rain": rain}, stack, min_zone_m2, told]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    # The same granules make other totals where a rule, a grid or a quantile map is another.
    for field in (window.total, window.known_days, critical):
        for values in (field["lat"], field["lon"], field.transpose("lat", "lon")):
            digest.update(np.ascontiguousarray(values.values, dtype=np.float64).tobytes())
    for area_id, wkb in zip(areas["area_id"], areas.geometry.to_wkb(), strict=True):
        digest.update(f"{area_id}\0".encode() + wkb)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
