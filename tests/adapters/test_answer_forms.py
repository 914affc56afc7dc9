"""An answer's form is told by its first bytes, and each form is metered, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from querybudget.adapters import adapter_for
from querybudget.adapters.answer_form import Form, form_of
from querybudget.adapters.base import Call, Dialect, Meter, Usage, settled_usage
from querybudget.adapters.frame_stream import PRELUDE
from querybudget.adapters.json_stream import JsonStream
from querybudget.policy.routes import GenericRoute
from querybudget.testing.contracts.adapter import Metered
from querybudget.units import MICRO
from tests.growth.instructions import lines

CALL = Call(Dialect.OPENAI, "chat", stream=True, input_bytes=40)
LABELS = ["text/event-stream", "text/plain", "application/json", "application/x-ndjson", ""]
USAGE = {"prompt_tokens": 30, "completion_tokens": 7}
REPORTED = Usage(30, output=7)


def reported(label: str) -> Usage:
    """The report, which may be the model's own text where no label says that a server built it."""
    return replace(REPORTED, estimated=label in {"text/plain", ""})


TEXTS = ["Sky", 'is "blue"', "日本 {", "]", "\\"]
EVENTS: list[dict[str, Any]] = [
    *({"choices": [{"index": 0, "delta": {"content": text}}]} for text in TEXTS),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE},
]
SIZE = sum(len(text.encode()) for text in TEXTS)


def dumped(separators: tuple[str, str] | None = None, indent: int | None = None) -> list[bytes]:
    return [
        json.dumps(event, separators=separators, indent=indent, ensure_ascii=False).encode()
        for event in EVENTS
    ]


def sse(end: bytes = b"\n", field: bytes = b"data: ") -> bytes:
    return b"".join(field + data + end + end for data in dumped())


STREAMS = {
    "sse": sse(),
    "sse by carriage returns": sse(b"\r"),
    "sse by both": sse(b"\r\n"),
    "sse without space": sse(field=b"data:"),
    "sse with other fields": sse(field=b": ping\nid: 7\nretry: 10\nevent: chunk\ndata: "),
    "sse after a byte order mark": b"\xef\xbb\xbf" + sse(),
    "sse after blank lines": b"\n\n\r\n" + sse(),
    "sse after a comment": b": ok\n\n" + sse(),
    "sse without a last blank line": sse().rstrip(),
    "sse in several lines": b"".join(
        b"".join(b"data: " + line + b"\n" for line in data.splitlines()) + b"\n"
        for data in dumped(indent=1)
    ),
    "lines": b"\n".join(dumped()) + b"\n",
    "lines without a last end": b"\n".join(dumped()),
    "lines by both": b"\r\n".join(dumped((",", ":"))) + b"\r\n",
    "lines with blank ones": b"\n" + b"\n\n".join(dumped()) + b"\n\n",
    "a sequence of records": b"".join(b"\x1e" + data + b"\n" for data in dumped()),
    "an array": b"[" + b",".join(dumped()) + b"]",
    "an array by lines": b"[" + b"\n,\r\n".join(dumped(indent=2)) + b"\n]\n",
    "values without a separator": b"".join(dumped()),
    "values of several lines": b"\n".join(dumped(indent=2)),
}


def metered(label: str, pieces: Sequence[bytes], path: str = "/v1/chat/completions") -> Metered:
    meter = meter_for(label, path)
    for piece in pieces:
        meter.feed(piece)
    meter.end()
    return Metered(meter.usage(), meter.output_bytes, meter.complete)


def meter_for(label: str, path: str = "/v1/chat/completions") -> Meter:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    return adapter.meter(CALL, label)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[a:b] for a, b in zip([0, *ends], [*ends, len(body)], strict=True)]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", STREAMS)
def test_every_form_of_a_stream_is_metered_under_any_label(form: str, label: str) -> None:
    body = STREAMS[form]
    for pieces in ([body], [bytes((byte,)) for byte in body], body.splitlines(keepends=True)):
        assert metered(label, pieces) == Metered(reported(label), SIZE, complete=True)


@given(
    form=st.sampled_from(sorted(STREAMS)),
    label=st.sampled_from(LABELS),
    places=st.lists(st.integers(0, 2000), max_size=8),
)
def test_any_cut_of_any_form_gives_the_same(form: str, label: str, places: list[int]) -> None:
    pieces = cut(STREAMS[form], places)
    assert metered(label, pieces) == Metered(reported(label), SIZE, complete=True)


BODY = {"choices": [{"message": {"content": "Blue."}, "finish_reason": "stop"}], "usage": USAGE}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("around", [(b"", b""), (b"", b"\n"), (b" \n ", b"\r\n\n")])
def test_one_document_is_a_body_under_any_label(
    label: str, indent: int | None, around: tuple[bytes, bytes]
) -> None:
    body = around[0] + json.dumps(BODY, indent=indent).encode() + around[1]
    expected = Metered(reported(label), len("Blue."), complete=True)
    assert metered(label, [body]) == expected
    assert metered(label, [bytes((byte,)) for byte in body]) == expected


@pytest.mark.parametrize("label", LABELS[1:])
@pytest.mark.parametrize(
    "text",
    [
        b"The sky is blue.",
        b"data science is about data",
        b"event: the party\nid: none\n",
        b":)",
        b"d",
        b"retry",
        b"{not json} and more",
        b'{"choices": [{"delta"',
        b"\x00\xff\xfe",
    ],
)
def test_what_is_no_json_counts_by_its_size(label: str, text: bytes) -> None:
    for pieces in ([text], [bytes((byte,)) for byte in text]):
        seen = metered(label, pieces)
        assert (seen.usage, seen.output_bytes) == (None, len(text))


def test_events_that_are_no_json_count_by_their_size() -> None:
    seen = metered("text/event-stream", [b"data: The sky\n\ndata:  is blue.\n\n"])
    assert seen.output_bytes == len("The sky is blue.")


LIES = b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
TALK = b"The sky is blue. " * 25


@pytest.mark.parametrize(
    ("label", "body"),
    [
        ("text/plain", LIES),
        ("", LIES),
        ("text/html; charset=utf-8", LIES + b"\n" + TALK),
        ("text/plain", TALK + LIES),
        ("application/json", TALK + LIES),
        ("text/plain", b"data: " + LIES + b"\n\n" + TALK),
        ("text/event-stream", b"data: " + LIES + b"\n\ndata: " + TALK + b"\n\n"),
        ("text/event-stream", b"data: " + TALK + b"\n\ndata: " + LIES + b"\n\n"),
    ],
)
def test_no_report_that_a_model_may_have_written_makes_a_call_cheaper(
    label: str, body: bytes
) -> None:
    """A caller can ask for such a text, and a server may answer with nothing else."""
    for pieces in ([body], [bytes((byte,)) for byte in body]):
        meter = meter_for(label)
        for piece in pieces:
            meter.feed(piece)
        meter.end()
        used = settled_usage(CALL, meter, 30, 4 * MICRO)
        assert (used.input, used.estimated) == (30, True)
        assert used.output >= meter.output_bytes // 4


def test_a_report_that_a_model_may_have_written_can_make_a_call_dearer() -> None:
    meter = meter_for("text/plain")
    meter.feed(json.dumps(BODY).encode())
    meter.end()
    assert settled_usage(CALL, meter, 20, 4 * MICRO) == reported("text/plain")


def test_an_error_instead_of_a_stream_is_no_text() -> None:
    body = json.dumps({"error": {"message": "no such model", "code": 404}}).encode()
    assert metered("text/event-stream", [body]) == Metered(None, 0, complete=True)


# -- several answers


def test_answers_of_several_models_add_up() -> None:
    """A gateway that was asked for two models answers an array of two chat completions."""
    other = {**BODY, "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    for body in (json.dumps([BODY, other]), json.dumps([BODY, other], indent=2)):
        seen = metered("application/json", [body.encode()])
        assert seen == Metered(Usage(35, output=9), 2 * len("Blue."), complete=True)


def test_an_array_cut_short_counts_what_was_whole() -> None:
    whole = json.dumps([BODY, BODY]).encode()
    meter = meter_for("application/json")
    meter.feed(whole[: len(whole) // 2 + 40])
    assert meter.usage() == REPORTED


def test_an_array_that_a_route_of_ones_own_points_into_is_a_body() -> None:
    route = GenericRoute(path="/x", operation="x", text="/0/text", output_usage="/0/tokens")
    adapter = adapter_for("/x", "POST", [route])
    assert adapter is not None
    meter = adapter.meter(CALL, "application/json")
    meter.feed(b'[{"text": "abc", "tokens": 7}]')
    assert (meter.usage(), meter.output_bytes) == (Usage(output=7), 3)


# -- where usage is


def test_usage_before_the_vectors_is_found() -> None:
    data = [{"embedding": [0.123456789] * 1536} for _ in range(40)]
    document = {"object": "list", "model": "usage", "usage": {"prompt_tokens": 5}, "data": data}
    call = Call(Dialect.OPENAI, "embeddings", input_bytes=20, generates=False)
    adapter = adapter_for("/v1/embeddings", "POST", ())
    assert adapter is not None
    for indent in (None, 1):
        body = json.dumps(document, indent=indent).encode()
        meter = adapter.meter(call, "application/json")
        for at in range(0, len(body), 4096):
            meter.feed(body[at : at + 4096])
        assert meter.usage() == Usage(5)


def test_text_after_a_report_reopens_it() -> None:
    report = b'data: {"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 7}}\n\n'
    text = b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n'
    meter, finals = meter_for("text/event-stream"), list[bool]()
    words = [text % (word * 10) for word in (b"one ", b"two ", b"three ")]
    for event in (report, *words, b"data: [DONE]\n\n"):
        meter.feed(event)
        finals.append(meter.complete)
    meter.end()
    assert [*finals, meter.complete] == [True, False, False, False, False, False]
    assert settled_usage(CALL, meter, 2, 4 * MICRO) == Usage(30, output=35, estimated=True)
    meter.feed(report.replace(b"7}", b"40}"))
    assert settled_usage(CALL, meter, 2, 4 * MICRO) == Usage(30, output=40)


def test_usage_beside_a_finish_reason_is_final_without_a_last_event() -> None:
    meter = meter_for("text/event-stream")
    meter.feed(sse())
    assert (meter.usage(), meter.complete) == (REPORTED, True)


def test_a_running_count_is_final_once_the_application_has_ended_the_answer() -> None:
    running = {"choices": [{"delta": {"content": "a long word" * 20}}], "usage": USAGE}
    meter = meter_for("text/event-stream")
    meter.feed(b"data: " + json.dumps(running).encode() + b"\n\n")
    assert settled_usage(CALL, meter, 2, 4 * MICRO).output == 55
    meter.end()
    assert settled_usage(CALL, meter, 2, 4 * MICRO) == REPORTED


def test_the_largest_of_running_counts_counts() -> None:
    counts = [3, 7, 5]
    events = [{"choices": [], "usage": {**USAGE, "completion_tokens": n}} for n in counts]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    assert metered("text/event-stream", [body]).usage == REPORTED


# -- what no dialect names


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"function": {"name": "f", "arguments": {"q": "x" * 100}}}]},
        {"function_call": {"arguments": {"q": ["x" * 100]}}},
        {"some_thinking": "x" * 100},
        {"thinking": "x" * 100},
        {"reasoning_details": [{"type": "text", "text": "x" * 100}]},
        {"content": {"text": "x" * 100}},
        {"content": [{"type": "text", "text": {"value": "x" * 100}}]},
        {"reasoning": {"text": "x" * 100}},
    ],
)
@pytest.mark.parametrize("member", ["delta", "message"])
def test_text_that_is_not_where_it_should_be_counts_by_its_size(
    delta: dict[str, Any], member: str
) -> None:
    document = {"id": "c" * 500, "choices": [{"index": 0, member: delta}]}
    data = json.dumps(document).encode()
    for label, body in (
        ("text/event-stream", b"data: " + data + b"\n\n"),
        ("application/json", data),
    ):
        assert 100 <= metered(label, [body]).output_bytes <= 130


@pytest.mark.parametrize(
    ("path", "event"),
    [
        (
            "/v1/responses",
            {"type": "response.function_call_arguments.delta", "delta": {"q": "x" * 100}},
        ),
        (
            "/v1/messages",
            {"type": "content_block_delta", "delta": {"partial_json": {"q": "x" * 100}}},
        ),
    ],
)
def test_tool_arguments_as_an_object_count_by_their_size(path: str, event: dict[str, Any]) -> None:
    body = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert 100 <= metered("text/event-stream", [body], path).output_bytes <= 130


def test_a_response_that_streams_only_whole_items_counts_by_what_its_end_repeats() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "x" * 100}]}
    event = {"type": "response.completed", "response": {"output": [item], "usage": None}}
    body = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert metered("text/event-stream", [body], "/v1/responses").output_bytes == 100


# -- framing


@given(pieces=st.lists(st.binary(max_size=40), max_size=6), labelled=st.booleans())
def test_the_form_needs_few_bytes(pieces: list[bytes], labelled: bool) -> None:
    first = b"".join(pieces)
    form, before = form_of(first, labelled=labelled)
    assert 0 <= before <= len(first)
    binary = first[before:].startswith(b"\0")
    if form is None:
        assert len(first) - before < (PRELUDE if binary else 8)
    elif labelled and not binary:
        assert form is not Form.OTHER


JSON = st.recursive(
    st.text(max_size=4) | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
VALUES = st.lists(JSON.filter(lambda value: isinstance(value, list | dict)), max_size=5)


@given(
    values=VALUES,
    between=st.sampled_from([b"", b"\n", b" , ", b"\x1e"]),
    array=st.booleans(),
    places=st.lists(st.integers(0, 400), max_size=10),
)
def test_values_are_split_where_they_end(
    values: list[object], between: bytes, array: bool, places: list[int]
) -> None:
    written = [json.dumps(value).encode() for value in values]
    body = between.join(written)
    stream = JsonStream(array=array)
    pieces = cut(b"[" + body + b"]" if array else body, places)
    assert [value.strip() for piece in pieces for value in stream.feed(piece)] == written
    assert stream.between
    assert stream.pending == 0


@given(
    body=st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"a", b",", b"\n"]), max_size=40
    ).map(b"".join),
    places=st.lists(st.integers(0, 40), max_size=6),
    array=st.booleans(),
)
def test_any_bytes_are_split_alike_wherever_they_are_cut(
    body: bytes, places: list[int], array: bool
) -> None:
    cuts, bytewise = JsonStream(array=array), JsonStream(array=array)
    split = [value for piece in cut(body, places) for value in cuts.feed(piece)]
    assert (
        b"".join(split).split()
        == b"".join(value for byte in body for value in bytewise.feed(bytes((byte,)))).split()
    )


def test_a_value_that_is_too_long_is_skipped_and_the_next_is_not() -> None:
    stream = JsonStream(limit=50)
    body = b'{"a":"' + b"x" * 100 + b'"}\n{"b":1}'
    for byte in body[:-1]:
        assert stream.feed(bytes((byte,))) == []
        assert stream.pending <= 50
    assert stream.feed(b"}") == [b'{"b":1}']
    assert stream.skipped == len(b'{"a":""}') + 100


# -- cost


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'data: {"choices":[{"delta":{"content":"%s' % (b"x" * 4_000), id="sse"),
        pytest.param(b'{"choices":[{"delta":{"content":"%s' % (b"x" * 4_000), id="one line"),
        pytest.param(b'[{"choices":[{"delta":{"content":"%s' % (b"x" * 4_000), id="array"),
        pytest.param(b'{}\n{"a":"%s' % (b"\\\\" * 2_000), id="escapes"),
        pytest.param(b"{" * 4_000, id="brackets"),
        pytest.param(b"[" * 4_000, id="more brackets"),
        pytest.param(b"\n" * 4_000, id="blank lines"),
        pytest.param(b"{}" + b" \n" * 2_000, id="blank lines after an answer"),
        pytest.param(b'{"a":1}' * 600, id="values"),
        pytest.param(b'{"a":1}\n' * 500, id="short lines"),
        pytest.param(b":\n" * 2_000, id="comments"),
        pytest.param(b"retr" + b"y" * 4_000, id="a field without end"),
    ],
)
def test_a_line_byte_by_byte_costs_in_proportion_to_its_length(body: bytes) -> None:
    half, whole = executed(body[: len(body) // 2]), executed(body)
    assert whole <= 2.2 * half + 1000


def executed(body: bytes) -> int:
    """Return how many lines of Python a meter executes, fed byte by byte."""
    meter = meter_for("text/plain")
    return sum(lines(meter.feed, bytes((byte,))) for byte in body)


def held(meter: object) -> int:
    """Bytes that a meter holds, at any depth."""
    size, pending, seen = 0, [meter], set[int]()
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, bytes | bytearray | str):
            size += len(value)
        elif isinstance(value, list | tuple):
            pending.extend(value)
        else:
            slots = [
                name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())
            ]
            pending.extend(getattr(value, name, None) for name in slots)
    return size


@pytest.mark.parametrize("start", [b"", b"data: ", b'{"a":"', b'[{"a":"', b"text", b": "])
def test_no_answer_makes_a_meter_hold_more_than_its_bound(start: bytes) -> None:
    meter = meter_for("text/plain")
    meter.feed(start)
    for _ in range(40):
        meter.feed(b"x" * 2**19)
    assert held(meter) <= 8 * 2**20 + 2**19
