"""How the public API is typed: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

from starlette.applications import Starlette
from starlette.middleware import Middleware

from querybudget import (
    Call,
    Clock,
    Decision,
    DecisionEvent,
    Dialect,
    Limiter,
    MemoryStore,
    Mistake,
    Outcome,
    Policy,
    PolicyError,
    QueryBudgetMiddleware,
    Refusal,
    Reservation,
    Store,
    Ticket,
    Usage,
    Verdict,
    __version__,
)


def middleware_is_what_starlette_takes(policy: Policy) -> None:
    app = Starlette(middleware=[Middleware(QueryBudgetMiddleware, policy=policy)])
    app.add_middleware(QueryBudgetMiddleware, policy="policy.yaml")
    app.add_middleware(QueryBudgetMiddleware)


def hooks_take_events(app: Starlette) -> None:
    def hook(event: DecisionEvent) -> None:
        assert_type(event.violated, tuple[str, ...])
        assert_type(event.usage, Usage | None)

    QueryBudgetMiddleware(app, hooks=[hook])


def mistakes_are_typed(error: PolicyError) -> None:
    assert_type(error.mistakes, tuple[Mistake, ...])


def stores_are_a_protocol(clock: Clock) -> Store:
    return MemoryStore(clock, max_identities=1_000)


async def a_limiter_can_be_used_without_http(policy: Policy) -> None:
    limiter = Limiter(policy)
    route = limiter.route("POST", "/v1/chat/completions")
    if route is None:
        return
    caller = limiter.caller({"type": "http", "headers": []})
    call = Call(Dialect.OPENAI, "chat", model="m", input_bytes=400)
    ticket = await limiter.admit(caller, route, "POST", "/v1/chat/completions", call)
    assert_type(ticket, Ticket)
    assert_type(ticket.refusal, Refusal | None)
    assert_type(ticket.decision, Decision | None)
    if ticket.decision is not None:
        assert_type(ticket.decision.verdict, Verdict)
        assert_type(ticket.decision.reservation, Reservation | None)
    await limiter.settle(ticket, Outcome.ANSWERED, Usage(input=100, output=20))


def the_version_is_text() -> None:
    assert_type(__version__, str)
