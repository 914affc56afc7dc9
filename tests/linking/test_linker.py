"""The linker at work: one worker links what a store has, and every worker's budgets follow."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.errors import StoreError
from querybudget.limiter import Limiter, Outcome
from querybudget.linking import grouping
from querybudget.linking.grouping import Link, links
from querybudget.linking.lease import Lease
from querybudget.linking.linker import Linker
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.policy.model import Policy
from querybudget.stores import Store, StoreSettings, open_store
from querybudget.stores.redis import RedisStore
from querybudget.testing import ManualClock
from querybudget.testing.fake_analyzer import FakeAnalyzer
from querybudget.units import SECOND, Micros

CHAT = "/v1/chat/completions"
DAY = 24 * 3_600
POLICY: dict[str, Any] = {
    "secret": "0123456789abcdef",
    "linking": {"mode": "enforce", "established": {"age": "1 day", "calls": 1}},
    "budgets": [
        {"name": "ring", "limit": "40 requests/day", "per": "group"},
        {"name": "breadth", "limit": "4000 buckets/30 days", "then": ["slow"], "mode": "enforce"},
    ],
}


PREFIXES = (f"linking-{number}" for number in itertools.count())
KINDS = ("memory", "sqlite", "redis_server", pytest.param("redis_cluster", marks=pytest.mark.slow))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Store]:
    match request.param:
        case "memory":
            opened: Store = open_store("memory://", clock)
        case "sqlite":
            opened = open_store(f"sqlite:///{tmp_path}/accounts.db", clock)
        case server:
            url = request.getfixturevalue(server).url
            settings = StoreSettings(url, timeout=60 * SECOND, prefix=next(PREFIXES))
            opened = RedisStore(settings, clock=clock)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def workers(store: Store, clock: ManualClock, count: int = 1) -> AsyncIterator[list[Limiter]]:
    """Several limiters on one store, as several processes have them."""
    limiters = [
        Limiter(Policy.load(POLICY), store=store, clock=clock, analyzer=FakeAnalyzer())
        for _ in range(count)
    ]
    for limiter in limiters:
        await limiter.start()
    try:
        yield limiters
    finally:
        for limiter in limiters:
            await limiter.aclose()


def scope(key: str) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    return {"type": "http", "method": "POST", "path": CHAT, "headers": headers}


async def ask(limiter: Limiter, key: str, said: str = "hello", template: str = "") -> bool:
    segment = Segment(Channel.SAID, said)
    call = Call(Dialect.OPENAI, "chat", segments=(segment,), template=template)
    admission = await limiter.admit(scope(key), call)
    if admission.refusal is None:
        await limiter.settle(admission, Outcome.ANSWERED)
        if admission.settling is not None:
            await admission.settling
    return admission.refusal is None


async def met(limiter: Limiter, clock: ManualClock) -> None:
    """Let a store meet established callers, newcomers, and four accounts of one scheduler."""
    for number in range(12):
        await ask(limiter, f"old-{number}", template=f"application {number}")
    clock.advance(2 * DAY)
    for number in range(60):
        await ask(limiter, f"new-{number}", template=f"another {number}")
    draw = random.Random("minutes")
    for hour in range(24):
        clock.advance(900 * draw.randrange(1, 5))
        for number in range(4):
            await ask(limiter, f"ring-{number}", f"question {number} {hour}", "the same for all")


def key_of(limiter: Limiter, key: str) -> str:
    return limiter.caller_for(scope(key)).identity.key


async def test_linked_accounts_share_a_budget_on_all_workers(
    store: Store, clock: ManualClock
) -> None:
    async with workers(store, clock, 2) as (one, other):
        await met(one, clock)
        look = await Linker(one).look()
        assert (look.accounts, look.linked, look.groups, look.changed) == (76, 4, 1, 4)
        await other.feed.refresh()
        keys = {key_of(one, f"ring-{number}") for number in range(4)}
        for limiter in (one, other):
            groups = limiter.matcher.partitions.groups
            assert set(groups) == keys
            assert len(set(groups.values())) == 1
        clock.advance(DAY + 1)
        asked = [await ask((one, other)[number % 2], f"ring-{number % 4}") for number in range(60)]
        assert sum(asked) == 40
        assert await ask(other, "new-1")


async def test_a_second_look_writes_nothing_new_and_keeps_the_names(
    store: Store, clock: ManualClock
) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        linker = Linker(limiter)
        await linker.look()
        before = dict(limiter.matcher.partitions.groups)
        again = await linker.look()
        assert (again.linked, again.changed) == (4, 0)
        assert limiter.matcher.partitions.groups == before


async def test_a_preview_says_what_is_due_beside_the_worker_that_links_and_writes_nothing(
    store: Store, clock: ManualClock
) -> None:
    async with workers(store, clock, 2) as (one, other):
        await met(one, clock)
        settings = one.policy.linking
        assert settings is not None
        assert await Linker(one).elected(settings)
        look, due = await Linker(other).preview()
        assert (look.linked, look.groups, look.changed) == (4, 1, 4)
        assert {link.account for link in due} == {key_of(one, f"ring-{n}") for n in range(4)}
        known = await one.administering.overrides()
        assert known is None or known.entries == ()
        assert not await one.administering.audit()


async def test_links_say_why_and_the_audit_log_says_when(store: Store, clock: ManualClock) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        await Linker(limiter).look()
        known = await limiter.administering.overrides()
        assert known is not None
        assert {entry.effect for entry in known.entries} == {Effect.LINK}
        assert all("timing:" in entry.reason for entry in known.entries)
        assert all("template:" in entry.reason for entry in known.entries)
        (noted,) = await limiter.administering.audit()
        assert (noted.action, noted.by) == ("link", "linking")
        assert noted.account == known.entries[0].budget
        assert noted.detail.startswith("4 accounts: ")


async def test_an_unlinked_account_is_not_linked_again(store: Store, clock: ManualClock) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        linking = Linker(limiter)
        await linking.look()
        account = key_of(limiter, "ring-0")
        note = AuditEntry(Micros(clock.now), "ada", "unlink", account)
        await limiter.administering.override(
            Override(f"unlink-{account}", account, effect=Effect.UNLINK), note
        )
        await linking.look()
        await limiter.feed.refresh()
        assert account not in limiter.matcher.partitions.groups
        assert len(limiter.matcher.partitions.groups) == 3


async def test_an_account_that_is_forgotten_during_a_look_leaves_no_link(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        account, loop = key_of(limiter, "ring-0"), asyncio.get_running_loop()

        def found_and_forgotten(*known: Any) -> list[Link]:
            found = links(*known)
            forgetting = limiter.administering.forget(account)
            asyncio.run_coroutine_threadsafe(forgetting, loop).result(60)
            return found

        monkeypatch.setattr(grouping, "links", found_and_forgotten)
        assert (await Linker(limiter).look()).linked == 4
        assert len(limiter.matcher.partitions.groups) == 3
        assert account not in limiter.matcher.partitions.groups


async def test_two_linkers_at_once_write_each_link_once_and_agree_on_groups(
    store: Store, clock: ManualClock
) -> None:
    async with workers(store, clock, 2) as (one, other):
        await met(one, clock)
        looks = await asyncio.gather(Linker(one).look(), Linker(other).look())
        assert [look.linked for look in looks] == [4, 4]
        known = await one.administering.overrides()
        assert known is not None
        assert len({entry.account for entry in known.entries}) == len(known.entries) == 4
        assert len({entry.budget for entry in known.entries}) == 1
        assert (await Linker(other).look()).changed == 0


async def test_a_store_that_fails_during_a_look_leaves_no_link_that_the_audit_log_does_not_say(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        administering = limiter.administering
        write, written = administering.override, list[Override]()

        async def override(entry: Override, note: AuditEntry | None) -> None:
            if len(written) == 2:
                raise StoreError("it is down")
            written.append(entry)
            await write(entry, note)

        with monkeypatch.context() as patched:
            patched.setattr(administering, "override", override)
            with pytest.raises(StoreError):
                await Linker(limiter).look()
        known = await administering.overrides()
        assert known is not None
        assert len(known.entries) == 2
        assert [entry.account for entry in await administering.audit()] == [known.entries[0].budget]
        assert (await Linker(limiter).look()).changed == 2
        assert len(limiter.matcher.partitions.groups) == 4
        assert len(set(limiter.matcher.partitions.groups.values())) == 1


async def test_links_leave_operators_room_for_overrides(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        monkeypatch.setattr("querybudget.linking.linker.MOST", 3)
        for _ in range(2):
            await Linker(limiter).look()
        assert len(limiter.matcher.partitions.groups) == 3


async def test_keys_that_nobody_has_verified_are_not_looked_at(
    store: Store, clock: ManualClock
) -> None:
    async with workers(store, clock) as (limiter,):
        await ask(limiter, "real")
        call = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, "hello"),))
        for number in range(3):
            admission = await limiter.admit(scope(f"made-up-{number}"), call)
            await limiter.settle(admission, Outcome.REJECTED)
        assert (await Linker(limiter).look()).accounts == 1


async def test_one_worker_is_elected_and_another_after_it_has_gone(
    store: Store, clock: ManualClock
) -> None:
    one, other = Lease(store, clock), Lease(store, clock)
    assert await one.take(60 * SECOND)
    assert not await other.take(60 * SECOND)
    clock.advance(50)
    assert await one.take(60 * SECOND)
    clock.advance(50)
    assert not await other.take(60 * SECOND)
    await one.free()
    assert await other.take(60 * SECOND)
    clock.advance(61)  # it has died
    assert await one.take(60 * SECOND)
    assert not await other.take(60 * SECOND)


async def test_a_lease_that_was_lost_is_not_held(store: Store, clock: ManualClock) -> None:
    one, other = Lease(store, clock), Lease(store, clock)
    assert await one.take(60 * SECOND)
    clock.advance(61)
    assert await other.take(60 * SECOND)
    assert not await one.take(60 * SECOND)


async def test_a_worker_links_in_the_background_while_it_holds_the_lease(
    clock: ManualClock,
) -> None:
    paused, waits = list[float](), asyncio.Event()

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) > 1:
            waits.set()
            await asyncio.Event().wait()

    store = open_store("memory://", clock)
    async with workers(store, clock) as (limiter,):
        await met(limiter, clock)
        linker = Linker(limiter, pause)
        linker.start()
        await waits.wait()
        assert not await Lease(store, clock).take(60 * SECOND)
        await linker.stop()
        assert len(limiter.matcher.partitions.groups) == 4
        assert paused == [300.0, 300.0]
        assert await Lease(store, clock).take(60 * SECOND)
    await store.aclose()
