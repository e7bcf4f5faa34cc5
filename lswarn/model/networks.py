"""A network: its trunk, and how rain enters it.

A network is a trunk (the U-Net, or one of its `rivals`) between an encoder and one of two ways in which rain enters.
Whichever they are, the interface is `forward(factors [B, 10, H, W], rain [B, S, H, W] mm) -> logit [B, S, H, W]` for S
storms over the same ground; H and W are multiples of the network's `phase`.

That a U-Net reads these ten factors and the rain of seven days follows Zhang and Deng 2026, doi
10.1038/s41598-026-46873-4; shape and rain response are our own choices.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lswarn.model.boosting import Boosting
from lswarn.model.encoder import Encoder, Encoding, tenths
from lswarn.model.linear import Linear
from lswarn.model.rivals import RESNET_REACH, Perceptron, ResNet
from lswarn.model.surroundings import SEEN_AROUND
from lswarn.model.unet import UNet, sight
from lswarn.sections import Model

RARE = -4.0
"""Logit that training starts from: landslides are rare, and to learn that first would take half the steps."""

KNOTS_MM = (0.0, 20.0, 40.0, 70.0, 100.0, 150.0, 200.0, 300.0, 450.0)

MEMBERS: Mapping[str | None, tuple[str, ...]] = {
    "ensemble": ("unet", "boosting", "logistic"),
    "blend": ("boosting", "logistic"),
}
"""Kinds of models that several are joined to, and which."""

WITH_UNET = ("unet", "ensemble", None)
"""Values of `model.network` of which a U-Net is a part; None is decided later, and may be."""

Response = Callable[[Tensor], Tensor]
"""From rain [B, S, H, W], mm, to logit [B, S, H, W] over ground that has been read."""


class MonotoneNetwork(nn.Module):
    """More rain can never lower the probability of a cell, by construction.

    The trunk reads the ten factors only; at each cell it gives a and b_k of

        logit(r) = a + sum_k softplus(b_k) · phi_k(r)

    where phi_k rises from 0 to 1 between two knots of `KNOTS_MM` and is flat outside them. A rain cell is some hundred
    times wider than ground cells, so within the network's reach a rain channel would hold next to nothing spatial.
    """

    def __init__(self, encoding: Encoding, trunk: nn.Module) -> None:
        super().__init__()
        self.rain_max_mm = encoding.rain_max_mm
        self.encoder = Encoder(encoding)
        self.trunk = trunk

    def forward(self, factors: Tensor, rain: Tensor, around: Tensor | None = None) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]; `around` as for `Encoder`."""
        return self.respond(self.encoder(factors, around))(rain)

    def response(self, factors: Tensor) -> Response:
        """The ground read once, for any rain."""
        return self.respond(self.encoder(factors))

    def respond(self, seen: Tensor) -> Response:
        """The same of ground that is encoded already."""
        start, rise = self.parts(seen)

        def logit(rain: Tensor) -> Tensor:
            found, r = start, rain.nan_to_num(0.0).clamp(max=self.rain_max_mm)
            for k, (low, high) in enumerate(pairwise(KNOTS_MM)):
                found = found + rise[:, k : k + 1] * ((r - low) / (high - low)).clamp(0, 1)  # (B, S, H, W)
            return found

        return logit

    def parts(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """A [B, 1, H, W] and softplus(b_k) [B, K, H, W] of encoded ground."""
        trunk = self.trunk(seen)  # (B, 1 + knots - 1, H, W)
        return trunk[:, :1] + RARE, functional.softplus(trunk[:, 1:])


class ChannelNetwork(nn.Module):
    """The 7-day rain as one more input channel, as published: the reference. Nothing keeps it from falling."""

    def __init__(self, encoding: Encoding, trunk: nn.Module) -> None:
        super().__init__()
        self.encoding = encoding
        self.encoder = Encoder(encoding)
        self.trunk = trunk

    def forward(self, factors: Tensor, rain: Tensor, around: Tensor | None = None) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]; `around` as for `Encoder`."""
        batch, storms, height, width = rain.shape
        r = (rain.clamp(max=self.encoding.rain_max_mm) - self.encoding.rain_mean_mm) / self.encoding.rain_std_mm
        ground = self.encoder(factors, around).repeat_interleave(storms, 0)  # (B·S, C, H, W)
        x = torch.cat([ground, r.nan_to_num(0.0).view(-1, 1, height, width)], 1)
        return RARE + self.trunk(x).view(batch, storms, height, width)


class Ensemble(nn.Module):
    """The weighted mean log-odds of models under which more rain can only raise the probability: so can it here.

    Rain is read in whole tenths of a millimetre.

    Args:
        encoding: of all members.
        members: by name.

    Attributes:
        shifts: by how much the log-odds of each member are too high, see `calibrate`.
        weights: of each member, none negative, see `members`; one of no weight is not asked.
    """

    shifts: Tensor
    weights: Tensor

    def __init__(self, encoding: Encoding, members: Mapping[str, "MonotoneNetwork | Boosting | Linear"]) -> None:
        super().__init__()
        self.encoder = Encoder(encoding)
        self.members = nn.ModuleDict(members)
        self.register_buffer("shifts", torch.zeros(len(members)))
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    def forward(self, factors: Tensor, rain: Tensor) -> Tensor:
        """Factors [B, 10, H, W] and rain [B, S, H, W], mm, to logit [B, S, H, W]."""
        return self.response(factors)(rain)

    def response(self, factors: Tensor) -> Response:
        """The ground read once by every member, for any rain."""
        seen = self.encoder(factors)
        heard = [
            (cast("MonotoneNetwork", member).respond(seen), shift, weight)
            for member, shift, weight in zip(self.members.values(), self.shifts, self.weights, strict=True)
            if weight
        ]

        def logit(rain: Tensor) -> Tensor:
            known = tenths(rain)
            return torch.stack([weight * (respond(known) - shift) for respond, shift, weight in heard]).sum(0)

        return logit


Rising: TypeAlias = MonotoneNetwork | Boosting | Linear | Ensemble
"""Models that read the ground once for any rain."""
Network: TypeAlias = Rising | ChannelNetwork


def rises(network: Network) -> bool:
    """Whether more rain can never lower the probability that a model gives."""
    return network.monotone if isinstance(network, Boosting) else not isinstance(network, ChannelNetwork)


def build(config: Model, encoding: Encoding, size: tuple[int, int] | None = None) -> Network:
    """The model a config describes, with fresh weights from torch's own random state, or with none yet.

    Args:
        size: base width and depth; left out, those of the config.
    """
    base_width, depth = size or (config.base_width, config.depth)
    monotone = config.rain == "monotone"
    if config.network in ("slope", "logistic"):
        return Linear(encoding)
    if config.network == "boosting":
        return Boosting(encoding, monotone)
    if config.network in MEMBERS:
        parts = (config.model_copy(update={"network": kind}) for kind in MEMBERS[config.network])
        members = (cast("MonotoneNetwork", build(part, encoding, size)) for part in parts)
        return Ensemble(encoding, dict(zip(MEMBERS[config.network], members, strict=True)))
    inputs, outputs = (encoding.channels, len(KNOTS_MM)) if monotone else (encoding.channels + 1, 1)
    trunk: nn.Module
    if config.network == "bpnn":
        trunk = Perceptron(inputs, outputs, 4 * base_width)
    elif config.network == "resnet":
        trunk = ResNet(inputs, outputs, 2 * base_width)
    else:
        trunk = UNet(inputs, outputs, base_width, depth)
    if not monotone:
        return ChannelNetwork(encoding, trunk)
    return MonotoneNetwork(encoding, trunk)


def phase(config: Model, size: tuple[int, int] | None = None) -> int:
    """Height and width that the model of a config is asked about must be multiples of this."""
    return 2 ** (size or (config.base_width, config.depth))[1] if config.network in WITH_UNET else 1


def reach(config: Model, size: tuple[int, int] | None = None) -> int:
    """Cells to read around a block so that each of its cells sees all that the model of a config can see."""
    if config.network in WITH_UNET:
        return sight((size or (config.base_width, config.depth))[1])
    return SEEN_AROUND + (RESNET_REACH if config.network == "resnet" else 0)
