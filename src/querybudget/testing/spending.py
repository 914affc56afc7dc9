"""`spend`: uses up a part of a budget at once, as many calls before would have."""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec.structs import replace

from querybudget.adapters.base import Call, Dialect
from querybudget.coroutines import run_now
from querybudget.ledger import Charge, Line, Reservation
from querybudget.limiter import Limiter
from querybudget.limiter.admission import UNMETERED
from querybudget.notation import amount_of
from querybudget.notation import share as share_of
from querybudget.testing.arguments import check_budget, check_text
from querybudget.testing.asgi import http_scope
from querybudget.text import in_units
from querybudget.units import MICRO, Unit

IN_MEMORY = "expected a store in memory: make the limiter with `memory_limiter`"

_numbers = count(1)


def spend(
    limiter: Limiter,
    amount: str,
    *,
    of: str,
    caller: str = "",
    model: str = "",
    path: str = "/v1/chat/completions",
    **scope: Any,  # noqa: ANN401 - a scope holds whatever servers put there
) -> None:
    """Use up a part of a budget, as a caller's earlier calls would have.

    It awaits nothing, so it serves synchronous and asynchronous tests alike.

    Args:
        limiter: From `memory_limiter`.
        amount: ``900 tokens``, or a share of the limit: ``90%``.
        of: The budget's name.
        caller: The caller's API key.
        model: The model asked for, for budgets of a model.
        path: The path asked for.
        scope: Further arguments of `http_scope`: headers, a user.

    Raises:
        LookupError: The policy has no such budget, it does not apply to such a call, or the policy
            does not know the caller by an API key.
        TypeError: An argument is not text.
        ValueError: It is no amount, or not so much is left.
        SetupError: The limiter's store is none of `memory_limiter`.
    """
    check_text(amount, "an amount", "900 tokens", "90%")
    check_text(caller, "`caller` as an API key")
    line = _line(limiter, of, model, path, http_scope(path, key=caller, **scope), caller)
    units = _units(amount, line)
    if line.quota.unit is Unit.CONCURRENT:
        for _ in range(units // MICRO):
            _take(limiter, replace(line, amount=MICRO, minimum=MICRO), amount)  # stays open
        return
    reservation = _take(limiter, replace(line, amount=units, minimum=units), amount)
    run_now(limiter.store.settle(reservation, (units,)), IN_MEMORY)


def _take(limiter: Limiter, line: Line, amount: str) -> Reservation:
    line = replace(line, shadow=False, response=None)
    charge = Charge(f"spend-{next(_numbers)}", (line,), limiter.policy.hold)
    decision = run_now(limiter.store.reserve(charge), IN_MEMORY)
    if decision.reservation is None:
        left = max(0, decision.lines[0].remaining)
        raise ValueError(
            f"expected at most {in_units(left)} of {line.quota.name!r}, found {amount!r}"
        )
    return decision.reservation


def _line(
    limiter: Limiter,
    budget: str,
    model: str,
    path: str,
    scope: Any,  # noqa: ANN401 - a scope holds whatever servers put there
    key: str,
) -> Line:
    known = [one.name for one in limiter.policy.budgets]
    check_budget(budget, known, "of")
    caller, route = limiter.caller_for(scope), limiter.route_for("POST", path)
    if key and not caller.identity.source.startswith("api_key"):
        raise LookupError(
            f"the policy knows this caller by {caller.identity.source}, not by the API key {key!r}:"
            " give what it is known by, as in `user='ada'`"
        )
    call = Call(Dialect.OPENAI, "chat", model)
    if route is not None:
        plan = limiter.matcher.plan(caller, route, call)
        for line in limiter.matcher.lines(caller, plan, call, UNMETERED):
            if line.quota.name == budget:
                return line
    raise LookupError(f"{budget!r} does not apply to a chat at {path} of model {model!r}")


def _units(amount: str, line: Line) -> int:
    if amount.rstrip().endswith("%"):
        return max(1, line.quota.limit * share_of(amount) // MICRO)
    units, unit = amount_of(amount)
    if unit not in {None, line.quota.unit}:
        raise ValueError(f"expected an amount in {line.quota.unit}, found {amount!r}")
    return units
