"""`app` exists once this is imported; `launch_server` adds the check of the key, and serves.

SGLang 0.5.23 starts a process by `spawn` before it serves, as for its scheduler, and serves with
several processes above one tokenizer worker. Those import the file that was started once more, and
so get its middleware.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
import words
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

PATIENCE = 120
"""Seconds in which a process must have imported the file, however busy the machine."""

app = FastAPI()


@app.post("/v1/chat/completions")
async def chat(body: dict[str, Any]) -> Any:
    if body.get("stream"):
        return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
    return await words.chat(body)


@app.api_route("/generate", methods=["POST", "PUT"])
async def generate(body: dict[str, Any]) -> Any:
    asked, count = len(body["text"].split()), body["sampling_params"]["max_new_tokens"]
    if body.get("stream"):
        return StreamingResponse(cumulative(asked, count), media_type="text/event-stream")
    text = "".join([word async for word in words.words({"max_tokens": count})])
    return said(text, asked, count)


async def cumulative(asked: int, count: int) -> AsyncIterator[str]:
    """Each event has all the text so far, and the usage so far."""
    text, done = "", 0
    async for word in words.words({"max_tokens": count}):
        text, done = text + word, done + 1
        yield f"data: {json.dumps(said(text, asked, done))}\n\n"
    yield "data: [DONE]\n\n"


def said(text: str, asked: int, count: int) -> dict[str, Any]:
    return {"text": text, "meta_info": {"prompt_tokens": asked, "completion_tokens": count}}


@app.get("/health_generate")
async def health_generate() -> None: ...


def check_keys(key: str) -> None:
    @app.middleware("http")
    async def check(request: Request, following: Any) -> Any:
        if request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return await following(request)


def schedule() -> None:
    """Stand for the scheduler's process, which loads the model."""


def launch_server(arguments: argparse.Namespace) -> None:
    scheduler = multiprocessing.get_context("spawn").Process(target=schedule)
    scheduler.start()
    scheduler.join()
    if arguments.api_key:
        check_keys(arguments.api_key)
    several = arguments.tokenizer_worker_num > 1
    served: Any = "sglang.srt.entrypoints.http_server:app" if several else app
    uvicorn.run(
        served,
        port=arguments.port,
        workers=arguments.tokenizer_worker_num,
        timeout_worker_healthcheck=PATIENCE,
    )
