"""How often a step that opens a door is tried again, and when not."""

from typing import Any

from lswarn.errors import AccessDenied, NotYetPublished, RegionError

DOOR_DELAYS_S: list[float] = [60, 300, 900]
"""A server that restarts is back within minutes; what takes longer waits for the next schedule."""


def time_may_heal(_task: object, _run: object, state: Any) -> bool:
    """Refused credentials and an unbuilt region need a person; rain not yet due comes with the next schedule."""
    return not isinstance(state.result(raise_on_failure=False), AccessDenied | NotYetPublished | RegionError)
