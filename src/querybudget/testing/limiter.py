"""Limiters that keep everything in memory, and a way to have none at all for a while."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from querybudget.asgi.bypass import BYPASS
from querybudget.events import Hook
from querybudget.limiter import Limiter, PromptAnalyzer
from querybudget.policy.model import Policy
from querybudget.stores import Clock, MemoryStore
from querybudget.testing.clock import ManualClock

__all__ = ["memory_limiter", "unlimited"]


def memory_limiter(
    policy: Policy | Mapping[str, Any] | str | os.PathLike[str],
    *,
    clock: Clock | None = None,
    hooks: Sequence[Hook] = (),
    analyzer: PromptAnalyzer | None = None,
) -> Limiter:
    """A limiter for a policy, in memory whatever store the policy names.

    Args:
        policy: A policy, a mapping, or the path of a YAML file: the one you deploy.
        clock: µs since the epoch; a `ManualClock` of its own unless given (``limiter.clock``).
        hooks: Called with one event for each call; a `Decisions` for example.
        analyzer: Looks at what calls ask; a `FakeAnalyzer` for example. Unless given, what the
            policy says, which embeds every prompt.

    Raises:
        PolicyError: The policy is wrong; every mistake is named.
    """
    loaded = policy if isinstance(policy, Policy) else Policy.load(policy)
    clock = clock or ManualClock()
    store = MemoryStore(clock, max_identities=loaded.max_identities)
    return Limiter(loaded, store=store, clock=clock, hooks=hooks, analyzer=analyzer)


@contextmanager
def unlimited() -> Generator[None]:
    """Let every middleware in this process let everything through, uncounted, while inside.

    For tests of everything else. Nests, and is undone when left by an exception too.
    """
    BYPASS.unlimited += 1
    try:
        yield
    finally:
        BYPASS.unlimited -= 1
