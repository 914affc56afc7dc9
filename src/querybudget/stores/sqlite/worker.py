"""One thread for all that blocks, so that the event loop never does."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

__all__ = ["WorkerThread"]

T = TypeVar("T")

logger = logging.getLogger("querybudget")


class WorkerThread:
    """Runs one piece of work after the other, in a thread that is started for the first.

    Serves any event loop, and several in turn. Whoever is cancelled while waiting leaves the work
    to go on.

    **Fork.** SQLite keeps the locks of a process in that process's memory, where a child would
    find them as its own. So nothing is open while a process forks: the fork waits for the work
    under way, `let_go` is called, and parent and child each open what they need anew.

    Args:
        let_go: Closes what must not be open across a fork; called in the thread that forks.
    """

    def __init__(self, let_go: Callable[[], None]) -> None:
        self._let_go = let_go
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        _lanes.add(self)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        with self._starting:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "querybudget-sqlite")
            self._executor.submit(self._do, work, loop, waiter)
        return await waiter

    async def finish(self, work: Callable[[], None]) -> None:
        """Do `work` after all that was asked before, and end the thread. Again: does nothing."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._starting:
            executor, self._executor = self._executor, None
            if executor is None:
                return
            executor.submit(self._do, work, loop, waiter)
            executor.shutdown(wait=False)
        await waiter

    def _do(
        self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[T]
    ) -> None:
        failure: Exception | None = None
        with self._working:
            try:
                tell: Callable[[], None] = partial(_succeed, waiter, work())
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                failure = error
                tell = partial(_fail, waiter, error)
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop was closed, so nobody waits
            if failure:
                _log(failure)

    def hold(self) -> None:
        """Let go of everything and do no work until `go_on`."""
        self._working.acquire()
        self._starting.acquire()
        self._let_go()

    def go_on(self) -> None:
        """Work again."""
        self._starting.release()
        self._working.release()

    def begin_anew(self) -> None:
        """Work again, in a child that has not its parent's thread."""
        self._executor = None
        self.go_on()


def _succeed(waiter: asyncio.Future[T], result: T) -> None:
    if not waiter.done():
        waiter.set_result(result)


def _fail(waiter: asyncio.Future[Any], error: Exception) -> None:
    if waiter.done():
        _log(error)
    else:
        waiter.set_exception(error)


def _log(error: Exception) -> None:
    logger.warning("the store failed after the caller had stopped waiting: %s", error)


_lanes: weakref.WeakSet[WorkerThread] = weakref.WeakSet()
_held: list[WorkerThread] = []


def _before_fork() -> None:
    _held.extend(_lanes)
    for worker in _held:
        worker.hold()


def _after_fork(resume: Callable[[WorkerThread], None]) -> None:
    while _held:
        resume(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, WorkerThread.go_on),
        after_in_child=partial(_after_fork, WorkerThread.begin_anew),
    )
