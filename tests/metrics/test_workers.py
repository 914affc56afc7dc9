"""Several workers: each scrape reaches one of them, and it answers for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from querybudget.metrics.prometheus import DIRECTORY
from tests.metrics.driving import samples

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, sys
from querybudget.limiter import request_scope
from querybudget.metrics import PrometheusMetrics
from querybudget.policy.model import Policy
from querybudget.testing import memory_limiter
from tests.metrics.driving import CHAT, call

policy = Policy.load({"budgets": [{"name": "rpm", "limit": "100 requests/minute"}]})


async def main():
    metrics = PrometheusMetrics(policy)
    limiter = memory_limiter(policy, hooks=[metrics])
    metrics.watch(limiter)
    for _ in range(int(sys.argv[1])):
        await call(limiter)
    async with limiter.admitted(request_scope(CHAT)):
        metrics.refresh()
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "scrape":
                print(metrics.text()[0].decode() + "# end", flush=True)


asyncio.run(main())
"""


def _start(directory: Path, calls: int) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(calls)],
        cwd=ROOT,
        env=os.environ | {DIRECTORY: str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def _scrape(worker: subprocess.Popen[str]) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("scrape\n")
    worker.stdin.flush()
    text = "".join(iter(worker.stdout.readline, "# end\n"))
    return samples(text.encode())


def _stop(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.communicate()


def test_either_worker_answers_for_both_and_forgets_the_states_of_one_that_died(
    tmp_path: Path,
) -> None:
    workers = [_start(tmp_path, 3), _start(tmp_path, 4)]
    try:
        calls = 'querybudget_calls_total{model="other",tier="default",verdict="admit"}'
        for worker in workers:
            found = _scrape(worker)
            assert found[calls] == 7
            assert found["querybudget_open_calls"] == 2
            assert found["querybudget_store_up"] == 1
        _stop(workers.pop(0))
        found = _scrape(workers[0])
        assert found[calls] == 7
        assert found["querybudget_open_calls"] == 1
    finally:
        for worker in workers:
            _stop(worker)
