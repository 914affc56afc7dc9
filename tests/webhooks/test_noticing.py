"""Operators are told at once, once for each thing, in messages that they can verify."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from querybudget.adapters.base import Usage
from querybudget.asgi import QueryBudgetMiddleware
from querybudget.errors import SetupError
from querybudget.events import DecidedBy, DecisionEvent, EventVerdict, Settlement
from querybudget.identity import Identity
from querybudget.policy import Policy
from querybudget.policy.outputs import WebhookKind
from querybudget.testing import FakeModel, ManualClock, drive, http_scope, memory_limiter, request
from querybudget.units import ORDINARY_PRICE, SECOND, Micros
from querybudget.webhooks import SIGNATURE, Sender, Webhooks

pytestmark = pytest.mark.anyio

SECRET = "0123456789abcdef"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "private words"}]}
RULES: dict[str, Any] = {
    "identity": ["api_key"],
    "budgets": [
        {"name": "rpm", "limit": "1/minute"},
        {"name": "pool", "limit": "40 tokens/day", "per": ["everyone"]},
    ],
}


class Receiver:
    """Takes webhooks, and fails as it is told to."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.requests = list[httpx.Request]()
        self.waits = list[float]()
        self.clock = ManualClock()
        self._arrived = asyncio.Condition()

    async def asked(self, times: int) -> None:
        """Wait until as many requests have come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= times)

    async def __call__(self, asked: httpx.Request) -> httpx.Response:
        async with self._arrived:
            self.requests.append(asked)
            self._arrived.notify_all()
        status = self.failures.pop(0) if self.failures else 204
        if not status:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def webhooks(self, **settings: Any) -> Webhooks:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        sender = Sender(
            "https://u:p@x/hook",
            SECRET,
            client=client,
            clock=self.clock,
            sleep=self.sleep,
            jitter=lambda: 1.0,
        )
        return Webhooks("https://x/hook", SECRET, sender=sender, **settings)

    @property
    def kinds(self) -> list[str]:
        return [msgspec.json.decode(one.content)["kind"] for one in self.requests]


def event(**members: Any) -> DecisionEvent:
    ordinary: dict[str, Any] = {
        "at": Micros(1_000 * SECOND),
        "identity": Identity("ab" * 16, "api_key"),
        "tier": "default",
        "method": "POST",
        "path": "/x",
        "operation": "chat",
        "model": "m",
        "stream": False,
        "verdict": EventVerdict.ADMIT,
        "price": ORDINARY_PRICE,
        "expected": Usage(),
        "settlement": Settlement.DONE,
    }
    return DecisionEvent(**(ordinary | members))


async def test_a_refusal_and_a_pool_that_is_nearly_used_up_are_said_once() -> None:
    receiver = Receiver()
    hooks = receiver.webhooks()
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(RULES, hooks=[hooks]))
    for key in "aaabb":
        await drive(app, http_scope("/v1/chat/completions", key=f"sk-{key}"), request(CHAT))
    await hooks.aclose()
    assert sorted(receiver.kinds) == ["budget_near", *(2 * ["budget_near"]), *(2 * ["refused"])]
    bodies = b"".join(one.content for one in receiver.requests)
    assert b"everyone" in bodies
    assert b"private" not in bodies
    assert b"sk-" not in bodies


async def test_the_signature_is_verified_in_six_lines() -> None:
    receiver = Receiver()
    hooks = receiver.webhooks(events=[WebhookKind.SLOWED])
    hooks(event(delay=Micros(SECOND)))
    await hooks.aclose()
    (asked,) = receiver.requests
    parts = dict(part.split("=", 1) for part in asked.headers[SIGNATURE].split(","))
    signed = parts["t"].encode() + b"." + asked.content
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(parts["v1"], expected)
    assert int(parts["t"]) == receiver.clock() // SECOND


async def test_a_message_is_sent_again_with_growing_waits_until_it_is_taken() -> None:
    receiver = Receiver(0, 503, 429)
    hooks = receiver.webhooks()
    hooks(event(delay=Micros(SECOND)))
    await receiver.asked(4)
    await hooks.aclose()
    assert receiver.waits == [1.0, 2.0, 4.0]
    assert len({one.content for one in receiver.requests}) == 1
    assert hooks.dropped == 0


@pytest.mark.parametrize(("failures", "tries"), [([404], 1), ([500] * 9, 6)])
async def test_a_message_that_is_not_taken_is_given_up_counted_and_said(
    failures: list[int], tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(*failures)
    hooks = receiver.webhooks()
    hooks(event(delay=Micros(SECOND)))
    await receiver.asked(tries)
    await hooks.aclose()
    assert len(receiver.requests) == tries
    assert hooks.dropped == 1
    assert f"did not reach https://x/...: status {failures[0]}" in caplog.text


async def test_no_log_shows_the_path_of_the_url_which_may_be_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    receiver = Receiver(302)
    hooks = receiver.webhooks()
    hooks(event(delay=Micros(SECOND)))
    await hooks.aclose()
    (asked,) = receiver.requests  # no redirect is followed
    assert (asked.url.raw_path, asked.url.host) == (b"/hook", "x")
    assert asked.headers["authorization"].startswith("Basic ")
    assert "HTTP Request: POST https://x/..." in caplog.text
    assert "/hook" not in caplog.text


def test_a_url_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(SetupError, match="URL of a webhook"):
        Sender("https://x\0/hook", SECRET)


async def test_the_same_thing_is_said_again_after_a_while() -> None:
    receiver = Receiver()
    hooks = receiver.webhooks(every=10 * SECOND)
    for seconds in (0, 9, 10, 19, 20):
        hooks(event(at=Micros(seconds * SECOND), delay=Micros(1), settlement=Settlement.DONE))
    await hooks.aclose()
    assert receiver.kinds == ["slowed"] * 3


async def test_an_outage_is_said_when_it_begins_and_when_it_ends() -> None:
    receiver = Receiver()
    hooks = receiver.webhooks()
    for by in (DecidedBy.SHARED, DecidedBy.LOCAL, DecidedBy.LOCAL, DecidedBy.SHARED):
        hooks(event(store=by))
    hooks(event(store=DecidedBy.NONE, verdict=EventVerdict.UNPRICED))
    await hooks.aclose()
    assert receiver.kinds == ["store_down", "store_up"]


async def test_more_disturbed_calls_than_usual_are_said_once_enough_calls_were_seen() -> None:
    receiver = Receiver()
    hooks = receiver.webhooks(events=["disturbed"], disturbed=20_000)
    refused: Callable[[int], Settlement] = lambda n: (  # noqa: E731
        Settlement.NONE if n % 40 == 0 else Settlement.DONE
    )
    for number in range(300):
        hooks(event(settlement=refused(number)))
    await hooks.aclose()
    (asked,) = receiver.requests
    assert msgspec.json.decode(asked.content)["share"] == 30_000


async def test_a_policy_switches_webhooks_on_and_shows_no_secret() -> None:
    settings = {"url": "https://x/hook", "secret": SECRET, "events": ["store_down"]}
    policy = Policy.load({**RULES, "webhooks": settings})
    assert policy.webhooks is not None
    assert policy.webhooks.events == (WebhookKind.STORE_DOWN,)
    assert SECRET not in repr(policy)


@pytest.mark.parametrize(("url", "secret"), [("ftp://x", SECRET), ("https://x", "")])
def test_webhooks_that_cannot_be_sent_are_a_setup_error(url: str, secret: str) -> None:
    with pytest.raises(SetupError):
        Webhooks(url, secret)
