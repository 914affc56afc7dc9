"""Workers of one server count together, whatever they share their accounts in."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.servers.process import Process
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

WORKERS, LIMIT = 4, 40
ROOT = Path(__file__).parents[2]
POLICY = """\
secret: 0123456789abcdef0123456789abcdef
store: {{url: "{url}", timeout: 30s, workers: {workers}, prefix: "{prefix}"}}
identity: [api_key]
budgets:
  - {{name: calls, limit: {limit} requests/day, on_store_error: deny}}
"""


@contextmanager
def served(policy: Path) -> Iterator[str]:
    """The address of a server of several workers, all of them ready; ended for certain."""
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--workers", str(WORKERS)]
    env = {
        "QUERYBUDGET_POLICY": str(policy),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    process = Process(
        [*command, "tests.stores.worker_app:app"], ready="Uvicorn running on", env=env
    )
    process.start()
    try:
        process.wait_for("Application startup complete", times=WORKERS)
        (said,) = (line for line in process.lines if "Uvicorn running on" in line)
        yield next(word for word in said.split() if word.startswith("http://"))
        os.kill(process.pid, signal.SIGTERM)
        process.wait_for("Stopping parent process")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, whatever went wrong
        process.kill()


async def admitted_of(address: str, calls: int) -> tuple[Counter[int], set[str]]:
    """How many of a number of calls at once had each status, and which workers admitted some."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"authorization": "Bearer one-caller"}
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=300) as client:
        answers = await asyncio.gather(*(client.get(address) for _ in range(calls)))
    workers = {answer.text for answer in answers if answer.is_success}
    return Counter(answer.status_code for answer in answers), workers


def half_are_admitted(policy: Path, url: str) -> None:
    text = POLICY.format(url=url, workers=WORKERS, limit=LIMIT, prefix=policy.parent.name)
    policy.write_text(text)
    with served(policy) as address:
        statuses, workers = asyncio.run(admitted_of(address, 2 * LIMIT))
    assert statuses == {200: LIMIT, 429: LIMIT}
    assert len(workers) > 1, f"expected calls to be spread over workers, found {workers}"


def test_workers_on_one_sqlite_file_admit_exactly_n_of_2n(tmp_path: Path) -> None:
    half_are_admitted(tmp_path / "policy.yaml", f"sqlite:///{tmp_path}/budgets.db")


def test_workers_on_one_redis_server_admit_exactly_n_of_2n(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    half_are_admitted(tmp_path / "policy.yaml", redis_server.url)
