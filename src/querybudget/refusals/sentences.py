"""The sentences of refusals. End users of the protected service read them."""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.backends import STORE_RETRY
from querybudget.ledger import LineStatus, Verdict
from querybudget.text import duration, in_units, moment, period, unit_name, whole_down, whole_up
from querybudget.text import wait as waiting
from querybudget.units import MICRO, SECOND, Algorithm, Unit

_WITH_DATE = 60 * SECOND
"""The shortest wait that is also given as a date."""

_NAME_CHARACTERS = 80
"""Characters of a model's name that are repeated."""

_HOW_TO_SHRINK = {
    Unit.TOKENS: "Shorten the input or lower max_tokens.",
    Unit.INPUT_TOKENS: "Shorten the input.",
    Unit.OUTPUT_TOKENS: "Lower max_tokens.",
    Unit.USD: "Shorten the input, lower max_tokens or use a cheaper model.",
    Unit.REQUESTS: "Split it up: each prompt and each choice may count as one request.",
    Unit.CONCURRENT: "Ask the operator of this service to raise the limit.",
}

_NOT_PROCESSED = "so this request was not processed. Nothing was charged."


def refused(status: LineStatus, now: int, price: int, *, figures: bool, own: bool) -> str:
    """What was exceeded, and what to do.

    Args:
        status: A line that refuses.
        now: The decision's time, µs.
        price: The factor charged, in millionths.
        figures: Whether to give the limit, what is used and what was requested.
        own: Whether the line charges this caller alone.
    """
    quota = status.line.quota
    requested = -(-status.line.minimum * price // MICRO)
    numbers = f": {_numbers(status, requested)}" if figures else ""
    budget = f"for budget {quota.name!r}{numbers}."
    if status.verdict is Verdict.NEVER:
        return (
            f"Request too large {budget} It is more than the budget ever allows, so trying again"
            f" will not help. {_HOW_TO_SHRINK[quota.unit]}"
        )
    if quota.algorithm is Algorithm.LEASE:
        whose = "one of your requests" if own else "another request"
        return (
            f"Too many concurrent requests {budget} Wait for {whose} to finish."
            f" {_try_again(status.wait)}"
        )
    return f"Rate limit reached {budget} {_try_again(status.wait, now)}"


def also_exceeded(names: Iterable[str]) -> str:
    """The other budgets that refuse."""
    return f"Also exceeded: {', '.join(map(repr, names))}."


def close_reason(status: LineStatus) -> str:
    """`refused` in a few words and without figures, for the close frame of a WebSocket."""
    name = status.line.quota.name
    if status.verdict is Verdict.NEVER:
        return f"request too large for budget {name!r}"
    return f"budget {name!r} exceeded, try again in {waiting(status.wait)}"


def abnormal_usage(code: str, wait: int) -> str:
    """A refusal by budgets in buckets, without naming them; `wait` in µs, 0 if no wait helps."""
    mistake = "If you think this is a mistake, contact the operator of this service."
    if not wait:
        return (
            f"This request covers too much at once ({code}), so trying it again will not help."
            f" Split it up and send less at a time. {mistake}"
        )
    return (
        "This account's request pattern is unusual, so similar requests are temporarily blocked"
        f" ({code}). {_try_again(wait)} {mistake}"
    )


def body_too_large(limit: int) -> str:
    """A body of more than `limit` bytes."""
    return (
        f"Request body too large: the limit is {limit} bytes after decompression. Shorten the"
        " input or split it into several requests."
    )


def store_unavailable(wait: int = STORE_RETRY) -> str:
    """A budget cannot be checked and may not be skipped; try again after `wait` µs."""
    return f"Rate limits are temporarily unavailable, {_NOT_PROCESSED} {_try_again(wait)}"


def too_many_delayed(wait: int) -> str:
    """The server already delays as many calls as it may; try again after `wait` µs."""
    return f"Too many requests are waiting on this server, {_NOT_PROCESSED} {_try_again(wait)}"


def not_named() -> str:
    """A budget is pooled by a name that the request lacks."""
    return (
        "This request does not say to whom it belongs, such as an organisation, and this service"
        " takes only requests that do. Use a key or a token that says it, or ask the operator of"
        " this service."
    )


def blocked() -> str:
    """An operator has blocked the caller."""
    return (
        f"Requests of this account are blocked by the operator of this service, {_NOT_PROCESSED}"
        " Contact the operator to have the block lifted."
    )


def not_priced(model: str) -> str:
    """A budget in money applies, and the model has no price."""
    name = f"The model {model[:_NAME_CHARACTERS]!r}" if model else "A request without a model"
    return (
        f"{name} has no price on this server, so it cannot be charged to a budget. Use another"
        " model, or ask the operator of this service to add a price under `models` in the policy."
    )


def not_routed() -> str:
    """No route reads the path, and the policy refuses such requests."""
    return (
        "This path is not offered here. Check the path of the request, or ask the operator of this"
        " service to add it under `routes` or `exempt` in the policy."
    )


def body_slow(timeout: int) -> str:
    """The body of the request did not arrive in time."""
    return (
        f"The body of this request did not arrive within {duration(timeout)}, {_NOT_PROCESSED}"
        " Please send it again."
    )


def no_room(wait: int, *, own: bool) -> str:
    """Bodies hold as much as they may: those of this caller, or of all."""
    whose = "You are sending" if own else "This server is receiving"
    return f"{whose} too much at once, {_NOT_PROCESSED} {_try_again(wait)}"


def path_too_long() -> str:
    """The path is long, and servers may take it for many others."""
    return (
        "The path of this request is too long for one that is not in normal form. Remove dot"
        " segments, repeated slashes and escapes from it."
    )


def unforwardable() -> str:
    """The path, the query or a header cannot be sent on as it is."""
    return (
        "This request cannot be sent on as it is. Send the path in normal form, with other"
        " characters than printable ASCII escaped, and a body as long as its Content-Length says."
    )


def upstream_down() -> str:
    """The model server behind this one does not answer, or breaks off."""
    return (
        "The model server does not answer, so this request was not processed. Please try again"
        " in a moment; if it stays so, tell the operator of this service."
    )


def upstream_slow() -> str:
    """The model server behind this one takes too long."""
    return (
        "The model server took too long, so this request was given up. Please try again with a"
        " shorter request; if it stays so, tell the operator of this service."
    )


def upstream_busy(wait: int) -> str:
    """All connections to the model server behind this one are taken."""
    return f"The model server is busy, {_NOT_PROCESSED} {_try_again(wait)}"


def _try_again(wait: int, now: int | None = None) -> str:
    date = "" if now is None or wait < _WITH_DATE else f" (at {moment(now + wait)})"
    return f"Please try again in {waiting(wait)}{date}."


def _numbers(status: LineStatus, requested: int) -> str:
    quota, unit = status.line.quota, status.line.quota.unit
    if quota.algorithm is Algorithm.LEASE:
        running = whole_up(quota.limit - status.remaining)
        return f"limit {whole_down(quota.limit)}, {running} in progress"
    burst = quota.capacity
    bounded = "" if burst == quota.limit else f" with a burst of {_figure(burst, unit)}"
    used = _figure(quota.capacity - status.remaining, unit, up=True)
    return (
        f"limit {_figure(quota.limit, unit)} {unit_name(unit)} per {period(quota)}{bounded},"
        f" used {used}, requested {_figure(requested, unit, up=True)}"
    )


def _figure(amount: int, unit: Unit, *, up: bool = False) -> str:
    if unit is Unit.USD:
        return in_units(max(0, amount))
    return str(whole_up(amount) if up else whole_down(amount))
