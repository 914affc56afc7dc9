"""`explain` and the middleware agree on what a request asks, whatever its body is."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from querybudget.adapters.base import UNREADABLE
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.cli.explain import explain_request
from querybudget.cli.explanation import Explanation, Request
from querybudget.events import DecisionEvent
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.testing import FakeModel, ManualClock, drive, http_scope, request

CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
LIMIT = 4 * 1024
POLICY = {
    "secret": "0123456789abcdef0123456789abcdef",
    "identity": ["api_key"],
    "body": {"limit": "4 KiB"},
    "exempt": ["/health"],
    "health": "/-/store",
    "models": {"gpt-*": {"input": 1, "output": 2}, "claude": {"input": 3, "output": 4}},
    "budgets": [
        {"name": "requests", "limit": "60 requests/minute"},
        {"name": "tokens", "limit": "1_000 tokens/minute", "match": {"model": "gpt-4*"}},
        {"name": "large", "limit": "300 tokens/hour", "match": {"model": ["gpt-5", "claude"]}},
        {"name": "vectors", "limit": "5 requests/day", "match": {"operation": "embeddings"}},
        {"name": "streams", "limit": "2 concurrent", "match": {"stream": True}},
        {"name": "whole", "limit": "2 concurrent", "match": {"stream": False}, "mode": "shadow"},
        {"name": "spend", "limit": "5 usd/month", "match": {"path": [CHAT, MESSAGES]}},
    ],
}
WITH_BUCKETS = {
    **POLICY,
    "budgets": [
        *POLICY["budgets"],
        {"name": "breadth", "limit": "9 buckets/day", "mode": "enforce"},
        {"name": "coders", "limit": "9 requests/day", "match": {"capability": "coding"}},
    ],
}

models = st.sampled_from(["gpt-4o", "gpt-5", "claude", "other", ""])
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "true", "\ud800", [1, 2], {"type": "text"}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
chats = st.fixed_dictionaries(
    {
        "model": models,
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["system", "user", "assistant"]),
                    "content": st.text(max_size=20),
                }
            ),
            max_size=3,
        ),
    },
    optional={
        "stream": st.booleans(),
        "n": st.integers(1, 3),
        "max_tokens": st.integers(1, 2_000),
        "input": st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3),
    },
)
members = st.sampled_from(
    ["model", "messages", "stream", "n", "max_tokens", "input", "temperature", "logprobs"]
)
oddities = st.builds(lambda chat, name, value: {**chat, name: value}, chats, members, odd)
documents = (chats | oddities).map(lambda body: json.dumps(body).encode())


def cut(body: bytes, place: float) -> bytes:
    return body[: int(len(body) * place)]


def in_utf_16(body: bytes) -> bytes:
    return body.decode().encode("utf-16")


bodies = st.one_of(
    documents,
    oddities.map(lambda body: json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")),
    documents.map(in_utf_16),
    st.builds(cut, documents, st.floats(0, 1)),
    st.builds(bytes.ljust, documents, st.integers(LIMIT - 2, LIMIT + 2)),
    st.binary(max_size=30),
)


async def by_middleware(policy: Policy, asked: Request) -> tuple[int, DecisionEvent | None]:
    """Send a request of a caller with no usage through the middleware."""
    events: list[DecisionEvent] = []
    clock = ManualClock()
    limiter = Limiter(policy, store=MemoryStore(clock), clock=clock, hooks=[events.append])
    app = QueryBudgetMiddleware(FakeModel(), limiter=limiter)
    scope = http_scope(
        asked.path,
        method=asked.method,
        headers=list(asked.headers),
        query_string=asked.query.encode(),
    )
    driven = await drive(app, scope, request(asked.body))
    await limiter.aclose()
    assert len(events) <= 1
    return driven.status, events[0] if events else None


def agree(policy: Policy, asked: Request) -> Explanation:
    explanation = asyncio.run(explain_request(policy, asked))
    status, event = asyncio.run(by_middleware(policy, asked))
    if event is None:
        assert explanation.verdict == ("too_large" if status == 413 else "untouched")
        return explanation
    compare(explanation, event)
    return explanation


def compare(explanation: Explanation, event: DecisionEvent) -> None:
    assert (event.verdict, event.tier) == (explanation.verdict, explanation.tier)
    assert event.identity.source == explanation.identity
    assert event.operation == explanation.operation
    assert (event.model, event.stream) == (explanation.model, explanation.stream)
    assert (event.expected.input, event.expected.output) == explanation.tokens
    assert event.capabilities == explanation.capabilities
    assert event.covered == explanation.embedded
    assert (event.operation == UNREADABLE) is bool(explanation.body_error)
    if event.decision is not None:
        applying = [budget for budget in explanation.budgets if budget.applies]
        lines = event.decision.lines
        assert [line.line.quota.name for line in lines] == [budget.name for budget in applying]
        assert [line.verdict.name.lower() for line in lines] == [b.verdict for b in applying]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(POLICY)


@given(body=bodies, path=st.sampled_from([CHAT, EMBEDDINGS, MESSAGES, "/v1/files"]))
@example(body=b'{"model": "gpt-4o", "messages": [], "temperature": NaN}', path=CHAT)
@example(body=b'{"model": "gpt-4o", "messages": [', path=CHAT)
@example(body=b"", path=EMBEDDINGS)
def test_explain_and_the_middleware_agree_on_any_body(
    policy: Policy, body: bytes, path: str
) -> None:
    agree(policy, Request("POST", path, body=body))


@given(body=bodies, encoding=st.sampled_from([b"gzip", b"GZIP ", b"br", b""]))
def test_explain_and_the_middleware_agree_on_any_compressed_body(
    policy: Policy, body: bytes, encoding: bytes
) -> None:
    headers = ((b"content-encoding", encoding),)
    agree(policy, Request("POST", CHAT, headers, body=gzip.compress(body)))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"model": "gpt-4o", "messages": [], "temperature": NaN}',
        b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Fix my Python."}]}',
    ],
)
def test_explain_and_the_middleware_agree_on_buckets_and_capabilities(body: bytes) -> None:
    agree(Policy.load(WITH_BUCKETS), Request("POST", CHAT, body=body))


def test_a_number_that_json_does_not_have_makes_no_body_unreadable(policy: Policy) -> None:
    body = b'{"model":"gpt-4o","temperature":NaN,"messages":[{"role":"user","content":"hi"}]}'
    explanation = agree(policy, Request("POST", CHAT, body=body))
    assert (explanation.operation, explanation.model) == ("chat", "gpt-4o")
    applying = [budget.name for budget in explanation.budgets if budget.applies]
    assert applying == ["requests", "tokens", "whole", "spend"]


def test_the_error_of_a_compressed_body_is_that_of_its_text(policy: Policy) -> None:
    headers = ((b"content-encoding", b"gzip"),)
    plain = agree(policy, Request("POST", CHAT, body=b'{"model": 3}'))
    compressed = agree(policy, Request("POST", CHAT, headers, body=gzip.compress(b'{"model": 3}')))
    assert compressed.body_error == plain.body_error
    assert "Expected a chat completions request: " in plain.body_error


def test_malformed_json_counts_on_every_budget_of_its_path(policy: Policy) -> None:
    explanation = agree(policy, Request("POST", CHAT, body=b"{"))
    assert explanation.operation == UNREADABLE
    assert all(budget.applies for budget in explanation.budgets)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("GET", "/v1/models"), ("HEAD", "/-/store"), ("POST", "/-/store")],
)
def test_explain_and_the_middleware_agree_where_no_model_is_asked(
    policy: Policy, method: str, path: str
) -> None:
    agree(policy, Request(method, path))


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    """A WebSocket application that accepts, and reads until the client hangs up."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        pass


async def test_explain_and_the_middleware_agree_on_both_operations_of_a_websocket(
    policy: Policy,
) -> None:
    events: list[DecisionEvent] = []
    limiter = Limiter(policy, hooks=[events.append])
    scope = {**http_scope("/ws", client=("127.0.0.1", 0)), "type": "websocket", "subprotocols": []}
    messages: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hello"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    await drive(QueryBudgetMiddleware(accepting, limiter=limiter), scope, messages)
    handshake = await explain_request(policy, Request("WEBSOCKET", "/ws", body=b"hello"))
    assert handshake.message is not None
    by_operation = {event.operation: event for event in events}
    assert sorted(by_operation) == ["handshake", "message"]
    compare(handshake, by_operation["handshake"])
    compare(handshake.message, by_operation["message"])
