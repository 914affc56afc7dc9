"""Real model servers, each in an environment of its own, and what their stores say of a caller.

`make test-servers` makes the environments. Where a server's package could not be installed, a file
says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from querybudget import Policy
from querybudget.limiter import Limiter
from querybudget.testing import http_scope
from querybudget.units import MICRO
from tests.servers.process import PATIENCE, Process, ServerError, on_free_port

__all__ = ["KINDS", "ROOT", "Kind", "Service", "chosen", "served"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/servers"
ENVIRONMENTS = ROOT / "build/servers"
STAND_INS = Path(__file__).parent / "stand_ins"
UVICORN = (
    *("uvicorn", "--app-dir", str(EXAMPLES), "--port", "{port}", "--workers", "{workers}"),
    *("--timeout-worker-healthcheck", str(PATIENCE)),
)

EVERY = 0.1
"""Seconds between two questions to a server: without them, asking takes the time that it needs."""

PAUSE = threading.Event()


@dataclass(frozen=True)
class Kind:
    """A server, and how it is started.

    Attributes:
        name: Its policy is `NAME.yaml`, beside its example.
        command: The module that Python runs, and its arguments.
        script: Whether it is a file that Python runs, instead of a module.
        environment: The name of its environment; empty if it is its own.
        env: Variables of its own.
        ready: What it prints when it takes connections.
        workers: Workers that it is run with where several are tried.
        anthropic: Whether it speaks Anthropic's dialect too.
        words: Whether its model says as many words as `max_tokens` asks for, in its time.
        reports: Whether its streams report what they used.
        whole_group: Whether a signal to its parent alone would leave its processes running.
        drains: Whether it lets streams end when it is told to.
    """

    name: str
    command: Sequence[str]
    script: bool = False
    environment: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ready: str = "Application startup complete"
    workers: int = 2
    anthropic: bool = False
    words: bool = True
    reports: bool = True
    whole_group: bool = False
    drains: bool = True

    @property
    def python(self) -> Path:
        return ENVIRONMENTS / (self.environment or self.name) / "bin/python"

    def process(self, port: int, workers: int, env: dict[str, str]) -> Process:
        words = [word.format(port=port, workers=workers) for word in self.command]
        command = [str(self.python), *([] if self.script else ["-m"]), *words]
        own = {"PORT": str(port), "WORKERS": str(workers), **env, **self.env}
        return Process(command, ready=self.ready, env=own)

    def need(self) -> None:
        """Skip the test if it is not installed; fail instead where servers are required."""
        folder = self.python.parents[1]
        missing = folder / "missing.txt"
        if self.python.exists() and not missing.exists():
            return
        why = missing.read_text().strip() if missing.exists() else "run `make test-servers`"
        said = f"NO {self.name} HERE: it is not tested. {why}"
        if os.environ.get("QUERYBUDGET_REQUIRE_SERVERS") == "1":
            pytest.fail(said)
        pytest.skip(said)


def example(name: str) -> str:
    return str(EXAMPLES / f"{name}_app.py")


KINDS = [
    Kind("fastapi", (*UVICORN, "fastapi_app:app"), anthropic=True),
    Kind("starlette", (*UVICORN, "starlette_app:app"), anthropic=True),
    Kind("litserve", (example("litserve"),), script=True, whole_group=True, drains=False),
    Kind(
        "bentoml",
        (
            *("bentoml", "serve", "bentoml_app:Words", "--working-dir", str(EXAMPLES)),
            *("--port", "{port}", "--host", "127.0.0.1"),
        ),
        ready="Starting production HTTP",
    ),
    Kind(
        "litellm",
        (*UVICORN, "litellm_app:app"),
        env={"CONFIG_FILE_PATH": str(EXAMPLES / "litellm_config.yaml")},
        anthropic=True,
    ),
    Kind("ray_serve", (example("ray_serve"),), script=True, ready="is ready at"),
    Kind("transformers", (example("transformers"),), script=True, workers=1, words=False),
    Kind(
        "llama_cpp",
        (example("llama_cpp"),),
        script=True,
        workers=1,
        words=False,
        reports=False,
    ),
    Kind(
        "vllm",
        (
            *("vllm", "serve", "tern", "--middleware", "querybudget.QueryBudgetMiddleware"),
            *("--port", "{port}", "--api-server-count", "{workers}"),
        ),
        environment="fastapi",
        env={"QUERYBUDGET_POLICY": str(EXAMPLES / "vllm.yaml")},
        anthropic=True,
    ),
    Kind(
        "sglang",
        (
            *(example("sglang"), "--model-path", "tern", "--port", "{port}"),
            *("--tokenizer-worker-num", "{workers}"),
        ),
        script=True,
        environment="fastapi",
    ),
]


def chosen(kinds: Sequence[Kind] = KINDS) -> list[Any]:
    """The servers that the variable SERVERS names, as parameters; all, if it names none."""
    names = os.environ.get("SERVERS", "").split()
    return [pytest.param(kind, id=kind.name) for kind in kinds if not names or kind.name in names]


@dataclass
class Service:
    """A running server."""

    kind: Kind
    process: Process
    url: str
    policy: Policy

    def openai(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(
            api_key=key, base_url=f"{self.url}/v1", max_retries=0, timeout=PATIENCE
        )

    def anthropic(self, key: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(api_key=key, base_url=self.url, max_retries=0, timeout=PATIENCE)

    def used(self, key: str) -> dict[str, int]:
        """What the store says that a caller has used, in whole units; and the calls it has open."""
        return asyncio.run(self._used(key))

    def wait_until_settled(self, key: str) -> dict[str, int]:
        """Wait until a caller has no calls open; return what it has used then."""
        while (used := self.used(key))["parallel"]:
            assert self.process.running
            PAUSE.wait(EVERY)
        return used

    def wait_until_up(self) -> None:
        """Wait until a server that has said so takes connections."""
        while True:
            assert self.process.running, self.process.lines[-20:]
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/health", timeout=PATIENCE)
                return
            PAUSE.wait(EVERY)

    def tell_to_end(self) -> None:
        pid = self.process.pid
        os.killpg(pid, signal.SIGTERM) if self.kind.whole_group else os.kill(pid, signal.SIGTERM)

    async def _used(self, key: str) -> dict[str, int]:
        limiter = Limiter(self.policy)
        caller = limiter.caller_for(http_scope(key=key))
        quotas = [budget.quota for budget in self.policy.budgets]
        left = await limiter.store.peek(caller.identity.key, quotas)
        await limiter.aclose()
        used = zip(quotas, left, strict=True)
        return {quota.name: (quota.limit - rest) // MICRO for quota, (rest, _) in used}


@contextmanager
def served(kind: Kind, folder: Path, workers: int = 1, **more: str) -> Iterator[Service]:
    """Run a server on a store of its own."""
    kind.need()
    env = {
        "QUERYBUDGET_STORE": f"sqlite:///{folder}/budgets.db",
        "QUERYBUDGET_STORE_TIMEOUT": "60s",
        "QUERYBUDGET_SECRET": "0123456789abcdef0123456789abcdef",
        **more,
    }
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(STAND_INS), str(EXAMPLES), inherited]).strip(os.pathsep)
    ports: list[int] = []

    def make(port: int) -> Process:
        ports[:] = [port]
        quiet = {"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
        return kind.process(port, workers, {**env, **quiet, "PYTHONPATH": path})

    policy = Policy.load(EXAMPLES / f"{kind.name}.yaml", environ=env)
    process = on_free_port(make, "in use")
    service = Service(kind, process, f"http://127.0.0.1:{ports[0]}", policy)
    try:
        service.wait_until_up()
        yield service
    finally:
        if process.running:  # some servers have workers in groups of their own
            service.tell_to_end()
            with contextlib.suppress(ServerError):
                process.wait_for_end()
        process.kill_group()
