from dataclasses import replace

import numpy as np
import pytest
import torch

from lswarn.errors import ModelError, TrainingError
from lswarn.model.faults import memory_told, require_known
from lswarn.model.ground import draw_ground
from lswarn.model.holdout import hold_out
from lswarn.sections import FACTORS


@pytest.fixture
def asked(world_of, small):
    """Asks for training on the ground, changed, of a made world with both rocks on training ground."""
    world = world_of(96, 170)

    def ask(change=lambda values: None):
        values = world.factors.values.copy()
        change(dict(zip(FACTORS, values, strict=True)))
        factors, holdout = replace(world.factors, values=values), hold_out(world.factors.grid, small)
        require_known(draw_ground(factors, holdout), factors, holdout)

    return ask


def test_a_factor_of_one_value_is_told_and_no_hindrance(asked, caplog):
    asked(lambda factors: factors["rainfall"].fill(800))
    (told,) = caplog.messages
    assert told == (
        "the same on all training ground, and so of no use to a model: rainfall (800), seismic_intensity (0.1)"
    )


def test_a_factor_that_is_unknown_everywhere_is_named(asked):
    def unknown(factors):
        factors["fault_distance"].fill(np.nan)
        factors["temperature"].fill(np.nan)

    with pytest.raises(TrainingError) as caught:
        asked(unknown)
    assert str(caught.value) == (
        "fault_distance, temperature: unknown on all training ground; look at factors.fault_distance, "
        "factors.temperature in region.toml and ask `lswarn region check`, then `lswarn region build`"
    )


def test_factors_that_are_never_known_together_are_named(asked):
    def apart(factors):
        factors["rock_type"][:, 40:] = np.nan
        factors["rainfall"][:, :40] = np.nan

    with pytest.raises(TrainingError, match=r"has all ten factors known: rock_type on \d+%, rainfall on \d+% of it"):
        asked(apart)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_is_told_with_the_remedy(error):
    with pytest.raises(ModelError) as caught, memory_told("8 crops of 128 x 128 cells", "lower model.batch"):
        raise error
    assert str(caught.value) == "the memory does not suffice for 8 crops of 128 x 128 cells: lower model.batch"
    assert caught.value.__cause__ is error


def test_what_numpy_and_torch_really_raise():
    for ask in (lambda: np.empty((1 << 30, 1 << 14)), lambda: torch.empty(1 << 30, 1 << 14)):
        with pytest.raises(ModelError, match="memory does not suffice"), memory_told("this", "that"):
            ask()


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory_told("this", "that"):
        raise RuntimeError("shapes do not match")
