"""What one request asks, and what its answer used. No I/O, no clock, no identities."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from querybudget.units import MICRO

__all__ = ["Adapter", "Call", "Dialect", "Meter", "Usage", "settled_usage"]


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
        choices: Answers asked for each prompt: the larger of ``n`` and ``best_of``. Adapters bound
            it, and every other number a caller gives, so that products stay small integers.
        max_output: The bound on output tokens per choice that the caller gave; None without one.
        input_bytes: UTF-8 size of all prompt text, tool definitions included, pictures not.
        input_tokens: Exact prompt tokens where the prompt came as token ids; otherwise 0.
            They count besides ``input_bytes``.
        images: Pictures in the prompt.
        logprobs: Alternatives asked for each output token (``logprobs: true`` alone is 1).
        prompt_logprobs: Alternatives asked for each prompt token.
        template: The fixed frame: system prompt or instructions. In memory of one request only.
        ask: What this turn asks: the last user turn. In memory of one request only.
        asks: The prompts of an array of several, each apart, at most 64 of them; empty for one
            prompt alone, which is `ask`. In memory of one request only.
        generates: Whether the call makes output tokens (embeddings do not).
        background: The answer is made after the response to this call has ended, and fetched by
            another one, so its use is never seen (OpenAI's ``background: true``).
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
    asks: tuple[str, ...] = ()
    generates: bool = True
    background: bool = False


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

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come: the end, or a usage said to be final, was seen.

        While it is False, the output that `usage` gives may lie behind what was sent.
        """
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

    def degrade(self, body: bytes, /) -> bytes:
        """The same request, asking for less.

        One choice, no log-probabilities, a short answer, little reasoning: as far as the dialect
        has words for them. The prompt stays as it is. It never raises, and returns `body` itself
        where there is nothing to take away, or where it cannot be read.
        """
        ...


def settled_usage(
    call: Call,
    meter: Meter,
    input_estimate: int,
    bytes_per_token: int,
    *,
    output_estimate: int = 0,
) -> Usage:
    """What a call is charged for in the end: what was reported, and an estimate for the rest.

    A whole answer that reports its usage is taken at its word, unless it says that it has no output
    and has text. An answer cut short is charged for what was sent: the reported input, and the
    larger of the reported output and the output that the text seen so far comes to. An answer that
    reports nothing is charged the estimates.

    Args:
        call: What was asked.
        meter: Fed with everything the app has sent.
        input_estimate: Tokens of the prompt, as they were estimated when the call was admitted.
        bytes_per_token: UTF-8 bytes per token, in millionths; above zero.
        output_estimate: Output tokens held for the call; charged to background calls only, whose
            answer passes by unseen.

    Returns:
        The tokens used; ``estimated`` is set where any figure was not the server's.
    """
    reported = meter.usage()
    text = meter.output_bytes if call.generates else 0
    if reported is not None and meter.complete and (reported.output or not text):
        return reported
    output = -(-text * MICRO // bytes_per_token)
    if call.background:
        output = max(output, output_estimate)
    if reported is None:
        return Usage(input=input_estimate, output=output, estimated=True)
    # Some servers say no input until the end.
    prompt = reported.input or input_estimate
    if output <= reported.output and prompt == reported.input:
        return reported
    return msgspec.structs.replace(
        reported, input=prompt, output=max(output, reported.output), estimated=True
    )
