"""Hooks that are coroutine functions are awaited off the path of calls, and before the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from querybudget.events import DecisionEvent
from querybudget.limiter import async_hooks, request_scope
from querybudget.testing import memory_limiter

pytestmark = pytest.mark.anyio

RULES: dict[str, Any] = {"budgets": [{"name": "rpm", "limit": "99/minute"}]}


async def calls(limiter: Any, times: int) -> None:
    for _ in range(times):
        async with limiter.admitted(request_scope("/x")):
            pass


async def test_a_slow_hook_delays_no_call_and_has_every_event_in_order_at_the_end() -> None:
    seen, free = list[DecisionEvent](), asyncio.Event()

    async def slow(event: DecisionEvent) -> None:
        await free.wait()
        seen.append(event)

    limiter = memory_limiter(RULES, hooks=[slow])
    await calls(limiter, 3)
    assert seen == []
    free.set()
    await limiter.aclose()
    assert len(seen) == 3
    assert [event.at for event in seen] == sorted(event.at for event in seen)
    await calls(limiter, 1)
    await limiter.aclose()
    assert len(seen) == 4


async def test_a_hook_that_fails_is_logged_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = list[DecisionEvent]()

    async def broken(event: DecisionEvent) -> None:
        seen.append(event)
        raise RuntimeError("down")

    limiter = memory_limiter(RULES, hooks=[broken])
    await calls(limiter, 2)
    await limiter.aclose()
    assert len(seen) == 2
    assert caplog.text.count("a hook failed") == 2


async def test_events_that_hooks_are_too_slow_for_are_dropped_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(async_hooks, "MOST", 2)
    seen, free = list[DecisionEvent](), asyncio.Event()

    async def slow(event: DecisionEvent) -> None:
        await free.wait()
        seen.append(event)

    limiter = memory_limiter(RULES, hooks=[slow])
    await calls(limiter, 6)
    free.set()
    await limiter.aclose()
    assert len(seen) < 6
    assert caplog.text.count("hooks are too slow") == 1


async def test_a_hook_that_never_ends_does_not_keep_the_limiter_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(async_hooks, "DRAINING", 0)

    async def stuck(event: DecisionEvent) -> None:
        await asyncio.Event().wait()

    limiter = memory_limiter(RULES, hooks=[stuck])
    await calls(limiter, 2)
    await limiter.aclose()
    assert "hooks did not take" in caplog.text


async def test_a_hook_that_can_be_closed_is_closed_with_the_limiter() -> None:
    class Closes:
        closed = False

        def __call__(self, event: DecisionEvent) -> None:
            pass

        async def aclose(self) -> None:
            self.closed = True

    hook = Closes()
    async with memory_limiter(RULES, hooks=[hook]):
        assert not hook.closed
    assert hook.closed
