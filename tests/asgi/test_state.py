"""What an application sees of its call, and the usage that it adds to it."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from querybudget.adapters.base import Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.coverage.response import Stage
from querybudget.limiter import AdmissionView
from querybudget.testing import FakeModel, Reply, drive, http_scope, request
from querybudget.units import MICRO
from tests.asgi.conftest import MakeEdge

POLICY = {
    "budgets": [
        {"name": "rpm", "limit": "10 requests/minute"},
        {"name": "tokens", "limit": "1_000 tokens/minute"},
        {"name": "all", "limit": "90 requests/minute", "per": "everyone"},
        {"name": "watched", "limit": "90 requests/minute", "mode": "shadow"},
    ],
}
CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "hello"}],
}
ANSWER = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
TOOLS = Usage(input=30, output=4)


class Reporting:
    """A model whose answer passes through an application that reports usage of its own."""

    def __init__(self, *usages: Usage, model: FakeModel | None = None) -> None:
        self.usages = usages
        self.model = model or FakeModel(Reply(usage=Usage(input=7, output=5)))
        self.views: list[AdmissionView] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        view: AdmissionView = scope["state"]["querybudget"]
        self.views.append(view)
        for usage in self.usages:
            view.used(usage)
        await self.model(scope, receive, send)


async def ask(edge: Any, body: object = CHAT, **members: Any) -> int:
    scope = http_scope(key="a", **members)
    return (await drive(edge.app, scope, request(body))).status


@pytest.mark.anyio
async def test_an_application_sees_its_price_its_stage_and_what_its_caller_has_left(
    make_edge: MakeEdge,
) -> None:
    app = Reporting()
    edge = make_edge(app, POLICY)
    assert await ask(edge) == 200
    (view,) = app.views
    assert (view.price, view.stage) == (MICRO, Stage.NONE)
    # 1000 less an input of 2 and an output of at most 20; no figure of others or of shadow budgets
    assert view.remaining == {"rpm": 9 * MICRO, "tokens": 978 * MICRO}


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
async def test_usage_that_an_application_adds_is_charged_on_top_of_what_is_read(
    make_edge: MakeEdge, suspends: bool, stream: bool
) -> None:
    edge = make_edge(Reporting(TOOLS, Usage(output=100)), POLICY, suspends=suspends)
    body = {**CHAT, "stream": stream, "stream_options": {"include_usage": True}}
    assert await ask(edge, body) == 200
    await edge.quiet()
    assert await edge.used("tokens") == 7 + 5 + 34 + 100
    assert await edge.used("rpm") == 1
    assert edge.decisions.last.usage == Usage(input=37, output=109)


@pytest.mark.anyio
async def test_added_usage_is_charged_to_its_own_call_alone(make_edge: MakeEdge) -> None:
    app = Reporting(TOOLS)
    edge = make_edge(app, POLICY)
    await ask(edge)
    app.usages = ()
    await ask(edge)
    assert await edge.used("tokens") == 12 + 34 + 12
    assert app.views[0] is not app.views[1]


@pytest.mark.anyio
async def test_added_usage_of_a_call_that_fails_is_not_charged(make_edge: MakeEdge) -> None:
    for status in (400, 500):
        edge = make_edge(Reporting(TOOLS, model=FakeModel(Reply(status=status))), POLICY)
        assert await ask(edge) == status
        assert await edge.used("tokens") == 0


@pytest.mark.anyio
async def test_usage_added_after_the_answer_s_end_changes_nothing(
    make_edge: MakeEdge,
) -> None:
    app = Reporting()
    edge = make_edge(app, POLICY)
    await ask(edge)
    app.views[0].used(TOOLS)
    await edge.limiter.aclose()
    assert await edge.used("tokens") == 12


@pytest.mark.anyio
async def test_requests_that_share_their_server_s_state_never_see_each_other_s_call(
    make_edge: MakeEdge,
) -> None:
    shared: dict[str, Any] = {"db": "pool"}
    both = asyncio.Barrier(2)
    seen: dict[str, tuple[AdmissionView, AdmissionView]] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = scope["state"]["querybudget"]
        await both.wait()
        seen[scope["path"]] = before, scope["state"]["querybudget"]
        assert scope["state"]["db"] == "pool"
        await FakeModel()(scope, receive, send)

    edge = make_edge(app, POLICY)
    paths = ["/v1/chat/completions", "/a/v1/chat/completions"]
    scopes = [http_scope(path, key="a", state=shared) for path in paths]
    await asyncio.gather(*(drive(edge.app, scope, request(CHAT)) for scope in scopes))
    assert shared == {"db": "pool"}
    first, second = (seen[path] for path in paths)
    assert first[0] is first[1]
    assert second[0] is second[1]
    assert first[0] is not second[0]


@pytest.mark.anyio
async def test_a_middleware_outside_still_sees_what_the_application_puts_into_the_state() -> None:
    async def answer(request: Request) -> JSONResponse:
        request.state.user = "ada"
        request.state.gone = "soon"
        del request.state.gone
        request.state.querybudget.used(TOOLS)
        return JSONResponse(ANSWER)

    class Outside:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await self.app(scope, receive, send)
                return
            state = Request(scope).state
            state.trace = "t"
            await self.app(scope, receive, send)
            found.append((state.user, state.trace, hasattr(state, "gone")))

    found: list[tuple[str, str, bool]] = []
    events: list[Any] = []
    app = Starlette(
        routes=[Route("/v1/chat/completions", answer, methods=["POST"])],
        middleware=[
            Middleware(Outside),
            Middleware(QueryBudgetMiddleware, policy=POLICY, hooks=[events.append]),
        ],
    )
    driven = await drive(app, http_scope(), request(CHAT))
    assert (driven.status, found) == (200, [("ada", "t", False)])
    assert events[-1].usage == Usage(input=37, output=9)


@pytest.mark.anyio
async def test_a_starlette_stream_may_add_usage_until_its_last_piece() -> None:
    async def answer(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield f"data: {json.dumps(ANSWER)}\n\n"
            request.state.querybudget.used(TOOLS)

        return StreamingResponse(pieces(), media_type="text/event-stream")

    events: list[Any] = []
    app = Starlette(
        routes=[Route("/v1/chat/completions", answer, methods=["POST"])],
        middleware=[Middleware(QueryBudgetMiddleware, policy=POLICY, hooks=[events.append])],
    )
    await drive(app, http_scope(), request({**CHAT, "stream": True}))
    assert events[-1].usage == Usage(input=37, output=9)


@pytest.mark.anyio
async def test_a_request_that_no_budget_is_for_has_no_view(make_edge: MakeEdge) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await FakeModel()(scope, receive, send)

    edge = make_edge(app, {**POLICY, "exempt": ["/health"]})
    message: Message = {"type": "http.request", "body": b"", "more_body": False}
    await drive(edge.app, http_scope("/health", method="GET"), [message])
    assert "querybudget" not in scopes[0]["state"]


@pytest.mark.anyio
async def test_nothing_of_a_request_is_left_when_it_has_ended(make_edge: MakeEdge) -> None:
    class Connection:
        """What a server keeps in the scope of a request."""

    edge = make_edge(FakeModel(), POLICY)
    connection = Connection()
    left = weakref.ref(connection)
    scope = http_scope(key="a", extensions={"connection": connection})
    await drive(edge.app, scope, request(CHAT))
    await edge.quiet()
    del scope, connection
    gc.collect()
    assert left() is None


WRONG: list[Any] = [
    Usage(-50),
    Usage(cached_input=9),
    Usage(1.5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    {"input": 5},
    None,
]


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [False, True], ids=["memory", "suspending"])
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_a_wrong_figure_is_an_error_of_the_application_and_its_call_holds_nothing(
    make_edge: MakeEdge, wrong: Any, suspends: bool
) -> None:
    edge = make_edge(Reporting(TOOLS, wrong), POLICY, suspends=suspends)
    driven = await drive(edge.app, http_scope(key="a"), request(CHAT))
    assert isinstance(driven.error, TypeError | ValueError)
    await edge.quiet()
    assert (edge.held, await edge.used("tokens"), await edge.used("rpm")) == (0, 0, 0)
    assert edge.decisions.last.settlement == "done"
