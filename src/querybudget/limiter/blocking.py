"""`BlockingLimiter`: a limiter for code without an event loop, such as batch workers."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from querybudget.adapters.base import Call
from querybudget.errors import SetupError
from querybudget.limiter.admission import Admission
from querybudget.limiter.limiter import Limiter


class BlockingLimiter:
    """Runs a limiter in an event loop of its own, in a thread of its own, while entered.

        with BlockingLimiter(Limiter(policy)) as limiter:
            with limiter.admitted(scope, call) as admission:
                admission.used(Usage(input=12, output=340))

    Any number of threads may use it at the same time. Hooks run in its thread. It is entered once
    at a time; leaving it waits until the body of every admitted call has ended.

    Args:
        limiter: The limiter, which nothing else may use. It is started on entering, and closed on
            leaving.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._entered = False
        self._bodies = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        """Start the thread and the limiter.

        Raises:
            SetupError: The store can never work as it is set up, or the limiter is entered already.
        """
        with self._changed:
            if self._entered:
                raise SetupError("this BlockingLimiter is entered already: share it among threads")
            self._entered = True
        try:
            with ExitStack() as stack:
                portal = stack.enter_context(start_blocking_portal())
                stack.enter_context(portal.wrap_async_context_manager(self._limiter))
                self._portal, self._stack = portal, stack.pop_all()
        except BaseException:
            self._entered = False
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the bodies that are running, close the limiter, then end the thread.

        No other call is admitted meanwhile.
        """
        with self._changed:
            self._portal = None
            self._changed.wait_for(lambda: not self._bodies)
        try:
            self._stack.__exit__(kind, error, traceback)
        finally:
            self._entered = False

    def admitted(
        self, scope: Mapping[str, Any], call: Call | None = None
    ) -> AbstractContextManager[Admission]:
        """Run a body only if its call is admitted, and settle the call when the body ends.

        It does what `Limiter.admitted` does. An exception that is no `Exception`, such as
        `KeyboardInterrupt`, counts as a cancellation.

        Raises:
            RefusedError: On entering: the call is refused.
            SetupError: The limiter has not been entered, or is being left.
        """
        if self._portal is None:
            raise _not_entered()
        return self._body(scope, call)

    @contextmanager
    def _body(self, scope: Mapping[str, Any], call: Call | None) -> Generator[Admission]:
        with self._changed:
            portal = self._portal
            if portal is None:
                raise _not_entered()
            self._bodies += 1
        try:
            with portal.wrap_async_context_manager(
                self._limiter.admitted(scope, call)
            ) as admission:
                yield admission
        finally:
            with self._changed:
                self._bodies -= 1
                self._changed.notify_all()


def _not_entered() -> SetupError:
    return SetupError("expected `with BlockingLimiter(...) as limiter:` around this call")
