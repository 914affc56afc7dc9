"""Overrides in a policy: whom they name, what they change, and where more are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from querybudget.errors import PolicyError
from querybudget.overrides import Effect
from querybudget.policy import load_policy
from querybudget.policy.model import Policy
from querybudget.policy.naming import CallerName, OverrideSource
from querybudget.units import MICRO

ENVIRON = {"KEY": "sk-a-secret-of-somebody"}


def load(*overrides: dict[str, Any]) -> Policy:
    return load_policy(
        {
            "secret": "0123456789abcdef",
            "partitions": {"org": {"claim": "org.id"}},
            "budgets": [{"name": "own", "limit": "9 requests/minute"}],
            "overrides": list(overrides),
        },
        environ=ENVIRON,
    )


def test_an_override_names_a_caller_and_says_what_changes() -> None:
    policy = load(
        {"api_key": "${KEY}", "budget": "own", "factor": 2, "amount": 5, "reason": "launch"},
        {"claim": {"org.id": "acme"}, "allow": True, "until": "2026-12-31T18:00+01:00"},
        {"account": "0" * 32, "block": True},
    )
    one, two, three = policy.overrides
    assert one.who == CallerName("api_key", ENVIRON["KEY"])
    assert (one.override.factor, one.override.amount) == (2 * MICRO, 5 * MICRO)
    assert (one.override.budget, one.override.reason) == ("own", "launch")
    assert two.who == CallerName("claim", "acme", "org.id")
    assert (two.override.effect, two.override.until) == (Effect.ALLOW, 1_798_736_400 * MICRO)
    assert three.override.effect is Effect.BLOCK
    assert ENVIRON["KEY"] not in repr(policy)


def test_files_and_functions_are_sources(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    path.write_text("- {user: ada, factor: 2}\n")
    policy = load({"from": str(path)}, {"callable": "app.limits:overrides", "refresh": "5s"})
    assert policy.override_sources == (
        OverrideSource(str(path), called=False, refresh=60 * MICRO),
        OverrideSource("app.limits:overrides", called=True, refresh=5 * MICRO),
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"factor": 2}, "expected exactly one of"),
        ({"user": "ada", "address": "192.0.2.1", "factor": 2}, "exactly one"),
        ({"user": "ada"}, "expected one of `limit`"),
        ({"user": "ada", "factor": 0}, "factor above zero"),
        ({"user": "ada", "factor": 2, "budget": "owm"}, "did you mean `own`"),
        ({"user": "ada", "block": True, "factor": 2}, "expected `block` alone"),
        ({"user": "ada", "block": True, "budget": "own"}, "refused by all"),
        ({"user": "ada", "allow": True, "until": "soon"}, "expected a time"),
        ({"partition": {"orgs": "acme"}, "allow": True}, "did you mean `org`"),
        ({"header": {"X-Org": "acme"}, "allow": True}, "found `header`"),
        ({"callable": "app"}, "expected a function"),
        ({"callable": "a:b", "from": "c"}, "found both"),
        ({"from": ""}, "expected a path"),
        ({"callable": "a:b", "user": "ada"}, "nothing beside a source"),
    ],
)
def test_mistakes_are_reported_with_their_place(override: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError) as failed:
        load(override)
    (problem, *_) = failed.value.problems
    assert message in problem.message
    assert problem.path.startswith("$.overrides[0]")


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        (
            "a.yaml",
            "- {user: ada, factor: 2}\n- {user: bob, factr: 2}\n",
            2,
            "did you mean `factor`",
        ),
        ("a.json", '[{"user": "ada", "budget": "own", "amount": "5 buckets"}]', 1, "`buckets`"),
        ("a.json", '[{"user": "ada", "amount": "5 buckets"}]', 1, "a unit that a budget counts"),
        ("a.json", '[{"user": "ada",\n "limit": "many"}]', 2, "an amount"),
        ("a.csv", "", 1, "a line of words"),
        ("a.csv", "user,claim.org.id,factor\nada,,2\n,acme,many\n", 3, "a factor"),
        ("a.yaml", "- {from: b.yaml}\n", 1, "another source"),
    ],
)
def test_a_mistake_in_a_file_says_which_line(
    tmp_path: Path, name: str, text: str, line: int, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PolicyError) as failed:
        load({"from": str(path)})
    (problem, *_) = failed.value.problems
    assert (problem.source, problem.line) == (str(path), line)
    assert message in problem.message


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(PolicyError, match=r"cannot read nowhere\.yaml"):
        load({"from": "nowhere.yaml"})
