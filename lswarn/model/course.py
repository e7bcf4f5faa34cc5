"""How a network learns: step by step, in the size and for as long as inner held-out ground finds best.

Every size is trained from the same start over the same crops. Now and then the averaged weights are tried on crops of
inner held-out ground, and the best of all, by the loss there, are kept. On several GPUs torch's own distributed run
starts a process for each, which draw crops of their own and share their gradients.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lswarn.errors import TrainingError
from lswarn.model.crops import Batch, Crops
from lswarn.model.encoder import Encoding
from lswarn.model.faults import memory_told
from lswarn.model.holdout import Inner
from lswarn.model.loss import physics_loss
from lswarn.model.networks import build
from lswarn.model.progress import key_of, load_progress, save_progress
from lswarn.model.samples import FactorReader, Observed, Snapshot
from lswarn.model.stability import hillslopes
from lswarn.sections import Model

log = logging.getLogger(__name__)

LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.05
AVERAGING = 0.97
"""The weights kept are a running average: the last steps' noise is not part of a model."""
LOOKED_AT = 16
"""Batches looked at before training, for the balance of their labels."""
SAVED_EVERY = 20
"""Steps between two savings of the state: what a kill costs is a few seconds of work."""
TRIED_EVERY = 20
TRIED_BATCHES = 3
"""Steps between two trials on inner held-out ground, and batches of a trial, which are the same every time."""

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Lesson:
    """All that a network learns from. Can be sent to another process.

    Attributes:
        ground: where it learns; its other view is where its size and steps are chosen.
        scenes: positions, in the snapshot, of those that teach.
        positive_weight: of a landslide cell.
    """

    config: Model
    factors: FactorReader
    snapshot: Snapshot
    ground: Inner
    scenes: tuple[int, ...]
    encoding: Encoding
    positive_weight: float


@dataclass(frozen=True)
class Learnt:
    """What came of it: weights and running statistics on the CPU, base width and depth, and figures by name."""

    state: dict[str, Tensor]
    size: tuple[int, int]
    figures: dict[str, float]


def sizes_of(config: Model, *, choice: bool) -> tuple[tuple[int, int], ...]:
    """Base width and depth of the networks that are tried; without a choice, the one that the config names."""
    asked = (config.base_width, config.depth)
    smaller = (max(4, config.base_width // 2), max(1, config.depth - 1))
    return (asked, smaller) if choice and smaller != asked else (asked,)


def balance(crops: Crops) -> float:
    """Stable cells for each cell that slid, in crops as they are drawn."""
    labels = [crops.draw().label for _ in range(LOOKED_AT)]
    return sum(int((label == 0).sum()) for label in labels) / max(1, sum(int((label == 1).sum()) for label in labels))


def learn(lesson: Lesson, where: torch.device, *, on_step: OnStep, resume: Path | None) -> Learnt:
    """Train a network, on one device, or together with others where a process group has been started.

    Args:
        on_step: told the step, from 1, over all sizes, and the parts of its loss.
        resume: file in which the state is kept every `SAVED_EVERY` steps. Where it holds that of this very training,
            which was killed, it goes on from there, and comes to the same end.

    Raises:
        TrainingError: the loss is no number any more.
    """
    config, grid = lesson.config, lesson.factors.grid
    rank, ranks = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    observed = Observed(lesson.snapshot, grid, hillslopes(config, lesson.factors.read_upslope))
    chosen_by = Crops(lesson.factors, observed, replace(lesson.ground, chooses=True), config, lesson.scenes)
    trial = [chosen_by.draw() for _ in range(TRIED_BATCHES)] if lesson.ground.held and rank == 0 else []
    sizes = sizes_of(config, choice=bool(lesson.ground.held))
    origins = (lesson.factors.digest, lesson.snapshot.id, str(lesson.scenes), where.type, str(ranks))
    key = key_of(config, grid, lesson.ground, *origins)
    kept = load_progress(resume, key) if resume is not None else None
    done, state = kept or (0, None)
    best: dict[str, Any] = state["best"] if state else {"loss": np.inf}
    cells, began, waited = 0, perf_counter(), 0.0
    with _one_core_less(), torch.random.fork_rng(), ThreadPoolExecutor(1) as reader:
        for number, size in enumerate(sizes):
            first = number * config.steps
            if done >= first + config.steps:
                continue
            torch.manual_seed(config.seed)
            course = _Course(lesson, size, where, ranks)
            crops = Crops(lesson.factors, observed, lesson.ground, config, lesson.scenes, rank=rank)
            if state and done > first:
                course.resume(state["course"])
                if rank == 0:  # it is the state of its crops: the others' go on from their own seeds, or all were alike
                    crops.resume(state["crops"])
                log.info("a training that was stopped goes on after step %d of %d", done, len(sizes) * config.steps)
            upcoming = reader.submit(_draw, crops)
            for step in range(max(done, first) + 1, first + config.steps + 1):
                asked = perf_counter()
                before, batch = upcoming.result()
                waited += perf_counter() - asked
                if resume is not None and rank == 0 and (step - 1) % SAVED_EVERY == 0 and step - 1 > done:
                    told = {"course": course.state(), "crops": before, "best": best}
                    save_progress(resume, key, step - 1, told)
                upcoming = reader.submit(_draw, crops)  # the next is read while this one is learnt
                figures = course.learn(batch, step - first)
                cells += batch.label.size
                last = step == first + config.steps
                if trial and (step % TRIED_EVERY == 0 or last) and step - first >= config.steps // 4:
                    figures["inner"] = course.tried(trial)
                if figures.get("inner", -np.inf if last and not trial else np.inf) < best["loss"]:
                    best = {"loss": figures.get("inner", np.nan), "size": size, "steps": step - first}
                    best |= {"figures": figures, "state": course.weights()}
                on_step(step, figures)
            upcoming.result()
    took = perf_counter() - began
    log.info(
        "%d steps in %.1f s: %.2f million cells a second (each once a rain), %.0f %% of the time waiting for data; "
        "kept: base width %d, depth %d, %d steps",
        *(
            len(sizes) * config.steps - done,
            took,
            cells / took / 1e6,
            100 * waited / took,
            *best["size"],
            best["steps"],
        ),
    )
    figures = {f"loss_{name}": figure for name, figure in best["figures"].items()}
    return Learnt(best["state"], best["size"], figures | {"steps": float(best["steps"])})


def learn_together(lesson: Lesson, processes: int, *, resume: Path | None) -> Learnt:
    """`learn` in several processes on this machine, one for each GPU, or on the CPU where there is none."""
    run = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="lswarn",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=0,
    )
    return elastic_launch(run, _learn_as_one)(lesson, resume)[0]


def _learn_as_one(lesson: Lesson, resume: Path | None) -> Learnt:
    on_gpu = torch.cuda.is_available()
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        where = torch.device("cuda", distributed.get_rank()) if on_gpu else torch.device("cpu")
        return learn(lesson, where, on_step=lambda step, figures: None, resume=resume)
    finally:
        distributed.destroy_process_group()


class _Course:
    """All that changes from step to step, but for the crops."""

    def __init__(self, lesson: Lesson, size: tuple[int, int], where: torch.device, ranks: int) -> None:
        config = lesson.config
        self._lesson, self._where = lesson, where
        crops = f"{config.batch} crops of {config.crop} x {config.crop} cells"
        self._told = crops, "lower model.batch or model.crop in region.toml"
        self.network = build(config, lesson.encoding, size).to(where)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING), use_buffers=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, LEARNING_RATE, total_steps=max(config.steps, 2)
        )
        self._learner = DistributedDataParallel(self.network) if ranks > 1 else self.network

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Take a step; the loss and its parts before it.

        Raises:
            TrainingError: the loss is no number.
        """
        self._learner.train()
        with memory_told(*self._told):
            loss, parts = self._loss(self._learner, batch)
            self.optimiser.zero_grad()
            loss.backward()
        figures = {name: part.item() for name, part in ({"total": loss} | parts).items()}
        if not np.isfinite(figures["total"]):
            lost = [name for name, figure in figures.items() if not np.isfinite(figure)]
            raise TrainingError(f"the loss is no number at step {step} ({', '.join(lost)}): look for wild factors")
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return figures

    def tried(self, trial: list[Batch]) -> float:
        """Mean loss of the averaged weights by the inventory alone: physics has no say in how long it is heard."""
        self.average.eval()
        with torch.no_grad(), memory_told(*self._told):
            loss = float(np.mean([self._loss(self.average, batch)[1]["inventory"].item() for batch in trial]))
        if not np.isfinite(loss):
            raise TrainingError("the loss on inner held-out ground is no number (inventory): look for wild factors")
        return loss

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights as they are now, on the CPU."""
        return {name: t.detach().cpu().clone() for name, t in self.average.module.state_dict().items()}

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

    def _loss(self, network: torch.nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        on_gpu = self._where.type == "cuda"
        x, around, rain, label, danger = (
            (torch.from_numpy(part).pin_memory() if on_gpu else torch.from_numpy(part)).to(
                self._where, non_blocking=True
            )
            for part in astuple(batch)
        )
        # On a CPU without matrix units for it, bfloat16 is slower than float32.
        with torch.autocast(self._where.type, torch.bfloat16, enabled=on_gpu):
            logit = network(x, rain, around)
        return physics_loss(
            logit.float(),
            label,
            danger,
            positive_weight=self._lesson.positive_weight,
            physics_weight=self._lesson.config.physics_weight,
            physics=self._lesson.config.physics,
            source=self._lesson.config.physics_source,
        )


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
