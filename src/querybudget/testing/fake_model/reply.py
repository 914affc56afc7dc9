"""What a `FakeModel` is told to answer."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from querybudget.adapters.base import Usage

__all__ = ["Failure", "Gate", "Reply"]

_USAGE = Usage(input=10, output=5)


class Failure(enum.Enum):
    """How a reply breaks."""

    BEFORE_START = "before_start"
    """`FakeModelError` is raised before the answer begins."""
    MID_STREAM = "mid_stream"
    """`FakeModelError` is raised after `Reply.fail_after` pieces of text."""
    ERROR_EVENT = "error_event"
    """The stream ends with an error event after `Reply.fail_after` pieces of text."""


class Gate(Protocol):
    """What a reply waits for: an `anyio.Event`, an `asyncio.Event`."""

    def wait(self) -> Awaitable[Any]:
        """Return once the test has opened it."""
        ...


@dataclass(frozen=True)
class Reply:
    """What a `FakeModel` answers.

    Attributes:
        text: The text of every choice.
        usage: Tokens reported; None reports nothing, as servers do that were not asked to.
        chunks: Pieces that a streamed text is cut into.
        tools: Tools called instead of text: pairs of name and arguments as JSON text.
        status: HTTP status; from 400 on, an error in the caller's dialect is answered.
        headers: Added to the answer.
        failure: How it breaks; None for not at all.
        fail_after: Pieces of text sent before it breaks.
        gate: Waited for once, after `stall_after` pieces of text (before the start of an answer
            that is no stream).
        stall_after: Pieces of text sent before waiting for `gate`.
    """

    text: str = "Hello from the fake model."
    usage: Usage | None = _USAGE
    chunks: int = 3
    tools: tuple[tuple[str, str], ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    failure: Failure | None = None
    fail_after: int = 1
    gate: Gate | None = None
    stall_after: int = 0
