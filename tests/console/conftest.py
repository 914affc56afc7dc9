from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from querybudget import console
from querybudget.limiter import Limiter
from querybudget.policy.load import load
from querybudget.units import Micros
from tests.console.fake_admin import NOW, FakeAdmin

TOKEN = "a-token-that-nobody-guesses"
POLICY = """\
version: 1
secret: 0123456789abcdef0123456789abcdef
identity: [api_key]
budgets:
  - {name: rpm, limit: 60 requests/minute}
  - {name: day, limit: 1000 requests/day, mode: shadow}
"""

MakeConsole = Callable[..., "Console"]


class Console(TestClient):
    """A browser without JavaScript, and what stands behind its console."""

    admin: FakeAdmin
    limiter: Limiter
    time: list[int]

    def log_in(self, token: str = TOKEN, **fields: str) -> Any:
        return self.post(
            "/login", data={"token": token, "by": "ana", **fields}, follow_redirects=False
        )

    def csrf(self) -> str:
        return self.get("/overrides").text.partition('name="csrf" value="')[2].partition('"')[0]

    def submit(self, path: str, **fields: str) -> Any:
        data = {"csrf": self.csrf(), **fields}
        return self.post(path, data=data, follow_redirects=False)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def make(policy_file: Path) -> MakeConsole:
    def made(
        admin: FakeAdmin | None = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Console:
        admin = admin or FakeAdmin()
        time: list[int] = [NOW]
        limiter = Limiter(load(str(policy_file)), clock=lambda: Micros(time[0]))
        app = console.app(limiter, token=token, admin=admin, **options)
        client = Console(app, headers=dict(headers or {}), client=("10.0.0.9", 1234))
        client.admin, client.limiter, client.time = admin, limiter, time
        return client

    return made


@pytest.fixture
def anonymous(make: MakeConsole) -> Console:
    return make()


@pytest.fixture
def operator(make: MakeConsole) -> Console:
    client = make()
    assert client.log_in().status_code == 303
    return client


@pytest.fixture
def program(make: MakeConsole) -> Console:
    return make(headers={"authorization": f"Bearer {TOKEN}"})
