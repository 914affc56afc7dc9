from __future__ import annotations

import socket
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from querybudget import QueryBudgetMiddleware
from querybudget.asgi.types import Receive, Scope, Send
from querybudget.errors import SetupError
from querybudget.testing import FakeModel, memory_limiter, serving

POLICY = {"identity": ["api_key"], "budgets": [{"name": "rpm", "limit": "1 requests/minute"}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_a_client_with_sockets_of_its_own_is_served_until_the_block_ends() -> None:
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(POLICY))
    with serving(app) as url, httpx.Client(trust_env=False, timeout=60) as client:
        answers = [client.post(f"{url}/v1/chat/completions", json=CHAT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    place = urlsplit(url)
    with socket.socket() as after:
        assert after.connect_ex((place.hostname, place.port)) != 0


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no model"})


def test_an_application_that_does_not_start_is_an_error() -> None:
    with pytest.raises(SetupError, match="did not start"), serving(fails, log_level="critical"):
        pass


def test_what_serving_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SetupError, match=r"uvicorn: pip install 'querybudget\[cli\]'"):
        serving(FakeModel()).__enter__()
