"""Decisions for these tests, made by the ledger itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from querybudget.ledger import Account, Charge, Decision, Line, reserve
from querybudget.units import MICRO, SECOND, Algorithm, Millionths, Quota, Unit

NOW = 1_764_000_000 * SECOND
MINUTE, DAY = 60 * SECOND, 86_400 * SECOND


def quota(
    name: str,
    unit: Unit,
    limit: int,
    window: int = MINUTE,
    *,
    algorithm: Algorithm = Algorithm.SLIDING,
    burst: int | None = None,
) -> Quota:
    """A quota of `limit` µ-units."""
    return Quota(name, unit, limit, window, algorithm, limit if burst is None else burst)


def line(of: Quota, amount: int, *, shadow: bool = False) -> Line:
    return Line("caller", of, amount, amount, shadow)


def decide(
    lines: Sequence[Line], *, used: Sequence[int] = (), now: int = NOW, price: int = MICRO
) -> Decision:
    """Decide on `lines`, after `used` µ-units were spent of them in turn at `NOW`."""
    accounts = {"caller": Account()}
    for number, (spent, of) in enumerate(zip(used, cycle(lines), strict=False)):
        before = Charge(f"before {number}", (line(of.quota, spent),), 900 * SECOND)
        reserve(accounts, before, NOW)
    return reserve(accounts, Charge("this", tuple(lines), 900 * SECOND, Millionths(price)), now)


RPM = quota("rpm", Unit.REQUESTS, 60 * MICRO)
TPM = quota("tpm", Unit.TOKENS, 30_000 * MICRO)
SPEND = quota("spend", Unit.USD, 50 * MICRO, 30 * DAY)
PARALLEL = quota("parallel", Unit.CONCURRENT, 2 * MICRO, 0, algorithm=Algorithm.LEASE)
OWN = frozenset({"rpm", "tpm", "spend", "parallel", "input", "output", "daily", "burst"})
