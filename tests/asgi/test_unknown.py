"""`unknown`: what becomes of requests with a body on paths that nothing reads."""

from __future__ import annotations

import json
import logging

import pytest

from querybudget.asgi.types import Receive, Scope, Send
from querybudget.limiter.unknown import LONGEST, MOST, UnknownPaths, quoted
from querybudget.testing import drive, http_scope, request
from tests.asgi.conftest import MakeEdge

RPM = {"name": "rpm", "limit": "100 requests/minute"}
TOKENS = {"name": "tokens", "limit": "100 tokens/minute"}


def answers(status: int, reached: list[str]) -> object:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 400})

    return app


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "BREW"])
async def test_by_default_it_counts_as_one_request_and_no_tokens(
    make_edge: MakeEdge, method: str
) -> None:
    edge = make_edge(answers(200, []), {"budgets": [RPM, TOKENS]})  # type: ignore[arg-type]
    scope = http_scope("/somewhere", key="a", method=method)
    assert (await drive(edge.app, scope, request({"prompt": "x" * 4000}))).status == 200
    assert (await edge.used("rpm"), await edge.used("tokens")) == (1, 0)


@pytest.mark.anyio
async def test_each_such_path_that_answers_is_named_once_in_the_log(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    edge = make_edge(answers(200, []), {"budgets": [RPM]})  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "querybudget"):
        for path in ("/a", "/a", "/b\n\x1b[31m", "/a"):
            await drive(edge.app, http_scope(path, key="k"), request({}))
        await drive(edge.app, http_scope("/a", key="k", method="GET"), request())
    said = [r.getMessage() for r in caplog.records if "no route reads it" in r.getMessage()]
    assert len(said) == 2
    assert said[0].startswith("POST '/a' was answered")
    assert said[1].isprintable()


@pytest.mark.anyio
@pytest.mark.parametrize("status", [404, 405, 401, 500, 302])
async def test_a_path_that_does_not_answer_is_not_named(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    edge = make_edge(answers(status, []), {"budgets": [RPM]})  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "querybudget"):
        await drive(edge.app, http_scope("/a", key="k"), request({}))
    assert "no route reads" not in caplog.text


@pytest.mark.anyio
async def test_refused_it_does_not_reach_the_application(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    reached: list[str] = []
    edge = make_edge(answers(200, reached), {"budgets": [RPM], "unknown": "refuse"})  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "querybudget"):
        for method in ("POST", "PUT", "BREW", "POST"):
            scope = http_scope("/v1/things", key="a", method=method)
            driven = await drive(edge.app, scope, request({}))
            assert driven.status == 404
            assert json.loads(driven.body)["error"]["code"] == "path_not_served"
    assert reached == []
    assert await edge.used("rpm") == 0
    assert caplog.text.count("is refused: no route reads it") == 1
    for scope in (http_scope("/v1/things", key="a", method="GET"), http_scope(key="a")):
        await drive(edge.app, scope, request({"messages": []}))
    assert reached == ["/v1/things", "/v1/chat/completions"]


@pytest.mark.anyio
async def test_it_is_refused_even_where_no_budget_is_for_the_path(make_edge: MakeEdge) -> None:
    chats = {**RPM, "match": {"path": "/v1/chat/*"}}
    edge = make_edge(answers(200, []), {"budgets": [chats], "unknown": "refuse"})  # type: ignore[arg-type]
    assert (await drive(edge.app, http_scope("/generate_all", key="a"), request({}))).status == 404


@pytest.mark.anyio
async def test_a_refusal_is_in_the_dialect_of_the_caller(make_edge: MakeEdge) -> None:
    edge = make_edge(answers(200, []), {"budgets": [RPM], "unknown": "refuse"})  # type: ignore[arg-type]
    scope = http_scope("/v1/x", key="a", headers={"anthropic-version": "2023-06-01"})
    body = json.loads((await drive(edge.app, scope, request({}))).body)
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    body = json.loads((await drive(edge.app, http_scope("/x", key="a"), request({}))).body)
    assert (body["status"], "error" in body) == (404, False)


@pytest.mark.anyio
async def test_passed_it_is_not_counted(make_edge: MakeEdge) -> None:
    reached: list[str] = []
    edge = make_edge(answers(200, reached), {"budgets": [RPM], "unknown": "pass"})  # type: ignore[arg-type]
    await drive(edge.app, http_scope("/webhook", key="a"), request({}))
    assert (reached, await edge.used("rpm")) == (["/webhook"], 0)
    await drive(edge.app, http_scope("/webhook", key="a", method="GET"), request())
    assert await edge.used("rpm") == 1


@pytest.mark.anyio
async def test_what_the_policy_exempts_is_not_unknown(make_edge: MakeEdge) -> None:
    reached: list[str] = []
    policy = {"budgets": [RPM], "unknown": "refuse", "exempt": ["/webhook"]}
    edge = make_edge(answers(200, reached), policy)  # type: ignore[arg-type]
    assert (await drive(edge.app, http_scope("/webhook", key="a"), request({}))).status == 200
    assert await edge.used("rpm") == 0


@pytest.mark.anyio
async def test_a_health_path_with_a_body_is_no_health_path(make_edge: MakeEdge) -> None:
    edge = make_edge(answers(200, []), {"budgets": [RPM]})  # type: ignore[arg-type]
    for path in ("/health", "/load", "/status", "/info"):
        await drive(edge.app, http_scope(path, key="a", method="GET"), request())
        assert await edge.used("rpm") == 0
    for path in ("/health", "/load", "/status", "/info"):
        await drive(edge.app, http_scope(path, key="a"), request({"prompt": "hi"}))
    assert await edge.used("rpm") == 4


def test_the_log_names_a_bounded_number_of_paths(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownPaths()
    with caplog.at_level(logging.WARNING, "querybudget"):
        for number in range(MOST * 2):
            unknown.answered("POST", f"/{number}")
            unknown.answered("POST", "/" + "x" * LONGEST + str(number))
    assert len(caplog.records) == MOST
    assert "not named any more" in caplog.records[-1].getMessage()
    assert not any("not named any more" in r.getMessage() for r in caplog.records[:-1])


@pytest.mark.parametrize("path", ["/a\r\nb", "/\x00", "/é\u2028", "/" + "ü" * 5000, "/\x1b[0m"])
def test_a_path_is_shown_cut_and_escaped(path: str) -> None:
    text = quoted(path)
    assert text.isprintable()
    assert len(text) <= 10 * LONGEST
