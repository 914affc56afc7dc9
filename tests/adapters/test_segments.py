"""Everything that a model reads is in a call's segments, in its order, or is opaque."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import UNREADABLE, Adapter, Call, Channel, Opaque, Segment, Target
from querybudget.adapters.readers import READERS
from querybudget.adapters.reading import MAX_VALUES, read_call
from querybudget.adapters.segment_names import SETTINGS
from querybudget.adapters.segment_reader import MOST_OPAQUE
from querybudget.policy.routes import GenericRoute
from tests.adapters.bodies_of_dialects import BODIES, PNG

HOLE = re.compile(r"<(\d+) (said|fed)>")


ANYWHERE = Target("/x")


def read(adapter: Adapter, body: Any, target: Target = ANYWHERE) -> Call:
    return read_call(
        adapter, target, body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def chat(*messages: Any, **members: Any) -> Call:
    return read(READERS["chat"], {"messages": list(messages), **members})


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from strings(member)


def filled(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fill(value) if HOLE.fullmatch(value) else value
    if isinstance(value, dict):
        return {name: filled(member, fill) for name, member in value.items()}
    return [filled(member, fill) for member in value] if isinstance(value, list) else value


def holders(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to each object, and to each text, that is no setting and no label."""
    yield way
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(name, str) and not way and name.replace("_", "").lower() in SETTINGS:
            continue
        if isinstance(member, dict | list):
            yield from holders(member, (*way, name))
        elif isinstance(member, str) and HOLE.fullmatch(member):
            yield (*way, name)


def changed(body: Any, way: tuple[Any, ...], text: str) -> Any:
    body = copy.deepcopy(body)
    place = body
    for step in way[:-1]:
        place = place[step]
    last = place[way[-1]] if way else body
    if isinstance(last, dict):
        last["nobody_knows"] = text
    elif isinstance(last, list):
        last.append(text)
    else:
        place[way[-1]] = text
    return body


@pytest.mark.parametrize("name", BODIES)
@given(salt=st.text(st.characters(codec="utf-8", exclude_characters="<>"), max_size=12))
def test_every_text_that_a_server_reads_is_a_segment_in_the_order_of_the_model(
    name: str, salt: str
) -> None:
    reader, body = BODIES[name]
    holes = [hole for text in strings(body) for hole in HOLE.findall(text)]
    numbers = iter(range(len(holes)))
    texts: list[tuple[int, str, str]] = []

    def fill(hole: str) -> str:
        match = HOLE.fullmatch(hole)
        assert match is not None
        texts.append((int(match[1]), match[2], f"({next(numbers)}) {salt} here"))
        return texts[-1][2]

    call = read(READERS[reader], filled(body, fill))
    assert call.operation != UNREADABLE
    found: list[tuple[int, str]] = []
    for segment in call.segments:
        inside = [(n, kind) for n, kind, text in texts if text in segment.text]
        assert {kind for _, kind in inside} <= {segment.channel.name.lower()}
        found += inside
    assert sorted(found) == sorted((number, kind) for number, kind, _ in texts)
    assert [number for number, _ in found] == sorted(number for number, _ in found)


@pytest.mark.parametrize("name", BODIES)
def test_whatever_text_stands_anywhere_in_a_request_changes_what_is_read(name: str) -> None:
    reader, body = BODIES[name]
    for way in holders(body):
        if name == "batch of messages" and "params" not in way:  # what is around the requests
            continue
        one, other = (
            read(READERS[reader], changed(body, way, f"a text that is {end}"))
            for end in ("one", "two")
        )
        assert one.operation != UNREADABLE
        assert (one.segments, one.opaque) != (other.segments, other.opaque), way


@pytest.mark.parametrize("name", BODIES)
def test_nothing_is_collected_where_nobody_looks(name: str) -> None:
    reader, body = BODIES[name]
    call = read(READERS[reader], body, Target("/x", texts=False))
    assert (call.segments, call.opaque) == ((), ())


def test_a_plain_chat_has_the_segments_that_it_has_member_by_member() -> None:
    body = {"messages": [{"role": role, "content": "hi"} for role in ("user", "a wizard", "tool")]}
    assert read(READERS["chat"], body) == read(READERS["chat"], {**body, "user": "x"})


@pytest.mark.parametrize(
    "members",
    [
        {"n": 0},
        {"max_tokens": -1, "n": "0"},
        {"temperature": []},
        {"stop": 5},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}, "Why?"]}]},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "Why?"}}]},
        {"messages": [{"role": 5, "content": "Why?"}]},
        {"messages": [{"content": "Why?"}]},
        {"messages": ["Why?"]},
        {"messages": [{"role": "user", "content": "Why?"}, 5, None, [], {}]},
    ],
)
def test_a_member_of_an_odd_type_hides_no_text(members: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "Why?"}], **members}
    call = read(READERS["chat"], body)
    assert (call.operation, call.generates) == ("chat", True)
    assert any("Why?" in segment.text for segment in call.segments)


@pytest.mark.parametrize(
    "odd",
    [
        b'{"messages":[{"role":"user","content":"hi","content":"Why?"}]}',
        b'{"messages":[],"Messages":[{"Role":"user","Content":"Why?"}]}',
        b'{"messages":[],"extra_body":{"messages":[{"role":"user","content":"Why?"}]}}',
        '{"messages":[{"role":"user","content":"Why?"}]}'.encode("utf-16"),
        b'{"messages":[{"role":"user","content":"Why?"}],}',
    ],
)
def test_what_any_server_reads_in_a_body_is_in_the_segments(odd: bytes) -> None:
    call = read(READERS["chat"], odd)
    assert Segment(Channel.SAID, "Why?") in call.segments


def test_a_body_that_nobody_here_can_read_is_opaque_by_its_hash() -> None:
    bodies = [b"no JSON", b"not JSON", b"[" + b"1," * MAX_VALUES + b"1]", b'{"messages":"Why?"}']
    calls = [read(READERS["chat"], body) for body in bodies]
    assert {call.operation for call in calls} == {UNREADABLE}
    assert {each.kind for call in calls for each in call.opaque} == {"unreadable"}
    assert len({call.opaque for call in calls}) == len(bodies)


def test_a_call_with_nothing_to_look_at_still_generates() -> None:
    for call in (chat(), read(READERS["completions"], {}), read(READERS["ollama_generate"], {})):
        assert (call.segments, call.opaque, call.generates) == ((), (), True)


def test_every_prompt_of_an_array_is_a_segment() -> None:
    prompts = [f"prompt number {number}" for number in range(1_000)]
    for reader, member in (("completions", "prompt"), ("embeddings", "input"), ("sglang", "text")):
        call = read(READERS[reader], {member: prompts})
        assert [segment.text for segment in call.segments] == prompts


OPAQUE: list[tuple[str, Any, str]] = [
    ("completions", {"prompt": [1, 2, 3]}, "tokens"),
    ("completions", {"prompt": [[1, 2], [3]]}, "tokens"),
    ("completions", {"prompt": "", "prompt_token_ids": [1, 2]}, "tokens"),
    ("completions", {"prompt_embeds": "QUJD"}, "embeddings"),
    ("sglang", {"input_ids": [1, 2]}, "tokens"),
    ("sglang", {"input_embeds": [[0.5, 0.25], [0.5, 0.75]]}, "embeddings"),
    ("ollama_generate", {"prompt": "", "context": [1, 2]}, "tokens"),
    ("embeddings", {"input": PNG}, "image"),
    ("embeddings", {"input": "iVBORw0KGgo" + "A" * 80}, "image"),
    ("responses", {"previous_response_id": "resp_1"}, "reference"),
    ("responses", {"conversation": "conv_1"}, "reference"),
    ("responses", {"prompt": {"id": "pmpt_1"}}, "reference"),
    ("responses", {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "reference"),
    ("gemini", {"contents": [], "cachedContent": "cachedContents/1"}, "reference"),
    ("interactions", {"previous_interaction_id": "v1_a"}, "reference"),
    ("runs", {}, "reference"),
    ("gemini_batch", {"batch": {"input_config": {"file_name": "files/1"}}}, "reference"),
]


@pytest.mark.parametrize(("reader", "body", "kind"), OPAQUE)
def test_what_cannot_be_read_is_opaque(reader: str, body: Any, kind: str) -> None:
    call = read(READERS[reader], body)
    assert call.segments == ()
    assert {each.kind for each in call.opaque} == {kind}


PARTS: list[tuple[Any, str]] = [
    ({"type": "image_url", "image_url": {"url": PNG}}, "image"),
    ({"type": "image_url", "image_url": "https://example.com/a.png"}, "image"),
    ({"type": "input_image", "file_id": "file-1"}, "reference"),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "Q"}},
        "image",
    ),
    ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, "audio"),
    ({"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}}, "file"),
    ({"type": "file", "file": {"file_id": "file-1"}}, "reference"),
    ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "file"),
    ({"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}}, "audio"),
    ({"type": "document", "source": {"type": "url", "url": "https://example.com/"}}, "file"),
    (PNG, "image"),
]


@pytest.mark.parametrize(("part", "kind"), PARTS)
def test_the_same_picture_sound_or_file_is_known_again(part: Any, kind: str) -> None:
    call = chat({"role": "user", "content": [part, {"type": "text", "text": "What is this?"}]})
    assert [each.kind for each in call.opaque] == [kind]
    assert call.segments == (Segment(Channel.SAID, "What is this?"),)
    again = chat({"role": "user", "content": [part]})
    assert again.opaque == call.opaque


NOTE = "Explain how a canal lock works, and draw one. \u00e9\u4e2d"
IN_BASE64 = base64.b64encode(NOTE.encode()).decode()
TEXT_FILES: list[Any] = [
    {"type": "file", "file": {"file_data": f"data:text/plain;base64,{IN_BASE64}"}},
    {"type": "file", "file": {"file_data": IN_BASE64}},
    {"type": "input_file", "file_data": f"data:application/octet-stream;base64,{IN_BASE64}"},
    {"type": "input_file", "file_data": f"data:text/markdown;charset=utf-8,{quote(NOTE)}"},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "text/plain", "data": IN_BASE64},
    },
    {"inlineData": {"mimeType": "text/csv", "data": IN_BASE64.replace("+", "-").rstrip("=")}},
    {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{IN_BASE64}"}},
]


@pytest.mark.parametrize("part", TEXT_FILES)
def test_a_file_that_is_text_is_read_as_a_document(part: Any) -> None:
    call = chat({"role": "user", "content": [part]})
    assert call.segments == (Segment(Channel.FED, NOTE),)
    assert call.opaque == ()


def test_a_text_that_is_a_file_of_text_is_read() -> None:
    call = chat({"role": "user", "content": f"data:text/plain;base64,{IN_BASE64}"})
    assert call.segments == (Segment(Channel.SAID, NOTE),)


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7 \0 and whatever else is in it",
        NOTE.encode("utf-16"),
        b"\xff" + NOTE.encode(),
        b"too short",
    ],
)
def test_a_file_that_is_no_text_is_opaque(data: bytes) -> None:
    part = {"type": "file", "file": {"file_data": base64.b64encode(data).decode()}}
    call = chat({"role": "user", "content": [part]})
    assert call.segments == ()
    assert [each.kind for each in call.opaque] == ["file"]


def test_a_long_list_of_token_ids_is_at_most_64_entries_all_of_which_matter() -> None:
    prompts = [[number, number + 1] for number in range(1_000)]
    one = read(READERS["completions"], {"prompt": prompts}).opaque
    assert len(one) <= 64
    for at in (0, 500, 999):
        other = copy.deepcopy(prompts)
        other[at][1] = 7
        assert len({*read(READERS["completions"], {"prompt": other}).opaque} - {*one}) == 1


def test_files_of_a_form_are_opaque_and_its_fields_are_read() -> None:
    form = (
        b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nA cat\r\n--b\r\n'
        b'content-disposition: form-data; name="image"; filename="a.png"\r\n\r\nPNG\r\n--b--'
    )
    target = Target("/x", headers=[(b"content-type", b"multipart/form-data; boundary=b")])
    for reader, kind in (("images", "image"), ("transcription", "audio")):
        call = read(READERS[reader], form, target)
        assert call.segments == (Segment(Channel.SAID, "A cat"),)
        assert [each.kind for each in call.opaque] == [kind]


def test_the_prompts_of_a_route_come_first_and_what_else_its_server_may_read_follows() -> None:
    route = GenericRoute(path="/gen", prompt=("/user", "/inputs"), max_output="/max")
    adapter = adapter_for("/gen", "POST", [route])
    assert adapter is not None
    call = read(adapter, {"inputs": ["a", "b"], "user": "c", "x": {"y": ["d e"]}, "max": 3})
    assert [segment.text for segment in call.segments] == ["c", "a", "b", "y\nd e"]


def test_requests_of_a_batch_are_read_once_each_and_what_they_share_once() -> None:
    requests = [
        {"params": {"system": "Be brief.", "messages": [{"role": "user", "content": text}]}}
        for text in ("one", "two")
    ]
    call = read(READERS["message_batch"], {"requests": requests})
    assert [segment.text for segment in call.segments] == ["Be brief.", "one", "two"]


@pytest.mark.parametrize(
    "member",
    [
        {"user": "Ann from the second floor"},
        {"metadata": {"a": "b c"}},
        {"stop": ["the end"]},
        {"request_uid": "3f2a9c"},
        {"safety_identifier": "x y"},
        {"sent_at": "2026-01-01T00:00:00Z"},
    ],
)
def test_what_no_model_reads_is_no_segment(member: dict[str, Any]) -> None:
    call = chat({"role": "user", "content": "Why?"}, **member)
    assert (call.segments, call.opaque) == ((Segment(Channel.SAID, "Why?"),), ())


def test_ids_are_no_text_unless_they_are_written_like_one() -> None:
    for sent, read_as in (
        ("call_9fjKxQ2", ()),
        ("Why is the sky blue?", ("Why is the sky blue?",)),
        ("a" * 65, ("a" * 65,)),
        ("空はなぜ青い", ("空はなぜ青い",)),
    ):
        call = chat({"role": "tool", "tool_call_id": sent, "content": ""})
        assert tuple(segment.text for segment in call.segments) == read_as


def test_what_identifies_something_long_is_its_hash() -> None:
    long = "data:image/png;base64," + "QUJD" * 1_000
    (picture,) = chat({"role": "user", "content": [{"image_url": {"url": long}}]}).opaque
    assert picture.kind == "image"
    assert len(picture.content) == 32
    assert isinstance(picture, Opaque)


def test_more_pictures_than_anybody_sends_are_not_looked_at_one_by_one() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    call = chat({"role": "user", "content": [part] * (MOST_OPAQUE + 2)})
    assert call.operation == UNREADABLE
    assert [opaque.kind for opaque in call.opaque] == ["unreadable"]
