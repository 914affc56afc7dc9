"""One thread for everything that blocks, so that the event loop never does."""

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

T = TypeVar("T")

logger = logging.getLogger("querybudget")


class WorkerThread:
    """Runs one function after the other in a thread, which starts with the first.

    Serves any event loop, and several in turn. If a caller is cancelled while it waits, its
    function still runs.

    **Fork.** SQLite keeps a process's locks in that process's memory, where a child would take them
    for its own. So nothing is open while a process forks: the fork waits for the function that is
    running, `close` is called, and parent and child each open what they need again.

    Args:
        close: Closes what must not be open across a fork; called in the thread that forks.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._working = threading.Lock()
        self._starting = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        _workers.add(self)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        with self._starting:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "querybudget-sqlite")
            self._executor.submit(self._run, work, loop, waiter)
        return await waiter

    async def finish(self, work: Callable[[], None]) -> None:
        """Run `work` after everything before it, and end the thread. Again: does nothing."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._starting:
            executor, self._executor = self._executor, None
            if executor is None:
                return
            executor.submit(self._run, work, loop, waiter)
            executor.shutdown(wait=False)
        await waiter

    def before_fork(self) -> None:
        """Close what is open, and run nothing until the fork is done."""
        self._working.acquire()
        self._starting.acquire()
        self._close()

    def after_fork_in_parent(self) -> None:
        """Run functions again."""
        self._starting.release()
        self._working.release()

    def after_fork_in_child(self) -> None:
        """Run functions again, in a new thread: a child does not have its parent's."""
        self._executor = None
        self.after_fork_in_parent()

    def _run(
        self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[T]
    ) -> None:
        failure: Exception | None = None
        with self._working:
            try:
                answer: Callable[[], None] = partial(_succeed, waiter, work())
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                failure = error
                answer = partial(_fail, waiter, error)
        try:
            loop.call_soon_threadsafe(answer)
        except RuntimeError:  # the loop is closed, so nothing waits
            if failure:
                _log(failure)


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


_workers: weakref.WeakSet[WorkerThread] = weakref.WeakSet()
_stopped: list[WorkerThread] = []


def _before_fork() -> None:
    _stopped.extend(_workers)
    for worker in _stopped:
        worker.before_fork()


def _after_fork(resume: Callable[[WorkerThread], None]) -> None:
    while _stopped:
        resume(_stopped.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, WorkerThread.after_fork_in_parent),
        after_in_child=partial(_after_fork, WorkerThread.after_fork_in_child),
    )
