"""Answers that no decision stands behind: what cannot be read, charged or counted."""

from __future__ import annotations

from querybudget.adapters.base import Dialect
from querybudget.refusals.bodies import Answer, Fault, Reason, reply
from querybudget.text import duration, whole_up
from querybudget.units import SECOND

__all__ = ["body_too_large", "crowded", "plain_answer", "store_down", "unpriced"]

_SHOWN = 80
"""Characters of the caller's own words that are repeated."""

_KINDS = {
    400: ("invalid_request_error", "invalid_request_error"),
    403: ("invalid_request_error", "permission_error"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_error"),
    503: ("server_error", "overloaded_error"),
}
"""Status to OpenAI's and Anthropic's ``type``."""


def plain_answer(
    status: int,
    kind: str,
    message: str,
    dialect: Dialect,
    *,
    request_id: str = "",
    wait: int = 0,
) -> Answer:
    """An answer in the caller's dialect, without figures.

    Args:
        status: HTTP status.
        kind: One word for programs, OpenAI's ``code``: ``body_too_large``.
        message: For a person: what was wrong, and what to do.
        dialect: Whose conventions the caller reads.
        request_id: Repeated in the answer; empty for none.
        wait: µs after which to try again; 0 to say nothing.

    Raises:
        ValueError: There is no such status.
    """
    openai, anthropic = _KINDS.get(status, ("server_error", "api_error"))
    problem = Reason.REDUCED_CAPACITY.value if status == 503 else ""  # noqa: PLR2004  HTTP's own
    title = "Request cannot be satisfied due to temporary server capacity constraints"
    fault = Fault(status, problem, title, message, openai, kind, anthropic)
    headers = [(b"retry-after", b"%d" % whole_up(wait))] if wait else []
    return reply(fault, dialect, headers, request_id)


def body_too_large(limit: int, dialect: Dialect, *, request_id: str = "") -> Answer:
    """413: the body has more than `limit` bytes."""
    message = (
        f"The request's body is larger than {limit} bytes, after decompression, which is the most"
        " accepted here. Shorten the input, or send it in several requests."
    )
    return plain_answer(413, "body_too_large", message, dialect, request_id=request_id)


def store_down(dialect: Dialect, *, request_id: str = "", wait: int = 5 * SECOND) -> Answer:
    """503: a budget that may not be left unchecked cannot be checked; try again after `wait` µs."""
    message = (
        "Budgets cannot be checked at the moment, and this server answers nothing unchecked."
        " Nothing was charged. Please try again shortly."
    )
    return plain_answer(
        503, "store_unavailable", message, dialect, request_id=request_id, wait=wait
    )


def crowded(dialect: Dialect, *, request_id: str = "", wait: int) -> Answer:
    """429: as many calls wait here already as may; try again after `wait` µs."""
    message = "Too many requests are waiting to be answered here. Nothing was charged for this one."
    again = f"{message} Please try again in {duration(wait)}."
    return plain_answer(
        429, "rate_limit_exceeded", again, dialect, request_id=request_id, wait=wait
    )


def unpriced(model: str, dialect: Dialect, *, request_id: str = "") -> Answer:
    """403: a money budget applies, and the policy has no price for the model asked for."""
    named = f"The model {model[:_SHOWN]!r}" if model else "A request that names no model"
    message = (
        f"{named} has no price here, so it cannot be charged. Ask for another model, or ask the"
        " operator to add it under `models` in the policy."
    )
    return plain_answer(403, "model_not_priced", message, dialect, request_id=request_id)
