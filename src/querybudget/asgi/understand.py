"""What a body asks: as its adapter reads it, or else as servers in Python would."""

from __future__ import annotations

import json
import math
from hashlib import blake2b

from querybudget.adapters.base import Adapter, Call
from querybudget.errors import BodyError
from querybudget.limiter.conditions import UNREADABLE

__all__ = ["understand"]

LENIENT = 1024 * 1024
"""The longest body that is read a second time where the first reading fails: it takes longer."""


def understand(adapter: Adapter, path: str, body: bytes) -> tuple[Call, bytes]:
    """What a body asks.

    One that cannot be read goes to the application, which has its own words for it; it counts as
    one request of its size, on every budget of its path, and as a bucket of its own.

    Returns:
        The call, and the JSON that it was read from.
    """
    try:
        return adapter.parse(path, body), body
    except BodyError:
        strict = _strict(body)
    if strict is not None:
        try:
            return adapter.parse(path, strict), strict
        except BodyError:
            pass
    name = blake2b(body, digest_size=16).hexdigest()
    return Call(adapter.dialect, UNREADABLE, input_bytes=len(body), ask=name), body


def _strict(body: bytes) -> bytes | None:
    """The same as strict JSON; None for what no server reads.

    Most servers take what Python's own reader takes: UTF-16, NaN, halves of surrogate pairs. A
    budget that could not read these would be one to walk around.
    """
    if len(body) > LENIENT:
        return None
    try:
        document = json.loads(body, parse_constant=_nothing, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def _nothing(_constant: str) -> None:
    """NaN and the infinities are no numbers in JSON."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
