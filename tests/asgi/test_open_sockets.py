"""What operators change reaches a WebSocket that is open, with its next message."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest

from querybudget.admin import LocalAdmin
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.limiter import Limiter
from querybudget.overrides import Effect, Override
from querybudget.policy import load_policy
from querybudget.testing import drive, http_scope

pytestmark = pytest.mark.anyio

SOCKET: dict[str, Any] = {"type": "websocket", "path": "/ws"}


def policy(limit: int) -> Any:
    budgets = [{"name": "requests", "limit": f"{limit} requests/minute"}]
    return load_policy({"secret": "0123456789abcdef", "identity": ["api_key"], "budgets": budgets})


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    """Send back what is received, until the connection ends."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Talk:
    """A WebSocket of the caller ``a`` that is open."""

    def __init__(self, limiter: Limiter) -> None:
        self.app = QueryBudgetMiddleware(echo, limiter=limiter)
        self._to, self._from = asyncio.Queue[Message](), asyncio.Queue[Message]()

    async def __aenter__(self) -> Self:
        scope = {**http_scope("/ws", key="a"), **SOCKET}
        self._task = asyncio.create_task(self.app(scope, self._to.get, self._from.put))
        self._to.put_nowait({"type": "websocket.connect"})
        assert (await self._from.get())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._to.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self._task

    async def say(self, text: str) -> Message:
        """Send a message; what comes back."""
        self._to.put_nowait({"type": "websocket.receive", "text": text})
        return await self._from.get()


async def block(limiter: Limiter) -> str:
    """Block the caller; the override's id."""
    key = limiter.caller_for(http_scope("/ws", key="a")).identity.key
    entry = Override("", key, effect=Effect.BLOCK)
    return (await LocalAdmin(limiter).change(entry, "block")).id


async def test_the_next_message_of_a_blocked_caller_closes_its_socket() -> None:
    async with Limiter(policy(9)) as limiter, Talk(limiter) as talk:
        assert (await talk.say("one"))["text"] == "one"
        await block(limiter)
        closed = await talk.say("two")
        assert closed == {
            "type": "websocket.close",
            "code": 1008,
            "reason": "this caller is blocked",
        }


async def test_a_blocked_caller_opens_no_socket() -> None:
    async with Limiter(policy(9)) as limiter:
        app = QueryBudgetMiddleware(echo, limiter=limiter)
        await block(limiter)
        scope = {**http_scope("/ws", key="a"), **SOCKET}
        driven = await drive(app, scope, [{"type": "websocket.connect"}])
        assert driven.sent == [{"type": "websocket.close", "code": 1008}]
        extended = {**scope, "extensions": {"websocket.http.response": {}}}
        driven = await drive(app, extended, [{"type": "websocket.connect"}])
        assert driven.sent[0]["status"] == 403
        assert b"blocked by the operator" in driven.sent[1]["body"]


async def test_a_policy_that_is_loaded_decides_the_next_message_and_keeps_what_was_used() -> None:
    async with Limiter(policy(9)) as limiter, Talk(limiter) as talk:
        assert (await talk.say("one"))["text"] == "one"
        await limiter.reload(policy(3))
        assert (await talk.say("two"))["text"] == "two"
        closed = await talk.say("three")  # the fourth request, with the handshake
        assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
