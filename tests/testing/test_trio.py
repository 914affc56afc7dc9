"""The kit in tests that run on trio. The middleware itself runs on asyncio, and says so."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import trio
from starlette.testclient import TestClient

from querybudget import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.errors import SetupError
from querybudget.policy.model import Policy
from querybudget.testing import (
    Decisions,
    FakeModel,
    ManualClock,
    drive,
    http_scope,
    memory_limiter,
    request,
    run_scenario,
    serving,
    spend,
    sweep,
    unlimited,
)

POLICY: dict[str, Any] = {
    "identity": ["api_key"],
    "secret": "0123456789abcdef0123456789abcdef",
    "budgets": [
        {"name": "rpm", "limit": "2 requests/minute"},
        {"name": "tokens", "limit": "1000 tokens/day"},
    ],
    "tests": [
        {
            "name": "two a minute",
            "calls": [{"caller": "a", "times": 3, "expect": {"admitted": 2, "refused": 1}}],
        }
    ],
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
PATH = "/v1/chat/completions"
ALICE = {"authorization": "Bearer alice"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Kit:
    """A limiter in memory, its clock, its decisions and its middleware."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.decisions = Decisions()
        self.limiter = memory_limiter(POLICY, clock=self.clock, hooks=[self.decisions])
        self.app = QueryBudgetMiddleware(FakeModel(), limiter=self.limiter)

    async def ask(self, text: str = "Hello") -> int:
        body = request({"model": "m", "messages": [{"role": "user", "content": text}]})
        return (await drive(self.app, http_scope(key="alice"), body)).status


@pytest.mark.anyio
async def test_calls_are_driven_and_asserted_on_under_every_event_loop() -> None:
    kit = Kit()
    assert [await kit.ask(text) for text in sweep(3)] == [200, 200, 429]
    kit.decisions.assert_refused(1, by="rpm", caller="alice", wait=60)
    with unlimited():
        assert await kit.ask() == 200
    kit.clock.fast_forward("1 minute")
    spend(kit.limiter, "100%", of="rpm", caller="alice")
    assert await kit.ask() == 429
    kit.clock.fast_forward("1 minute")
    assert await kit.ask() == 200
    kit.decisions.assert_admitted(3)


@pytest.mark.anyio
async def test_calls_at_once_share_what_is_left() -> None:
    kit, statuses = Kit(), list[int]()

    async def one() -> None:
        statuses.append(await kit.ask())

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one)
    assert sorted(statuses) == [200, 200, 429, 429]


@pytest.mark.anyio
async def test_every_interruption_is_settled_once_at_most() -> None:
    whole = await drive(Kit().app, http_scope(key="bob"), request(CHAT | {"stream": True}))
    assert whole.status == 200
    for at in range(whole.awaits):
        kit = Kit()
        body = request(CHAT | {"stream": True})
        driven = await drive(kit.app, http_scope(key="bob"), body, cancel_at=at, level=True)
        assert driven.cut
        assert len(kit.decisions) <= 1


@pytest.mark.anyio
async def test_a_test_that_gives_up_takes_its_call_along() -> None:
    begun, over = threading.Event(), threading.Event()

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        try:
            await receive()
        finally:
            over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive, hangs, http_scope(), request(CHAT))
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    await anyio.to_thread.run_sync(over.wait)


@pytest.mark.anyio
async def test_the_tests_of_a_policy_run_inside_an_asynchronous_test() -> None:
    policy = Policy.load(POLICY)
    result = run_scenario(policy, policy.tests[0])
    assert result.passed, str(result)


@pytest.mark.anyio
async def test_a_synchronous_client_may_be_used_in_an_asynchronous_test() -> None:
    kit = Kit()
    client = TestClient(kit.app, headers=ALICE)
    assert [client.post(PATH, json=CHAT).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.anyio
async def test_a_client_of_any_event_loop_speaks_to_an_application_that_is_served() -> None:
    with serving(Kit().app) as url:
        async with httpx.AsyncClient(base_url=url, headers=ALICE, trust_env=False) as client:
            answers = [await client.post(PATH, json=CHAT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_a_server_on_trio_is_told_at_its_start_that_the_middleware_runs_on_asyncio() -> None:
    sent = list[Message]()

    async def receive() -> Message:
        await trio.lowlevel.checkpoint()
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(SetupError, match="runs on asyncio"):
        trio.run(partial(Kit().app, {"type": "lifespan"}, receive, send))
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "runs on asyncio" in sent[0]["message"]


@pytest.mark.parametrize("websocket", [False, True])
def test_a_call_on_trio_is_told_so_before_it_is_counted(websocket: bool) -> None:
    kit = Kit()
    client = TestClient(kit.app, headers=ALICE, backend="trio")
    call = client.websocket_connect("/v1/realtime").__enter__ if websocket else client.post
    with pytest.raises(SetupError, match="runs on asyncio"):
        call(*(() if websocket else (PATH,)))
    assert len(kit.decisions) == 0
