"""BentoML: the middleware is added to a service, whose routes and mounted applications it covers.

bentoml serve bentoml_app:Words --working-dir examples/servers
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import bentoml
import words
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

POLICY = str(Path(__file__).with_name("bentoml.yaml"))


async def chat(request: Request) -> Response:
    body = await request.json()
    if body.get("stream"):
        return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
    return JSONResponse(await words.chat(body))


openai = Starlette(routes=[Route("/chat/completions", chat, methods=["POST"])])


@bentoml.asgi_app(openai, path="/v1")
@bentoml.service(workers=int(os.environ.get("WORKERS", "1")))
class Words:
    """A model, in BentoML's terms: `/v1/chat/completions`, and `/count` of its own."""

    @bentoml.api
    async def count(self, prompt: str, max_tokens: int = 5) -> AsyncIterator[str]:
        """Answer a prompt in words. The policy has a route for it."""
        body = {"messages": [{"content": prompt}], "max_tokens": max_tokens}
        async for word in words.words(body):
            yield word


Words.add_asgi_middleware(QueryBudgetMiddleware, policy=POLICY)
