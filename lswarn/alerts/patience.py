"""How long to wait before a message is tried again. Pure."""

from datetime import timedelta

import numpy as np

BACKOFF = timedelta(minutes=1)
BACKOFF_MAX = timedelta(hours=1)
TRIES = 50
"""Attempts until a delivery is given up: about two days."""


def wait(tries: int, rng: np.random.Generator, retry_after_s: float | None = None) -> timedelta:
    """How long to wait after so many attempts: ever longer, and never all at once.

    Args:
        tries: attempts made, at least 1.
        rng: of the jitter, which spreads a wait over half to one and a half times its length, so that many which failed
            together do not come back together.
        retry_after_s: what the other side asked for; kept where it is longer, up to `BACKOFF_MAX`.
    """
    backoff = min(BACKOFF * 2 ** min(tries - 1, 20), BACKOFF_MAX) * (0.5 + rng.random())
    return max(backoff, min(timedelta(seconds=retry_after_s or 0.0), BACKOFF_MAX))
