"""How the log is written to standard error: for people, or as a JSON object a line (`LSWARN_LOG=json`).

Whoever begins something of a region, a day or a run says so once, and every line that is written meanwhile has it:

    with about(region="my-valley", day=day):
        ...
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_ABOUT: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 (it is never changed in place)


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Give every line that is logged within facts of its own: region, day, run_id. They add to those around it."""
    token = _ABOUT.set(_ABOUT.get() | facts)
    try:
        yield
    finally:
        _ABOUT.reset(token)


def note(**facts: Any) -> None:
    """Add to what is said around it: facts that were not known when it began, such as the run_id."""
    _ABOUT.set(_ABOUT.get() | facts)


class JsonLines(logging.Formatter):
    """A line of log as a JSON object: at, level, logger, message, what it is about, and error where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= _ABOUT.get()
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str, ensure_ascii=False)


def json_handler() -> logging.Handler:
    """A handler that writes JSON lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    return handler
