"""Callers whom a partition does not name."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.cli.explain import explain_request
from querybudget.cli.explanation import Request
from querybudget.errors import PolicyError, RefusedError
from querybudget.limiter import Limiter
from querybudget.policy import Policy, load_policy
from querybudget.policy.model import Missing
from querybudget.stores import MemoryStore
from querybudget.testing import ManualClock
from querybudget.testing.asgi import drive, http_scope, request

pytestmark = pytest.mark.anyio

HEADER = {"header": {"name": "x-org", "trusted_proxies": "*"}}


def policy(partition: dict[str, Any], **budget: Any) -> Policy:
    return load_policy(
        {
            "version": 1,
            "identity": ["api_key"],
            "partitions": {"org": partition},
            "budgets": [{"name": "org-rpm", "limit": "2/minute", "per": "org", **budget}],
        }
    )


async def answers(asked: Policy, *callers: tuple[str, dict[str, str]]) -> list[int]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    served = QueryBudgetMiddleware(app, asked, store=MemoryStore(ManualClock()))
    scopes = [
        http_scope("/v1/models", method="GET", key=key, headers=headers) for key, headers in callers
    ]
    return [(await drive(served, scope, request())).status for scope in scopes]


STRANGER: dict[str, str] = {}


async def test_no_stranger_uses_up_what_others_without_a_name_have() -> None:
    for asked in (policy(HEADER), policy({**HEADER, "missing": "apart"})):
        spent = await answers(asked, *[("a", STRANGER)] * 3, ("b", STRANGER), ("c", {"x-org": "o"}))
        assert spent == [200, 200, 429, 200, 200]


async def test_callers_without_a_name_share_one_account_where_the_policy_says_so() -> None:
    asked = policy({**HEADER, "missing": "shared"})
    assert await answers(asked, *((key, STRANGER) for key in "abc")) == [200, 200, 429]


async def test_callers_without_a_name_are_refused_where_the_policy_says_so() -> None:
    asked = policy({**HEADER, "missing": "refuse"})
    spent = await answers(asked, ("a", STRANGER), ("a", {"x-org": "o"}), ("b", {"x-org": ""}))
    assert spent == [403, 200, 403]
    limiter = Limiter(asked, store=MemoryStore(ManualClock()))
    with pytest.raises(RefusedError, match="does not say to whom it belongs"):
        async with limiter.admitted(http_scope(key="a")):
            raise AssertionError
    assert await answers(policy({**HEADER, "missing": "refuse"}, mode="shadow"), ("a", {})) == [200]


@pytest.mark.parametrize("missing", ["apart", "shared"])
async def test_two_names_at_once_are_no_way_out_of_an_account(missing: str) -> None:
    asked, two = policy({**HEADER, "missing": missing}), [(b"x-org", b"a"), (b"x-org", b"b")]
    limiter = Limiter(asked, store=MemoryStore(ManualClock()))
    lines = {
        (await limiter.admit(http_scope(key=key, headers=two))).lines[0].partition for key in "ab"
    }
    assert lines == {"org:none"}


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("apart", "each org; a caller without org is on its own"),
        ("shared", "each org; all without org share one account"),
        ("refuse", "each org; a caller without org is refused"),
    ],
)
async def test_explain_says_where_a_caller_without_a_name_is(missing: str, said: str) -> None:
    asked = policy({**HEADER, "missing": missing})
    explained = await explain_request(asked, Request(method="POST", path="/v1/chat/completions"))
    assert explained.verdict == ("never" if missing == "refuse" else "admit")
    assert ("missing: refuse" in explained.because) == (missing == "refuse")
    assert explained.budgets[0].per == said


def test_missing_is_a_word_of_partitions_alone() -> None:
    assert policy(HEADER).partitions["org"].missing is Missing.APART
    assert policy({"claim": "org.id", "missing": "shared"}).partitions["org"].missing == "shared"
    with pytest.raises(PolicyError, match="expected `apart`, `shared` or `refuse`"):
        policy({"claim": "org", "missing": "share"})
    with pytest.raises(PolicyError, match=r"expected exactly one of .*client_address`, found 0"):
        policy({"missing": "shared"})
    with pytest.raises(PolicyError, match="found `missing`"):
        load_policy(
            {
                "version": 1,
                "identity": [{"claim": "sub", "missing": "shared"}],
                "budgets": [{"name": "rpm", "limit": "1/day"}],
            }
        )
