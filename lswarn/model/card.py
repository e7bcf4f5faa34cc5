"""A model's card: what it is, what it was made from, what it is worth and where it ends, for those who did not make it.

Markdown, so that it reads as well in a terminal as on a page (door: disk).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from jinja2 import Environment, PackageLoader, StrictUndefined

from lswarn.model.checkpoint import Checkpoint
from lswarn.model.drift import GROUND, LITTLE, MUCH, Shift, in_words
from lswarn.model.newest import newest_year
from lswarn.model.samples import Snapshot, rule_in_words
from lswarn.model.skill import finite
from lswarn.model.unet import sight
from lswarn.region import Region
from lswarn.sections import FACTORS, Model, Source

CLASSES = ("very low", "low", "moderate", "high", "very high")
NOT_STATED = "not stated"
KINDS = {
    "unet": "a U-Net: a network that sees a cell's surroundings",
    "bpnn": "a perceptron that sees every cell by itself",
    "resnet": "a residual network",
    "slope": "the slope, and nothing else",
    "logistic": "a logistic regression on single cells",
    "boosting": "gradient boosting: decision trees on single cells",
    "blend": "the weighted mean log-odds of gradient boosting and a logistic regression",
    "ensemble": "the weighted mean log-odds of a U-Net, gradient boosting and a logistic regression",
}
LEARNT_BY_STEPS = ("unet", "bpnn", "resnet", "ensemble")
"""Kinds whose loss holds the physics."""


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        figures: as the database keeps them: those of `evaluate.Evaluation`, and `verdict` of the gate. What is missing
            or null is not told.
        snapshot: None where it is no longer there.
        drift: as it was last asked, the newest rain first.
        software: name and version of what writes the card.
    """

    region: Region
    model_id: str
    role: str
    made_at: datetime
    checkpoint: Checkpoint
    figures: Mapping[str, Any]
    snapshot: Snapshot | None
    drift: Sequence[Shift]
    software: str


@dataclass(frozen=True)
class Data:
    """What a snapshot holds, counted, and which days of it were kept from a model; `kept` None: it does not tell."""

    storms: int
    quiet: int
    dated: int
    undated: int
    first: str
    last: str
    kept: str | None
    kept_landslides: int

    @classmethod
    def of(cls, snapshot: Snapshot, checkpoint: Checkpoint) -> Self:
        """Count them."""
        dated = [scene for scene in snapshot.scenes if scene.day is not None]
        days = sorted(str(scene.day) for scene in dated)
        newest = [snapshot.scenes[i] for i in newest_year(snapshot)]
        kept = [scene for scene in newest if scene.day not in checkpoint.learnt_days]
        span = sorted(str(scene.day) for scene in kept)
        return cls(
            storms=sum(bool(scene.landslides) for scene in dated),
            quiet=sum(not scene.landslides for scene in dated),
            dated=sum(len(scene.landslides) for scene in dated),
            undated=sum(len(scene.landslides) for scene in snapshot.scenes if scene.day is None),
            first=days[0] if days else "",
            last=days[-1] if days else "",
            kept=(" to ".join(dict.fromkeys((*span[:1], *span[-1:])))) if checkpoint.learnt_days else None,
            kept_landslides=sum(len(scene.landslides) for scene in kept),
        )


def model_card(facts: Facts) -> str:
    """The card, in Markdown."""
    env = Environment(
        loader=PackageLoader("lswarn.model"),
        autoescape=False,  # noqa: S701 (Markdown, not HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"n": _number, "percent": _percent, "cell": _cell}
    config = facts.checkpoint.config
    figures: dict[str, Any] = finite(dict(facts.figures))
    periods = list(dict.fromkeys(each.of for each in facts.drift if each.of != GROUND))
    return env.get_template("model_card.md.j2").render(
        facts=facts,
        region=facts.region,
        checkpoint=facts.checkpoint,
        config=config,
        kind=KINDS[config.network or "ensemble"],
        monotone=config.rain == "monotone" or config.network in ("slope", "logistic"),
        physics=_physics(config),
        guard_cells=sight(config.depth),
        data=None if facts.snapshot is None else Data.of(facts.snapshot, facts.checkpoint),
        negatives="" if facts.snapshot is None else rule_in_words(facts.snapshot),
        figures={name: figures.get(name) for name in _ASKED},
        verdict=figures.get("verdict"),
        classes=list(zip(CLASSES, figures.get("class_table") or (), strict=False)),
        rises=_rises(figures.get("class_table") or ()),
        ground=sorted((each for each in facts.drift if each.of == GROUND), key=lambda each: -each.psi),
        rain=[each for each in facts.drift if each.of in periods[:1]],
        drift_in_words=in_words([each for each in facts.drift if each.of in (GROUND, *periods[:1])]),
        limits=(LITTLE, MUCH),
        inputs=list(_inputs(facts.region)),
        training=sorted(facts.checkpoint.metrics.items()),
    )


def save_card(text: str, path: Path) -> None:
    """Write a card; the path holds either all of it or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


_ASKED = (
    *("auc", "average_precision", "brier", "brier_skill", "calibration_error", "physics_consistency", "cells"),
    *("landslide_cells", "newest_auc", "newest_days", "newest_landslide_cells"),
)


def _rises(table: Sequence[Mapping[str, Any]]) -> bool:
    """Whether landslides are denser in each class than in the one below; empty classes have no say."""
    ratios = [row["frequency_ratio"] or 0.0 for row in table if row["area_share"]]
    return all(low < high for low, high in pairwise(ratios))


def _physics(config: Model) -> str:
    if config.network not in (None, *LEARNT_BY_STEPS):
        return "None in the training: this kind of model learns from the landslides alone."
    if not config.physics_weight:
        return "None in the training: the weight of the penalty is 0."
    what = {
        "threshold": "steep ground under rain above the critical rainfall",
        "infinite-slope": "ground of a safety factor below 1 (infinite slope, wetness from rain and upslope area)",
    }[config.physics_source]
    soil = ""
    if config.soil is not None:
        soil = (
            f" Soil: cohesion {config.soil.cohesion:g}, friction {config.soil.friction_deg:g}°, transmissivity "
            f"{config.soil.transmissivity_m2_day:g} m²/day ({config.soil.source or 'source not stated'})."
        )
    return (
        f"A penalty in the loss on calling {what} safe: source {config.physics_source}, {config.physics} form, "
        f"λ = {config.physics_weight:g}.{soil}"
    )


def _inputs(region: Region) -> Iterator[tuple[str, str, str]]:
    """What, where from, under which licence."""
    for name in ("dem", *FACTORS):
        source: Source = getattr(region.factors, name)
        if source.file is not None:
            yield name.replace("_", " "), source.file.name, source.licence or NOT_STATED
        elif source.constant is not None:
            yield name.replace("_", " "), f"constant {source.constant:g} {source.unit or ''}".rstrip(), "–"
        else:
            yield name.replace("_", " "), "derived from the DEM", "as the DEM"
    yield "landslides", region.inventory.file.name, region.inventory.licence or NOT_STATED
    for source_of_rain in region.rain.sources:
        yield "rain", source_of_rain.product, source_of_rain.licence or NOT_STATED
    threshold = region.rain.threshold
    if threshold.source:
        yield "critical rainfall", threshold.source, NOT_STATED


def _number(value: float | None, form: str = ".4g") -> str:
    return "not told" if value is None or value != value else format(value, form)


def _percent(value: float | None) -> str:
    return "not told" if value is None else f"{100 * value:.3g} %"


def _cell(text: object) -> str:
    """As it may stand in a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
