"""How big a prompt is and what it asks, for every dialect whose prompts are messages of parts.

Text counts by its UTF-8 size. A picture counts as a picture, never as the base64 it comes in.
Sound, video and files, whose size says little of their tokens, count as one picture each and a
sixteenth of their JSON as text. Definitions of tools, and calls of tools that the prompt repeats,
count by the size of their JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Raw

__all__ = [
    "NOTHING",
    "Content",
    "Message",
    "Part",
    "ask_of",
    "json_size",
    "measure",
    "template_of",
    "text_of",
    "utf8_size",
]

NOTHING = Raw(b"")
"""The default of a member that is kept as JSON."""

_PICTURES = frozenset({"computer_screenshot", "image", "image_url", "input_image"})
_ATTACHMENTS = frozenset(
    {"audio_url", "container_upload", "file", "input_audio", "input_file", "video", "video_url"}
)
_ATTACHMENT_SHARE = 16
_FRAME = frozenset({"developer", "system"})
_NOT_ASKING = frozenset({"assistant", "function", "tool"})


class Part(msgspec.Struct):
    """A part of a message's content, in any dialect. Members that are not declared are skipped."""

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
"""What a message holds: text, parts, or nothing."""


class Message(Protocol):
    """A message, as far as asking goes."""

    @property
    def role(self) -> str | None:
        """Who speaks."""
        ...

    @property
    def content(self) -> Content:
        """What is said."""
        ...


class _Source(msgspec.Struct):
    """Where an Anthropic document comes from."""

    type: str | None = None
    data: str | None = None
    content: str | list[Part | str] | Part | None = None


_SOURCE = msgspec.json.Decoder(_Source)


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def json_size(raw: Raw) -> int:
    """Bytes of a member kept as JSON; 0 where it is null or empty."""
    size = len(raw)
    return size if size > len(b"null") else 0


def measure(content: Content) -> tuple[int, int]:
    """The size of a content, whatever its nesting.

    Returns:
        Bytes of text, and pictures.
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
    if part.type in _PICTURES or json_size(part.image_url):
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
    """The text of a document given as text or as parts; None for a file or a reference."""
    try:
        document = _SOURCE.decode(source)
    except (ValueError, RecursionError):
        return None
    return document.data if document.type == "text" else document.content


def text_of(content: Content) -> str:
    """The text said in a content itself: not in results of tools or documents within it."""
    if type(content) is str:
        return content
    texts = [
        text for part in _parts(content) if (text := part if isinstance(part, str) else part.text)
    ]
    return texts[0] if len(texts) == 1 else "\n".join(texts)


def template_of(messages: Sequence[Message]) -> str:
    """The fixed frame: every system and developer message, in order."""
    texts = [text_of(message.content) for message in messages if message.role in _FRAME]
    return texts[0] if len(texts) == 1 else "\n".join(texts)


def ask_of(messages: Sequence[Message]) -> str:
    """What this turn asks: all that users said since the model last spoke before it.

    Results of tools are neither asked nor do they end a turn. A prompt in which no user speaks asks
    with its last message of the system, or of a role nobody knows.
    """
    texts: list[str] = []
    for message in reversed(messages):
        if message.role == "user":
            if text := text_of(message.content):
                texts.append(text)
        elif texts and message.role == "assistant":
            break
    if len(texts) == 1:
        return texts[0]
    if texts:
        return "\n".join(reversed(texts))
    return _last_text(messages)


def _last_text(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role not in _NOT_ASKING and (text := text_of(message.content)):
            return text
    return ""
