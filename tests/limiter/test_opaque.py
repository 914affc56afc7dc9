"""Budgets of calls that hold what cannot be read."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha512
from typing import Any

import httpx
import pytest

from querybudget import QueryBudgetMiddleware
from querybudget.adapters import opaque
from querybudget.adapters.base import UNREADABLE, Call, Channel, Dialect, Opaque, Segment
from querybudget.limiter import Limiter
from querybudget.policy.match import OPAQUE
from querybudget.testing import FakeModel, memory_limiter
from querybudget.testing.asgi import http_scope

pytestmark = pytest.mark.anyio

RPM = {"name": "rpm", "limit": "9 requests/minute"}
SEALED = {"name": "sealed", "limit": "9 requests/minute", "match": {"opaque": True}}
PICTURES = {"name": "pictures", "limit": "9 requests/minute", "match": {"opaque": "image"}}


def limiter(*budgets: dict[str, Any]) -> Limiter:
    return memory_limiter(
        {"secret": "0123456789abcdef", "identity": ["api_key"], "budgets": list(budgets)}
    )


async def applying(asked: Limiter, *kinds: str, operation: str = "chat") -> list[str]:
    held = tuple(Opaque(kind, "x") for kind in kinds)
    call = Call(Dialect.OPENAI, operation, opaque=held)
    admission = await asked.admit(http_scope(key="a"), call)
    return [matched.budget.name for matched in admission.plan.budgets]


async def test_a_budget_applies_to_calls_of_its_kinds_alone() -> None:
    asked = limiter(RPM, SEALED, PICTURES)
    assert await applying(asked) == ["rpm"]
    assert await applying(asked, "tokens") == ["rpm", "sealed"]
    assert await applying(asked, "tokens", "image") == ["rpm", "sealed", "pictures"]


async def test_a_body_that_cannot_be_read_is_of_every_kind() -> None:
    asked = limiter(RPM, SEALED, PICTURES)
    assert await applying(asked, operation=UNREADABLE) == ["rpm", "sealed", "pictures"]


async def test_a_kind_of_a_programs_own_cannot_be_read_either() -> None:
    unreadable = {**SEALED, "match": {"opaque": "unreadable"}}
    assert await applying(limiter(RPM, unreadable), "smell") == ["rpm", "sealed"]


async def test_kinds_are_known_without_an_embedding() -> None:
    asked = limiter(RPM, PICTURES)
    assert asked.analyzer is None


async def test_text_that_is_no_language_needs_an_analyzer() -> None:
    asked = limiter(RPM, SEALED)
    assert asked.analyzer is not None


def test_the_policy_knows_every_kind_that_adapters_find() -> None:
    assert {*opaque.OPAQUE.values(), UNREADABLE} <= {*OPAQUE}


async def test_a_picture_is_found_in_a_request_that_nothing_analyzes() -> None:
    policy = {
        "secret": "0123456789abcdef",
        "identity": ["api_key"],
        "budgets": [{**PICTURES, "limit": "1 request/day"}],
    }
    app = QueryBudgetMiddleware(FakeModel(), policy=policy)
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    statuses = list[int]()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
        for content in ([part], "hello", [part]):
            body = {"model": "m", "messages": [{"role": "user", "content": content}]}
            statuses.append((await client.post("/v1/chat/completions", json=body)).status_code)
    assert statuses == [200, 200, 429]


def certificate(number: int) -> str:
    lines = (sha512(f"{number} {line}".encode()).digest()[:48] for line in range(12))
    return "\n".join(b64encode(line).decode() for line in lines)


async def test_a_text_that_is_no_language_counts_once_in_a_conversation() -> None:
    asked = limiter(RPM, {**SEALED, "limit": "2 requests/day", "match": {"opaque": "text"}})

    async def ask(*turns: str) -> list[str]:
        said = tuple(Segment(Channel.SAID, turn) for turn in turns)
        call = Call(Dialect.OPENAI, "chat", segments=said, opaque=(Opaque("reference", "x"),))
        admission = await asked.admit(http_scope(key="a"), call)
        names = [matched.budget.name for matched in admission.plan.budgets]
        return ["refused", *names] if admission.refusal else names

    turns = ["What is this?", certificate(1)]
    assert await ask(*turns) == ["rpm", "sealed"]
    assert await ask(*turns, "And who signed it?") == ["rpm"]
    assert await ask(certificate(2)) == ["rpm", "sealed"]
    for _ in range(2):  # refused texts are not known
        assert await ask(certificate(3)) == ["refused", "rpm", "sealed"]
    assert await ask(*turns, "Thank you.") == ["rpm"]
