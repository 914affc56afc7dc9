"""A refusal, whole."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision, LineStatus
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals.bodies import Answer, Fault, Reason, reply
from querybudget.refusals.headers import (
    DO_NOT_RETRY,
    figures,
    lasts,
    retry,
    when,
    without_buckets,
)
from querybudget.refusals.sentences import refusal, short_refusal
from querybudget.text import duration
from querybudget.units import Unit

__all__ = ["Close", "answer", "close"]

_TITLES = {
    Reason.QUOTA: "Request cannot be satisfied as assigned quota has been exceeded",
    Reason.REDUCED_CAPACITY: "Request cannot be satisfied due to temporary server capacity"
    " constraints",
    Reason.ABNORMAL_USAGE: "Request not satisfied due to detection of abnormal request pattern",
}

_PER_REQUEST = {Unit.REQUESTS, Unit.CONCURRENT}

_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
_REASON_BYTES = 123


@dataclass(frozen=True, slots=True)
class Close:
    """How a WebSocket is closed.

    Attributes:
        code: 1013 (try again later) for a short wait, 1008 (policy violation) for any other.
        reason: At most 123 bytes of UTF-8 (RFC 6455, section 5.5).
    """

    code: int
    reason: str


def answer(
    decision: Decision,
    dialect: Dialect,
    settings: Refusals,
    now: int,
    *,
    disclosed: Container[str] = (),
    request_id: str = "",
    reason: Reason = Reason.QUOTA,
) -> Answer:
    """Answer a call that was refused.

    Nothing is told of budgets in buckets, not even their names. Where another budget refuses as
    well, that one is told, since it is the one that the caller can do something about.

    Args:
        decision: The refusal.
        dialect: Whose conventions the caller reads.
        settings: How the policy wants refusals to look.
        now: The decision's moment, µs.
        disclosed: Names of the budgets that the caller alone is charged on; figures are told of
            no other.
        request_id: Repeated in the answer; empty for none.
        reason: Why. Of abnormal usage no figure is told, since that would tell how to go on; it
            is the reason of every refusal by budgets in buckets alone.

    Returns:
        Status 429, or 503 for reduced capacity.

    Raises:
        ValueError: The decision admits.
    """
    told = without_buckets(decision)
    if reason is Reason.ABNORMAL_USAGE or (not told.verdict and decision.verdict):
        return _abnormal(decision, dialect, request_id)
    decision = told
    status = _leading(decision)
    fault = _fault(decision, status, _message(decision, settings, now, disclosed), reason)
    if lasts(decision, settings):
        fault = _lasting(fault)
    headers = retry(decision, settings)
    if settings.disclose is not Disclosure.NEVER:
        headers += figures(decision, dialect, settings, now, disclosed)
    return reply(fault, dialect, headers, request_id)


def close(decision: Decision, settings: Refusals, reason: Reason = Reason.QUOTA) -> Close:
    """Close a WebSocket whose call was refused.

    Args:
        decision: The refusal.
        settings: How the policy wants refusals to look.
        reason: Why.

    Raises:
        ValueError: The decision admits.
    """
    told = without_buckets(decision)
    if reason is Reason.ABNORMAL_USAGE or (not told.verdict and decision.verdict):
        return Close(_POLICY_VIOLATION, "abnormal usage detected")
    decision = told
    code = _POLICY_VIOLATION if lasts(decision, settings) else _TRY_AGAIN_LATER
    words = short_refusal(_leading(decision)).encode()
    return Close(code, words[:_REASON_BYTES].decode(errors="ignore"))


def _abnormal(decision: Decision, dialect: Dialect, request_id: str) -> Answer:
    reason = Reason.ABNORMAL_USAGE
    _leading(decision)  # which says so where nothing refuses
    again = f" Please try again in {duration(decision.wait)}." if decision.wait else ""
    fault = Fault(
        status=429,
        problem=reason.value,
        title=_TITLES[reason],
        message=(
            "This account's pattern of requests is unusual, and further ones of its kind are not"
            f" answered for now ({reason.value}).{again} If this is a mistake, tell the operator"
            " of this service."
        ),
        kind=reason.value,
        code=reason.value,
        anthropic="rate_limit_error",
    )
    return reply(fault, dialect, [*when(decision), DO_NOT_RETRY], request_id)


def _leading(decision: Decision) -> LineStatus:
    """The line that decides: one that never fits, or the one to be waited for longest."""
    refusing = [s for s in decision.lines if s.verdict and not s.line.shadow]
    if not refusing:
        raise ValueError("expected a decision that refuses, found one that admits")
    return max(refusing, key=lambda status: (status.verdict, status.wait))


def _message(decision: Decision, settings: Refusals, now: int, disclosed: Container[str]) -> str:
    status = _leading(decision)
    own = status.line.quota.name in disclosed
    shown = own and settings.disclose is not Disclosure.NEVER
    message = refusal(status, now, decision.price, figures=shown, own=own)
    name = status.line.quota.name
    others = [repr(other) for other in decision.violated if other != name]
    return f"{message} Refused as well by: {', '.join(others)}." if others else message


def _fault(decision: Decision, status: LineStatus, message: str, reason: Reason) -> Fault:
    reduced = reason is Reason.REDUCED_CAPACITY
    return Fault(
        status=503 if reduced else 429,
        problem=reason.value,
        title=_TITLES[reason],
        message=message,
        kind="requests" if status.line.quota.unit in _PER_REQUEST else "tokens",
        code="rate_limit_exceeded",
        anthropic="overloaded_error" if reduced else "rate_limit_error",
        policies=decision.violated,
    )


def _lasting(fault: Fault) -> Fault:
    """OpenAI's code for what no retry mends: clients that know no header give up at it."""
    return replace(fault, kind="insufficient_quota", code="insufficient_quota")
