"""Environment variables fill in values and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.errors import PolicyError
from querybudget.policy.environment import UnsetError, expand
from querybudget.policy.load import load_text
from querybudget.policy.model import Policy

BUDGETS = "budgets:\n  - {name: rpm, limit: 60/minute}\n"


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
def test_what_is_not_written_as_a_variable_is_refused(text: str) -> None:
    with pytest.raises(UnsetError, match="expected"):
        expand(text, {"A": "1"})


@given(st.text())
def test_any_text_can_be_escaped(text: str) -> None:
    assert expand(text.replace("${", "$${"), {}) == text or "$${" in text
