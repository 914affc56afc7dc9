"""Closing ends on every Python, also if what it waits for has just ended.

From Python 3.12 on, `asyncio.gather` returns at once if all its tasks have ended, and lets nothing
run that they have scheduled. So whoever waits until their callbacks have run waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from querybudget.backends import StoreSettings
from querybudget.policy.model import Policy
from querybudget.resilience.store import ResilientStore
from querybudget.stores.redis.connection import ServerConnection, connect
from querybudget.testing import ManualClock
from tests.stores.scripted import Scripted

RPM = {"name": "rpm", "limit": "9 requests/minute"}

PATIENCE = 50
"""Times that closing may look whether all has ended."""


@pytest.fixture(autouse=True)
def gather_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `asyncio.gather` do what newer versions do, on every version."""
    gather, looks = asyncio.gather, list[int]()

    async def gathered(*awaited: Awaitable[Any], **options: Any) -> list[Any]:
        tasks = [asyncio.ensure_future(each) for each in awaited]
        looks.append(len(tasks))
        assert len(looks) < PATIENCE, "closing never ends"
        if tasks and all(task.done() for task in tasks):
            return [task.result() for task in tasks]
        return list(await gather(*tasks, **options))

    monkeypatch.setattr(asyncio, "gather", gathered)


async def answered(reply: asyncio.Future[None]) -> None:
    """Answer and end in one step: who waits for the answer runs before what the end schedules."""
    reply.set_result(None)


async def closed_at_the_answer(
    begin: Callable[[asyncio.Future[None]], object], close: Callable[[], Awaitable[object]]
) -> None:
    reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    begin(reply)
    await reply
    await close()


async def test_a_connection_to_redis_closes_right_after_its_last_answer() -> None:
    connection = connect("redis://127.0.0.1:1", timeout=1)
    assert isinstance(connection, ServerConnection)
    senders = connection._senders

    def begin(reply: asyncio.Future[None]) -> None:
        sender = asyncio.ensure_future(answered(reply))
        senders.add(sender)
        sender.add_done_callback(senders.discard)

    await closed_at_the_answer(begin, connection.aclose)
    assert not senders


async def test_a_limiters_store_closes_right_after_its_last_settlement() -> None:
    clock, policy = ManualClock(), Policy.load({"budgets": [RPM]})
    store = ResilientStore(
        policy, Scripted(clock), clock, settings=StoreSettings("memory://"), name="scripted"
    )
    await closed_at_the_answer(lambda reply: store.background.run(answered(reply)), store.aclose)
    assert not store.busy
