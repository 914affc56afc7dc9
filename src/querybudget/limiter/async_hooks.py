"""Hooks that are coroutine functions: awaited one after the other, off the path of calls."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from querybudget.events import DecisionEvent
from querybudget.units import SECOND, Micros

MOST = 10_000
"""Events that wait for hooks; what comes above is dropped and counted."""

PATIENCE = 30.0
"""Seconds that a hook may take for one event."""

DRAINING = 5.0
"""Seconds that closing waits for hooks."""

WARNED = 60 * SECOND
"""µs between two warnings about events that were dropped."""

logger = logging.getLogger("querybudget")

AsyncHook = Callable[[DecisionEvent], Awaitable[object]]


class AsyncHooks:
    """A bounded queue of events for hooks, and the task that awaits them in order.

    The task ends when nothing waits, and the next event begins another, on the event loop that is
    running then.

    Attributes:
        dropped: Events that hooks were too slow for.
    """

    def __init__(self) -> None:
        self._waiting = deque[tuple[AsyncHook, DecisionEvent]]()
        self._task: asyncio.Task[None] | None = None
        self._warned = Micros(-WARNED)
        self.dropped = 0

    def put(self, hook: AsyncHook, event: DecisionEvent) -> None:
        """Have a hook called with an event soon."""
        if len(self._waiting) >= MOST:
            self.dropped += 1
            if event.at - self._warned >= WARNED:
                self._warned = event.at
                logger.warning("hooks are too slow: %d events were dropped", self.dropped)
            return
        self._waiting.append((hook, event))
        self._run_soon()

    def _run_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the loop has ended; the next one goes on
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            hook, event = self._waiting.popleft()
            try:
                async with asyncio.timeout(PATIENCE):
                    await hook(event)
            except Exception:
                logger.exception("a hook failed: %r", hook)

    async def aclose(self) -> None:
        """Give the hooks some time for what waits."""
        if not self._waiting and (self._task is None or self._task.done()):
            return
        self._run_soon()
        task = self._task
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return
        _, left = await asyncio.wait((task,), timeout=DRAINING)
        if left:
            task.cancel()
            lost = len(self._waiting) + 1
            self._waiting.clear()
            logger.warning("hooks did not take %d events before the end", lost)
