"""[model]: how a model is trained."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lswarn.sections.strict import Strict

PhysicsSource = Literal["threshold", "infinite-slope"]


class InfiniteSlope(Strict):
    """The soil of an infinite slope, as `model.stability` reads it: one for the whole region.

    Attributes:
        cohesion: of soil and roots, over the weight of the soil's depth: (Cr + Cs) / (h·ρs·g), without a unit.
        friction_deg: angle of internal friction.
        transmissivity_m2_day: what the soil's whole depth carries downhill.
        water_to_soil: density of water over that of wet soil.
        source: where the figures come from.
    """

    cohesion: float = Field(ge=0, le=1)  # kPa given by mistake are above 1, radians below 5
    friction_deg: float = Field(ge=5, le=60)
    transmissivity_m2_day: float = Field(ge=0.01, le=10_000)
    water_to_soil: float = Field(0.5, ge=0.3, le=0.8)
    source: str = ""


class Model(Strict):
    """How a model is trained. Its shape travels in the checkpoint, which wins on load.

    Attributes:
        network: `unet`; a rival of the publication, `bpnn` (every cell by itself) or `resnet`; a plain baseline,
            `slope` (nothing else), `logistic` or `boosting`; or several, weighed by how many landslides taught them:
            `blend` of `boosting` and `logistic`, `ensemble` of these and `unet`. Left out: what the newest `lswarn
            evaluate` of the region found best; before there is one, `blend`.
        rain: `monotone` (more rain can only raise the probability) or `channel` (one more input, as published).
        base_width: channels of the U-Net's first level; the ResNet has twice, the BPNN four times as many throughout.
        depth: how often the U-Net halves. Held-out ground has a guard band as wide as this sees, whatever the network,
            so that all are judged on the same cells. Of this size and the next smaller one, inner held-out ground
            chooses.
        steps, batch, crop: at most so many optimiser steps (inner held-out ground chooses), crops a step, cells along a
            crop's side.
        positive_weight: class weight of landslide cells; left out: a quarter of the balance.
        physics_weight: lambda of the physics penalty; `physics` chooses its form.
        physics_source: what says where a low probability is wrong: `threshold`, rain above the critical rainfall; or
            `infinite-slope`, a safety factor below 1, for which `soil` is needed.
        holdout: share of spatial blocks held out from training to judge the model.
        seed: of everything random.
        precision: in which a network of convolutions is asked once it is trained. `bfloat16` is faster on processors
            and GPUs that multiply in it, and coarser: calibration and classes are then found in it too. It is part of
            what a model is: never chosen when it is asked.
    """

    network: Literal["unet", "bpnn", "resnet", "slope", "logistic", "boosting", "blend", "ensemble"] | None = None
    rain: Literal["monotone", "channel"] = "monotone"
    base_width: int = Field(8, ge=4, le=64)
    depth: int = Field(3, ge=1, le=5)
    steps: int = Field(120, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(128, ge=32)
    positive_weight: float | None = Field(None, gt=0)
    physics_weight: float = Field(0.1, ge=0)
    physics: Literal["linear", "log"] = "linear"
    physics_source: PhysicsSource = "threshold"
    soil: InfiniteSlope | None = None
    holdout: float = Field(0.25, gt=0, lt=0.9)
    seed: int = 0
    # Left out where it is what it always was: the digest of a model goes over its config.
    precision: Literal["float32", "bfloat16"] = Field("float32", exclude_if=lambda kind: kind == "float32")

    @model_validator(mode="after")
    def _an_ensemble_rises(self) -> Self:
        if self.network in ("blend", "ensemble") and self.rain == "channel":
            raise ValueError('an ensemble can only rise with rain: take out rain = "channel", or name another network')
        return self

    @model_validator(mode="after")
    def _soil_and_its_use(self) -> Self:
        if self.physics_source == "infinite-slope" and self.soil is None:
            raise ValueError(
                'physics_source = "infinite-slope" needs the soil: [model.soil] with cohesion = …, friction_deg = …, '
                "transmissivity_m2_day = …"
            )
        if self.physics_source != "infinite-slope" and self.soil is not None:
            raise ValueError(
                f'soil is not used with physics_source = "{self.physics_source}": set "infinite-slope", or take it out'
            )
        return self
