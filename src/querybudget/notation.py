"""The notation of limits, amounts, durations, sizes and prices: text to exact integers.

Amounts are in µ-units, times in µs, sizes in bytes. Nothing is rounded: a value that cannot be held
exactly is refused. Every function raises a `ValueError` whose message says what was expected and
what was found, ready to follow a file's name and line.

The grammar, where words may be in any case and in singular or plural:

    limit    = amount [unit] ("/" | "per") [count] period  |  amount "concurrent"
    amount   = ["$"] number ["k" | "M" | "B"]        "_" or "," may separate thousands
    unit     = requests | tokens | input_tokens | output_tokens | usd | buckets
    period   = second | minute | hour | day | week | month | year
    duration = number ("ms" | period)
    size     = number ["B" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB"]

It includes what the `limits` package writes: `10/2 hours`, `100 per 1 minute`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from msgspec import Struct

from querybudget.text import in_units, listed, nearest
from querybudget.units import MICRO, SECOND, Period, Unit

LARGEST = 2**53 - 1
"""The largest amount in µ-units, about nine billion units: what Lua's numbers hold exactly."""

LONGEST_SHOWN = 40  # characters of a wrong value, so that a message fits a line

_SHORT_PERIODS = {
    Period.SECOND: ("s", "sec", "secs"),
    Period.MINUTE: ("m", "min", "mins"),
    Period.HOUR: ("h", "hr", "hrs"),
    Period.DAY: ("d",),
    Period.WEEK: ("w",),
}
_PERIODS = {
    word: period
    for period in Period
    for word in (period, f"{period}s", *_SHORT_PERIODS.get(period, ()))
}
_UNITS = {word: unit for unit in Unit for word in (unit, unit.removesuffix("s"))} | {
    "dollar": Unit.USD,
    "dollars": Unit.USD,
    "concurrent_request": Unit.CONCURRENT,
    "concurrent_requests": Unit.CONCURRENT,
}
_SUFFIXES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}
_SIZES = dict.fromkeys(("", "b", "byte", "bytes"), 1) | {
    "kb": 1_000,
    "mb": 1_000_000,
    "gb": 1_000_000_000,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}

# At most 30 digits on each side: more than any real amount needs, and a bound on the work.
_WHOLE = r"[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9](?:_?[0-9]){0,29}"
_NUMBER = rf"(?:{_WHOLE})(?:\.[0-9]{{1,30}})?|\.[0-9]{{1,30}}"
_EXACT = re.compile(rf"(?:{_NUMBER})(?:e[+-]?[0-9]{{1,2}})?", re.IGNORECASE)
_AMOUNT = re.compile(rf"(\$)?\s*({_NUMBER})([kKMB]?)(?![A-Za-z0-9_,.])\s*(.*)", re.DOTALL)
_PER = re.compile(r"(?<![a-z])per", re.IGNORECASE)
_EVERY = re.compile(r"([0-9]{1,9})?\s*([a-z]+)", re.IGNORECASE)
_GAPS = re.compile(r"[\s-]+")
_MEASURE = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.IGNORECASE)

SCORING = ("true", "false", "only")

_LIMIT = "a limit such as `60 requests/minute`, `2M tokens/day`, `$50/month` or `8 concurrent`"
_DURATION = "a duration such as `30s` or `15 minutes`"
_SIZE = "a size such as `16 MiB`"


class Limit(Struct, frozen=True):
    """A limit as it was written.

    Attributes:
        amount: µ-units allowed, above zero.
        unit: What is counted.
        count: Number of periods; 0 for concurrency, which has none.
        period: The period; None for concurrency.
    """

    amount: int
    unit: Unit
    count: int = 1
    period: Period | None = None

    @property
    def window(self) -> int:
        """Length of the window in µs; 0 for concurrency."""
        return self.count * self.period.length if self.period else 0

    def __str__(self) -> str:
        """The limit as `limit` reads it back."""
        amount = in_units(self.amount)
        if self.period is None:
            return f"{amount} {self.unit}"
        every = f"{self.period}" if self.count == 1 else f"{self.count} {self.period}s"
        return f"{amount} {self.unit}/{every}"


def limit(text: str) -> Limit:
    """Read a limit.

    Args:
        text: As in `60 requests/minute`, `100 per 5 minutes`, `$50/month` or `8 concurrent`.
            The unit is requests unless given.

    Raises:
        ValueError: It is not a limit, is zero, is no whole number of its unit, or is too large.
    """
    head, *tail = text.split("/") if "/" in text else _PER.split(text)
    if len(tail) > 1 or ";" in text or "|" in text:
        raise ValueError(
            f"expected one limit, found several in {brief(text)}: each needs its own budget"
        )
    amount, unit = amount_of(head, expected=_LIMIT)
    check_whole(amount, unit or Unit.REQUESTS)
    if unit is Unit.CONCURRENT:
        if tail:
            raise ValueError(f"expected no period after `concurrent`, found {brief(text)}")
        return Limit(amount, unit, 0)
    if not tail:
        raise ValueError(f"expected a period, as in `{text.strip()}/minute`, found none")
    count, period = _every(tail[0])
    return Limit(amount, unit or Unit.REQUESTS, count, period)


def amount_of(text: str, *, expected: str = "an amount such as `20`") -> tuple[int, Unit | None]:
    """Read an amount and its unit, which follows it, or precedes it as `$`.

    Returns:
        The amount in µ-units, and the unit or None.

    Raises:
        ValueError: It is not an amount, is zero, has more than six decimals, or is too large.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected {expected}, found {brief(text)}")
    dollar, number, suffix, rest = match.groups()
    unit = _unit(rest) if rest else None
    if dollar:
        if unit not in (None, Unit.USD):
            raise ValueError(f"expected dollars or {unit}, found both in {brief(text)}")
        unit = Unit.USD
    micro = _exact(number) * _SUFFIXES[suffix] * MICRO
    if micro.denominator != 1:
        raise ValueError(f"expected at most six decimals, found {brief(text)}")
    return _positive(micro, text), unit


def check_whole(amount: int, unit: Unit) -> None:
    """Check that an amount of anything but money is a whole number.

    Raises:
        ValueError: It is not.
    """
    if unit is not Unit.USD and amount % MICRO:
        raise ValueError(f"expected a whole number of {unit}, found `{in_units(amount)}`")


def burst(text: str) -> tuple[int, Unit | None]:
    """Read a burst: an amount such as `20` or `$5`, in the limit's unit by default."""
    return amount_of(text)


def calls(text: str) -> int:
    """Read a number of calls such as `100` or `1k`, above zero."""
    expected = "a number of calls such as `100`"
    amount, unit = amount_of(text, expected=expected)
    if unit not in (None, Unit.REQUESTS) or amount % MICRO:
        raise ValueError(f"expected {expected}, found {brief(text)}")
    return amount // MICRO


def dollars(text: str) -> int:
    """Read an amount of money such as `$50` or `50`, in µ-dollars, above zero."""
    expected = "an amount of money such as `$50`"
    amount, unit = amount_of(text, expected=expected)
    if unit not in (None, Unit.USD):
        raise ValueError(f"expected {expected}, found {brief(text)}")
    return amount


def duration(text: str) -> int:
    """Read a duration such as `500ms`, `30s` or `15 minutes`, in µs, above zero."""
    match = _MEASURE.fullmatch(text.strip())
    word = match[2].lower() if match else ""
    if match is None or not word:
        raise ValueError(f"expected {_DURATION}, found {brief(text)}")
    length = SECOND // 1_000 if word == "ms" else _period(word).length
    return _positive(_exact(match[1]) * length, text)


def elapsed(text: str) -> int:
    """Read a time that has passed, in µs: a duration, or none such as `0` or `0 minutes`."""
    match = _MEASURE.fullmatch(text.strip())
    if match is None or _exact(match[1]):
        return duration(text)
    if match[2]:
        duration(f"1 {match[2]}")  # none of a unit that there is not is wrong too
    return 0


def size(text: str) -> int:
    """Read a size such as `16 MiB`, `500 KB` or a bare number of bytes, above zero."""
    match = _MEASURE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected {_SIZE}, found {brief(text)}")
    scale = _SIZES.get(match[2].lower())
    if scale is None:
        near = nearest(match[2], ("KB", "MB", "GB", "KiB", "MiB", "GiB"))
        raise ValueError(f"expected {_SIZE}, found unit `{match[2]}`{near}")
    return _positive(_exact(match[1]) * scale, text)


def factor(text: str) -> int:
    """Read a factor such as `0.25` or `10`, in millionths; zero is allowed."""
    return _scaled(text, MICRO, "a factor such as `0.25` or `10`")


def share(text: str) -> int:
    """Read a share such as `0.5` or `50%`, from 0 to 1, in millionths."""
    percent = text.strip().endswith("%")
    number, scale = (text.strip()[:-1], MICRO // 100) if percent else (text, MICRO)
    value = _scaled(number, scale, "a share such as `0.5`")
    if value > MICRO:
        near = (
            ""
            if percent or not 2 * MICRO < value <= 100 * MICRO
            else f" (did you mean `{number.strip()}%`?)"
        )
        raise ValueError(f"expected a share from 0 to 1, found {brief(text)}{near}")
    return value


def scoring(text: str) -> str:
    """Read whether the sweep score counts: `true`, `false` or `only`."""
    if text not in SCORING:
        raise ValueError(f"expected `true`, `false` or `only`, found {brief(text)}")
    return text


def price_per_million(text: str) -> int:
    """Read a price in USD per million tokens, in picodollars per token; zero is allowed."""
    return _scaled(
        text.removeprefix("$"), MICRO, "a price in USD per million tokens such as `2.50`"
    )


def price_per_request(text: str) -> int:
    """Read a price in USD for a request, in picodollars; zero is allowed."""
    return _scaled(text.removeprefix("$"), MICRO * MICRO, "a price in USD such as `0.01`")


def brief(text: str) -> str:
    """Return what was found, in backquotes and cut to `LONGEST_SHOWN` characters, for a message."""
    text = " ".join(text.split())
    if not text:
        return "nothing"
    return f"`{text}`" if len(text) <= LONGEST_SHOWN else f"`{text[: LONGEST_SHOWN - 3]}...`"


def _unit(text: str) -> Unit:
    unit = _UNITS.get(_GAPS.sub("_", text.strip().lower()))
    if unit is None:
        found = f"{brief(text)}{nearest(text, list(Unit))}"
        raise ValueError(f"expected a unit of {listed(list(Unit))}, found {found}")
    return unit


def _period(word: str) -> Period:
    period = _PERIODS.get(word.lower())
    if period is None:
        found = f"{brief(word)}{nearest(word, _PERIODS)}"
        raise ValueError(f"expected a period of {listed(list(Period))}, found {found}")
    return period


def _every(text: str) -> tuple[int, Period]:
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a period such as `minute` or `5 minutes`, found {brief(text)}")
    count, period = int(match[1] or 1), _period(match[2])
    if count == 0:
        raise ValueError(f"expected a number of {period}s above zero, found {brief(text)}")
    _positive(Fraction(count * period.length), text)
    return count, period


def _scaled(text: str, scale: int, expected: str) -> int:
    if not _EXACT.fullmatch(text.strip()):
        raise ValueError(f"expected {expected}, found {brief(text)}")
    scaled = _exact(text) * scale
    if scaled.denominator != 1:
        raise ValueError(f"expected {expected}, in steps of 1/{scale:_}, found {brief(text)}")
    return _countable(scaled, text)


def _exact(number: str) -> Fraction:
    return Fraction(number.strip().replace("_", "").replace(",", ""))


def _positive(value: Fraction, text: str) -> int:
    if value <= 0:
        raise ValueError(f"expected more than zero, found {brief(text)}")
    if value.denominator != 1:
        raise ValueError(f"expected a whole number of the smallest unit, found {brief(text)}")
    return _countable(value, text)


def _countable(value: Fraction, text: str) -> int:
    if value > LARGEST:
        raise ValueError(
            f"expected a smaller amount, found {brief(text)}, too large to count exactly"
        )
    return int(value)
