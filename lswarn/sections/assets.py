"""[assets]: what can be hit, and the areas in which warnings are given."""

from pathlib import Path

from pydantic import Field

from lswarn.sections.strict import Strict


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
