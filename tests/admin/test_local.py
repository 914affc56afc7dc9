"""What operators do in the process of the limiter."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.admin import LocalAdmin, local_admin
from querybudget.admin.views import kind_of
from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.limiter import Limiter, Outcome
from querybudget.overrides import Effect, Override
from querybudget.policy import load_policy
from querybudget.stores import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.testing.limiter import memory_limiter
from querybudget.units import MICRO, Micros, Millionths

CHAT = "/v1/chat/completions"
POLICY = {
    "secret": "0123456789abcdef",
    "identity": ["api_key"],
    "partitions": {"org": {"claim": "org.id"}},
    "tiers": {"gold": {"when": {"claim": {"plan": "gold"}}, "scale": {"requests": 10}}},
    "budgets": [
        {"name": "own", "limit": "4 requests/minute"},
        {"name": "team", "limit": "100 requests/hour", "per": "org", "mode": "shadow"},
        {"name": "open", "limit": "9 concurrent"},
    ],
}

BREADTH = {"name": "breadth", "limit": "9 buckets/day"}


@pytest.fixture
def limiter() -> Limiter:
    return memory_limiter(POLICY)


@pytest.fixture
def admin(limiter: Limiter) -> LocalAdmin:
    return LocalAdmin(limiter)


def scope(key: str = "sk-1", org: str = "acme", plan: str = "") -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    auth = {"org": {"id": org}, "plan": plan}
    return {"type": "http", "method": "POST", "path": CHAT, "headers": headers, "auth": auth}


def key_of(limiter: Limiter, key: str = "sk-1") -> str:
    return limiter.caller_for(scope(key)).identity.key


async def call(limiter: Limiter, times: int = 1, key: str = "sk-1", **who: str) -> int:
    admitted = 0
    for _ in range(times):
        admission = await limiter.admit(scope(key, **who))
        admitted += admission.refusal is None
        await limiter.settle(admission, Outcome.ANSWERED)
    return admitted


async def test_an_account_shows_what_is_used_and_left_of_each_budget(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    await call(limiter, 3, plan="gold")
    _ = await limiter.admit(scope(plan="gold"))  # still open
    view = await admin.account(key_of(limiter))
    assert (view.kind, view.tier, view.open, view.known) == ("caller", "gold", 1, True)
    own, leases = view.budgets
    assert (own.budget, own.limit, own.used, own.remaining) == (
        "own",
        40 * MICRO,
        4 * MICRO,
        36 * MICRO,
    )
    assert (leases.budget, leases.used, leases.shadow) == ("open", MICRO, False)


async def test_accounts_of_pools_are_listed_by_their_partition(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    await call(limiter)
    listed = {view.kind: view for view in (await admin.accounts()).accounts}
    assert listed.keys() == {"caller", "org"}
    (team,) = listed["org"].budgets
    assert (team.budget, team.used, team.shadow) == ("team", MICRO, True)


async def test_a_grant_acts_at_once_is_shown_and_is_noted(
    limiter: Limiter, admin: LocalAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    assert await call(limiter, 9) == 4
    me = key_of(limiter)
    until = Micros(limiter.clock() + 3_600 * MICRO)
    made = await admin.change(
        Override("", me[:8], "own", factor=Millionths(2 * MICRO), until=until, by="ann"), "grant"
    )
    assert (made.account, bool(made.id), made.at) == (me, True, limiter.clock())
    assert await call(limiter, 9) == 4
    view = await admin.account(me)
    assert view.overrides == (made,)
    assert view.budgets[0].overridden
    (entry,) = await admin.audit()
    assert (entry.action, entry.by, entry.account) == ("grant", "ann", me)
    assert "limit x 2 until" in entry.detail
    assert f"grant {me} by 'ann': own: limit x 2" in caplog.text
    assert await admin.remove(made.id, "ann", "a mistake")
    assert not await admin.remove(made.id)
    assert await call(limiter, 9) == 0
    assert (await admin.audit())[0].detail.endswith("a mistake")


async def test_what_operators_write_is_kept_on_one_line(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    odd, plain = "ann\n\x1b[31m\u202e", "ann\\n\\x1b[31m\\u202e"
    entry = Override("", key_of(limiter), effect=Effect.BLOCK, by=odd, reason=odd)
    made = await admin.change(entry, "block")
    assert (made.by, made.reason) == (plain, plain)
    (noted,) = await admin.audit()
    assert (noted.by, noted.detail) == (plain, f"refuse every call; {plain}")


async def test_a_blocked_caller_is_refused_until_the_block_is_removed(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    made = await admin.change(Override("", key_of(limiter), effect=Effect.BLOCK), "block")
    assert await call(limiter) == 0
    assert await call(limiter, key="sk-2") == 1
    await admin.remove(made.id)
    assert await call(limiter) == 1


async def test_the_first_by_a_budget_have_used_the_largest_share(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    for number in range(1, 5):
        await call(limiter, number, f"sk-{number}", org=f"o{number}")
    expected = [key_of(limiter, f"sk-{number}") for number in (4, 3)]
    assert [view.account for view in await admin.top("own", 2)] == expected
    assert [view.account for view in await admin.top("spent", 2)] == expected
    assert len(await admin.top("seen", 100)) == 8
    assert await admin.top("score", 0) == ()
    with pytest.raises(SetupError, match="did you mean `own`"):
        await admin.top("owm")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("ab" * 16, "caller"),
        (f"org:{'cd' * 16}", "org"),
        (f"org:none:{'ab' * 16}", "no org"),
        ("org:none", "no org"),
        (f"org:none|{'ab' * 16}", "caller"),
        ("everyone", "everyone"),
    ],
)
def test_an_account_says_whose_it_is(key: str, kind: str) -> None:
    assert kind_of(key) == kind


async def test_the_first_by_score_are_those_that_can_have_one() -> None:
    budgets = [{"name": "team", "limit": "9 requests/hour", "per": "org"}, BREADTH]
    limiter = memory_limiter({**POLICY, "budgets": budgets})
    asks = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, "How are you?"),))
    await limiter.settle(await limiter.admit(scope(), asks), Outcome.ANSWERED)
    assert [view.kind for view in await LocalAdmin(limiter).top("score")] == ["caller", "org"]


async def test_a_key_is_named_by_its_beginning_if_that_is_long_enough_and_no_others(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    await call(limiter)
    me = key_of(limiter)
    assert (await admin.account(me[:8])).account == me
    for name, message in ((me[:7], "8 characters"), ("f" * 31, "no account"), ("f" * 32, "no")):
        with pytest.raises(LookupError, match=message):
            await admin.account(name)


async def test_a_beginning_that_two_keys_have_names_neither() -> None:
    class Twins(KeyedHash):
        def __call__(self, kind: str, name: str) -> str:
            return "0" * 8 + super().__call__(kind, name)[8:]

    limiter = memory_limiter(POLICY)
    limiter.rules.hashed = Twins(b"0123456789abcdef")
    await call(limiter)
    await call(limiter, key="sk-2")
    with pytest.raises(LookupError, match="more than one"):
        await LocalAdmin(limiter).account("0" * 8)


async def test_a_caller_is_pardoned_and_forgotten_with_its_overrides(
    limiter: Limiter, admin: LocalAdmin
) -> None:
    await call(limiter, 4)
    me = key_of(limiter)
    await admin.change(Override("", me, amount=MICRO), "grant")
    assert not await admin.pardon(me, "ann", "a mistake")
    assert await admin.forget(me, "ann") == 1
    with pytest.raises(LookupError):
        await admin.account(me)
    assert (await admin.overrides()).entries == ()
    did = [(entry.action, entry.detail) for entry in await admin.audit()]
    forgotten = ("forget", "1 account and 1 override")
    assert did[:3] == [forgotten, ("forget", "begun"), ("pardon", "score and stage; a mistake")]
    assert await call(limiter, 9) == 4


@pytest.mark.parametrize(
    ("entry", "action", "message"),
    [
        (Override("", "a" * 32, "owm", amount=1), "grant", "did you mean `own`"),
        (Override("", "a" * 32, "own"), "grant", "expected a limit, a factor or an amount"),
        (Override("", "a" * 32, factor=Millionths(0)), "grant", "factor above zero"),
        (Override("", "a" * 32, "own", amount=-4 * MICRO), "override", "above zero"),
        (Override("", "a" * 32, limit=1 << 60), "override", "too large to count"),
        (Override("", "a" * 32, limit=-1), "override", "limit above zero"),
        (Override("", "a" * 32, "usd", amount=1), "grant", "unit that a budget counts"),
        (Override("", "a" * 32, amount=1, until=Micros(1)), "grant", "in the future"),
        (Override("", "a" * 32, effect=Effect.BLOCK), "grant", "effect 'limit'"),
        (Override("", "a" * 32, "own", effect=Effect.BLOCK), "block", "expected no budget"),
        (Override("", "a" * 32, amount=1, effect=Effect.ALLOW), "allow", "beside 'allow'"),
        (Override("", "a" * 32), "bloc", "did you mean `block`"),
    ],
)
async def test_a_change_that_cannot_work_says_what_was_expected(
    admin: LocalAdmin, entry: Override, action: str, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        await admin.change(entry, action)
    assert await admin.audit() == ()


async def test_another_limiter_on_the_store_learns_of_a_change() -> None:
    clock = ManualClock(1)
    store = MemoryStore(clock)
    policy = load_policy(POLICY)
    one, other = (Limiter(policy, store=store, clock=clock) for _ in range(2))
    await LocalAdmin(one).change(Override("", key_of(one), effect=Effect.BLOCK), "block")
    assert await call(one) == 0
    await other.start()
    assert await call(other) == 0
    await one.aclose()
    await other.aclose()


async def test_what_an_allowed_caller_spends_is_counted_whole_and_owed_by_nobody() -> None:
    priced = {
        **POLICY,
        "models": {"m": {"input": 0, "output": 0, "request": "$1"}},
        "budgets": [
            {"name": "month", "limit": "$2/month"},
            {"name": "burst", "limit": "3 requests/minute", "window": "gcra"},
            {"name": "team", "limit": "$3/day", "per": "org"},
            {"name": "watched", "limit": "1 request/hour", "mode": "shadow"},
        ],
    }
    limiter = memory_limiter(priced)
    admin, key = LocalAdmin(limiter), key_of(limiter)
    asked = Call(Dialect.OPENAI, "chat", model="m")
    entry = Override("", key, effect=Effect.ALLOW, until=Micros(limiter.clock() + 60 * MICRO))
    await admin.change(entry, "allow")
    for _ in range(7):
        await limiter.settle(await limiter.admit(scope(), asked), Outcome.ANSWERED)
    month, burst, watched = (await admin.account(key)).budgets
    assert (month.used, month.remaining, month.apart) == (7 * MICRO, 2 * MICRO, 7 * MICRO)
    assert month.allowed
    assert (burst.used, burst.remaining, burst.share) == (7 * MICRO, 3 * MICRO, 0)
    assert watched.used == 7 * MICRO
    (team,) = [one for one in (await admin.accounts()).accounts if one.kind == "org"]
    assert (team.budgets[0].used, team.budgets[0].remaining) == (7 * MICRO, 3 * MICRO)
    (first,) = await admin.top("spent", 1)
    assert first.budgets[0].used == 7 * MICRO
    limiter.clock.advance(61)  # type: ignore[attr-defined]
    admitted = [await limiter.admit(scope(), asked) for _ in range(4)]
    assert [one.refusal is None for one in admitted] == [True, True, False, False]
    month = (await admin.account(key)).budgets[0]
    assert (month.used, month.remaining) == (9 * MICRO, 0)


async def test_top_says_how_many_accounts_it_has_read(
    limiter: Limiter, admin: LocalAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_admin, "TOLD", 2)
    for number in range(5):
        await call(limiter, key=f"sk-{number}")
    read = list[int]()
    await admin.top("calls", 1, report=read.append)
    assert read == [2, 4, 6]  # five callers, and their pool
