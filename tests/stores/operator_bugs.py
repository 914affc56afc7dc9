"""Stores that each break one promise to operators, and the test of the contract that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from querybudget.coverage.caller import CallerProfile
from querybudget.errors import SetupError
from querybudget.ledger import Account, Charge, Decision, Reservation, Settled
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.stores import AccountPage, AccountRecord, MemoryStore

__all__ = ["OPERATOR_BUGS"]


class ShowsAccountsWithoutTheirCalls(MemoryStore):
    async def account(self, partition: str) -> AccountRecord | None:
        record = await super().account(partition)
        if record:
            record.account.open.clear()
        return record


class SeesSettlements(MemoryStore):
    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        for partition in reservation.partitions:
            account = self._find(partition)
            if account:
                account.seen = self._clock()
        return await super().settle(reservation, amounts)


class KnowsEverybody(MemoryStore):
    async def account(self, partition: str) -> AccountRecord | None:
        record = await super().account(partition)
        return record and msgspec.structs.replace(record, known=True)


class MatchesBeginnings(MemoryStore):
    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        page = await super().accounts(cursor, limit)
        records = tuple(record for record in page.records if part in record.partition)
        return AccountPage(records, page.cursor)


class ListsByPlace(MemoryStore):
    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        first = int(cursor or 0)
        keys = [*self._known, *self._newcomers, *self._invented]
        found = [await self.account(key) for key in keys[first : first + limit]]
        more = str(first + limit) if first + limit < len(keys) else ""
        return AccountPage(tuple(record for record in found if record), more)


class BelievesEveryCursor(MemoryStore):
    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", *, begins: bool = False
    ) -> AccountPage:
        after = cursor if cursor.startswith("after") else ""
        return await super().accounts(after, limit, part, begins=begins)


class ListsItsOwnAccounts(MemoryStore):
    async def account(self, partition: str) -> AccountRecord | None:
        account, known = self._look(partition)
        return AccountRecord(partition, account, known) if account else None


class PardonsUsageToo(MemoryStore):
    async def pardon(self, partition: str) -> bool:
        pardoned = await super().pardon(partition)
        account = self._find(partition)
        if pardoned and account:
            account.windows.clear()
        return pardoned


class PardonsWithoutAWord(MemoryStore):
    """Groups do not hear of it."""

    async def pardon(self, partition: str) -> bool:
        pardoned = await super().pardon(partition)
        account = self._find(partition)
        if account and isinstance(account.profile, CallerProfile):
            account.profile.withdrawn.clear()
        return pardoned


class KeepsNamesInGroups(MemoryStore):
    async def reserve(self, charge: Charge) -> Decision:
        decision = await super().reserve(charge)
        for partition in charge.profiled[1:]:
            account: Account | None = self._find(partition)
            if account:
                account.tier = charge.profiled[0]
        return decision


class KeepsEndedOverrides(MemoryStore):
    async def overrides(self, version: str = "") -> Overrides | None:
        return self._changes.overrides(version, 0)


class ReadsThenReplacesOverrides(MemoryStore):
    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        before = dict(self._changes._entries)
        await asyncio.sleep(0)
        self._changes._entries = before
        await super().override(entry, audit)


class LogsOldestFirst(MemoryStore):
    async def audit(self, limit: int = 100) -> tuple[AuditEntry, ...]:
        return (await super().audit(limit))[::-1]


class IgnoresWhatIsTooLong(MemoryStore):
    async def override(self, entry: Override, audit: AuditEntry | None) -> None:
        try:
            await super().override(entry, audit)
        except SetupError:
            return


OPERATOR_BUGS: dict[type[MemoryStore], str] = {
    ShowsAccountsWithoutTheirCalls: "an_account_is_shown_as_it_is_kept",
    SeesSettlements: "only_an_admitted_call_is_a_last_call",
    KnowsEverybody: "a_verified_caller_is_off_probation",
    MatchesBeginnings: "accounts_are_listed_page_by_page",
    ListsByPlace: "accounts_that_stay_are_listed_while_others_come_and_go",
    BelievesEveryCursor: "a_cursor_of_another_store_is_refused",
    ListsItsOwnAccounts: "what_is_listed_is_a_copy",
    PardonsUsageToo: "a_pardon_takes_back_the_score_and_nothing_else",
    PardonsWithoutAWord: "a_pool_forgets_what_a_pardoned_member_added",
    KeepsNamesInGroups: "what_is_forgotten_is_in_no_account",
    KeepsEndedOverrides: "overrides_are_kept_until_they_end_or_are_removed",
    ReadsThenReplacesOverrides: "changes_made_at_once_are_all_kept",
    LogsOldestFirst: "the_audit_log_is_read_from_its_end",
    IgnoresWhatIsTooLong: "what_is_too_long_to_keep_is_refused",
}
