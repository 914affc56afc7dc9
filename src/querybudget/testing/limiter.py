"""Limiters that keep everything in memory, and a switch that turns all limits off.

They know what a test calls its callers: the name that the policy's resolvers found in a request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from querybudget.adapters.base import Call
from querybudget.asgi.middleware import BYPASS
from querybudget.events import Hook
from querybudget.identity import Scope, chain
from querybudget.limiter import Limiter, PromptAnalyzer
from querybudget.limiter.admission import Admission
from querybudget.limiter.limiter import Sleep
from querybudget.limiter.plans import Caller
from querybudget.limiter.route import Route
from querybudget.policy.model import Policy
from querybudget.stores import Clock, MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.testing.decisions import Decisions


class _NamingLimiter(Limiter):
    """A limiter that keeps the names that callers give, which only a test may do."""

    def __init__(self, policy: Policy, **arguments: Any) -> None:  # noqa: ANN401 - those of Limiter
        super().__init__(policy, **arguments)
        self._links = chain(policy.identity)
        self.names: dict[str, str] = {}

    def caller_for(self, scope: Scope) -> Caller:
        caller = super().caller_for(scope)
        self._remember(caller)
        return caller

    async def admit_call(
        self, caller: Caller, route: Route, method: str, path: str, call: Call | None = None
    ) -> Admission:
        self._remember(caller)  # the middleware finds callers without `caller_for`
        return await super().admit_call(caller, route, method, path, call)

    def _remember(self, caller: Caller) -> None:
        names = (resolve(caller.scope) for _, resolve in self._links)
        name = next((name for name in names if name is not None), None)
        self.names[caller.identity.key] = name or caller.identity.key


def memory_limiter(
    policy: Policy | Mapping[str, Any] | str | os.PathLike[str],
    *,
    clock: Clock | None = None,
    hooks: Sequence[Hook] = (),
    analyzer: PromptAnalyzer | None = None,
    sleep: Sleep | None = None,
) -> Limiter:
    """Return a limiter for a policy that keeps everything in memory, whatever store it names.

    Args:
        policy: A policy, a mapping, or the path of a YAML file: the one you deploy.
        clock: Returns µs since the epoch; by default a new `ManualClock` (``limiter.clock``).
        hooks: Called with one event for each call, for example a `Decisions`.
        analyzer: Finds out what a prompt is about, for example a `FakeAnalyzer`. By default the
            one that the policy configures, which embeds every prompt.
        sleep: Delays slowed calls by some seconds; by default, `asyncio.sleep`.

    Raises:
        PolicyError: The policy is wrong; it lists every problem.
    """
    loaded = (policy if isinstance(policy, Policy) else Policy.load(policy)).silent()
    clock = clock or ManualClock()
    store = MemoryStore(clock, max_identities=loaded.max_identities)
    limiter = _NamingLimiter(
        loaded,
        store=store,
        clock=clock,
        sleep=sleep or asyncio.sleep,
        hooks=hooks,
        analyzer=analyzer,
    )
    for hook in hooks:
        if isinstance(hook, Decisions):
            hook.watch((budget.name for budget in loaded.budgets), limiter.names)
    return limiter


@contextmanager
def unlimited() -> Generator[None]:
    """Let every call through, uncounted, in every middleware of this process.

    For tests of other parts of an application. It nests, and it ends with the block, also after an
    exception.
    """
    BYPASS.unlimited += 1
    try:
        yield
    finally:
        BYPASS.unlimited -= 1
