"""Which budgets a call meets, why it does not meet the others, and what is cached of that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Dialect, Target, Usage
from querybudget.adapters.reading import read_call
from querybudget.coverage import Observation
from querybudget.identity import Identity, KeyedHash
from querybudget.limiter.conditions import Mismatch
from querybudget.limiter.estimation import Estimate
from querybudget.limiter.examined import Examined
from querybudget.limiter.matching import CACHED, Matcher
from querybudget.limiter.plans import Caller
from querybudget.limiter.route import Route
from querybudget.policy.match import opaque_bits
from querybudget.policy.model import Policy
from querybudget.units import MICRO

CHAT = "/v1/chat/completions"
NAMES = ("poetry", "coding")
CAPABILITIES = {name: {"examples": [f"{name} {n}" for n in range(3)]} for name in NAMES}


def policy(*budgets: dict[str, Any], **settings: Any) -> Policy:
    return Policy.load({"secret": "0123456789abcdef", "budgets": list(budgets), **settings})


def matcher(*budgets: dict[str, Any], **settings: Any) -> Matcher:
    return Matcher(policy(*budgets, **settings), KeyedHash(b"k" * 32), NAMES)


def caller(tier: str = "default") -> Caller:
    return Caller(Identity("k", "api_key"), (tier,), {})


def chat(model: str = "gpt-4o", operation: str = "chat", *, stream: bool = False) -> Call:
    return Call(Dialect.OPENAI, operation, model=model, stream=stream)


def route_of(matching: Matcher, path: str = CHAT, method: str = "POST") -> Route:
    route = matching.route(method, path)
    assert route is not None
    return route


@pytest.mark.parametrize(
    ("match", "mismatch"),
    [
        ({"path": ["/v2/*", "/x"]}, Mismatch("path", ("/v2/*", "/x"), CHAT)),
        ({"method": "GET"}, Mismatch("method", ("GET",), "POST")),
        ({"model": "llama*"}, Mismatch("model", ("llama*",), "gpt-4o")),
        ({"operation": "embeddings"}, Mismatch("operation", ("embeddings",), "chat")),
        ({"tier": "trusted"}, Mismatch("tier", ("trusted",), "default")),
        ({"stream": True}, Mismatch("stream", ("true",), "false")),
        ({"capability": "coding"}, Mismatch("capability", ("coding",), "poetry")),
        ({"opaque": ["audio", "tokens"]}, Mismatch("opaque", ("audio", "tokens"), "image")),
        ({"model": "gpt-*", "capability": "poetry", "opaque": True}, None),
        ({}, None),
    ],
)
def test_the_first_condition_that_does_not_hold_says_why_a_budget_does_not_apply(
    match: dict[str, Any], mismatch: Mismatch | None
) -> None:
    budget = {"name": "b", "limit": "1/minute", "match": match}
    tiers = {"trusted": {"when": {"claim": {"plan": "pro"}}}}
    matching = matcher(budget, capabilities=CAPABILITIES, tiers=tiers)
    (only,) = matching._policy.budgets
    examined = Examined(Observation(capabilities=1), opaque_bits(["image"]))
    assert matching.why_not(only, "POST", CHAT, caller(), chat(), examined) == mismatch


def test_an_exempt_path_says_which_pattern_exempts_it() -> None:
    matching = matcher({"name": "b", "limit": "1/minute"}, exempt=["/status*", "/metrics"])
    (only,) = matching._policy.budgets
    mismatch = matching.why_not(only, "GET", "/status/live")
    assert mismatch == Mismatch("exempt", ("/status*",), "/status/live")


@pytest.mark.parametrize(
    ("limit", "method", "operation"),
    [
        ("1 tokens/day", "GET", "other"),
        ("1 buckets/day", "POST", "count_tokens"),
        ("1 buckets/day", "POST", "embeddings"),
        ("1 buckets/day", "POST", "rerank"),
        ("1 buckets/day", "WEBSOCKET", "message"),
    ],
)
def test_a_call_that_uses_nothing_a_budget_counts_is_told_by_its_unit(
    limit: str, method: str, operation: str
) -> None:
    matching = matcher({"name": "b", "limit": limit})
    (only,) = matching._policy.budgets
    mismatch = matching.why_not(only, method, "/x", caller(), chat("", operation))
    assert mismatch == Mismatch("unit", (only.quota.unit,), operation)


@pytest.mark.parametrize("operation", ["embeddings", "moderations", "rerank"])
@pytest.mark.parametrize(("limit", "content"), [("9 buckets/day", {}), ("1/day", {"opaque": True})])
def test_answers_that_teach_nothing_take_what_is_looked_into_only_if_a_budget_names_them(
    limit: str, content: dict[str, Any], operation: str
) -> None:
    unnamed = {"name": "unnamed", "limit": limit, "match": content}
    named = {**unnamed, "name": "named", "match": {**content, "operation": operation}}
    matching = matcher(unnamed, named)
    examined = Examined(Observation(), opaque_bits(["tokens"]))
    applies = [
        matching.why_not(budget, "POST", "/x", caller(), chat("", operation), examined) is None
        for budget in matching._policy.budgets
    ]
    assert applies == [False, True]


def test_method_and_path_can_be_asked_about_before_there_is_a_call() -> None:
    matching = matcher({"name": "b", "limit": "1/minute", "match": {"model": "x"}})
    (only,) = matching._policy.budgets
    assert matching.why_not(only, "POST", CHAT) is None


def test_the_nearest_of_several_patterns_is_the_most_similar_one() -> None:
    wanted = ("/v1/completions", "/v1/chat/*", "/metrics")
    assert Mismatch("path", wanted, "/v1/chats/completion").nearest in wanted[:2]
    assert Mismatch("model", ("llama-3", "gpt-4o-mini"), "gpt-4").nearest == "gpt-4o-mini"
    assert Mismatch("model", ("llama-3",), "").nearest == "llama-3"


MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/v1/*", CHAT, "/v2/*"]),
        "method": st.sampled_from(["POST", "GET", "WEBSOCKET"]),
        "model": st.sampled_from(["gpt-*", "*", "llama"]),
        "operation": st.sampled_from(["chat", "embeddings"]),
        "tier": st.sampled_from(["trusted", "default"]),
        "stream": st.booleans(),
        "capability": st.sampled_from(NAMES),
        "opaque": st.sampled_from([True, ["image", "text"], "tokens"]),
    },
)
LIMITS = st.sampled_from(["1/minute", "1 tokens/day", "1 usd/day", "2 concurrent", "9 buckets/day"])


@given(
    st.lists(st.tuples(LIMITS, MATCHES), min_size=1, max_size=4),
    st.sampled_from(["POST", "GET", "WEBSOCKET"]),
    st.sampled_from([CHAT, "/v2/x", "/status"]),
    st.sampled_from(["default", "trusted"]),
    st.sampled_from(["chat", "other", "unreadable", "count_tokens", "embeddings"]),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 255),
)
def test_a_budget_applies_exactly_if_nothing_says_why_it_does_not(
    wanted: list[tuple[str, dict[str, Any]]],
    method: str,
    path: str,
    tier: str,
    operation: str,
    stream: bool,
    capabilities: int,
    opaque: int,
) -> None:
    matching = matcher(
        *({"name": f"b{n}", "limit": limit, "match": m} for n, (limit, m) in enumerate(wanted)),
        capabilities=CAPABILITIES,
        tiers={"trusted": {"when": {"claim": {"plan": "pro"}}}},
        exempt=["/status"],
        models={"*": {"input": 1, "output": 1}},
    )
    asking, call = caller(tier), chat(operation=operation, stream=stream)
    route = matching.route(method, path)
    examined = Examined(Observation(capabilities=capabilities), opaque)
    plan = route and matching.plan(asking, route, call, examined)
    applying = [matched.budget.name for matched in plan.budgets] if plan else []
    unopposed = [
        budget.name
        for budget in matching._policy.budgets
        if matching.why_not(budget, method, path, asking, call, examined) is None
    ]
    assert applying == unopposed


def test_a_flood_of_made_up_paths_drops_no_plan_and_a_bounded_number_is_cached() -> None:
    matching = matcher({"name": "rpm", "limit": "9M/minute"})
    plan = matching.plan(caller(), route_of(matching), chat())
    for number in range(CACHED + 1_000):
        route_of(matching, f"/x/{number}")
        if number % 1_000 == 0:
            assert matching.plan(caller(), route_of(matching), chat()) is plan
    assert matching.plan(caller(), route_of(matching), chat()) is plan
    assert matching._routes.cache_info().currsize == CACHED


def test_made_up_models_are_not_cached_without_bound_and_long_names_not_at_all() -> None:
    matching = matcher({"name": "rpm", "limit": "9M/minute"})
    route = route_of(matching)
    for number in range(CACHED + 1_000):
        matching.plan(caller(), route, chat(f"m{number}"))
    assert matching._plans.cache_info().currsize == CACHED
    routes, plans = matching._routes.cache_info(), matching._plans.cache_info()
    matching.plan(caller(), route_of(matching, "/" + "x" * 10_000), chat("m" * 10_000))
    assert (matching._routes.cache_info(), matching._plans.cache_info()) == (routes, plans)


# -- calls that several models may answer


def names_of(matching: Matcher, call: Call) -> list[str]:
    plan = matching.plan(caller(), route_of(matching), call)
    return [matched.budget.name for matched in plan.budgets]


def several(model: str, *others: str) -> Call:
    return Call(Dialect.OPENAI, "chat", model=model, other_models=others)


def test_the_budgets_of_every_model_that_may_answer_a_call_apply() -> None:
    budgets = [
        {"name": name, "limit": "9 requests/day", "match": {"model": pattern}}
        for name, pattern in (("cheap", "cheap*"), ("dear", "dear"), ("third", "third"))
    ]
    assert names_of(matcher(*budgets), several("cheap-1", "dear")) == ["cheap", "dear"]


def test_a_call_that_several_models_may_answer_costs_the_highest_price() -> None:
    prices = {"cheap": {"input": 1, "output": 9}, "dear": {"input": 5, "output": 5}}
    matching = matcher({"name": "spend", "limit": "9 usd/day"}, models=prices)
    (matched,) = matching.plan(caller(), route_of(matching), several("cheap", "dear")).budgets
    million = Usage(input=1_000_000, output=1_000_000)
    assert matched.cost_function(several("cheap", "dear"), million) == 14_000_000


def test_a_call_is_not_priced_if_one_of_its_models_is_not() -> None:
    prices = {"cheap": {"input": 1, "output": 1}}
    matching = matcher({"name": "spend", "limit": "9 usd/day"}, models=prices, unpriced="refuse")
    route = route_of(matching)
    assert not matching.plan(caller(), route, several("cheap")).unpriced
    assert matching.plan(caller(), route, several("cheap", "made-up")).unpriced


def test_each_models_account_is_charged_for_a_call_that_several_may_answer() -> None:
    budget = {"name": "each", "limit": "9 requests/day", "per": ["identity", "model"]}
    matching = matcher(budget)

    def accounts(call: Call) -> set[str]:
        plan = matching.plan(caller(), route_of(matching), call)
        lines = matching.lines(caller(), plan, call, Estimate(Usage(), Usage(), MICRO))
        return {line.partition for line in lines}

    assert accounts(several("a", "b")) == accounts(several("a")) | accounts(several("b"))


def test_budgets_of_either_kind_of_answer_apply_where_servers_differ_about_streaming() -> None:
    budgets = [
        {"name": str(wanted).lower(), "limit": "2 concurrent", "match": {"stream": wanted}}
        for wanted in (True, False)
    ]
    call = Call(Dialect.OPENAI, "chat", ambiguous=True)
    assert names_of(matcher(*budgets), call) == ["true", "false"]


SPELLINGS = ["dear", "Dear", "DEAR ", "library/dear", "registry.ollama.ai/library/Dear:latest"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_of_a_model_has_the_same_budgets_and_no_lower_price(name: str) -> None:
    dear = {"name": "dear", "limit": "1 request/day", "match": {"model": "dear"}}
    each = {"name": "each", "limit": "9 requests/day", "per": ["identity", "model"]}
    spend = {"name": "spend", "limit": "$1/day"}
    matching = matcher(
        dear,
        each,
        spend,
        models={"dear": {"input": 9, "output": 90}, "*": {"input": 0.1, "output": 0.1}},
    )
    plan = matching.plan(caller(), route_of(matching), chat(name))
    assert names_of(matching, chat(name)) == ["dear", "each", "spend"]
    assert plan.budgets[1].model == "dear"
    assert plan.budgets[2].cost_function(chat(name), Usage(1_000_000, 0, 0, 0)) == 9 * MICRO


def test_a_model_that_two_callers_were_answered_has_one_account_in_any_case() -> None:
    matching = matcher({"name": "each", "limit": "9 requests/day", "per": ["identity", "model"]})
    for who in ("a", "b"):
        matching.note(who, chat("Tern"))
    names = [
        matching.plan(caller(), route_of(matching), chat(name)).budgets[0].model
        for name in ("tern", "Tern", "TERN")
    ]
    assert names == ["tern"] * 3


def test_a_call_that_names_no_model_meets_the_budgets_of_all_at_the_highest_price() -> None:
    dear = {"name": "dear", "limit": "1 request/day", "match": {"model": "dear"}}
    prices = {"dear": {"input": 9, "output": 90}, "*": {"input": 0.1, "output": 0.1}}
    matching = matcher(dear, {"name": "spend", "limit": "$1/day"}, models=prices)
    body = {"messages": [], "prompt": "a", "input": "a"}
    for path in (CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"):
        adapter = adapter_for(path, "POST", ())
        assert adapter is not None
        for named in ({}, {"model": None}, {"model": ""}, {"model": 5}):
            call = read_call(adapter, Target(path), json.dumps(body | named).encode())
            plan = matching.plan(caller(), route_of(matching, path), call)
            assert names_of(matching, call) == ["dear", "spend"]
            million = Usage(1_000_000, 0, 0, 0)
            assert plan.budgets[1].cost_function(call, million) == 9 * MICRO


@pytest.mark.parametrize(
    "path",
    [
        "/v1/threads/runs",
        "/v1/images/generations",
        "/v1/audio/speech",
        "/v1/chat/completions/batch",
        "/v1beta/interactions",
        "/v2/chat",
        "/api/chat",
    ],
)
def test_a_model_that_the_server_chooses_may_be_any(path: str) -> None:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    matching = matcher({"name": "dear", "limit": "1 request/day", "match": {"model": "dear"}})
    for body, names in ((b'{"assistant_id": "a"}', 1), (b'{"model": "cheap"}', 0)):
        call = read_call(adapter, Target(path), body)
        assert len(matching.plan(caller(), route_of(matching, path), call).budgets) == names


def test_a_path_that_names_no_models_meets_the_budgets_of_none() -> None:
    dear = {"name": "dear", "limit": "1 request/day", "match": {"model": "dear"}}
    adapter = adapter_for("/generate", "POST", ())
    assert adapter is not None
    call = read_call(adapter, Target("/generate"), b'{"inputs": "a"}')
    assert matcher(dear).plan(caller(), route_of(matcher(dear), "/generate"), call).budgets == ()
