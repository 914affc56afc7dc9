"""The kinds of values that a policy's keys take.

Each is the type that the loader makes, annotated with how it is written. `Meta.extra` has
what `querybudget.policy.decode` and `querybudget.policy.schema` need beyond what msgspec can say:

    notation  the function of `querybudget.notation` that reads a scalar's text; `str` keeps it
    expected  what the value should be, for the message when it is something else
    schema    what JSON Schema says of a scalar with a notation
    required  the key must be there, although the field has a default
    short     the key that a scalar in place of the mapping stands for: `claim: sub` is {path: sub}
    several   so does a list in place of the mapping
    number    that scalar is a number: `coding: 3` is {weight: 3}
    word      a scalar in place of the mapping is a key without value: `user` is {user: {}}
    words     so is each item of a list, with the value that is given here for it
    one       the mapping has exactly one key
    beside    except these, which it may have besides
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

is_function_path = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*").fullmatch
"""Whether a text names a function: ``package.module:function``."""

_MEASURE = r"^\s*[0-9._,]+\s*[A-Za-z]*\s*$|\$\{"


def doc(text: str) -> Meta:
    """Describe a key."""
    return Meta(description=text)


def required() -> Meta:
    """Require a key whose field has a default."""
    return Meta(extra={"required": True})


def between(minimum: int, maximum: int | None = None) -> Meta:
    """Bound a whole number; both bounds are allowed."""
    span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    return Meta(ge=minimum, le=maximum, extra={"expected": f"a whole number {span}"})


def written(notation: str, expected: str, kinds: str, *examples: object, pattern: str = "") -> Meta:
    """Say how a scalar is written.

    Args:
        notation: Name of a function of `querybudget.notation`. A name, because the types of a
            policy are imported more often than a policy is loaded.
        expected: What the value should be, for messages.
        kinds: JSON types of the scalar, separated by spaces.
        examples: For JSON Schema.
        pattern: For JSON Schema; empty for none.
    """
    schema: dict[str, object] = {"type": kinds.split(), "examples": list(examples)}
    if pattern:
        schema["pattern"] = pattern
    return Meta(extra={"notation": notation, "expected": expected, "schema": schema})


Words = tuple[str, ...]

Duration = Annotated[
    int,
    written("duration", "a duration such as `30s`", "string", "15 minutes", pattern=_MEASURE),
]
Size = Annotated[
    int,
    written("size", "a size such as `16 MiB`", "integer string", "16 MiB", pattern=_MEASURE),
]
Factor = Annotated[
    int, written("factor", "a factor such as `0.25` or `10`", "number string", 0.25, 10)
]
"""In millionths: `MICRO` is 1."""
Share = Annotated[int, written("share", "a share such as `0.5`", "number string", 0.5, 1)]
Price = Annotated[
    int,
    written(
        "price_per_million",
        "a price in USD per million tokens such as `2.50`",
        "number string",
        2.5,
    ),
]
"""In picodollars (1e-12 USD) per token: USD per million tokens times 1e6."""

Fee = Annotated[
    int, written("price_per_request", "a price in USD such as `0.01`", "number string", 0.01)
]
"""In picodollars."""

Calls = Annotated[
    int, written("calls", "a number of calls such as `100`", "integer string", 100, "1k")
]
Dollars = Annotated[
    int, written("dollars", "an amount of money such as `$50`", "number string", "$50", 50)
]
"""In µ-dollars."""

Networks = Annotated[
    tuple[str, ...],
    doc("Networks in CIDR notation; `*` for all, `unix` for peers on a Unix socket."),
]

Text = Annotated[str, written("str", "text", "string number boolean")]
"""Text, or a number or truth value taken as it is written."""
