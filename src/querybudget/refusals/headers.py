"""Figures in the dialects' own headers, and when to try again."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision, LineStatus, Verdict
from querybudget.policy.model import Disclosure, Refusals
from querybudget.refusals.ietf import DRAFT, fields
from querybudget.text import duration, moment, whole_down, whole_up
from querybudget.units import Unit

__all__ = [
    "DO_NOT_RETRY",
    "Header",
    "Headers",
    "figures",
    "headers_for",
    "lasts",
    "retry",
    "when",
    "without_buckets",
]

Header = tuple[bytes, bytes]
Headers = list[Header]

DO_NOT_RETRY: Header = (b"x-should-retry", b"false")
"""The one header that keeps every release of the OpenAI and Anthropic SDKs from retrying: they
sleep through a long Retry-After, or take no notice of it."""

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
_BUCKETS = Unit.BUCKETS  # Looking up an enum's member costs as much as the rest of the test.
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
    """Figures for an answer that was admitted.

    Args:
        decision: The decision.
        dialect: Whose header names: Anthropic's, or OpenAI's for everybody else.
        settings: How the policy wants it; nothing unless it discloses always.
        now: The decision's moment, µs.
        disclosed: Names of the budgets that the caller alone is charged on. Of others nothing is
            told: the figures would tell what other callers do.

    Returns:
        Headers, names in lower case. For each family of units the line with least left speaks.
    """
    if settings.disclose is not Disclosure.ALWAYS:
        return []
    return figures(decision, dialect, settings, now, disclosed)


def figures(
    decision: Decision, dialect: Dialect, settings: Refusals, now: int, disclosed: Container[str]
) -> Headers:
    """The figures of `headers_for`, whatever `settings` say of disclosing."""
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
        told = moment(now + time) if anthropic else duration(time)
        headers += (
            (limit, b"%d" % whole_down(status.line.quota.capacity)),
            (remaining, b"%d" % whole_down(status.remaining)),
            (reset, told.encode()),
        )
    if settings.ietf == DRAFT:
        headers += fields(shown)
    return headers


def retry(decision: Decision, settings: Refusals) -> Headers:
    """When to try again, and whether a client should by itself."""
    headers = when(decision)
    if lasts(decision, settings):
        headers.append(DO_NOT_RETRY)
    return headers


def when(decision: Decision) -> Headers:
    """When to try again: rounded up, so that the promise holds; nothing for never."""
    if decision.verdict is not Verdict.WAIT:
        return []
    return [
        (b"retry-after", b"%d" % whole_up(decision.wait)),
        (b"retry-after-ms", b"%d" % -(-decision.wait // 1_000)),
    ]


def without_buckets(decision: Decision) -> Decision:
    """The decision as if it had been made without budgets in buckets.

    What a caller is told is told of this: any figure of a bucket budget, its name and its wait
    included, would tell how to go on.
    """
    lines = tuple(status for status in decision.lines if status.line.quota.unit is not _BUCKETS)
    if len(lines) == len(decision.lines):
        return decision
    refusing = [status for status in lines if status.verdict and not status.line.shadow]
    verdict = max((status.verdict for status in refusing), default=Verdict.ADMIT)
    waits = verdict is Verdict.WAIT
    wait = max(status.wait for status in refusing) if waits else 0
    return msgspec.structs.replace(decision, lines=lines, verdict=verdict, wait=wait)


def lasts(decision: Decision, settings: Refusals) -> bool:
    """Whether a client should not try again by itself."""
    return decision.verdict is Verdict.NEVER or decision.wait > settings.long_wait


def _tighter(status: LineStatus, other: LineStatus) -> bool:
    """A line that refuses goes first, the longest wait before others; then the least left."""
    if status.verdict or other.verdict:
        return (status.verdict, status.wait) > (other.verdict, other.wait)
    return status.remaining < other.remaining
