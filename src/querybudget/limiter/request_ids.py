"""Ids of requests: ours, which nobody else can choose, and those of others, noted beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import uuid4

from querybudget.identity import Scope

REQUEST_ID_HEADERS = frozenset({b"x-request-id", b"request-id"})
"""Headers of an answer that say its request's id. Anthropic's is the second."""

SENT_HEADERS = frozenset({b"x-request-id", b"x-client-request-id"})
"""Headers of a request that say its id: from a proxy, or from a client of OpenAI's."""

_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A ``traceparent`` (W3C Trace Context, section 3.2)."""

_SAFE = re.compile(rb"[A-Za-z0-9_.:=+/@-]{1,128}")
"""What may go into logs, labels and addresses as it is."""


def new_request_id() -> str:
    """Return an id for a request, which no other request has."""
    return f"req_{uuid4().hex}"


def safe_id(value: bytes) -> str:
    """Return an id that somebody else chose; empty if it is long, or not plain ASCII."""
    return value.decode("ascii") if _SAFE.fullmatch(value) else ""


def sent_id(scope: Scope) -> str:
    """Return the first safe id that a request came with; empty without one."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    sent = (safe_id(value) for name, value in headers if name in SENT_HEADERS)
    return next(filter(None, sent), "")


def trace_of(scope: Scope) -> str:
    """Return the ``traceparent`` that a request came with; empty without a right one."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    sent = next((value for name, value in headers if name == b"traceparent"), b"")
    return sent.decode("ascii") if _TRACE.fullmatch(sent) else ""
