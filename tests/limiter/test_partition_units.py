"""Budgets over everything that may tie callers together, in every unit, all in one charge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Usage
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.policy.model import Policy
from querybudget.stores import Store, StoreSettings, open_store
from querybudget.testing import FakeAnalyzer, ManualClock
from querybudget.testing.asgi import http_scope
from querybudget.units import MICRO, SECOND, Unit
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.anyio

PROXY = {"trusted_proxies": "10.0.0.0/8"}
PARTITIONS: dict[str, Any] = {
    "org": {"claim": "org.id"},
    "plan": {"claim": "plan"},
    "network": {"client_address": {"ipv4_prefix": 24, **PROXY}},
    "asn": {"header": {"name": "x-asn", **PROXY}},
    "payment": {"header": {"name": "x-payment", **PROXY}},
    "cohort": {"header": {"name": "x-cohort", **PROXY}},
}
OURS = ("everyone", "tier", "model", "template", "route")
LIMITS = {
    Unit.REQUESTS: "1000 requests/day",
    Unit.TOKENS: "1000 tokens/day",
    Unit.INPUT_TOKENS: "1000 input_tokens/day",
    Unit.OUTPUT_TOKENS: "1000 output_tokens/day",
    Unit.USD: "$1000/day",
    Unit.CONCURRENT: "1000 concurrent",
    Unit.BUCKETS: "1000 buckets/day",
}
USED = {
    Unit.REQUESTS: 1,
    Unit.TOKENS: 5,
    Unit.INPUT_TOKENS: 3,
    Unit.OUTPUT_TOKENS: 2,
    Unit.USD: 5,
    Unit.CONCURRENT: 0,
    Unit.BUCKETS: 1,
}
WORDS = ("identity", *OURS, *PARTITIONS)
PAIRS = (("identity", "route"), ("org", "model"), ("tier", "network", "template"))


def policy() -> Policy:
    pools = [*((word,) for word in WORDS), *PAIRS]
    return Policy.load(
        {
            "secret": "0123456789abcdef",
            "identity": ["user"],
            "partitions": PARTITIONS,
            "tiers": {"paying": {"when": {"claim": {"paying": "yes"}}}},
            "models": {name: {"input": 1_000_000, "output": 1_000_000} for name in ("a", "b")},
            "store": {"url": "memory://", "timeout": "60s"},
            "budgets": [
                {"name": f"{'-'.join(per)}-{unit}", "limit": limit, "per": list(per)}
                for per in pools
                for unit, limit in LIMITS.items()
            ],
        }
    )


def scope(user: str, like: str) -> Any:
    """A request of a user, everything else about which is of one kind."""
    address = {"a": "192.0.2.7", "b": "198.51.100.7"}[like]
    paying = {"a": "yes", "b": "no"}[like]
    headers = {"x-asn": like, "x-payment": like, "x-cohort": like, "x-forwarded-for": address}
    claims = {"org": {"id": like}, "plan": like, "paying": paying}
    return http_scope(user=user, client=("10.0.0.1", 1), headers=headers, auth=claims)


async def call(limiter: Limiter, user: str, like: str) -> Admission:
    asked = Call(
        Dialect.OPENAI,
        {"a": "chat", "b": "completions"}[like],
        like,
        template=f"You are {'an old lawyer of the sea' if like == 'a' else 'my nurse'}.",
        segments=(Segment(Channel.SAID, user + like),),
    )
    admission = await limiter.admit(scope(user, like), asked)
    assert admission.refusal is None
    await limiter.settle(admission, Outcome.ANSWERED, Usage(input=3, output=2))
    if admission.settling is not None:
        await admission.settling
    return admission


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/budgets.db" if request.param == "sqlite" else "memory://"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        url = server.url
    opened = open_store(StoreSettings(url, timeout=60 * SECOND), ManualClock())
    yield opened
    await opened.aclose()


async def test_what_callers_share_is_charged_together_in_every_unit(store: Store) -> None:
    asks = policy()
    limiter = Limiter(asks, store=store, clock=ManualClock(), analyzer=FakeAnalyzer())
    for user, like in (("u1", "a"), ("u2", "a"), ("u3", "b"), ("u4", "b")):
        await call(limiter, user, like)  # from then on, templates have several callers
    one, other, third = [
        await call(limiter, user, like) for user, like in (("v1", "a"), ("v2", "a"), ("v3", "b"))
    ]
    assert set(pools(one)) == {budget.name for budget in asks.budgets}
    for line in one.lines:
        name, unit = line.quota.name, line.quota.unit
        pool = name.removesuffix(f"-{unit}")
        private = "identity" in pool
        assert (pools(other)[name] == pools(one)[name]) is not private
        assert pools(one)[name].isdisjoint(pools(third)[name]) is (pool != "everyone")
        ((left, _),) = await store.peek(line.partition, (line.quota,))
        callers = {"everyone": 7, "template": 3, "tier-network-template": 3}.get(pool, 4)
        assert 1000 - left // MICRO == USED[unit] * (1 if private else callers), name


def pools(admission: Admission) -> dict[str, frozenset[str]]:
    """The accounts of a call by the names of budgets."""
    return {
        each.quota.name: frozenset(
            line.partition for line in admission.lines if line.quota.name == each.quota.name
        )
        for each in admission.lines
    }
