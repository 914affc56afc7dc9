"""What a caller sees: a `Decision` to headers and bodies in the caller's own dialect.

    answers.py   answer: a refusal, whole; close: the same for a WebSocket
    headers.py   figures in the dialects' headers, and when to try again
    ietf.py      RateLimit and RateLimit-Policy, as the current draft has them
    bodies.py    OpenAI, Anthropic and problem+json bodies
    words.py     amounts, waits and sentences, for people
    plain.py     answers that no decision stands behind

Pure: no clock is read. Whatever is left is rounded down, whatever must be waited is rounded up,
and figures are shown of budgets that belong to the caller alone. Of budgets in buckets nothing is
shown at all.
"""

from __future__ import annotations

from querybudget.refusals.answers import Close, answer, close
from querybudget.refusals.bodies import Answer, Reason
from querybudget.refusals.headers import headers_for
from querybudget.refusals.plain import (
    body_too_large,
    crowded,
    plain_answer,
    store_down,
    unpriced,
)

__all__ = [
    "Answer",
    "Close",
    "Reason",
    "answer",
    "body_too_large",
    "close",
    "crowded",
    "headers_for",
    "plain_answer",
    "store_down",
    "unpriced",
]
