"""Promises of the policy's loader: a policy, or an error that says where."""

from __future__ import annotations

import contextlib

import msgspec

from querybudget.errors import PolicyError
from querybudget.policy.load import load, load_text
from querybudget.testing.scenarios import run_scenario
from tests.fuzz.pieces import Pieces

HEAD = "version: 1\nsecret: sixteen or more bytes\n"
MOST_CALLS = 40
"""Calls of a test of a policy that is run: a thousand take a second."""

TESTED = {
    "version": 1,
    "secret": "sixteen or more bytes",
    "identity": ["api_key", {"claim": "sub"}],
    "models": {"*": {"input": 1, "output": 2}},
    "budgets": [
        {"name": "rpm", "limit": "2 requests/minute"},
        {"name": "tokens", "limit": "900 tokens/day"},
        {"name": "money", "limit": "$1/month"},
        {"name": "open", "limit": "1 concurrent"},
    ],
}
ENVIRONMENT = {"A": "b", "LIMIT": "60 requests/minute"}


def _loads(text: str) -> None:
    try:
        load_text(text, environ=ENVIRONMENT)
    except PolicyError as error:
        found = error
    else:
        return
    assert found.problems
    assert all(problem.line >= 0 for problem in found.problems)
    assert len(str(found)) < 40 * (len(text) + 1_000)


def files(data: bytes) -> None:
    _loads(data.decode("utf-8", "surrogateescape"))


def budgets(data: bytes) -> None:
    pieces = Pieces(data)
    key = pieces.choice(("limit", "match", "per", "then", "price", "window", "on_store_error"))
    _loads(
        f"{HEAD}budgets:\n  - name: a\n    limit: 60 requests/minute\n    {key}: {pieces.text()}"
    )


def mappings(data: bytes) -> None:
    try:
        document = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        with contextlib.suppress(PolicyError):
            load(document, environ=ENVIRONMENT)


def tests(data: bytes) -> None:
    """Tests of a policy are run, whatever they ask, or an error says what is wrong with them."""
    try:
        written = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return
    for each in ([{"name": "a", "calls": written}], written):
        try:
            policy = load({**TESTED, "tests": each}, environ=ENVIRONMENT)
        except PolicyError:
            continue
        for scenario in policy.tests:
            if sum(calls.times for calls in scenario.calls) <= MOST_CALLS:
                run_scenario(policy, scenario)
