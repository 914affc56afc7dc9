from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from querybudget import Policy
from querybudget.stores import Clock, Store
from querybudget.testing import FakeModel
from querybudget.testing.store_contract import StoreContract

EXAMPLES = Path(__file__).parents[1] / "examples"
BODY = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def client(app: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://model")


@pytest.mark.parametrize("path", sorted((EXAMPLES / "policies").iterdir()), ids=lambda p: p.stem)
def test_an_example_policy_is_right(path: Path) -> None:
    policy = Policy.load(path, environ={"QUERYBUDGET_SECRET": "0123456789abcdef"})
    assert len(policy.budgets) >= 4


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 80


class TestFileStore(StoreContract):
    def make_store(self, clock: Clock) -> Store:
        store: Store = load("custom_store").FileStore(
            Path(tempfile.mkdtemp()) / "accounts", clock=clock
        )
        return store


@pytest.mark.anyio
async def test_the_proxy_passes_on_what_fits_and_refuses_the_rest(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("budgets: [{name: requests, limit: 2 requests/minute}]")
    model = FakeModel()
    proxy = load("proxy").make_app("http://model", httpx.ASGITransport(model), str(policy))
    headers = {"authorization": "Bearer k"}
    async with client(proxy) as http:
        answers = [
            await http.post("/v1/chat/completions", json=BODY, headers=headers) for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].json()["object"] == "chat.completion"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert [asked.headers["authorization"] for asked in model.asked] == ["Bearer k"] * 2


@pytest.mark.anyio
async def test_signed_tokens_charge_the_user_and_the_team() -> None:
    example = load("signed_tokens")
    app = example.protect(FakeModel(), b"key")

    async def ask(http: httpx.AsyncClient, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await http.post("/v1/chat/completions", json=BODY, headers=headers)).status_code

    ada, bob = (example.sign({"sub": name, "team": "red"}, b"key") for name in ("ada", "bob"))
    async with client(app) as http:
        assert await ask(http, example.sign({"sub": "eve"}, b"another key")) == 401
        assert [await ask(http, ada) for _ in range(61)] == [200] * 60 + [429]
        assert [await ask(http, bob) for _ in range(41)] == [200] * 40 + [429]
