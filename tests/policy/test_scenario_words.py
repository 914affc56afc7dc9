"""Mistakes in the tests of a policy are found when it is loaded, each with its line."""

from __future__ import annotations

import json

import pytest

from querybudget.errors import PolicyError
from querybudget.limiter.notices import fingerprint
from querybudget.policy.load import load_text
from querybudget.policy.scenario_file import SWEEP
from querybudget.testing.sweeping import DIFFERENT

BUDGETS = """\
budgets:
  - {name: rpm, limit: 2 requests/minute}
  - {name: spend, limit: 5 usd/day}
models: {"*": {input: 1, output: 1}}
"""
DEEP = "[" * 3_000


def problems(tests: str) -> list[str]:
    with pytest.raises(PolicyError) as wrong:
        load_text(f"{BUDGETS}tests:\n{tests}", "p", environ={})
    return [f"{each.line}: {each.message}" for each in wrong.value.problems]


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ("{expect: admited}", "found `admited` (did you mean `admitted`?)"),
        ("{expect: {refused: 2}}", "expected a number of at most 1 calls, `all`, `some` or `none`"),
        ("{expect: {refused: al}}", "found `al` (did you mean `all`?)"),
        ("{expect: {refused: 1, by: rmp}}", "expected a budget, found `rmp` (did you mean `rpm`?)"),
        ("{expect: {admitted: 1, by: rpm}}", "`slowed` or `degraded` beside `by`, found none"),
        ("{expect: {admitted: 1, wait: 3s}}", "expected `refused` beside `wait`"),
        ("{expect: {admitted: 1, over: 3}}", "expected `priced` beside `over`"),
        ("{expect: {}}", "expected what becomes of the calls, found nothing"),
        ("{expect: {charged: {rpn: 1}}}", "expected a budget, found `rpn`"),
        ("{expect: {charged: {rpm: 1 usd}}}", "expected an amount in requests"),
        ("{expect: {charged: {rpm: some}}}", "expected an amount such as `20`"),
        ("{spent: {rpn: 1}, expect: admitted}", "expected a budget, found `rpn`"),
        ("{spent: {rpm: 200%}, expect: admitted}", "expected a share from 0 to 1, found `200%`"),
        ("{spent: {rpm: much}, expect: admitted}", "expected an amount"),
        ("{times: 0, expect: admitted}", "expected a whole number from 1 to 10000, found 0"),
        ("{sweep: 3, times: 3, expect: admitted}", "expected `times` or `sweep`, found both"),
        ("{sweep: 3, prompt: x, expect: admitted}", "expected `sweep` or `prompt`, found both"),
        ("{sweep: 1148, expect: admitted}", "expected a whole number from 1 to 1147, found 1148"),
        ("{body: '{', expect: admitted}", "expected JSON, found `{`"),
        (f"{{body: '{DEEP}', expect: admitted}}", "expected JSON, found `[[["),
        ("{headers: {x wörd: a}, expect: admitted}", "expected a header's name, found `x wörd`"),
        ("{path: v1, expect: admitted}", "expected a path such as `/v1/chat`, found `v1`"),
        ("{lasts: 1 hour, expect: admitted}", "expected at most `hold`, 15m0s, found 1h0m0s"),
        ("{body: {}, model: m, expect: admitted}", "expected `body` or `model`, found both"),
        ("{body: {}, stream: true, expect: admitted}", "expected `body` or `stream`, found both"),
        ("{answer: {}, output: 3, expect: admitted}", "expected `answer` or `output`, found both"),
        (
            "{times: 3, expect: {admitted: 3, refused: 1}}",
            "expected `admitted` and `refused` to be at most 3 calls together, found 4",
        ),
        (
            "{expect: {slowed: some, refused: some}}",
            "expected `slowed` and `refused` to be at most 1",
        ),
        (
            "{times: 2, expect: {admitted: 1, refused: 1, status: 200}}",
            "expected `status` beside `admitted` or `refused`, found both",
        ),
        ("{expect: {charged: {x: 1}}}", "expected a budget, `rpm` or `spend`, found `x`"),
        ("{calls: 3, expect: admitted}", "expected a known key, found `calls`"),
        ("{caller: a}", "expected `expect` in at least one of the calls, found none"),
    ],
)
def test_a_mistake_is_said_with_its_line(calls: str, message: str) -> None:
    (problem,) = problems(f"  - name: it\n    calls:\n      - {calls}")
    line = 7 if "expected `expect`" in message else 8
    assert problem.startswith(f"{line}: expected ")
    assert message in problem


def test_all_mistakes_are_said_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """\
  - calls: [{at: 5s, times: 2, every: 10s, expect: admitted}, {at: 14s, expect: refused}]
  - {name: "", calls: [{expect: refused}]}
  - {name: two, start: soon, calls: [{expect: refused}], mode: shadowy}
  - {name: two, callers: {a: {address: x}}, calls: [{caller: a, expect: {refused: 1, by: rpn}}]}
"""
    )
    assert [problem.partition(":")[0] for problem in found] == list("66788999")
    words = "\n".join(found)
    for message in (
        "expected `name`, found none",
        "expected at least 15s, when the calls before it begin, found 14s",
        "expected a name of its own, found nothing",
        "expected a time such as `2026-12-31T18:00Z`, found `soon`",
        "expected `enforce` or `shadow`, found `shadowy`",
        "expected a name of its own, found it again",
        "expected an address such as `192.0.2.7`, found `x`",
        "expected a budget, found `rpn`",
    ):
        assert message in words


def test_a_caller_who_is_described_and_never_calls_is_said_to_be() -> None:
    test = """\
  - name: it
    callers:
      alcie: {user: alice}
      bob: {user: bob}
    calls: [{caller: alice, expect: admitted}, {caller: bob}]
"""
    assert problems(test) == [
        "8: expected a caller of `calls`, found `alcie`, who makes none (did you mean `alice`?)"
    ]


@pytest.mark.parametrize("start", ["2026-01-31T23:59", "2026-01-31 23:59", "2026-01-31"])
def test_a_test_begins_at_a_time_with_its_zone(start: str) -> None:
    (problem,) = problems(f"  - {{name: it, start: '{start}', calls: [{{expect: admitted}}]}}\n")
    assert problem.startswith("6: expected a time with its zone such as `2026-01-31T")
    assert problem.endswith(f"Z`, found `{start}`")


@pytest.mark.parametrize("claims", ["text", "[a]", "'{'"])
def test_claims_are_a_mapping(claims: str) -> None:
    caller = f"callers: {{a: {{claims: {claims}}}}}"
    (problem,) = problems(f"  - {{name: it, {caller}, calls: [{{caller: a, expect: admitted}}]}}\n")
    assert problem.startswith("6: expected a mapping of claims such as `{org: {id: acme}}`")


def test_tests_know_where_they_are_written() -> None:
    policy = load_text(
        f"{BUDGETS}tests:\n  - name: it\n    calls:\n      - {{expect: admitted}}\n", environ={}
    )
    assert policy.tests[0].line == 6
    assert policy.tests[0].calls[0].line == 8


def test_tests_do_not_change_the_hash_of_a_policy() -> None:
    tests = "tests: [{name: it, calls: [{expect: admitted}]}]"
    plain, tested = load_text(BUDGETS, environ={}), load_text(BUDGETS + tests, environ={})
    assert tested.tests
    assert fingerprint(plain) == fingerprint(tested)


def test_a_sweep_has_as_many_prompts_as_there_are() -> None:
    assert SWEEP == DIFFERENT


@pytest.mark.parametrize(
    "body",
    [
        '{model: m, messages: [{role: user, content: "1"}], n: 2, stop: null, temperature: 0.5}',
        """'{"model": "m", "messages": [{"role": "user", "content": "1"}], "n": 2,
        "stop": null, "temperature": 0.5}'""",
    ],
)
def test_a_body_is_a_mapping_or_a_text_of_json(body: str) -> None:
    tests = f"tests:\n  - name: it\n    calls: [{{body: {body}, answer: [1], expect: admitted}}]"
    (calls,) = load_text(BUDGETS + tests, "p", environ={}).tests[0].calls
    message = {"role": "user", "content": "1"}
    asked = {"model": "m", "messages": [message], "n": 2, "stop": None, "temperature": 0.5}
    assert json.loads(calls.body) == asked
    assert calls.answer == "[1]"
