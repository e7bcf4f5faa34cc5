"""A trained model as one file that says all about itself.

The file holds tensors and a JSON manifest, nothing that could run: it is read with `torch.load(weights_only=True)`, and
its content is held against its own digest.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor

from lswarn.errors import CheckpointMismatch
from lswarn.model.coarse import coarsen
from lswarn.model.drift import Reference
from lswarn.model.encoder import Encoding
from lswarn.model.networks import Network, build
from lswarn.sections import FACTORS, Model

FORMAT = 3
"""Raised whenever the same manifest and weights would compute something else than before."""


@dataclass(frozen=True)
class Checkpoint:
    """A model: what it is, what it was made from, and its weights.

    Attributes:
        config: how it was trained, and its shape.
        encoding: scaling of its inputs.
        positive_weight: how many times too high the odds of its score are; they are divided by it.
        breaks: ascending probabilities that part the five classes.
        factors_digest, snapshot_id: what it was trained on.
        metrics: figures of its training, by name.
        state: weights and running statistics, on the CPU.
        measure: name of what its rain is of seven days, as `rain.measures` has it.
        size: base width and depth that were chosen; None: those of the config.
        calibration: what a log-odds, the class weight undone, becomes: corners (x, y) of a line that always rises, with
            slope 1 beyond its ends; empty: it stays.
        learnt_days: last days of the dated rains it learnt from; empty: not told.
        reference: how ground and rain were spread that it learnt from; None: not told.
        factors: names of its inputs, in order.
        format: of the network code it belongs to.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="constants")

    config: Model
    encoding: Encoding
    positive_weight: float
    breaks: tuple[float, float, float, float]
    factors_digest: str
    snapshot_id: str
    metrics: dict[str, float]
    state: dict[str, Tensor]
    factors: tuple[str, ...] = FACTORS
    format: int = FORMAT
    measure: str = "sum"
    size: tuple[int, int] | None = None
    calibration: tuple[tuple[float, float], ...] = ()
    learnt_days: tuple[date, ...] = ()
    reference: Reference | None = None

    @property
    def id(self) -> str:
        """Sixteen hex digits of the digest: the same content has the same id."""
        return self.digest[:16]

    @cached_property
    def digest(self) -> str:
        """sha256 of everything."""
        digest = hashlib.sha256(self.manifest.encode())
        for name, tensor in sorted(self.state.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def manifest(self) -> str:
        """All but the weights, as JSON."""
        return _JSON.dump_json(self, exclude={"state": True}).decode()

    @property
    def rain_max_mm(self) -> float:
        """Most rain of seven days trained on; more is judged as this much."""
        return self.encoding.rain_max_mm

    def network(self) -> Network:
        """The network, ready to be asked, on the CPU, in the precision of its config."""
        network = build(self.config, self.encoding, self.size)
        network.load_state_dict(self.state)
        network.eval()
        if self.config.precision == "bfloat16":
            coarsen(network)
        return network


_JSON = TypeAdapter(Checkpoint)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the path holds either all of it or what it held before."""
    save_whole({"manifest": checkpoint.manifest, "digest": checkpoint.digest, "state": checkpoint.state}, path)


def save_whole(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values; the path holds either all of them or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        torch.save(content, draft)
        draft.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and prove it.

    Raises:
        CheckpointMismatch: no such file, no checkpoint, damaged or tampered with, of other factors or other code.
    """
    remedy = "train a model with this software, or restore the file"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        manifest = json.loads(content["manifest"])
        if manifest["format"] != FORMAT:
            raise CheckpointMismatch(f"{path}: of format {manifest['format']}, this software reads {FORMAT}; {remedy}")
        checkpoint = _JSON.validate_python(manifest | {"state": content["state"]})
        if checkpoint.digest != content["digest"]:
            raise CheckpointMismatch(f"{path}: its content is not what its digest says: damaged or tampered; {remedy}")
        if checkpoint.factors != FACTORS:
            raise CheckpointMismatch(
                f"{path}: made for the factors {', '.join(checkpoint.factors)}, not {', '.join(FACTORS)}; {remedy}"
            )
        checkpoint.network()
    except FileNotFoundError as error:
        raise CheckpointMismatch(f"{path}: no such file; {remedy}") from error
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, LookupError, TypeError) as error:
        raise CheckpointMismatch(f"{path}: not a checkpoint of lswarn ({type(error).__name__}); {remedy}") from error
    return checkpoint
