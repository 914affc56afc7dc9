"""Limiters that keep everything in memory, and a switch that turns all limits off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from querybudget.asgi.middleware import BYPASS
from querybudget.events import Hook
from querybudget.limiter import Limiter, PromptAnalyzer
from querybudget.limiter.limiter import Sleep
from querybudget.policy.model import Policy
from querybudget.stores import Clock, MemoryStore
from querybudget.testing.clock import ManualClock


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
    loaded = policy if isinstance(policy, Policy) else Policy.load(policy)
    clock = clock or ManualClock()
    store = MemoryStore(clock, max_identities=loaded.max_identities)
    return Limiter(
        loaded,
        store=store,
        clock=clock,
        sleep=sleep or asyncio.sleep,
        hooks=hooks,
        analyzer=analyzer,
    )


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
