"""How a model is made: what it may learn from, what it learns, what its scores are worth, and all of it in one file."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lswarn.errors import TrainingError
from lswarn.grid import Block
from lswarn.model.blend import blend
from lswarn.model.boosting import fit_boosting
from lswarn.model.calibrate import isotonic, natural_breaks, rise, shift, shift_of_cells
from lswarn.model.cells import Sample, draw_cells
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.course import Lesson, OnStep, balance, learn, learn_together, sizes_of
from lswarn.model.crops import Crops
from lswarn.model.drift import Reference
from lswarn.model.encoder import Encoding
from lswarn.model.evaluate import tally
from lswarn.model.faults import require_known
from lswarn.model.ground import draw_ground
from lswarn.model.holdout import Holdout, Inner, hold_out, hold_out_inner
from lswarn.model.linear import fit_linear
from lswarn.model.predict import Predictor, device_of
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import LOG_ODDS, Tally
from lswarn.model.stability import hillslopes
from lswarn.sections import Model

log = logging.getLogger(__name__)

LEAST_LANDSLIDES = 20
BLOCK_CELLS = 256
CALIBRATION_BLOCKS = 64
"""Blocks of training ground, of `BLOCK_CELLS` a side, chosen at random in a larger region, on which the level of
probabilities and the breaks are set."""
SAMPLED_BLOCKS = 1024
"""Blocks that single cells are drawn from, for models that look at no neighbour."""

DRAW_SEED = 0

PLAIN = ("slope", "logistic", "boosting")
"""Models without steps."""


def steps_of(config: Model) -> int:
    """How many steps a training tells of, at most."""
    return 1 if config.network in PLAIN else config.steps * len(sizes_of(config, choice=True))


def train(
    config: Model,
    factors: FactorReader,
    snapshot: Snapshot,
    *,
    device: str = "auto",
    holdout: Holdout | None = None,
    scenes: Sequence[int] | None = None,
    on_step: OnStep = lambda step, parts: None,
    resume: Path | None = None,
    processes: int | None = None,
) -> Checkpoint:
    """Train a model and make a checkpoint of it. The same inputs and seed give the same one on the same machine.

    Args:
        holdout: ground that teaches nothing; left out, what `hold_out` makes of the config.
        scenes: positions, in the snapshot, of those that teach; left out, all.
        on_step: told the step, from 1, and the parts of its loss, up to `steps_of`; not where several processes learn.
        resume: file in which the state is kept every few steps, until all is done. Where it holds that of this very
            training (one that was killed), it goes on from there, and comes to the same checkpoint.
        processes: that learn together; left out, one for each GPU.

    Raises:
        TrainingError: fewer than `LEAST_LANDSLIDES` on training ground, no ground with all factors known, a loss that
            is no number any more.
        GridMismatch: the snapshot is in another CRS than the factors.
    """
    holdout = holdout or hold_out(factors.grid, config)
    observed = Observed(snapshot, factors.grid, hillslopes(config, factors.read_upslope))
    teaching = tuple(range(observed.scenes) if scenes is None else scenes)
    slid = observed.cells_of[np.isin(observed.scene_of, teaching)]
    ground = hold_out_inner(factors.grid, holdout, slid, config)
    crops = Crops(factors, observed, holdout, config, teaching)
    if crops.landslides < LEAST_LANDSLIDES:
        raise TrainingError(
            f"{crops.landslides} landslides on training ground, at least {LEAST_LANDSLIDES} are needed: "
            "extend the inventory or the region"
        )
    cells, rain = draw_ground(factors, holdout), np.stack([snapshot.scenes[k].rain.values for k in teaching])
    require_known(cells, factors, holdout)
    draft = Checkpoint(
        config=config,
        encoding=Encoding.measured(cells, rain),
        positive_weight=1.0,
        breaks=(0.2, 0.4, 0.6, 0.8),
        factors_digest=factors.digest,
        snapshot_id=snapshot.id,
        metrics={},
        state={},
        measure=snapshot.measure,
        learnt_days=tuple(day for day in (snapshot.scenes[k].day for k in teaching) if day is not None),
        reference=Reference.measured(cells, rain),
    )
    school = _School(factors, snapshot, observed, ground, teaching, device)
    if config.network == "boosting":
        made, _ = _boosting(school, draft)
    elif config.network in PLAIN:
        made, _ = _linear(school, draft)
    else:
        weight = config.positive_weight or max(1.0, balance(crops) / 4)
        made = _network(school, draft, weight, on_step, resume, processes)
        if config.network == "ensemble":
            level = shift(school.counted(made)[0])
            made = _joined(
                school, draft, unet=(made, level), boosting=_boosting(school, draft), logistic=_linear(school, draft)
            )
    trained = _calibrated(school, made)
    if config.network in PLAIN:
        on_step(1, {"total": made.metrics.get("inner_loss", np.nan)})
    if resume is not None:
        resume.unlink(missing_ok=True)
    return trained


Leveled = tuple[Checkpoint, float]
"""A model, and by how much its log-odds are too high."""


@dataclass(frozen=True)
class _School:
    """What is learnt from: where, and under which of the snapshot's scenes."""

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

    def sample(self, ground: Inner) -> Sample:
        """Single cells of a view."""
        blocks = _sampled_blocks(self.factors, ground, SAMPLED_BLOCKS)
        return draw_cells(
            self.factors, self.observed, blocks, lambda block: ~ground.mask(block), self.scenes, seed=DRAW_SEED
        )

    def counted(self, made: Checkpoint) -> tuple[Tally, Tally]:
        """A model's scores on all training ground, inner ground included, and on inner ground."""
        blocks = _sampled_blocks(self.factors, self.ground.outer, CALIBRATION_BLOCKS)
        predictor, views = Predictor(made, self.device), (self.ground, self.inner)
        rest, inner = tally(predictor, self.factors, self.observed, blocks, views, self.scenes)
        return rest + inner, inner

    def weights(self, members: Mapping[str, Leveled]) -> tuple[float, ...]:
        """What each member of an ensemble should weigh, by inner ground."""
        predictors = {
            name: Predictor(replace(made, positive_weight=float(np.exp(level))), self.device)
            for name, (made, level) in members.items()
        }
        blocks = _sampled_blocks(self.factors, self.inner, CALIBRATION_BLOCKS) if self.ground.held else ()
        return blend(predictors, self.factors, self.observed, blocks, self.inner, self.scenes)


def _linear(school: _School, draft: Checkpoint) -> Leveled:
    draft = _as_member(draft, "logistic")
    cells = school.sample(school.ground)
    linear = fit_linear(
        draft.encoding,
        cells,
        slope_only=draft.config.network == "slope",
        positive_weight=draft.config.positive_weight,
    )
    log_odds = linear.log_odds(cells.inputs(draft.encoding))
    return replace(draft, state=linear.state_dict()), shift_of_cells(log_odds, cells.label, cells.stands_for)


def _boosting(school: _School, draft: Checkpoint) -> Leveled:
    draft = _as_member(draft, "boosting")
    cells = school.sample(school.ground)
    boosting, figures = fit_boosting(
        draft.encoding,
        cells,
        school.sample(school.inner) if school.ground.held else None,
        monotone=draft.config.rain == "monotone",
        seed=draft.config.seed,
        positive_weight=draft.config.positive_weight,
    )
    made = replace(draft, state=boosting.state_dict(), metrics=figures)
    return made, shift_of_cells(boosting.log_odds(cells.inputs(draft.encoding)), cells.label, cells.stands_for)


def _network(
    school: _School,
    draft: Checkpoint,
    positive_weight: float,
    on_step: OnStep,
    resume: Path | None,
    processes: int | None,
) -> Checkpoint:
    draft = _as_member(draft, "unet")
    config = draft.config
    lesson = Lesson(
        config, school.factors, school.snapshot, school.ground, school.scenes, draft.encoding, positive_weight
    )
    where = device_of(school.device)
    together = processes or (torch.cuda.device_count() if where.type == "cuda" else 1)
    if together > 1:
        learnt = learn_together(lesson, together, resume=resume)
    else:
        learnt = learn(lesson, where, on_step=on_step, resume=resume)
    metrics = learnt.figures | {"class_weight": positive_weight}
    return replace(draft, state=learnt.state, size=learnt.size, metrics=metrics)


def _as_member(draft: Checkpoint, network: Literal["unet", "boosting", "logistic"]) -> Checkpoint:
    """What a member of an ensemble starts from; of any other model, the same."""
    if draft.config.network != "ensemble":
        return draft
    return replace(draft, config=draft.config.model_copy(update={"network": network}))


def _joined(school: _School, draft: Checkpoint, **members: Leveled) -> Checkpoint:
    """The weighted mean of several, each brought to the level of the training ground first."""
    weights = school.weights(members)
    levels = {"shifts": [shift for _, shift in members.values()], "weights": weights}
    state = {name: torch.tensor(values, dtype=torch.float32) for name, values in levels.items()}
    metrics: dict[str, float] = {}
    for (name, (member, _)), weight in zip(members.items(), weights, strict=True):
        state |= {f"members.{name}.{key}": each for key, each in member.state.items()}
        metrics |= member.metrics | {f"weight_{name}": weight}
    return replace(draft, state=state, size=members["unet"][0].size, metrics=metrics)


def _calibrated(school: _School, made: Checkpoint) -> Checkpoint:
    trained, inner = school.counted(made)
    undone = shift(trained)
    corners = isotonic(inner, trained, undone)
    breaks = natural_breaks(trained, rise(corners, LOG_ODDS - undone))
    return replace(made, positive_weight=float(np.exp(undone)), calibration=corners, breaks=breaks)


def _sampled_blocks(factors: FactorReader, ground: Holdout | Inner, most: int) -> list[Block]:
    """Blocks with ground of a kind, all of them or so many drawn at random."""
    blocks = [block for block in factors.grid.blocks(BLOCK_CELLS) if not ground.mask(block).all()]
    chosen = np.random.default_rng(DRAW_SEED).permutation(len(blocks))[:most]
    return [blocks[i] for i in sorted(chosen)]
