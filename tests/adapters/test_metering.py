"""Meters hold little, take anything, and count the same whether they parse an event or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Adapter, Call, Dialect, Meter, Usage
from querybudget.adapters.delta_template import learn_template
from querybudget.adapters.metering import (
    ANSWER_TAIL,
    AnswerTotals,
    BodyMeter,
    StreamMeter,
    tokens,
)
from querybudget.adapters.openai_usage import read_chat_body, read_chat_event

PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/messages"]
CALL = Call(Dialect.OPENAI, "chat")
STREAM = "text/event-stream"


def adapter(path: str) -> Adapter:
    found = adapter_for(path, "POST", ())
    assert found is not None
    return found


def event(path: str, text: str, number: int = 0) -> bytes:
    """One event of a stream that says this text."""
    if path.endswith("messages"):
        kind = "content_block_delta"
        body = {"type": kind, "index": 0, "delta": {"type": "text_delta", "text": text}}
    elif path.endswith("responses"):
        kind = "response.output_text.delta"
        body = {"type": kind, "sequence_number": number, "delta": text, "logprobs": []}
    elif path.endswith("chat/completions"):
        kind = ""
        body = {"id": "c", "choices": [{"index": 0, "delta": {"content": text}}], "usage": None}
    else:
        kind = ""
        body = {"id": "c", "choices": [{"index": 0, "text": text, "logprobs": None}]}
    name = f"event: {kind}\n" if kind else ""
    return f"{name}data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


@pytest.mark.parametrize("path", PATHS)
@given(texts=st.lists(st.text(max_size=12), max_size=30))
@example(texts=["one", "two", "", '"', "\\", "\n", "日本", "\u2028", "\x7f", "\x00", "end"])
def test_every_text_counts_by_its_size_in_utf8(path: str, texts: list[str]) -> None:
    meter = adapter(path).meter(CALL, STREAM)
    for number, text in enumerate(texts):
        meter.feed(event(path, text, number))
    assert meter.output_bytes == sum(len(text.encode()) for text in texts)


@given(
    chunks=st.lists(
        st.one_of(
            st.text(max_size=5).map(lambda text: event(PATHS[0], text)),
            st.builds(
                lambda text, at, junk: (
                    event(PATHS[0], text)[:at] + junk + event(PATHS[0], text)[at:]
                ),
                st.text(max_size=5),
                st.integers(0, 90),
                st.sampled_from([b'"', b"\\", b"\n", b"\r", b"\xff", b"\x01", b'"usage":{}', b","]),
            ),
        ),
        max_size=12,
    )
)
def test_counting_by_the_template_equals_parsing_every_event(chunks: list[bytes]) -> None:
    framed, parsed = StreamMeter(read_chat_event), StreamMeter(read_chat_event)
    framed.feed(event(PATHS[0], "learn"))
    parsed.feed(event(PATHS[0], "learn"))
    for chunk in chunks:
        parsed._template = None
        parsed._lessons = 0
        framed.feed(chunk)
        parsed.feed(chunk)
    assert framed.output_bytes == parsed.output_bytes
    assert framed.usage() == parsed.usage()
    assert framed.complete == parsed.complete


def test_a_template_is_learnt_only_where_the_text_is() -> None:
    learnt = event(PATHS[0], "abcd").replace(b'"id": "c"', b'"id": "wxyz"')
    template = learn_template(learnt, 4, read_chat_event)
    assert template is not None
    assert template.text_size(learnt.replace(b"abcd", b"longer text")) == len("longer text")
    assert template.text_size(learnt.replace(b"wxyz", b"other")) == -1


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(event(PATHS[0], "ab") + event(PATHS[0], "cd"), id="two events"),
        pytest.param(event(PATHS[0], "abcd")[:-1], id="not ended"),
        pytest.param(event(PATHS[0], "x" * 4000), id="long"),
        pytest.param(event(PATHS[0], "abcd").replace(b"null", b'{"prompt_tokens":1}'), id="usage"),
    ],
)
def test_no_template_is_learnt_from_a_chunk_that_is_not_one_event_of_text(chunk: bytes) -> None:
    assert learn_template(chunk, 4, read_chat_event) is None
    assert learn_template(chunk, 4000, read_chat_event) is None


def test_a_chunk_in_which_the_ends_of_a_template_overlap_is_parsed() -> None:
    template = learn_template(b'data: {"choices":[{"text":"abcd"}]}\n\n', 4, read_chat_event)
    assert template is not None
    assert template.text_size(b'data: {"choices":[{"text":"}]}\n\n') == -1


def test_what_looks_like_an_event_inside_another_line_is_none() -> None:
    meter = StreamMeter(read_chat_event)
    for piece in (event(PATHS[0], "learn"), event(PATHS[0], "again"), b": "):
        meter.feed(piece)
    meter.feed(event(PATHS[0], "hidden"))
    assert meter.output_bytes == len("learnagain")


# -- what is final


def said(meter: Meter, *documents: Mapping[str, object]) -> tuple[Usage | None, bool]:
    for document in documents:
        meter.feed(f"data: {json.dumps(document)}\n\n".encode())
    return meter.usage(), meter.complete


def test_usage_that_comes_alone_is_final_although_no_end_follows() -> None:
    meter = adapter(PATHS[0]).meter(CALL, STREAM)
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    beside = {"choices": [{"delta": {"content": "x"}}], "usage": usage}
    assert said(meter, beside) == (Usage(3, output=2), False)
    assert said(meter, {"choices": [], "usage": usage}) == (Usage(3, output=2), True)


def test_text_after_a_message_said_its_usage_is_not_in_it() -> None:
    meter = adapter("/v1/messages").meter(CALL, STREAM)
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word"}}
    usage = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}
    assert said(meter, {"type": "ping"}, delta, delta, usage) == (Usage(output=7), True)
    assert said(meter, delta) == (Usage(output=7), False)
    assert said(meter, {**usage, "usage": {"output_tokens": 9}}) == (Usage(output=9), True)


def test_the_figures_of_a_message_never_decrease() -> None:
    meter = adapter("/v1/messages").meter(CALL, STREAM)
    first = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 4}
    start = {"type": "message_start", "message": {"usage": first}}
    delta = {"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": None}}
    assert said(meter, start, delta) == (Usage(8, cached_input=3, output=4), True)


# -- bodies


def body_meter(pieces: Sequence[bytes], *, limit: int, generates: bool = True) -> BodyMeter:
    meter = BodyMeter(read_chat_body, limit=limit, generates=generates)
    for piece in pieces:
        meter.feed(piece)
    return meter


def long_answer(size: int) -> bytes:
    text = "x" * size
    choices = [{"message": {"content": text}}]
    return json.dumps(
        {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 9}}
    ).encode()


def test_usage_is_found_at_the_end_of_an_answer_longer_than_is_kept() -> None:
    body = long_answer(500_000)
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    for meter in (body_meter([body], limit=200_000), body_meter(pieces, limit=200_000)):
        assert meter.usage() == Usage(input=3, output=9)
        assert meter.complete


def test_only_the_end_of_an_answer_beyond_the_limit_is_kept() -> None:
    meter = body_meter([b"x" * 10_000] * 100, limit=200_000)
    assert len(meter._body) <= 2 * ANSWER_TAIL
    assert (meter.usage(), meter.output_bytes, meter.complete) == (None, 1_000_000, False)


def test_only_the_end_of_embeddings_is_kept_and_nothing_counts_as_text() -> None:
    data = [{"embedding": [0.123456789] * 1536} for _ in range(40)]
    body = json.dumps({"data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}}).encode()
    meter = body_meter([body[:-7], body[-7:]], limit=10**7, generates=False)
    assert len(meter._body) <= 2 * ANSWER_TAIL + 7
    assert (meter.usage(), meter.output_bytes) == (Usage(input=5), 0)


def test_a_body_cut_short_counts_by_its_size() -> None:
    body = long_answer(100)
    for end in (50, body.index(b"usage"), len(body) - 2):
        meter = body_meter([body[:end]], limit=10**6)
        assert (meter.usage(), meter.output_bytes, meter.complete) == (None, end, False)


def test_usage_is_found_although_the_rest_of_the_answer_is_of_no_known_type() -> None:
    meter = body_meter([b'{"choices": 5, "usage": {"prompt_tokens": 3}}'], limit=10**6)
    assert meter.usage() == Usage(input=3)


def test_usage_mentioned_in_the_text_is_not_usage() -> None:
    text = json.dumps('"usage": {"prompt_tokens": 3}}')
    meter = body_meter([f'{{"choices": [{{"text": {text}}}], "rest": '.encode()], limit=10**6)
    assert meter.usage() is None


def test_nested_usage_is_not_taken_for_the_answer_s() -> None:
    body = b'{"choices": 5, "x": {"usage": {"prompt_tokens": 3}}}'
    assert body_meter([body], limit=10**6).usage() is None


@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("content_type", [STREAM, "application/json", ""])
@given(pieces=st.lists(st.binary(max_size=60), max_size=6))
def test_feeding_never_raises(path: str, content_type: str, pieces: list[bytes]) -> None:
    meter = adapter(path).meter(CALL, content_type)
    for piece in pieces:
        meter.feed(piece)
        assert meter.output_bytes >= 0
        assert meter.complete in (True, False)


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"choices":' * 50_000, b'{"usage":' * 50_000])
@pytest.mark.parametrize("path", PATHS)
def test_an_answer_nested_without_end_is_skipped(path: str, nested: bytes) -> None:
    stream = adapter(path).meter(CALL, STREAM)
    stream.feed(b"data: " + nested + b"\n\n")
    assert stream.usage() is None
    body = adapter(path).meter(CALL, "application/json")
    body.feed(nested)
    assert body.usage() is None


@pytest.mark.parametrize(
    ("reported", "counted"),
    [(None, 0), (0, 0), (7, 7), (7.9, 7), (-3, 0), (10**400, 2**40), (1e300, 2**40)],
)
def test_reported_figures_become_small_whole_numbers(reported: float | None, counted: int) -> None:
    assert tokens(reported) == counted


@pytest.mark.parametrize(
    ("report", "usage"),
    [
        ({"prompt_tokens": -5, "completion_tokens": 10**300}, Usage(output=2**40)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(3, 3)),
        ({"prompt_tokens": None, "completion_tokens": None}, None),
        ({"total_tokens": 12}, Usage(input=12)),
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 9},
            },
            Usage(9, 4, 5),
        ),
    ],
)
def test_an_impossible_report_is_read_as_a_possible_one(
    report: dict[str, object], usage: Usage | None
) -> None:
    totals = AnswerTotals()
    read_chat_body(json.dumps({"usage": report}).encode(), totals)
    assert totals.usage == usage
