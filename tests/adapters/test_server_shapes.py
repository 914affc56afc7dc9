"""Each server's own requests and answers, through the middleware: what `server:` promises.

The shapes are in tests/servers_shapes, one file for each server, written from its documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml

from querybudget import QueryBudgetMiddleware
from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Target
from querybudget.adapters.reading import read_call
from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
from querybudget.ledger import Charge, Line
from querybudget.policy.routes import Server
from querybudget.testing import Decisions, drive, http_scope, memory_limiter, request
from querybudget.units import MICRO, SECOND
from tests.asgi.conftest import Edge

SHAPES = {
    file.stem: yaml.safe_load(file.read_text())
    for file in sorted((Path(__file__).parents[1] / "servers_shapes").glob("*.yaml"))
}
BOUNDARY = "a-boundary"
FILES = {"@PNG": b"\x89PNG\r\n\x1a\n" + bytes(900), "@SOUND": b"RIFF" + bytes(2000)}
TOLD = {"operation", "stream", "items", "choices", "max_output", "images", "generates"}


CASES = [
    pytest.param(server, call, id=f"{server}: {call['name']}")
    for server, shapes in SHAPES.items()
    for call in shapes["calls"]
]
SPENDING = [
    pytest.param(server, call, id=f"{server}: {call['name']}")
    for server, shapes in SHAPES.items()
    for call in shapes["calls"]
    if any(call["used"])
]


def body_of(call: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    if "form" not in call:
        return msgspec.json.encode(call["body"]), {"content-type": "application/json"}
    parts = []
    for name, value in call["form"].items():
        file = '; filename="a.bin"' if value in FILES else ""
        content: bytes = FILES[value] if value in FILES else value.encode()
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def answer_of(answer: dict[str, Any]) -> list[bytes]:
    if "events" in answer:
        pieces = [b"data: " + msgspec.json.encode(event) + b"\n\n" for event in answer["events"]]
        return [*pieces, b"data: [DONE]\n\n"] if answer.get("done") else pieces
    if "lines" in answer:
        return [msgspec.json.encode(line) + b"\n" for line in answer["lines"]]
    if "array" in answer:
        items = [msgspec.json.encode(item) for item in answer["array"]]
        return [b"[" + items[0], *[b",\r\n" + item for item in items[1:]], b"]"]
    return [answer["text"].encode() if "text" in answer else msgspec.json.encode(answer["json"])]


def application(answer: dict[str, Any], calls: list[str] | None = None) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if calls is not None:
            calls.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", answer["type"].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in answer_of(answer):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    return serve


def scope_of(call: dict[str, Any], headers: dict[str, str]) -> Scope:
    return http_scope(
        call["path"],
        method=call.get("method", "POST"),
        headers=headers,
        query_string=call.get("query", "").encode(),
    )


def policy(server: str, **limits: str) -> dict[str, Any]:
    return {
        "server": server,
        "identity": ["api_key"],
        "budgets": [{"name": name, "limit": limit} for name, limit in limits.items()],
    }


def test_every_server_has_shapes() -> None:
    assert set(SHAPES) == set(get_args(Server))


@pytest.mark.parametrize(("server", "call"), CASES)
def test_a_request_is_read_as_what_the_server_will_do(server: Server, call: dict[str, Any]) -> None:
    body, headers = body_of(call)
    adapter = adapter_for(call["path"], call.get("method", "POST"), (), (server,))
    assert adapter is not None
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    found = read_call(adapter, Target(call["path"], call.get("query", ""), named), body)
    expected = msgspec.to_builtins(msgspec.convert({"dialect": "problem", **call["call"]}, Call))
    kept = TOLD | call["call"].keys() - {"dialect"}
    assert {k: v for k, v in msgspec.to_builtins(found).items() if k in kept} == {
        k: v for k, v in expected.items() if k in kept
    }


@pytest.mark.anyio
@pytest.mark.parametrize(("server", "call"), CASES)
async def test_a_call_is_charged_what_the_server_reports(server: str, call: dict[str, Any]) -> None:
    edge = Edge(
        application(call["answer"]),
        policy(
            server,
            input="100_000 input_tokens/day",
            output="100_000 output_tokens/day",
            rpm="1000 requests/day",
        ),
    )
    body, headers = body_of(call)
    driven = await drive(edge.app, scope_of(call, headers), request(body))
    assert driven.status == 200
    assert driven.body == b"".join(answer_of(call["answer"]))
    assert [await edge.used("input"), await edge.used("output")] == call["used"]
    assert await edge.used("rpm") == call.get("requests", 1)


@pytest.mark.anyio
@pytest.mark.parametrize(("server", "call"), CASES)
async def test_without_a_server_a_call_is_charged_the_same_where_its_path_is_read(
    server: str, call: dict[str, Any]
) -> None:
    if adapter_for(call["path"], "POST", ()) is None:
        assert call["path"] == "/"
        return
    edge = Edge(
        application(call["answer"]),
        {
            "budgets": [
                {"name": "input", "limit": "100_000 input_tokens/day"},
                {"name": "output", "limit": "100_000 output_tokens/day"},
            ]
        },
    )
    body, headers = body_of(call)
    await drive(edge.app, scope_of(call, headers), request(body))
    assert [await edge.used("input"), await edge.used("output")] == call["used"], server


@pytest.mark.anyio
@pytest.mark.parametrize(("server", "call"), SPENDING)
async def test_a_spent_limit_holds_on_every_path(server: str, call: dict[str, Any]) -> None:
    """After one call, and earlier ones that left room for at most three of its kind."""
    reached, decisions, used = list[str](), Decisions(), sum(call["used"])
    limit = max(2_000, used)
    limiter = memory_limiter(policy(server, tokens=f"{limit} tokens/day"), hooks=[decisions])
    app = QueryBudgetMiddleware(application(call["answer"], reached), limiter=limiter)
    body, headers = body_of(call)
    statuses = [(await drive(app, scope_of(call, headers), request(body))).status]
    earlier = max(0, limit - 4 * used) * MICRO
    line = Line(decisions.last.identity.key, limiter.policy.budgets[0].quota, earlier, earlier)
    charged = await limiter.store.reserve(Charge("earlier", (line,), SECOND))
    assert charged.reservation
    await limiter.store.settle(charged.reservation, [earlier])
    while len(statuses) <= 4 and 429 not in statuses:
        driven = await drive(app, scope_of(call, headers), request(body))
        statuses.append(driven.status)
    assert (statuses[0], statuses[-1]) == (200, 429)
    assert len(reached) == len(statuses) - 1


@pytest.mark.anyio
@pytest.mark.parametrize("server", SHAPES)
async def test_health_and_metrics_pass_when_everything_is_spent(server: str) -> None:
    answer = {"type": "text/plain", "text": "ok"}
    app = QueryBudgetMiddleware(application(answer), policy(server, rpm="1 requests/day"))
    paths = [path for path in SHAPES[server]["health"] for _ in range(2)]
    for path in paths:
        assert (await drive(app, http_scope(path, method="GET"), request())).status == 200
        assert (await drive(app, http_scope(path, method="HEAD"), request())).status == 200


@pytest.mark.anyio
@pytest.mark.parametrize("server", SHAPES)
async def test_a_key_is_found_wherever_the_server_takes_it_from(server: str) -> None:
    """The same key in another place is the same caller; another key is another."""
    call = SHAPES[server]["calls"][0]
    limit = f"{call.get('requests', 1)} requests/day"
    app = QueryBudgetMiddleware(application(call["answer"]), policy(server, rpm=limit))
    body, media = body_of(call)
    statuses: dict[str, list[int]] = {"one": [], "two": []}
    for carrier in SHAPES[server]["keys"]:
        for key, found in statuses.items():
            headers = {
                n: v.replace("KEY", f"sk-key-{key}") for n, v in carrier.items() if n[0] != "?"
            }
            query = "&".join(f"{n[1:]}=sk-key-{key}" for n in carrier if n[0] == "?")
            asked = {**call, "query": query or call.get("query", "")}
            driven = await drive(app, scope_of(asked, {**headers, **media}), request(body))
            found.append(driven.status)
    for found in statuses.values():
        assert found == [200] + [429] * (len(SHAPES[server]["keys"]) - 1)
