"""What a policy can match by name is what calls have."""

from __future__ import annotations

import pytest

from querybudget.adapters import adapter_for
from querybudget.adapters.base import SESSION, Target
from querybudget.adapters.mcp import OPERATION
from querybudget.asgi.websocket import HANDSHAKE, message_call
from querybudget.policy.model import OPERATIONS, Policy

MESSAGES = b'"messages": [{"role": "user", "content": "hi"}]'
ASKED = {
    "/v1/chat/completions": b'{"model": "m", %s}' % MESSAGES,
    "/v1/completions": b'{"model": "m", "prompt": "hi"}',
    "/v1/embeddings": b'{"model": "m", "input": "hi"}',
    "/v1/responses": b'{"model": "m", "input": "hi"}',
    "/v1/messages": b'{"model": "m", "max_tokens": 5, %s}' % MESSAGES,
    "/v1/messages/count_tokens": b'{"model": "m", %s}' % MESSAGES,
    "/generate": b'{"text_input": "hi"}',
    "/predict": b'{"x": 1}',
    "/rerank": b'{"query": "hi", "documents": ["a"]}',
    "/score": b'{"text_1": "hi", "text_2": "a"}',
    "/v1/audio/speech": b'{"input": "hi"}',
    "/v1/images/generations": b'{"prompt": "hi"}',
    "/v1/moderations": b'{"input": "hi"}',
    "/v1/threads/runs": b'{"assistant_id": "a"}',
    "/v1/videos": b'{"prompt": "hi"}',
}


def named(path: str) -> str:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    return adapter.parse(Target(path), ASKED[path]).operation


def test_every_operation_that_calls_have_can_be_matched_and_no_other() -> None:
    websocket = {HANDSHAKE.operation, message_call(1).operation}
    mcp = {OPERATION, SESSION}
    assert {named(path) for path in ASKED} | {"other"} | websocket | mcp == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_policy_can_match_each_operation(operation: str) -> None:
    budget = {"name": "rpm", "limit": "60/minute", "match": {"operation": operation}}
    assert Policy.load({"budgets": [budget]}, environ={}).budgets[0].match.operation == (operation,)
