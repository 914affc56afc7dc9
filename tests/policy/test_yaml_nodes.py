"""YAML as policies have it: words stay words, small files stay small, variables fill in values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.errors import PolicyError
from querybudget.policy.diagnostics import Problems
from querybudget.policy.load import load_text
from querybudget.policy.model import Policy
from querybudget.policy.yaml_nodes import UnsetError, expand, from_text

BUDGETS = "budgets:\n  - {name: rpm, limit: 60/minute}\n"


def test_aliases_and_merge_keys_mean_what_they_repeat() -> None:
    text = """\
budgets:
  - &chat {name: rpm, limit: &often 60/minute, match: {operation: [chat]}, per: [model]}
  - <<: *chat
    name: tpm
    limit: 100k tokens/minute
  - <<: [{mode: shadow}, *chat]
    name: again
    limit: *often
"""
    first, second, third = load_text(text, "p.yaml", {}).budgets
    assert second.match == third.match == first.match
    assert second.quota.limit != first.quota.limit == third.quota.limit
    assert (second.per, third.mode.value) == (("model",), "shadow")


def test_a_problem_in_what_is_merged_is_at_the_line_where_it_is_written() -> None:
    text = "budgets:\n  - &a\n    name: rpm\n    limit: 60/minute\n    per: x\n"
    text += "  - <<: *a\n    name: b\n"
    with pytest.raises(PolicyError) as caught:
        load_text(text, "p.yaml", {})
    assert [(m.line, m.path) for m in caught.value.problems] == [
        (5, "$.budgets[0].per"),
        (5, "$.budgets[1].per"),
    ]


def test_words_that_older_yaml_takes_for_truth_are_words() -> None:
    text = "refusals: {ietf: off}\ntiers: {t: {when: {claim: {beta: [on, no, 12:30, 007]}}}}\n"
    policy = load_text(text + BUDGETS, "p.yaml", {})
    assert policy.refusals.ietf == "off"
    assert policy.tiers[0].when.claims == {"beta": {"on", "no", "12:30", "007"}}


def test_quoted_numbers_are_text() -> None:
    with pytest.raises(PolicyError, match="expected a whole number of at least 1, found `5`"):
        load_text(f"max_identities: '5'\n{BUDGETS}", "p.yaml", {})


def test_standard_tags_are_taken_and_make_text_of_numbers() -> None:
    text = f"secret: !!str 0123456789012345\n{BUDGETS}"
    assert load_text(text, "p.yaml", {}).secret == b"0123456789012345"


def test_json_is_yaml() -> None:
    text = '{"budgets": [{"name": "rpm", "limit": "60/minute", "match": {"stream": false}}]}'
    assert load_text(text, "p.json", {}).budgets[0].match.stream is False


def test_a_file_of_aliases_that_would_grow_without_end_is_refused_soon() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(PolicyError, match="expected at most 100000 values"):
        load_text("\n".join(rows), "p.yaml", {})


def test_an_alias_to_what_it_is_in_is_refused() -> None:
    with pytest.raises(PolicyError, match="expected `&a` before"):
        load_text("budgets: &a [*a]\n", "p.yaml", {})


def test_a_key_may_be_an_alias() -> None:
    text = f"mode: &m enforce\nmodels: {{*m : {{input: 1, output: 1}}}}\n{BUDGETS}"
    assert list(load_text(text, "p", {}).models) == ["enforce"]


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000, "[" * 500_000, "a: " + "{a: " * 5_000, "- " * 5_000 + "x"],
    ids=["lists", "many lists", "mappings", "blocks"],
)
def test_a_file_that_nests_too_deep_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        load_text(text, "p.yaml", {})


def test_a_mapping_that_holds_itself_is_refused() -> None:
    knot: dict[str, object] = {}
    knot["budgets"] = knot
    with pytest.raises(PolicyError, match="expected at most 32 levels"):
        Policy.load(knot, environ={})


def test_numbers_without_end_are_refused_like_any_other_wrong_number() -> None:
    with pytest.raises(PolicyError, match="expected a whole number"):
        load_text(f"max_identities: {'9' * 10_000}\n{BUDGETS}", "p.yaml", {})


@pytest.mark.parametrize("value", [object(), b"60/minute", {1: "x"}, {"x"}])
def test_a_mapping_with_a_value_that_yaml_does_not_have_is_a_problem(value: object) -> None:
    budget = {"name": "rpm", "limit": "60/minute", "match": value}
    with pytest.raises(PolicyError, match=r"at \$\.budgets\[0\]\.match"):
        Policy.load({"budgets": [budget]}, environ={})


def test_floats_of_a_mapping_are_exact_decimals() -> None:
    models = {"m": {"input": 0.1, "output": 1e-05, "request": 1e-4}}
    budget = {"name": "spend", "limit": "1 usd/day"}
    price = Policy.load({"models": models, "budgets": [budget]}, environ={}).models["m"]
    assert (price.input, price.output, price.request) == (100_000, 10, 100_000_000)


def test_variables_defaults_and_escapes_are_filled_in() -> None:
    path = Path(__file__).parent / "good" / "environment.yaml"
    environ = {"QUERYBUDGET_SECRET": "s" * 16, "MAX": "5000", "RPM": "", "STREAM": "false"}
    policy = Policy.load(path, environ=environ)
    assert policy.secret == b"s" * 16
    assert policy.max_identities == 5000
    (budget,) = policy.budgets
    assert budget.quota.limit == 60_000_000
    assert budget.match.stream is False
    assert budget.match.model == ("${model}",)


def test_a_variable_that_looks_like_a_number_is_still_text_where_text_is_meant() -> None:
    policy = load_text(f"secret: ${{S}}\n{BUDGETS}", "p.yaml", {"S": "1234567890123456"})
    assert policy.secret == b"1234567890123456"


def test_a_value_cannot_add_a_key_or_a_list() -> None:
    environ = {"X": "everyone\n    mode: shadow", "Y": "[model, tier]"}
    for name in environ:
        with pytest.raises(PolicyError, match="expected a partition"):
            load_text(
                f"budgets:\n  - name: a\n    limit: 5/day\n    per: ${{{name}}}\n", "p", environ
            )


def test_the_process_s_environment_is_read_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUERYBUDGET_TEST_MODE", "shadow")
    for policy in (
        load_text(f"mode: ${{QUERYBUDGET_TEST_MODE}}\n{BUDGETS}"),
        Policy.load(
            {"mode": "${QUERYBUDGET_TEST_MODE}", "budgets": [{"name": "a", "limit": "5/day"}]}
        ),
    ):
        assert policy.budgets[0].mode.value == "shadow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${B:-2}", "2"),
        ("${E:-2}", "2"),
        ("${E}", ""),
        ("${A:-2}", "1"),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $50/month", "$A $50/month"),
        ("${C}", "${A}"),
    ],
)
def test_each_form_is_filled_in_once(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "E": "", "C": "${A}"}) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A-b}", "${A:b}"])
def test_a_malformed_variable_is_refused(text: str) -> None:
    with pytest.raises(UnsetError, match="expected"):
        expand(text, {"A": "1"})


@given(st.text())
def test_any_text_can_be_escaped(text: str) -> None:
    assert expand(text.replace("${", "$${"), {}) == text or "$${" in text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2,000 tokens/day", "2,000 tokens/day"),
        ("$1,000,000,000/year", "$1,000,000,000/year"),
        ("1,000,000", "1,000,000"),
    ],
)
def test_commas_of_a_number_in_braces_are_one_problem_that_asks_for_quotes(
    written: str, meant: str
) -> None:
    problems = Problems("x")
    from_text(f"{{a: 1, limit: {written}, per: org}}", {}, problems)
    with pytest.raises(PolicyError, match="expected quotes around") as caught:
        problems.stop_if_any()
    (problem,) = caught.value.problems
    assert f"`{meant}` inside {{...}}" in problem.message
    assert problem.path == "$.limit"


@pytest.mark.parametrize(
    "text", ["{a: 2, b: , c: 3}", "{200, 300}", "{a: 1, 2000}", "a: 2\n000:\n"]
)
def test_keys_without_values_are_no_rests_of_numbers(text: str) -> None:
    problems = Problems("x")
    from_text(text, {}, problems)
    problems.stop_if_any()
