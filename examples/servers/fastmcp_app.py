"""FastMCP: each tool call counts, as a call of a model of that name.

uvicorn fastmcp_app:app --app-dir examples/servers
"""

from __future__ import annotations

from pathlib import Path

from fastmcp import FastMCP
from starlette.middleware import Middleware

from querybudget import QueryBudgetMiddleware

POLICY = str(Path(__file__).with_name("fastmcp.yaml"))
mcp = FastMCP("library")


@mcp.tool
def search(query: str) -> str:
    """Return what the library has on a subject."""
    return f"nothing on {query}"


@mcp.tool
def opening_hours() -> str:
    """Return when the library is open."""
    return "9 to 17"


app = mcp.http_app(middleware=[Middleware(QueryBudgetMiddleware, policy=POLICY)])
