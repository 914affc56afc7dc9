"""What every store promises whose accounts operators can list and change. Part of `StoreContract`.

A store that is no `Administers` skips these tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

import msgspec
import pytest

from querybudget import ledger
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.observation import Observation
from querybudget.errors import SetupError
from querybudget.ledger import Account, Charge
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.stores import AccountRecord, Administers
from querybudget.testing.contracts.fixtures import (
    HOLD,
    N,
    StoreFixture,
    StoreTests,
    line,
    quota_of,
    seen,
)
from querybudget.testing.contracts.profiles import covered, swept
from querybudget.units import MICRO, Algorithm, Micros

MANY = 25
"""Accounts, more than fit on one page."""

PAGE = 7
SWEEP = 40
"""Calls of a sweep: enough to be recognised."""

MOST_PAGES = 10_000
QUOTA = quota_of(Algorithm.SLIDING)


def noted(number: int = 0, action: str = "override") -> AuditEntry:
    """Return an entry of the audit log."""
    return AuditEntry(at=Micros(number), by="operator", action=action, account="caller")


def changed(number: int, until: int = 0) -> Override:
    """Return an override."""
    return Override(
        f"override-{number}",
        "caller",
        "tokens",
        Effect.LIMIT,
        limit=MICRO,
        until=Micros(until),
        at=Micros(number),
    )


@pytest.mark.anyio
class AdministerContract(StoreTests):
    """Promises to operators: accounts, overrides and the audit log."""

    async def test_an_account_is_shown_as_it_is_kept(self) -> None:
        """With what is used, its open calls, and when and in which tier its last call was made."""
        async with self._administering() as (store, admin):
            assert await admin.account("caller") is None
            first = store.clock.now
            reservation = await store.admitted(line(QUOTA, 3 * MICRO))
            record = await _account(admin)
            assert len(record.account.open) == 1, f"expected one open call, found {record}"
            await store.settle(reservation, 2 * MICRO)
            store.clock.advance(us=5)
            charge = Charge("later", (line(QUOTA, 4 * MICRO),), HOLD, tier="gold")
            await store.inner.reserve(charge)
            record = await _account(admin)
            left = ledger.peek(record.account, (QUOTA,), store.clock.now)[0][0]
            found = (record.account.since, record.account.seen, record.account.tier, left)
            expected = (first, first + 5, "gold", 4 * MICRO)
            assert found == expected, f"expected {expected}, found {found}"

    async def test_only_an_admitted_call_is_a_last_call(self) -> None:
        """A refused call is none, nor is a settlement, a list, or another account's call."""
        async with self._administering() as (store, admin):
            charge = Charge("first", (line(QUOTA, N * MICRO),), HOLD, tier="gold")
            reservation = (await store.inner.reserve(charge)).reservation
            assert reservation, "expected to be admitted"
            at = store.clock.now
            store.clock.advance(us=7)
            assert not (await store.reserve(line(QUOTA))).admitted
            await store.admitted(line(QUOTA, partition="other"))
            await store.settle(reservation, MICRO)
            await _listed(admin)
            account = (await _account(admin)).account
            assert (account.seen, account.tier) == (at, "gold"), f"found {account}"

    async def test_a_verified_caller_is_off_probation(self) -> None:
        async with self._administering() as (store, admin):
            for name, verified in (("known", True), ("new", False)):
                charge = Charge(name, (line(QUOTA, partition=name),), HOLD, verified=verified)
                reservation = (await store.inner.reserve(charge)).reservation
                assert reservation, "expected to be admitted"
                await store.settle(reservation, MICRO)
                record = await _account(admin, name)
                assert record.known == verified, f"expected {verified}, found {record}"

    async def test_accounts_are_listed_page_by_page(self) -> None:
        """All of them, groups too. Those with a part if only they are asked for."""
        async with self._administering() as (store, admin):
            expected = {f"caller-{number}|org:{number % 3}" for number in range(MANY)}
            for name in expected:
                await store.admitted(line(QUOTA, partition=name))
            found = await _listed(admin)
            assert found.keys() == expected, f"expected {expected}, found {found.keys()}"
            expected = {name for name in expected if name.endswith("|org:1")}
            found = await _listed(admin, "org:1")
            assert found.keys() == expected, f"expected {expected}, found {found.keys()}"
            assert not await _listed(admin, "org:"), "expected only whole parts to match"
            assert not await _listed(admin, "caller-?"), "expected no pattern to match"
            for beginning, many in (("org:", MANY), ("er-1", 0), ("caller-1|", 0)):
                found = await _listed(admin, beginning, begins=True)
                assert len(found) == many, f"expected {many} of {beginning!r}, found {found.keys()}"

    async def test_accounts_that_stay_are_listed_while_others_come_and_go(self) -> None:
        async with self._administering() as (store, admin):
            stay = {f"stays-{number}" for number in range(MANY)}
            for name in sorted(stay):
                await store.admitted(line(QUOTA, partition=name))
                await store.admitted(line(QUOTA, partition=f"goes-{name}"))
            found, cursor, gone = set[str](), "", sorted(stay)
            for number in range(MOST_PAGES):
                page = await admin.accounts(cursor, PAGE)
                found.update(record.partition for record in page.records)
                cursor = page.cursor
                if not cursor:
                    break
                for name in gone[:3]:
                    assert await store.inner.forget(f"goes-{name}")
                del gone[:3]
                if gone:
                    await store.admitted(line(QUOTA, partition=f"comes-{number}"))
                    await store.admitted(line(QUOTA, partition=f"stays-{number % MANY}"))
            assert not cursor, f"expected an end, found {cursor}"
            assert stay <= found, f"expected {stay - found} too"

    async def test_a_cursor_of_another_store_is_refused(self) -> None:
        async with self._administering() as (_, admin):
            await _refused(ValueError, admin.accounts("of another store"))

    async def test_what_is_listed_is_a_copy(self) -> None:
        async with self._administering() as (store, admin):
            await store.admitted(line(QUOTA), covered(), observation=swept(1))
            for account in ((await _account(admin)).account, (await _listed(admin))["caller"]):
                assert isinstance(account.profile, CallerProfile), "expected a profile"
                account.windows.clear()
                account.profile.stages.clear()
                account.profile.calls = 99
                account.seen = 0
            account = (await _account(admin)).account
            assert account.windows, "expected windows"
            assert account.seen == store.clock.now, f"found {account.seen}"
            assert isinstance(account.profile, CallerProfile), "expected a profile"
            assert account.profile.calls == 1, f"found {account.profile.calls}"

    async def test_a_pardon_takes_back_the_score_and_nothing_else(self) -> None:
        async with self._administering(profiles=True) as (store, admin):
            assert not await admin.pardon("caller"), "expected nothing to pardon"
            profile = await _sweep(store)
            before = (await _account(admin)).account
            assert await admin.pardon("caller"), "expected something to take back"
            assert not await admin.pardon("caller"), "expected nothing to be left"
            assert profile.pardon()
            account = (await _account(admin)).account
            assert account.profile == profile, f"expected {profile}, found {account.profile}"
            assert profile.score(store.clock.now) == 0
            account.profile = before.profile
            assert account == before, f"expected {before}, found {account}"
            known = await store.admitted(covered(), observation=swept(0))
            assert known.held == (0,), "expected what was covered to stay known"

    async def test_a_pool_forgets_what_a_pardoned_member_added(self) -> None:
        """With the member's next call. Its own pardon clears all the rest."""
        async with self._administering(profiles=True) as (store, admin):
            members, group = [CallerProfile() for _ in range(8)], Group()
            for number in range(2 * SWEEP):
                await _member_calls(store, members, group, number, swept(number))
            assert group.score(store.clock.now) > 0, "expected the group to be recognised"
            for number, member in enumerate(members[:-1]):
                assert await admin.pardon(f"member-{number}") == member.pardon()
            for number in range(len(members)):
                await _member_calls(store, members, group, number, seen())
            found = (await _account(admin, "group")).account.profile
            assert found == group, f"expected {group}, found {found}"
            assert group.score(store.clock.now) == 0, "expected the pool to be pardoned too"
            assert await admin.pardon("group") == group.pardon()
            found = (await _account(admin, "group")).account.profile
            assert found == group, f"expected {group}, found {found}"

    async def test_what_is_forgotten_is_in_no_account(self) -> None:
        """What groups keep of a caller is counts, without its key."""
        async with self._administering(profiles=True) as (store, admin):
            name = "0123456789abcdef0123456789abcdef"
            partitions = (name, f"{name}|org:1", "org:1", "everyone")
            for number in range(SWEEP):
                lines = (line(QUOTA, 0, partition=part) for part in partitions[1:])
                reservation = await store.admitted(
                    covered(partition=name),
                    *lines,
                    observation=swept(number),
                    profiled=(name, "org:1", "everyone"),
                )
                await store.settle(reservation, MICRO, 0, 0, 0)
            mine = await _listed(admin, name)
            assert mine.keys() == set(partitions[:2]), f"found {mine.keys()}"
            for partition in mine:
                assert await store.inner.forget(partition)
            left = await _listed(admin)
            assert left.keys() == set(partitions[2:]), f"found {left.keys()}"
            assert name not in repr(left), f"found {left}"

    async def test_overrides_are_kept_until_they_end_or_are_removed(self) -> None:
        """In the order in which they were made. Another state has another version."""
        async with self._administering() as (store, admin):
            none = await admin.overrides()
            assert none, "expected the overrides of a store without any"
            assert not none.entries, f"expected none, found {none}"
            assert await admin.overrides(none.version) is None
            ending = changed(3, until=store.clock.now + 5)
            for entry in (ending, changed(2), changed(1)):
                await admin.override(entry, noted(entry.at))
            found = await admin.overrides(none.version)
            assert found, "expected another version"
            assert found.entries == (changed(1), changed(2), ending), f"found {found}"
            other = msgspec.structs.replace(changed(2), effect=Effect.BLOCK)
            await admin.override(other, noted())
            store.clock.advance(us=5)
            again = await admin.overrides(found.version)
            assert again, "expected another version"
            assert again.entries == (changed(1), other), f"found {again}"
            assert await admin.remove_override("override-1", noted(9, "remove"))
            assert not await admin.remove_override("override-1", noted(10, "remove"))
            last = await admin.overrides(again.version)
            assert last, "expected another version"
            assert last.entries == (other,), f"found {last}"
            log = await admin.audit()
            assert [entry.at for entry in log] == [9, 0, 1, 2, 3], f"found {log}"
            assert await admin.remove_override("override-2", None)
            unnoted = await admin.overrides(last.version)
            assert unnoted, "expected another version"
            assert not unnoted.entries, f"expected none, found {unnoted}"
            assert await admin.audit() == log
            link = msgspec.structs.replace(changed(4), effect=Effect.LINK, budget="group:1")
            await admin.override(link, None)
            linked = await admin.overrides(unnoted.version)
            assert linked, "expected another version"
            assert linked.entries == (link,), f"expected {link}, found {linked}"
            assert await admin.audit() == log

    async def test_changes_made_at_once_are_all_kept(self) -> None:
        async with self._administering() as (_, admin):
            await asyncio.gather(*(admin.override(changed(n), noted(n)) for n in range(MANY)))
            removals = [admin.remove_override(f"override-{n}", noted()) for n in range(PAGE)]
            additions = [admin.override(changed(MANY + n), noted()) for n in range(PAGE)]
            await asyncio.gather(*removals, *additions)
            found = await admin.overrides()
            assert found, "expected overrides"
            expected = tuple(changed(number) for number in range(PAGE, MANY + PAGE))
            assert found.entries == expected, f"expected {expected}, found {found}"
            assert len(await admin.audit(MANY * MANY)) == MANY + 2 * PAGE

    async def test_the_audit_log_is_read_from_its_end(self) -> None:
        async with self._administering() as (_, admin):
            assert await admin.audit() == ()
            for number in range(PAGE):
                await admin.note(noted(number, "pardon"))
            expected = tuple(noted(number, "pardon") for number in reversed(range(PAGE)))
            assert await admin.audit() == expected
            assert await admin.audit(2) == expected[:2]
            assert await admin.audit(0) == ()

    async def test_what_is_too_long_to_keep_is_refused(self) -> None:
        async with self._administering() as (_, admin):
            long = "x" * 5_000
            entry = msgspec.structs.replace(changed(1), reason=long)
            await _refused(SetupError, admin.override(entry, noted()))
            await _refused(SetupError, admin.note(msgspec.structs.replace(noted(), detail=long)))
            found = await admin.overrides()
            assert found, "expected overrides"
            assert not found.entries, f"expected none, found {found}"
            assert await admin.audit() == ()

    @asynccontextmanager
    async def _administering(
        self, *, profiles: bool = False
    ) -> AsyncGenerator[tuple[StoreFixture, Administers], None]:
        async with self.opened(Algorithm.SLIDING, exact=True, profiles=profiles) as store:
            if not isinstance(store.inner, Administers):
                pytest.skip("not promised: listing and changing accounts (`Administers`)")
            yield store, store.inner


async def _refused(error: type[Exception], answering: Awaitable[object]) -> None:
    try:
        await answering
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, found none")


async def _account(admin: Administers, partition: str = "caller") -> AccountRecord:
    record = await admin.account(partition)
    assert record, f"expected the account of {partition}, found none"
    assert record.partition == partition, f"found {record}"
    return record


async def _listed(
    admin: Administers, part: str = "", *, begins: bool = False
) -> dict[str, Account]:
    """Return all accounts by key, read page by page."""
    found, cursor = dict[str, Account](), ""
    for _ in range(MOST_PAGES):
        page = await admin.accounts(cursor, PAGE, part, begins=begins)
        found |= {record.partition: record.account for record in page.records}
        cursor = page.cursor
        if not cursor:
            return found
    raise AssertionError(f"expected an end, found {cursor}")


async def _sweep(store: StoreFixture) -> CallerProfile:
    """Sweep, and return the profile expected of it."""
    profile = CallerProfile()
    for number in range(SWEEP):
        reservation = await store.admitted(covered(), observation=swept(number))
        await store.settle(reservation, MICRO)
        profile.observe(swept(number), store.clock.now)
    assert profile.score(store.clock.now) > 0, "expected a sweep to be recognised"
    return profile


async def _member_calls(
    store: StoreFixture,
    members: list[CallerProfile],
    group: Group,
    number: int,
    shown: Observation,
) -> None:
    """Make one call of a member of a group, and keep what is expected of both."""
    who = number % len(members)
    name = f"member-{who}"
    await store.admitted(covered(partition=name), observation=shown, profiled=(name, "group"))
    change = members[who].observe(shown, store.clock.now)
    if change is not None:
        group.add(change, store.clock.now)
