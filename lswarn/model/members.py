"""How each kind of model is taught, and how several are joined to one.

Choices are made, and scores are valued, by inner ground, which taught nothing. A model that learns in seconds is then
taught once more, by all training ground: where landslides are few, none is to spare.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from lswarn.grid import Block
from lswarn.model.boosting import Boosting, fit_boosting
from lswarn.model.calibrate import shift, shift_of_cells
from lswarn.model.cells import Sample, draw_cells
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.course import Lesson, OnStep, balance, learn, learn_together
from lswarn.model.crops import Crops
from lswarn.model.evaluate import tally
from lswarn.model.holdout import Ground, Inner
from lswarn.model.linear import Linear, fit_linear
from lswarn.model.networks import MEMBERS
from lswarn.model.predict import Predictor, device_of
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import Tally
from lswarn.sections import Model

BLOCK_CELLS = 256
CALIBRATION_BLOCKS = 64
"""Blocks of training ground, of `BLOCK_CELLS` a side, chosen at random in a larger region, on which the level of
probabilities and the breaks are set."""
SAMPLED_BLOCKS = 1024
"""Blocks that single cells are drawn from, for models that look at no neighbour."""
DRAW_SEED = 0

LEARNS_BY_HEART: Mapping[str, float] = {"unet": 1000.0}
"""Landslide cells of which a kind of model learns about as much by heart as it understands: where there are so many, it
has half the say of the others. Weights that were fitted to inner ground did no better: it holds too few landslides."""

PLAIN = ("slope", "logistic", "boosting", "blend")
"""Kinds of models that learn from single cells, without steps."""


def by_steps(config: Model) -> bool:
    """Whether a network is among what is trained."""
    return config.network not in PLAIN


@dataclass(frozen=True)
class Taught:
    """A model at two times. Its `positive_weight` brings it to the level of the ground.

    Attributes:
        tried: inner ground has taught it nothing.
        kept: taught by inner ground too, where that costs little; else the same.
    """

    tried: Checkpoint
    kept: Checkpoint


@dataclass(frozen=True)
class School:
    """What is learnt from: where, and under which of the snapshot's scenes.

    Attributes:
        ground: that teaches; its other view is inner ground.
        scenes: positions in the snapshot.
    """

    factors: FactorReader
    snapshot: Snapshot
    observed: Observed
    ground: Inner
    scenes: tuple[int, ...]
    device: str

    @property
    def inner(self) -> Inner:
        """The other view of the ground, by which is chosen."""
        return replace(self.ground, chooses=True)

    @cached_property
    def sample(self) -> Sample:
        """Single cells of the ground that teaches."""
        return self._drawn(self.ground)

    @cached_property
    def inner_sample(self) -> Sample | None:
        """Single cells of inner ground."""
        return self._drawn(self.inner) if self.ground.held else None

    def counted(self, made: Checkpoint) -> tuple[Tally, Tally]:
        """A model's scores on all training ground, inner ground included, and on inner ground."""
        blocks = self._blocks(self.ground.outer, CALIBRATION_BLOCKS)
        predictor, views = Predictor(replace(made, positive_weight=1.0), self.device), (self.ground, self.inner)
        rest, inner = tally(predictor, self.factors, self.observed, blocks, views, self.scenes)
        return rest + inner, inner

    @property
    def landslide_cells(self) -> float:
        """Cells of all training ground that slid, inner ground included."""
        samples = (self.sample, self.inner_sample)
        return sum(float(each.stands_for[each.label == 1].sum()) for each in samples if each is not None)

    def _drawn(self, ground: Ground) -> Sample:
        blocks = self._blocks(ground, SAMPLED_BLOCKS)
        return draw_cells(
            self.factors, self.observed, blocks, lambda block: ~ground.mask(block), self.scenes, seed=DRAW_SEED
        )

    def _blocks(self, ground: Ground, most: int) -> list[Block]:
        """Blocks with ground of a kind, all of them or so many drawn at random."""
        blocks = [block for block in self.factors.grid.blocks(BLOCK_CELLS) if not ground.mask(block).all()]
        chosen = np.random.default_rng(DRAW_SEED).permutation(len(blocks))[:most]
        return [blocks[i] for i in sorted(chosen)]


def teach(
    school: School, draft: Checkpoint, crops: Crops, *, on_step: OnStep, resume: Path | None, processes: int | None
) -> Taught:
    """Teach the kind of model that a draft's config names.

    Args:
        draft: all but weights.
        crops: of all training ground: what balance a network's labels have.
        on_step, resume, processes: see `train`.
    """
    plain: Mapping[str, Callable[[School, Checkpoint], Taught]] = {
        "boosting": _boosting,
        "logistic": _linear,
        "slope": _linear,
    }

    def taught(kind: str | None) -> Taught:
        own = replace(draft, config=draft.config.model_copy(update={"network": kind}))
        if fit := plain.get(kind or ""):
            return fit(school, own)
        return _network(school, own, crops, on_step, resume, processes)

    if draft.config.network not in MEMBERS:
        return taught(draft.config.network)
    members = {kind: taught(kind) for kind in MEMBERS[draft.config.network]}
    if network := members.get("unet"):
        level = shift(school.counted(network.kept)[0])
        leveled = replace(network.kept, positive_weight=float(np.exp(level)))
        members["unet"] = Taught(leveled, leveled)
    weights = weigh(MEMBERS[draft.config.network], school.landslide_cells)
    kept = _joined(draft, weights, {name: member.kept for name, member in members.items()})
    if not school.ground.held:
        return Taught(kept, kept)
    return Taught(_joined(draft, weights, {name: member.tried for name, member in members.items()}), kept)


def weigh(kinds: Sequence[str], landslide_cells: float) -> tuple[float, ...]:
    """What each member of an ensemble weighs, 1 together, where so many landslide cells taught it."""
    trust = [(1 + landslide_cells) / (1 + landslide_cells + LEARNS_BY_HEART.get(kind, 0)) for kind in kinds]
    return tuple(each / sum(trust) for each in trust)


def _linear(school: School, draft: Checkpoint) -> Taught:
    slope_only, weight = draft.config.network == "slope", draft.config.positive_weight

    def fitted(cells: Sample) -> Checkpoint:
        linear = fit_linear(draft.encoding, cells, slope_only=slope_only, positive_weight=weight)
        return _leveled(draft, linear, cells)

    tried = fitted(school.sample)
    return Taught(tried, fitted(school.sample + school.inner_sample) if school.inner_sample else tried)


def _boosting(school: School, draft: Checkpoint) -> Taught:
    config = draft.config
    fit = partial(
        fit_boosting,
        draft.encoding,
        monotone=config.rain == "monotone",
        seed=config.seed,
        positive_weight=config.positive_weight,
    )
    cells, inner = school.sample, school.inner_sample
    boosting, figures = fit(cells, inner)
    tried = replace(_leveled(draft, boosting, cells), metrics=figures)
    if inner is None:
        return Taught(tried, tried)
    more = cells + inner
    size = int(figures["trees"]), int(figures["leaves"])
    boosting, _ = fit(more, None, size=size)
    return Taught(tried, replace(_leveled(draft, boosting, more), metrics=figures))


def _leveled(draft: Checkpoint, model: Linear | Boosting, cells: Sample) -> Checkpoint:
    level = shift_of_cells(model.log_odds(cells.inputs(draft.encoding)), cells.label, cells.stands_for)
    return replace(draft, state=model.state_dict(), positive_weight=float(np.exp(level)))


def _network(
    school: School, draft: Checkpoint, crops: Crops, on_step: OnStep, resume: Path | None, processes: int | None
) -> Taught:
    weight = draft.config.positive_weight or max(1.0, balance(crops) / 4)
    lesson = Lesson(draft.config, school.factors, school.snapshot, school.ground, school.scenes, draft.encoding, weight)
    where = device_of(school.device)
    together = processes or (torch.cuda.device_count() if where.type == "cuda" else 1)
    if together > 1:
        learnt = learn_together(lesson, together, resume=resume)
    else:
        learnt = learn(lesson, where, on_step=on_step, resume=resume)
    metrics = learnt.figures | {"class_weight": weight}
    made = replace(draft, state=learnt.state, size=learnt.size, metrics=metrics)
    return Taught(made, made)


def _joined(draft: Checkpoint, weights: tuple[float, ...], members: Mapping[str, Checkpoint]) -> Checkpoint:
    """The weighted mean of several, each brought to the level of the ground first."""
    shifts = [float(np.log(member.positive_weight)) for member in members.values()]
    state = {"shifts": torch.tensor(shifts), "weights": torch.tensor(weights)}
    metrics: dict[str, float] = {}
    for (name, member), weight in zip(members.items(), weights, strict=True):
        state |= {f"members.{name}.{key}": each for key, each in member.state.items()}
        metrics |= member.metrics | {f"weight_{name}": weight}
    size = members["unet"].size if "unet" in members else None
    return replace(draft, state=state, size=size, metrics=metrics)
