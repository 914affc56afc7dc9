"""The policy that is running: its hash, its modes, and another one in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from starlette.exceptions import HTTPException

from querybudget.limiter import Limiter
from querybudget.policy.load import load
from querybudget.policy.model import Mode

_CANNOT = "The policy cannot be changed while it runs."


def set_mode(limiter: Limiter, budget: str, mode: Mode) -> None:
    """Enforce a budget, or let it only report.

    Raises:
        HTTPException: There is no such budget.
    """
    changing = cast("Any", limiter)
    if not hasattr(limiter, "set_mode"):
        raise HTTPException(409, _CANNOT)
    changing.set_mode(budget, mode)


async def reload(limiter: Limiter) -> Sequence[str]:
    """Load the policy again from its file; return what changes."""
    changing = cast("Any", limiter)
    if not hasattr(limiter, "reload"):
        raise HTTPException(409, _CANNOT)
    return cast("Sequence[str]", await changing.reload(load(limiter.policy.source)))


def changes(limiter: Limiter) -> Sequence[str]:
    """Return what loading the policy again from its file would change."""
    return () if load(limiter.policy.source) == limiter.policy else ("Its budgets or settings.",)
