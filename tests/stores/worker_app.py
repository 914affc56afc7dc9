"""A server of which several workers share a store: it says which of them answered.

QUERYBUDGET_POLICY=policy.yaml uvicorn --workers 4 tests.stores.worker_app:app
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from querybudget import QueryBudgetMiddleware

__all__ = ["app"]


async def answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


app = QueryBudgetMiddleware(Starlette(routes=[Route("/", answer)]))
