"""Call a tool with FastMCP's own client, in its environment: call_tools.py URL KEY TOOL TIMES.

Prints a line of JSON for each call: what it answered, or the error that the client raised.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fastmcp import Client
from mcp import MCPError


async def call(url: str, key: str, tool: str, times: int) -> None:
    arguments = {"query": "terns"} if tool == "search" else {}
    async with Client(url, auth=key) as client:
        for _ in range(times):
            try:
                said = {"answer": (await client.call_tool(tool, arguments)).data}
            except MCPError as error:
                said = {"code": error.error.code, "message": error.error.message}
                said["data"] = error.error.data
            sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    url, key, tool, times = sys.argv[1:]
    asyncio.run(call(url, key, tool, int(times)))
