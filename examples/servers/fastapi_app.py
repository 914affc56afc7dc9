"""FastAPI: one line puts budgets in front of every route.

uvicorn fastapi_app:app --app-dir examples/servers --workers 2
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import words
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from querybudget import QueryBudgetMiddleware

app = FastAPI()
app.add_middleware(QueryBudgetMiddleware, policy=str(Path(__file__).with_name("fastapi.yaml")))


@app.post("/v1/chat/completions")
async def chat(body: dict[str, Any]) -> Any:
    if body.get("stream"):
        return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
    return await words.chat(body)


@app.post("/v1/messages")
async def messages(body: dict[str, Any]) -> Any:
    if body.get("stream"):
        return StreamingResponse(words.message_events(body), media_type="text/event-stream")
    return await words.message(body)
