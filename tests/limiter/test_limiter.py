"""The limiter without any HTTP: which budgets a call meets, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.limiter.charges import charge_names
from querybudget.policy.model import Policy
from querybudget.stores import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.testing.decisions import Decisions
from querybudget.testing.limiter import memory_limiter
from querybudget.units import MICRO, Quota

CHAT = "/v1/chat/completions"


def policy(*budgets: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"secret": "0123456789abcdef", "budgets": list(budgets), **settings}


def chat(model: str = "gpt-4o", **values: Any) -> Call:
    call = Call(Dialect.OPENAI, "chat", model=model, input_bytes=40, max_output=10)
    for name, value in values.items():
        setattr(call, name, value)
    return call


def scope(key: str = "sk-1", **values: Any) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    return {"type": "http", "headers": headers, "client": ("192.0.2.1", 1), **values}


async def ask(
    limiter: Limiter, call: Call | None = None, *, key: str = "sk-1", path: str = CHAT, **on: Any
) -> Admission:
    route = limiter.route_for("POST", path)
    assert route is not None
    return await limiter.admit_call(limiter.caller_for(scope(key, **on)), route, "POST", path, call)


async def test_a_budget_of_another_model_is_not_charged() -> None:
    limiter = memory_limiter(
        policy({"name": "big", "limit": "1/minute", "match": {"model": "gpt-*"}})
    )
    assert (await ask(limiter, chat())).refusal is None
    assert (await ask(limiter, chat())).refusal is Refusal.QUOTA
    assert (await ask(limiter, chat("llama"))).refusal is None


async def test_a_call_that_names_no_model_meets_only_budgets_of_every_model() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "named", "limit": "1/minute", "match": {"model": "gpt-*"}},
            {"name": "any", "limit": "9/minute", "match": {"model": "*"}},
        )
    )
    admission = await ask(limiter, chat(""))
    assert [m.budget.name for m in admission.plan.budgets] == ["any"]


async def test_each_pair_of_caller_and_model_has_an_account_of_its_own() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "pair", "limit": "1/minute", "per": ["identity", "model"]},
            models={"m": {"input": 1, "output": 1}, "n": {"input": 1, "output": 1}},
        )
    )
    for key, model in (("a", "m"), ("a", "n"), ("b", "m")):
        assert (await ask(limiter, chat(model), key=key)).refusal is None
    assert (await ask(limiter, chat("m"), key="a")).refusal is Refusal.QUOTA


async def test_an_organisation_shares_one_budget_and_those_without_one_may_share_another() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "org", "limit": "2/minute", "per": "org"},
            partitions={"org": {"claim": "org", "missing": "shared"}},
        )
    )
    acme: dict[str, Any] = {"state": {"claims": {"org": "acme"}}}
    assert (await ask(limiter, key="a", **acme)).refusal is None
    assert (await ask(limiter, key="b", **acme)).refusal is None
    assert (await ask(limiter, key="c", **acme)).refusal is Refusal.QUOTA
    assert [(await ask(limiter, key=key)).refusal for key in "def"] == [None, None, Refusal.QUOTA]


async def test_a_tier_scales_limits_and_a_budgets_name_takes_precedence_over_its_unit() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "rpm", "limit": "2/minute"},
            {"name": "rph", "limit": "100/hour"},
            tiers={
                "trusted": {
                    "when": {"claim": {"plan": "pro"}},
                    "scale": {"rpm": 2, "requests": 3},
                }
            },
        )
    )
    admission = await ask(limiter, state={"claims": {"plan": "pro"}})
    assert admission.tier == "trusted"
    assert [m.quota.limit for m in admission.plan.budgets] == [4 * MICRO, 300 * MICRO]
    assert [m.quota.limit for m in (await ask(limiter, key="b")).plan.budgets] == [
        2 * MICRO,
        100 * MICRO,
    ]


async def test_a_model_without_a_price_is_refused_by_money_and_charges_nothing() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "spend", "limit": "1 usd/day"},
            {"name": "rpm", "limit": "1/minute"},
            models={"gpt-*": {"input": 1, "output": 1}},
        )
    )
    assert (await ask(limiter, chat("llama"))).refusal is Refusal.UNPRICED
    assert (await ask(limiter, chat())).refusal is None


async def test_a_model_without_a_price_is_free_where_the_policy_says_so() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "spend", "limit": "1 usd/day"},
            models={"gpt-*": {"input": 1, "output": 1}},
            unpriced="free",
        )
    )
    assert (await ask(limiter, chat("llama"))).refusal is None


async def test_what_was_held_is_replaced_by_what_was_used() -> None:
    limiter = memory_limiter(policy({"name": "tokens", "limit": "100 tokens/day"}))
    admission = await ask(limiter, chat(max_output=80))
    assert (await ask(limiter, chat(max_output=80))).refusal is Refusal.QUOTA
    await limiter.settle(admission, Outcome.ANSWERED, Usage(input=10, output=5), 200)
    decision = (await ask(limiter, chat(max_output=20))).decision
    assert decision is not None
    # The estimate has come down to what this caller used.
    assert decision.lines[0].remaining < (100 - 15) * MICRO


@pytest.mark.parametrize(
    ("outcome", "requests_left", "tokens_left"),
    [(Outcome.ANSWERED, 9, 85), (Outcome.REJECTED, 9, 100), (Outcome.FAILED, 10, 100)],
)
async def test_what_is_given_back_depends_on_how_the_call_ended(
    outcome: Outcome, requests_left: int, tokens_left: int
) -> None:
    limiter = memory_limiter(
        policy({"name": "rpm", "limit": "10/minute"}, {"name": "tokens", "limit": "100 tokens/day"})
    )
    admission = await ask(limiter, chat())
    await limiter.settle(admission, outcome, Usage(input=10, output=5), 200)
    quotas = [m.quota for m in admission.plan.budgets]
    left = await limiter.store.peek(admission.identity.key, quotas)
    assert [remaining // MICRO for remaining, _ in left] == [requests_left, tokens_left]


async def test_settling_twice_changes_nothing() -> None:
    seen = Decisions()
    limiter = memory_limiter(policy({"name": "t", "limit": "100 tokens/day"}), hooks=[seen])
    admission = await ask(limiter, chat())
    for _ in range(2):
        await limiter.settle(admission, Outcome.ANSWERED, Usage(input=10, output=5), 200)
    assert len(seen) == 1


async def test_a_shadow_budget_refuses_no_call_and_says_which_it_would_have() -> None:
    seen = Decisions()
    limiter = memory_limiter(
        policy({"name": "rpm", "limit": "1/minute", "mode": "shadow"}), hooks=[seen]
    )
    for _ in range(2):
        admission = await ask(limiter)
        await limiter.settle(admission, Outcome.ANSWERED, Usage(), 200)
    seen.assert_admitted(2)
    assert [event.shadowed for event in seen.events] == [(), ("rpm",)]


async def test_an_event_describes_a_call_from_decision_to_settlement() -> None:
    seen, clock = Decisions(), ManualClock()
    limiter = memory_limiter(
        policy({"name": "t", "limit": "100 tokens/day"}), clock=clock, hooks=[seen]
    )
    admission = await ask(limiter, chat())
    clock.advance(2)
    await limiter.settle(admission, Outcome.ANSWERED, Usage(input=10, output=5), 200)
    event = seen.last
    assert (event.verdict, event.settlement, event.status) == ("admit", "done", 200)
    assert (event.duration, event.model, event.operation) == (2_000_000, "gpt-4o", "chat")
    assert event.usage == Usage(input=10, output=5)
    assert event.expected == Usage(input=10, output=10)
    assert "sk-1" not in repr(event)


async def test_a_hook_that_fails_harms_neither_the_call_nor_other_hooks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: object) -> None:
        raise RuntimeError("broken")

    seen = Decisions()
    limiter = memory_limiter(policy({"name": "rpm", "limit": "9/minute"}), hooks=[broken, seen])
    admission = await ask(limiter)
    await limiter.settle(admission, Outcome.ANSWERED, Usage(), 200)
    seen.assert_admitted(1)
    assert "a hook failed" in caplog.text


class Down:
    """A store that cannot answer."""

    suspends = False

    async def reserve(self, charge: Charge, /) -> Decision:
        raise StoreError("no route to store")

    async def settle(self, reservation: Reservation, amounts: Sequence[int], /) -> Settled:
        raise StoreError("no route to store")

    async def peek(self, partition: str, quotas: Sequence[Quota], /) -> tuple[tuple[int, int], ...]:
        raise StoreError("no route to store")

    async def forget(self, partition: str, /) -> bool:
        raise StoreError("no route to store")

    async def aclose(self) -> None:
        raise StoreError("no route to store")


@pytest.mark.parametrize(
    ("word", "refusal"), [("allow", None), ("deny", Refusal.STORE)], ids=["allow", "deny"]
)
async def test_while_the_store_is_down_each_budget_does_what_its_policy_says(
    word: str, refusal: Refusal | None
) -> None:
    seen = Decisions()
    rules = Policy.load(policy({"name": "rpm", "limit": "1/minute", "on_store_error": word}))
    limiter = Limiter(rules, store=Down(), clock=ManualClock(), hooks=[seen])
    admission = await ask(limiter)
    assert admission.refusal is refusal
    if refusal is None:
        await limiter.settle(admission, Outcome.ANSWERED, Usage(), 200)
        assert seen.last.settlement == "failed"
    assert seen.last.verdict == "store_error"


async def test_a_store_given_as_an_object_is_not_closed() -> None:
    store = MemoryStore(ManualClock())
    rules = Policy.load(policy({"name": "rpm", "limit": "9/minute"}))
    limiter = Limiter(rules, store=store, clock=ManualClock())
    admission = await ask(limiter)
    await limiter.settle(admission, Outcome.ANSWERED, Usage(), 200)
    await limiter.aclose()
    assert len(store) == 1


async def test_a_path_that_no_budget_applies_to_has_no_route() -> None:
    limiter = memory_limiter(
        policy({"name": "rpm", "limit": "1/minute", "match": {"path": "/v1/*"}})
    )
    assert limiter.route_for("GET", "/") is None
    assert limiter.route_for("GET", "/health") is None
    assert limiter.route_for("GET", "/v1/models") is not None


async def test_a_body_that_cannot_be_read_escapes_no_budget_of_its_path() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "named", "limit": "1/minute", "match": {"model": "gpt-*", "stream": True}},
            {"name": "spend", "limit": "1 usd/day"},
            models={
                "cheap": {"input": 1, "output": 1},
                "dear": {"input": 1, "output": 1_000_000},
            },
        )
    )
    odd = Call(Dialect.OPENAI, "unreadable", input_bytes=4)
    admission = await ask(limiter, odd)
    assert [m.budget.name for m in admission.plan.budgets] == ["named", "spend"]
    assert admission.plan.budgets[1].cost_function(odd, Usage(output=1)) == MICRO
    assert (await ask(limiter, odd)).refusal is Refusal.QUOTA


async def test_figures_are_shown_only_of_accounts_that_are_the_callers_own() -> None:
    limiter = memory_limiter(
        policy(
            {"name": "own", "limit": "9/minute"},
            {"name": "everyone", "limit": "9/minute", "per": "everyone"},
            identity=["api_key"],
        )
    )
    assert (await ask(limiter)).plan.private == {"own"}
    route = limiter.route_for("GET", "/")
    assert route is not None
    nameless = limiter.caller_for({"type": "http", "headers": []})
    assert (await limiter.admit_call(nameless, route, "GET", "/")).plan.private == set()


async def test_tokens_and_money_do_not_apply_where_no_model_is_asked() -> None:
    limiter = memory_limiter(
        policy({"name": "rpm", "limit": "9/minute"}, {"name": "tokens", "limit": "9 tokens/day"})
    )
    admission = await ask(limiter, path="/v1/models")
    assert [m.budget.name for m in admission.plan.budgets] == ["rpm"]


WRONG: Any = object()


@pytest.mark.parametrize("given", ["policy.yaml", {"budgets": []}, None])
def test_what_is_no_policy_is_a_setup_error(given: Any) -> None:
    with pytest.raises(SetupError, match="expected what `load_policy` returns, found"):
        Limiter(given)


@pytest.mark.parametrize("store", [WRONG, 7, Limiter])
def test_what_is_no_store_is_a_setup_error(store: Any) -> None:
    rules = Policy.load(policy({"name": "rpm", "limit": "1/minute"}))
    with pytest.raises(SetupError, match="expected a store or the URL of one"):
        Limiter(rules, store=store)


async def test_a_limiter_that_was_closed_may_be_used_again_and_opens_its_file(
    tmp_path: Path,
) -> None:
    store = {"url": f"sqlite:///{tmp_path}/accounts.db", "timeout": "60s"}
    budget = {"name": "rpm", "limit": "2/minute"}
    limiter = Limiter(Policy.load(policy(budget, identity=["api_key"], store=store)))
    for refusal in (None, None, Refusal.QUOTA):
        async with limiter:
            assert (await ask(limiter, chat())).refusal is refusal
    assert (await ask(limiter, chat())).refusal is Refusal.QUOTA
    await limiter.aclose()


def test_reservations_have_names_of_their_own_whatever_threads_take_them() -> None:
    names = charge_names()
    with ThreadPoolExecutor(8) as threads:
        parts = threads.map(lambda _: list(islice(names, 2_000)), range(8))
        taken = [name for part in parts for name in part]
    assert len(set(taken)) == len(taken) == 16_000
