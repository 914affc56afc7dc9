"""A worker that holds a lease and then hangs, until it is killed.

python -m tests.stores.redis_worker URL
"""

from __future__ import annotations

import asyncio
import sys

from querybudget.backends import StoreSettings
from querybudget.ledger import Charge, Line
from querybudget.stores.redis import RedisStore
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["HOLD", "LINES"]

HOLD = 600 * SECOND
LEASE = Quota("parallel", Unit.CONCURRENT, MICRO, 0, Algorithm.LEASE, MICRO)
CALLS = Quota("calls", Unit.REQUESTS, 9 * MICRO, 86_400 * SECOND, Algorithm.SLIDING, 9 * MICRO)
LINES = tuple(Line("caller", quota, MICRO, MICRO) for quota in (LEASE, CALLS))


async def hold(url: str) -> None:
    store = RedisStore(StoreSettings(url, timeout=10 * SECOND, prefix="killed"))
    decision = await store.reserve(Charge("of the worker", LINES, HOLD))
    print(f"admitted {decision.admitted}", flush=True)  # noqa: T201 - what the test waits for
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1]))
