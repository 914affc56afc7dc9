"""What one request asks, and what its answer used. No I/O, no clock, no identities."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

import msgspec

from querybudget.units import MICRO

UNREADABLE = "unreadable"
"""The operation of a body that cannot be read. The server may still be able to read it, so the call
counts on every budget of its path, whatever the budget matches on, at the highest price."""

SESSION = "mcp_session"
"""The operation of a message of MCP that calls nothing: it opens a session, or lists the tools. A
budget counts it only if it names the operation."""

MAX_MODELS = 32
"""Most models that one call may name."""


class Dialect(enum.StrEnum):
    """The API conventions a client expects, which decide the format of a refusal."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    OLLAMA = "ollama"
    """A text as the member ``error``, as TGI's clients expect too."""
    JSON_RPC = "jsonrpc"
    """JSON-RPC 2.0, as MCP's clients speak."""
    PROBLEM = "problem"


class Channel(enum.IntEnum):
    """How a text gets into a prompt. Honest callers differ in how much of each they send."""

    SAID = 0
    """What users say: their turns, bare prompts and inputs, and whatever nobody documents."""
    FED = 1
    """What the model is given beside it: instructions, tools and their results, documents, earlier
    answers, formats."""


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A text that the model reads: a turn or the part of one in the same channel, a prompt, a tool.

    Attributes:
        channel: How it gets into the prompt.
        text: The text, never empty.
    """

    channel: Channel
    text: str


class Opaque(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that the model reads and that is no text here.

    Attributes:
        kind: ``tokens``, ``embeddings``, ``reference`` (to what the server keeps), ``image``,
            ``audio``, ``file``, or `UNREADABLE` (a body that only the server understands).
        content: What identifies it: a short text itself, a hash of anything longer.
    """

    kind: str
    content: str


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens that a call used, and what else its answer says is billed.

    Attributes:
        input: All prompt tokens, cached ones included.
        cached_input: The part of ``input`` read from a cache.
        cache_write: The part of ``input`` written to a cache (Anthropic).
        output: All generated tokens, over all choices, reasoning included.
        reasoning: The part of ``output`` spent on reasoning.
        estimated: True if any figure was estimated from sizes because the server did not report it.
        cache_write_1h: The part of ``cache_write`` written for an hour (Anthropic's
            ``ephemeral_1h_input_tokens``).
        audio_input: The part of ``input`` that is audio.
        image_input: The part of ``input`` that is pictures.
        audio_output: The part of ``output`` that is audio.
        image_output: The part of ``output`` that is pictures.
        searches: Web searches that the server made for the answer.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    searches: int = 0


class Call(msgspec.Struct):
    """What one request asks.

    `template`, `segments` and `opaque` hold text of the prompt. They stay in memory for the length
    of the request and are never stored or logged.

    Attributes:
        dialect: The format of a refusal.
        operation: ``chat``, ``responses``, ``completions``, ``embeddings``, ``messages``,
            ``count_tokens``, a generic route's name, ``other`` for a path that no adapter reads, or
            `UNREADABLE`.
        model: The model requested; empty if the request names none.
        other_models: Further models that may answer it, because the request names several, or
            another in its path or query. The budgets of each apply, and the highest price.
        stream: Whether the client requests server-sent events.
        any_model: Whether the request names no model where its dialect has a place for one, so that
            the server chooses.
        ambiguous: Whether servers differ about `stream`, so that a budget that matches on it
            applies whatever it wants.
        items: Number of prompts in the request: the length of an array of inputs, otherwise 1.
        choices: Answers requested for each prompt: the larger of ``n`` and ``best_of``. Adapters
            bound this and every other number a client sends, so that products stay small integers.
        max_output: The client's limit on output tokens per choice; None without one.
        input_bytes: UTF-8 bytes of all prompt text, tool definitions included, images excluded.
        input_tokens: Exact number of prompt tokens sent as token ids, in addition to
            ``input_bytes``; otherwise 0.
        images: Images in the prompt.
        logprobs: Alternatives requested for each output token (``logprobs: true`` alone is 1).
        prompt_logprobs: Alternatives requested for each prompt token.
        template: The system prompt or instructions.
        segments: Every text that the model reads, in the order in which it reads them. Empty if
            they are not wanted (`Target.texts`).
        opaque: What the model reads besides; empty likewise. Of an `UNREADABLE` body, its hash.
        generates: Whether the call produces output tokens (embeddings do not).
        background: The answer is produced after the response to this call has ended and fetched by
            another call (OpenAI's ``background: true``).
        stateful: The server adds text that it keeps itself, of earlier turns or a stored prompt, so
            that the size of the text sent says little about the tokens used.
        message_id: The id of a message of JSON-RPC, which its refusal repeats; None without one,
            and for several messages.
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
    generates: bool = True
    background: bool = False
    stateful: bool = False
    other_models: tuple[str, ...] = ()
    ambiguous: bool = False
    any_model: bool = False
    segments: tuple[Segment, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    message_id: int | str | None = None


class Target(msgspec.Struct, frozen=True):
    """Where a request is sent, beside its body: what else may say what it asks.

    Attributes:
        path: The path that was matched.
        query: The query string as sent, without its question mark; ``%`` escapes are not decoded.
        headers: The request's headers, as ASGI has them: pairs of bytes, names in lower case.
        texts: Whether `Call.segments` and `Call.opaque` are wanted. Only budgets in buckets are
            about them.
    """

    path: str
    query: str = ""
    headers: Iterable[tuple[bytes, bytes]] = ()
    texts: bool = True

    @property
    def content_type(self) -> str:
        """The media type of the body, with its parameters; empty without one."""
        found = (value for name, value in self.headers if name == b"content-type")
        return next(found, b"").decode("latin-1")


class Meter(Protocol):
    """Reads an answer as it passes through. Feeding never raises, however the bytes are cut."""

    def feed(self, chunk: bytes, /) -> None:
        """Take the next bytes of the answer's body."""
        ...

    def end(self) -> None:
        """Take note that the application ended the answer normally: no bytes follow.

        Usage that was reported by then is final, unless text came after it.
        """
        ...

    def usage(self) -> Usage | None:
        """Return the usage reported so far; None if the answer has reported none.

        It is ``estimated`` if the model may have written the report as its text.
        """
        ...

    @property
    def output_bytes(self) -> int:
        """UTF-8 bytes of generated text seen so far, to estimate output that is not reported."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the answer's end, or a usage report marked as final, has been seen.

        Text after the last report reopens it. While this is False, the output that `usage` reports
        may be less than what was sent.
        """
        ...


class Adapter(Protocol):
    """One way of calling a model over HTTP."""

    @property
    def dialect(self) -> Dialect:
        """The format of refusals on this adapter's paths."""
        ...

    def parse(self, target: Target, body: bytes, /) -> Call:
        """Return what a request asks.

        Raises:
            BodyError: The body is not valid for this path.
        """
        ...

    def meter(self, call: Call, content_type: str, /) -> Meter:
        """Return a meter for the answer: JSON or server-sent events, depending on content type."""
        ...

    def degrade(self, body: bytes, /) -> bytes:
        """Return the same request asking for less.

        One choice, no log-probabilities, a short answer, little reasoning: whatever the dialect can
        express. The prompt does not change. This never raises. It returns `body` itself if there is
        nothing to reduce or the body cannot be read.
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
    """Return what a call is charged: what the server reported, and estimates for the rest.

    A complete answer that reports its usage is charged that, unless it reports no output and has
    text. An answer cut short is charged for what was sent: the reported input, and the larger of
    the reported output and the output estimated from the text seen so far. An answer that reports
    nothing is charged the estimates. So is a prompt of which no token is reported: servers leave
    out, or report as zero, what they did not count. A report that may be the model's own text
    (``estimated``) never makes a call cheaper than one that reports nothing.

    Args:
        call: The call.
        meter: A meter that was fed everything the application sent.
        input_estimate: Prompt tokens, as estimated when the call was admitted.
        bytes_per_token: UTF-8 bytes per token, in millionths; above zero.
        output_estimate: Output tokens reserved for the call; charged only to background calls, if
            the answer does not say what it used.

    Returns:
        The tokens used; ``estimated`` is set if any figure did not come from the server.
    """
    reported = meter.usage()
    text = meter.output_bytes if call.generates else 0
    counted = reported is not None and (reported.input or not (call.generates or call.input_bytes))
    if (
        reported is not None
        and counted
        and meter.complete
        and (reported.output or not text)
        and not reported.estimated
    ):
        return reported
    output = -(-text * MICRO // bytes_per_token)
    if call.background:
        output = max(output, output_estimate)
    if reported is None:
        return Usage(input=input_estimate, output=output, estimated=True)
    if meter.complete and reported.output and not reported.estimated:
        output = reported.output
    prompt = reported.input if counted else input_estimate
    if reported.estimated:
        prompt = max(prompt, input_estimate)
        reported = msgspec.structs.replace(reported, cached_input=0)  # which costs less
    if output <= reported.output and prompt == reported.input:
        return reported
    return msgspec.structs.replace(
        reported, input=prompt, output=max(output, reported.output), estimated=True
    )
