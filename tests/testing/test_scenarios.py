"""The tests that a policy carries: what their calls do, and what is said where they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from querybudget.policy.model import Policy
from querybudget.testing import ScenarioResult, run_scenario

SECRET = "0123456789abcdef0123456789abcdef"
BUDGETS: list[dict[str, Any]] = [
    {"name": "rpm", "limit": "2 requests/minute"},
    {"name": "tokens", "limit": "1000 tokens/day"},
    {"name": "parallel", "limit": "3 concurrent", "per": "everyone"},
]


def played(calls: Sequence[object], **more: Any) -> ScenarioResult:
    test = {"name": "it", "calls": [*calls], **more.pop("test", {})}
    policy = {"identity": ["api_key"], "secret": SECRET, "budgets": BUDGETS, **more}
    loaded = Policy.load({**policy, "tests": [test]})
    return run_scenario(loaded, loaded.tests[0])


def passes(calls: Sequence[object], **more: Any) -> None:
    result = played(calls, **more)
    assert result.passed, str(result)


def found(calls: Sequence[object], **more: Any) -> list[str]:
    return [str(failure) for failure in played(calls, **more).failures]


def test_calls_are_decided_at_the_times_of_the_test() -> None:
    passes(
        [
            {
                "caller": "alice",
                "times": 3,
                "expect": {"admitted": 2, "refused": 1, "by": "rpm", "wait": "60s"},
            },
            {"caller": "bob", "expect": "admitted"},
            {"caller": "alice", "at": "59s", "expect": {"refused": "all", "wait": "1s"}},
            {"caller": "alice", "at": "1 minute", "times": 2, "every": "30s", "expect": "admitted"},
        ]
    )


@pytest.mark.parametrize("identity", ["api_key", "user", {"claim": "sub"}])
def test_callers_have_any_names_and_an_account_each(identity: object) -> None:
    passes(
        [
            {"caller": name, "times": 3, "expect": {"admitted": 2, "refused": 1}}
            for name in ("Łukasz", "Jo Smith", "Jo, Ann", "é", "日本")
        ],
        identity=[identity],
    )


def test_headers_hold_any_text() -> None:
    passes([{"headers": {"X-Word": "日本"}, "expect": "admitted"}])


def test_what_answers_report_is_charged_and_failures_are_free() -> None:
    passes(
        [
            {
                "caller": "a",
                "input": 100,
                "output": 400,
                "expect": {"charged": {"tokens": 500, "rpm": 1}},
            },
            {
                "caller": "b",
                "fails": 503,
                "expect": {"status": 503, "admitted": "all", "charged": {"tokens": 0}},
            },
            {
                "caller": "c",
                "stream": True,
                "output": 7,
                "expect": {"charged": {"tokens": "17 tokens"}},
            },
        ]
    )


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"]
)
def test_each_dialect_is_asked_and_answered_in_its_own_words(path: str) -> None:
    tokens = 10 if path == "/v1/embeddings" else 15
    call = {"caller": "a", "path": path, "expect": {"status": 200, "charged": {"tokens": tokens}}}
    passes([call])


def test_a_body_and_an_answer_may_be_given_whole() -> None:
    route = {"path": "/ask", "prompt": "/q", "input_usage": "/in", "output_usage": "/out"}
    asked = {"caller": "a", "path": "/ask?x=1", "body": '{"q": "hi"}'}
    passes(
        [{**asked, "answer": '{"in": 3, "out": 4}', "expect": {"charged": {"tokens": 7}}}],
        routes=[route],
    )
    passes([{"caller": "a", "method": "GET", "path": "/v1/models", "expect": {"status": 200}}])


def test_calls_that_last_are_open_until_their_end() -> None:
    passes(
        [
            {"caller": "a", "times": 2, "lasts": "20s"},
            {"caller": "b", "stream": True, "lasts": "30s"},
            {"caller": "c", "expect": {"refused": 1, "by": "parallel"}},
            {"caller": "c", "at": "19s", "expect": {"refused": 1, "by": "parallel"}},
            {"caller": "c", "at": "20s", "times": 2, "lasts": "1s", "expect": "admitted"},
            {"caller": "d", "at": "20s", "expect": "refused"},
            {"caller": "d", "at": "30s", "expect": "admitted"},
        ]
    )


def test_a_caller_may_have_spent_before() -> None:
    passes(
        [
            {
                "caller": "a",
                "spent": {"tokens": "100%"},
                "expect": {"refused": 1, "by": "tokens", "wait": "1 day"},
            },
            {"caller": "b", "spent": {"rpm": "1 requests"}, "times": 2, "expect": {"admitted": 1}},
        ]
    )
    calls = [
        {"caller": "a", "times": 2},
        {"caller": "a", "spent": {"rpm": "1"}, "expect": {"admitted": 0}},
    ]
    assert found(calls)[0] == ("expected 1 of rpm to be spent, found room for at most 0 of 'rpm'")


def test_callers_are_sent_as_the_policy_identifies_them_or_as_the_test_says() -> None:
    per_team = {"name": "team", "limit": "1 requests/minute", "per": "team"}
    callers = {
        "ada": {"user": "ada", "claims": {"org.team": "red"}},
        "bob": {"user": "bob", "claims": {"org.team": "red"}},
        "eve": {"claims": {"org.team": "blue"}},
    }
    passes(
        [
            {"caller": "ada", "expect": "admitted"},
            {"caller": "bob", "expect": {"refused": 1, "by": "team"}},
            {"caller": "eve", "expect": "admitted"},
        ],
        identity=["user"],
        partitions={"team": {"claim": "org.team"}},
        budgets=[per_team],
        test={"callers": callers},
    )


@pytest.mark.parametrize(
    "identity",
    [
        "user",
        "api_key",
        "client_address",
        {"claim": "sub"},
        {"header": {"name": "x-user", "trusted_proxies": ["10.0.0.0/8"]}},
        {"api_key": {"from": ["x-key"]}},
        {"api_key": {"from": [{"query": "key"}]}},
        {"api_key": {"from": [{"cookie": "token"}]}},
        {"api_key": {"from": [{"basic": "user"}]}},
        {"api_key": {"from": [{"basic": "password"}]}},
        {"api_key": {"from": [{"basic": "pair"}]}},
    ],
    ids=str,
)
def test_a_name_is_enough_whatever_identifies_callers(identity: Any) -> None:
    calls = [
        {"caller": "alice", "times": 3, "expect": {"admitted": 2, "refused": 1, "by": "rpm"}},
        {"caller": "bob", "times": 2, "expect": "admitted"},
    ]
    result = played(calls, identity=[identity])
    assert result.passed, str(result)
    sources = {call.event.identity.source for call in result.calls if call.event}
    assert len(sources) == 1
    assert "anonymous" not in sources


def test_a_blocked_caller_is_refused_with_its_status() -> None:
    overrides = [{"api_key": "mallory", "block": True, "reason": "scraping"}]
    calls = [{"caller": "mallory", "expect": {"refused": 1, "status": 403}}]
    passes(calls, overrides=overrides)


def test_a_test_may_enforce_what_is_in_shadow() -> None:
    calls = [{"caller": "a", "times": 3, "expect": {"admitted": 2, "refused": 1}}]
    assert found(calls, mode="shadow")
    passes(calls, mode="shadow", test={"mode": "enforce"})


def test_a_failure_says_that_a_budget_in_shadow_would_have_slowed_the_calls() -> None:
    breadth = {"name": "breadth", "limit": "4 buckets/30 days", "then": ["slow"]}
    calls = [{"caller": "a", "sweep": 12, "expect": {"slowed": "some"}}]
    assert "admitted (in shadow: slowed)" in found(calls, budgets=[breadth])[0]
    passes(calls, budgets=[breadth], test={"mode": "enforce"})


def test_calendar_windows_begin_when_the_test_says() -> None:
    monthly = {"name": "rpm", "limit": "1 requests/month", "window": "calendar"}
    calls = [
        {"caller": "a", "times": 2, "expect": {"admitted": 1, "refused": 1, "wait": "90s"}},
        {"caller": "a", "at": "90s", "expect": "admitted"},
    ]
    passes(calls, budgets=[monthly], test={"start": "2026-02-28T23:58:30Z"})


def test_a_sweep_is_priced_slowed_degraded_and_refused() -> None:
    breadth = {
        "name": "breadth",
        "limit": "12 buckets/30 days",
        "mode": "enforce",
        "then": ["slow", "degrade", "refuse"],
    }
    words = dict.fromkeys(("admitted", "refused", "slowed", "degraded", "priced"), "some")
    calls: list[dict[str, Any]] = [
        {"caller": "sweeper", "sweep": 30, "every": "1m", "expect": {**words, "by": "breadth"}},
        {"caller": "reader", "prompt": "Hello there", "times": 9, "expect": "admitted"},
        {"caller": "reader", "prompt": "Hello there", "expect": {"slowed": 0, "priced": "none"}},
    ]
    passes(calls, budgets=[breadth])


def test_a_failure_says_what_was_expected_of_whom_and_what_became_of_the_calls() -> None:
    calls = [
        {
            "caller": "alice",
            "times": 3,
            "expect": {
                "refused": 1,
                "by": "tokens",
                "wait": "60s",
                "status": 200,
                "charged": {"rpm": 3},
            },
        },
        {"caller": "carol", "times": 3, "expect": "admitted"},
        {"caller": "bob", "expect": {"refused": "some"}},
        {"expect": {"priced": "all", "over": 2}},
    ]
    became = "2 admitted; 1 refused by rpm for 1m0s"
    assert found(calls) == [
        f"expected 1 call of alice refused by tokens for 1m0s, found 0: {became}",
        "expected status 200 of each call of alice, found 200 (2), 429 (1)",
        f"expected 3 charged to rpm, found 2: {became}",
        f"expected 3 calls of carol admitted, found 2: {became}",
        "expected at least 1 call of bob refused, found 0: 1 admitted",
        "expected 1 call priced over 2, found 0: 1 admitted",
    ]


def test_many_calls_that_wait_each_for_its_own_time_are_said_as_one_kind() -> None:
    calls = [{"caller": "a", "times": 30, "every": "1s", "expect": {"refused": 30}}]
    assert found(calls) == [
        "expected 30 calls of a refused, found 28: 2 admitted; 28 refused by rpm for 31s to 58s"
    ]


def test_a_caller_whom_the_policy_does_not_identify_is_a_failure() -> None:
    callers = {
        "ada": {"user": "ada"},
        "key": {"user": "ada", "api_key": "k"},
        "far": {"address": "192.0.2.1"},
        "forger": {"headers": {"x-plan": "gold"}},
    }
    calls = [{"caller": name, "expect": {"degraded": 0}} for name in callers]
    said = found(calls, test={"callers": callers})
    unread = "whom the policy identifies, found `{}`, which it does not read"
    assert [words.partition(":")[0] for words in said] == [
        f"expected a caller 'ada' {unread.format('user')}",
        f"expected a caller 'far' {unread.format('address')}",
        f"expected a caller 'forger' {unread.format('headers')}",
    ]
    assert "`identity` is api_key (leave out `caller`" in said[0]
    tiers = {"gold": {"when": {"header": {"x-plan": "gold"}, "trusted_proxies": ["*"]}}}
    more = {"identity": ["api_key", "client_address"], "tiers": tiers}
    (left,) = found(calls, test={"callers": callers}, **more)
    assert "'ada'" in left


@pytest.mark.parametrize("claims", [{"org.id": "acme"}, {"org": {"id": "acme"}}])
def test_claims_are_nested_as_in_the_token_or_given_by_their_paths(claims: dict[str, Any]) -> None:
    callers = {"ada": {"claims": {**claims, "sub": "ada"}}, "bob": {"claims": claims}}
    passes(
        [
            {"caller": "ada", "expect": "admitted"},
            {"caller": "bob", "expect": {"refused": "all", "by": "org"}},
        ],
        identity=[{"claim": "sub"}],
        partitions={"org": {"claim": "org.id"}},
        budgets=[{"name": "org", "limit": "1 requests/minute", "per": "org"}],
        test={"callers": callers},
    )


def test_a_body_that_cannot_be_read_and_a_failure_of_the_server_are_said_to_be() -> None:
    body = {"model": "m", "messages": "not a list"}
    calls = [
        {"caller": "a", "body": body, "output": 2, "expect": {"charged": {"rpm": 1}}},
        {"caller": "b", "fails": 503, "expect": {"charged": {"rpm": 1}}},
    ]
    assert found(calls) == [
        "expected 1 charged to rpm, found 2: 1 admitted with a body that cannot be read",
        "expected 1 charged to rpm, found 0: 1 admitted, answered 503",
    ]


def test_a_fault_of_the_server_is_not_taken_for_a_decision() -> None:
    result = played([{"caller": "a", "path": "/health/nothing", "expect": "admitted"}])
    assert result.passed
    assert str(result) == "it: passed"
    assert result.calls[0].words.startswith("admitted")


def test_every_run_is_the_same() -> None:
    calls = [{"caller": "a", "times": 3, "expect": {"admitted": 3}}]
    assert str(played(calls)) == str(played(calls))
    assert str(played(calls)).startswith("it, line 0: expected 3 calls of a admitted, found 2")


def test_the_store_may_know_a_caller_when_a_test_begins() -> None:
    passes(
        [
            {"caller": "new", "times": 3, "expect": {"refused": 2}},
            {"caller": "old", "times": 3, "expect": {"refused": 1}},
            {"caller": "troubled", "times": 3, "expect": {"refused": 2}},
            {"caller": "new", "at": "2 days", "times": 3, "expect": {"refused": 1}},
            {"caller": "troubled", "at": "3 days", "times": 3, "expect": {"refused": 1}},
        ],
        tiers={
            "young": {"when": {"age": {"below": "2 days"}}, "scale": {"rpm": 0.5}},
            "bad": {"when": {"clean": {"below": "2 days"}}, "scale": {"rpm": 0.5}},
            "poor": {"when": {"calls": {"below": 2}}, "scale": {"rpm": 5}},
        },
        test={
            "callers": {
                "new": {"api_key": "n"},
                "old": {"api_key": "o", "age": "30 days", "calls": 9},
                "troubled": {"api_key": "t", "age": "30 days", "calls": 9, "clean": "1 hour"},
            }
        },
    )
