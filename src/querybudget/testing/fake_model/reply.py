"""`Reply`: what a `FakeModel` answers."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from querybudget.adapters.base import Usage

_USAGE = Usage(input=10, output=5)


class Failure(enum.Enum):
    """How a reply fails."""

    BEFORE_START = "before_start"
    """`FakeModelError` is raised before the answer starts."""
    MID_STREAM = "mid_stream"
    """`FakeModelError` is raised after `Reply.fail_after` pieces of text."""
    ERROR_EVENT = "error_event"
    """The stream ends with an error event after `Reply.fail_after` pieces of text."""


class Gate(Protocol):
    """What a reply can wait for: an `anyio.Event` or `asyncio.Event`, for example."""

    def wait(self) -> Awaitable[Any]:
        """Wait until the test opens the gate."""
        ...


@dataclass(frozen=True)
class Reply:
    """What a `FakeModel` answers.

    Attributes:
        text: The text of every choice.
        usage: Tokens reported; None to report nothing.
        chunks: Number of pieces of a streamed text.
        tools: Tools called instead of text: pairs of a name and arguments as JSON text.
        status: HTTP status; from 400 on, the body is an error in the caller's dialect.
        headers: Headers added to the answer.
        failure: How the reply fails; None if it does not.
        fail_after: Pieces of text sent before it fails.
        gate: Waited for once: after `stall_after` pieces of a stream, or before any other answer
            starts.
        stall_after: Pieces of text sent before the reply waits for `gate`.
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
