"""What one request asks, and what its answer used. No I/O, no clock, no identities."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

__all__ = ["Adapter", "Call", "Dialect", "Meter", "Usage"]


class Dialect(enum.StrEnum):
    """Whose conventions a caller reads: how a refusal must look to be understood."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    PROBLEM = "problem"


class Usage(msgspec.Struct, frozen=True):
    """Tokens a call used.

    Attributes:
        input: All tokens of the prompt, cached ones included.
        cached_input: Of ``input``, those read from a cache.
        cache_write: Of ``input``, those written to a cache (Anthropic).
        output: All tokens generated, over all choices, reasoning included.
        reasoning: Of ``output``, those spent on reasoning.
        estimated: True where the server reported nothing and sizes had to do.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False


class Call(msgspec.Struct):
    """What one request asks.

    Attributes:
        dialect: How to answer a refusal.
        operation: ``chat``, ``responses``, ``completions``, ``embeddings``, ``messages``,
            a generic route's name, or ``other`` for a path no adapter knows.
        model: The model asked for; empty where none is named.
        stream: Whether the answer is asked for as server-sent events.
        items: Prompts in the request: an array of inputs counts as many.
        choices: Answers asked for each prompt: the larger of ``n`` and ``best_of``.
        max_output: The bound on output tokens per choice that the caller gave; None without one.
        input_bytes: UTF-8 size of all prompt text, tool definitions included, pictures not.
        input_tokens: Exact prompt tokens where the prompt came as token ids; otherwise 0.
            They count besides ``input_bytes``.
        images: Pictures in the prompt.
        logprobs: Alternatives asked for each output token (``logprobs: true`` alone is 1).
        prompt_logprobs: Alternatives asked for each prompt token.
        template: The fixed frame: system prompt or instructions. In memory of one request only.
        ask: What this turn asks: the last user turn. In memory of one request only.
        generates: Whether the call makes output tokens (embeddings do not).
    """

    dialect: Dialect
    operation: str
    model: str = ""
    stream: bool = False
    items: int = 1
    choices: int = 1
    max_output: int | None = None
    input_bytes: int = 0
    input_tokens: int = 0
    images: int = 0
    logprobs: int = 0
    prompt_logprobs: int = 0
    template: str = ""
    ask: str = ""
    generates: bool = True


class Meter(Protocol):
    """Reads an answer as it goes by. Feeding never raises, however the bytes are cut."""

    def feed(self, chunk: bytes, /) -> None:
        """Take the next bytes of the answer's body."""
        ...

    def usage(self) -> Usage | None:
        """What the answer said it used, so far; None while it has said nothing."""
        ...

    @property
    def output_bytes(self) -> int:
        """UTF-8 bytes of generated text seen so far, for an estimate where no usage is said."""
        ...


class Adapter(Protocol):
    """One way of asking a model over HTTP."""

    @property
    def dialect(self) -> Dialect:
        """How callers of this adapter read a refusal."""
        ...

    def parse(self, path: str, body: bytes, /) -> Call:
        """Read what a request asks.

        Raises:
            BodyError: The body is not what this path takes.
        """
        ...

    def meter(self, call: Call, content_type: str, /) -> Meter:
        """A meter for the answer: JSON, or server-sent events by its content type."""
        ...
