"""A proxy with budgets for any model server.

UPSTREAM is the server's URL, QUERYBUDGET_POLICY the path of the policy. The answers have the
server's own `date` and `server`, so uvicorn need not add its own:

    uvicorn --no-server-header --no-date-header examples.proxy:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

# These belong to one connection (RFC 9110, section 7.6.1); httpx sets its own.
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"}


def make_app(
    upstream: str, transport: httpx.AsyncBaseTransport | None = None, policy: str | None = None
) -> Starlette:
    client = httpx.AsyncClient(timeout=600, transport=transport)
    client.headers.clear()  # the caller's are sent on, and no others: not even Accept-Encoding
    base = httpx.URL(upstream)

    async def forward(request: Request) -> Response:
        # The budgets were found by the path as it was sent, so that is what is sent on. httpx folds
        # `..`, and would take `//host` for another server.
        query: bytes = request.scope["query_string"]
        path: bytes = base.path.rstrip("/").encode() + request.scope["raw_path"].split(b"?")[0]
        target = path + b"?" + query if query else path
        url = base.copy_with(raw_path=target)
        if url.raw_path != target:
            return Response("The path has to be in normal form.", 400)
        forwarded = client.build_request(
            request.method,
            url,
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
