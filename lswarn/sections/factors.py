"""[factors]: where the ten conditioning factors come from."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from lswarn.sections.strict import Strict

FACTORS = (
    "slope",
    "curvature",
    "aspect",
    "landform",
    "rock_type",
    "river_distance",
    "fault_distance",
    "rainfall",
    "temperature",
    "seismic_intensity",
)
"""The ten conditioning factors, in the order of every stack, checkpoint and tensor."""

UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "dem": {"m": (1.0, 0.0), "ft": (0.3048, 0.0)},
    "slope": {"deg": (1.0, 0.0)},
    "curvature": {"1/m": (1.0, 0.0)},
    "aspect": {"deg": (1.0, 0.0)},
    "landform": {"class": (1.0, 0.0)},
    "rock_type": {"class": (1.0, 0.0)},
    "river_distance": {"m": (1.0, 0.0), "km": (1000.0, 0.0)},
    "fault_distance": {"m": (1.0, 0.0), "km": (1000.0, 0.0)},
    "rainfall": {"mm/year": (1.0, 0.0), "mm/month": (12.0, 0.0)},
    "temperature": {"degC": (1.0, 0.0), "K": (1.0, -273.15)},
    "seismic_intensity": {"g": (1.0, 0.0), "m/s2": (1 / 9.80665, 0.0)},
}
"""Units a source may declare, with the scale and offset to the first one, which is the unit used everywhere."""

DERIVABLE = ("slope", "curvature", "aspect", "landform", "river_distance", "temperature")


class Source(Strict):
    """Where one factor comes from: a file GDAL opens, a constant, or `derive` from the DEM.

    Attributes:
        file: raster or vector; `layer` and `field` choose within a vector, `band` within a raster.
        nodata: a raster value to read as unknown, besides the file's own nodata tag.
        unit: one of `UNITS`; the standard unit where left out.
        licence: under which terms the file may be used; printed in the model card.
        constant: one value for the whole region, in `unit`.
        derive: computed from the DEM (rivers: from its flow accumulation).
        sea_level_deg_c, lapse_deg_c_per_km: of a derived temperature.
        min_upslope_km2: a derived river starts where this much land drains through a cell.
    """

    file: Path | None = None
    layer: str | None = None
    field: str | None = None
    band: int = Field(1, ge=1)
    nodata: float | None = None
    unit: str | None = None
    licence: str = ""
    constant: float | None = None
    derive: bool = False
    sea_level_deg_c: float = 15.0
    lapse_deg_c_per_km: float = Field(6.5, ge=0, le=12)
    min_upslope_km2: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum((self.file is not None, self.constant is not None, self.derive)) != 1:
            raise ValueError('give exactly one of file = "…", constant = …, or "derive"')
        return self


def _source(value: object) -> object:
    return {"derive": True} if value == "derive" else value


AnySource = Annotated[Source, BeforeValidator(_source)]


class Factors(Strict):
    """The DEM and the sources of the ten factors."""

    dem: AnySource
    slope: AnySource = Source(derive=True)
    curvature: AnySource = Source(derive=True)
    aspect: AnySource = Source(derive=True)
    landform: AnySource = Source(derive=True)
    rock_type: AnySource
    river_distance: AnySource
    fault_distance: AnySource
    rainfall: AnySource
    temperature: AnySource
    seismic_intensity: AnySource

    @model_validator(mode="after")
    def _units_and_derivations(self) -> Self:
        faults = []
        for name, units in UNITS.items():
            source: Source = getattr(self, name)
            if source.unit is not None and source.unit not in units:
                faults.append(f"{name}: unit {source.unit!r} is unknown; use one of {', '.join(units)}")
            if source.derive and name not in DERIVABLE:
                faults.append(f"{name} cannot be derived from the DEM; give a file or a constant")
        if self.dem.file is None:
            faults.append("dem needs a file")
        if faults:
            raise ValueError("; ".join(faults))
        return self
