"""Starlette: the middleware is part of the application.

uvicorn starlette_app:app --app-dir examples/servers --workers 2
"""

from __future__ import annotations

from pathlib import Path

import words
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

POLICY = str(Path(__file__).with_name("starlette.yaml"))


async def chat(request: Request) -> Response:
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
    return JSONResponse(await words.chat(body))


async def messages(request: Request) -> Response:
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(words.message_events(body), media_type="text/event-stream")
    return JSONResponse(await words.message(body))


app = Starlette(
    routes=[
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/messages", messages, methods=["POST"]),
    ],
    middleware=[Middleware(QueryBudgetMiddleware, policy=POLICY)],
)
