"""A client for each event loop: a connection belongs to the loop that opened it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Values by event loop, each made at its loop's first use.

    One is made at once, so that what cannot be made fails early; the first loop gets it.

    Args:
        make: Makes one. It opens nothing yet.
        shared: Whether all loops get the same, which belongs to none of them.
    """

    def __init__(self, make: Callable[[], T], *, shared: bool = False) -> None:
        self._make = make
        self._shared = shared
        self._spare: T | None = make()
        self._values: dict[asyncio.AbstractEventLoop | None, T] = {}
        self._changing = threading.Lock()

    def get(self) -> T:
        """Return the running loop's value."""
        loop = None if self._shared else asyncio.get_running_loop()
        value = self._values.get(loop)
        return self._new(loop) if value is None else value

    def pop(self) -> T | None:
        """Remove and return the running loop's value, or one that no loop has used yet."""
        with self._changing:
            loop = None if self._shared else asyncio.get_running_loop()
            value, spare = self._values.pop(loop, None), self._spare
            self._spare = None
        return spare if value is None else value

    def _new(self, loop: asyncio.AbstractEventLoop | None) -> T:
        with self._changing:
            # What belonged to a loop that has ended, or to the process before a fork, can be
            # neither used nor closed.
            for old in [old for old in self._values if old is not None and old.is_closed()]:
                del self._values[old]
            if loop in self._values:
                return self._values[loop]
            value = self._make() if self._spare is None else self._spare
            self._spare = None
            self._values[loop] = value
        return value
