"""What a store's contract is tried on: a store, its clock, and short words for quotas and lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import pytest

from querybudget.coverage import BucketResponse, Observation
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores import Clock, Declares, Store
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = [
    "HOLD",
    "HOUR",
    "KINDS",
    "LARGEST",
    "RATES",
    "Bench",
    "Benched",
    "N",
    "kinds",
    "line",
    "quota_of",
    "rates",
    "seen",
    "skip_undeclared",
    "wide",
]

N = 10
HOUR = 3_600 * SECOND
HOLD = 600 * SECOND
RATES = (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR)
KINDS = (*RATES, Algorithm.LEASE)
LARGEST = 2**53 - 1
"""The largest limit that a policy can hold, in µ-units."""

rates = pytest.mark.parametrize("kind", RATES, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


def hours(now: int) -> tuple[int, int]:
    """The hour that holds a moment."""
    start = now - now % HOUR
    return start, start + HOUR


def quota_of(kind: Algorithm, limit: int = N * MICRO, name: str = "budget") -> Quota:
    """`limit` an hour, or at the same time."""
    units = {Algorithm.LEASE: Unit.CONCURRENT, Algorithm.DISTINCT: Unit.BUCKETS}
    return Quota(
        name=name,
        unit=units.get(kind, Unit.TOKENS),
        limit=limit,
        window=0 if kind is Algorithm.LEASE else HOUR,
        algorithm=kind,
        burst=limit,
        bounds=hours if kind is Algorithm.CALENDAR else None,
    )


def line(
    quota: Quota,
    amount: int = MICRO,
    *,
    minimum: int | None = None,
    partition: str = "caller",
    shadow: bool = False,
) -> Line:
    """A line of any quota but of buckets."""
    return Line(partition, quota, amount, amount if minimum is None else minimum, shadow)


def wide(
    limit: int = N,
    response: BucketResponse | None = None,
    *,
    weight: int = MICRO,
    partition: str = "caller",
    shadow: bool = False,
) -> Line:
    """A line of buckets, `limit` of them an hour."""
    quota = quota_of(Algorithm.DISTINCT, limit * MICRO, "breadth")
    return Line(partition, quota, weight, weight, shadow, response)


def seen(*cells: int) -> Observation:
    """A call whose prompts fall into `cells`."""
    coarse = cells[0] // 16 if cells else -1
    return Observation(tuple(sorted(cells)), coarse, bytes(32), ask=1)


class Benched:
    """Tests that need an empty store each."""

    def make_store(self, clock: Clock) -> Store:
        """An empty store that goes by `clock`."""
        raise NotImplementedError("a store's tests say how to make one: define make_store(clock)")

    async def empty(self, store: Store) -> None:
        """Make an empty store of one just made, where what it keeps outlives it."""

    @asynccontextmanager
    async def bench(
        self, *kept: Algorithm, atomic: bool = False, exact: bool = False
    ) -> AsyncGenerator[Bench, None]:
        """A store of its own, closed in the end.

        Args:
            kept: The kinds of window that the test needs; a store that declares not to keep one of
                them skips it.
            atomic: The test rests on all lines being charged in one step.
            exact: The test rests on waits and limits being exact.
        """
        clock = ManualClock()
        store = self.make_store(clock)
        try:
            skip_undeclared(store, kept, atomic=atomic, exact=exact)
            await self.empty(store)
            yield Bench(store, clock)
        finally:
            await store.aclose()


def skip_undeclared(store: Store, kept: Iterable[Algorithm], *, atomic: bool, exact: bool) -> None:
    """Skip the test, if it rests on a guarantee that `store` declares not to give."""
    if not isinstance(store, Declares):
        return
    given = store.guarantees
    for kind in kept:
        if kind not in given.windows:
            pytest.skip(f"declared in guarantees.windows: it keeps no {kind} windows")
    if atomic and not given.atomic:
        pytest.skip("declared in guarantees.atomic: lines are not charged in one step")
    if exact and not given.exact:
        pytest.skip("declared in guarantees.exact: waits and limits are not exact")


class Bench:
    """A store, its clock, and short words for what the promises are said with."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self._count = 0

    async def reserve(
        self,
        *lines: Line,
        price: int = MICRO,
        hold: int = HOLD,
        observation: Observation | None = None,
        profiled: Iterable[str] = (),
    ) -> Decision:
        """Ask for all lines, under a name of its own."""
        self._count += 1
        name = f"call-{self._count}"
        return await self.store.reserve(
            Charge(name, lines, hold, price, observation, tuple(profiled))
        )

    async def admitted(
        self,
        *lines: Line,
        price: int = MICRO,
        hold: int = HOLD,
        observation: Observation | None = None,
        profiled: Iterable[str] = (),
    ) -> Reservation:
        """Ask for all lines, which has to be granted."""
        decision = await self.reserve(
            *lines, price=price, hold=hold, observation=observation, profiled=profiled
        )
        assert decision.reservation, f"expected to be admitted, found {decision}"
        return decision.reservation

    async def observation(self, line: Line, *cells: int) -> None:
        """One answered call for each bucket."""
        for cell in cells:
            reservation = await self.admitted(line, observation=seen(cell))
            assert await self.settle(reservation, MICRO) is Settled.DONE

    async def settle(self, reservation: Reservation, *amounts: int) -> Settled:
        """Settle at `amounts`."""
        return await self.store.settle(reservation, amounts)

    async def left(self, quota: Quota, partition: str = "caller") -> int:
        """µ-units left."""
        return (await self.store.peek(partition, (quota,)))[0][0]
