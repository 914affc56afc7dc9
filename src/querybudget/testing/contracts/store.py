"""`StoreContract`: what every store promises, as tests to inherit.

    class TestMyStore(StoreContract):
        def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

Each test makes a store, expects it to be empty, and closes it. If accounts outlive the store, on a
server for example, define `empty` too. No test sleeps: a store must take the time from `clock`,
even if its server has a clock.

A test is skipped, with the reason, if it needs a guarantee that the store declares not to give
(`querybudget.stores.Declares`). A store that declares all guarantees skips nothing but the optional
promise `repeats`.
"""

from __future__ import annotations

import pytest

from querybudget.ledger import Settled
from querybudget.stores import Declares, Guarantees, Starts
from querybudget.testing.contracts.coverage import BucketContract, ProfileContract
from querybudget.testing.contracts.fixtures import (
    N,
    kinds,
    line,
    quota_of,
    rates,
)
from querybudget.testing.contracts.limits import LimitContract
from querybudget.testing.contracts.settling import SettleContract
from querybudget.units import MICRO, Algorithm

__all__ = ["StoreContract"]

REACHES = ("process", "host", "network")


@pytest.mark.anyio
class StoreContract(LimitContract, SettleContract, BucketContract, ProfileContract):
    """Tests of what every store promises. Inherit them, and define `make_store`."""

    @rates
    async def test_a_status_says_what_is_left_and_when_all_of_it_is(self, kind: Algorithm) -> None:
        """It says the same as `peek`, for each line, in order."""
        async with self.opened(kind, exact=True) as store:
            quotas = [quota_of(kind, limit * MICRO, f"{limit}") for limit in (4, 8)]
            decision = await store.reserve(*(line(quota) for quota in quotas))
            expected = tuple((status.remaining, status.reset) for status in decision.lines)
            assert expected == await store.inner.peek("caller", quotas)
            assert [remaining for remaining, _ in expected] == [3 * MICRO, 7 * MICRO]
            store.clock.advance(us=max(reset for _, reset in expected))
            whole = await store.inner.peek("caller", quotas)
            assert whole == ((4 * MICRO, 0), (8 * MICRO, 0)), f"{whole}"

    @kinds
    async def test_peek_of_an_unknown_partition_finds_the_whole_limit_and_makes_no_account(
        self, kind: Algorithm
    ) -> None:
        """`peek` charges nothing."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            assert await store.inner.peek("stranger", [quota]) == ((10 * MICRO, 0),)
            assert not await store.inner.forget("stranger"), "peek made an account"

    @kinds
    async def test_a_forgotten_account_starts_empty(self, kind: Algorithm) -> None:
        """A later settle changes nothing and makes no account."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            reservation = await store.admitted(line(quota))
            assert await store.inner.forget("caller")
            assert await store.settle(reservation, 20 * MICRO) is Settled.REPEATED
            assert not await store.inner.forget("caller")
            assert await store.left(quota) == 10 * MICRO

    async def test_closing_twice_does_nothing(self) -> None:
        """A store that was never used can be closed too."""
        async with self.opened() as store:
            await store.inner.aclose()
            await store.inner.aclose()

    async def test_a_store_says_what_it_guarantees_and_whether_it_waits(self) -> None:
        """Users of a store need not guess."""
        async with self.opened() as store:
            suspends = store.inner.suspends
            assert isinstance(suspends, bool), f"`suspends` must be True or False, is {suspends!r}"
            if isinstance(store.inner, Declares):
                guarantees = store.inner.guarantees
                assert isinstance(guarantees, Guarantees), (
                    f"`guarantees` must be Guarantees, is {guarantees}"
                )
                assert guarantees.windows, "a store must keep at least one kind of window"
                assert guarantees.reach in REACHES, f"`reach` must be one of {REACHES}"

    async def test_starting_twice_does_nothing(self) -> None:
        """Stores with `start` can also be used without it."""
        async with self.opened(Algorithm.SLIDING) as store:
            if isinstance(store.inner, Starts):
                await store.inner.start()
                await store.admitted(line(quota_of(Algorithm.SLIDING)))
                await store.inner.start()
            else:
                await store.admitted(line(quota_of(Algorithm.SLIDING)))
            assert await store.left(quota_of(Algorithm.SLIDING)) == (N - 1) * MICRO
