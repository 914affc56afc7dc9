"""Names that callers make up: they give nobody a budget, and push nobody out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.ledger import Charge, Line, Standing
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.limiter.sharing import EACH, SharedNames
from querybudget.policy import load_policy
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.testing.asgi import http_scope
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

pytestmark = pytest.mark.anyio

RPM = Quota("rpm", Unit.REQUESTS, 10 * MICRO, 60 * SECOND, Algorithm.SLIDING, 10 * MICRO)


def limiter(budget: dict[str, Any], **more: Any) -> Limiter:
    budgets = [{"name": "b", "limit": "3 requests/day", **budget}]
    policy = load_policy({"version": 1, "identity": ["api_key"], "budgets": budgets, **more})
    clock = ManualClock()
    return Limiter(policy, store=MemoryStore(clock, max_identities=100), clock=clock)


async def ask(
    asked: Limiter, key: str, model: str = "m", template: str = "", *, outcome: str = "answered"
) -> Admission:
    call = Call(Dialect.OPENAI, "chat", model=model, template=template)
    admission = await asked.admit(http_scope(key=key), call)
    if admission.refusal is None:
        usage = Usage(1, output=2) if outcome == "answered" else None
        await asked.settle(admission, Outcome(outcome), usage)
    return admission


async def answers(asked: Limiter, *calls: tuple[str, ...]) -> int:
    return sum([(await ask(asked, *call)).refusal is None for call in calls])


@pytest.mark.parametrize("per", [["identity", "model"], ["model"], ["tier", "model"]])
@pytest.mark.parametrize("models", [{}, {"gpt-*": {"input": 1, "output": 1}}])
async def test_made_up_models_have_one_account(per: list[str], models: Any) -> None:
    asked = limiter({"per": per}, models=models)
    assert await answers(asked, *(("a", f"made-up-{n}") for n in range(100))) == 3
    asked = limiter({"per": per}, models=models)
    assert await answers(asked, *(("a", f"gpt-{n}") for n in range(100))) == 3


async def test_models_that_the_policy_names_have_accounts_of_their_own() -> None:
    models = {"m": {"input": 1, "output": 1}, "gpt-*": {"input": 1, "output": 1}}
    asked = limiter({"per": ["identity", "model"], "match": {"model": ["*", "n"]}}, models=models)
    used = [("a", model) for model in ("m", "n", "gpt-4", "x") for _ in range(4)]
    assert await answers(asked, *used) == 12


async def test_a_model_of_which_two_callers_were_answered_has_an_account_of_its_own() -> None:
    asked = limiter({"per": ["identity", "model"]})
    await answers(asked, ("a", "llama"), ("b", "llama"), ("a", "x"), ("a", "y"))
    assert await answers(asked, *(("a", "llama") for _ in range(4))) == 3
    assert await answers(asked, ("a", "z")) == 0


async def test_two_callers_who_make_up_models_together_get_a_bounded_number_of_accounts() -> None:
    asked = limiter({"per": ["identity", "model"]})
    calls = [(key, f"made-up-{n}") for n in range(300) for key in "ab"]
    for _ in range(3):
        await answers(asked, *calls)
    assert len(asked.store) <= 2 * 65  # type: ignore[arg-type]


@pytest.mark.parametrize("per", [["template"], ["identity", "template"], ["template", "tier"]])
async def test_one_callers_system_prompts_are_all_on_his_own_account(per: list[str]) -> None:
    asked = limiter({"per": per})
    assert await answers(asked, *(("a", "m", f"prompt {n}") for n in range(100))) == 3
    assert len(asked.store) == 1  # type: ignore[arg-type]


async def test_a_template_has_an_account_from_its_second_caller_on() -> None:
    asked = limiter({"per": "template"})
    assert await answers(asked, *((key, "m", "You are a tutor") for key in "abcdefgh")) == 4


async def test_a_caller_who_was_never_answered_is_no_second_caller() -> None:
    asked = limiter({"per": "template"})
    await ask(asked, "a", "m", "You are a tutor")
    for key in "bcd":
        await ask(asked, key, "m", "You are a tutor", outcome="failed")
    again = await ask(asked, "a", "m", "You are a tutor")
    assert again.lines[0].partition == again.identity.key


@pytest.mark.parametrize("limit", ["3 requests/day", "1000 tokens/day"])
async def test_a_callers_own_account_is_his_own_also_under_a_budget_of_templates(
    limit: str,
) -> None:
    asked = limiter({"per": "template", "limit": limit})
    for key, standing in (("a", Standing.CALLER), ("b", Standing.INVENTED)):
        admission = await ask(asked, key, "m", "You are a tutor")
        assert [line.standing for line in admission.lines] == [standing]


async def test_accounts_of_what_calls_say_push_out_no_caller() -> None:
    store = MemoryStore(ManualClock(), max_identities=100)

    async def used(partition: str, standing: Standing) -> None:
        line = Line(partition, RPM, MICRO, MICRO, standing=standing)
        decision = await store.reserve(Charge(partition, (line,), 60 * SECOND))
        assert decision.reservation is not None
        await store.settle(decision.reservation, [MICRO])

    await used("caller", Standing.CALLER)
    for number in range(300):
        await used(f"template:{number}", Standing.INVENTED)
    assert (await store.peek("caller", [RPM]))[0][0] == 9 * MICRO
    assert len(store) == 11


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=300))
def test_a_name_is_shared_if_two_have_used_it_and_never_if_one_has(
    uses: list[tuple[int, int]],
) -> None:
    names, seen = SharedNames(16), dict[int, set[int]]()
    for name, caller in uses:
        seen.setdefault(name, set()).add(caller)
        shared = names.note(str(name), str(caller))
        assert not shared or len(seen[name]) > 1
    for name, callers in seen.items():
        assert str(name) not in names or len(callers) > 1
    assert len(names._first) <= 16
    assert len(names._shared) <= 16
    assert all(0 < len(kept) <= EACH for kept in names._names.values())


def test_one_caller_who_makes_up_names_pushes_out_no_other_callers() -> None:
    names = SharedNames(100)
    names.note("You are a tutor", "a")
    for number in range(1_000):
        names.note(f"made up {number}", "b")
    assert names.note("You are a tutor", "c")
