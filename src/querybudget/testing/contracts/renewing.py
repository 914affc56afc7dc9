"""`RenewContract`: what a store promises that can hold reservations for longer.

Part of `StoreContract`. The tests are skipped for a store without `querybudget.stores.Renews`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from querybudget.ledger import GRACE, Reservation, Settled
from querybudget.stores import Renews
from querybudget.testing.contracts.fixtures import (
    HOLD,
    N,
    StoreFixture,
    StoreTests,
    kinds,
    line,
    quota_of,
    rates,
    seen,
    wide,
)
from querybudget.units import MICRO, Algorithm


@pytest.mark.anyio
class RenewContract(StoreTests):
    """Promises about calls that are open for longer than they were reserved for."""

    async def test_a_lease_that_is_renewed_stays_held(self) -> None:
        """However long its call is open. Another that is not renewed is free as before."""
        quota = quota_of(Algorithm.LEASE, 2 * MICRO)
        async with self._renewing(Algorithm.LEASE) as store:
            long = await store.admitted(line(quota))
            await store.admitted(line(quota))
            for _ in range(200):  # more than a day
                store.clock.advance(us=HOLD - 1)
                long = await _renewed(store, long)
                assert await store.left(quota) <= MICRO, "a renewed lease was free"
            assert await store.left(quota) == MICRO, "a lease was held that nobody renewed"
            assert await store.settle(long, MICRO) is Settled.DONE
            assert await store.left(quota) == 2 * MICRO

    async def test_a_renewed_lease_is_free_when_its_last_renewal_expires(self) -> None:
        """So a process that dies holds none for longer. Others keep their own time."""
        quota = quota_of(Algorithm.LEASE, 3 * MICRO)
        async with self._renewing(Algorithm.LEASE) as store:
            first = await store.admitted(line(quota))
            await store.admitted(line(quota), hold=2 * HOLD)
            store.clock.advance(us=HOLD // 2)
            await _renewed(store, first)
            for pause, left in ((HOLD - 1, 1), (1, 2), (HOLD // 2 - 1, 2), (1, 3)):
                store.clock.advance(us=pause)
                assert await store.left(quota) == left * MICRO

    async def test_a_lease_that_had_expired_is_held_again(self) -> None:
        """Its call is open, even if others have taken all leases meanwhile."""
        quota = quota_of(Algorithm.LEASE, MICRO)
        async with self._renewing(Algorithm.LEASE) as store:
            late = await store.admitted(line(quota))
            store.clock.advance(us=HOLD)
            other = await store.admitted(line(quota), hold=2 * HOLD)
            late = await _renewed(store, late)
            assert await store.left(quota) == -MICRO
            assert await store.settle(other, 0) is Settled.DONE
            assert not (await store.reserve(line(quota))).admitted
            assert await store.settle(late, 0) is Settled.DONE
            await store.admitted(line(quota))

    @rates
    async def test_what_a_renewed_call_used_is_charged_in_full(self, kind: Algorithm) -> None:
        """Days later too, and once."""
        async with self._renewing(kind) as store:
            quota = quota_of(kind)
            reservation = await store.admitted(line(quota, 2 * MICRO))
            for _ in range(2 * GRACE // HOLD):
                store.clock.advance(us=HOLD)
                reservation = await _renewed(store, reservation)
            before = await store.left(quota)
            assert await store.settle(reservation, 9 * MICRO) is Settled.DONE
            assert await store.left(quota) == before - 7 * MICRO
            assert await store.settle(reservation, 9 * MICRO) is Settled.REPEATED
            assert await store.left(quota) == before - 7 * MICRO, "charged twice"

    @rates
    async def test_renewing_charges_nothing(self, kind: Algorithm) -> None:
        async with self._renewing(kind) as store:
            quota = quota_of(kind)
            reservation = await store.admitted(line(quota, 4 * MICRO))
            for _ in range(5):
                reservation = await _renewed(store, reservation)
            assert await store.left(quota) == 6 * MICRO
            assert await store.settle(reservation, MICRO) is Settled.DONE
            assert await store.left(quota) == 9 * MICRO

    @kinds
    async def test_what_was_settled_or_forgotten_is_not_renewed(self, kind: Algorithm) -> None:
        async with self._renewing(kind) as store:
            quota = quota_of(kind)
            settled = await store.admitted(line(quota))
            assert await store.settle(settled, MICRO) is Settled.DONE
            left = await store.left(quota)
            assert await _renew(store, settled) == 0
            assert await store.left(quota) == left, "renewing made a lease"
            forgotten = await store.admitted(line(quota))
            assert await store.inner.forget("caller")
            assert await _renew(store, forgotten) == 0
            assert not await store.inner.forget("caller"), "renewing made an account"
            await store.admitted(line(quota))
            assert await _renew(store, forgotten) == 0, "the account is another one"
            assert await store.left(quota) == (N - 1) * MICRO

    async def test_a_call_that_expired_more_than_a_day_ago_is_not_renewed(self) -> None:
        async with self._renewing(Algorithm.SLIDING) as store:
            quota = quota_of(Algorithm.SLIDING)
            first = await store.admitted(line(quota))
            second = await store.admitted(line(quota))
            store.clock.advance(us=HOLD + GRACE - 1)
            assert await _renew(store, first) == store.clock.now + HOLD
            store.clock.advance(us=1)
            assert await _renew(store, second) == 0

    async def test_the_lines_of_a_forgotten_partition_are_not_renewed(self) -> None:
        async with self._renewing(Algorithm.LEASE) as store:
            quota = quota_of(Algorithm.LEASE, MICRO)
            lines = [line(quota, partition=name) for name in ("one", "two")]
            reservation = await store.admitted(*lines)
            assert await store.inner.forget("one")
            reservation = await _renewed(store, reservation)
            assert not await store.inner.forget("one"), "renewing made an account"
            assert await store.left(quota, "two") == 0
            assert await store.settle(reservation, 0, 0) is Settled.DONE

    async def test_new_ground_of_a_renewed_call_is_refunded_if_it_fails(self) -> None:
        """Even if the call was renewed late."""
        async with self._renewing(Algorithm.SLIDING, profiles=True) as store:
            covered = wide()
            for pause, cell in ((HOLD - 1, 1), (HOLD, 2)):
                reservation = await store.admitted(covered, observation=seen(cell))
                store.clock.advance(us=pause)
                reservation = await _renewed(store, reservation)
                store.clock.advance(us=HOLD - 1)
                assert await store.left(covered.quota) == (N - 1) * MICRO
                assert await store.settle(reservation, 0) is Settled.DONE
                assert await store.left(covered.quota) == N * MICRO

    @asynccontextmanager
    async def _renewing(
        self, *kept: Algorithm, profiles: bool = False
    ) -> AsyncGenerator[StoreFixture, None]:
        """Open an empty store that renews exactly, or skip the test."""
        async with self.opened(*kept, exact=True, profiles=profiles) as store:
            if not isinstance(store.inner, Renews):
                pytest.skip("not promised: holding reservations for longer (no `renew`)")
            yield store


async def _renew(store: StoreFixture, reservation: Reservation, ttl: int = HOLD) -> int:
    assert isinstance(store.inner, Renews), "only stores that renew are tested"
    return await store.inner.renew(reservation, ttl)


async def _renewed(store: StoreFixture, reservation: Reservation) -> Reservation:
    """Renew a reservation that the store must know."""
    expires, expected = await _renew(store, reservation), store.clock.now + HOLD
    assert expires == expected, f"expected to expire at {expected}, found {expires}"
    return msgspec.structs.replace(reservation, expires=expires)
