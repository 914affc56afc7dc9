"""BentoML: the middleware is added to a service, with its routes and those of a mounted application.

bentoml serve bentoml_app:Words --working-dir examples/servers
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bentoml
import words
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from querybudget import QueryBudgetMiddleware

openai = FastAPI()
POLICY = str(Path(__file__).with_name("bentoml.yaml"))


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")))
@bentoml.asgi_app(openai, path="/v1")
class Words:
    """A model, in BentoML's terms: `/v1/chat/completions` and `/count`."""

    @openai.post("/chat/completions")
    async def chat(self, body: dict[str, Any]) -> Any:
        """Answer in OpenAI's dialect."""
        if body.get("stream"):
            return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
        return await words.chat(body)

    @bentoml.api
    async def count(self, prompt: str, max_tokens: int = 5) -> AsyncIterator[str]:
        """Answer a prompt in words. The policy has a route for it."""
        body = {"messages": [{"content": prompt}], "max_tokens": max_tokens}
        async for word in words.words(body):
            yield word


Words.add_asgi_middleware(QueryBudgetMiddleware, policy=POLICY)
