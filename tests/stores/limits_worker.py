"""A process that asks a store for more than there is, at a signal, and prints what it got.

python -m tests.stores.limits_worker URL NAME CALLS
"""

from __future__ import annotations

import asyncio
import sys

from querybudget.ledger import Charge, Line
from querybudget.stores import open_store
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["LIMIT", "TIGHT", "WIDE"]

LIMIT = 50


def quota(name: str, limit: int) -> Quota:
    window = 3_600 * SECOND
    return Quota(name, Unit.TOKENS, limit * MICRO, window, Algorithm.SLIDING, limit * MICRO)


WIDE, TIGHT = quota("wide", 8 * LIMIT), quota("tight", LIMIT)


async def ask(url: str, name: str, calls: int) -> None:
    store = open_store(url, ManualClock())
    lines = tuple(Line("caller", quota, MICRO, MICRO) for quota in (WIDE, TIGHT))
    print("ready", flush=True)  # noqa: T201 - what the test waits for
    sys.stdin.readline()
    charges = (Charge(f"{name}-{number}", lines, 600 * SECOND) for number in range(calls))
    decisions = await asyncio.gather(*map(store.reserve, charges))
    await store.aclose()
    print(sum(decision.admitted for decision in decisions), flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], sys.argv[2], int(sys.argv[3])))
