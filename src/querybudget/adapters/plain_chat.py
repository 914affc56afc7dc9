"""The plain chat request, read at once: messages of texts, and the commonest settings.

Most requests have this form. Any other is read member by member, with the same result.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import astuple

from querybudget.adapters.base import Call, Dialect, Segment, Target
from querybudget.adapters.combined import copied
from querybudget.adapters.content import PICTURES, SYSTEM_ROLES
from querybudget.adapters.model_names import models_of
from querybudget.adapters.request import choices_of, joined, output_bound
from querybudget.adapters.segment_names import channel_of, is_role


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    include_usage: bool


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


_LONG = 64 * 1024
"""Bytes of a body that is not decoded if one of its first escapes says that it is no plain one."""

_NEAR = 4096
"""Bytes after the first escape that are searched for one, as a search for two bytes is slow."""

_OPENAI = Dialect.OPENAI
_CHAT = msgspec.json.Decoder(_Chat)
_MEMBERS = len(_Chat.__struct_fields__)
_UNICODE = b"\\u"
_OF_TEXT = 2
_OF_A_MESSAGE = 8  # two names and two texts
_CHANNELS = {role: channel_of(role) for role in ("assistant", "system", "tool", "user")}
"""Of the usual roles."""


def plain_chat(target: Target, body: bytes) -> Call | None:
    """Return what a plain chat request asks; None for any other, which may be none at all."""
    if len(body) > _LONG and _begins_escaped(body):
        return None
    try:
        chat = _CHAT.decode(body)
    except (ValueError, RecursionError):
        return None
    messages, model = chat.messages, chat.model
    # The quotation marks around names and texts, and those within texts, if each member is given
    # once and none is null. More are those of a member that is given twice.
    quotes = _OF_TEXT * (_MEMBERS - astuple(chat).count(None)) + _OF_A_MESSAGE * len(messages)
    if model is not None:
        quotes += _OF_TEXT
    if chat.stream_options is not None:
        quotes += _OF_TEXT
    if body.find(b"\\") >= 0:  # faster than `in`
        quotes += _within(chat, body)
    if body.count(b'"') != quotes:
        return None
    size = 0
    for message in messages:
        text = message.content
        if text.startswith(PICTURES):
            return None
        size += len(text) if text.isascii() else len(text.encode())
    first, second, bound = chat.max_completion_tokens, chat.max_tokens, None
    if first is not None or second is not None:
        bound = output_bound(first, second)
    models = models_of(target, model)
    call = Call(
        _OPENAI,
        "chat",
        models.first,
        chat.stream is True,
        1,
        1 if chat.n is None else choices_of(chat.n),
        bound,
        size,
        template=joined([m.content for m in messages if m.role in SYSTEM_ROLES]),
        other_models=models.others,
        any_model=not models.first,
        segments=_segments(target, messages),
    )
    return call if models.copies == 1 else copied(call, models.copies)


def _begins_escaped(body: bytes) -> bool:
    first = body.find(b"\\")
    return first >= 0 and body.find(_UNICODE, first, first + _NEAR) >= 0


def _segments(target: Target, messages: list[_Message]) -> tuple[Segment, ...]:
    """Return what the model reads, if it is wanted; an unknown role is read too."""
    if not target.texts:
        return ()
    segments: list[Segment] = []
    for message in messages:
        role, text = message.role, message.content
        channel = _CHANNELS.get(role)
        if channel is None:
            channel = channel_of(role)
            if not is_role(role):
                text = f"{role}\n{text}" if text else role
        if text:
            segments.append(Segment(channel, text))
    return tuple(segments)


def _within(chat: _Chat, body: bytes) -> int:
    """Return the quotation marks within texts; below zero if they may be written in two ways."""
    if _UNICODE in body:
        return -len(body)
    quotes = chat.model.count('"') if chat.model else 0
    for message in chat.messages:
        quotes += message.role.count('"') + message.content.count('"')
    return quotes
