"""Every problem at once, each at its line, each saying what to do."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from querybudget.errors import PolicyError
from querybudget.policy.load import load_text
from querybudget.policy.model import Policy

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
ENVIRON = {"QUERYBUDGET_SECRET": "0123456789abcdef0123456789abcdef", "WORD": "many"}

TEN = """\
version: 2
exempts: [/ready]
partitions:
  org: {claims: org.id}
budgets:
  - name: rpm
    limit: 60 reqests/minute
    per: orgs
  - name: rpm
    burst: 20
  - {name: tokens, limit: 2M tokens/day, weights: {outputs: 4}}
hold: 15 minutes
secret: ${MISSING}
"""

WRONG = {
    "$.version": 1,
    "$.exempts": 2,
    "$.partitions.org.claims": 4,
    "$.budgets[0].limit": 7,
    "$.budgets[0].per": 8,
    "$.budgets[1].name": 9,
    "$.budgets[1].limit": 9,
    "$.budgets[1].burst": 10,
    "$.budgets[2].weights.outputs": 11,
    "$.secret": 13,
}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_kind_of_problem_is_reported_at_its_line(path: Path) -> None:
    expected = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
    with pytest.raises(PolicyError) as caught:
        Policy.load(path, environ=ENVIRON)
    assert len(caught.value.problems) == 1
    found = str(caught.value).removeprefix(f"{path}:")
    if expected.endswith("..."):  # YAML's own words differ between its two parsers
        assert found.startswith(expected.removesuffix("..."))
    else:
        assert found == expected


def test_ten_problems_of_a_policy_are_reported_at_once_each_at_its_line() -> None:
    with pytest.raises(PolicyError) as caught:
        load_text(TEN, "policy.yaml", {})
    assert len(caught.value.problems) == 10
    assert {problem.path: problem.line for problem in caught.value.problems} == WRONG


def test_problems_come_in_the_order_of_the_file() -> None:
    with pytest.raises(PolicyError) as caught:
        load_text(TEN, "policy.yaml", {})
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert str(caught.value).splitlines()[0].startswith("policy.yaml:1: expected version `1`")


def test_a_problem_in_a_mapping_has_a_path_and_no_line() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.load({"budgets": [{"name": "rpm", "limit": "60/minut"}]}, environ={})
    (problem,) = caught.value.problems
    assert str(problem).startswith("<mapping>: expected a period of ")
    assert str(problem).endswith("at $.budgets[0].limit")


def test_a_missing_key_is_reported_where_its_mapping_starts() -> None:
    text = "budgets:\n  - per: everyone\n    mode: shadow\n    name: rpm\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert [str(problem) for problem in caught.value.problems] == [
        "p.yaml:2: expected `limit`, found none, at $.budgets[0].limit"
    ]


def test_what_an_environment_variable_holds_is_never_shown() -> None:
    text = "secret: ${S}\nhold: ${S}\nmode: ${S}\nmax_identities: ${S}\nstore: ${S}\n"
    text += "budgets:\n  - {name: rpm, limit: '${S}', window: '${S}'}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {"S": "hunter2"})
    assert len(caught.value.problems) == 7
    assert "hunter2" not in str(caught.value)


def test_checks_of_what_a_value_refers_to_do_not_show_variables_either() -> None:
    text = """\
identity: [{header: {name: '${S}', trusted_proxies: ['${S}']}}]
store: {url: '${S}', prefix: '${S}'}
exempt: [/x, '${S}']
health: ${S}
routes: [{path: '${S}', operation: '${S}', model: '${S}', prompt: ['${S}']}]
budgets:
  - {name: '${S}', limit: 5/day, per: [model, '${S}'], window: calendar, timezone: '${S}'}
  - name: other
    limit: 5/day
    match: {path: '${S}', method: '${S}', operation: '${S}', tier: '${S}', capability: '${S}'}
"""
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {"S": "hunter 2"})
    assert len(caught.value.problems) == 17
    assert "hunter 2" not in str(caught.value)
    assert str(caught.value).count("found what `${S}` stands for") == 16


def test_what_says_where_keys_and_pages_are_does_not_show_variables_either() -> None:
    text = """\
identity: [{api_key: {from: ['${A}', {header: '${S}'}, {query: '${S}'}, {query: '${S}'}]}}]
refusals: {cors: ['${S}']}
routes: [{path: '/${S}/{x}'}]
budgets: [{name: a, limit: 5/day}]
"""
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {"S": "hunter 2", "A": "authorizations"})
    assert len(caught.value.problems) == 5
    assert "hunter" not in str(caught.value)
    assert "authorizations" not in str(caught.value)


def test_a_short_or_unquoted_secret_is_never_shown() -> None:
    for secret in ("hunter2", "123456789012345678", "[hunter2]", "{hunter2: hunter2}"):
        with pytest.raises(PolicyError) as caught:
            load_text(f"secret: {secret}\nbudgets: {{name: rpm, limit: 60/minute}}\n", "p", {})
        assert "hunter2" not in str(caught.value)
        assert "1234" not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {"NOPE": "env"}, {"NOPE": ""}])
def test_an_unknown_key_is_named_first_whatever_variable_stands_under_it(
    environ: dict[str, str],
) -> None:
    with pytest.raises(PolicyError) as caught:
        load_text("env: ${NOPE}\nbudgets: [{name: rpm, limit: 60/minute}]\n", "p.yaml", environ)
    first, *rest = caught.value.problems
    assert first.message.endswith("found `env`")
    unset = [] if environ else ["the environment variable `NOPE` is not set"]
    assert [problem.message for problem in rest] == unset


def test_a_budget_with_a_bad_limit_is_still_checked_for_all_else() -> None:
    text = "budgets:\n  - {name: A, limit: no, per: x, match: {tier: y}, window: z, mode: w}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    paths = {problem.path.removeprefix("$.budgets[0].") for problem in caught.value.problems}
    assert paths == {"name", "limit", "per", "match.tier", "window", "mode"}


def test_one_wrong_word_is_one_problem_however_much_depends_on_it() -> None:
    text = "secret: [a]\nstore: redis://localhost\nbudgets:\n"
    text += "  - {name: a, limit: 5/day, window: calender, timezone: Europe/Berlin}\n"
    text += "  - {name: b, limit: 5/day, window: gcraa, burst: 20}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert [problem.path for problem in caught.value.problems] == [
        "$.secret",
        "$.budgets[0].window",
        "$.budgets[1].window",
    ]


def test_a_budget_that_is_no_mapping_does_not_shift_the_paths_of_the_others() -> None:
    text = "budgets:\n  - 60/minute\n  - {name: rpm, limit: 5/minute, per: orgs}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (2, "$.budgets[0]"),
        (3, "$.budgets[1].per"),
    ]


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(part)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_key_too_many_is_a_problem_wherever_it_stands(path: Path) -> None:
    policy = yaml.safe_load(path.read_text("utf-8"))
    policy |= {"identity": [{"user": {}}], "embedding": {"static": {}}}
    for mapping in list(mappings(policy)):
        mapping["no such key"] = {"a": 1}
        with pytest.raises(PolicyError):
            Policy.load(policy, environ=ENVIRON)
        del mapping["no such key"]


INJECTED = (
    "limit: 60/minut",
    "per: orgs",
    "mode: shaddow",
    "match: {tier: gold}",
    "burst: 20",
    "timezone: Europe/Berlin",
    "weights: {output: 4}",
    "on_store_error: lokal",
    "limt: 5/minute",
    "on_error: deny",
    "price: b4b",
    "then: [slow]",
    "score: false",
)
# Whether these make sense can only be said where the limit's unit is understood.
OF_A_UNIT = {"weights: {output: 4}", "price: b4b", "then: [slow]", "score: false"}


@given(st.lists(st.sets(st.sampled_from(INJECTED)), min_size=1, max_size=6))
def test_as_many_problems_are_reported_as_were_made(wrong: list[set[str]]) -> None:
    text, expected = "budgets:\n", 0
    for index, lines in enumerate(wrong):
        has_limit = any(line.startswith("limit:") for line in lines)
        good = [] if has_limit else ["limit: 60/minute"]
        text += f"  - name: b{index}\n"
        text += "".join(f"    {line}\n" for line in (*good, *sorted(lines)))
        expected += len(lines) - (len(lines & OF_A_UNIT) if has_limit else 0)
    if not expected:
        assert len(load_text(text, "p.yaml", {}).budgets) == len(wrong)
        return
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert len(caught.value.problems) == expected
    written = text.splitlines()
    for problem in caught.value.problems:
        key = problem.path.split(".")[2]
        assert written[problem.line - 1].strip().startswith(f"{key}:")


def test_a_pointer_that_is_nearly_one_is_refused_at_once() -> None:
    text = f"routes: {{path: /x, model: '{'/' * 100_000}~'}}\n"
    text += "budgets: {name: rpm, limit: 5/minute}\n"
    with pytest.raises(PolicyError, match="expected a JSON pointer"):
        load_text(text, "p.yaml", {})


def test_a_budget_without_a_name_is_still_checked_against_the_store() -> None:
    text = "secret: 0123456789abcdef\nstore: memcached://localhost\nbudgets:\n"
    text += "  - {limit: 5/day, window: gcra, on_store_error: local}\n"
    text += "  - {name: a, limit: 5/day, window: gcra}\n  - {name: a, limit: 8 concurrent}\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (4, "$.budgets[0].name"),
        (4, "$.budgets[0].window"),
        (4, "$.budgets[0].on_store_error"),
        (5, "$.budgets[1].window"),
        (6, "$.budgets[2].name"),
        (6, "$.budgets[2].limit"),
    ]


WORDS: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, float("inf"), 10**400, "", "x", "/x", "*", "${MAX}", "${NONE}"),
    *("5/day", "8 concurrent", "400 buckets/day", "gcra", "calendar", "local", "slow", "none"),
    *("redis://h", "memcached://h", "api_key", [], {}, ["a"], {"a": 1}, [None], [[]]),
    *({"slow": 0.5}, {"curve": "none", "cap": 3}, {"header": "x"}, {"claim": ""}),
)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each mapping or list below, with each of its keys or indexes."""
    keys = list(node) if isinstance(node, dict) else []
    keys = list(range(len(node))) if isinstance(node, list) else keys
    for key in keys:
        yield node, key
        yield from places(node[key])


@given(st.sampled_from(GOOD), st.data())
def test_a_policy_changed_anywhere_is_a_policy_or_has_problems(
    path: Path, data: st.DataObject
) -> None:
    policy: Any = yaml.load(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from([*places(policy)] or [({"x": 1}, "x")]))
        if data.draw(st.booleans()):
            del parent[key]
        else:
            parent[key] = copy.deepcopy(data.draw(st.sampled_from(WORDS)))
    with contextlib.suppress(PolicyError):
        assert Policy.load(policy, environ=ENVIRON).budgets
