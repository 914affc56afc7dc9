"""Linked groups as operators see and undo them, here and through a console."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.admin import LocalAdmin
from querybudget.limiter import Limiter
from querybudget.overrides import Effect, Override
from querybudget.testing import FakeAnalyzer
from querybudget.testing.limiter import memory_limiter
from querybudget.units import Micros

RING, OTHER = "group:8a8e9907c471", "group:8a8e11112222"
POLICY: dict[str, Any] = {
    "secret": "0123456789abcdef",
    "linking": {"mode": "enforce"},
    "budgets": [
        {"name": "ring", "limit": "9 requests/day", "per": "group"},
        {"name": "breadth", "limit": "9 buckets/day"},
    ],
}
ACCOUNTS = tuple(f"{number:032x}" for number in range(5))


@pytest.fixture
async def limiter() -> Limiter:
    limiter = memory_limiter(POLICY, analyzer=FakeAnalyzer())
    for number, account in enumerate(ACCOUNTS):
        group = RING if number < 3 else OTHER
        entry = Override(
            f"link-{account}",
            account,
            group,
            Effect.LINK,
            at=Micros(number + 1),
            reason="template:4.4 timing:5.0" if number else "attribute:3.0 conduct:4.6",
        )
        await limiter.administering.override(entry, None)
    await limiter.feed.refresh()
    return limiter


@pytest.fixture
async def admin(limiter: Limiter) -> LocalAdmin:
    return LocalAdmin(limiter)


async def test_groups_are_listed_with_what_links_them(admin: LocalAdmin) -> None:
    ring, other = await admin.groups()
    assert (ring.group, ring.size, ring.since) == (RING, 3, 1)
    assert (other.group, other.size) == (OTHER, 2)
    assert ring.kinds == {"template": 2, "timing": 2, "attribute": 1, "conduct": 1}
    assert ring.accounts == ()


@pytest.mark.parametrize("name", [RING, RING[:13], RING[6:], RING[6:13]])
async def test_a_group_is_found_by_its_name_or_its_beginning(admin: LocalAdmin, name: str) -> None:
    group = await admin.group(name)
    assert [each.account for each in group.accounts] == list(ACCOUNTS[:3])
    assert group.accounts[0].reasons == {"attribute": 3.0, "conduct": 4.6}


@pytest.mark.parametrize("name", ["group:8a8e", "8a", "group:ffff", ""])
async def test_a_name_of_no_group_or_of_several_is_said_to_be_so(
    admin: LocalAdmin, name: str
) -> None:
    with pytest.raises(LookupError, match="group"):
        await admin.group(name)


async def test_an_account_is_unlinked_for_good_and_noted(
    admin: LocalAdmin, limiter: Limiter
) -> None:
    assert await admin.unlink(ACCOUNTS[0], "ada", "a school") == 1
    assert ACCOUNTS[0] not in limiter.matcher.partitions.groups
    assert (await admin.group(RING)).size == 2
    (entry,) = await admin.audit()
    assert (entry.by, entry.action, entry.account) == ("ada", "unlink", ACCOUNTS[0])
    assert entry.detail == "1 account, never to be linked again; a school"


async def test_a_whole_group_is_unlinked_with_one_note(admin: LocalAdmin, limiter: Limiter) -> None:
    assert await admin.unlink(RING, "ada") == 3
    assert set(limiter.matcher.partitions.groups.values()) == {OTHER}
    assert len(await admin.audit()) == 1


async def test_unlinking_is_taken_back_and_noted(admin: LocalAdmin, limiter: Limiter) -> None:
    await admin.unlink(ACCOUNTS[0], "ada", "a school")
    assert await admin.relink(ACCOUNTS[0], "ada", "no school") == 1
    assert limiter.matcher.partitions.groups[ACCOUNTS[0]] == RING
    assert (await admin.group(RING)).size == 3
    entry, _ = await admin.audit()
    assert (entry.by, entry.action, entry.account) == ("ada", "relink", ACCOUNTS[0])
    assert entry.detail == "1 account may be linked again; no school"
    assert await admin.relink(ACCOUNTS[0]) == 0
    assert len(await admin.audit()) == 2


async def test_a_whole_group_that_was_unlinked_is_one_again(
    admin: LocalAdmin, limiter: Limiter
) -> None:
    await admin.unlink(RING)
    await admin.unlink(ACCOUNTS[4])
    assert await admin.relink(RING) == 3
    assert (await admin.group(RING)).size == 3
    assert ACCOUNTS[4] not in limiter.matcher.partitions.groups


async def test_links_are_no_overrides_of_an_operator(admin: LocalAdmin) -> None:
    await admin.unlink(ACCOUNTS[0])
    assert (await admin.overrides()).entries == ()


async def test_who_is_forgotten_is_in_no_group_and_no_link(
    admin: LocalAdmin, limiter: Limiter
) -> None:
    await admin.forget(ACCOUNTS[0])
    known = await limiter.administering.overrides()
    assert known is not None
    assert ACCOUNTS[0] not in {entry.account for entry in known.entries}
