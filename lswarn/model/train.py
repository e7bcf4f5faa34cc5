"""The training loop, on one page: crops, steps, then what turns the score into a probability and five classes."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lswarn.errors import TrainingError
from lswarn.grid import Block
from lswarn.model.checkpoint import Checkpoint
from lswarn.model.crops import Batch, Crops
from lswarn.model.encoder import Encoding
from lswarn.model.evaluate import tally
from lswarn.model.holdout import Holdout, hold_out
from lswarn.model.loss import physics_loss
from lswarn.model.networks import build
from lswarn.model.predict import Predictor, device_of
from lswarn.model.progress import key_of, load_progress, save_progress
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.skill import LIMIT, LOG_ODDS, Tally
from lswarn.sections import Model

log = logging.getLogger(__name__)

LEAST_LANDSLIDES = 20
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.05
AVERAGING = 0.97
"""The weights kept are a running average: the last steps' noise is not part of a model."""
LOOKED_AT = 16
"""Batches looked at before training, for the balance of their labels."""
CALIBRATION_BLOCKS = 64
"""Blocks of training ground, chosen at random in a larger region, on which probabilities and breaks are set."""
SCALING_CELLS = 20_000
"""Cells a block that scaling is learnt from."""
JENKS_SAMPLE = 4000
SAVED_EVERY = 20
"""Steps between two savings of the state: what a kill costs is a few seconds of work."""


def train(
    config: Model,
    factors: FactorReader,
    snapshot: Snapshot,
    *,
    device: str = "auto",
    holdout: Holdout | None = None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, parts: None,
    resume: Path | None = None,
) -> Checkpoint:
    """Train a network and make a checkpoint of it. The same inputs and seed give the same one on the same machine.

    Args:
        holdout: ground that teaches nothing; left out, what `hold_out` makes of the config.
        on_step: told the step, from 1, and the parts of its loss.
        resume: file in which the state is kept every `SAVED_EVERY` steps, until all is done. Where it holds that of
            this very training (one that was killed), it goes on from there, and comes to the same checkpoint.

    Raises:
        TrainingError: fewer than `LEAST_LANDSLIDES` on training ground, no ground with all factors known, a loss that
            is no number any more.
        GridMismatch: the snapshot is in another CRS than the factors.
    """
    holdout = holdout or hold_out(factors.grid, config)
    crops = Crops(factors, Observed(snapshot, factors.grid), holdout, config)
    if crops.landslides < LEAST_LANDSLIDES:
        raise TrainingError(
            f"{crops.landslides} landslides on training ground, at least {LEAST_LANDSLIDES} are needed: "
            "extend the inventory or the region"
        )
    blocks = _sampled_blocks(factors, holdout, config.seed)
    encoding = _scaling(factors, blocks, holdout, snapshot)
    weight = config.positive_weight or max(1.0, _balance(crops) / 4)
    where = device_of(device)
    key = key_of(config, factors.grid, holdout, factors.digest, snapshot.id, where.type)
    with _one_core_less(), torch.random.fork_rng(), ThreadPoolExecutor(1) as reader:
        torch.manual_seed(config.seed)
        course, done = _Course(config, encoding, where), 0
        if resume is not None and (kept := load_progress(resume, key)):
            done, state = kept
            course.resume(state["course"])
            crops.resume(state["crops"])
            log.info("a training that was stopped goes on after step %d of %d", done, config.steps)
        cells, began, waited = 0, perf_counter(), 0.0
        upcoming = reader.submit(_draw, crops)
        for step in range(done + 1, config.steps + 1):
            asked = perf_counter()
            before, batch = upcoming.result()
            waited += perf_counter() - asked
            if resume is not None and (step - 1) % SAVED_EVERY == 0 and step - 1 > done:
                save_progress(resume, key, step - 1, {"course": course.state(), "crops": before})
            upcoming = reader.submit(_draw, crops)  # the next is read while this one is learnt
            figures = course.learn(batch, weight, config, step)
            cells += batch.label.size
            on_step(step, figures)
        took = perf_counter() - began
    log.info(
        "%d steps in %.1f s: %.2f million cells a second (each once a rain), %.0f %% of the time waiting for data",
        *(config.steps - done, took, cells / took / 1e6, 100 * waited / took),
    )
    draft = Checkpoint(
        config=config,
        encoding=encoding,
        positive_weight=1.0,
        breaks=(0.2, 0.4, 0.6, 0.8),
        factors_digest=factors.digest,
        snapshot_id=snapshot.id,
        metrics={f"loss_{name}": figure for name, figure in figures.items()} | {"class_weight": weight},
        state={name: t.detach().cpu().contiguous() for name, t in course.average.module.state_dict().items()},
        measure=snapshot.measure,
    )
    score = tally(Predictor(draft, device), factors, snapshot, blocks, holdout)
    shift = _shift(score)
    trained = replace(draft, positive_weight=float(np.exp(shift)), breaks=natural_breaks(score, shift))
    if resume is not None:
        resume.unlink(missing_ok=True)
    return trained


class _Course:
    """All that changes from step to step, but for the crops."""

    def __init__(self, config: Model, encoding: Encoding, where: torch.device) -> None:
        self._where = where
        network = build(config, encoding).to(where)
        optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.network, self.optimiser = network, optimiser
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING), use_buffers=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=max(config.steps, 2))

    def learn(self, batch: Batch, weight: float, config: Model, step: int) -> dict[str, float]:
        """Take a step; the loss and its parts before it.

        Raises:
            TrainingError: the loss is no number.
        """
        x, rain, label, danger = (torch.from_numpy(part).to(self._where) for part in astuple(batch))
        loss, parts = physics_loss(
            self.network(x, rain),
            label,
            danger,
            positive_weight=weight,
            physics_weight=config.physics_weight,
            physics=config.physics,
        )
        figures = {name: part.item() for name, part in ({"total": loss} | parts).items()}
        if not np.isfinite(figures["total"]):
            lost = [name for name, figure in figures.items() if not np.isfinite(figure)]
            raise TrainingError(f"the loss is no number at step {step} ({', '.join(lost)}): look for wild factors")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return figures

    def state(self) -> dict[str, Any]:
        """Tensors and plain values to go on from."""
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        return parts | {"random": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]}

    def resume(self, state: dict[str, Any]) -> None:
        """Become as the course was that told this state."""
        for name in _PARTS:
            getattr(self, name).load_state_dict(state[name])
        torch.set_rng_state(state["random"][0])
        torch.cuda.set_rng_state_all(state["random"][1:])


_PARTS = ("network", "average", "optimiser", "schedule")


def _draw(crops: Crops) -> tuple[str, Batch]:
    """The next batch, and the state that it is drawn from."""
    return crops.state(), crops.draw()


@contextmanager
def _one_core_less() -> Iterator[None]:
    """Leave a core to the reader: with more threads than cores, torch's wait for each other, ten times over."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def natural_breaks(score: Tally, shift: float) -> tuple[float, float, float, float]:
    """Fisher-Jenks breaks of the probabilities of all training cells under all scenes, quiet ones included.

    Probabilities of landslides are so skewed that the scale decides. On p itself the breaks crowd into the few highest,
    and most landslides fall into the lowest class; on log p they part what is rare from what is rarer still. They are
    sought on asin(sqrt(p)), the scale on which a proportion is equally uncertain everywhere: then a few percent of the
    steep cells are in the highest class under a great storm, and none when it is dry.

    Fisher-Jenks takes time with the square of its input, so it sees `JENKS_SAMPLE` evenly spaced quantiles: all cells,
    and no chance.

    Raises:
        TrainingError: there are not five different probabilities.
    """
    below = np.cumsum(score.stable + score.slid)
    at = np.searchsorted(below, (np.arange(JENKS_SAMPLE) + 0.5) / JENKS_SAMPLE * below[-1])
    if len(np.unique(at)) < 5:
        raise TrainingError("the network says much the same everywhere, too little for five classes: raise model.steps")
    import mapclassify  # brings half of scipy and scikit-learn along: seconds that only training needs to spend

    angles = np.arcsin(np.sqrt(expit(LOG_ODDS[at] - shift)))
    first, second, third, fourth = np.sin(mapclassify.FisherJenks(angles, k=5).bins[:4]) ** 2
    return float(first), float(second), float(third), float(fourth)


def _sampled_blocks(factors: FactorReader, holdout: Holdout, seed: int) -> list[Block]:
    """Blocks with training ground, all of them or `CALIBRATION_BLOCKS` drawn at random."""
    blocks = [block for block in factors.grid.blocks() if not holdout.mask(block).all()]
    chosen = np.random.default_rng(seed).permutation(len(blocks))[:CALIBRATION_BLOCKS]
    return [blocks[i] for i in sorted(chosen)]


def _scaling(factors: FactorReader, blocks: list[Block], holdout: Holdout, snapshot: Snapshot) -> Encoding:
    """Learnt on training ground only."""
    rng = np.random.default_rng(0)
    cells = []
    for block in blocks:
        ground = factors.read(block)
        known = ground[:, ~np.isnan(ground).any(0) & ~holdout.mask(block)]
        cells.append(known[:, rng.permutation(known.shape[1])[:SCALING_CELLS]])
    sampled = np.concatenate(cells, 1)
    if not sampled.size:
        raise TrainingError("no cell of the training ground has all ten factors known: see `lswarn region check`")
    return Encoding.measured(sampled, np.stack([scene.rain.values for scene in snapshot.scenes]))


def _balance(crops: Crops) -> float:
    """Stable cells for each cell that slid, in the crops as they are drawn."""
    labels = [crops.draw().label for _ in range(LOOKED_AT)]
    return sum(int((label == 0).sum()) for label in labels) / max(1, sum(int((label == 1).sum()) for label in labels))


def _shift(score: Tally) -> float:
    """How much too high the log-odds of the score are, for the mean probability to be the share of cells that slid."""
    both, slid = score.stable + score.slid, score.slid.sum()
    if not slid:
        raise TrainingError("no landslide lies where factors and rain are known: see `lswarn region check`")
    return float(brentq(lambda shift: both @ expit(LOG_ODDS - shift) - slid, -2 * LIMIT, 2 * LIMIT))
