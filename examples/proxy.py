"""A proxy with budgets for any OpenAI-compatible server: `uvicorn examples.proxy:app`.

UPSTREAM is the server's URL, QUERYBUDGET_POLICY the path of the policy.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

# These belong to one connection (RFC 9110, section 7.6.1); httpx sets its own.
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"}


def make_app(
    upstream: str, transport: httpx.AsyncBaseTransport | None = None, policy: str | None = None
) -> Starlette:
    client = httpx.AsyncClient(base_url=upstream, timeout=600, transport=transport)

    async def forward(request: Request) -> StreamingResponse:
        forwarded = client.build_request(
            request.method,
            request.url.path,
            params=request.query_params,
            headers=_end_to_end(request.headers.items()),
            content=await request.body(),
        )
        answer = await client.send(forwarded, stream=True)
        return StreamingResponse(
            _body(answer), answer.status_code, dict(_end_to_end(answer.headers.items()))
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(
        routes=[Route("/{path:path}", forward, methods=["GET", "POST"])],
        middleware=[Middleware(QueryBudgetMiddleware, policy=policy)],
        lifespan=lifespan,
    )


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    # Also closed when the caller disconnects, so that the model stops generating.
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


app = make_app(os.environ.get("UPSTREAM", "http://127.0.0.1:8000"))
