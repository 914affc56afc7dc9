"""A model server behind budgets, which counts its calls by itself: one letter in a file for each.

QUERYBUDGET_POLICY=policy.yaml CALLS=calls.txt uvicorn tests.asgi.served_app:app
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

__all__ = ["app"]

CALLS = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
USAGE = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
TURNS = 3
"""Turns of the event loop that an answer takes, so that a signal finds some calls open."""

released: list[asyncio.Event] = []


async def chat(request: Request) -> Response:
    os.write(CALLS, b"b")  # begun
    if (await request.json()).get("stream"):
        return StreamingResponse(chunks(), media_type="text/event-stream")
    for _ in range(TURNS):
        await asyncio.sleep(0)
    os.write(CALLS, b"a")  # answered
    return JSONResponse({"choices": [{"message": {"content": "hello"}}], "usage": USAGE})


async def chunks() -> AsyncIterator[str]:
    event = asyncio.Event()
    released.append(event)
    yield 'data: {"choices": [{"delta": {"content": "first"}}]}\n\n'
    await event.wait()
    yield 'data: {"choices": [{"delta": {"content": "second"}}]}\n\n'
    yield 'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7}}\n\n'
    yield "data: [DONE]\n\n"


async def release(_: Request) -> Response:
    for event in released:
        event.set()
    released.clear()
    return JSONResponse({})


async def ready(_: Request) -> Response:
    return JSONResponse({})


routes = [
    Route("/v1/chat/completions", chat, methods=["POST"]),
    Route("/release", release),
    Route("/health", ready),
]
app = QueryBudgetMiddleware(Starlette(routes=routes))
