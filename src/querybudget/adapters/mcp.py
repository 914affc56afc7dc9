"""Messages of the Model Context Protocol, over its streamable HTTP: each tool is a model.

A body is one message of JSON-RPC 2.0, or an array of them, as servers of the protocol's version of
March 2025 take. What opens a session, lists what there is or reports on something is no call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from querybudget.adapters.base import SESSION, Call, Dialect, Meter, Target
from querybudget.adapters.combined import most_of, together
from querybudget.adapters.content import measure_input, texts_in
from querybudget.adapters.lax import Json
from querybudget.adapters.metering import AnswerTotals, answer_meter
from querybudget.adapters.reading import unreadable_call
from querybudget.adapters.readings import TooMuchError, misspelt, readings
from querybudget.adapters.request import read_body
from querybudget.adapters.segments import texts_of
from querybudget.errors import BodyError

OPERATION: Final = "mcp"
"""The operation of a message that asks a tool, or anything else that is not known to be free."""

MAX_MESSAGES = 1_000
"""Messages of an array that are read: clients send a few. Of more, each counts as a call."""

LONGEST_ID = 200
"""Characters of a message's id that a refusal repeats; clients count, or send a UUID."""

_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder()
_TOOL = "tools/call"
_FREE = frozenset(
    {
        *("initialize", "server/discover", "ping", "logging/setLevel", "tools/list"),
        *("prompts/list", "resources/list", "resources/templates/list", "subscriptions/listen"),
        *("resources/subscribe", "resources/unsubscribe"),
        # What a call of a tool has begun.
        *("tasks/get", "tasks/list", "tasks/result", "tasks/cancel"),
    }
)
_NOTICE = "notifications/"
_NAMES = {name: name for name in ("arguments", "id", "jsonrpc", "method", "name", "params")}
_QUOTED = tuple(msgspec.json.encode(name) for name in _NAMES)
_EXPECTED = "a message of JSON-RPC"


class Mcp:
    """Reads messages: the tool of a call is its model, and the call's arguments are the prompt.

    Another method that is not known to be free is a model of its own name, and its parameters are
    the prompt. Of several messages, each that is a call counts.
    """

    dialect: Dialect = Dialect.JSON_RPC

    def parse(self, target: Target, body: bytes, /) -> Call:
        document = read_body(_JSON, body, _EXPECTED)
        if isinstance(document, list) and len(document) > MAX_MESSAGES:
            call = unreadable_call(self.dialect, body)
            call.items = len(document)
            return call
        if not _differs(document, body):
            return _call(target, document)
        calls = [_call(target, _JSON.decode(one)) for one in readings(body, _NAMES)]
        if not calls:
            raise TooMuchError("Expected a body that servers read alike.")
        return most_of([call for call in calls if call.operation != SESSION] or calls[:1])

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _nothing, _nothing)

    def degrade(self, body: bytes, /) -> bytes:
        return body


def _call(target: Target, document: Json) -> Call:
    messages = [*_messages(document)]
    calls = [_asked(target, message) for message in messages if not _is_free(message)]
    call = together(calls) if calls else Call(Dialect.JSON_RPC, SESSION, generates=False)
    call.message_id = _id_of(messages[0]) if len(messages) == 1 else None
    return call


def _messages(document: Json) -> Iterator[dict[str, Json]]:
    """Yield each message of a body.

    Raises:
        BodyError: There is none, or something else.
    """
    if not document:
        raise BodyError(f"Expected {_EXPECTED}, found nothing.")
    for message in document if isinstance(document, list) else (document,):
        if not isinstance(message, dict):
            raise BodyError(f"Expected {_EXPECTED}, found no object.")
        yield message


def _is_free(message: dict[str, Json]) -> bool:
    """Return True for what calls nothing: an answer has no method."""
    method = message.get("method")
    if not isinstance(method, str):
        return method is None
    return method in _FREE or method.startswith(_NOTICE)


def _asked(target: Target, message: dict[str, Json]) -> Call:
    method, asked = message["method"], message.get("params")
    model, prompt = method, asked
    if method == _TOOL:
        members = asked if isinstance(asked, dict) else {}
        model, prompt = members.get("name"), members.get("arguments")
    sizes = [measure_input(text) for text in texts_in(prompt)]
    call = Call(
        Dialect.JSON_RPC,
        OPERATION,
        model if isinstance(model, str) else "",
        input_bytes=sum(size for size, _ in sizes),
        images=sum(images for _, images in sizes),
        generates=False,
    )
    if target.texts:
        call.segments, call.opaque = texts_of({}, [prompt])
    return call


def _id_of(message: dict[str, Json]) -> int | str | None:
    found = message.get("id")
    if isinstance(found, str):
        return found if len(found) <= LONGEST_ID else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _differs(document: Json, body: bytes) -> bool:
    """Return True if servers may not all find the same members."""
    if b"\\u00" in body or any(body.count(name) > 1 for name in _QUOTED):
        return True
    messages = document if isinstance(document, list) else [document]
    objects = [message for message in messages if isinstance(message, dict)]
    objects += [one for message in objects if isinstance(one := message.get("params"), dict)]
    return any(misspelt(name, _NAMES) for holder in objects for name in holder)


def _nothing(_data: bytes, _totals: AnswerTotals) -> None:
    """Read nothing of an answer: tools report no usage."""
