from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import yaml

from querybudget import DecisionEvent, Policy, QueryBudgetMiddleware
from querybudget.demo.prompts import conversation
from querybudget.stores import Clock, Store
from querybudget.testing import FakeModel, memory_limiter, run_scenario, sweep
from querybudget.testing.contracts import StoreContract
from querybudget.units import MICRO

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
def test_an_example_policy_is_right_and_plain_yaml_to_other_readers(path: Path) -> None:
    assert yaml.safe_load(path.read_text())
    policy = Policy.load(path, environ={"QUERYBUDGET_SECRET": "0123456789abcdef"})
    assert len(policy.budgets) >= 4
    assert len(policy.tests) >= 2
    results = [run_scenario(policy, scenario) for scenario in policy.tests]
    assert [str(result) for result in results if not result.passed] == []


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 100


@pytest.mark.parametrize(
    ("name", "prints"),
    [
        ("custom_store", "[200, 200]\n[200, 429]"),
        ("signed_tokens", "forged {401: 61}\nada {200: 60, 429: 1}"),
        ("watch_sweeps", " buckets, mostly "),
    ],
)
def test_an_example_runs_by_one_command(name: str, prints: str) -> None:
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert prints in ran.stdout


class TestFileStore(StoreContract):
    def make_store(self, clock: Clock) -> Store:
        store: Store = load("custom_store").FileStore(
            Path(tempfile.mkdtemp()) / "accounts", clock=clock
        )
        return store


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


async def prompts(app: object, key: str, asked: Iterable[str]) -> list[int]:
    """Ask one prompt after the other; the statuses."""
    statuses = []
    async with client(app) as http:
        for prompt in asked:
            body = BODY | {"messages": [{"role": "user", "content": prompt}]}
            headers = {"authorization": f"Bearer {key}"}
            answer = await http.post("/v1/chat/completions", json=body, headers=headers)
            statuses.append(answer.status_code)
    return statuses


@pytest.mark.anyio
async def test_the_watch_tells_of_the_sweeper_and_of_nobody_else() -> None:
    printed: list[str] = []
    app = load("watch_sweeps").profiled(FakeModel(), printed.append)
    assert set(await prompts(app, "person", conversation())) == {200}
    assert printed == []
    assert set(await prompts(app, "sweeper", sweep(130))) == {200}
    assert 1 <= len(printed) < 8
    assert len({line.split(":")[0] for line in printed}) == 1
    assert "buckets, mostly" in printed[0]


@pytest.mark.anyio
async def test_the_breadth_policy_watches_a_sweep_and_answers_it() -> None:
    policy = Policy.load(
        EXAMPLES / "policies/breadth.yaml", environ={"QUERYBUDGET_SECRET": "0" * 16}
    )
    heard: list[DecisionEvent] = []
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(policy, hooks=[heard.append]))
    assert set(await prompts(app, "sweeper", sweep(130))) == {200}
    assert (heard[-1].stage, heard[-1].price) == ("none", MICRO)
    assert heard[-1].shadow_stage != "none"
    assert heard[-1].shadow_price > 2 * MICRO
