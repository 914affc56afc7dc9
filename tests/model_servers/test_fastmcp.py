"""Tool calls of MCP count as calls of a model, and FastMCP's client understands a refusal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model_servers.served import UVICORN, Kind, Service, chosen, served
from tests.servers.process import PATIENCE

pytestmark = pytest.mark.model_server

FASTMCP = Kind("fastmcp", (*UVICORN, "fastmcp_app:app"), workers=1)
CALLER = str(Path(__file__).with_name("call_tools.py"))


@pytest.fixture(scope="module", params=chosen([FASTMCP]))
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with served(request.param, tmp_path_factory.mktemp("fastmcp")) as running:
        yield running


def call(service: Service, key: str, tool: str, times: int) -> list[dict[str, Any]]:
    command = [str(service.kind.python), CALLER, f"{service.url}/mcp", key, tool, str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_refused_tool_call_is_an_error_that_says_why_and_other_tools_go_on(
    service: Service,
) -> None:
    *answered, refused = call(service, "ada", "search", 4)
    assert answered == [{"answer": "nothing on terns"}] * 3
    assert refused["code"] == -32000
    assert "searches" in refused["message"]
    assert refused["data"]["violated-policies"] == ["searches"]
    assert call(service, "ada", "opening_hours", 2) == [{"answer": "9 to 17"}] * 2
    assert service.used("ada") == {"searches": 3, "tools": 5, "parallel": 0}


def test_each_caller_has_its_own_budget_of_tool_calls(service: Service) -> None:
    assert call(service, "bob", "search", 1) == [{"answer": "nothing on terns"}]
    assert service.used("bob") == {"searches": 1, "tools": 1, "parallel": 0}
