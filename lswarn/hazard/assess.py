"""One day's hazard over a region, block by block, onto disk.

A day's folder is named by the key of everything it was made from, so that the same inputs find their result there,
and a run that was killed leaves nothing that could be taken for one.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from lswarn.errors import CheckpointMismatch
from lswarn.factors.stack import FactorStack
from lswarn.grid import BLOCK_CELLS
from lswarn.hazard.critical import CriticalLayers
from lswarn.hazard.exceedance import area_rain, find_cells
from lswarn.hazard.full import write_full
from lswarn.hazard.primed import write_primed
from lswarn.hazard.rasters import save_rain
from lswarn.hazard.zones import join_pieces, least_cells
from lswarn.rain.grade import Grade
from lswarn.rain.window import RainWindow
from lswarn.workers import Threads, Workers

if TYPE_CHECKING:  # with it comes torch, which a primed day has no need of
    from lswarn.model.predict import Predictor

METHOD = "3"
"""Raised whenever the same inputs would give other results."""

DRAFT_LIFE_S = 86_400
"""A draft untouched for a day was left by a run that was killed; a younger one may be a rival's."""


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
        classes: path of the day's COG.
        probability: path of the other; None on a primed day, which works out none but those of zones: `recall` does so
            from `rain_raster` and the critical layers.
        digests: sha256 of those files and of `rain.tif`, by name.
        zones: GeoDataFrame, EPSG:4326: class (4 or 5), area_m2, probability_mean, probability_max, geometry (Polygon).
        exceedances: GeoDataFrame, EPSG:4326: rain_mm, critical_mm, safety_factor, lower_bound, geometry (a rain cell).
        class_areas: DataFrame: area_id, class (0..5), area_m2.
        area_rain: DataFrame, one row an area, as `exceedance.area_rain` makes it.
        rain_raster: path of the window's rain, mm, as it fell on its own grid.
        layers: folder of the critical layers the day was judged by; None where the model itself was asked.
        beyond_m2: ground with more rain than the model has seen, judged as if it were the most it has: its classes may
            be too low.
        rain_max_mm: the most rain the model has seen, in the same measure; None where it was not asked.
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
    probability: Path | None
    digests: dict[str, str]
    zones: gpd.GeoDataFrame
    exceedances: gpd.GeoDataFrame
    class_areas: pd.DataFrame
    area_rain: pd.DataFrame
    rain_raster: Path | None = None
    layers: Path | None = None
    beyond_m2: float = 0.0
    rain_max_mm: float | None = None

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
    model: Union["Predictor", CriticalLayers],
    areas: gpd.GeoDataFrame,
    folder: Path,
    *,
    min_zone_m2: float,
    on_progress: Callable[[int, int], None],
    block_cells: int = BLOCK_CELLS,
    simplify_m: float = 0.0,
    workers: Workers | None = None,
) -> Assessment:
    """Classes, probabilities, zones, exceedances and class areas of the day the window ends with.

    Args:
        region: its name.
        window: the day's rain.
        critical: Rc on the window's cells, mm, in its measure; see `exceedance.area_rain`.
        factors: the region's stack.
        model: the champion's critical layers on these factors, or the model itself, which is then asked about every
            cell where rain is known. Where none is known at all every cell is UNKNOWN, and neither has a say.
        areas: warning areas with area_id, in any CRS.
        folder: holds the region's days; the result goes to `folder/<day>/<key>/`.
        min_zone_m2: smaller zones are left out.
        on_progress: called with blocks done and blocks in all.
        block_cells: side of a block of the model's, a multiple of the network's phase; more take more memory.
        simplify_m: how far a zone's outline may move, see `zones.join_pieces`.
        workers: who does the blocks; left out, threads: one a core, or one alone where the model is asked, since it
            has the cores to itself.

    Returns:
        The assessment; read from disk where the same inputs have been assessed before.

    Raises:
        CheckpointMismatch: the model was trained on another measure of rain, or the layers are of other factors.
        NotPrimed: the layers are damaged.
    """
    if isinstance(model, CriticalLayers) and model.stack != factors.digest:
        raise CheckpointMismatch(f"{model.folder}: critical layers of other factors; run `lswarn prime`")
    if model.measure != window.measure.name:
        raise CheckpointMismatch(
            f"model {model.model_id} was trained on rain measure {model.measure!r}, region {region} says "
            f"{window.measure.name!r}; train a model (lswarn train), or set rain.measure back"
        )
    areas = areas.to_crs(factors.grid.crs).sort_values("area_id")
    rain = tuple(
        {"day": d.day.isoformat(), "product": d.product, "version": d.version, "sha256": d.sha256, "uri": d.uri}
        for d in window.days
    )
    model_id = model.model_id if window.total.notnull().any() else ""
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
    layers = model.folder if isinstance(model, CriticalLayers) else None
    rules = [min_zone_m2, simplify_m, model.key if isinstance(model, CriticalLayers) else "full"]
    key = _key(described, window, critical, factors.digest, areas, rules)
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
        least = least_cells(factors.grid, min_zone_m2)
        if isinstance(model, CriticalLayers):
            laid = write_primed(draft, window, model, areas, least, workers or Threads(), on_progress)
        else:
            laid = write_full(
                draft, window, factors, model, areas, least, workers or Threads(1), on_progress, block_cells
            )
        save_rain(draft / "rain.tif", window.total)
        zones = join_pieces(laid.pieces, factors.grid, min_zone_m2, simplify_m)
        zones.to_file(draft / "findings.gpkg", layer="zones", driver="GPKG")
        found = find_cells(window, critical)
        found.to_file(draft / "findings.gpkg", layer="exceedances", driver="GPKG")
        described |= {
            "key": key,
            "digests": {path.name: _sha256(path) for path in sorted(draft.glob("*.tif"))},
            "layers": str(layers) if layers else None,
            "rain_max_mm": float(model.rain_max_mm) if model_id else None,
            "beyond_m2": laid.beyond * factors.grid.cell_m2,
            "class_areas": _area_table(laid.cells, areas, factors.grid.cell_m2).to_dict(orient="list"),
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
        probability=folder / "probability.tif" if "probability.tif" in told["digests"] else None,
        digests=told["digests"],
        zones=gpd.read_file(folder / "findings.gpkg", layer="zones"),
        exceedances=gpd.read_file(folder / "findings.gpkg", layer="exceedances"),
        class_areas=pd.DataFrame(told["class_areas"]),
        area_rain=pd.DataFrame(told["area_rain"]),
        rain_raster=folder / "rain.tif",
        layers=Path(told["layers"]) if told["layers"] else None,
        beyond_m2=told["beyond_m2"],
        rain_max_mm=told["rain_max_mm"],
    )


def _area_table(cells: NDArray[np.int64], areas: gpd.GeoDataFrame, cell_m2: float) -> pd.DataFrame:
    """Area of each class that occurs in each warning area."""
    by_area, by_class = np.nonzero(cells[1:])
    return pd.DataFrame(
        {
            "area_id": areas["area_id"].to_numpy()[by_area],
            "class": by_class,
            "area_m2": cells[1:][by_area, by_class] * cell_m2,
        }
    )


def _key(
    described: dict[str, Any],
    window: RainWindow,
    critical: xr.DataArray,
    stack: str,
    areas: gpd.GeoDataFrame,
    rules: list[Any],
) -> str:
    # The same granule from another server is the same rain.
    rain = [{name: value for name, value in day.items() if name != "uri"} for day in described["rain"]]
    told = critical["source"].values.tolist() if "source" in critical.coords else critical.attrs.get("source", "")
    inputs = [METHOD, described | {"rain": rain}, stack, *rules, told]
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
