"""Reads overrides from the store, and from an operator's sources, again and again.

No call waits for this. A timer of the event loop rings every other second, from the start of the
server or else from its first call on, and reads in the background. While the store is down, the
overrides that are known stay.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from querybudget.limiter.override_sources import SourceReader
from querybudget.overrides import Override
from querybudget.redact import error_type
from querybudget.resilience.store import ResilientStore
from querybudget.stores import Administers, Clock
from querybudget.units import SECOND

logger = logging.getLogger("querybudget")

INTERVAL = 2 * SECOND
"""µs between two looks at most; up to two fifths less, so that workers do not ask at once."""

NEVER = 1 << 63
"""Later than any moment, µs."""

_OVERDUE = 3
"""Intervals after which the timer must have rung; later, its event loop is gone."""


class OverrideFeed:
    """Reads overrides again and again, and has them applied.

    Args:
        store: Where they are kept, if it keeps any.
        clock: µs since the epoch.
        apply: Called with all that are known.

    Attributes:
        due: When the next call has to wake the timer, µs.
        keeps: Whether the store keeps overrides.
        readers: Read the sources that the policy names.
        stored: What the store said last.
    """

    def __init__(
        self, store: ResilientStore, clock: Clock, apply: Callable[[Sequence[Override]], None]
    ) -> None:
        self._resilient = store
        self._clock = clock
        self._apply = apply
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._version = ""
        self._failed = False
        self.stored: tuple[Override, ...] = ()
        self._ends = NEVER
        self.keeps = store.administering.able
        self.readers: tuple[SourceReader, ...] = ()
        self.due = NEVER

    async def start(self) -> None:
        """Look now, and set the timer: the first call finds what has changed before it."""
        await self.refresh()
        if self._reads:
            self._set(self._clock())

    def wake(self, now: int) -> None:
        """Look now, in the background, and set the timer."""
        self._set(now)
        if self._task is None or self._task.done():
            self._task = self._resilient.background.run(self.refresh())

    def _set(self, now: int) -> None:
        self.stop()
        self.due = now + _OVERDUE * INTERVAL
        pause = INTERVAL * random.uniform(0.6, 1.0) / SECOND  # noqa: S311 - no secret
        self._timer = asyncio.get_running_loop().call_later(pause, self._ring)

    def stop(self) -> None:
        """Stop the timer. The next call starts another."""
        self.due = 0 if self._reads else NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _reads(self) -> bool:
        return self.keeps or bool(self.readers)

    def read_from(self, readers: tuple[SourceReader, ...]) -> None:
        """Read these sources from now on, and apply the overrides that are known."""
        self.readers = readers
        self.apply()
        self.due = 0 if self._reads else NEVER

    def _ring(self) -> None:
        self.wake(self._clock())

    async def refresh(self) -> None:
        """Read what has changed. What cannot be read stays as it was, which is logged once."""
        try:
            await self._read()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, calls go on
            if not self._failed:
                logger.warning(
                    "overrides cannot be read, so the last ones stay: %s", error_type(error)
                )
            self._failed = True
        else:
            self._failed = False

    async def _read(self) -> None:
        now = self._clock()
        if any([await reader.read(now) for reader in self.readers]):
            self.apply()
        if not self.keeps:
            return
        store = self._resilient.store
        if store.suspends or not isinstance(store, Administers):
            found = await self._resilient.administering.overrides(self._version)
        else:  # it answers at once
            found = await store.overrides(self._version)
        if found is not None:
            self._version, self.stored = found.version, found.entries
        elif now < self._ends:
            return
        self._keep(now)
        self.apply()

    def _keep(self, now: int) -> None:
        """Drop what has ended, and remember when something ends next."""
        self.stored = tuple(entry for entry in self.stored if not 0 < entry.until <= now)
        self._ends = min((entry.until for entry in self.stored if entry.until), default=NEVER)

    def apply(self) -> None:
        """Apply the overrides that are known: those of sources, then those of the store."""
        read = [entry for reader in self.readers for entry in reader.entries]
        self._apply((*read, *self.stored))
