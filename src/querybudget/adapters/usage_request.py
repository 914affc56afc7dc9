"""Asking for usage: the option of OpenAI's dialect by which a stream ends with what it used.

Without it, a stream says only what it shows: reasoning that is not shown would count as nothing.
Servers that do not know the option ignore it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec import Raw

from querybudget.adapters.readings import MOST_SPREAD, SPREAD
from querybudget.adapters.request import BOM

_OPTIONS = "stream_options"
_ASKED = b'"stream_options":{"include_usage":true}}'
_QUOTED = b'"stream_options"'
_EXTRA = b'"extra_body"'
_SPACE = b" \t\r\n"
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})  # as pydantic reads text for a boolean
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_VALUE: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Chunk(msgspec.Struct):
    choices: list[Raw] | None = None
    usage: dict[str, Raw] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def ask_for_usage(body: bytes) -> bytes:
    """Return a request's body with ``stream_options.include_usage`` set.

    Nothing else of it changes, byte for byte, unless it has stream options already: these keep
    their other members.

    Args:
        body: A JSON object, decompressed.

    Returns:
        The new body; `body` itself if it asks already, or if it is no object.
    """
    if _EXTRA in body and _QUOTED in body:
        body = _within_extra(body)
    end = len(body.rstrip(_SPACE)) - 1
    if body[end : end + 1] != b"}" or not body.removeprefix(BOM).lstrip(_SPACE).startswith(b"{"):
        return body
    if _QUOTED in body:
        try:
            members = _MEMBERS.decode(body.removeprefix(BOM))
            options = _VALUE.decode(members[_OPTIONS]) if _OPTIONS in members else None
        except (ValueError, RecursionError):
            # Lenient JSON, as some servers read it: of two members, the last counts.
            return _appended(body, end)
        if options is not None:
            return _with_option(body, members, options)
        if _OPTIONS in members:
            return _with_option(body, members, {})
    return _appended(body, end)


def _within_extra(body: bytes, spreads: int = MOST_SPREAD) -> bytes:
    """Ask in ``extra_body`` too, if it has options: a proxy may put them in place of the others.

    So does the next proxy with those of an ``extra_body`` within it.
    """
    try:
        members = _MEMBERS.decode(body.removeprefix(BOM))
        inside = bytes(members[SPREAD])
        asked = _within_extra(inside, spreads - 1) if spreads > 1 else inside
        extra = _MEMBERS.decode(asked)
        given = _VALUE.decode(extra[_OPTIONS]) if _OPTIONS in extra else {"include_usage": True}
    except (KeyError, ValueError, RecursionError):
        return body
    options: Mapping[str, object] = {}
    if isinstance(given, dict):
        options = cast("Mapping[str, object]", given)
    asked = _with_option(asked, extra, options)
    return body if asked == inside else msgspec.json.encode({**members, SPREAD: Raw(asked)})


def is_usage_event(data: bytes) -> bool:
    """Return True if the data of an event are the report that `ask_for_usage` asked for."""
    if _NO_CHOICES.search(data) is None:
        return False
    try:
        chunk = _CHUNK.decode(data)
    except (ValueError, RecursionError):
        return False
    return chunk.choices == [] and chunk.usage is not None


def _appended(body: bytes, end: int) -> bytes:
    head = body[:end]
    comma = b"" if head.rstrip(_SPACE).endswith(b"{") else b","
    return head + comma + _ASKED + body[end + 1 :]


def _with_option(body: bytes, members: dict[str, Raw], options: object) -> bytes:
    if not isinstance(options, dict):
        return body  # the server's error to tell
    given = cast("Mapping[str, object]", options)
    asked = given.get("include_usage")
    if asked is True or asked == 1 or (isinstance(asked, str) and asked.lower() in _TRUE):
        return body
    members[_OPTIONS] = Raw(msgspec.json.encode({**given, "include_usage": True}))
    return msgspec.json.encode(members)
