"""The server under soak: `python -m benchmarks.soak.server SETTINGS.json`.

The application answers as a model server does, fails 5 % of its calls, and counts what it answered
for each key: the independent count. A hook adds up what querybudget says it charged. Both are
written when the server has stopped.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import random
import secrets
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from querybudget import DecisionEvent, Limiter, Policy, QueryBudgetMiddleware
from querybudget.stores import system_clock
from querybudget.units import Micros

FAILS = 0.05
GZIP = b"\x1f\x8b"
CHUNKS = 12
CHUNK_TEXT = "a word "
PAUSE = 0.002
"""Seconds between the chunks of a stream."""

_JSON = msgspec.json.Encoder()
_REQUEST: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class Counts:
    """Calls and tokens for each account."""

    def __init__(self) -> None:
        self.calls: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, account: str, **amounts: int) -> None:
        self.calls[account].update(amounts)


class Model:
    """Answers chat, completions and embeddings; keeps count of what it answered completely."""

    __name__ = "model"  # slowapi asks every endpoint for it

    def __init__(self) -> None:
        self.counts = Counts()
        self._random = random.Random(7)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        key = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")[7:]
        body = await _body(receive)
        if body is None:
            return
        if scope["path"] == "/health":
            await _answer(send, 200, {})
            return
        if body.startswith(GZIP):
            body = gzip.decompress(body)
        try:
            request = _REQUEST.decode(body)
        except msgspec.DecodeError:
            await _answer(send, 400, {"error": {"message": "no JSON"}})
            return
        status = self._status(key, request)
        if status != 200:
            await _answer(send, status, {"error": {"message": "refused by the model"}})
            return
        usage = {
            "prompt_tokens": 5 + len(body) // 8,
            "completion_tokens": self._random.randrange(1, 60),
        }
        total = usage["total_tokens"] = sum(usage.values())
        if request.get("stream"):
            if await _stream(receive, send, usage):
                self.counts.add(key, answered=1, tokens=total)
            return
        self.counts.add(key, answered=1, tokens=total)
        message = {"role": "assistant", "content": CHUNK_TEXT * 3}
        await _answer(send, 200, {"choices": [{"message": message}], "usage": usage})

    def _status(self, key: str, request: Mapping[str, Any]) -> int:
        if not key.startswith("key-"):
            return 401
        if request.get("model") == "missing":
            return 404
        return 500 if self._random.random() < FAILS else 200


async def _body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _answer(send: Send, status: int, document: object) -> None:
    body = _JSON.encode(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(receive: Receive, send: Send, usage: Mapping[str, int]) -> bool:
    """Stream an answer; return False if the client left before its end."""
    gone = asyncio.ensure_future(_disconnected(receive))
    headers = [(b"content-type", b"text/event-stream")]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(CHUNKS):
            await asyncio.wait([gone], timeout=PAUSE)
            if gone.done():
                return False
            delta = {"choices": [{"delta": {"content": CHUNK_TEXT}}]}
            await _event(send, _JSON.encode(delta))
        await _event(send, _JSON.encode({"choices": [], "usage": usage}))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
    finally:
        gone.cancel()
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _event(send: Send, data: bytes) -> None:
    body = b"data: " + data + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


class Charged:
    """Adds up what the events say: a hook."""

    def __init__(self) -> None:
        self.counts = Counts()

    def __call__(self, event: DecisionEvent) -> None:
        account = event.identity.key
        if event.usage is None:
            self.counts.add(account, refused=1)
            return
        tokens = event.usage.input + event.usage.output
        answered = event.status < 300  # 0 where nothing was sent
        kept = answered or (400 <= event.status < 429 and event.status not in {401, 403, 407})
        amounts = Counter({f"{event.store}-{event.settlement}": 1})
        if answered and event.status and not event.usage.estimated:
            amounts.update(complete=1, complete_tokens=tokens)
        if event.store == "shared" and event.settlement in {"done", "deferred"}:
            amounts.update(requests=int(kept), tokens=tokens if answered else 0)
        self.counts.add(account, **amounts)


class Control:
    """Answers the driver of the soak, and passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        limiter: Limiter | None,
        clock: list[int],
        closed: Callable[[], object],
    ) -> None:
        self.app, self._limiter, self._clock, self._closed = app, limiter, clock, closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._closing(send))
            return
        if not scope["path"].startswith("/soak/"):
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/soak/clock":
            self._clock[0] = int(scope["query_string"])
        await _answer(send, 200, self._stats())

    def _closing(self, send: Send) -> Send:
        """Note when everything has been settled: when the end of the shutdown is reported."""

        async def noted(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                self._closed()
            await send(message)

        return noted

    def _stats(self) -> dict[str, Any]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        stats: dict[str, Any] = {
            "rss": pages * os.sysconf("SC_PAGESIZE"),
            "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "objects": len(gc.get_objects()),
        }
        if self._limiter is not None:
            health = self._limiter.health()
            stats |= {
                "outbox": health.outbox,
                "dropped": health.dropped,
                "busy": self._limiter.busy,
                "store": health.status,
                "policy": self._limiter.policy_hash,
                "refused_policies": self._limiter.refused_policies,
            }
        return stats


def _with_querybudget(
    model: Model, settings: Mapping[str, Any]
) -> tuple[ASGIApp, Limiter, list[int], Counts]:
    charged, offset, now = Charged(), [0], system_clock()
    limiter = Limiter(
        Policy.load(settings["policy"]),
        clock=lambda: Micros(now() + offset[0]),
        hooks=[charged],
    )
    return QueryBudgetMiddleware(model, limiter=limiter), limiter, offset, charged.counts


def _with_slowapi(model: Model, settings: Mapping[str, Any]) -> ASGIApp:
    """slowapi as its documentation sets it up, with Redis; its keys are the same."""
    from slowapi import Limiter as SlowapiLimiter  # noqa: PLC0415 - of the benchmarks only
    from slowapi.middleware import SlowAPIASGIMiddleware  # noqa: PLC0415

    def key(request: Request) -> str:
        return str(request.headers.get("authorization", ""))

    app = Starlette(routes=[Route("/{path:path}", model, methods=["POST"])])
    app.state.limiter = SlowapiLimiter(
        key_func=key,
        storage_uri=settings["url"],
        default_limits=[f"{settings['tight']}/minute"],
    )
    app.add_middleware(SlowAPIASGIMiddleware)
    return app


_AUTH = """
from litellm.proxy._types import UserAPIKeyAuth


async def limited(_request, key):
    return UserAPIKeyAuth(api_key=key, rpm_limit={limit} if "tight" in key else None)
"""


def _with_litellm(settings: Mapping[str, Any]) -> ASGIApp:
    """LiteLLM's proxy with Redis, before a model in another process.

    Its own keys need PostgreSQL, so a function authenticates. It gives the accounts with a tight
    limit theirs.
    """
    folder = Path(settings["counts"]).parent
    (folder / "soak_auth.py").write_text(_AUTH.format(limit=settings["tight"]))
    host, _, port = settings["url"].removeprefix("redis://").partition("/")[0].partition(":")
    redis = {"type": "redis", "host": host, "port": int(port), "supported_call_types": []}
    upstream = {"api_base": f"http://127.0.0.1:{settings['upstream']}/v1", "api_key": "key-litellm"}
    config = {
        "model_list": [
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", **upstream}}
            for name in ("model", "tight", "missing")
        ],
        "general_settings": {
            "custom_auth": "soak_auth.limited",
            "master_key": f"sk-{secrets.token_hex(32)}",
        },
        "litellm_settings": {"cache": True, "cache_params": redis, "num_retries": 0},
        "router_settings": {"disable_cooldowns": True},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["CONFIG_FILE_PATH"] = str(folder / "litellm.yaml")
    app: ASGIApp = import_module("litellm.proxy.proxy_server").app
    return app


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())
    model, charged = Model(), Counts()
    app: ASGIApp = model
    limiter, clock = None, [0]
    if settings["limiter"] == "querybudget":
        app, limiter, clock, charged = _with_querybudget(model, settings)
    elif settings["limiter"] == "slowapi":
        app = _with_slowapi(model, settings)
    elif settings["limiter"] == "litellm":
        app = _with_litellm(settings)

    def closed() -> None:
        result = {"answered": model.counts.calls, "charged": charged.calls}
        Path(settings["counts"]).write_text(json.dumps(result))

    served = Control(app, limiter, clock, closed)
    uvicorn.run(served, port=settings["port"], log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
