"""Whether a limiter admits what its limit allows, and charges only what it admitted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.overhead.cases import (
    CHAT,
    FOUR,
    ONE,
    PLAIN,
    application,
    counted,
    querybudget,
)
from benchmarks.overhead.frameworks import OPTIONAL, missing
from benchmarks.overhead.measure import answer
from benchmarks.overhead.rivals import RIVALS, Limited, Make

__all__ = ["admissions", "bytes_per_identity", "import_time"]

NARROW, WIDE = 50, 500
KEY = "Bearer sk-000001"


@dataclass(frozen=True)
class Admission:
    """Result of twice as many concurrent requests as the narrower limit allows.

    Attributes:
        limits: Requests a minute and an hour.
        admitted: Answered with 200.
        over: Admitted beyond the narrower limit.
        phantom: Charged to the wider limit without having been admitted.
    """

    limits: Limited
    admitted: int
    over: int
    phantom: int | None


async def admissions() -> dict[str, list[dict[str, Any]]]:
    """Measure each limiter with one limit, and with two in either order of width."""
    makes: dict[str, Make] = {
        "querybudget": lambda app, limited: counted(limited, app),
        **RIVALS,
        **{name: make for name, (_, make, _) in OPTIONAL.items() if name not in missing()},
    }
    return {
        name: [
            asdict(await _admission(make, limited))
            for limited in ((NARROW, 0), (NARROW, WIDE), (WIDE, NARROW))
        ]
        for name, make in makes.items()
    }


async def _admission(make: Make, limited: Limited) -> Admission:
    setup = make(application(), limited)
    statuses = await asyncio.gather(*(answer(setup.app, PLAIN, 1) for _ in range(2 * NARROW)))
    admitted = statuses.count(200)
    if set(statuses) - {200, 429}:
        message = f"expected 200 and 429 only, found {sorted(set(statuses))}"
        raise AssertionError(message)
    phantom = None
    if WIDE in limited:
        phantom = (await setup.used(KEY))[limited.index(WIDE)] - admitted
    return Admission(limited, admitted, admitted - NARROW, phantom)


async def bytes_per_identity(identities: int) -> dict[str, int]:
    """Return the memory per additional caller, by tracemalloc, after two requests of each."""
    subjects = {
        "querybudget, 1 budget": (querybudget(ONE, application()), PLAIN),
        "querybudget, 4 budgets": (querybudget(FOUR, application()), CHAT),
    }
    figures = dict[str, int]()
    for name, (app, request) in subjects.items():
        await answer(app, request, 0)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2):
            for caller in range(1, identities + 1):
                await answer(app, request, caller)
        figures[name] = (tracemalloc.get_traced_memory()[0] - before) // identities
        tracemalloc.stop()
    return figures


def import_time(runs: int) -> dict[str, float]:
    """Return the median milliseconds to import, each in a new interpreter."""
    wanted = {
        "querybudget": "from querybudget import QueryBudgetMiddleware",
        "querybudget, after starlette": "from querybudget import QueryBudgetMiddleware",
        "starlette": "import starlette.applications",
        "slowapi": "import slowapi",
        "limits.aio": "import limits.aio.strategies, limits.aio.storage",
        "throttled-py": "import throttled.asyncio",
        "asgi-ratelimit": "import ratelimit",
    }
    before = {"querybudget, after starlette": "import starlette.applications"}
    samples: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(runs):
        for name, statement in wanted.items():
            samples[name].append(_import(before.get(name, "pass"), statement))
    return {name: round(median(values), 1) for name, values in samples.items()}


def _import(before: str, statement: str) -> float:
    program = (
        f"import time; {before}; begun = time.perf_counter(); {statement};"
        " print((time.perf_counter() - begun) * 1000)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return float(run.stdout)
