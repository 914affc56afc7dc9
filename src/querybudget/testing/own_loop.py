"""An event loop of the kit's own, in a thread: for tests that run on trio, or in no event loop.

A limiter takes one event loop at a time, so calls at once share one. It ends with the last of them,
and takes along what a limiter does in the background.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class _OwnLoop:
    """The event loop, while something runs in it."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    def enter(self) -> asyncio.AbstractEventLoop:
        with self._changing:
            self._users += 1
            if self._loop is None:
                begun = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
                threading.Thread(target=_live, args=(begun,), daemon=True).start()
                self._loop, self._over = begun.result()
            return self._loop

    def leave(self, _: object) -> None:
        with self._changing:
            self._users -= 1
            if self._loop is not None and not self._users:
                self._loop.call_soon_threadsafe(self._over.set)
                self._loop = None


_OWN = _OwnLoop()


def in_own_loop(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine in the kit's own event loop; return a future for this thread."""
    loop = _OWN.enter()
    # In a context of its own: the test's says that trio runs.
    future = Context().run(asyncio.run_coroutine_threadsafe, work, loop)
    future.add_done_callback(_OWN.leave)
    return future


def _live(begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def live() -> None:
        over = asyncio.Event()
        begun.set_result((asyncio.get_running_loop(), over))
        await over.wait()

    asyncio.run(live())
