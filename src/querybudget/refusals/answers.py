"""Refusals as whole HTTP answers or WebSocket closes, and answers that need no decision."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from querybudget.adapters.base import Dialect
from querybudget.backends import STORE_RETRY
from querybudget.ledger import Decision, LineStatus
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals import sentences
from querybudget.refusals.bodies import Answer, Fault, ProblemType, reply
from querybudget.refusals.headers import (
    DO_NOT_RETRY,
    headers_for,
    retry_after,
    should_not_retry,
    without_buckets,
)
from querybudget.text import whole_up
from querybudget.units import Micros, Unit

_TITLES = {
    ProblemType.QUOTA: "Request cannot be satisfied as assigned quota has been exceeded",
    ProblemType.REDUCED_CAPACITY: "Request cannot be satisfied due to temporary server capacity"
    " constraints",
    ProblemType.ABNORMAL_USAGE: "Request not satisfied due to detection of abnormal request"
    " pattern",
}

_TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    403: ("invalid_request_error", "permission_error"),
    404: ("invalid_request_error", "not_found_error"),
    408: ("invalid_request_error", "timeout_error"),
    413: ("invalid_request_error", "request_too_large"),
    414: ("invalid_request_error", "invalid_request_error"),
    429: ("requests", "rate_limit_error"),
    503: ("server_error", "overloaded_error"),
    504: ("server_error", "timeout_error"),
}
"""Status to OpenAI's and Anthropic's ``type``."""

_PER_REQUEST = {Unit.REQUESTS, Unit.CONCURRENT}

_TRY_AGAIN_LATER, _POLICY_VIOLATION = 1013, 1008
_REASON_BYTES = 123


class Close(msgspec.Struct, frozen=True):
    """How a WebSocket is closed.

    Attributes:
        code: 1013 (try again later) for a short wait, 1008 (policy violation) otherwise.
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
    reason: ProblemType = ProblemType.QUOTA,
) -> Answer:
    """Answer a refused call.

    Budgets in buckets are never mentioned, not even by name. If another budget refuses as well, the
    answer is about that one, because the caller can do something about it.

    Args:
        decision: The refusal.
        dialect: The caller's conventions.
        settings: The policy's settings for refusals.
        now: The decision's time, µs.
        disclosed: Names of the budgets that charge this caller alone. The answer has no figures of
            any other budget.
        request_id: Repeated in the answer; empty for none.
        reason: Why the call is refused. An answer about abnormal usage has no figures, because they
            would show how to avoid detection. A refusal by budgets in buckets alone always has this
            reason.

    Returns:
        An answer with status 429, or 503 for reduced capacity.

    Raises:
        ValueError: The decision admits the call.
    """
    visible = without_buckets(decision)
    if reason is ProblemType.ABNORMAL_USAGE or (decision.verdict and not visible.verdict):
        return _abnormal(decision, dialect, request_id)
    status = _deciding(visible)
    fault = _fault(visible, status, _message(visible, settings, now, disclosed), reason)
    headers = retry_after(visible)
    if should_not_retry(visible, settings):
        headers.append(DO_NOT_RETRY)
        # Clients that know none of the headers give up at this code of OpenAI's.
        fault = msgspec.structs.replace(fault, kind="insufficient_quota", code="insufficient_quota")
    headers += headers_for(visible, dialect, settings, now, disclosed)
    return reply(fault, dialect, headers, request_id)


def message_and_wait(
    decision: Decision, settings: Refusals, now: int, disclosed: Container[str] = ()
) -> tuple[str, Micros]:
    """Return the sentence of `answer` and its wait in µs, for a caller who does not come over HTTP.

    Raises:
        ValueError: The decision admits the call.
    """
    visible = without_buckets(decision)
    if decision.verdict and not visible.verdict:
        code = ProblemType.ABNORMAL_USAGE.value
        return sentences.abnormal_usage(code, decision.wait), decision.wait
    return _message(visible, settings, now, disclosed), visible.wait


def close(decision: Decision, settings: Refusals, reason: ProblemType = ProblemType.QUOTA) -> Close:
    """Close the WebSocket of a refused call.

    Raises:
        ValueError: The decision admits the call.
    """
    visible = without_buckets(decision)
    if reason is ProblemType.ABNORMAL_USAGE or (decision.verdict and not visible.verdict):
        return Close(_POLICY_VIOLATION, "abnormal usage detected")
    code = _POLICY_VIOLATION if should_not_retry(visible, settings) else _TRY_AGAIN_LATER
    text = sentences.close_reason(_deciding(visible)).encode()
    return Close(code, text[:_REASON_BYTES].decode(errors="ignore"))


def plain_answer(
    status: int,
    kind: str,
    message: str,
    dialect: Dialect,
    *,
    request_id: str = "",
    wait: int = 0,
) -> Answer:
    """Answer in the caller's dialect, without a decision and without figures.

    Args:
        status: HTTP status.
        kind: A word for programs, OpenAI's ``code``: ``body_too_large``.
        message: For a person: what is wrong, and what to do.
        dialect: The caller's conventions.
        request_id: Repeated in the answer; empty for none.
        wait: µs after which to try again; 0 for no ``retry-after``.

    Raises:
        ValueError: There is no such status.
    """
    openai, anthropic = _TYPES.get(status, ("server_error", "api_error"))
    reason = ProblemType.REDUCED_CAPACITY
    problem = reason.value if status == 503 else ""  # noqa: PLR2004  HTTP's own
    fault = Fault(status, problem, _TITLES[reason], message, openai, kind, anthropic)
    headers = [(b"retry-after", b"%d" % whole_up(wait))] if wait else []
    return reply(fault, dialect, headers, request_id)


def body_too_large(limit: int, dialect: Dialect, *, request_id: str = "") -> Answer:
    """413: the body has more than `limit` bytes."""
    message = sentences.body_too_large(limit)
    return plain_answer(413, "body_too_large", message, dialect, request_id=request_id)


def store_down(dialect: Dialect, *, request_id: str = "", wait: int = STORE_RETRY) -> Answer:
    """503: a budget cannot be checked and may not be skipped; try again after `wait` µs."""
    message = sentences.store_unavailable(wait)
    return plain_answer(
        503, "store_unavailable", message, dialect, request_id=request_id, wait=wait
    )


def too_many_delayed(dialect: Dialect, *, request_id: str = "", wait: int) -> Answer:
    """429: the server already delays as many calls as it may; try again after `wait` µs."""
    message = sentences.too_many_delayed(wait)
    return plain_answer(
        429, "rate_limit_exceeded", message, dialect, request_id=request_id, wait=wait
    )


def unpriced(model: str, dialect: Dialect, *, request_id: str = "") -> Answer:
    """403: a budget in money applies, and the policy has no price for the model."""
    message = sentences.not_priced(model)
    return plain_answer(403, "model_not_priced", message, dialect, request_id=request_id)


def nameless(dialect: Dialect, *, request_id: str = "") -> Answer:
    """403: a budget's partition does not name the caller, and the policy refuses such requests."""
    message = sentences.not_named()
    return plain_answer(403, "caller_not_named", message, dialect, request_id=request_id)


def blocked(dialect: Dialect, *, request_id: str = "") -> Answer:
    """403: an operator has blocked the caller."""
    message = sentences.blocked()
    return plain_answer(403, "caller_blocked", message, dialect, request_id=request_id)


def no_route(dialect: Dialect, *, request_id: str = "") -> Answer:
    """404: no route reads the path, and the policy refuses such requests."""
    message = sentences.not_routed()
    return plain_answer(404, "path_not_served", message, dialect, request_id=request_id)


def body_slow(timeout: int, dialect: Dialect, *, request_id: str = "") -> Answer:
    """408: the body did not arrive within `timeout` µs."""
    message = sentences.body_slow(timeout)
    return plain_answer(408, "body_timeout", message, dialect, request_id=request_id)


def no_room(dialect: Dialect, *, request_id: str = "", wait: int, own: bool) -> Answer:
    """503 or, if it is the caller's `own` doing, 429: bodies hold as much as they may."""
    message = sentences.no_room(wait, own=own)
    status, kind = (429, "rate_limit_exceeded") if own else (503, "server_busy")
    return plain_answer(status, kind, message, dialect, request_id=request_id, wait=wait)


def path_too_long(dialect: Dialect, *, request_id: str = "") -> Answer:
    """414: the path is long, and servers may take it for many others."""
    message = sentences.path_too_long()
    return plain_answer(414, "path_too_long", message, dialect, request_id=request_id)


def unforwardable(dialect: Dialect, *, request_id: str = "") -> Answer:
    """400: the request cannot be sent on to the model server as it is."""
    message = sentences.unforwardable()
    return plain_answer(400, "invalid_request", message, dialect, request_id=request_id)


def upstream_down(dialect: Dialect, *, request_id: str = "") -> Answer:
    """502: the model server does not answer."""
    message = sentences.upstream_down()
    return plain_answer(502, "upstream_unavailable", message, dialect, request_id=request_id)


def upstream_slow(dialect: Dialect, *, request_id: str = "") -> Answer:
    """504: the model server takes too long."""
    message = sentences.upstream_slow()
    return plain_answer(504, "upstream_timeout", message, dialect, request_id=request_id)


def upstream_busy(dialect: Dialect, *, request_id: str = "", wait: int = STORE_RETRY) -> Answer:
    """503: all connections to the model server are taken; try again after `wait` µs."""
    message = sentences.upstream_busy(wait)
    return plain_answer(503, "upstream_busy", message, dialect, request_id=request_id, wait=wait)


def _abnormal(decision: Decision, dialect: Dialect, request_id: str) -> Answer:
    reason = ProblemType.ABNORMAL_USAGE
    _deciding(decision)  # raises if the decision admits the call
    fault = Fault(
        status=429,
        problem=reason.value,
        title=_TITLES[reason],
        message=sentences.abnormal_usage(reason.value, decision.wait),
        kind=reason.value,
        code=reason.value,
        anthropic="rate_limit_error",
    )
    return reply(fault, dialect, [*retry_after(decision), DO_NOT_RETRY], request_id)


def _deciding(decision: Decision) -> LineStatus:
    """The refusing line that never fits, or else the one with the longest wait."""
    refusing = [s for s in decision.lines if s.verdict and not s.line.shadow]
    if not refusing:
        raise ValueError("expected a decision that refuses, found one that admits")
    return max(refusing, key=lambda status: (status.verdict, status.wait))


def _message(decision: Decision, settings: Refusals, now: int, disclosed: Container[str]) -> str:
    status = _deciding(decision)
    name = status.line.quota.name
    own = name in disclosed
    figures = own and settings.disclose is not Disclosure.NEVER
    message = sentences.refused(status, now, decision.price, figures=figures, own=own)
    others = [other for other in decision.violated if other != name]
    return f"{message} {sentences.also_exceeded(others)}" if others else message


def _fault(decision: Decision, status: LineStatus, message: str, reason: ProblemType) -> Fault:
    reduced = reason is ProblemType.REDUCED_CAPACITY
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
