"""Calls on a store in Redis that is guarded as the limiter guards it, for tests that hurt it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

from querybudget.backends import StoreSettings
from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision, Line, Settled
from querybudget.resilience.guard import REST, Guard
from querybudget.resilience.health import StoreStats
from querybudget.resilience.outbox import Outbox
from querybudget.stores.redis import RedisStore
from querybudget.testing import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["HOLD", "LEASES", "LIMIT", "QUOTA", "Guarded", "admitted", "failures", "guarded"]

LIMIT = 20
HOLD = 600 * SECOND
QUOTA = Quota(
    "budget", Unit.TOKENS, LIMIT * MICRO, 3_600 * SECOND, Algorithm.SLIDING, LIMIT * MICRO
)
LEASES = Quota("parallel", Unit.CONCURRENT, MICRO, 0, Algorithm.LEASE, MICRO)

PATIENCE = 10 * SECOND
"""A time-out, µs, for tests in which nothing may be late."""

TRIES = 2_000
"""Round trips after which what does not come is taken not to come."""


class Guarded:
    """A store behind a guard. The guard's clock is a test's, which moves it by hand.

    Attributes:
        outbox: What could not be given back.
        slowest: Seconds that the slowest call took, by the loop's time.
    """

    def __init__(self, url: str, timeout: int = PATIENCE, prefix: str = "faults") -> None:
        self.clock = ManualClock()
        self.store = RedisStore(StoreSettings(url, timeout=timeout, prefix=prefix))
        self.outbox = Outbox(self.clock)
        self.guards = [self._guard(timeout)]
        self.slowest = 0.0

    @property
    def guard(self) -> Guard:
        """The guard that is asked now."""
        return self.guards[-1]

    def allow_time(self) -> None:
        """Ask through a guard for which nothing is late: the server answers again, but slowly."""
        self.guards.append(self._guard(PATIENCE))

    def _guard(self, timeout: int) -> Guard:
        stats = StoreStats(self.clock())
        return Guard(self.store, self.clock, stats, self.outbox, timeout=timeout, name="redis")

    async def call(
        self, name: str, *quotas: Quota, caller: str = "caller"
    ) -> Decision | StoreError:
        """Ask for a unit of each quota."""
        lines = tuple(Line(caller, quota, MICRO, MICRO) for quota in quotas or (QUOTA,))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        try:
            return await self.guard.reserve(Charge(name, lines, HOLD))
        except StoreError as error:
            return error
        finally:
            self.slowest = max(self.slowest, loop.time() - begin)

    def burst(self, name: str, count: int) -> list[asyncio.Task[Decision | StoreError]]:
        """Begin a number of calls at once."""
        return [asyncio.create_task(self.call(f"{name}-{number}")) for number in range(count)]

    async def calls(self, name: str, count: int) -> list[Decision | StoreError]:
        """Make a number of calls at once, each of which is answered or fails."""
        return await asyncio.gather(*self.burst(name, count))

    async def settle(self, outcome: Decision | StoreError, used: int = MICRO) -> Settled:
        """Settle an admitted call."""
        assert isinstance(outcome, Decision), f"expected a decision, found {outcome!r}"
        assert outcome.reservation, f"expected to be admitted, found {outcome}"
        return await self.guard.settle(outcome.reservation, (used,))

    async def used(self) -> int:
        """Whole units used."""
        ((left, _),) = await self.store.peek("caller", (QUOTA,))
        return LIMIT - left // MICRO

    async def comes_to(self, used: int) -> None:
        """Ask what is used until it is so much, sending what could not be given back before."""
        found = -1
        for _ in range(TRIES):
            await self.outbox.flush(self.guard)
            found = await self.used()
            if found == used:
                return
        raise AssertionError(f"expected {used} to be used, found {found}")

    async def back(self, name: str) -> Decision:
        """Call until there is an answer again, letting the guard rest in between."""
        outcome: Decision | StoreError = StoreError("never asked")
        for number in range(TRIES):
            self.rest()
            outcome = await self.call(f"{name}-{number}")
            if isinstance(outcome, Decision):
                return outcome
        raise AssertionError(f"expected an answer again, found {outcome!r}")

    def rest(self) -> None:
        """Let the guard have rested, so that it asks again."""
        self.clock.advance(us=REST)


@asynccontextmanager
async def guarded(
    url: str, patience: int = PATIENCE, prefix: str = "faults"
) -> AsyncGenerator[Guarded, None]:
    """A guarded store, closed in the end; nothing may take longer than a minute."""
    bench = Guarded(url, patience, prefix)
    try:
        async with asyncio.timeout(60):
            yield bench
    finally:
        for guard in bench.guards:
            await guard.aclose()
        await bench.store.aclose()


def admitted(outcomes: Iterable[Decision | StoreError]) -> int:
    """How many were admitted."""
    return sum(isinstance(each, Decision) and each.admitted for each in outcomes)


def failures(outcomes: Sequence[Decision | StoreError]) -> list[StoreError]:
    """Those that failed."""
    return [each for each in outcomes if isinstance(each, StoreError)]
