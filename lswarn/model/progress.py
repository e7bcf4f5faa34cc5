"""Where a training stands, on disk: one that was killed goes on from there and comes to the same end."""

import hashlib
import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from lswarn.grid import Grid
from lswarn.model.checkpoint import FORMAT, save_whole
from lswarn.model.holdout import Holdout, Inner
from lswarn.sections import Model

log = logging.getLogger(__name__)


def key_of(config: Model, grid: Grid, holdout: Holdout | Inner, *origins: str) -> str:
    """Digest of all that decides how a training goes: its config, the ground held out, and names of what it is fed."""
    digest = hashlib.sha256(f"{FORMAT} {config.model_dump_json()} {grid} {origins}".encode())
    for block in grid.blocks():
        for mask in (holdout.mask(block), holdout.hidden(block)):
            digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def save_progress(path: Path, key: str, step: int, state: dict[str, Any]) -> None:
    """Keep the state after a step of the training of that key."""
    save_whole({"key": key, "step": step, "state": state}, path)


def load_progress(path: Path, key: str) -> tuple[int, dict[str, Any]] | None:
    """The last step of the training of that key and the state after it; None where nothing of it can be read.

    What is there of another training, or damaged, is of no use to anybody: one begins anew and writes over it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["key"] == key:
            return int(content["step"]), content["state"]
        log.info("%s: of another training; this one begins anew", path)
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, LookupError, TypeError) as error:
        log.warning("%s: damaged (%s); the training begins anew", path, type(error).__name__)
    return None
