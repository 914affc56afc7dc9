"""For any body, at least what a server reads in it is charged, and no more for an ordinary one.

Three readers stand for the servers: Python's ``json`` with pydantic's models, as vLLM has them;
Python's ``json`` and ``dict.get``; and Go's ``encoding/json``, by its rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import BaseModel, ValidationError

from querybudget.adapters import adapter_for
from querybudget.adapters.base import UNREADABLE, Call, Target
from querybudget.adapters.reading import degrade_call, read_call
from querybudget.adapters.request import MAX_CHOICES

CHAT = "/v1/chat/completions"


def call_of(body: bytes, path: str = CHAT, query: str = "") -> Call:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    return read_call(adapter, Target(path, query), body)


class Asked:
    """What a server takes a request to ask."""

    def __init__(self, model: Any, n: Any, limit: Any, stream: Any, texts: list[Any]) -> None:
        self.model = model if isinstance(model, str) else ""
        self.n = n if n is not None else 1
        self.limit = limit
        self.stream = bool(stream)
        self.size = sum(len(text.encode(errors="replace")) for text in texts if text is not None)


# -- Python's json and pydantic


class Message(BaseModel):
    role: str = ""
    content: str | None = None


class Chat(BaseModel):
    messages: list[Message]
    model: str = ""
    n: int | None = None
    max_tokens: int | None = None
    stream: bool | None = None


def by_pydantic(body: bytes) -> Asked | None:
    try:
        chat = Chat.model_validate(json.loads(body))
    except (ValueError, ValidationError, RecursionError):
        return None
    texts = [message.content for message in chat.messages]
    return Asked(chat.model, chat.n, chat.max_tokens, chat.stream, texts)


# -- Python's json and dict.get


def by_dict(body: bytes) -> Asked | None:
    try:
        chat = json.loads(body)
        texts = [message.get("content", "") for message in chat["messages"]]
        n, limit = int(chat.get("n") or 1), chat.get("max_tokens")
        if not all(isinstance(text, str | None) for text in texts):
            return None
        return Asked(chat.get("model"), n, int(limit) if limit else None, chat.get("stream"), texts)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError):
        return None


# -- Go's encoding/json, by its rules: https://pkg.go.dev/encoding/json#Unmarshal


GO_CHAT = {"messages": [{"role": str, "content": str}], "model": str}
GO_CHAT |= {"n": int, "max_tokens": int, "stream": bool}
INT64 = 2**63


def go_folded(name: str) -> str:
    """Fold a name: case, and the two other runes that Unicode folds to ASCII letters."""
    return "".join(
        {"\u017f": "s", "\u212a": "k"}.get(c, c.lower() if c < "\x80" else c) for c in name
    )


class GoTypeError(Exception):
    """A value does not fit the type of its field."""


def go_value(kind: Any, value: Any, before: Any) -> Any:
    """Return a field of a type after a value was decoded into it."""
    if value is None:
        return before
    if isinstance(kind, dict):
        if not isinstance(value, Pairs):
            raise GoTypeError
        members = {**(before or {})}
        for name, member in value.pairs:
            field = next((f for f in kind if go_folded(name) == f), None)
            if field is not None:
                members[field] = go_value(kind[field], member, members.get(field))
        return members
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise GoTypeError
        old = [*(before or [])]
        old += [None] * (len(value) - len(old))
        return [go_value(kind[0], each, was) for each, was in zip(value, old, strict=False)]
    fits = type(value) is kind and (kind is not int or -INT64 <= value < INT64)
    if not fits:
        raise GoTypeError
    return value


class Pairs:
    """A JSON object with every member, also those named twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def by_go(body: bytes) -> Asked | None:
    def no_constant(_: str) -> None:
        raise ValueError

    decoder = json.JSONDecoder(object_pairs_hook=Pairs, parse_constant=no_constant)
    # A decoder reads the first value; what is not UTF-8 becomes U+FFFD, as do lone surrogates.
    text = body.decode(errors="replace").lstrip(" \t\r\n")
    try:
        chat = go_value(GO_CHAT, decoder.raw_decode(text)[0], None)
    except (ValueError, RecursionError, GoTypeError):
        return None
    if chat is None or "messages" not in chat:
        return None
    texts = [(message or {}).get("content") for message in chat["messages"]]
    get = chat.get
    return Asked(get("model"), get("n"), get("max_tokens"), get("stream"), texts)


READERS: Mapping[str, Callable[[bytes], Asked | None]] = {
    "pydantic": by_pydantic,
    "dict": by_dict,
    "Go": by_go,
}

# -- Bodies

NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["3", " 3 ", "0900", "+5", "3.0", "1_0", "\u0663", "1e2", "0x10", "many", ""]),
    st.sampled_from([[3], [], {}, {"a": 1}, 10**30, "1" * 500]),
)
FLAGS = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-1, 2),
    st.sampled_from(
        ["true", "False", "on", "OFF", "yes", "n", "1", "0", "", "x", 1.0, 0.0, [], {}]
    ),
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
TEXTS = st.text(max_size=12)


def spelt(name: str) -> st.SearchStrategy[str]:
    others = {name.upper(), name.title(), name.replace("s", "\u017f"), name.replace("k", "\u212a")}
    return st.sampled_from([name, name, name, *sorted(others)])


def pair(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(spelt(name), values)


def objects(*members: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[Pairs]:
    return st.lists(st.one_of(*members), max_size=5).map(Pairs)


MESSAGES = objects(
    pair("role", st.sampled_from(["user", "system", "assistant"]) | ODD),
    pair("content", TEXTS),
    pair("content", TEXTS | ODD),
    st.tuples(st.text(max_size=5), ODD),
)
CHATS = st.builds(
    lambda messages, rest: Pairs([("messages", messages), *rest.pairs]),
    st.lists(MESSAGES, max_size=3),
    objects(
        pair("model", st.sampled_from(["cheap", "dear", "a,b"]) | ODD),
        pair("n", NUMBERS),
        pair("max_tokens", NUMBERS),
        pair("stream", FLAGS),
        pair("messages", st.lists(MESSAGES, max_size=2)),
        st.tuples(st.text(max_size=6), ODD),
    ),
)


def written(value: Any, *, ascii_only: bool = True) -> str:
    """Return JSON with every pair of an object."""
    if isinstance(value, Pairs):
        members = [f"{json.dumps(k)}:{written(v, ascii_only=ascii_only)}" for k, v in value.pairs]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, ascii_only=ascii_only) for each in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def encoded(chat: Pairs, encoding: str, after: str, *, ascii_only: bool) -> bytes:
    text = written(chat, ascii_only=ascii_only) + after
    return text.encode(encoding, "surrogatepass")


ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]
BODIES = st.builds(
    encoded,
    CHATS,
    st.sampled_from(ENCODINGS),
    st.sampled_from(["", "", "\n", " trailing"]),
    ascii_only=st.booleans(),
)


def check_at_least(call: Call, asked: Asked, reader: str) -> None:
    if call.operation == UNREADABLE:  # dearer in each unit
        assert call.input_tokens >= asked.size, reader
        return
    names = {call.model, *call.other_models}
    wanted = {n.strip() for n in asked.model.split(",")} - {""}
    assert wanted <= {name.strip() for name in names}, reader
    assert call.items * call.choices >= min(asked.n, MAX_CHOICES), reader
    assert call.input_bytes >= asked.size, reader
    assert call.stream == asked.stream or call.ambiguous, reader
    if asked.limit is not None and 0 < asked.limit < 10**7 and call.max_output is not None:
        assert call.max_output >= asked.limit, reader


@given(body=BODIES)
@example(body=b'{"messages":[],"n":" 10 "}')
@example(body=b'{"messages":[],"n":1,"N":9}')
@example(body=b'{"messages":[],"model":"cheap","Model":"dear"}')
@example(body=b'{"messages":[{"Content":"abc"}]}')
@example(body=b'{"messages":[{"content":"abc"}],"messages":[{"role":"user"}]}')
@example(body=b'{"messages":[],"n":9,"n":null}')
@example(body=b'{"messages":[],"stream":"off"}')
@example(body=b'{"me\xc5\xbfsages":[],"messages":[]}')
@example(body='{"messages":[{"content":"é"}]}'.encode("utf-16"))
@example(body=b'{"messages":[],"n":"%b"}' % (b"1" * 500))
@example(body=b'{"messages":[],"n":%b}' % (b"1" * 500))
@example(body=b'{"messages":[{"content":"0","content":null}]}')
def test_every_server_that_reads_a_body_is_charged_at_least_what_it_reads(body: bytes) -> None:
    call = call_of(body)
    for name, reader in READERS.items():
        asked = reader(body)
        if asked is not None:
            check_at_least(call, asked, name)


PLAIN = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["cheap", "dear"]),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": TEXTS})
        ),
    },
    optional={
        "n": st.integers(1, 40),
        "max_tokens": st.integers(1, 10_000),
        "stream": st.booleans(),
        "temperature": st.floats(0, 2),
        "x_vendor": st.dictionaries(TEXTS, st.integers()),
    },
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": ")])


@given(plain=PLAIN, separators=SEPARATORS, indent=st.sampled_from([None, 1]))
def test_an_ordinary_body_is_charged_exactly_what_it_asks(
    plain: dict[str, Any], separators: tuple[str, str], indent: int | None
) -> None:
    body = json.dumps(plain, separators=separators, indent=indent).encode()
    call, asked = call_of(body), by_pydantic(body)
    assert asked is not None
    assert (call.model, call.other_models, call.ambiguous) == (asked.model, (), False)
    assert (call.choices, call.input_bytes, call.stream) == (asked.n, asked.size, asked.stream)
    assert call.max_output == asked.limit


@given(plain=PLAIN)
def test_a_body_as_httpx_sends_it_is_read_at_the_first_attempt(plain: dict[str, Any]) -> None:
    adapter = adapter_for(CHAT, "POST", ())
    assert adapter is not None
    body = httpx.Request("POST", "http://test", json=plain).content
    assert adapter.parse(Target(CHAT), body) == call_of(body)


@given(body=BODIES)
@example(body=b'{"messages":[],"n":2,"n":1,"max_tokens":1}')
def test_a_degraded_body_asks_every_server_for_one_answer(body: bytes) -> None:
    adapter = adapter_for(CHAT, "POST", ())
    assert adapter is not None
    degraded = degrade_call(adapter, Target(CHAT), body)
    call = call_of(body if degraded is None else degraded)
    if call.operation == UNREADABLE:
        return
    assert call.choices == 1
    for name, reader in READERS.items():
        asked = reader(body if degraded is None else degraded)
        if asked is not None:
            assert asked.n in {0, 1}, name


@pytest.mark.parametrize("ignored", [b"[" * 300 + b"]" * 300, b'{"a":' * 90 + b"1" + b"}" * 90])
def test_a_member_that_is_ignored_changes_no_figure(ignored: bytes) -> None:
    body = b'{"messages":[{"role":"user","content":"abc"}],"x":%b}' % ignored
    call, alone = call_of(body), call_of(b'{"messages":[{"role":"user","content":"abc"}]}')
    assert call.segments[: len(alone.segments)] == alone.segments
    assert replace(call, segments=alone.segments) == alone


@given(name=st.sampled_from(["cheap", "dear"]), other=st.sampled_from(["cheap", "dear"]))
def test_every_place_that_names_a_model_counts(name: str, other: str) -> None:
    body = json.dumps({"messages": [], "model": name}).encode()
    for call in (
        call_of(body, query=f"model={other}"),
        call_of(body, query=f"a=1&MODEL={other}"),
        call_of(body, f"/engines/{other}/chat/completions"),
        call_of(body, f"/openai/deployments/{other}{CHAT}"),
    ):
        assert {call.model, *call.other_models} == {name, other}
        assert call.model == other
