"""The plain chat request, read at once: messages of texts, and the commonest settings.

Most requests have this form. Any other is read member by member, with the same result.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from querybudget.adapters.base import Call, Dialect, Target
from querybudget.adapters.combined import copied
from querybudget.adapters.content import URIS, Turns
from querybudget.adapters.model_names import models_of
from querybudget.adapters.request import choices_of, joined, output_bound


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str


class _StreamOptions(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    include_usage: bool


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Message]
    model: str | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    stream_options: _StreamOptions | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    n: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET


_CHAT = msgspec.json.Decoder(_Chat)
_MEMBERS = len(_Chat.__struct_fields__)
_OF_A_NAME = 2
_OF_A_MESSAGE = 8  # two names and two texts


def plain_chat(target: Target, body: bytes) -> Call | None:
    """Return what a plain chat request asks; None for any other, which may be none at all."""
    try:
        chat = _CHAT.decode(body)
    except (ValueError, RecursionError):
        return None
    if body.count(b'"') != _quotes(chat, body):  # a member is given twice
        return None
    size, turns = 0, Turns()
    for message in chat.messages:
        text = message.content
        if text.startswith(URIS):
            return None
        size += len(text) if text.isascii() else len(text.encode())
        turns.add(message.role, text)
    model = None if chat.model is UNSET else chat.model
    models = models_of(target, model)
    call = Call(
        Dialect.OPENAI,
        "chat",
        models.first,
        chat.stream is True,
        choices=1 if chat.n is UNSET else choices_of(chat.n),
        max_output=_bound(chat),
        input_bytes=size,
        template=joined(turns.system),
        ask=joined(turns.asked) or turns.last,
        other_models=models.others,
    )
    return call if models.copies == 1 else copied(call, models.copies)


def _bound(chat: _Chat) -> int | None:
    first, second = chat.max_completion_tokens, chat.max_tokens
    if first is UNSET:
        return None if second is UNSET else output_bound(second)
    return output_bound(first)


def _quotes(chat: _Chat, body: bytes) -> int:
    """Return the quotation marks of a request that gives each member once.

    Those around names and texts, and those within texts; -1 if these cannot be told.
    """
    model, messages = chat.model, chat.messages
    names = _MEMBERS - astuple(chat).count(UNSET)
    if chat.stream_options is not UNSET:
        names += 1
    if model is not UNSET:
        names += 1
    quotes = _OF_A_NAME * names + _OF_A_MESSAGE * len(messages)
    if b"\\" not in body:
        return quotes
    if b"\\u" in body:  # one may be written in two ways
        return -1
    within = 0 if model is UNSET else model.count('"')
    for message in messages:
        within += message.role.count('"') + message.content.count('"')
    return quotes + within
