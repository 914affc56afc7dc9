"""Calls for the tests of metrics."""

from __future__ import annotations

import re
from contextlib import suppress

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.errors import RefusedError
from querybudget.limiter import Limiter, request_scope

CHAT = "/v1/chat/completions"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


async def call(
    limiter: Limiter, *, model: str = "gpt-5-mini", key: str = "sk-a", **headers: str
) -> None:
    """Make one call that uses 15 tokens, 2 of them cached and 1 of them reasoning."""
    scope = request_scope(CHAT, headers={"authorization": f"Bearer {key}", **headers})
    asked = Call(Dialect.OPENAI, "chat", model=model)
    with suppress(RefusedError):
        async with limiter.admitted(scope, asked) as admission:
            admission.used(Usage(10, 2, 0, 5, 1))


def samples(text: bytes) -> dict[str, float]:
    """Return the series of an exposition, labels as written, and their values."""
    found = SAMPLE.findall(text.decode())
    return {
        f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in found
    }
