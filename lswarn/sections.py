"""The sections of region.toml: every entry, what it means, and what it may be.

Frozen, and an unknown key is an error: a misspelt rule would be a rule that silently does not hold.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

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


PhysicsSource = Literal["threshold", "infinite-slope"]


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class Negatives(Strict):
    """Which ground counts as stable. A score moves by more with this rule than with the choice of the model.

    Attributes:
        rule: `elsewhere`: all known ground that did not slide; `given`: only places that the inventory gives as not
            having slid, all else is unknown.
        buffer_m: ground within so many metres of a landslide but not in it is unknown.
        min_slope_deg: flatter ground is unknown, and a landslide mapped there as well: it teaches nothing, and no model
            is judged there.
    """

    rule: Literal["elsewhere", "given"] = "elsewhere"
    buffer_m: float = Field(0.0, ge=0, le=10_000)
    min_slope_deg: float = Field(0.0, ge=0, lt=90)


class Inventory(Strict):
    """Known landslides: polygons, or points with the accuracy of their location, in a vector file or a CSV.

    A column that is not named is recognised by the names in `inventory.COLUMNS`, those of NASA's catalogues among them.

    Attributes:
        id: field that names an event for ever (loading again updates by it). Where none is recognised, an id is made of
            the event's place and day.
        date: field with the day of the event; undated events meet the place's critical rainfall.
        accuracy: field with how far off the location may be: metres, or words such as `exact`, `5km`, `unknown`. In a
            file without one, a point's location is good to `point_radius_m`, and a polygon lies as it was drawn.
        trigger: field with what set the landslide off.
        label: field that says whether a row is a landslide or a place that did not slide; left out: all are landslides.
        stable: what `label` says of a place that did not slide, in capitals or not. A row without a label is left out.
        x, y: columns of a CSV with longitude and latitude, degrees; or east and north in `crs`.
        crs: of x and y; left out: degrees (EPSG:4326).
        point_radius_m: a point stands for a landslide of this radius.
        max_accuracy_m: an event whose location is worse is kept but not learnt from. 100 m: off by three cells of 30 m
            it is still on its hillside; a point good to 1 km would teach the slope of another one.
        licence: under which terms it may be used; printed in the model card.
        triggers: what is learnt from: families (`rain`, `melt`, `other`, `unknown`), or words as they stand in the
            file. Earthquakes never teach rain.
        negatives: which ground counts as stable.
    """

    file: Path
    layer: str | None = None
    id: str | None = None
    date: str | None = None
    accuracy: str | None = None
    trigger: str | None = None
    label: str | None = None
    stable: tuple[str, ...] = Field(("FALSE", "0", "no"), min_length=1)
    x: str | None = None
    y: str | None = None
    crs: str | None = None
    point_radius_m: float = Field(45.0, gt=0)
    max_accuracy_m: float = Field(100.0, gt=0)
    licence: str = ""
    triggers: tuple[str, ...] = Field(("rain", "unknown"), min_length=1)
    negatives: Negatives = Negatives()

    @property
    def is_table(self) -> bool:
        """Whether the file is a CSV, with coordinates in columns."""
        return self.file.suffix.lower() in (".csv", ".tsv", ".txt")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if any("earthquake" in trigger.lower() for trigger in self.triggers):
            raise ValueError("triggers: an earthquake teaches nothing about rain; take it out")
        if (self.x is None) != (self.y is None):
            raise ValueError("give both x = … and y = …, or neither")
        if not self.is_table and (self.x or self.crs):
            raise ValueError("x, y and crs are of a CSV; a vector file has geometries and says its CRS")
        if self.negatives.rule == "given" and self.label is None:
            raise ValueError('negatives.rule = "given" needs label = …, the field that says which places did not slide')
        return self


class RainLayout(Strict):
    """How the files of a product that lswarn does not know hold a day.

    Attributes:
        variable: of a NetCDF file; `band` of a GeoTIFF. Exactly one of them.
        unit: of the values; a rate is a mean over the day.
        ends_h: hours from 00 UTC of the date in a file's name to the end of its 24 hours: 24 is the UTC day itself, 6
            the gauge day that ends at 06 UTC on its date. A UTC day takes the file that shares most hours with it.
        missing: values that mean unknown, besides what the file itself says.
    """

    variable: str | None = None
    band: int | None = Field(None, ge=1)
    unit: Literal["mm", "0.1 mm", "cm", "m", "inch", "mm/h", "kg m-2 s-1"]
    ends_h: float = Field(24.0, ge=0, le=48)
    missing: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.variable is None) == (self.band is None):
            raise ValueError("give exactly one of variable = … (NetCDF) or band = … (GeoTIFF)")
        return self


class RainSource(Strict):
    """One rainfall product and where it lies.

    Attributes:
        product: a name from `rain.products.PRODUCTS`; any other name needs a `layout`.
        at: folder, or http(s) address of the folder listing or of CMR's granule search; `{year} {month} {day} {doy}`
            are filled in, of a forecast's issue. With a `layout`: of the file, whose name may hold `*`. Left out: the
            product's own address.
        latency_h: hours after the end of a day by which the product is due; left out: the product's own.
        connections: at most so many at a time to its server.
        layout: of a product that lswarn does not know.
        quantile_map: file of `lswarn rain mapping`, which brings this product into the terms of the first one.
        licence: under which terms it may be used; printed in the model card.
    """

    product: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,40}$")
    at: str | None = None
    latency_h: float | None = Field(None, gt=0)
    connections: int = Field(4, ge=1, le=16)
    layout: RainLayout | None = None
    quantile_map: Path | None = None
    licence: str = ""

    @model_validator(mode="after")
    def _layout_has_an_address(self) -> Self:
        if self.layout is not None and (self.at is None or self.latency_h is None):
            raise ValueError("a product with a layout needs at = … and latency_h = …")
        return self


class ThresholdZones(Strict):
    """Polygons whose critical rainfall overrides the rest, each with its source and date."""

    file: Path
    layer: str | None = None
    field: str
    source_field: str = "source"
    date_field: str = "date"


class Threshold(Strict):
    """Critical rainfall Rc, mm, in the region's measure: one value or a raster, and zones that override it.

    `source` says where the value or raster comes from; it is printed beside every exceedance outside the zones.
    """

    constant_mm: float | None = Field(None, gt=0)
    file: Path | None = None
    source: str = ""
    zones: ThresholdZones | None = None

    @model_validator(mode="after")
    def _some_origin(self) -> Self:
        if self.constant_mm is not None and self.file is not None:
            raise ValueError("give one of constant_mm = … or file = …, not both")
        if self.constant_mm is None and self.file is None and self.zones is None:
            raise ValueError("give constant_mm = …, file = … or zones = …")
        if (self.constant_mm is not None or self.file is not None) and not self.source:
            raise ValueError("say where the critical rainfall comes from: source = …")
        return self


class Rain(Strict):
    """Products, best first, forecasts, and the critical rainfall.

    Attributes:
        sources: observed products, best first.
        forecasts: forecast products of an outlook, best first.
        measure: what is made of seven days: `sum`; `ari`, the antecedent index; `effective`, with decay `effective_k`.
        min_known_days: with fewer of its seven days known, a cell is unknown; with one unknown, a lower bound.
    """

    sources: tuple[RainSource, ...] = Field(min_length=1)
    forecasts: tuple[RainSource, ...] = ()
    measure: Literal["sum", "ari", "effective"] = "sum"
    effective_k: float = Field(0.84, gt=0, lt=1)
    min_known_days: int = Field(6, ge=1, le=7)
    threshold: Threshold

    @field_validator("sources", "forecasts")
    @classmethod
    def _distinct(cls, sources: tuple[RainSource, ...]) -> tuple[RainSource, ...]:
        if len({source.product for source in sources}) < len(sources):
            raise ValueError("a product is named twice")
        return sources


class InfiniteSlope(Strict):
    """The soil of an infinite slope, as `model.stability` reads it: one for the whole region.

    Attributes:
        cohesion: of soil and roots, over the weight of the soil's depth: (Cr + Cs) / (h·ρs·g), without a unit.
        friction_deg: angle of internal friction.
        transmissivity_m2_day: what the soil's whole depth carries downhill.
        water_to_soil: density of water over that of wet soil.
        source: where the figures come from.
    """

    cohesion: float = Field(ge=0, le=1)  # kPa given by mistake are above 1, radians below 5
    friction_deg: float = Field(ge=5, le=60)
    transmissivity_m2_day: float = Field(ge=0.01, le=10_000)
    water_to_soil: float = Field(0.5, ge=0.3, le=0.8)
    source: str = ""


class Model(Strict):
    """How a model is trained. Its shape travels in the checkpoint, which wins on load.

    Attributes:
        network: `unet`; a rival of the publication, `bpnn` (every cell by itself) or `resnet`; a plain baseline,
            `slope` (nothing else), `logistic` or `boosting`; or `ensemble`, the mean of `unet` and `boosting`. Left
            out: what the newest `lswarn evaluate` of the region found best; before there is one, `ensemble`.
        rain: `monotone` (more rain can only raise the probability) or `channel` (one more input, as published).
        base_width: channels of the U-Net's first level; the ResNet has twice, the BPNN four times as many throughout.
        depth: how often the U-Net halves. Held-out ground has a guard band as wide as this sees, whatever the network,
            so that all are judged on the same cells. Of this size and the next smaller one, inner held-out ground
            chooses.
        steps, batch, crop: at most so many optimiser steps (inner held-out ground chooses), crops a step, cells along a
            crop's side.
        positive_weight: class weight of landslide cells; left out: a quarter of the balance.
        physics_weight: lambda of the physics penalty; `physics` chooses its form.
        physics_source: what says where a low probability is wrong: `threshold`, rain above the critical rainfall; or
            `infinite-slope`, a safety factor below 1, for which `soil` is needed.
        holdout: share of spatial blocks held out from training to judge the model.
        seed: of everything random.
    """

    network: Literal["unet", "bpnn", "resnet", "slope", "logistic", "boosting", "ensemble"] | None = None
    rain: Literal["monotone", "channel"] = "monotone"
    base_width: int = Field(8, ge=4, le=64)
    depth: int = Field(3, ge=1, le=5)
    steps: int = Field(160, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(128, ge=32)
    positive_weight: float | None = Field(None, gt=0)
    physics_weight: float = Field(0.1, ge=0)
    physics: Literal["linear", "log"] = "linear"
    physics_source: PhysicsSource = "threshold"
    soil: InfiniteSlope | None = None
    holdout: float = Field(0.25, gt=0, lt=0.9)
    seed: int = 0

    @model_validator(mode="after")
    def _soil_and_its_use(self) -> Self:
        if self.physics_source == "infinite-slope" and self.soil is None:
            raise ValueError(
                'physics_source = "infinite-slope" needs the soil: [model.soil] with cohesion = …, friction_deg = …, '
                "transmissivity_m2_day = …"
            )
        if self.physics_source != "infinite-slope" and self.soil is not None:
            raise ValueError(
                f'soil is not used with physics_source = "{self.physics_source}": set "infinite-slope", or take it out'
            )
        return self


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
