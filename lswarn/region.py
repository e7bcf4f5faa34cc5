"""What is watched and how it is judged: region.toml, checked and frozen.

The file may name other files relative to itself. Reading it opens none of them: that a raster really overlaps, or a
vector really has the field, is asked by `groundwork.check`, which is `lswarn region check`.
"""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pyproj import CRS
from pyproj.exceptions import CRSError

from lswarn.errors import RegionError

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


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Strict):
    """Where one factor comes from: a file GDAL opens, a constant, or `derive` from the DEM.

    Attributes:
        file: raster or vector; `layer` and `field` choose within a vector, `band` within a raster.
        nodata: a raster value to read as unknown, besides the file's own nodata tag.
        unit: one of `UNITS`; the standard unit where left out.
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


class Asset(Strict):
    """A vector file of roads, settlements or warning areas, and which of its fields mean what.

    Attributes:
        id: field that names a feature for ever (loading again updates by it).
        name, ref, kind, population: optional fields; `kind` is a road's class.
        point_radius_m: a settlement given as a point stands for a place of this radius.
    """

    file: Path
    layer: str | None = None
    id: str
    name: str | None = None
    ref: str | None = None
    kind: str | None = None
    population: str | None = None
    point_radius_m: float = Field(250.0, gt=0)


class Assets(Strict):
    """What can be hit, and the areas in which warnings are given."""

    roads: Asset
    settlements: Asset
    warning_areas: Asset


class Inventory(Strict):
    """Known landslides: polygons, or points with the radius their location is good to.

    Attributes:
        date: field with the day of the event; undated events meet the place's critical rainfall.
        point_radius_m: a point stands for a landslide of this radius.
    """

    file: Path
    layer: str | None = None
    id: str
    date: str | None = None
    point_radius_m: float = Field(45.0, gt=0)


class RainSource(Strict):
    """One rainfall product and where it lies.

    Attributes:
        product: a name from `rain.products.PRODUCTS`.
        at: folder path or http(s) address of the folder of a day; `{year} {month} {day}` are filled in.
        latency_h: hours after the end of its UTC day by which the product is due.
    """

    product: str
    at: str
    latency_h: float = Field(gt=0)


class Threshold(Strict):
    """Critical 7-day rainfall Rc, mm: one value, a raster, or zones with a field.

    `source` says where the number comes from; it is printed beside every exceedance.
    """

    constant_mm: float | None = Field(None, gt=0)
    file: Path | None = None
    layer: str | None = None
    field: str | None = None
    source: str

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.constant_mm is None) == (self.file is None):
            raise ValueError("give exactly one of constant_mm = … or file = …")
        return self


class Rain(Strict):
    """Products, best first, and the critical rainfall."""

    sources: tuple[RainSource, ...] = Field(min_length=1)
    threshold: Threshold


class Model(Strict):
    """How a model is trained. Its shape travels in the checkpoint, which wins on load.

    Attributes:
        rain: `monotone` (rain enters by a head that can only rise) or `channel` (an input channel, as published).
        base_width, depth: channels of the first level, and how often the U-Net halves.
        steps, batch, crop: optimiser steps, crops a step, cells along a crop's side.
        positive_weight: class weight of landslide cells; left out: a quarter of the balance.
        physics_weight: lambda of the physics penalty; `physics` chooses its form.
        holdout: share of spatial blocks held out from training to judge the model.
        seed: of everything random.
    """

    rain: Literal["monotone", "channel"] = "monotone"
    base_width: int = Field(8, ge=4, le=64)
    depth: int = Field(3, ge=1, le=5)
    steps: int = Field(220, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(128, ge=32)
    positive_weight: float | None = Field(None, gt=0)
    physics_weight: float = Field(0.1, ge=0)
    physics: Literal["linear", "log"] = "linear"
    holdout: float = Field(0.25, gt=0, lt=0.9)
    seed: int = 0


class Alerts(Strict):
    """When to warn.

    Attributes:
        min_zone_m2: smaller zones are not zones.
        red_people: an alert is red once so many people live in very-high zones, orange below.
        clear_after_days: complete days below a level before an alert steps down from it.
    """

    min_zone_m2: float = Field(3600.0, ge=0)
    red_people: int = Field(1, ge=1)
    clear_after_days: int = Field(2, ge=1)


class Subscriber(Strict):
    """Somebody who is told.

    Attributes:
        channel: `email` (address is a mail address) or `webhook` (address is a URL).
        areas: ids of warning areas; empty means all.
    """

    name: str
    channel: Literal["email", "webhook"]
    address: str
    areas: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        if self.channel == "email" and ("@" not in self.address or any(c.isspace() for c in self.address)):
            raise ValueError(f"{self.address!r} is not a mail address")
        if self.channel == "webhook" and not self.address.startswith(("http://", "https://")):
            raise ValueError(f"{self.address!r} is not an http(s) address")
        return self


class Region(Strict):
    """One watched region. Frozen; `digest` goes into every run.

    Attributes:
        name: lower-case identifier, used in paths and the database.
        bbox: west, south, east, north, degrees.
        crs: metric CRS with an EPSG code, in which slopes, lengths and areas are computed.
        resolution_m: cell size.
        made: what of the inputs is made up, printed in every output; empty for a real region.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    title: str
    bbox: tuple[float, float, float, float]
    crs: str
    resolution_m: float = Field(30.0, gt=0, le=1000)
    made: str = ""
    factors: Factors
    assets: Assets
    inventory: Inventory
    rain: Rain
    model: Model = Model()
    alerts: Alerts = Alerts()
    subscribers: tuple[Subscriber, ...] = ()

    @field_validator("bbox")
    @classmethod
    def _bbox(cls, bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        west, south, east, north = bbox
        if not (-180 <= west < east <= 180 and -90 < south < north < 90):
            raise ValueError("must be west, south, east, north in degrees, west < east and south < north")
        return bbox

    @field_validator("crs")
    @classmethod
    def _metric(cls, text: str) -> str:
        try:
            crs = CRS.from_user_input(text)
        except CRSError as error:
            raise ValueError(f"{text!r} is not a coordinate reference system") from error
        if crs.to_epsg() is None or not crs.is_projected or crs.axis_info[0].unit_conversion_factor != 1:
            raise ValueError(f"{text!r} must be a projected CRS in metres with an EPSG code, such as a UTM zone")
        return f"EPSG:{crs.to_epsg()}"

    @field_validator("subscribers")
    @classmethod
    def _distinct(cls, subscribers: tuple[Subscriber, ...]) -> tuple[Subscriber, ...]:
        names = [s.name for s in subscribers]
        if len(set(names)) < len(names):
            raise ValueError("two subscribers have the same name")
        return subscribers

    @property
    def srid(self) -> int:
        """EPSG code of `crs`."""
        return int(self.crs.removeprefix("EPSG:"))

    @property
    def digest(self) -> str:
        """sha256 of every rule and source named in region.toml."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def files(self) -> dict[str, Path]:
        """Every file the region names, by its key in region.toml."""
        found: dict[str, Path | None] = {}
        for section in ("factors", "assets"):
            part = getattr(self, section)
            found |= {f"{section}.{key}": getattr(part, key).file for key in type(part).model_fields}
        found["inventory"] = self.inventory.file
        found["rain.threshold"] = self.rain.threshold.file
        return {key: path for key, path in found.items() if path is not None}


def load_region(path: Path) -> Region:
    """Read region.toml; relative files are taken from its folder.

    Raises:
        RegionError: with every fault found, each naming file, key and value.
    """
    if path.is_dir():
        path = path / "region.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RegionError(f"{path}: no such file; deploy/region.example.toml shows one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegionError(f"{path}: not TOML: {error}") from error
    _anchor(data, path.parent.absolute())
    try:
        return Region.model_validate(data)
    except ValidationError as error:
        raise RegionError(*(f"{path}: {_where(e['loc'])}{e['msg']}{_given(e)}" for e in error.errors())) from error


def _anchor(node: object, folder: Path) -> None:
    """Make every `file`, and every rain folder, absolute, in place in the freshly parsed document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and (key == "file" or (key == "at" and "://" not in value)):
                node[key] = str(folder / value)
            else:
                _anchor(value, folder)
    elif isinstance(node, list):
        for item in node:
            _anchor(item, folder)


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) + ": " if loc else ""


def _given(error: object) -> str:
    value = error.get("input") if isinstance(error, dict) else None
    if isinstance(error, dict) and error["type"] == "missing":
        return ""
    return f" (given: {value!r})" if isinstance(value, str | int | float | bool | list | tuple) else ""


def find_region(named: Path | None, default: Path | None) -> Region:
    """The region a command means: the one it names, else `LSWARN_REGION` (`default`), else ./region.toml.

    Raises:
        RegionError: there is none, or it is at fault.
    """
    chosen = named or default or Path("region.toml")
    if named is None and default is None and not chosen.exists():
        raise RegionError("no region is named, LSWARN_REGION is not set, and there is no region.toml in this folder")
    return load_region(chosen)
