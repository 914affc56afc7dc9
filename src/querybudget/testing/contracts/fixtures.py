"""The store contract's fixture: a store with a clock, and short ways to make quotas and lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest

from querybudget.coverage import BucketResponse
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.observation import COARSE, FINE, Chunk, Observation
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.stores import Clock, Declares, Store
from querybudget.testing.clock import ManualClock
from querybudget.units import MICRO, SECOND, Algorithm, Bounds, Millionths, Quota, Unit

N = 10
HOUR = 3_600 * SECOND
HOLD = 600 * SECOND
RATES = (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR)
KINDS = (*RATES, Algorithm.LEASE)
PLAIN, NO_WORDS = (0,) * len(STYLE_FEATURES), bytes(WORD_BITS // 8)
LARGEST = 2**53 - 1
"""The largest limit that a policy can hold, in µ-units."""

rates = pytest.mark.parametrize("kind", RATES, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


def hours(now: int) -> tuple[int, int]:
    """Return the start and end of the hour that contains `now`."""
    start = now - now % HOUR
    return start, start + HOUR


def quota_of(
    kind: Algorithm,
    limit: int = N * MICRO,
    name: str = "budget",
    *,
    window: int = HOUR,
    burst: int = 0,
    bounds: Bounds = hours,
    unit: Unit = Unit.TOKENS,
) -> Quota:
    """Return a quota of `limit` a window, or of `limit` concurrent calls."""
    return Quota(
        name=name,
        unit=Unit.CONCURRENT if kind is Algorithm.LEASE else unit,
        limit=limit,
        window=0 if kind is Algorithm.LEASE else window,
        algorithm=kind,
        burst=burst or limit,
        bounds=bounds if kind is Algorithm.CALENDAR else None,
    )


def line(
    quota: Quota,
    amount: int = MICRO,
    *,
    minimum: int | None = None,
    partition: str = "caller",
    shadow: bool = False,
) -> Line:
    """Return a line of any quota but one of buckets."""
    return Line(partition, quota, amount, amount if minimum is None else minimum, shadow)


def wide(
    limit: int = N,
    response: BucketResponse | None = None,
    *,
    weight: int = MICRO,
    partition: str = "caller",
    shadow: bool = False,
) -> Line:
    """Return a line of `limit` buckets an hour."""
    quota = quota_of(Algorithm.SLIDING, limit * MICRO, "breadth", unit=Unit.BUCKETS)
    return Line(partition, quota, weight, weight, shadow, response)


def seen(*cells: int) -> Observation:
    """Return what a call shows whose text enters these buckets, a chunk each; below 2,048."""
    chunks = [
        Chunk(cell + 1, 2 * cell, 2 * cell // (FINE // COARSE), bytes(32), NO_WORDS, PLAIN)
        for cell in cells
    ]
    return Observation(said=tuple(chunks))


class StoreTests:
    """Tests that each need an empty store."""

    def make_store(self, clock: Clock) -> Store:
        """Return an empty store that takes the time from `clock`."""
        raise NotImplementedError("a store's tests say how to make one: define make_store(clock)")

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Return the event loop of the tests: anyio would take trio too, where it is installed."""
        return "asyncio"

    async def empty(self, store: Store) -> None:
        """Empty a store that was just made, if its accounts outlive it."""

    @asynccontextmanager
    async def opened(
        self,
        *kept: Algorithm,
        atomic: bool = False,
        exact: bool = False,
        profiles: bool = False,
    ) -> AsyncGenerator[StoreFixture, None]:
        """Open an empty store, and close it at the end.

        Args:
            kept: The kinds of window that the test needs; it is skipped if the store declares not
                to keep one of them.
            atomic: Whether the test needs all lines to be charged in one step.
            exact: Whether the test needs exact waits and limits.
            profiles: Whether the test needs profiles, as all tests of buckets do.
        """
        clock = ManualClock()
        store = self.make_store(clock)
        try:
            skip_undeclared(store, kept, atomic=atomic, exact=exact, profiles=profiles)
            await self.empty(store)
            yield StoreFixture(store, clock)
        finally:
            await store.aclose()


def skip_undeclared(
    store: Store,
    kept: Iterable[Algorithm],
    *,
    atomic: bool,
    exact: bool,
    profiles: bool = False,
) -> None:
    """Skip the test if it needs a guarantee that `store` declares not to give."""
    if not isinstance(store, Declares):
        return
    guarantees = store.guarantees
    for kind in kept:
        if kind not in guarantees.windows:
            pytest.skip(f"declared in guarantees.windows: it keeps no {kind} windows")
    if atomic and not guarantees.atomic:
        pytest.skip("declared in guarantees.atomic: lines are not charged in one step")
    if exact and not guarantees.exact:
        pytest.skip("declared in guarantees.exact: waits and limits are not exact")
    if profiles and not guarantees.profiles:
        pytest.skip("declared in guarantees.profiles: it keeps none")


class StoreFixture:
    """A store and its clock, with short methods for tests.

    Attributes:
        inner: The store under test.
        clock: The clock that it takes the time from.
    """

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.inner = store
        self.clock = clock
        self._count = 0

    async def reserve(
        self,
        *lines: Line,
        price: int = MICRO,
        hold: int = HOLD,
        observation: Observation | None = None,
        profiled: Iterable[str] = ("caller",),
        calibration: Calibration | None = None,
    ) -> Decision:
        self._count += 1
        charge = Charge(f"call-{self._count}", lines, hold, Millionths(price))
        if observation is not None:
            charge = msgspec.structs.replace(
                charge,
                observation=observation,
                profiled=tuple(profiled),
                calibration=calibration,
            )
        return await self.inner.reserve(charge)

    async def admitted(
        self,
        *lines: Line,
        price: int = MICRO,
        hold: int = HOLD,
        observation: Observation | None = None,
        profiled: Iterable[str] = ("caller",),
        calibration: Calibration | None = None,
    ) -> Reservation:
        """Reserve all lines in a new call, which must be admitted."""
        decision = await self.reserve(
            *lines,
            price=price,
            hold=hold,
            observation=observation,
            profiled=profiled,
            calibration=calibration,
        )
        assert decision.reservation, f"expected to be admitted, found {decision}"
        return decision.reservation

    async def cover(self, line: Line, *cells: int) -> None:
        """Make one answered call for each bucket."""
        for cell in cells:
            reservation = await self.admitted(line, observation=seen(cell))
            assert await self.settle(reservation, MICRO) is Settled.DONE

    async def settle(self, reservation: Reservation, *amounts: int) -> Settled:
        """Settle at `amounts`, one for each line."""
        return await self.inner.settle(reservation, amounts)

    async def left(self, quota: Quota, partition: str = "caller") -> int:
        """Return the µ-units left."""
        return (await self.inner.peek(partition, (quota,)))[0][0]
