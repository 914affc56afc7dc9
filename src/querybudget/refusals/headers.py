"""Headers with limits, what is left, and when to try again."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision, LineStatus, Verdict, refusal
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals.ietf import DRAFT, fields
from querybudget.text import duration, moment, whole_down, whole_up
from querybudget.units import Unit

__all__ = [
    "DO_NOT_RETRY",
    "Header",
    "Headers",
    "headers_for",
    "limit_headers",
    "retry_after",
    "retry_headers",
    "should_not_retry",
    "without_buckets",
]

Header = tuple[bytes, bytes]
Headers = list[Header]

DO_NOT_RETRY: Header = (b"x-should-retry", b"false")
"""The only header that stops every release of the OpenAI and Anthropic SDKs from retrying: they
sleep through a long Retry-After, or ignore it."""

_PARTS = (b"limit", b"remaining", b"reset")


def _openai(family: bytes) -> tuple[bytes, ...]:
    return tuple(b"x-ratelimit-%s-%s" % (part, family) for part in _PARTS)


def _anthropic(family: bytes) -> tuple[bytes, ...]:
    return tuple(b"anthropic-ratelimit-%s-%s" % (family, part) for part in _PARTS)


_OPENAI_NAMES = {
    Unit.REQUESTS: _openai(b"requests"),
    Unit.TOKENS: _openai(b"tokens"),
    Unit.INPUT_TOKENS: _openai(b"tokens"),
    Unit.OUTPUT_TOKENS: _openai(b"tokens"),
}
_BUCKETS = Unit.BUCKETS  # looking up an enum member costs as much as the rest of the test
_ANTHROPIC_NAMES = {
    Unit.REQUESTS: _anthropic(b"requests"),
    Unit.TOKENS: _anthropic(b"tokens"),
    Unit.INPUT_TOKENS: _anthropic(b"input-tokens"),
    Unit.OUTPUT_TOKENS: _anthropic(b"output-tokens"),
}


def headers_for(
    decision: Decision,
    dialect: Dialect,
    settings: Refusals,
    now: int,
    disclosed: Container[str] = (),
) -> Headers:
    """The limit headers of an admitted call.

    Args:
        decision: The decision.
        dialect: Anthropic's clients get Anthropic's header names, all others get OpenAI's.
        settings: The policy's settings. There are no headers unless it discloses always.
        now: The decision's time, µs.
        disclosed: Names of the budgets that charge this caller alone. Other budgets are left out,
            because their figures show what other callers do.

    Returns:
        Headers, names in lower case. Each family of units shows the line with the least left.
    """
    if settings.disclose is not Disclosure.ALWAYS:
        return []
    return limit_headers(decision, dialect, settings, now, disclosed)


def limit_headers(
    decision: Decision, dialect: Dialect, settings: Refusals, now: int, disclosed: Container[str]
) -> Headers:
    """`headers_for`, whatever `settings` say about disclosure."""
    anthropic = dialect is Dialect.ANTHROPIC
    names = _ANTHROPIC_NAMES if anthropic else _OPENAI_NAMES
    shown: list[LineStatus] = []
    tightest: dict[tuple[bytes, ...], LineStatus] = {}
    for status in decision.lines:
        line = status.line
        quota = line.quota
        if line.shadow or quota.name not in disclosed or quota.unit is _BUCKETS:
            continue
        shown.append(status)
        family = names.get(quota.unit)
        if family is not None:
            other = tightest.get(family)
            if other is None or _tighter(status, other):
                tightest[family] = status
    headers: Headers = []
    for (limit, remaining, reset), status in tightest.items():
        time = status.wait or status.reset
        until = moment(now + time) if anthropic else duration(time)
        headers += (
            (limit, b"%d" % whole_down(status.line.quota.capacity)),
            (remaining, b"%d" % whole_down(status.remaining)),
            (reset, until.encode()),
        )
    if settings.ietf == DRAFT:
        headers += fields(shown)
    return headers


def retry_headers(decision: Decision, settings: Refusals) -> Headers:
    """When to try again, and whether a client should do so automatically."""
    headers = retry_after(decision)
    if should_not_retry(decision, settings):
        headers.append(DO_NOT_RETRY)
    return headers


def retry_after(decision: Decision) -> Headers:
    """When to try again, rounded up so that the promise holds; empty if the call never fits."""
    if decision.verdict is not Verdict.WAIT:
        return []
    return [
        (b"retry-after", b"%d" % whole_up(decision.wait)),
        (b"retry-after-ms", b"%d" % -(-decision.wait // 1_000)),
    ]


def without_buckets(decision: Decision) -> Decision:
    """The decision as if there were no budgets in buckets.

    Callers see only this one: any figure of a budget in buckets, even its name or its wait, would
    show how to avoid detection.
    """
    lines = tuple(status for status in decision.lines if status.line.quota.unit is not _BUCKETS)
    if len(lines) == len(decision.lines):
        return decision
    verdict, wait = refusal(lines)
    return msgspec.structs.replace(decision, lines=lines, verdict=verdict, wait=wait)


def should_not_retry(decision: Decision, settings: Refusals) -> bool:
    """Whether a client should not retry automatically: the call never fits, or the wait is long."""
    return decision.verdict is Verdict.NEVER or decision.wait > settings.long_wait


def _tighter(status: LineStatus, other: LineStatus) -> bool:
    """Whether a line is shown before another: refusals by their wait, then the least left."""
    if status.verdict or other.verdict:
        return (status.verdict, status.wait) > (other.verdict, other.wait)
    return status.remaining < other.remaining
