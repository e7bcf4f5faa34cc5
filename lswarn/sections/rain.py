"""[rain]: products, best first, and the critical rainfall."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from lswarn.sections.strict import Strict


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
