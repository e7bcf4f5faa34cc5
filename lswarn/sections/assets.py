"""[assets]: what can be hit, and the areas in which warnings are given."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from lswarn.sections.strict import Strict

EXTRACTS = (".pbf", ".osm")
"""Endings of the files of OpenStreetMap, whose layers and tags are known."""


class Asset(Strict):
    """A vector file of roads, settlements or warning areas, and which of its fields mean what.

    In an extract of OpenStreetMap (.osm.pbf, .osm) a field is a tag, and what is left out is taken from
    `lswarn.assets.OSM`.

    Attributes:
        id: field that names a feature for ever (loading again updates by it).
        name, ref, kind, population: optional fields; `kind` is a road's class.
        kinds: only features of these kinds count, as the file spells them; left out: all, and of OpenStreetMap the
            roads that cars take. A feature whose kind is not given counts.
        point_radius_m: a settlement given as a point stands for a place of this radius.
    """

    file: Path
    layer: str | None = None
    id: str | None = None
    name: str | None = None
    ref: str | None = None
    kind: str | None = None
    kinds: tuple[str, ...] | None = Field(None, min_length=1)
    population: str | None = None
    point_radius_m: float = Field(250.0, gt=0)

    @property
    def is_extract(self) -> bool:
        """Whether the file is of OpenStreetMap, by its name."""
        return self.file.name.lower().endswith(EXTRACTS)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.is_extract:
            if self.id not in (None, "osm_id"):
                raise ValueError("the id of a feature of OpenStreetMap is osm_id; take id out")
        elif self.id is None:
            raise ValueError("give id = …, the field that names a feature for ever: loading again updates by it")
        elif self.kinds and self.kind is None:
            raise ValueError("kinds needs kind = …, the field that says of what kind a feature is")
        return self


class Assets(Strict):
    """What can be hit, and the areas in which warnings are given."""

    roads: Asset
    settlements: Asset
    warning_areas: Asset
