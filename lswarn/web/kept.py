"""What a process of the web server keeps for a while: tiles it has made, and what it has just asked the database."""

import time
from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept:
    """Bytes that never change, by what they were made from; those not asked for longest go first.

    Args:
        room: bytes in all.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._found: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> bytes | None:
        """What was put; None where it is not there, or no more."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: Hashable, value: bytes) -> bytes:
        """Keep a value, and hand it back."""
        with self._lock:
            if key not in self._found and len(value) <= self._room:
                self._found[key] = value
                self._used += len(value)
            while self._used > self._room:
                self._used -= len(self._found.popitem(last=False)[1])
        return value


class Recent(Generic[Value]):
    """What was true a moment ago.

    Args:
        seconds: how long that is a moment.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._found: dict[Hashable, tuple[float, Value]] = {}

    def get(self, key: Hashable) -> Value | None:
        """What was put a moment ago; None where it was longer."""
        at, value = self._found.get(key, (-self._seconds, None))
        return value if time.monotonic() - at < self._seconds else None

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value for a moment, and hand it back."""
        if len(self._found) > 1000:
            self._found.clear()
        self._found[key] = (time.monotonic(), value)
        return value
