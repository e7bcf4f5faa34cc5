"""The sections of region.toml: every entry, what it means, and what it may be.

Frozen, and an unknown key is an error: a misspelt rule would be a rule that silently does not hold.
"""

from lswarn.sections.alerts import Alerts, Cap, Subscriber
from lswarn.sections.assets import Asset, Assets
from lswarn.sections.factors import DERIVABLE, FACTORS, UNITS, AnySource, Factors, Source
from lswarn.sections.inventory import Inventory, Negatives
from lswarn.sections.model import InfiniteSlope, Model, PhysicsSource
from lswarn.sections.rain import Rain, RainLayout, RainSource, Threshold, ThresholdZones
from lswarn.sections.retention import Retention
from lswarn.sections.strict import Strict

__all__ = [
    "DERIVABLE",
    "FACTORS",
    "UNITS",
    "Alerts",
    "AnySource",
    "Asset",
    "Assets",
    "Cap",
    "Factors",
    "InfiniteSlope",
    "Inventory",
    "Model",
    "Negatives",
    "PhysicsSource",
    "Rain",
    "RainLayout",
    "RainSource",
    "Retention",
    "Source",
    "Strict",
    "Subscriber",
    "Threshold",
    "ThresholdZones",
]
