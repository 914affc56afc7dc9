"""A plain chat request asks what it asks when it is read member by member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Channel, Segment, Target
from querybudget.adapters.openai import ChatCompletions
from querybudget.adapters.plain_chat import plain_chat
from querybudget.adapters.reading import read_call

TARGET = Target("/v1/chat/completions")
CHAT = ChatCompletions()

roles = st.sampled_from(["user", "assistant", "system", "developer", "tool", "odd", "", '"'])
texts = st.sampled_from(["", "hi", 'say\n"hi"', "größer", "data:image/png;base64,AAAA", "\\u0022"])
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": texts}), max_size=5)
integers = st.integers(-3, 2**70)
chats = st.fixed_dictionaries(
    {"messages": messages},
    optional={
        "model": st.sampled_from(["gpt-4o", "", "one,two", ",", 'a "b"']),
        "stream": st.booleans(),
        "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
        "max_tokens": integers,
        "max_completion_tokens": integers,
        "n": integers,
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "seed": integers,
    },
)


def member_by_member(body: bytes) -> Any:
    """The call of the same body with one more member, which asks nothing."""
    return read_call(CHAT, TARGET, body.rstrip()[:-1] + b',"user":"x"}')


def written(chat: Any, *, ascii_only: bool, spaces: bool) -> bytes:
    separators = None if spaces else (",", ":")
    return json.dumps(chat, ensure_ascii=ascii_only, separators=separators).encode()


@given(chats, st.booleans(), st.booleans())
def test_both_ways_of_reading_give_the_same_call(chat: Any, ascii_only: bool, spaces: bool) -> None:
    body = written(chat, ascii_only=ascii_only, spaces=spaces)
    assert read_call(CHAT, TARGET, body) == member_by_member(body)


@given(chats, st.booleans(), st.data())
def test_a_member_given_twice_is_never_read_at_once(
    chat: Any, ascii_only: bool, data: st.DataObject
) -> None:
    body = written(chat, ascii_only=ascii_only, spaces=False)
    name = data.draw(st.sampled_from(sorted(chat)))
    value = data.draw(st.sampled_from([chat[name], 1, True, "x", []]))
    written_name = data.draw(
        st.sampled_from([json.dumps(name), f'"\\u{ord(name[0]):04x}{name[1:]}"'])
    )
    again = f",{written_name}:{json.dumps(value, separators=(',', ':'))}}}".encode()
    assert plain_chat(TARGET, body[:-1] + again) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"a","content":"b"}]}',
        b'{"messages":[{"role":"user","content":"\\u0022\\u0022"}],"n":9,"n":1}',
        b'{"messages":[{"role":"user","content":"a","name":"b"}]}',
        b'{"messages":[],"n":"2"}',
        b'{"messages":[],"Model":"b"}',
        b'\xef\xbb\xbf{"messages":[]}',
        b'{"messages":[]}{}',
        b'{"messages":[]',
        b"[" * 100_000,
        b"",
    ],
)
def test_any_other_body_is_not_read_at_once(body: bytes) -> None:
    assert plain_chat(TARGET, body) is None


def test_a_plain_request_is_read_at_once() -> None:
    body = json.dumps(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": 'line\n"two"'},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 10,
        }
    ).encode()
    call = plain_chat(TARGET, body)
    assert call is not None
    assert (call.model, call.template) == ("m", "Be brief.")
    assert call.segments[-1] == Segment(Channel.SAID, 'line\n"two"')
    assert (call.stream, call.max_output, call.input_bytes) == (True, 10, 19)


def test_a_long_body_of_escapes_is_read_as_a_short_one() -> None:
    for content in ("\u00e9" * 20_000, "\n" * 40_000 + "\u00e9" * 20_000):
        body = json.dumps({"messages": [{"role": "user", "content": content}]}).encode()
        assert plain_chat(TARGET, body) is None
        call = read_call(CHAT, TARGET, body)
        assert (call.operation, call.input_bytes) == ("chat", len(content.encode()))
        assert call.segments == (Segment(Channel.SAID, content),)
