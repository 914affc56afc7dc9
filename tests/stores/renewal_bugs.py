"""Stores that each break one promise about renewals, and the test of the contract that says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from querybudget.ledger import Account, Line, Reservation, Settled
from querybudget.ledger.windows import LeaseState, State
from querybudget.stores import MemoryStore
from querybudget.units import Micros

__all__ = ["RENEWAL_BUGS"]

FOREVER = 2**62


class _Windows(MemoryStore):
    """A store whose bugs are about the windows of a reservation."""

    def windows(self, reservation: Reservation) -> Iterator[tuple[Line, State]]:
        for line in reservation.lines:
            account = self._find(line.partition)
            window = account and account.windows.get(line.quota.key)
            if window:
                yield line, window


class RenewsInWordsOnly(MemoryStore):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        return Micros(self._clock() + ttl)


class RenewsForEver(_Windows):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        expires = await super().renew(reservation, ttl)
        for _, window in self.windows(reservation):
            if isinstance(window, LeaseState):
                window.renew(reservation.id, FOREVER)
        return expires


class RenewsOnlyInTime(MemoryStore):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        if self._clock() >= reservation.expires:
            return Micros(0)
        return await super().renew(reservation, ttl)


class ForgetsTheRenewed(MemoryStore):
    """Renews leases, and forgets the reservation when it would have without."""

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        accounts = [self._find(partition) for partition in reservation.partitions]
        before = [account.open.get(reservation.id) if account else None for account in accounts]
        expires = await super().renew(reservation, ttl)
        for account, forgotten in zip(accounts, before, strict=True):
            if account and forgotten:
                account.open[reservation.id] = forgotten
        return expires


class ChargesARenewal(_Windows):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        for line, window in self.windows(reservation):
            window.charge(line.quota, 1, self._clock())
        return await super().renew(reservation, ttl)


class RenewsTheSettled(_Windows):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        for _, window in self.windows(reservation):
            if isinstance(window, LeaseState):
                window.renew(reservation.id, self._clock() + ttl)
        return await super().renew(reservation, ttl)


class RenewsAfterDays(MemoryStore):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        for partition in reservation.partitions:
            account = self._find(partition)
            if account and reservation.id in account.open:
                account.open[reservation.id] = FOREVER
        return await super().renew(reservation, ttl)


class OpensAccountsOnRenewal(MemoryStore):
    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        for partition in reservation.partitions:
            if not self._find(partition):
                self._newcomers.note(partition, Account(0, {}, {reservation.id: FOREVER}))
        return await super().renew(reservation, ttl)


class RefundsNothingOnceRenewed(MemoryStore):
    _renewed = frozenset[str]()

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        self._renewed |= {reservation.id}
        return await super().renew(reservation, ttl)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        if reservation.id in self._renewed:
            amounts = [
                max(amount, held) for amount, held in zip(amounts, reservation.held, strict=True)
            ]
        return await super().settle(reservation, amounts)


RENEWAL_BUGS: dict[type[MemoryStore], str] = {
    RenewsInWordsOnly: "a_lease_that_is_renewed_stays_held",
    RenewsForEver: "a_renewed_lease_is_free_when_its_last_renewal_expires",
    RenewsOnlyInTime: "a_lease_that_had_expired_is_held_again",
    ForgetsTheRenewed: "what_a_renewed_call_used_is_charged_in_full",
    ChargesARenewal: "renewing_charges_nothing",
    RenewsTheSettled: "what_was_settled_or_forgotten_is_not_renewed",
    RenewsAfterDays: "a_call_that_expired_more_than_a_day_ago_is_not_renewed",
    OpensAccountsOnRenewal: "the_lines_of_a_forgotten_partition_are_not_renewed",
    RefundsNothingOnceRenewed: "new_ground_of_a_renewed_call_is_refunded_if_it_fails",
}
