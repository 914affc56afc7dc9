"""An event loop of the kit's own, in a thread: for tests that run on trio, or in no event loop.

It lasts as long as the process, since a limiter takes one event loop at a time.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import Context
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def in_own_loop(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine in the kit's own event loop; return a future for this thread."""
    # In a context of its own: the test's says that trio runs.
    return Context().run(asyncio.run_coroutine_threadsafe, work, _own_loop())


@cache
def _own_loop() -> asyncio.AbstractEventLoop:
    begun = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
    thread = threading.Thread(target=_live, args=(begun,), name="querybudget.testing", daemon=True)
    thread.start()
    loop, over = begun.result()

    def end() -> None:
        loop.call_soon_threadsafe(over.set)
        thread.join()

    atexit.register(end)
    return loop


def _live(begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def live() -> None:
        over = asyncio.Event()
        begun.set_result((asyncio.get_running_loop(), over))
        await over.wait()

    asyncio.run(live())
