"""A store that fails in the middle of a command: what was done is said, and again finishes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from querybudget.admin import LocalAdmin
from querybudget.errors import StoreError
from querybudget.limiter import Limiter, Outcome
from querybudget.overrides import Override
from querybudget.policy import load_policy
from querybudget.stores import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO

POLICY = load_policy(
    {
        "secret": "0123456789abcdef",
        "identity": ["api_key"],
        "budgets": [
            {"name": "own", "limit": "4 requests/minute"},
        ],
    }
)
VERBS = frozenset(
    {"accounts", "account", "pardon", "forget", "overrides", "override", "remove_override", "note"}
)
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/chat/completions",
    "headers": [(b"authorization", b"Bearer sk-1")],
}


class FailingOnce(MemoryStore):
    """Fails at one step, before it is done or after it, and works before and afterwards.

    Attributes:
        left: Steps until it fails; below 0, it works.
        done: Whether the step that fails is done.
    """

    left = -1
    done = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self._stepped(found) if name in VERBS else found

    def _stepped(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def stepped(*arguments: object, **named: object) -> Any:
            self.left -= 1
            if self.left == -1 and not self.done:
                raise StoreError("it is down")
            answer = await verb(*arguments, **named)
            if self.left == -1:
                raise StoreError("it went down")
            return answer

        return stepped


async def used(store: MemoryStore, clock: ManualClock) -> tuple[LocalAdmin, str]:
    """Return an admin, and the key of a caller with an account and two overrides."""
    limiter = Limiter(POLICY, store=store, clock=clock)
    await limiter.settle(await limiter.admit(SCOPE), Outcome.ANSWERED)
    key = limiter.caller_for(SCOPE).identity.key
    admin = LocalAdmin(limiter)
    for amount in (1, 2):
        await admin.change(Override("", key, "own", amount=amount * MICRO), "grant")
    return admin, key


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["whole", "beginning"])
async def test_a_caller_who_was_half_forgotten_is_forgotten_by_the_next_attempt(
    name: str, *, done: bool
) -> None:
    failures = list[str]()
    for step in range(20):
        clock = ManualClock()
        store = FailingOnce(clock)
        admin, key = await used(store, clock)
        shown = key if name == "whole" else key[:8]
        store.left, store.done = step, done
        try:
            await admin.forget(shown, "ann", "asked to")
        except StoreError as error:
            failures.append(str(error))
        kept = len(store), len((await admin.overrides()).entries)
        if kept != (1, 2):
            assert "forget" in {entry.action for entry in await admin.audit()}
        if kept != (0, 0):
            await admin.forget(shown, "ann", "asked to")
        assert (len(store), (await admin.overrides()).entries) == (0, ())
        if len(failures) == step:  # it has fewer steps
            break
    else:
        pytest.fail("it never ended")
    assert len(failures) > 5
    assert "Until then, 1 account and 1 override of" in "\n".join(failures)


async def test_nothing_is_pardoned_that_is_not_in_the_audit_log() -> None:
    clock = ManualClock()
    store = FailingOnce(clock)
    admin, key = await used(store, clock)
    store.left = 2  # account, note, pardon
    with pytest.raises(StoreError):
        await admin.pardon(key, "ann")
    assert (await admin.audit())[0].action == "pardon"
    await admin.pardon(key, "ann")


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_a_grant_whose_answer_is_lost_is_looked_for(*, done: bool) -> None:
    clock = ManualClock()
    store = FailingOnce(clock)
    admin, key = await used(store, clock)
    store.left, store.done = 0, done
    grant = Override("", key, "own", amount=3 * MICRO)
    if done:
        made = await admin.change(grant, "grant")
        assert made in (await admin.overrides()).entries
    else:
        with pytest.raises(StoreError, match="it is down"):
            await admin.change(grant, "grant")
        assert len((await admin.overrides()).entries) == 2


async def test_a_grant_of_which_nobody_knows_says_so() -> None:
    class Gone(FailingOnce):
        async def overrides(self, version: str = "") -> Any:
            if self.left < 0:
                raise StoreError("it is down")
            return await super().overrides(version)

    clock = ManualClock()
    store = FailingOnce(clock)
    admin, key = await used(store, clock)
    store.__class__ = Gone
    store.left, store.done = 0, True
    with pytest.raises(StoreError, match="may have been made"):
        await admin.change(Override("", key, "own", amount=MICRO), "grant")
