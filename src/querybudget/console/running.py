"""The policy that is running: another mode for a budget, or the file again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from starlette.exceptions import HTTPException

from querybudget.errors import QueryBudgetError
from querybudget.limiter import Limiter
from querybudget.limiter.reloading import Change, differences
from querybudget.overrides import AuditEntry
from querybudget.policy.load import load
from querybudget.policy.model import Mode, Policy
from querybudget.redact import shown

logger = logging.getLogger("querybudget")

_MADE_IN_CODE = "<"
"""The source of a policy without a file begins so."""


async def set_mode(limiter: Limiter, budget: str, mode: Mode, by: str) -> Change:
    """Enforce a budget, or let it only report.

    Raises:
        HTTPException: There is no such budget.
    """
    try:
        change = limiter.set_mode(budget, mode)
    except LookupError as error:
        raise HTTPException(404, str(error.args[0])) from None
    await _note(limiter, "mode", by, change)
    return change


async def reload(limiter: Limiter, by: str) -> Change:
    """Load the policy again from its file.

    Raises:
        HTTPException: It has none.
        PolicyError: The file is wrong. The policy stays.
        SetupError: The file says what needs a restart. The policy stays.
    """
    change = await limiter.reload(await _written(limiter))
    await _note(limiter, "reload", by, change)
    return change


async def changes(limiter: Limiter) -> Sequence[str]:
    """Return what loading the policy again from its file would change.

    Raises:
        HTTPException: It has none.
        PolicyError: The file is wrong.
    """
    return differences(limiter.policy, await _written(limiter))


async def _written(limiter: Limiter) -> Policy:
    source = limiter.policy.source
    if source.startswith(_MADE_IN_CODE):
        raise HTTPException(409, "The policy was made in code: there is no file to load.")
    return await asyncio.to_thread(load, source)


async def _note(limiter: Limiter, action: str, by: str, change: Change) -> None:
    """Note a change in the audit log, if the store keeps one."""
    detail = "; ".join(change.changes) or "nothing is different"
    try:
        await limiter.administering.note(AuditEntry(limiter.clock(), shown(by), action, "", detail))
    except QueryBudgetError as error:
        logger.warning("the change of the policy is not in the audit log: %s", error)
