"""Work that no call waits for: settlements, renewals, reads of histories and of overrides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any


class BackgroundTasks:
    """Runs coroutines as tasks, and keeps each until it is done: an event loop does not."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[Any]]()

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._tasks)

    def run(
        self, work: Coroutine[Any, Any, object], on_cancel: Callable[[], None] | None = None
    ) -> asyncio.Task[object]:
        """Run a coroutine in the background, and return its task.

        Args:
            work: To run.
            on_cancel: Called if it was cancelled, as everything is when an event loop ends.
        """
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, on_cancel))
        return task

    def _done(self, on_cancel: Callable[[], None] | None, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and on_cancel is not None:
            on_cancel()

    async def wait(self) -> None:
        """Wait until all are done, those that begin meanwhile too."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # lets callbacks run; from Python 3.12 on, gather does not
