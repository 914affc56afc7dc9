"""Soak the middleware: `python -m benchmarks.soak --minutes 30 --out FILE`.

A uvicorn server with a Redis store answers as many clients as keep it busy: chat, streams,
embeddings, gzip bodies, bodies that no reader takes, made-up keys, clients that hang up in their
body or in the answer, and a model that fails 5 % of its calls. Meanwhile Redis is killed, frozen
and loses its scripts, the clocks of both jump, and the policy is written anew, sometimes wrongly.
Then the server gets SIGTERM, and the accounts in Redis are compared with what the application
itself counted, to the unit. It needs redis-server and libfaketime.

Members of the JSON:

    environment   machine, versions
    method        minutes, clients, accounts, limit of the tight accounts
    faults        how often each was brought about
    policies      different policies that were seen at work in samples, and how many were refused
    statuses      answers by kind and status; 0 is a client that left, -1 no answer in a minute,
                  -2 a broken connection
    requests      per second
    latency_ms    {calm, faults}: median, p99 and maximum
    tight         most calls that a minute admitted of an account with a tight limit, and how many
                  were refused
    samples       of the server each 10 s: rss (bytes), files, tasks, threads, objects
    growth        of the medians of samples from the second to the last third, in percent
    at_rest       a sample after the last request
    ledger        accounts, how calls were decided and settled, and differences: each list is
                  empty if the ledger balances
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from benchmarks.rounds import machine
from benchmarks.soak.balance import balance
from benchmarks.soak.clients import Clients, tell
from benchmarks.soak.faults import Faults, PolicyFile
from tests.servers.process import free_port
from tests.servers.redis import RedisServer

ORDINARY = 40
"""Accounts without a tight limit."""

TIGHT = 30
"""Calls a minute of the accounts with a tight limit."""

SAMPLE = 10.0
PATIENCE = 120.0
STARTING = 600.0
"""Seconds that a server may take to listen; LiteLLM's proxy imports much."""


def policy(url: str) -> dict[str, Any]:
    """Return the policy under soak: one budget of each kind."""
    return {
        "secret": secrets.token_hex(16),
        "identity": ["api_key"],
        "store": {"url": url, "workers": 1},
        "exempt": ["/health"],
        "models": {"*": {"input": 1, "output": 4}},
        "budgets": [
            {"name": "requests", "limit": "100M requests/30 days"},
            {"name": "tokens", "limit": "1B tokens/30 days"},
            {"name": "money", "limit": "1M usd/month", "window": "calendar"},
            {"name": "parallel", "limit": "64 concurrent", "on_store_error": "local"},
            {"name": "coverage", "limit": "1000 buckets/30 days", "mode": "shadow"},
            {
                "name": "tight",
                "limit": f"{TIGHT} requests/minute",
                "match": {"model": "tight"},
                "on_store_error": "local",
            },
        ],
    }


class Load(NamedTuple):
    """What is sent.

    Attributes:
        minutes: For how long.
        clients: By how many at once.
        accounts: Number of ordinary accounts, and of accounts with a tight limit.
        tight: How many of 100 requests are of those.
    """

    minutes: float
    clients: int
    accounts: tuple[int, int]
    tight: int


async def soaked(load: Load, limiter: str, directory: Path) -> dict[str, Any]:
    conf = ["appendonly yes", "appendfsync no", "auto-aof-rewrite-percentage 0"]
    with RedisServer(conf=conf, faketime=True) as redis:
        rules, port = policy(redis.url), free_port()
        counts = directory / "counts.json"
        file = PolicyFile(directory / "policy.yaml", rules)
        file.restore()
        settings = {
            "policy": str(file.path),
            "url": redis.url,
            "port": port,
            "limiter": limiter,
            "tight": TIGHT,
            "counts": str(counts),
        }
        with contextlib.ExitStack() as servers:
            if limiter == "litellm":  # a proxy, which needs a model behind it
                upstream = settings["upstream"] = free_port()
                model = {
                    "limiter": "none",
                    "port": upstream,
                    "counts": f"{counts}.model",
                }
                await _ready(
                    upstream, servers.enter_context(_server(directory / "model", settings | model))
                )
            server = servers.enter_context(_server(directory / "server", settings))
            await _ready(port, server)
            result = await _traffic(load, Faults(redis, port, file))
            server.send_signal(signal.SIGTERM)
            result["exit"] = await asyncio.to_thread(server.wait, PATIENCE)
        result["log"] = (directory / "server.log").read_text()[-4000:]
        if limiter == "querybudget":
            result["ledger"] = await balance(rules, json.loads(counts.read_text()))
        return result


@contextlib.contextmanager
def _server(name: Path, settings: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server whose settings and log are files of a name."""
    file = name.with_suffix(".json")
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "benchmarks.soak.server", str(file)]
    with name.with_suffix(".log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield server
        finally:
            server.kill()
            server.wait()


async def _traffic(load: Load, faults: Faults) -> dict[str, Any]:
    end, began = time.monotonic() + load.minutes * 60, time.monotonic()
    port = faults.port
    clients = Clients(port, load.clients, load.accounts, load.tight)
    samples: list[dict[str, Any]] = []

    def over() -> bool:
        return time.monotonic() > end

    async def sample() -> None:
        while not over():
            await asyncio.sleep(SAMPLE)
            samples.append(await tell(port, "/soak/stats"))

    await asyncio.gather(clients.run(over), faults.run(over, clients.observed), sample())
    seconds = time.monotonic() - began
    observed = clients.observed
    return {
        "faults": dict(faults.done),
        "policies": {
            "seen": len({sample.get("policy") for sample in samples}),
            "refused": samples[-1].get("refused_policies") if samples else None,
        },
        "statuses": dict(sorted(observed.statuses.items())),
        "requests": round(observed.statuses.total() / seconds, 1),
        "latency_ms": {"calm": _spread(observed.quick), "faults": _spread(observed.late)},
        "tight": {
            "most": observed.most_in_a_minute(),
            "refused": observed.statuses["tight 429"],
        },
        "growth": _growth(samples),
        "at_rest": await _at_rest(port),
        "samples": samples,
    }


async def _ready(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until and server.poll() is None:
        try:
            await tell(port, "/soak/stats")
        except (OSError, ValueError):
            await asyncio.sleep(0.1)
        else:
            return
    raise SystemExit(f"the server did not start: expected it to listen within {STARTING:.0f} s")


async def _at_rest(port: int) -> dict[str, Any]:
    """Return a sample once the outbox is empty and nothing is under way."""
    until = time.monotonic() + PATIENCE
    while True:
        stats = await tell(port, "/soak/stats")
        idle = not stats.get("outbox") and not stats.get("busy")
        if idle or time.monotonic() > until:
            return stats
        await asyncio.sleep(0.5)


def _spread(seconds: Collection[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    values = sorted(seconds)
    return {
        "median": round(median(values) * 1e3, 2),
        "p99": round(quantiles(values, n=100)[98] * 1e3, 2),
        "max": round(values[-1] * 1e3, 2),
    }


def _growth(samples: list[dict[str, Any]]) -> dict[str, float]:
    third = len(samples) // 3
    if not third:
        return {}
    middle, last = samples[third : 2 * third], samples[-third:]
    return {
        name: round(100 * (median(s[name] for s in last) / median(s[name] for s in middle) - 1), 2)
        for name in ("rss", "files", "tasks", "threads", "objects")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.soak", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument(
        "--tight", type=int, default=6, help="of 100 requests, those of accounts with a tight limit"
    )
    parser.add_argument("--tight-accounts", type=int, default=4, help="how many such accounts")
    parser.add_argument(
        "--limiter", choices=["querybudget", "slowapi", "litellm", "none"], default="querybudget"
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON is written")
    arguments = parser.parse_args()
    accounts = (ORDINARY, arguments.tight_accounts)
    load = Load(arguments.minutes, arguments.clients, accounts, arguments.tight)
    with tempfile.TemporaryDirectory(prefix="querybudget-soak-") as made:
        result = asyncio.run(soaked(load, arguments.limiter, Path(made)))
    method = {"limiter": arguments.limiter, **load._asdict(), "tight_limit": TIGHT}
    result = {"environment": machine("uvloop"), "method": method, **result}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    shown = {name: value for name, value in result.items() if name != "samples"}
    print(json.dumps(shown, indent=1))
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
