"""Budgets in buckets and capabilities, from what a call asks to what becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import UNREADABLE, Call, Channel, Dialect, Segment, Usage
from querybudget.coverage import Observation, Stage
from querybudget.errors import StoreError
from querybudget.ledger import Charge, Decision
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.limiter.partitions import NO_TEMPLATE
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.templates import ENDS
from querybudget.testing import Decisions, FakeAnalyzer, ManualClock, memory_limiter
from querybudget.units import MICRO, SECOND

CHAT = "/v1/chat/completions"
DAY = 86_400
BREADTH = {"name": "breadth", "limit": "4 buckets/30 days", "mode": "enforce"}
STAGED = {**BREADTH, "then": ["slow", "degrade", "refuse"]}
RPM = {"name": "rpm", "limit": "100 requests/minute"}
NAMES = ("coding", "mathematics")


def policy(*budgets: dict[str, Any], **settings: Any) -> dict[str, Any]:
    given = {"secret": "0123456789abcdef", "identity": ["api_key"], "budgets": list(budgets)}
    return {**given, **settings}


def chat(*said: str, **values: Any) -> Call:
    segments = tuple(Segment(Channel.SAID, text) for text in said if text)
    return Call(Dialect.OPENAI, values.pop("operation", "chat"), segments=segments, **values)


def scope(key: str, **values: Any) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    return {"type": "http", "headers": headers, "client": ("192.0.2.1", 1), **values}


async def admit(
    limiter: Limiter, call: Call | str | None, key: str = "a", path: str = CHAT, **on: Any
) -> Admission:
    asked = chat(call) if isinstance(call, str) else call
    route = limiter.route_for("POST", path)
    assert route is not None
    return await limiter.admit_call(
        limiter.caller_for(scope(key, **on)), route, "POST", path, asked
    )


async def ask(
    limiter: Limiter,
    call: Call | str | None,
    key: str = "a",
    outcome: Outcome = Outcome.ANSWERED,
    **on: Any,
) -> Admission:
    """A whole call: admitted, and settled where it was."""
    admission = await admit(limiter, call, key, **on)
    if admission.refusal is None:
        await limiter.settle(admission, outcome, Usage(1, output=2), 200)
    return admission


def left(admission: Admission, budget: str = "breadth") -> int:
    assert admission.decision is not None
    statuses = {status.line.quota.name: status for status in admission.decision.lines}
    return statuses[budget].remaining // MICRO


# -- buckets


async def test_a_caller_pays_for_new_buckets_and_nothing_for_old_ones() -> None:
    limiter = memory_limiter(policy(BREADTH), analyzer=FakeAnalyzer({"a": 1, "b": 1, "c": 2}))
    rest = [left(await ask(limiter, text)) for text in ("a", "a", "b", "c", "b")]
    assert rest == [3, 3, 3, 2, 2]


async def test_a_spent_budget_refuses_new_buckets_as_abnormal_and_admits_old_ones() -> None:
    limiter = memory_limiter(policy(BREADTH, RPM), analyzer=FakeAnalyzer())
    for number in range(4):
        assert (await ask(limiter, str(number))).refusal is None
    refused = await ask(limiter, "4")
    assert refused.refusal is Refusal.ABNORMAL
    assert refused.decision is not None
    assert refused.decision.wait > 29 * DAY * SECOND
    assert (await ask(limiter, "3")).refusal is None
    assert (await ask(limiter, "4", key="b")).refusal is None


async def test_another_budget_that_refuses_as_well_is_the_reason_given() -> None:
    tight = {"name": "rpm", "limit": "1 requests/minute"}
    one = {**BREADTH, "limit": "1 buckets/day", "price": "none"}
    limiter = memory_limiter(policy(one, tight), analyzer=FakeAnalyzer())
    await ask(limiter, "a")
    assert (await ask(limiter, "b")).refusal is Refusal.QUOTA
    assert isinstance(limiter.clock, ManualClock)
    limiter.clock.advance(60)
    assert (await ask(limiter, "b")).refusal is Refusal.ABNORMAL


async def test_a_shadow_budget_refuses_no_call_and_is_no_reason() -> None:
    shadow = {**BREADTH, "limit": "1 buckets/day", "mode": "shadow", "then": ["refuse"]}
    tight = {"name": "rpm", "limit": "2 requests/minute"}
    hooks, analyzer = [seen := Decisions()], FakeAnalyzer()
    limiter = memory_limiter(policy(shadow, tight), hooks=hooks, analyzer=analyzer)
    assert [(await ask(limiter, text)).refusal for text in "ab"] == [None, None]
    assert seen.last.shadowed == ("breadth",)
    assert seen.last.shadow_stage == "refuse"
    assert seen.last.shadow_price == 10 * MICRO
    assert seen.last.price == MICRO
    assert (await ask(limiter, "c")).refusal is Refusal.QUOTA


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REJECTED])
async def test_a_failed_call_gives_its_buckets_back(outcome: Outcome) -> None:
    limiter = memory_limiter(policy(BREADTH, RPM), analyzer=FakeAnalyzer())
    admission = await ask(limiter, "a", outcome=outcome)
    assert (left(admission), left(await admit(limiter, "b"))) == (3, 3)


async def test_a_rejected_call_s_request_stays_counted() -> None:
    limiter = memory_limiter(policy(BREADTH, RPM), analyzer=FakeAnalyzer())
    await ask(limiter, "a", outcome=Outcome.REJECTED)
    await ask(limiter, "a", outcome=Outcome.FAILED)
    assert left(await admit(limiter, "b"), "rpm") == 98


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 9), max_size=3), st.sampled_from(Outcome)), max_size=30
    )
)
def test_what_is_used_is_what_answered_calls_were_the_first_to_show(
    calls: list[tuple[list[int], Outcome]],
) -> None:
    async def play() -> None:
        analyzer = FakeAnalyzer({str(cell): cell for cell in range(10)})
        limiter = memory_limiter(
            policy({**BREADTH, "limit": "4000 buckets/day"}), analyzer=analyzer
        )
        known, used = set[int](), 0
        for cells, outcome in calls:
            texts = tuple(map(str, cells))
            await ask(limiter, chat(*texts), outcome=outcome)
            used += len(set(cells) - known) if outcome is Outcome.ANSWERED else 0
            known |= set(cells)
        assert left(await admit(limiter, "")) == 4000 - used

    asyncio.run(play())


async def test_parallel_calls_cannot_pass_a_bucket_budget_together() -> None:
    limiter = memory_limiter(policy(BREADTH), analyzer=FakeAnalyzer())
    admissions = await asyncio.gather(*(admit(limiter, str(number)) for number in range(9)))
    assert sum(admission.refusal is None for admission in admissions) == 4


async def test_every_prompt_of_an_array_takes_its_bucket() -> None:
    limiter = memory_limiter(policy(BREADTH), analyzer=FakeAnalyzer())
    call = chat("a", "b", "c", items=3)
    assert left(await ask(limiter, call)) == 1
    refused = await ask(limiter, chat(*"defgh", items=5))
    assert refused.refusal is Refusal.ABNORMAL


async def test_a_tier_scales_buckets() -> None:
    tiers = {"new": {"when": {"claim": {"age": "1"}}, "scale": {"buckets": 0.5}}}
    limiter = memory_limiter(policy(BREADTH, tiers=tiers), analyzer=FakeAnalyzer())
    new: dict[str, Any] = {"state": {"claims": {"age": "1"}}}
    found = [(await ask(limiter, text, **new)).refusal for text in "abc"]
    assert found == [None, None, Refusal.ABNORMAL]


async def test_what_follows_from_spent_buckets_is_in_the_admission() -> None:
    hooks, analyzer = [seen := Decisions()], FakeAnalyzer()
    limiter = memory_limiter(policy(STAGED, RPM), hooks=hooks, analyzer=analyzer)
    stages = [(await ask(limiter, text)).stage for text in "abcd"]
    assert stages == [Stage.NONE, Stage.NONE, Stage.NONE, Stage.SLOW]
    assert seen.last.delay > 0
    assert seen.last.price > 3 * MICRO
    assert (seen.last.stage, seen.last.strain) == ("slow", 750_000)
    seen.assert_slowed(1)
    seen.assert_priced(1, over=3)


async def test_the_price_is_paid_in_every_other_unit() -> None:
    limiter = memory_limiter(policy(STAGED, RPM), analyzer=FakeAnalyzer())
    rest = [left(await ask(limiter, text), "rpm") for text in "abcd"]
    assert rest[:3] == [99, 98, 97]
    assert rest[3] < 95


# -- who is watched


async def test_the_identity_is_profiled_first_and_then_its_pools() -> None:
    charges: list[Charge] = []

    class Noting(MemoryStore):
        async def reserve(self, charge: Charge) -> Decision:
            charges.append(charge)
            return await super().reserve(charge)

    budgets = [
        {**BREADTH, "name": "org-breadth", "per": "org"},
        BREADTH,
        {**BREADTH, "name": "everyone-breadth", "per": "everyone"},
        {**BREADTH, "name": "org-again", "per": "org"},
        RPM,
    ]
    store = Noting(clock := ManualClock())
    loaded = Policy.load(policy(*budgets, partitions={"org": {"claim": "org"}}))
    limiter = Limiter(loaded, store=store, clock=clock, analyzer=FakeAnalyzer())
    admission = await ask(limiter, "a")
    (charge,) = charges
    key = admission.identity.key
    org = charge.lines[0].partition
    assert charge.profiled == (key, org, "everyone")
    assert charge.observation == admission.observation
    assert [line.response is not None for line in charge.lines] == [True] * 4 + [False]


async def test_callers_draw_on_the_budget_of_a_template_that_two_have_or_of_all_others() -> None:
    campaign = {**BREADTH, "name": "campaign", "per": "template"}
    limiter = memory_limiter(policy(campaign), analyzer=FakeAnalyzer())
    rest = [
        left(await ask(limiter, chat(text, template=template), key), "campaign")
        for text, key, template in [
            ("one", "a", "You are a tutor"),
            ("two", "b", "You are a tutor"),
            ("three", "a", "You are a tutor"),
            ("four", "c", "You are a cook"),
            ("five", "a", ""),
            ("six", "b", ""),
        ]
    ]
    assert rest == [3, 3, 2, 2, 1, 0]


async def test_a_template_is_profiled_as_a_pool_of_its_callers() -> None:
    campaign = {**BREADTH, "name": "campaign", "per": "template"}
    limiter = memory_limiter(policy(campaign), analyzer=FakeAnalyzer())
    first = await ask(limiter, chat("one", template="You are a tutor"))
    assert first.reserved is not None
    assert first.reserved.charge.profiled == (first.identity.key, NO_TEMPLATE)
    admission = await ask(limiter, chat("one", template="You are a tutor"), "b")
    assert admission.reserved is not None
    own, *pools = admission.reserved.charge.profiled
    assert own == admission.identity.key
    assert len(pools) == ENDS
    assert all(pool.startswith("template:") and "tutor" not in pool for pool in pools)


async def test_calls_without_a_template_are_judged_by_their_members_and_others_as_a_whole() -> None:
    campaign = {"name": "campaign", "limit": "1 bucket/30 days", "score": "only"}
    limiter = memory_limiter(
        policy({**STAGED, **campaign, "per": "template"}), analyzer=FakeAnalyzer()
    )
    judged = list[bool]()
    for key, template in (("a", "You are a tutor"), ("b", "You are a tutor"), ("c", "")):
        admission = await ask(limiter, chat("one", template=template), key)
        assert admission.reserved is not None
        line = admission.reserved.charge.lines[0]
        assert line.response is not None
        judged.append(line.response.suspects is None)
    assert judged == [False, True, False]  # a template has a pool from its second caller on


async def test_callers_whose_templates_are_about_the_same_are_judged_together_too() -> None:
    told = {"Answer with care": 3, "Give careful answers": 3, "You are a cook": 4}
    campaign = {**STAGED, "name": "campaign", "limit": "1 bucket/30 days", "per": "template"}
    limiter = memory_limiter(
        policy({**campaign, "score": "only"}, {**BREADTH, "name": "sum", "per": "template"}),
        analyzer=FakeAnalyzer(told),
    )
    judged = dict[str, tuple[str, ...]]()
    for key, template in zip("abc", told, strict=True):
        admission = await ask(limiter, chat("one", template=template), key)
        assert admission.reserved is not None
        charge = admission.reserved.charge
        judged[key] = tuple(one.partition for one in charge.lines if not one.amount)
        last = charge.lines[1].response
        assert last is not None
        assert [stage for stage, _ in last.stages] == [Stage.SLOW, Stage.DEGRADE]
        assert {one.partition for one in charge.lines if one.amount} == {NO_TEMPLATE}
    assert judged["a"] == judged["b"] == (NO_TEMPLATE, "template:about:3")
    assert judged["c"] == (NO_TEMPLATE, "template:about:4")


async def test_callers_whose_templates_are_about_the_same_are_judged_by_their_members() -> None:
    campaign = {**STAGED, "name": "campaign", "limit": "1 bucket/30 days", "per": "template"}
    limiter = memory_limiter(
        policy({**campaign, "score": "only"}), analyzer=FakeAnalyzer({"Answer with care": 3})
    )
    admission = await ask(limiter, chat("one", template="Answer with care"))
    assert admission.reserved is not None
    *_, subject = admission.reserved.charge.lines
    assert subject.partition == "template:about:3"
    assert subject.response is not None
    assert subject.response.suspects is not None
    assert subject.response.suspects.alike
    assert subject.response.suspects.together
    assert Stage.REFUSE not in dict(subject.response.stages)


async def test_only_who_has_a_template_in_common_is_tested_as_of_one_application() -> None:
    tested = {**BREADTH, "suspects": {"slow": 0.1, "refuse": 0.01}}
    limiter = memory_limiter(
        policy({**tested, "name": "a", "per": "template"}, {**tested, "name": "b", "per": "tier"}),
        analyzer=FakeAnalyzer(),
    )
    alike = list[list[bool]]()
    for key, template in (("a", "You are a tutor"), ("b", "You are a tutor"), ("c", "")):
        admission = await ask(limiter, chat("one", template=template), key)
        assert admission.reserved is not None
        responses = [line.response for line in admission.reserved.charge.lines]
        suspects = [one.suspects for one in responses if one is not None]
        alike.append([one.alike for one in suspects if one is not None])
    assert alike[1][0]
    assert not any([*alike[0], alike[1][-1], *alike[2]])


async def test_a_budget_in_requests_counts_calls_without_a_template_for_their_own_caller() -> None:
    own = {"name": "own", "limit": "4 requests/day", "per": "template"}
    limiter = memory_limiter(policy(BREADTH, own), analyzer=FakeAnalyzer())
    rest = [left(await ask(limiter, chat(text), key), "own") for text, key in ("1a", "2a", "3b")]
    assert rest == [3, 2, 3]


async def test_anonymous_callers_are_profiled_together() -> None:
    known = policy(BREADTH, identity=[{"claim": "sub"}])
    limiter = memory_limiter(known, analyzer=FakeAnalyzer())
    for text in "abcd":
        assert (await ask(limiter, text)).refusal is None
    refused = await ask(limiter, "e", key="another")
    assert refused.refusal is Refusal.ABNORMAL
    assert refused.identity.key == "anonymous"


# -- capabilities


CAPABLE = {"coding": ["sort", "both"], "mathematics": ["prove", "both"]}


async def test_a_budget_of_a_capability_is_met_only_by_calls_of_it() -> None:
    budgets: list[dict[str, Any]] = [
        {"name": "code", "limit": "9 requests/minute", "match": {"capability": "coding"}},
        {"name": "two", "limit": "9 requests/minute", "match": {"capability": list(NAMES)}},
        RPM,
    ]
    limiter = memory_limiter(policy(*budgets), analyzer=FakeAnalyzer({}, CAPABLE))
    found = {
        text: [m.budget.name for m in (await ask(limiter, text)).plan.budgets]
        for text in ("sort", "prove", "both", "chatter", "sort")
    }
    assert found == {
        "sort": ["code", "two", "rpm"],
        "prove": ["two", "rpm"],
        "both": ["code", "two", "rpm"],
        "chatter": ["rpm"],
    }


async def test_a_bucket_budget_of_a_capability_counts_only_calls_of_it() -> None:
    code = {**BREADTH, "match": {"capability": ["coding"]}}
    limiter = memory_limiter(policy(code, RPM), analyzer=FakeAnalyzer({}, CAPABLE))
    assert (await ask(limiter, "prove")).plan.counts_buckets is False
    assert left(await ask(limiter, "sort")) == 3


async def test_a_new_bucket_has_the_largest_weight_of_the_calls_capabilities() -> None:
    weighted = policy(
        {**BREADTH, "limit": "20 buckets/day"},
        capabilities={"coding": 3, "mathematics": {"weight": 5}},
    )
    limiter = memory_limiter(weighted, analyzer=FakeAnalyzer({}, CAPABLE))
    rest = [left(await ask(limiter, text)) for text in ("chatter", "sort", "prove", "sort")]
    assert rest == [19, 16, 11, 11]
    assert left(await ask(limiter, "both")) == 6


async def test_the_policys_capabilities_have_the_bits_of_the_real_analyzer() -> None:
    loaded = Policy.load(policy(BREADTH, capabilities={"law": {"examples": ["May I sue?"]}}))
    limiter = memory_limiter(loaded)
    assert limiter.analyzer is not None
    assert tuple(limiter.analyzer.names) == tuple(c.name for c in loaded.capabilities)
    await limiter.aclose()


# -- when nothing is looked at


class Never:
    """An analyzer that must not be called."""

    names = ("coding",)

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        raise AssertionError("observed")

    async def aclose(self) -> None:
        raise AssertionError("closed by who does not own it")


@pytest.mark.parametrize(
    "budget",
    [
        RPM,
        {**BREADTH, "match": {"model": "gpt-*"}},
        {**BREADTH, "match": {"path": "/other"}},
        {**RPM, "match": {"capability": "coding", "tier": "trusted"}},
        {**BREADTH, "match": {"operation": "embeddings"}},
    ],
)
async def test_a_call_that_no_budget_of_buckets_applies_to_is_not_analyzed(
    budget: dict[str, Any],
) -> None:
    tiers = {"trusted": {"when": {"claim": {"plan": "pro"}}}}
    plain = {"name": "all", "limit": "9 requests/minute"}
    limiter = memory_limiter(policy(plain, budget, tiers=tiers), analyzer=Never())
    admission = await ask(limiter, chat("a", model="llama"))
    assert admission.observation is None
    await limiter.aclose()


@pytest.mark.parametrize("operation", ["count_tokens", "other", "handshake"])
async def test_a_call_that_no_model_answers_takes_no_buckets(operation: str) -> None:
    limiter = memory_limiter(policy(BREADTH, RPM), analyzer=Never())
    admission = await ask(limiter, chat("a", operation=operation))
    assert [m.budget.name for m in admission.plan.budgets] == ["rpm"]
    bare = await ask(limiter, None, path="/v1/rank")
    assert [m.budget.name for m in bare.plan.budgets] == ["rpm"]


async def test_an_unreadable_body_meets_every_budget_and_is_a_new_bucket() -> None:
    code = {**RPM, "name": "code", "match": {"capability": "coding"}}
    limiter = memory_limiter(policy(BREADTH, code), hooks=[seen := Decisions()], analyzer=Never())
    admission = await ask(limiter, chat("one body", operation=UNREADABLE))
    assert [m.budget.name for m in admission.plan.budgets] == ["breadth", "code"]
    assert not seen.last.covered
    bodies = ("one body", "another", "another")
    rest = [left(await ask(limiter, chat(text, operation=UNREADABLE))) for text in bodies]
    assert [left(admission), *rest] == [3, 3, 2, 2]
    rejected = chat("a third", operation=UNREADABLE)
    await ask(limiter, rejected, outcome=Outcome.REJECTED)
    assert left(await ask(limiter, chat("another", operation=UNREADABLE))) == 2


async def test_the_bucket_of_an_unreadable_body_depends_on_the_secret() -> None:
    found: set[tuple[int, ...]] = set()
    for secret in ("0123456789abcdef", "fedcba9876543210", "00112233445566778899"):
        limiter = memory_limiter(policy(BREADTH, secret=secret), analyzer=FakeAnalyzer())
        admission = await ask(limiter, chat("one body", operation=UNREADABLE))
        assert admission.observation is not None
        found.add(admission.observation.opaque)
    assert len(found) == 3


async def test_an_unreadable_body_of_a_sweeper_is_slowed_and_priced_all_the_same() -> None:
    limiter = memory_limiter(policy(STAGED, RPM), analyzer=FakeAnalyzer())
    for text in "abc":
        await ask(limiter, text)
    admission = await ask(limiter, chat(operation=UNREADABLE))
    assert admission.stage is Stage.SLOW
    assert admission.decision is not None
    assert admission.decision.price > MICRO


async def test_while_the_embedder_is_down_no_buckets_are_counted_and_the_event_says_so() -> None:
    analyzer = FakeAnalyzer()
    limiter = memory_limiter(policy(BREADTH), hooks=[seen := Decisions()], analyzer=analyzer)
    await ask(limiter, "a")
    analyzer.down = True
    for text in "bcdefgh":
        assert left(await ask(limiter, text)) == 3
    assert [event.covered for event in seen.events] == [True] + [False] * 7
    assert [event.novelty for event in seen.events] == [1] + [0] * 7


# -- events


async def test_an_event_has_capabilities_novelty_and_strain() -> None:
    hooks = [seen := Decisions()]
    org = {**BREADTH, "name": "org", "limit": "40 buckets/day", "per": "everyone"}
    limiter = memory_limiter(
        policy(org, BREADTH), hooks=hooks, analyzer=FakeAnalyzer({"sort": (1, 2)}, CAPABLE)
    )
    await ask(limiter, "sort", key="b")
    await ask(limiter, "sort")
    await ask(limiter, "both")
    first, second, third = seen.events
    assert (first.capabilities, first.novelty, first.strain) == (("coding",), 2, 0)
    assert (second.novelty, second.strain) == (2, 50_000)  # new to this caller, if not to all
    assert (third.capabilities, third.novelty, third.strain) == (NAMES, 1, 500_000)
    assert all(event.covered for event in seen.events)


async def test_an_event_of_a_budget_of_the_score_alone_has_no_novelty() -> None:
    pool = {"name": "pool", "limit": "1 bucket/day", "score": "only", "mode": "enforce"}
    limiter = memory_limiter(policy(pool), hooks=[seen := Decisions()], analyzer=FakeAnalyzer())
    await ask(limiter, "a")
    assert (seen.last.novelty, seen.last.covered) == (0, True)


async def test_an_event_of_a_call_that_was_not_analyzed_says_nothing_about_buckets() -> None:
    limiter = memory_limiter(policy(RPM), hooks=[seen := Decisions()])
    await ask(limiter, "a")
    event = seen.last
    assert (event.covered, event.capabilities, event.novelty, event.strain) == (False, (), 0, 0)
    assert (event.stage, event.shadow_stage, event.shadow_price) == ("none", "none", MICRO)


async def test_an_event_while_the_store_is_down_still_says_what_was_analyzed() -> None:
    class Down(MemoryStore):
        async def reserve(self, charge: Charge) -> Decision:
            raise StoreError("no server is there")

    loaded = Policy.load(policy(BREADTH))
    store = Down(clock := ManualClock())
    hooks = [seen := Decisions()]
    analyzer = FakeAnalyzer({}, CAPABLE)
    limiter = Limiter(loaded, store=store, clock=clock, hooks=hooks, analyzer=analyzer)
    admission = await ask(limiter, "sort")
    assert admission.refusal is None
    assert seen.last.verdict == "store_error"
    assert seen.last.capabilities == ("coding",)


# -- an analyzer that waits


class Waiting(FakeAnalyzer):
    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def analyze(self, call: Call, caller: str = "", /) -> Observation:
        await self.over.wait()
        return await super().analyze(call, caller)


async def test_an_analyzer_that_waits_is_awaited_before_anything_is_held() -> None:
    analyzer = Waiting()
    limiter = memory_limiter(policy(BREADTH), analyzer=analyzer)
    asking = asyncio.create_task(admit(limiter, "a"))
    while not asking.done() and not analyzer.over.is_set():
        await asyncio.sleep(0)
        assert next(limiter._names)[16:] == "1"  # no charge was named
        analyzer.over.set()
    assert left(await asking) == 3


async def test_a_call_cancelled_while_it_is_analyzed_holds_nothing() -> None:
    analyzer = Waiting()
    limiter = memory_limiter(policy(BREADTH), analyzer=analyzer)
    asking = asyncio.create_task(admit(limiter, "a"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    analyzer.over.set()
    assert left(await admit(limiter, "b")) == 3


async def test_a_limiter_closes_only_an_analyzer_of_its_own() -> None:
    limiter = memory_limiter(policy(BREADTH), analyzer=Never())
    await limiter.aclose()
    closed: list[str] = []

    class Own(FakeAnalyzer):
        async def aclose(self) -> None:
            closed.append("own")

    limiter._opened = Own()
    await limiter.aclose()
    assert closed == ["own"]
