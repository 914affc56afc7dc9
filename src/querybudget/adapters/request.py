"""Reading requests: decode a body, bound the numbers a client sends, measure a prompt.

The measures are the same for every dialect whose prompts are messages of parts. Text counts by its
size in UTF-8. An image counts as one image, never by the base64 it comes in. Audio, video and
files, whose size says little about their tokens, count as one image each, plus a sixteenth of their
JSON as text. Tool definitions, and tool calls that the prompt repeats, count by the size of their
JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw

from querybudget.errors import BodyError

MAX_CHOICES = 16_384
"""Most answers one call may request: the limit of vLLM."""

MAX_OUTPUT = 10_000_000
"""A client's limit on output tokens counts as at most this: no model writes longer answers."""

MAX_LOGPROBS = 200_000
"""Most alternatives per token that are counted, and what ``-1`` stands for (in vLLM: the whole
vocabulary)."""

MAX_ASKS = 64
"""Prompts of an array that are analyzed one by one."""

NOTHING = Raw(b"")
"""The default of a member that is kept as JSON."""

BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark, which servers allow before JSON."""

_IMAGES = frozenset({"computer_screenshot", "image", "image_url", "input_image"})
_ATTACHMENTS = frozenset(
    {"audio_url", "container_upload", "file", "input_audio", "input_file", "video", "video_url"}
)
_ATTACHMENT_SHARE = 16
_SYSTEM_ROLES = frozenset({"developer", "system"})
_ROLES_WITHOUT_ASK = frozenset({"assistant", "function", "tool"})
_MISSING = re.compile(r"Object missing required field (`[^`]+`)")
"""How msgspec says that a member is not there."""

_T = TypeVar("_T")


def read_body(decoder: msgspec.json.Decoder[_T], body: bytes, expected: str) -> _T:
    """Decode a request body.

    Args:
        decoder: A decoder of the type that the path takes.
        body: The body, decompressed; a leading UTF-8 byte order mark is allowed.
        expected: What the body should be, for the error message.

    Raises:
        BodyError: The body is not JSON, or not of that type.
    """
    try:
        return decoder.decode(body.removeprefix(BOM))
    except RecursionError:
        raise BodyError(f"Expected {expected}: the JSON is nested too deeply.") from None
    except ValueError as error:  # malformed JSON, text that is not UTF-8, wrong types
        problem = _MISSING.sub(r"the required field \1 is missing", str(error))
        raise BodyError(f"Expected {expected}: {problem}.") from None


# -- Numbers that a client sends -----------------------------------------------------------------


def choices_of(*counts: float | None) -> int:
    """Return how many answers a call requests: the largest of ``n``, ``best_of`` etc., default 1.

    Raises:
        BodyError: A count is below 1 or above `MAX_CHOICES`.
    """
    choices = 1
    for count in counts:
        if count is None:
            continue
        if not 1 <= count <= MAX_CHOICES:
            raise BodyError(
                f"Expected a number of answers from 1 to {MAX_CHOICES}, found {_short(count)}."
            )
        choices = max(choices, _whole(count))
    return choices


def output_bound(*bounds: float | None) -> int | None:
    """Return the first given limit on output tokens, at most `MAX_OUTPUT`; None without one.

    Servers disagree about 0 and -1, which some take for "no limit" (llama.cpp), so neither is one.

    Raises:
        BodyError: The limit is below -1.
    """
    for bound in bounds:
        if bound is None:
            continue
        if bound < -1:
            raise BodyError(f"Expected a bound on output tokens above 0, found {_short(bound)}.")
        return _whole(min(bound, MAX_OUTPUT)) if bound > 0 else None
    return None


def alternatives(count: float | None) -> int:
    """Return how many alternatives with log-probabilities a call requests for each token.

    ``true`` and 0 request the chosen token's only, which is 1; ``-1`` the whole vocabulary's.

    Raises:
        BodyError: The count is below -1.
    """
    if count is None or count is False:
        return 0
    if count < -1:
        raise BodyError(f"Expected a number of log-probabilities, found {_short(count)}.")
    return MAX_LOGPROBS if count == -1 else _whole(min(max(1, count), MAX_LOGPROBS))


def _whole(number: float) -> int:
    if number != int(number):
        raise BodyError(f"Expected a whole number, found {number}.")
    return int(number)


def _short(number: float) -> str:
    return str(number) if abs(number) < 10**18 else "one of more than 18 digits"


# -- The size of a prompt ------------------------------------------------------------------------


class Part(msgspec.Struct):
    """A part of a message's content, in any dialect. Undeclared members are skipped."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    thinking: str | None = None
    image_url: Raw = NOTHING
    input_audio: Raw = NOTHING
    audio_url: Raw = NOTHING
    video_url: Raw = NOTHING
    file: Raw = NOTHING
    file_data: Raw = NOTHING
    source: Raw = NOTHING
    input: Raw = NOTHING
    content: str | list[Part | str] | Part | None = None


Content = str | list[Part | str] | Part | None
"""The content of a message: text, parts or nothing."""


class Message(Protocol):
    """The members of a message that show what it asks."""

    @property
    def role(self) -> str | None: ...

    @property
    def content(self) -> Content: ...


class _Source(msgspec.Struct):
    """The source of an Anthropic document."""

    type: str | None = None
    data: str | None = None
    content: str | list[Part | str] | Part | None = None


_SOURCE = msgspec.json.Decoder(_Source)


def utf8_size(text: str) -> int:
    """Return the size of a text in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode())


def json_size(raw: Raw) -> int:
    """Return the size in bytes of a member kept as JSON; 0 if it is null or missing."""
    size = len(raw)
    return size if size > len(b"null") else 0


def measure(content: Content) -> tuple[int, int]:
    """Return the size of a message's content, at any depth of nesting.

    Returns:
        Bytes of text, and number of images.
    """
    if type(content) is str:
        return utf8_size(content), 0
    size = images = 0
    pending = [content]
    while pending:
        for part in _parts(pending.pop()):
            if isinstance(part, str):
                size += utf8_size(part)
                continue
            part_size, part_images = _measure_part(part)
            size += part_size
            images += part_images
            pending.append(part.content)
            if part.type == "document":
                pending.append(_text_of_document(part.source))
    return size, images


def _parts(content: Content) -> Sequence[Part | str]:
    if content is None:
        return ()
    return content if isinstance(content, list) else (content,)


def _measure_part(part: Part) -> tuple[int, int]:
    size = json_size(part.input)
    for text in (part.text, part.refusal, part.thinking):
        if text:
            size += utf8_size(text)
    if part.type in _IMAGES or json_size(part.image_url):
        return size, 1
    payload = _payload(part)
    if payload or part.type in _ATTACHMENTS:
        return size + payload // _ATTACHMENT_SHARE, 1
    return size, 0


def _payload(part: Part) -> int:
    size = (
        json_size(part.input_audio)
        + json_size(part.audio_url)
        + json_size(part.video_url)
        + json_size(part.file)
        + json_size(part.file_data)
    )
    if part.type == "document" and _text_of_document(part.source) is None:
        size += json_size(part.source)
    return size


def _text_of_document(source: Raw) -> Content:
    """Return the text of a document sent as text or as parts; None for a file or a reference."""
    try:
        document = _SOURCE.decode(source)
    except (ValueError, RecursionError):
        return None
    return document.data if document.type == "text" else document.content


# -- What a prompt asks --------------------------------------------------------------------------


def text_of(content: Content) -> str:
    """Return the text directly in a content, without tool results and documents within it."""
    if type(content) is str:
        return content
    return joined(
        [text for part in _parts(content) if (text := part if isinstance(part, str) else part.text)]
    )


def template_of(messages: Sequence[Message]) -> str:
    """Return the system prompt: every system and developer message, in order."""
    return joined([text_of(m.content) for m in messages if m.role in _SYSTEM_ROLES])


def ask_of(messages: Sequence[Message]) -> str:
    """Return what this turn asks: everything users said since the model last spoke before it.

    Tool results are not part of it and do not end a turn. If no user speaks, it is the last message
    of the system or of an unknown role.
    """
    texts: list[str] = []
    for message in reversed(messages):
        if message.role == "user":
            if text := text_of(message.content):
                texts.append(text)
        elif texts and message.role == "assistant":
            break
    texts.reverse()
    return joined(texts) or _last_text(messages)


def _last_text(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role not in _ROLES_WITHOUT_ASK and (text := text_of(message.content)):
            return text
    return ""


def asks_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts of an array of several, at most `MAX_ASKS`; empty for one prompt or none.

    Of a longer array, the prompts are taken evenly from start to end.
    """
    count = len(texts)
    if count <= MAX_ASKS:
        return tuple(texts) if count > 1 else ()
    return tuple(texts[index * count // MAX_ASKS] for index in range(MAX_ASKS))


def joined(texts: Sequence[str]) -> str:
    """Return texts one per line, without a copy if there is only one."""
    return texts[0] if len(texts) == 1 else "\n".join(texts)
