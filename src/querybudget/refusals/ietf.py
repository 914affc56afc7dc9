"""RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-11 (May 2026).

Both are Lists of Strings with Parameters (RFC 9651). The draft has no unit for tokens or money, so
a parameter of our own names it: ``querybudget-unit``. Money is in millionths of a US dollar,
because the draft's numbers must be Integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from querybudget.ledger import LineStatus, Verdict
from querybudget.text import whole_down, whole_up
from querybudget.units import SECOND, Quota, Unit

__all__ = ["DRAFT", "fields"]

DRAFT = "draft-11"
"""The value of `Refusals.ietf` that turns these fields on."""

_LARGEST = 10**15 - 1
"""The largest Integer of RFC 9651."""

_PLAIN = re.compile(r"[\w .:/-]*", re.ASCII)

_UNITS = {
    Unit.REQUESTS: "",
    Unit.CONCURRENT: ';qu="concurrent-requests"',
    Unit.TOKENS: ';querybudget-unit="tokens"',
    Unit.INPUT_TOKENS: ';querybudget-unit="input-tokens"',
    Unit.OUTPUT_TOKENS: ';querybudget-unit="output-tokens"',
    Unit.USD: ';querybudget-unit="usd-millionths"',
}


def fields(statuses: Sequence[LineStatus]) -> list[tuple[bytes, bytes]]:
    """Both fields for the lines that may be disclosed; empty if there are none.

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
    return f"{_string(name)};q={_amount(limit, unit)}{length}{_UNITS[unit]}"


def _limit(status: LineStatus) -> str:
    quota = status.line.quota
    time = status.wait if status.verdict is Verdict.WAIT else status.reset
    seconds = f";t={_integer(whole_up(time))}" if time > 0 else ""
    return f"{_string(quota.name)};r={_amount(status.remaining, quota.unit)}{seconds}"


def _amount(amount: int, unit: Unit) -> int:
    return _integer(max(0, amount) if unit is Unit.USD else whole_down(amount))


def _integer(number: int) -> int:
    return min(number, _LARGEST)


def _list(items: Iterable[str]) -> bytes:
    return ", ".join(items).encode("ascii")


def _string(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    ascii_only = "".join(sign if " " <= sign <= "~" else "?" for sign in escaped)
    return f'"{ascii_only}"'
