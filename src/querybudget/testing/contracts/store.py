"""`StoreContract`: what every store promises, as tests to inherit.

    class TestMyStore(StoreContract):
        def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

Each test makes a store of its own, expects it to be empty, and closes it. Where what it keeps
outlives it, on a server, define `empty` too. A store whose server keeps the time has to be told it
by `clock`, as all do here: no test sleeps.

A test that rests on what a store declares not to guarantee (`querybudget.stores.Declares`) is
skipped, and says so. A store that declares nothing away skips nothing; but for a promise that no
store has to give, `repeats`.
"""

from __future__ import annotations

import pytest

from querybudget.ledger import Settled
from querybudget.stores import Declares, Guarantees, Starts
from querybudget.testing.contracts.buckets import BucketContract
from querybudget.testing.contracts.coverage import ProfileContract
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
    """What every store promises. Inherit it, and say how a store is made."""

    @rates
    async def test_a_status_says_what_is_left_and_when_all_is(self, kind: Algorithm) -> None:
        """As peek does, for each line in its order."""
        async with self.bench(kind, exact=True) as bench:
            quotas = [quota_of(kind, limit * MICRO, f"{limit}") for limit in (4, 8)]
            decision = await bench.reserve(*(line(quota) for quota in quotas))
            told = tuple((status.remaining, status.reset) for status in decision.lines)
            assert told == await bench.store.peek("caller", quotas)
            assert [remaining for remaining, _ in told] == [3 * MICRO, 7 * MICRO]
            bench.clock.advance(us=max(reset for _, reset in told))
            whole = await bench.store.peek("caller", quotas)
            assert whole == ((4 * MICRO, 0), (8 * MICRO, 0)), f"{whole}"

    @kinds
    async def test_peek_of_a_stranger_finds_all_and_makes_no_account(self, kind: Algorithm) -> None:
        """What is asked about is not charged."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            assert await bench.store.peek("stranger", [quota]) == ((10 * MICRO, 0),)
            assert not await bench.store.forget("stranger"), "peek made an account"

    @kinds
    async def test_a_forgotten_account_begins_anew(self, kind: Algorithm) -> None:
        """And a settle that comes after changes nothing, and makes no account."""
        async with self.bench(kind) as bench:
            quota = quota_of(kind)
            reservation = await bench.admitted(line(quota))
            assert await bench.store.forget("caller")
            assert await bench.settle(reservation, 20 * MICRO) is Settled.REPEATED
            assert not await bench.store.forget("caller")
            assert await bench.left(quota) == 10 * MICRO

    async def test_closing_twice_does_nothing(self) -> None:
        """A store that was never used closes too."""
        async with self.bench() as bench:
            await bench.store.aclose()
            await bench.store.aclose()

    async def test_a_store_says_what_it_guarantees_and_whether_it_waits(self) -> None:
        """So that who uses it need not guess."""
        async with self.bench() as bench:
            suspends = bench.store.suspends
            assert isinstance(suspends, bool), f"`suspends` must be True or False, is {suspends!r}"
            if isinstance(bench.store, Declares):
                given = bench.store.guarantees
                assert isinstance(given, Guarantees), f"`guarantees` must be Guarantees, is {given}"
                assert given.windows, "a store that keeps no kind of window keeps nothing"
                assert given.reach in REACHES, f"`reach` must be one of {REACHES}"

    async def test_starting_twice_does_nothing(self) -> None:
        """For stores that want to be told; they can be used at once, or without."""
        async with self.bench(Algorithm.SLIDING) as bench:
            if isinstance(bench.store, Starts):
                await bench.store.start()
                await bench.admitted(line(quota_of(Algorithm.SLIDING)))
                await bench.store.start()
            else:
                await bench.admitted(line(quota_of(Algorithm.SLIDING)))
            assert await bench.left(quota_of(Algorithm.SLIDING)) == (N - 1) * MICRO
