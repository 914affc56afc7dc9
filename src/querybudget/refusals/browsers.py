"""Headers that let a web page read an answer of the middleware.

Where the middleware is outermost, an application's own CORS does not see the middleware's answers,
and a browser hides them from the page: a refusal looks like a network error.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from querybudget.policy.cors import Cors
from querybudget.refusals.bodies import Answer
from querybudget.refusals.headers import Headers

_ALWAYS_READABLE = frozenset(
    {
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
    }
)
"""Headers that a page may read anyway (CORS-safelisted response-header names)."""


def readable_by(answer: Answer, cors: Cors | None, origin: bytes) -> Answer:
    """Return an answer with the headers that let a page of an origin read it.

    Args:
        answer: A refusal.
        cors: The policy's; None for none.
        origin: The request's ``Origin``; empty without one.
    """
    if cors is None:
        return answer
    names = (name for name, _ in answer.headers)
    headers = [*answer.headers, *_headers(cors, origin, names)]
    return msgspec.structs.replace(answer, headers=headers)


def _headers(cors: Cors, origin: bytes, names: Iterable[bytes]) -> Headers:
    everyone = "*" in cors.origins
    headers: Headers = [] if everyone else [(b"vary", b"origin")]
    if not origin or not (everyone or origin.decode("latin-1") in cors.origins):
        return headers
    headers.append((b"access-control-allow-origin", b"*" if everyone else origin))
    if cors.credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    if hidden := dict.fromkeys(name for name in names if name not in _ALWAYS_READABLE):
        headers.append((b"access-control-expose-headers", b", ".join(hidden)))
    return headers
