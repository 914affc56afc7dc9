"""`StoreContract`: what every store promises, as tests to inherit.

    class TestMyStore(StoreContract):
        def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

Each test makes a store, expects it to be empty, and closes it. If accounts outlive the store, on a
server for example, define `empty` too. No test sleeps: a store must take the time from `clock`,
even if its server has a clock.

A test is skipped, with the reason, if it needs a guarantee that the store declares not to give
(`querybudget.stores.Declares`). A store that declares all guarantees skips nothing but the optional
promises: `repeats`, and holding reservations for longer (`querybudget.stores.Renews`).
"""

from __future__ import annotations

import asyncio

import pytest

from querybudget.ledger import Settled, Verdict
from querybudget.stores import Declares, Guarantees, Starts
from querybudget.testing.contracts.administers import AdministerContract
from querybudget.testing.contracts.coverage import BucketContract
from querybudget.testing.contracts.fixtures import (
    HOUR,
    KINDS,
    LARGEST,
    N,
    kinds,
    line,
    quota_of,
    rates,
)
from querybudget.testing.contracts.profiles import ProfileContract
from querybudget.testing.contracts.renewing import RenewContract
from querybudget.testing.contracts.settling import SettleContract
from querybudget.units import MICRO, SECOND, Algorithm

REACHES = ("process", "host", "network")


@pytest.mark.anyio
class StoreContract(
    SettleContract, RenewContract, BucketContract, ProfileContract, AdministerContract
):
    """Tests of what every store promises. Inherit them, and define `make_store`."""

    @kinds
    async def test_exactly_n_of_2n_concurrent_calls_are_admitted(self, kind: Algorithm) -> None:
        async with self.opened(kind, exact=True) as store:
            calls = (store.reserve(line(quota_of(kind))) for _ in range(2 * N))
            decisions = await asyncio.gather(*calls)
            admitted = sum(decision.admitted for decision in decisions)
            assert admitted == N, f"expected {N} of {2 * N} admitted, found {admitted}"

    @kinds
    async def test_of_several_budgets_none_is_charged_for_a_refused_call(
        self, kind: Algorithm
    ) -> None:
        async with self.opened(*KINDS, atomic=True) as store:
            lines = [
                line(
                    quota_of(other, (N if other is kind else 2 * N) * MICRO, other),
                    partition=other,
                )
                for other in KINDS
            ]
            decisions = await asyncio.gather(*(store.reserve(*lines) for _ in range(2 * N)))
            admitted = sum(decision.admitted for decision in decisions)
            assert admitted == N, f"expected {N} admitted, found {admitted}"
            left = [await store.left(line.quota, line.partition) for line in lines]
            expected = [line.quota.limit - N * MICRO for line in lines]
            assert left == expected, f"expected {expected} left, found {left}"

    @rates
    async def test_a_refusal_consumes_nothing(self, kind: Algorithm) -> None:
        """Refused calls do not lengthen the wait, and they do not count later."""
        async with self.opened(kind) as store:
            quota = quota_of(kind)
            first = await store.admitted(line(quota, 8 * MICRO))
            waits = {(await store.reserve(line(quota, 3 * MICRO))).wait for _ in range(5)}
            assert len(waits) == 1, f"expected one wait, found {waits}"
            assert await store.left(quota) == 2 * MICRO
            assert await store.settle(first, 0) is Settled.DONE
            await store.admitted(line(quota, 10 * MICRO))

    @rates
    async def test_a_wait_is_exact(self, kind: Algorithm) -> None:
        """It is refused 1 µs before its wait ends, and admitted then. The longest wait counts."""
        async with self.opened(kind, Algorithm.GCRA, exact=True) as store:
            lines = (
                line(quota_of(kind), 7 * MICRO),
                line(quota_of(Algorithm.GCRA, 9 * MICRO, "even"), 7 * MICRO),
            )
            await store.admitted(*lines)
            store.clock.advance(7)
            wait = (await store.reserve(*lines)).wait
            assert wait > 1, f"expected a wait, found {wait}"
            for step in (wait // 2, wait - wait // 2 - 1):
                store.clock.advance(us=step)
                assert not (await store.reserve(*lines)).admitted, "admitted early"
            store.clock.advance(us=1)
            assert (await store.reserve(*lines)).admitted, "refused after its wait"

    @rates
    async def test_a_charge_above_the_limit_is_not_told_to_wait(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            decision = await store.reserve(line(quota_of(kind), 10 * MICRO + 1))
            assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
            decision = await store.reserve(line(quota_of(kind), 10 * MICRO))
            assert decision.admitted, "the limit itself must fit"

    @rates
    async def test_the_largest_limit_is_kept_exactly(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            quota = quota_of(kind, LARGEST)
            reservation = await store.admitted(line(quota, LARGEST - 1))
            assert await store.left(quota) == 1
            assert not (await store.reserve(line(quota, 2))).admitted
            used = LARGEST - 3
            assert await store.settle(reservation, used) is Settled.DONE
            assert await store.left(quota) == LARGEST - used

    @kinds
    async def test_partitions_are_independent(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            quota = quota_of(kind, MICRO)
            await store.admitted(line(quota, partition="one"))
            await store.admitted(line(quota, partition="two"))
            assert not (await store.reserve(line(quota, partition="one"))).admitted

    @kinds
    async def test_another_limit_keeps_what_was_used(self, kind: Algorithm) -> None:
        async with self.opened(kind) as store:
            for _ in range(3):
                await store.admitted(line(quota_of(kind)))
            assert await store.left(quota_of(kind, 4 * MICRO)) == MICRO

    @rates
    async def test_a_clock_that_goes_back_grants_nothing(self, kind: Algorithm) -> None:
        """The wait is exact then too."""
        for back in (1, HOUR, 50 * HOUR):
            async with self.opened(kind, exact=True) as store:
                quota = quota_of(kind)
                await store.admitted(line(quota, 10 * MICRO))
                store.clock.now -= back
                refused = await store.reserve(line(quota))
                assert not refused.admitted, f"going back {back} µs was granted"
                store.clock.advance(us=refused.wait - 1)
                assert not (await store.reserve(line(quota))).admitted
                store.clock.advance(us=1)
                await store.admitted(line(quota))

    async def test_what_was_used_slides_out_within_a_sixtieth_of_its_window(self) -> None:
        """It never slides out before it is one window old."""
        quota = quota_of(Algorithm.SLIDING)
        async with self.opened(Algorithm.SLIDING, exact=True) as store:
            for part in range(3):
                await store.admitted(line(quota, (part + 1) * MICRO))
                store.clock.advance(us=HOUR // 3)
            left: list[int] = []
            for _ in range(3):
                store.clock.now -= 1
                left.append(await store.left(quota))
                store.clock.advance(us=quota.slot + 1)
                left.append(await store.left(quota))
                store.clock.advance(us=HOUR // 3 - quota.slot)
            found = [amount // MICRO for amount in left]
            assert found == [4, 5, 5, 7, 7, 10], f"found {found} left"

    async def test_what_was_used_leaks_at_the_rate(self) -> None:
        quota = quota_of(Algorithm.GCRA)
        async with self.opened(Algorithm.GCRA, exact=True) as store:
            await store.admitted(line(quota, N * MICRO))
            for part in range(1, N + 1):
                store.clock.advance(us=HOUR // N)
                assert await store.left(quota) == part * MICRO
            store.clock.advance(us=HOUR)
            assert await store.left(quota) == N * MICRO, "leaking must end at empty"

    async def test_a_calendar_period_starts_fresh_and_keeps_its_own_charges(self) -> None:
        """A late refund counts for the old period; late overshoot counts for the new one."""
        quota = quota_of(Algorithm.CALENDAR)
        async with self.opened(Algorithm.CALENDAR, exact=True) as store:
            store.clock.advance(us=HOUR - 1)
            less = await store.admitted(line(quota, 5 * MICRO), hold=2 * HOUR)
            more = await store.admitted(line(quota, 5 * MICRO), hold=2 * HOUR)
            assert not (await store.reserve(line(quota))).admitted
            store.clock.advance(us=1)
            assert await store.left(quota) == N * MICRO, "a new period must start fresh"
            await store.admitted(line(quota, 4 * MICRO))
            assert await store.settle(less, 0) is Settled.DONE
            assert await store.left(quota) == 6 * MICRO, (
                "a refund of the old period was added to the new one"
            )
            assert await store.settle(more, 7 * MICRO) is Settled.DONE
            assert await store.left(quota) == 4 * MICRO, (
                "overshoot must be charged to the new period"
            )

    async def test_a_call_without_a_free_lease_is_told_to_retry_in_a_second(self) -> None:
        """When a call will end is unknown."""
        quota = quota_of(Algorithm.LEASE, MICRO)
        async with self.opened(Algorithm.LEASE) as store:
            await store.admitted(line(quota))
            refused = await store.reserve(line(quota))
            assert (refused.verdict, refused.wait) == (Verdict.WAIT, SECOND), f"found {refused}"

    @rates
    async def test_another_kind_of_window_starts_empty(self, kind: Algorithm) -> None:
        """Under the same name. The old window keeps its use, should the policy return to it."""
        others = [other for other in KINDS if other is not kind]
        async with self.opened(*KINDS) as store:
            await store.admitted(line(quota_of(kind), 4 * MICRO))
            for other in others:
                assert await store.left(quota_of(other)) == N * MICRO, f"as {other}"
            assert await store.left(quota_of(kind)) == 6 * MICRO

    @kinds
    async def test_any_text_names_a_partition(self, kind: Algorithm) -> None:
        """No two names share an account, whatever keys a store makes of them."""
        names = ["", " ", "a", "A", "a:b", "a/b", "{a}", "%s", "*", "'", '"', "\\", "ä", "a\nb"]
        names += ["a\0b", "a" * 300, "a" * 300 + "b"]
        async with self.opened(kind) as store:
            quota = quota_of(kind, 2 * MICRO)
            for name in names:
                await store.admitted(line(quota, partition=name))
            left = [await store.left(quota, name) for name in names]
            assert left == [MICRO] * len(names), f"found {left} left of {names}"
            assert await store.inner.forget("a")
            left = [await store.left(quota, name) for name in names]
            assert sum(left) == MICRO * (len(names) + 1), f"forgetting one left {left}"

    # -- Accounts ---------------------------------------------------------------------------------

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
