"""Starting and stopping: what a server hears, and what is done before it hears it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from querybudget.asgi import QueryBudgetMiddleware, lifespan, workers
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.errors import PolicyError, QueryBudgetError, SetupError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.testing import Decisions, FakeModel, ManualClock, drive, http_scope, request

STARTUP: Message = {"type": "lifespan.startup"}
LIFESPAN: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BUDGETS = [
    {"name": "rpm", "limit": "9 requests/minute"},
    {"name": "parallel", "limit": "9 concurrent"},
]
RULES: dict[str, Any] = {
    "version": 1,
    "identity": ["api_key"],
    "store": {"url": "memory://", "timeout": "60s"},
    "budgets": BUDGETS,
}


class Slow:
    """A store whose settlements wait until they are let through, and that notes when it closes."""

    suspends = True

    def __init__(self, log: list[str]) -> None:
        self.inner = MemoryStore(ManualClock())
        self.log = log
        self.through = asyncio.Event()
        self.error: Exception | None = None

    async def start(self) -> None:
        if self.error is not None:
            raise self.error

    async def reserve(self, charge: Charge) -> Decision:
        return await self.inner.reserve(charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        await self.through.wait()
        settled = await self.inner.settle(reservation, amounts)
        self.log.append("settled")
        return settled

    async def peek(self, partition: str, quotas: Any) -> tuple[tuple[int, int], ...]:
        return await self.inner.peek(partition, quotas)

    async def forget(self, partition: str) -> bool:
        return await self.inner.forget(partition)

    async def aclose(self) -> None:
        self.log.append("closed")

    @property
    def held(self) -> int:
        accounts = [*self.inner._newcomers.values(), *self.inner._known.values()]
        return sum(len(account.open) for account in accounts)


class Served:
    """A middleware whose lifespan runs, as a server runs it."""

    def __init__(self, app: ASGIApp, policy: Any = None) -> None:
        self.log: list[str] = []
        self.store = Slow(self.log)
        self.decisions = Decisions()
        limiter = Limiter(Policy.load(policy or RULES), store=self.store, hooks=[self.decisions])
        limiter._owned = True
        self.app = QueryBudgetMiddleware(app, limiter=limiter)
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        self.task = asyncio.ensure_future(self.app(LIFESPAN, self.messages.get, self._send))
        return await self.answer_to("lifespan.startup")

    async def answer_to(self, message: str) -> str:
        self.messages.put_nowait({"type": message})
        return str((await self.sent.get())["type"])

    async def call(self) -> int:
        return (await drive(self.app, http_scope(key="a"), request(CHAT))).status

    async def _send(self, message: Message) -> None:
        self.log.append(message["type"])
        self.sent.put_nowait(message)


async def turns(count: int = 20) -> None:
    """Let the event loop do all that it can do now."""
    for _ in range(count):
        await asyncio.sleep(0)


def ending_with(message: str) -> ASGIApp:
    """An application that answers the server's shutdown with this message."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await FakeModel()(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": message})

    return app


# -- Stopping ---------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
async def test_everything_is_closed_before_the_server_hears_that_it_may_end(ending: str) -> None:
    served = Served(ending_with(ending))
    await served.start()
    calling = asyncio.ensure_future(served.call())
    await turns()
    stopping = asyncio.ensure_future(served.answer_to("lifespan.shutdown"))
    await turns()
    assert served.log == ["lifespan.startup.complete"]
    served.store.through.set()
    assert await stopping == ending
    assert await calling == 200
    assert served.log == ["lifespan.startup.complete", "settled", "closed", ending]
    assert served.store.held == 0


@pytest.mark.anyio
async def test_an_application_that_cannot_start_leaves_nothing_open() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no model"})

    served = Served(app)
    assert await served.start() == "lifespan.startup.failed"
    assert served.log == ["closed", "lifespan.startup.failed"]


@pytest.mark.anyio
async def test_a_lifespan_that_is_cancelled_closes_all_the_same() -> None:
    served = Served(FakeModel())
    await served.start()
    assert served.task is not None
    served.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await served.task
    assert served.log[:2] == ["lifespan.startup.complete", "closed"]


@pytest.mark.anyio
async def test_open_calls_are_waited_for_before_a_server_ends() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            begun.set()
            await go.wait()
        await FakeModel()(scope, receive, send)

    served = Served(app)
    served.store.through.set()
    await served.start()
    calling = asyncio.ensure_future(served.call())
    await begun.wait()
    stopping = asyncio.ensure_future(served.answer_to("lifespan.shutdown"))
    await turns()
    assert not stopping.done()
    go.set()
    assert await calling == 200
    assert await stopping == "lifespan.shutdown.complete"
    assert served.log[1:] == ["settled", "closed", "lifespan.shutdown.complete"]


@pytest.mark.anyio
async def test_a_call_that_does_not_end_is_charged_what_it_used_and_its_lease_is_freed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifespan, "OPEN_CALLS", 0.01)
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await FakeModel()(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 400, "more_body": True})
        begun.set()
        await asyncio.Event().wait()

    served = Served(app)
    served.store.through.set()
    await served.start()
    calling = asyncio.ensure_future(served.call())
    await begun.wait()
    assert served.store.held == 1
    assert await served.answer_to("lifespan.shutdown") == "lifespan.shutdown.complete"
    assert served.store.held == 0
    assert "1 calls were still open" in caplog.text
    usage = served.decisions.last.usage
    assert usage is not None
    assert usage.input > 0
    assert usage.output > 0
    calling.cancel()
    await asyncio.wait((calling,))
    assert len(served.decisions.events) == 1


@pytest.mark.anyio
async def test_closing_takes_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifespan, "CLOSING", 0.01)
    served = Served(FakeModel())
    await served.start()
    calling = asyncio.ensure_future(served.call())
    await turns()
    assert await served.answer_to("lifespan.shutdown") == "lifespan.shutdown.complete"
    assert "closing took longer" in caplog.text
    calling.cancel()
    await asyncio.wait((calling,))
    served.store.through.set()
    await turns()


@pytest.mark.anyio
async def test_a_store_that_fails_to_close_does_not_keep_a_server_from_ending(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(FakeModel())

    async def fails() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(served.store, "aclose", fails)
    await served.start()
    assert await served.answer_to("lifespan.shutdown") == "lifespan.shutdown.complete"
    assert "closing failed" in caplog.text


@pytest.mark.anyio
async def test_a_settlement_is_written_before_the_task_of_its_request_ends() -> None:
    served = Served(FakeModel())  # and without a lifespan, as a mounted application is
    calling = asyncio.ensure_future(served.call())
    await turns()
    assert not calling.done()
    served.store.through.set()
    assert await calling == 200
    assert served.log == ["settled"]
    assert served.store.held == 0


# -- Applications without a lifespan ----------------------------------------------------------


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan here")
    await FakeModel()(scope, receive, send)


async def ignores(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await FakeModel()(scope, receive, send)


async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await FakeModel()(scope, receive, send)
    else:
        await receive()
        await send({"type": "lifespan.startup.complete"})


@pytest.mark.anyio
@pytest.mark.parametrize("app", [raises, ignores, leaves])
async def test_an_application_without_a_lifespan_has_ours(app: ASGIApp) -> None:
    served = Served(app)
    served.store.through.set()
    assert await served.start() == "lifespan.startup.complete"
    assert await served.call() == 200
    assert "closed" not in served.log
    assert await served.answer_to("lifespan.shutdown") == "lifespan.shutdown.complete"
    assert served.log[-2:] == ["closed", "lifespan.shutdown.complete"]


def test_a_mounted_application_opens_its_store_at_its_first_call(tmp_path: Path) -> None:
    rules = {**RULES, "secret": "0123456789abcdef", "budgets": [{"name": "day", "limit": "2/day"}]}
    store = f"sqlite:///{tmp_path}/budgets.db"

    def once() -> int:
        inner = QueryBudgetMiddleware(FakeModel(), rules, store=store)
        with TestClient(Starlette(routes=[Mount("/llm", inner)])) as client:
            headers = {"authorization": "Bearer a"}
            return client.post("/llm/v1/chat/completions", json=CHAT, headers=headers).status_code

    assert [once() for _ in range(3)] == [200, 200, 429]  # each was written before its client left


# -- Failing to start -------------------------------------------------------------------------


def wrong_policy(folder: Path) -> QueryBudgetMiddleware:
    path = folder / "policy.yaml"
    path.write_text("version: 1\nbudgts: []\n")
    return QueryBudgetMiddleware(FakeModel(), path)


def no_policy(folder: Path) -> QueryBudgetMiddleware:
    return QueryBudgetMiddleware(FakeModel(), folder / "nowhere.yaml")


def wrong_store(folder: Path) -> QueryBudgetMiddleware:
    rules = {**RULES, "secret": "0123456789abcdef"}
    return QueryBudgetMiddleware(FakeModel(), rules, store=f"sqlite:///{folder}/missing/b.db")


@pytest.mark.parametrize("make", [wrong_policy, no_policy, wrong_store])
def test_a_test_client_raises_what_keeps_the_server_from_starting(
    make: Callable[[Path], QueryBudgetMiddleware], tmp_path: Path
) -> None:
    entered = TestClient(make(tmp_path))
    with pytest.raises((QueryBudgetError, OSError)), entered:
        pass


def test_a_test_client_raises_what_is_wrong_inside_an_application_with_a_lifespan() -> None:
    entered: list[str] = []

    @asynccontextmanager
    async def noted(app: Starlette) -> AsyncIterator[None]:
        entered.append("application")
        yield

    app = Starlette(lifespan=noted)
    app.add_middleware(QueryBudgetMiddleware, policy="nowhere.yaml")
    with pytest.raises((PolicyError, SetupError, OSError)), TestClient(app):
        pass
    assert entered == []


@pytest.mark.anyio
async def test_a_bug_in_a_store_fails_the_start_and_shows_no_text_of_its_own() -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    app = QueryBudgetMiddleware(FakeModel(), {**RULES})
    app._make_limiter = fails  # type: ignore[method-assign]
    driven = await drive(app, LIFESPAN, [{"type": "lifespan.startup"}])
    (message,) = driven.sent
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"] == "querybudget: RuntimeError"
    assert isinstance(driven.error, RuntimeError)


def test_a_test_client_sees_each_settlement_when_its_call_returns(tmp_path: Path) -> None:
    decisions = Decisions()

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse({})

    rules = {**RULES, "secret": "0123456789abcdef"}
    app = Starlette(routes=[Route("/x", answer)])
    store = f"sqlite:///{tmp_path}/b.db"
    app.add_middleware(QueryBudgetMiddleware, policy=rules, store=store, hooks=[decisions])
    with TestClient(app) as client:
        client.get("/x", headers={"authorization": "Bearer a"})
        assert len(decisions.events) == 1


# -- Several workers --------------------------------------------------------------------------


@pytest.mark.anyio
async def test_applications_of_one_process_are_no_workers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        await drive(QueryBudgetMiddleware(FakeModel(), RULES), LIFESPAN, [STARTUP])
    assert "several workers" not in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("shared", [False, True], ids=["memory", "sqlite"])
async def test_another_worker_is_warned_of_only_where_each_counts_alone(
    shared: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/b.db" if shared else "memory://"
    rules = {**RULES, "store": store, "hold": "99s", "secret": "0123456789abcdef"}
    await drive(QueryBudgetMiddleware(FakeModel(), rules), LIFESPAN, [STARTUP])
    monkeypatch.setattr(workers, "_bound", {})  # as in another process of the same parent
    await drive(QueryBudgetMiddleware(FakeModel(), rules), LIFESPAN, [STARTUP])
    monkeypatch.undo()
    warned = "several workers use this policy" in caplog.text
    assert warned == (not shared and sys.platform.startswith("linux"))
