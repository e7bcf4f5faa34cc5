"""[inventory]: which landslides are known, and what may be learnt from them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from lswarn.sections.strict import Strict


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
