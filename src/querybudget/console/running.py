"""The policy that is running: another mode for a budget, or the file again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from msgspec.structs import replace
from starlette.exceptions import HTTPException

from querybudget.errors import QueryBudgetError
from querybudget.limiter import Limiter
from querybudget.limiter.reloading import Change, change_between, differences
from querybudget.overrides import AuditEntry
from querybudget.policy.load import load
from querybudget.policy.model import Mode, Policy
from querybudget.redact import shown
from querybudget.stores import Declares
from querybudget.units import Micros

logger = logging.getLogger("querybudget")

_MADE_IN_CODE = "<"
"""The source of a policy without a file begins so."""


async def set_mode(limiter: Limiter, budget: str, mode: Mode, by: str) -> Change:
    """Enforce a budget, or let it only report: wherever the policy runs on this store.

    If the store keeps no overrides, it is so in this process alone.

    Raises:
        HTTPException: There is no such budget.
        StoreError: The store does not answer. The mode may be switched.
    """
    switches, before = limiter.switches, limiter.rules
    try:
        entry = switches.switch(budget, mode)
    except LookupError as error:
        raise HTTPException(404, str(error.args[0])) from None
    if not limiter.administering.able:
        return limiter.set_mode(budget, mode)
    at, was = Micros(limiter.clock()), _mode_of(limiter, budget)
    detail = f"budget {budget!r}: {was} becomes {mode}" if was != mode else "nothing is different"
    audit = AuditEntry(at, shown(by), "mode", "", detail)
    if not switches.is_own(budget, mode):
        await limiter.administering.override(replace(entry, at=at, by=shown(by)), audit)
    elif not await limiter.administering.remove_override(entry.id, audit):
        await limiter.administering.note(audit)
    await limiter.feed.refresh()
    return change_between(before, limiter.rules)


def is_shared(limiter: Limiter) -> bool:
    """Return True if a mode is switched in every process that shares the store."""
    store = limiter.store
    reach = store.guarantees.reach if isinstance(store, Declares) else ""
    return limiter.administering.able and reach != "process"


def _mode_of(limiter: Limiter, name: str) -> Mode:
    return next(each.mode for each in limiter.policy.budgets if each.name == name)


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
    switches = limiter.switches
    known = limiter.policy if switches.local else switches.policy
    return differences(known, await _written(limiter))


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
