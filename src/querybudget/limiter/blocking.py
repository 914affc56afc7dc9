"""`BlockingLimiter`: a limiter for code without an event loop, such as batch workers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from querybudget.adapters.base import Call
from querybudget.errors import SetupError
from querybudget.limiter.admission import Admission
from querybudget.limiter.limiter import Limiter

__all__ = ["BlockingLimiter"]


class BlockingLimiter:
    """Runs a limiter in an event loop of its own, in a thread of its own, while entered.

        with BlockingLimiter(Limiter(policy)) as limiter:
            with limiter.admitted(scope, call) as admission:
                admission.used(Usage(input=12, output=340))

    Any number of threads may use it at the same time. Hooks run in its thread.

    Args:
        limiter: The limiter, which nothing else may use. It is started on entering, and closed on
            leaving.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Start the thread and the limiter.

        Raises:
            SetupError: The store can never work as it is set up.
        """
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self._limiter))
            self._portal, self._stack = portal, stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the limiter, then end the thread."""
        self._portal = None
        self._stack.__exit__(kind, error, traceback)

    def admitted(
        self, scope: Mapping[str, Any], call: Call | None = None
    ) -> AbstractContextManager[Admission]:
        """Run a body only if its call is admitted, and settle the call when the body ends.

        It does what `Limiter.admitted` does. An exception that is no `Exception`, such as
        `KeyboardInterrupt`, counts as a cancellation.

        Raises:
            RefusedError: On entering: the call is refused.
            SetupError: The limiter has not been entered.
        """
        if self._portal is None:
            raise SetupError("expected `with BlockingLimiter(...) as limiter:` around this call")
        return self._portal.wrap_async_context_manager(self._limiter.admitted(scope, call))
