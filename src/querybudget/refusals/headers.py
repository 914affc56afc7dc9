"""Headers with limits, what is left, and when to try again."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache

import msgspec

from querybudget.adapters.base import Dialect
from querybudget.ledger import Decision, Line, LineStatus, Verdict, refusal
from querybudget.policy.model import Disclosure, Refusals
from querybudget.text import duration, moment, whole_down, whole_up
from querybudget.units import MICRO, SECOND, Quota, Unit

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
# Looking up an enum member costs as much as the rest of a test.
_ALWAYS, _NEVER = Disclosure.ALWAYS, Disclosure.NEVER
_BUCKETS, _ANTHROPIC = Unit.BUCKETS, Dialect.ANTHROPIC
_ANTHROPIC_NAMES = {
    Unit.REQUESTS: _anthropic(b"requests"),
    Unit.TOKENS: _anthropic(b"tokens"),
    Unit.INPUT_TOKENS: _anthropic(b"input-tokens"),
    Unit.OUTPUT_TOKENS: _anthropic(b"output-tokens"),
}

_IETF_DRAFT = "draft-11"
"""The value of `Refusals.ietf` that turns the fields of the IETF draft on."""

_LARGEST_INTEGER = 10**15 - 1
"""The largest Integer of RFC 9651."""

_PLAIN_STRING = re.compile(r"[\w .:/-]*", re.ASCII)

_IETF_UNITS = {
    Unit.REQUESTS: "",
    Unit.CONCURRENT: ';qu="concurrent-requests"',
    Unit.TOKENS: ';querybudget-unit="tokens"',
    Unit.INPUT_TOKENS: ';querybudget-unit="input-tokens"',
    Unit.OUTPUT_TOKENS: ';querybudget-unit="output-tokens"',
    Unit.USD: ';querybudget-unit="usd-millionths"',
}


def headers_for(
    decision: Decision,
    dialect: Dialect,
    settings: Refusals,
    now: int,
    disclosed: Container[str] = (),
) -> Headers:
    """The limit headers of a call.

    Args:
        decision: The decision.
        dialect: Anthropic's clients get Anthropic's header names, all others get OpenAI's.
        settings: The policy's settings. There are no headers unless it discloses always, or the
            call is refused and it discloses in refusals.
        now: The decision's time, µs.
        disclosed: Names of the budgets that charge this caller alone. Other budgets are left out,
            because their figures show what other callers do.

    Returns:
        Headers, names in lower case. Each family of units shows the line with the least left.
    """
    if settings.disclose is not _ALWAYS and (decision.admitted or settings.disclose is _NEVER):
        return []
    anthropic = dialect is _ANTHROPIC
    names = _ANTHROPIC_NAMES if anthropic else _OPENAI_NAMES
    tightest: dict[tuple[bytes, ...], LineStatus] = {}
    for status in decision.lines:
        line = status.line
        quota = line.quota
        family = names.get(quota.unit)
        if family is None or line.shadow or quota.name not in disclosed:
            continue
        other = tightest.get(family)
        if other is None or _tighter(status, other):
            tightest[family] = status
    headers: Headers = []
    for (limit, remaining, reset), status in tightest.items():
        time, left = status.wait or status.reset, status.remaining
        headers += (
            (limit, _whole(status.line.quota.capacity)),
            (remaining, b"%d" % (left // MICRO if left > 0 else 0)),
            (reset, moment(now + time).encode() if anthropic else _duration(time)),
        )
    if settings.ietf == _IETF_DRAFT:
        headers += _ietf_headers([one for one in decision.lines if _is_shown(one.line, disclosed)])
    return headers


def _is_shown(line: Line, disclosed: Container[str]) -> bool:
    quota = line.quota
    return not line.shadow and quota.name in disclosed and quota.unit is not _BUCKETS


@lru_cache(maxsize=256)  # a policy has few budgets, and a scaled limit for each tier
def _whole(limit: int) -> bytes:
    return b"%d" % whole_down(limit)


@lru_cache(maxsize=256)  # after a charge, a sliding window takes its own length to be empty
def _duration(time: int) -> bytes:
    return duration(time).encode()


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


# -- RateLimit and RateLimit-Policy --------------------------------------------------------------
#
# These are the fields of draft-ietf-httpapi-ratelimit-headers-11 (May 2026). Both are Lists of
# Strings with Parameters (RFC 9651). The draft has no unit for tokens or money, so a parameter of
# our own names it: ``querybudget-unit``. Money is in millionths of a US dollar, because the draft's
# numbers must be Integers.


def _ietf_headers(statuses: Sequence[LineStatus]) -> Headers:
    """RateLimit and RateLimit-Policy for the lines that may be disclosed; empty if there are none.

    ``RateLimit`` has, for each line, how much (``r``) may be used within the next ``t`` seconds. If
    some lines refuse, it has only those, with their wait as ``t``, because Retry-After must not end
    before any ``t`` beside it.
    """
    if not statuses:
        return []
    refusing = [status for status in statuses if status.verdict is not Verdict.ADMIT]
    return [
        (b"ratelimit-policy", _list(_policy(status.line.quota) for status in statuses)),
        (b"ratelimit", _list(_limit(status) for status in refusing or statuses)),
    ]


def _policy(quota: Quota) -> str:
    return _policy_of(quota.name, quota.limit, quota.window, quota.unit)


@lru_cache(maxsize=256)  # a policy has few budgets, and a scaled limit for each tier
def _policy_of(name: str, limit: int, window: int, unit: Unit) -> str:
    length = f";w={_integer(max(1, window // SECOND))}" if window else ""
    return f"{_string(name)};q={_amount(limit, unit)}{length}{_IETF_UNITS[unit]}"


def _limit(status: LineStatus) -> str:
    quota = status.line.quota
    time = status.wait if status.verdict is Verdict.WAIT else status.reset
    seconds = f";t={_integer(whole_up(time))}" if time > 0 else ""
    return f"{_string(quota.name)};r={_amount(status.remaining, quota.unit)}{seconds}"


def _amount(amount: int, unit: Unit) -> int:
    return _integer(max(0, amount) if unit is Unit.USD else whole_down(amount))


def _integer(number: int) -> int:
    return min(number, _LARGEST_INTEGER)


def _list(items: Iterable[str]) -> bytes:
    return ", ".join(items).encode("ascii")


def _string(text: str) -> str:
    if _PLAIN_STRING.fullmatch(text):
        return f'"{text}"'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    ascii_only = "".join(sign if " " <= sign <= "~" else "?" for sign in escaped)
    return f'"{ascii_only}"'
