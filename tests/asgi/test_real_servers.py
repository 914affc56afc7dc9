"""Budgets hold under the servers that people run, over HTTP/1.1 and 2, until their last call."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from querybudget.limiter import Limiter
from querybudget.policy import load_policy
from querybudget.testing import http_scope
from querybudget.units import MICRO
from tests.servers.process import PATIENCE, Process, on_free_port

pytestmark = [pytest.mark.slow, pytest.mark.real_server, pytest.mark.anyio]

ROOT = Path(__file__).parents[2]
LIMIT = 20
CALLERS = 8
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
APP = "tests.asgi.served_app:app"
TOKENS = 10
"""Tokens that each answered call uses."""

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
store: {{url: "sqlite:///{folder}/budgets.db", timeout: 60s}}
identity: [api_key]
exempt: [/health, /release]
budgets:
  - {{name: calls, limit: {limit} requests/day}}
  - {{name: tokens, limit: 100M tokens/day}}
  - {{name: parallel, limit: {parallel} concurrent}}
"""

_UVICORN = ["uvicorn", APP, "--host", "127.0.0.1", "--port"]
_HYPERCORN = ["hypercorn", APP, "--bind"]
_GRANIAN = ["granian", APP, "--interface", "asgi", "--no-ws", "--port"]


@dataclass(frozen=True)
class Kind:
    """A server, and how it is started."""

    name: str
    command: list[str]
    options: list[str]
    ready: str
    http2: bool = False

    def process(self, port: int, env: dict[str, str]) -> Process:
        where = f"127.0.0.1:{port}" if self.command is _HYPERCORN else str(port)
        command = [sys.executable, "-m", *self.command, where, *self.options]
        return Process(command, ready=self.ready, env=env)


KINDS = [
    Kind("uvicorn-h11", _UVICORN, ["--http", "h11", "--loop", "asyncio"], "Uvicorn running on"),
    Kind(
        "uvicorn-httptools-uvloop",
        _UVICORN,
        ["--http", "httptools", "--loop", "uvloop"],
        "Uvicorn running on",
    ),
    Kind("hypercorn", _HYPERCORN, ["-k", "asyncio"], "Running on"),
    Kind("hypercorn-h2-uvloop", _HYPERCORN, ["-k", "uvloop"], "Running on", http2=True),
    Kind("granian", _GRANIAN, ["--http", "1", "--loop", "asyncio"], "Started worker"),
    Kind("granian-uvloop", _GRANIAN, ["--http", "1", "--loop", "uvloop"], "Started worker"),
    Kind("granian-h2", _GRANIAN, ["--http", "2", "--loop", "asyncio"], "Started worker", True),
]

OTHERS = [
    Kind("hypercorn-uvloop", _HYPERCORN, ["-k", "uvloop"], "Running on"),
    Kind("hypercorn-h2", _HYPERCORN, ["-k", "asyncio"], "Running on", http2=True),
    Kind(
        "granian-h2-uvloop", _GRANIAN, ["--http", "2", "--loop", "uvloop"], "Started worker", True
    ),
]
"""What is left of each server, protocol and event loop."""


@dataclass
class Service:
    """A running server."""

    kind: Kind
    process: Process
    url: str
    folder: Path

    @property
    def counted(self) -> Counter[str]:
        """What the application has counted: ``b`` for calls begun, ``a`` for those answered."""
        return Counter((self.folder / "calls.txt").read_text())

    @asynccontextmanager
    async def client(self, key: str) -> AsyncIterator[httpx.AsyncClient]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"},
            http1=not self.kind.http2,
            http2=self.kind.http2,
            limits=limits,
            timeout=PATIENCE,
        ) as client:
            yield client

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait_for_end()

    async def charged(self, key: str) -> dict[str, int]:
        """What the file says that a caller has used, in whole units; and the leases it holds."""
        limiter = Limiter(load_policy(self.folder / "policy.yaml"))
        caller = limiter.caller_for(http_scope(key=key))
        quotas = [budget.quota for budget in limiter.policy.budgets]
        left = await limiter.store.peek(caller.identity.key, quotas)
        await limiter.aclose()
        used = zip(quotas, left, strict=True)
        return {quota.name: (quota.limit - rest) // MICRO for quota, (rest, _) in used}


@contextmanager
def served(
    kind: Kind, folder: Path, *, limit: int, parallel: int, policy: str = POLICY
) -> Iterator[Service]:
    text = policy.format(folder=folder, limit=limit, parallel=parallel)
    (folder / "policy.yaml").write_text(text)
    env = {
        "QUERYBUDGET_POLICY": str(folder / "policy.yaml"),
        "CALLS": str(folder / "calls.txt"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    ports: list[int] = []

    def make(port: int) -> Process:
        ports[:] = [port]
        return kind.process(port, env)

    process = on_free_port(make, "in use")
    try:
        yield Service(kind, process, f"http://127.0.0.1:{ports[0]}", folder)
    finally:
        process.kill_group()


async def is_up(client: httpx.AsyncClient) -> None:
    """Wait until a server that has said so takes connections."""
    while True:
        try:
            assert (await client.get("/health")).status_code == 200
        except httpx.TransportError:
            continue
        return


async def say(client: httpx.AsyncClient) -> int:
    return (await client.post("/v1/chat/completions", json=CHAT)).status_code


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_limits_are_exact_and_streams_flow_under_every_server(
    kind: Kind, tmp_path: Path
) -> None:
    with served(kind, tmp_path, limit=LIMIT, parallel=1_000) as service:
        async with service.client("exact") as client:
            await is_up(client)
            statuses = Counter(await asyncio.gather(*(say(client) for _ in range(2 * LIMIT))))
            assert statuses == {200: LIMIT, 429: LIMIT}
            refused = await client.post("/v1/chat/completions", json=CHAT)
            assert refused.json()["error"]["code"] == "insufficient_quota"
            assert "retry-after" in refused.headers
        async with service.client("streams") as client:
            await streams(client)
        service.stop()
        used = await service.charged("exact")
        assert used == {"calls": LIMIT, "tokens": TOKENS * LIMIT, "parallel": 0}
        assert await service.charged("streams") == {"calls": 1, "tokens": TOKENS, "parallel": 0}


async def streams(client: httpx.AsyncClient) -> None:
    """Take a stream whose second chunk is not made before the first has arrived."""
    body = {**CHAT, "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        chunks = answer.aiter_text()
        assert "first" in await anext(chunks)
        await client.get("/release")
        assert "second" in "".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_client_that_hangs_up_frees_its_lease_under_every_server(
    kind: Kind, tmp_path: Path
) -> None:
    with served(kind, tmp_path, limit=10_000, parallel=1) as service:
        body = {**CHAT, "stream": True}
        async with service.client("gone") as client:
            await is_up(client)
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                assert "first" in await anext(answer.aiter_text())
        async with service.client("gone") as client, asyncio.timeout(PATIENCE):
            while await say(client) != 200:
                pass
        service.stop()
        assert (await service.charged("gone"))["parallel"] == 0


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[4]], ids=lambda kind: kind.name)
async def test_a_policy_that_is_wrong_is_said_and_ends_every_server(
    kind: Kind, tmp_path: Path
) -> None:
    policy = "budgts: []\nbudgets: [{{name: n, limit: {limit}/day}}]\n"
    said = replace(kind, ready="(did you mean `budgets`?)")
    with served(said, tmp_path, limit=1, parallel=1, policy=policy) as service:
        service.process.wait_for_end()


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS], ids=lambda kind: kind.name)
async def test_a_server_that_is_told_to_end_at_any_moment_loses_nothing(
    kind: Kind, tmp_path: Path
) -> None:
    moment = random.randrange(1, 30)
    with served(kind, tmp_path, limit=1_000_000, parallel=1_000) as service:
        answered = 0
        told = asyncio.Event()

        async def call_until_it_ends() -> None:
            nonlocal answered
            async with service.client("load") as client:
                try:
                    while await say(client) == 200:
                        answered += 1
                        if answered == moment:
                            os.kill(service.process.pid, signal.SIGTERM)
                            told.set()
                except httpx.TransportError:
                    assert told.is_set()

        async with service.client("load") as client:
            await is_up(client)
        await asyncio.gather(*(call_until_it_ends() for _ in range(CALLERS)))
        service.process.wait_for_end()
        counted, used = service.counted, await service.charged("load")
        assert answered >= moment
        assert counted["a"] >= answered
        assert used == {"calls": counted["b"], "tokens": TOKENS * counted["a"], "parallel": 0}


@pytest.mark.parametrize(
    ("number", "patience"),
    [(0, ["--timeout-graceful-shutdown", "1"]), (3, ["--graceful-timeout", "1"]), (4, []), (6, [])],
    ids=lambda value: KINDS[value].name if isinstance(value, int) else "",
)
async def test_a_stream_that_is_open_when_a_server_is_told_to_end_is_charged_once(
    number: int, patience: list[str], tmp_path: Path
) -> None:
    kind = replace(KINDS[number], options=[*KINDS[number].options, *patience])
    with served(kind, tmp_path, limit=10_000, parallel=2) as service:
        async with service.client("open") as client:
            await is_up(client)
            try:
                async with client.stream(
                    "POST", "/v1/chat/completions", json={**CHAT, "stream": True}
                ) as response:
                    lines = response.aiter_lines()
                    assert "first" in await anext(lines)
                    os.kill(service.process.pid, signal.SIGTERM)
                    if patience:  # granian waits until its clients leave
                        async for _ in lines:
                            pass
            except httpx.TransportError:
                pass
        service.process.wait_for_end()
        used = await service.charged("open")
        assert (used["calls"], used["parallel"]) == (1, 0)
        assert 0 < used["tokens"] < 100  # what was said by then, and no estimate


async def test_by_default_the_log_says_what_is_on_whom_it_refuses_and_that_workers_count_apart(
    tmp_path: Path,
) -> None:
    workers = ["--workers", "2"]
    kind = Kind("uvicorn-workers", _UVICORN, workers, "Application startup complete")
    policy = POLICY.replace("sqlite:///{folder}/budgets.db", "memory://")
    with served(kind, tmp_path, limit=1, parallel=9, policy=policy) as service:
        process = service.process
        process.wait_for("querybudget is on: policy", times=2)
        process.wait_for("store memory://, 3 budgets enforced ('calls', 'tokens', 'parallel')")
        process.wait_for("several workers use this policy")
        async with service.client("curious") as client:
            while await say(client) != 429:
                pass
            for _ in range(9):
                await say(client)
        process.wait_for("was refused (by 'calls', again in")
        said = [line for line in process.lines if "first in an hour" in line]
        assert len(said) <= len(workers)
        assert not any("curious" in line for line in process.lines)
