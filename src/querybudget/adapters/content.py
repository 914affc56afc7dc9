"""What a prompt is made of: the size of messages and their parts, and what they ask.

The measures are the same for every dialect whose prompts are messages of parts. Text counts by its
size in UTF-8. An image counts as one image, never by the base64 it comes in. Audio, video and
files, whose size says little about their tokens, count as one image each, plus a sixteenth of their
JSON as text. Tool definitions, and tool calls that the prompt repeats, count by the size of their
JSON. A message or a part in which nothing is known counts by the texts in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from querybudget.adapters.lax import Json
from querybudget.adapters.request import Known, joined, utf8_size

LONGEST_PREFIX = 200
"""Characters of a ``data:`` URI before its data, at most."""

_IMAGES = frozenset({"computer_screenshot", "image", "image_url", "input_image"})
_ATTACHMENTS = frozenset(
    {"audio_url", "container_upload", "file", "input_audio", "input_file", "video", "video_url"}
)
_ATTACHMENT_SHARE = 16
SYSTEM_ROLES = frozenset({"developer", "system"})

_NESTED = frozenset({"text", "refusal", "thinking", "content"})
_PICTURES = frozenset({"image_url", "image", "image_data"})
_PAYLOADS = frozenset({"input_audio", "audio_url", "video_url", "file", "file_data"})
_INLINE = frozenset({"inline_data", "inlineData"})
_SOURCED, _SHOWN = _ATTACHMENTS | {"document"}, _IMAGES | _ATTACHMENTS
_CALLS = frozenset(
    {
        *("tool_calls", "function_call", "arguments", "input", "action", "operation", "tools"),
        "summary",
    }
)
"""Members of a message, or of an item of a response's input, that count by their JSON."""

_SPOKEN = frozenset({"reasoning_content", "reasoning", "thinking", "refusal"})
_LABELS = frozenset(
    {
        *("type", "cache_control", "tool_call_id", "tool_use_id", "role"),
        *("id", "index", "name", "status", "call_id"),
    }
)
"""Members that say what a part or a message is, and no more."""

_HOLDING = _NESTED | _PICTURES | _PAYLOADS | _INLINE | {"source", "input"}
_PART = _HOLDING | _LABELS
_MESSAGE = frozenset({"content", *_CALLS, *_SPOKEN, "images", "output"}) | _LABELS

_SAYING = _MESSAGE - _LABELS
_DATA = re.compile(r"data:([\w.+-]*+/?+)[^,]{0,150};base64,", re.IGNORECASE)
_BASE64 = str.maketrans(
    "", "", "+/-_=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)
_MAGIC = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "JVBERi0")
_SHORTEST_IMAGE = 64
_BARE, _PLAIN_PART = frozenset({"role", "content"}), frozenset({"type", "text"})
URIS = ("data:", "DATA:")
PICTURES = URIS + _MAGIC
"""How a text begins that may be a picture or a PDF: a URI, or JPEG, PNG, GIF, WebP, PDF."""
_NUMBERS, _HOLDERS = frozenset({bool, float, int}), frozenset({list, dict})
_TEXTUAL = _HOLDERS | {str}
_ENCODER = msgspec.json.Encoder()


class Conversation(msgspec.Struct):
    """What the messages of a prompt hold.

    Attributes:
        size: Bytes of text.
        images: Number of images.
        template: The system prompt: every system and developer message, in order.
    """

    size: int = 0
    images: int = 0
    template: str = ""


def size_of_json(value: Json) -> int:
    """Return the size in bytes of a value's JSON; 0 if it is null."""
    return 0 if value is None else len(_ENCODER.encode(value))


def texts_in(value: Json) -> Iterator[str]:
    """Yield every text within a value, in order. Names of members are not texts."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending.extend(reversed(value))
        elif isinstance(value, dict):
            pending.extend(reversed(list(value.values())))


def measure_text(text: str) -> tuple[int, int]:
    """Return the bytes of a text, and its images: one if it is the ``data:`` URI of an image."""
    if text.startswith(URIS) and (match := _DATA.match(text[:LONGEST_PREFIX])):
        data = text[match.end() :]
        if not data.translate(_BASE64):
            picture = match[1].lower() == "image/"
            return (0 if picture else len(text) // _ATTACHMENT_SHARE), 1
    return utf8_size(text), 0


def is_picture(text: str) -> bool:
    """Return True for a picture, False for another file, in base64 or as a ``data:`` URI."""
    match = _DATA.match(text[:LONGEST_PREFIX])
    return match is None or match[1].lower() == "image/"


def measure_input(text: str) -> tuple[int, int]:
    """Return the bytes and images of an embedder's input, which may be a picture in base64."""
    if text.startswith(_MAGIC) and len(text) >= _SHORTEST_IMAGE and not text.translate(_BASE64):
        return 0, 1
    return measure_text(text)


def _measure_texts(
    texts: list[Any], marks: Sequence[str], measure_one: Callable[[str], tuple[int, int]]
) -> tuple[int, int]:
    """Return what texts hold, at once if none of them has a mark with which a picture begins."""
    together = "".join(texts)
    if not any(mark in together for mark in marks):
        return utf8_size(together), 0
    found = [measure_one(text) for text in texts]
    return sum(size for size, _ in found), sum(images for _, images in found)


def measure(content: Json) -> tuple[int, int]:
    """Return the size of a message's content, at any depth of nesting.

    Returns:
        Bytes of text, and number of images.

    Raises:
        BodyError: A part names a member that only some servers read.
    """
    size = images = 0
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found = measure_text(value)
        elif isinstance(value, dict):
            text = value.get("text")
            if type(text) is str and value.keys() <= _PLAIN_PART:
                if not text.startswith(URIS):  # the usual part
                    size += len(text) if text.isascii() else len(text.encode())
                    continue
                found = measure_text(text)
            else:
                found = _measure_part(value, pending)
        elif isinstance(value, list):
            if not value or type(value[0]) is not str or {*map(type, value)} != {str}:
                pending += value
                continue
            found = _measure_texts(value, URIS, measure_text)
        else:
            found = (0 if value is None else size_of_json(value)), 0
        size += found[0]
        images += found[1]
    return size, images


class _Held(msgspec.Struct, frozen=True, gc=False):
    """Which members of a part hold something, by what they hold.

    Attributes:
        nested: Contents.
        pictures: Pictures.
        payloads: Audio, video and files.
        inline: Gemini's inline data.
        others: The members that are neither this, nor ``source`` or ``input``, nor labels.
        nothing: Whether no member holds anything.
    """

    nested: tuple[str, ...]
    pictures: tuple[str, ...]
    payloads: tuple[str, ...]
    inline: tuple[str, ...]
    others: bool
    nothing: bool


def _held(names: tuple[str, ...]) -> _Held:
    nested, pictures, payloads, inline = (
        tuple(name for name in names if name in kind)
        for kind in (_NESTED, _PICTURES, _PAYLOADS, _INLINE)
    )
    others, nothing = not _LABELS.issuperset(names), _HOLDING.isdisjoint(names)
    return _Held(nested, pictures, payloads, inline, others, nothing)


_HELD = Known(_PART, _held)


def _measure_part(part: dict[str, Json], pending: list[Json]) -> tuple[int, int]:
    """Return the size and images of a part; contents within it are added to `pending`."""
    held = _HELD[tuple(part)]
    kind = part.get("type")
    kind = kind if isinstance(kind, str) else ""
    if held.nothing and kind not in _SHOWN:
        return _unknown(part) if held.others else 0, 0
    pending += [part[name] for name in held.nested]
    size = size_of_json(part["input"]) if "input" in part else 0
    if kind in _IMAGES or (held.pictures and any(part[name] for name in held.pictures)):
        return size, 1
    payload = sum([size_of_json(part[name]) for name in held.payloads]) if held.payloads else 0
    if "source" in part and kind in _SOURCED:
        text = _text_of_document(part["source"])
        pending += [text] if text else ()
        payload += size_of_json(part["source"]) if text is None else 0
    for name in held.inline:
        return size + _inline(part[name]), 1
    if payload or kind in _ATTACHMENTS:
        return size + payload // _ATTACHMENT_SHARE, 1
    return size, 0


def _inline(data: Json) -> int:
    """Return the bytes that Gemini's inline data counts besides an image: none of a picture's."""
    kinds = (data.get("mime_type") or data.get("mimeType")) if isinstance(data, dict) else ""
    picture = isinstance(kinds, str) and kinds.lower().startswith("image/")
    return 0 if picture else size_of_json(data) // _ATTACHMENT_SHARE


def _unknown(members: dict[str, Json]) -> int:
    """Return the bytes of the texts in members that no dialect knows."""
    if _TEXTUAL.isdisjoint(map(type, members.values())):
        return 0
    rest = [value for name, value in members.items() if name not in _LABELS]
    if not _HOLDERS.isdisjoint(map(type, rest)):
        rest = [*texts_in(rest)]
    return sum([measure_text(text)[0] for text in rest if isinstance(text, str)])


def _text_of_document(source: Json) -> Json:
    """Return the text of a document sent as text or as parts; None for a file or a reference."""
    if not isinstance(source, dict):
        return None
    return source.get("data") if source.get("type") == "text" else source.get("content")


# -- What a prompt asks --------------------------------------------------------------------------


def conversations(messages: Sequence[Json]) -> tuple[int, Conversation]:
    """Return how many conversations an array holds, and what they hold together.

    It is one conversation of messages, or (vLLM's batches) an array of conversations.

    Raises:
        BodyError: As `converse`.
    """
    if not messages or not isinstance(messages[0], list):
        return 1, converse(messages)
    several = [converse(one if isinstance(one, list) else [one]) for one in messages]
    together = Conversation(
        sum(one.size for one in several),
        sum(one.images for one in several),
        several[0].template,
    )
    return len(several), together


def converse(messages: Sequence[Json]) -> Conversation:
    """Return what messages hold.

    Raises:
        BodyError: A message names a member that only some servers read.
    """
    size = images = 0
    system: list[str] = []
    for each in messages:
        message: dict[str, Json] = (
            each if isinstance(each, dict) else {"role": "user", "content": each}
        )
        content = message.get("content")
        if isinstance(content, str) and not content.startswith(URIS):  # the usual case
            size += len(content) if content.isascii() else len(content.encode())
        elif content is not None:
            content_size, content_images = measure(content)
            size += content_size
            images += content_images
        if len(message) > len(_BARE) or not message.keys() <= _BARE:
            rest_size, rest_images = _measure_rest(message)
            size += rest_size
            images += rest_images
        role = message.get("role")
        if isinstance(role, str) and role in SYSTEM_ROLES:
            system.append(text_of(content))
    return Conversation(size, images, joined(system))


def _said(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return which members of a message are calls, which are contents, and if neither is known."""
    calls = tuple(name for name in names if name in _CALLS)
    spoken = tuple(name for name in names if name in _SPOKEN)
    return calls, spoken, _SAYING.isdisjoint(names)


_SAID_IN = Known(_MESSAGE, _said)


def _measure_rest(message: dict[str, Json]) -> tuple[int, int]:
    """Return the size and images of a message besides its content."""
    calls, spoken, nothing = _SAID_IN[tuple(message)]
    if nothing:
        return _unknown(message), 0
    size = images = 0
    for name in calls:
        size += size_of_json(message[name])
    for name in spoken:
        size += measure(message[name])[0]
    output = message.get("output")
    if type(output) is str and not output.startswith(URIS):  # the usual one
        size += len(output) if output.isascii() else len(output.encode())
    elif output is not None:
        output_size, images = _measure_output(output)
        size += output_size
    if "images" in message and isinstance(pictures := message["images"], list):
        images += len(pictures)
    return size, images


def _measure_output(output: Json) -> tuple[int, int]:
    """Return the bytes and images of a tool's output: text, parts, or any other JSON."""
    if isinstance(output, str):
        return measure_text(output)
    for part in output if isinstance(output, list) else (output,):
        if type(part) is str or (type(part) is dict and not _HOLDING.isdisjoint(part)):
            return measure(output)
    return size_of_json(output), 0


def text_of(content: Json) -> str:
    """Return the text directly in a content, without tool results and documents within it."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content if isinstance(content, list) else (content,):
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str) and text:
            texts.append(text)
    return joined(texts)


class Prompts(msgspec.Struct):
    """What an array of prompts, or a single one, holds.

    Attributes:
        items: Number of prompts.
        size: Bytes of text.
        tokens: Prompt tokens sent as token ids.
        images: Number of images.
    """

    items: int = 1
    size: int = 0
    tokens: int = 0
    images: int = 0


def measure_prompts(value: Json) -> Prompts:
    """Return what prompts hold, sent as text, as token ids, as parts, or as an array of any."""
    if not isinstance(value, list):
        value = [value]
    elif value and {*map(type, value)} <= _NUMBERS:
        return Prompts(tokens=len(value))
    elif {*map(type, value)} == {str}:
        size, images = _measure_texts(value, PICTURES, measure_input)
        if not images:  # the usual array
            return Prompts(items=len(value), size=size)
    prompts = Prompts(items=max(1, len(value)))
    for prompt in value:
        if isinstance(prompt, str):
            size, images = measure_input(prompt)
        elif isinstance(prompt, list):
            ids = sum([type(element) in _NUMBERS for element in prompt])
            prompts.tokens += ids
            texts = [element for element in prompt if type(element) not in _NUMBERS]
            size, images = measure(texts) if texts else (0, 0)
        elif type(prompt) in _NUMBERS:
            prompts.tokens += 1
            continue
        else:
            size, images = measure(prompt)
        prompts.size += size
        prompts.images += images
    return prompts
