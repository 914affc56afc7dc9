"""The policy that is running: its hash, its modes, and another one in its place."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException

from querybudget.errors import PolicyError, SetupError
from querybudget.limiter import Limiter
from querybudget.limiter.reloading import differences
from querybudget.policy.load import load
from querybudget.policy.model import Mode


def set_mode(limiter: Limiter, budget: str, mode: Mode) -> None:
    """Enforce a budget, or let it only report.

    Raises:
        HTTPException: There is no such budget.
    """
    try:
        limiter.set_mode(budget, mode)
    except LookupError as error:
        raise HTTPException(404, str(error.args[0])) from None


async def reload(limiter: Limiter) -> Sequence[str]:
    """Load the policy again from its file; return what changes.

    Raises:
        HTTPException: It is wrong, or needs a restart.
    """
    try:
        return (await limiter.reload(load(limiter.policy.source))).changes
    except (PolicyError, SetupError) as error:
        raise HTTPException(409, str(error)) from None


def changes(limiter: Limiter) -> Sequence[str]:
    """Return what loading the policy again from its file would change."""
    return differences(limiter.policy, load(limiter.policy.source))
