"""The kinds of values that a policy's keys take, for `querybudget.policy.file`.

Each is what the loader makes of it, with `Meta` that say how it is written: see there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from querybudget import notation

__all__ = [
    "Burst",
    "Duration",
    "Factor",
    "Fee",
    "Limit",
    "Price",
    "Share",
    "Size",
    "Text",
    "between",
    "doc",
]


def doc(text: str) -> Meta:
    """What a key is, for whoever writes one."""
    return Meta(description=text)


def _notation(
    parse: Callable[[str], object], expected: str, kinds: str, *examples: object, pattern: str = ""
) -> Meta:
    schema: dict[str, object] = {"type": kinds.split(), "examples": list(examples)}
    if pattern:
        schema["pattern"] = pattern
    return Meta(extra={"parse": parse, "expected": expected, "schema": schema})


def between(least: int, most: int | None = None) -> Meta:
    """The bounds of a whole number, both within."""
    span = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Meta(ge=least, le=most, extra={"expected": f"a whole number {span}"})


_MEASURE = r"^\s*[0-9._,]+\s*[A-Za-z]*\s*$|\$\{"

Limit = Annotated[
    notation.Limit,
    _notation(
        notation.limit,
        "a limit such as `60 requests/minute`",
        "string",
        "60 requests/minute",
        "2M tokens/day",
        "50 usd/month",
        "8 concurrent",
        "1000 buckets/30 days",
        pattern=r"^\s*(\$\s*)?[0-9._,]+[kKMB]?\s*[A-Za-z_ -]*"
        r"((/|[Pp][Ee][Rr])\s*[0-9]*\s*[A-Za-z]+\s*)?$|\$\{",
    ),
]
Burst = Annotated[
    tuple[int, str | None],
    _notation(notation.burst, "an amount such as `20`", "number string", 20, "100k tokens"),
]
Duration = Annotated[
    int,
    _notation(
        notation.duration, "a duration such as `30s`", "string", "15 minutes", pattern=_MEASURE
    ),
]
Size = Annotated[
    int,
    _notation(
        notation.size, "a size such as `16 MiB`", "integer string", "16 MiB", pattern=_MEASURE
    ),
]
Factor = Annotated[
    int, _notation(notation.factor, "a factor such as `0.25` or `10`", "number string", 0.25, 10)
]
Share = Annotated[int, _notation(notation.share, "a share such as `0.5`", "number string", 0.5, 1)]
Price = Annotated[
    int,
    _notation(
        notation.price_per_million,
        "a price in USD per million tokens such as `2.50`",
        "number string",
        2.5,
    ),
]
Fee = Annotated[
    int,
    _notation(notation.price_per_request, "a price in USD such as `0.01`", "number string", 0.01),
]
Text = Annotated[str, _notation(str, "text", "string number boolean")]
"""Text, or a number or truth value taken as it is written."""
