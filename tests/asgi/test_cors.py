"""Browsers: preflights are free, and a page may read why its request was refused."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

from querybudget.asgi.types import ASGIApp
from querybudget.errors import PolicyError
from querybudget.policy import Policy
from querybudget.testing import Driven, FakeModel, drive, http_scope, request
from tests.asgi.conftest import MakeEdge

ORIGIN = "https://app.example.com"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BUDGETS = [{"name": "rpm", "limit": "1 requests/minute"}]
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


def policy(cors: Any = None, **more: Any) -> dict[str, Any]:
    return {"budgets": BUDGETS, "refusals": {"cors": cors} if cors else {}, **more}


async def refused(app: ASGIApp, origin: str = ORIGIN, **scope: Any) -> Driven:
    headers = {"origin": origin} if origin else {}
    await drive(app, http_scope(key="a", headers=headers, **scope), request(CHAT))
    return await drive(app, http_scope(key="a", headers=headers, **scope), request(CHAT))


@pytest.mark.anyio
async def test_a_preflight_is_free_however_often_it_is_asked(make_edge: MakeEdge) -> None:
    app = CORSMiddleware(FakeModel(), allow_origins=[ORIGIN], allow_methods=["POST"])
    edge = make_edge(app, policy())
    for _ in range(5):
        driven = await drive(edge.app, http_scope(method="OPTIONS", headers=PREFLIGHT), request())
        assert driven.status == 200
        assert driven.headers["access-control-allow-origin"] == ORIGIN
    assert (edge.accounts, edge.decisions.events) == ({}, [])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {}),
        ("OPTIONS", {"origin": ORIGIN}),
        ("OPTIONS", {"access-control-request-method": "POST"}),
        ("OPTIONS", {**PREFLIGHT, "content-length": "9"}),
        ("OPTIONS", {**PREFLIGHT, "transfer-encoding": "chunked"}),
        ("POST", PREFLIGHT),
        ("GET", PREFLIGHT),
        ("options2", PREFLIGHT),
    ],
)
async def test_nothing_else_is_a_preflight(
    make_edge: MakeEdge, method: str, headers: dict[str, str]
) -> None:
    edge = make_edge(FakeModel(), policy())
    for _ in range(2):
        await drive(edge.app, http_scope(method=method, key="a", headers=headers), request())
    edge.decisions.assert_refused(1, by="rpm")


@pytest.mark.anyio
async def test_a_page_of_an_allowed_origin_may_read_a_refusal(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), policy({"origins": [ORIGIN, "null"], "credentials": True}))
    headers = (await refused(edge.app)).headers
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["vary"] == "origin"
    exposed = set(headers["access-control-expose-headers"].split(", "))
    assert {"retry-after", "x-ratelimit-remaining-requests"} <= exposed
    assert "content-type" not in exposed


@pytest.mark.anyio
@pytest.mark.parametrize("origin", ["https://evil.example", ORIGIN + ".evil", "", ORIGIN.upper()])
async def test_a_page_of_another_origin_may_not(make_edge: MakeEdge, origin: str) -> None:
    edge = make_edge(FakeModel(), policy(ORIGIN))
    headers = (await refused(edge.app, origin)).headers
    assert not any(name.startswith("access-control") for name in headers)
    assert headers["vary"] == "origin"


@pytest.mark.anyio
async def test_every_page_may_read_it_with_a_star(make_edge: MakeEdge) -> None:
    headers = (await refused(make_edge(FakeModel(), policy("*")).app)).headers
    assert headers["access-control-allow-origin"] == "*"
    assert "vary" not in headers


@pytest.mark.anyio
async def test_without_cors_a_refusal_says_nothing_of_origins(make_edge: MakeEdge) -> None:
    headers = (await refused(make_edge(FakeModel(), policy()).app)).headers
    assert not {"vary", "access-control-allow-origin"} & headers.keys()


@pytest.mark.anyio
async def test_refusals_of_bodies_and_paths_can_be_read_too(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), policy(ORIGIN, unknown="refuse", body={"limit": 5}))
    for path, status in (("/v1/chat/completions", 413), ("/x", 404), ("/x/.." * 999, 414)):
        driven = await refused(edge.app, path=path)
        assert driven.status == status
        assert driven.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.anyio
async def test_inside_the_applications_own_cors_nothing_is_said_twice(make_edge: MakeEdge) -> None:
    edge = make_edge(FakeModel(), policy(ORIGIN))
    outer = Starlette()
    outer.mount("/", edge.app)
    outer.add_middleware(CORSMiddleware, allow_origins=[ORIGIN])
    driven = await refused(outer)
    assert driven.status == 429
    assert driven.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("cors", "expected"),
    [
        ("app.example.com", "expected an origin"),
        ("https://app.example.com/", "expected an origin"),
        ("https://*.example.com", "expected an origin"),
        ({"origins": ["*"], "credentials": True}, "expected origins by name"),
        ({"credentials": True}, "origins"),
        ({"origin": "*"}, "did you mean `origins`"),
    ],
)
def test_a_wrong_origin_is_a_problem_of_the_policy(cors: Any, expected: str) -> None:
    with pytest.raises(PolicyError, match=expected):
        Policy.load(policy(cors))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (["gzip, br, zstd"], ["gzip, br, zstd"]),
        (["gzip, compress;q=1.0, *;q=0.5"], ["gzip"]),
        (["dcz"], ["identity"]),
        (["compress", "gzip"], ["identity", "gzip"]),
        ([], []),
    ],
)
async def test_the_application_is_asked_for_codings_that_can_be_metered(
    make_edge: MakeEdge, sent: list[str], received: list[str]
) -> None:
    model = FakeModel()
    edge = make_edge(model, {"budgets": [{"name": "t", "limit": "1M tokens/day"}]})
    headers = [(b"accept-encoding", value.encode()) for value in sent]
    scope = http_scope(key="a", headers=headers)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(v.decode() for k, v in scope["headers"] if k == b"accept-encoding")
        await model(scope, receive, send)

    edge.app.app = app
    await drive(edge.app, scope, request(CHAT))
    assert seen == received
    assert [v.decode() for k, v in scope["headers"] if k == b"accept-encoding"] == sent
