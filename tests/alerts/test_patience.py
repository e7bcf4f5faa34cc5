from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lswarn.alerts.patience import BACKOFF, BACKOFF_MAX, wait

TRIES = st.integers(1, 10_000)


@given(TRIES, st.integers(0, 99))
def test_ever_longer_and_spread_by_half(tries: int, seed: int) -> None:
    expected = min(BACKOFF * 2 ** min(tries - 1, 20), BACKOFF_MAX)
    assert expected / 2 <= wait(tries, np.random.default_rng(seed)) <= expected * 1.5


def test_many_that_fail_together_do_not_come_back_together() -> None:
    rng = np.random.default_rng(7)
    assert len({wait(1, rng) for _ in range(100)}) == 100


def test_the_same_seed_waits_the_same() -> None:
    assert wait(3, np.random.default_rng(7)) == wait(3, np.random.default_rng(7))


@given(TRIES, st.floats(0, 1e9))
def test_what_is_asked_for_is_kept_up_to_an_hour(tries: int, asked: float) -> None:
    found = wait(tries, np.random.default_rng(0), asked)
    assert found >= min(timedelta(seconds=asked), BACKOFF_MAX)
    assert found <= BACKOFF_MAX * 1.5


@pytest.mark.parametrize("asked", [None, 0.0])
def test_nothing_asked_for(asked: float | None) -> None:
    assert wait(1, np.random.default_rng(0), asked) == wait(1, np.random.default_rng(0))
