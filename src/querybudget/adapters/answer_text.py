"""The size of the text in an answer of no known shape.

What cannot be found counts by its size: every text in it, except under names that no model fills.
"""

from __future__ import annotations

from typing import cast

import msgspec

from querybudget.adapters.request import utf8_size

_NOT_TEXT = frozenset(
    {
        "b64_json",
        "created",
        "created_at",
        "data",
        "encrypted_content",
        "finish_reason",
        "fingerprint",
        "id",
        "index",
        "item_id",
        "logprobs",
        "model",
        "object",
        "provider",
        "request_id",
        "role",
        "service_tier",
        "signature",
        "stop_reason",
        "system_fingerprint",
        "token_ids",
        "tool_call_id",
        "type",
        "usage",
    }
)
"""Names whose values are no generated text: facts about an answer, and encoded bytes."""

_AS_JSON = frozenset({"arguments", "input", "args"})
"""Names whose values, where they are no text, are text that was parsed: they count as JSON."""

_SAME_TEXT = {
    "reasoning": "reasoning_content",
    "reasoning_details": "reasoning",
    "thinking_blocks": "reasoning_content",
}
"""Names that repeat the text under another name of the same object."""


def json_text_size(value: object) -> int:
    """Return the size of a text, or of any other value as JSON; 0 of null."""
    if isinstance(value, str):
        return utf8_size(value)
    return 0 if value is None else len(msgspec.json.encode(value))


def text_size(document: object) -> int:
    """Return the UTF-8 bytes of every text in a decoded JSON document that a model may have made.

    It takes each value once, so its work is in proportion to the document's size.
    """
    size, pending = 0, [document]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            size += utf8_size(value)
        elif isinstance(value, list):
            pending.extend(cast("list[object]", value))
        elif isinstance(value, dict):
            size += _members(cast("dict[str, object]", value), pending)
    return size


def _members(members: dict[str, object], pending: list[object]) -> int:
    """Add the members to look into to `pending`; return the size of those that count as JSON."""
    size = 0
    for name, value in members.items():
        if name in _NOT_TEXT or (name in _SAME_TEXT and members.get(_SAME_TEXT[name])):
            continue
        if name in _AS_JSON:
            size += json_text_size(value)
        else:
            pending.append(value)
    return size
