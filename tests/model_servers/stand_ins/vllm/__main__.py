"""`vllm serve`: a middleware is named by its path, and its class is added without arguments.

As in vLLM 0.33.0, the check of keys is added first, so it runs inside the middleware, and covers
four beginnings of paths. A function becomes an HTTP middleware, and anything else ends the start.
Processes of --api-server-count share one socket.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
from typing import Any

import uvicorn
import words
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

PATIENCE = 120
"""Seconds in which a process must have started, however busy the machine."""

GUARDED = ("/v1", "/v2", "/inference", "/cohere")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("vllm")
    serve = parser.add_subparsers(required=True).add_parser("serve")
    serve.add_argument("model")
    serve.add_argument("--middleware", action="append", default=[])
    serve.add_argument("--api-key", action="append", default=[])
    serve.add_argument("--api-server-count", type=int, default=1)
    serve.add_argument("--port", type=int, default=8000)
    return parser.parse_args()


def build(middleware: list[str], keys: list[str]) -> FastAPI:
    app = routes()
    if keys:
        check_keys(app, {f"Bearer {key}" for key in keys})
    for name in middleware:
        module, found = name.rsplit(".", 1)
        taken: Any = getattr(importlib.import_module(module), found)
        if inspect.isclass(taken):
            app.add_middleware(taken)
        elif inspect.iscoroutinefunction(taken):
            app.middleware("http")(taken)
        else:
            raise ValueError(f"{name}: expected a class or a coroutine function")
    return app


def check_keys(app: FastAPI, known: set[str]) -> None:
    @app.middleware("http")
    async def check(request: Request, following: Any) -> Any:
        guarded = request.url.path.startswith(GUARDED)
        if guarded and request.headers.get("authorization") not in known:
            return JSONResponse({"error": "Unauthorized"}, 401)
        return await following(request)


def routes() -> FastAPI:
    app = FastAPI()

    async def chat(body: dict[str, Any]) -> Any:
        if body.get("stream"):
            return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
        return await words.chat(body)

    async def messages(body: dict[str, Any]) -> Any:
        if body.get("stream"):
            return StreamingResponse(words.message_events(body), media_type="text/event-stream")
        return await words.message(body)

    async def score(body: dict[str, Any]) -> Any:
        used = len(f"{body['text_1']} {body['text_2']}".split())
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "data": [{"index": 0, "score": 0.5}], "usage": usage}

    app.post("/v1/chat/completions")(chat)
    app.post("/v1/messages")(messages)
    app.post("/invocations")(chat)
    app.post("/score")(score)
    app.get("/health")(lambda: None)
    app.get("/load")(lambda: {"server_load": 0})
    return app


def app() -> FastAPI:
    """Build the application again in a process of --api-server-count."""
    return build(os.environ["STAND_IN_MIDDLEWARE"].split(), os.environ["STAND_IN_KEYS"].split())


if __name__ == "__main__":
    given = arguments()
    os.environ["STAND_IN_MIDDLEWARE"] = " ".join(given.middleware)
    os.environ["STAND_IN_KEYS"] = " ".join(given.api_key)
    uvicorn.run(
        "vllm.__main__:app",
        factory=True,
        port=given.port,
        workers=given.api_server_count,
        timeout_worker_healthcheck=PATIENCE,
    )
