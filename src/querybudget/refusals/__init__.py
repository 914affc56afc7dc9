"""What a caller reads: a `Decision` as headers and a body in the caller's own dialect.

Pure: no clock is read. What is left is rounded down and waits are rounded up. Figures are given
only for budgets that charge the caller alone, and never for budgets in buckets.
"""

from __future__ import annotations

from querybudget.refusals.answers import (
    Close,
    answer,
    blocked,
    body_slow,
    body_too_large,
    close,
    nameless,
    no_room,
    no_route,
    path_too_long,
    plain_answer,
    store_down,
    too_many_delayed,
    unforwardable,
    unpriced,
    upstream_busy,
    upstream_down,
    upstream_slow,
)
from querybudget.refusals.bodies import Answer, ProblemType, for_message, request_id_header
from querybudget.refusals.browsers import readable_by
from querybudget.refusals.headers import headers_for

__all__ = [
    "Answer",
    "Close",
    "ProblemType",
    "answer",
    "blocked",
    "body_slow",
    "body_too_large",
    "close",
    "for_message",
    "headers_for",
    "nameless",
    "no_room",
    "no_route",
    "path_too_long",
    "plain_answer",
    "readable_by",
    "request_id_header",
    "store_down",
    "too_many_delayed",
    "unforwardable",
    "unpriced",
    "upstream_busy",
    "upstream_down",
    "upstream_slow",
]
