"""Groups on the path of calls: linked accounts share the budgets `per: group`."""

from __future__ import annotations

from typing import Any

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.trace import Trace
from querybudget.events import DecisionEvent
from querybudget.limiter import Limiter, Outcome
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.testing.fake_analyzer import FakeAnalyzer
from querybudget.testing.limiter import memory_limiter
from querybudget.units import Micros

CHAT = "/v1/chat/completions"
RING = "group:0123456789ab"
NOBODY = AuditEntry(Micros(1), "", "link", RING)
POLICY: dict[str, Any] = {
    "secret": "0123456789abcdef",
    "partitions": {"org": {"claim": "org.id"}},
    "linking": {"mode": "enforce", "attributes": "org"},
    "budgets": [
        {"name": "ring", "limit": "3 requests/minute", "per": "group"},
        {"name": "breadth", "limit": "99 buckets/30 days"},
    ],
}

UNLINKED = {
    "secret": POLICY["secret"],
    "partitions": POLICY["partitions"],
    "budgets": POLICY["budgets"][1:],
}


def scope(key: str, org: str = "") -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    claims = {"org": {"id": org}} if org else {}
    return {"type": "http", "method": "POST", "path": CHAT, "headers": headers, "auth": claims}


def limiter_of(policy: dict[str, Any] = POLICY) -> Limiter:
    return memory_limiter(policy, analyzer=FakeAnalyzer())


def key_of(limiter: Limiter, key: str) -> str:
    return limiter.caller_for(scope(key)).identity.key


def link(
    limiter: Limiter, *keys: str, effect: Effect = Effect.LINK, until: int = 0
) -> list[Override]:
    return [
        Override(f"{effect}-{key}", key_of(limiter, key), RING, effect, until=Micros(until))
        for key in keys
    ]


async def admitted(limiter: Limiter, key: str, times: int = 9) -> int:
    decided = [await limiter.admit(scope(key)) for _ in range(times)]
    return sum(one.refusal is None for one in decided)


async def test_linked_accounts_share_a_budget_and_others_have_their_own() -> None:
    limiter = limiter_of()
    limiter.rules.apply(link(limiter, "sk-1", "sk-2"))
    assert [await admitted(limiter, f"sk-{n}") for n in (1, 2, 3)] == [3, 0, 3]


async def test_in_shadow_a_group_is_counted_and_refused_nothing() -> None:
    limiter = limiter_of({**POLICY, "linking": {"mode": "shadow"}})
    limiter.rules.apply(link(limiter, "sk-1", "sk-2"))
    assert [await admitted(limiter, f"sk-{n}") for n in (1, 2)] == [9, 9]
    admission = await limiter.admit(scope("sk-2"))
    assert [line.partition for line in admission.lines if line.quota.name == "ring"] == [RING]
    assert admission.decision is not None
    assert admission.decision.shadowed == ("ring",)


async def test_an_account_that_is_unlinked_is_in_no_group() -> None:
    limiter = limiter_of()
    entries = link(limiter, "sk-1", "sk-2")
    limiter.rules.apply([*entries, *link(limiter, "sk-2", effect=Effect.UNLINK)])
    assert [await admitted(limiter, f"sk-{n}") for n in (1, 2)] == [3, 3]


async def test_without_linking_a_link_means_nothing() -> None:
    limiter = limiter_of(UNLINKED)
    limiter.rules.apply([*link(limiter, "sk-1"), *link(limiter, "sk-1", effect=Effect.UNLINK)])
    assert limiter.rules.overrides is None
    assert await admitted(limiter, "sk-1") == 9


async def test_a_group_can_be_blocked_as_one() -> None:
    limiter = limiter_of()
    block = Override("1", RING, effect=Effect.BLOCK)
    limiter.rules.apply([*link(limiter, "sk-1"), block])
    assert [await admitted(limiter, f"sk-{n}") for n in (1, 2)] == [0, 3]


async def test_the_event_of_a_linked_caller_names_its_group() -> None:
    events: list[DecisionEvent] = []
    limiter = memory_limiter(POLICY, analyzer=FakeAnalyzer(), hooks=[events.append])
    limiter.rules.apply(link(limiter, "sk-1"))
    for key in ("sk-1", "sk-2"):
        await limiter.settle(await limiter.admit(scope(key, "acme")), Outcome.ANSWERED)
    assert [event.partitions.get("group", "") for event in events] == [RING, ""]


async def test_a_link_ends_by_itself_while_nothing_else_changes() -> None:
    limiter = limiter_of()
    now = limiter.clock()
    async with limiter:
        for entry in link(limiter, "sk-1", "sk-2", until=now + 60_000_000):
            await limiter.administering.override(entry, NOBODY)
        await limiter.feed.refresh()
        assert [await admitted(limiter, f"sk-{n}") for n in (1, 2)] == [3, 0]
        limiter.clock.advance(61)  # type: ignore[attr-defined]
        await limiter.feed.refresh()
        assert [await admitted(limiter, f"sk-{n}") for n in (1, 2)] == [3, 3]


async def traces(policy: dict[str, Any], *callers: tuple[str, str]) -> list[Trace | None]:
    limiter, found = limiter_of(policy), list[Trace | None]()
    call = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, "a question"),))
    async with limiter:
        for caller in callers:
            await limiter.admit(scope(*caller), call)
            record = await limiter.administering.account(key_of(limiter, caller[0]))
            assert record is not None
            profile = record.account.profile
            assert isinstance(profile, CallerProfile)
            found.append(profile.trace)
    return found


async def test_profiles_keep_what_callers_declare() -> None:
    found = await traces(POLICY, ("sk-1", "acme"), ("sk-2", "acme"), ("sk-3", "none"), ("sk-4", ""))
    one, two, three, four = [trace.declared for trace in found if trace is not None]
    assert one == two
    assert len({one, three, four}) == 3
    assert four == ()


async def test_profiles_keep_nothing_for_linking_where_no_accounts_are_linked() -> None:
    assert await traces(UNLINKED, ("sk-1", "acme")) == [None]


async def test_made_up_keys_neither_accuse_a_pool_nor_hide_anybody_in_it() -> None:
    budget = {"name": "pool", "limit": "9 buckets/day", "per": "template", "score": "only"}
    limiter = limiter_of({"secret": POLICY["secret"], "budgets": [budget]})
    for outcome, expected in ((Outcome.FAILED, 0), (Outcome.REJECTED, 0), (Outcome.ANSWERED, 3)):
        for number in range(3):
            for said in ("one", "two"):
                call = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, said),))
                admission = await limiter.admit(scope(f"{outcome}-{number}"), call)
                await limiter.settle(admission, outcome)
        pool = await limiter.administering.account("template:none")
        found = pool.account.profile if pool else None
        assert (found.members if isinstance(found, Group) else 0) == expected
