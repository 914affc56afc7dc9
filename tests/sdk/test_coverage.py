"""A sweeper with the official clients: slowed, degraded, and refused in words they understand."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from querybudget.adapters.degrade import OUTPUT
from querybudget.testing import FakeAnalyzer

Serve = Callable[..., Any]
BREADTH = {
    "name": "breadth",
    "limit": "10 buckets/30 days",
    "mode": "enforce",
    "then": ["slow", "degrade", "refuse"],
}
RPM = {"name": "rpm", "limit": "1000 requests/minute"}


@pytest.fixture
def slowed(serve: Serve) -> Any:
    service = serve(BREADTH, RPM, analyzer=FakeAnalyzer())
    service.pauses = []

    async def pause(seconds: float) -> None:
        service.pauses.append(seconds)
        await asyncio.sleep(0)

    service.delay = pause
    return service


def test_openais_client_is_answered_slower_then_with_less_then_not_at_all(slowed: Any) -> None:
    with slowed.openai(retries=2) as client:
        for number in range(10):
            messages: list[Any] = [{"role": "user", "content": str(number)}]
            client.chat.completions.create(model="m", messages=messages, n=2, max_tokens=9_000)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "the last"}]
            )
    assert len(slowed.pauses) == 3
    assert [request.json["n"] for request in slowed.model.requests] == [2] * 9 + [1]
    assert slowed.model.requests[-1].json["max_tokens"] == OUTPUT
    error = refused.value
    assert (error.type, error.code) == ("abnormal-usage-detected", "abnormal-usage-detected")
    assert "breadth" not in str(error)
    slowed.decisions.assert_refused(1, by="breadth")  # asked once: it was not retried
    assert slowed.sleeps == []


def test_anthropics_client_is_refused_without_retrying(slowed: Any) -> None:
    with slowed.anthropic(retries=2) as client:
        for number in range(10):
            messages: list[Any] = [{"role": "user", "content": str(number)}]
            client.messages.create(model="m", max_tokens=9_000, messages=messages)
        with pytest.raises(anthropic.RateLimitError, match="abnormal-usage-detected") as refused:
            client.messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "the last"}]
            )
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["type"] == "rate_limit_error"
    assert slowed.model.requests[-1].json["max_tokens"] == OUTPUT
    slowed.decisions.assert_refused(1, by="breadth")
    assert slowed.sleeps == []


def test_a_client_that_hangs_up_while_it_is_slowed_is_given_everything_back(slowed: Any) -> None:
    """On a real server, over a real connection."""
    began = threading.Event()

    async def pause(seconds: float) -> None:
        began.set()
        await asyncio.Event().wait()

    with slowed.openai() as client:
        for number in range(8):
            messages: list[Any] = [{"role": "user", "content": str(number)}]
            client.chat.completions.create(model="m", messages=messages)
    for _ in range(8):
        slowed.settled.acquire()
    slowed.delay = pause
    asked = len(slowed.model.requests)
    body = b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}'
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, port = slowed.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        assert began.wait(30)
    assert slowed.settled.acquire(timeout=300)
    assert len(slowed.model.requests) == asked
    assert slowed.held == 0
    assert slowed.remaining("breadth") == 2
