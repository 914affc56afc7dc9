"""Which calls a budget is for, and the words for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from querybudget.policy.fields import Words, doc

_KNOWN = ("chat", "responses", "completions", "embeddings", "messages", "count_tokens")
_NATIVE = ("audio", "generate", "images", "moderations", "rerank", "runs", "score", "videos")
_MCP = ("mcp", "mcp_session")
OPERATIONS = (*_KNOWN, *_NATIVE, *_MCP, "other", "handshake", "message")
"""What `Call.operation` can be, besides names of generic routes; the last two on a WebSocket."""

OPAQUE_TEXT = "text"
"""Text that is no language: ciphers, encoded data, letters at random."""

OPAQUE = (
    "tokens",
    "embeddings",
    "reference",
    "image",
    "audio",
    "file",
    "unreadable",
    OPAQUE_TEXT,
)
"""Kinds of what a model reads and nobody else can: `Opaque.kind`, and text that is no language.

``tokens`` are token ids, ``reference`` is what a call names without sending it: a stored prompt, a
conversation, a file, a batch. ``unreadable`` is a body that only the server understands.
"""

ANY_OPAQUE = "true"
"""In a policy, all of them."""

Kind = Annotated[
    str,
    Meta(
        extra={
            "notation": "str",
            "expected": "`true`, or kinds such as `image`",
            "schema": {"enum": [True, ANY_OPAQUE, *OPAQUE]},
        }
    ),
]


class Match(Struct, frozen=True):
    """Which calls a budget is for.

    Every part that is given must hold. Patterns are globs (``*``, ``?``, ``[...]``) and
    case-sensitive.
    """

    path: Annotated[Words, doc("Patterns over the path, without `root_path`.")] = ()
    method: Annotated[Words, doc("HTTP methods, or WEBSOCKET.")] = ()
    model: Annotated[Words, doc("Patterns over the model; without a model, only `*` matches.")] = ()
    operation: Annotated[Words, doc("Patterns over the operation, for example `chat`.")] = ()
    tier: Annotated[Words, doc("Names of tiers, or `default`.")] = ()
    stream: Annotated[bool, doc("Only streamed calls, or only others.")] | None = None
    capability: Annotated[Words, doc("Names of capabilities; any of them is enough.")] = ()
    opaque: Annotated[
        tuple[Kind, ...],
        doc("Only calls that hold what cannot be read: `true`, or kinds of it."),
    ] = ()

    @property
    def analyzed(self) -> bool:
        """Whether only the analyzed call says if it matches."""
        return bool(self.capability) or OPAQUE_TEXT in self.opaque


def opaque_bits(kinds: Iterable[str]) -> int:
    """Return kinds of what cannot be read as bits, in the order of `OPAQUE`.

    A kind of a program's own is one that only its server understands.
    """
    bits = 0
    for kind in kinds:
        bits |= 1 << OPAQUE.index(kind if kind in OPAQUE else "unreadable")
    return bits


def kinds_of(bits: int) -> tuple[str, ...]:
    """Return the kinds that bits stand for."""
    return tuple(kind for bit, kind in enumerate(OPAQUE) if bits >> bit & 1)
