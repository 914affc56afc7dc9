"""What readers of answers add to: the totals of one answer so far."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from querybudget.adapters.base import Usage

DECODE_ERRORS = (ValueError, RecursionError)
"""Raised by decoding: msgspec's errors, and those of text that is not UTF-8, are ValueErrors."""

UNFINISHED = frozenset({"queued", "in_progress"})
"""States of a response that is still being made."""

FINISHED = frozenset({"completed", "failed", "cancelled", "incomplete"})
"""States in which a response stays."""


class AnswerTotals:
    """Totals of an answer so far.

    Attributes:
        usage: The usage reported; None if none has been. A reader that finds a report puts a new
            object here, even if its figures are the same.
        output_bytes: UTF-8 bytes of generated text.
        complete: Whether the answer's end, or a usage report marked as final, has been seen.
        covers: Whether no text has come after the last report. The meter keeps this.
        answer_id: The id by which the answer can be fetched later; empty without one.
        status: What the answer says of itself (``queued``, ``completed``); empty without it.
        token_ids: Generated tokens that the answer gives as ids.
        parts: The usage of each choice that reports apart, by its index.
        doubted: Whether the model may have written a report: the answer is, or has, bare text.
    """

    # Not a Struct: its members are set with each piece of a stream, which takes longer there.
    __slots__ = (
        "answer_id",
        "complete",
        "covers",
        "doubted",
        "output_bytes",
        "parts",
        "status",
        "token_ids",
        "usage",
    )

    def __init__(self, *, doubted: bool = False) -> None:
        self.usage: Usage | None = None
        self.output_bytes = 0
        self.complete = False
        self.covers = True
        self.answer_id = ""
        self.status = ""
        self.token_ids = 0
        self.parts: dict[int, Usage] = {}
        self.doubted = doubted

    @property
    def reported(self) -> Usage | None:
        """The usage reported; ``estimated`` if it is doubted."""
        usage = self.usage
        return replace(usage, estimated=True) if usage is not None and self.doubted else usage

    @property
    def final(self) -> bool:
        """Whether the answer has ended, and the usage that was reported is all of it."""
        return self.complete and (self.covers or self.usage is None)


Read = Callable[[bytes, AnswerTotals], None]
"""Adds the data of one event, or one JSON body, to totals. It may raise ValueError (malformed JSON,
wrong types) or RecursionError, and nothing else, before it has changed the totals."""
