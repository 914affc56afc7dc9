"""Servers' own APIs: whatever is sent, what counts is at least what the server does."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import UNREADABLE, Call, Target
from querybudget.adapters.degrade import OUTPUT
from querybudget.adapters.members import MAX_NAMES, content_of, fold, read_object
from querybudget.adapters.native import MAX_SETTINGS
from querybudget.adapters.native_answer import native_meter
from querybudget.adapters.readers import READERS
from querybudget.adapters.reading import degrade_call, read_call
from querybudget.adapters.routing import model_in, routed
from querybudget.errors import BodyError
from querybudget.policy.routes import GenericRoute, Reader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(path: str, body: Any, *, query: str = "") -> Call:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_call(adapter, Target(path, query), data)


def test_every_reader_that_a_policy_may_name_is_there() -> None:
    assert set(READERS) == set(get_args(Reader))


@pytest.mark.parametrize(
    ("path", "body", "figures"),
    [
        ("/api/generate", {"PROMPT": "hi", "Options": {"NUM_PREDICT": 9}}, (9, 1)),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": " 9 "}}, (9, 1)),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": -1}}, (None, 1)),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": -2}}, (None, 1)),
        ("/generate", {"inputs": "hi", "parameters": {"best_of": "4"}}, (None, 4)),
        ("/generate", {"inputs": "hi", "parameters": None}, (None, 1)),
        ("/generate", {"inputs": "hi", "parameters": "none"}, (None, 1)),
        ("/generate", {"text": "hi", "sampling_params": [{"n": 2}, {"n": 5}]}, (None, 5)),
        ("/completion", {"prompt": "hi", "n_predict": 7.0}, (7, 1)),
        ("/completion", {"prompt": "hi", "n_predict": [7]}, (7, 1)),
        (
            "/v1beta/models/m:generateContent",
            {
                "contents": [],
                "generationConfig": {"maxOutputTokens": 5},
                "generation_config": {"max_output_tokens": 8},
            },
            (8, 1),
        ),
        (
            "/v1beta/models/m:generateContent",
            {"contents": [], "generationConfig": {"candidateCount": 10**30}},
            (None, 16_384),
        ),
    ],
)  # fmt: skip
def test_settings_are_read_as_the_dearest_reader_does(
    path: str, body: Any, figures: tuple[int | None, int]
) -> None:
    call = read(path, body)
    assert (call.max_output, call.choices) == figures


def test_a_member_given_twice_counts_as_the_dearer() -> None:
    body = b'{"prompt": "hi", "options": {"num_predict": 1, "num_predict": 900}}'
    assert read("/api/generate", body).max_output == 900
    body = b'{"prompt": "hi", "options": {"num_predict": 900, "num_predict": 1}}'
    assert read("/api/generate", body).max_output == 900


def test_two_spellings_of_a_model_are_two_models() -> None:
    call = read("/api/chat", {"model": "cheap", "Model": "dear", "messages": []})
    assert {call.model, *call.other_models} == {"cheap", "dear"}


def test_a_model_in_the_path_and_another_in_the_body_both_count() -> None:
    call = read("/v1beta/models/dear:generateContent", {"model": "cheap", "contents": []})
    assert (call.model, call.other_models) == ("dear", ("cheap",))


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("héllo", (6, 0, 0)),
        (["a", "b", 3, 4], (2, 0, 2)),
        ([[1, 2], [3]], (0, 0, 3)),
        ([[0.5, 1.5], [0.25, 2.0]], (0, 0, 2)),
        ({"images": ["iVBORw0KGgo=", "iVBORw0KGgo="]}, (0, 2, 0)),
        ({"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 900}}]}, (0, 1, 0)),
        ({"parts": [{"inline_data": {"mime_type": "image/png", "data": "A" * 900}}]}, (0, 1, 0)),
        ({"text": "data:image/png;base64," + "A" * 900}, (0, 1, 0)),
        ({"role": "user", "type": "text", "text": "hi"}, (2, 0, 0)),
        ({"tools": [{"a": 1}]}, (9, 0, 0)),
        ({"functionCall": {"name": "f", "args": {"x": 12}}}, (9, 0, 0)),
        ({"images": None}, (0, 0, 0)),
        (None, (0, 0, 0)),
    ],
)
def test_everything_in_a_prompt_counts(value: Any, content: tuple[int, int, int]) -> None:
    found = content_of(value)
    assert (found.size, found.images, found.tokens) == content


def test_sound_counts_as_one_image_and_by_a_part_of_its_size() -> None:
    found = content_of({"inlineData": {"mimeType": "audio/wav", "data": "A" * 1600}})
    assert found.images == 1
    assert 100 <= found.size <= 105


@given(JSON)
def test_any_json_is_read_or_unreadable(document: Any) -> None:
    body = json.dumps(document).encode()
    for path in (
        "/api/chat",
        "/generate",
        "/v1beta/models/m:generateContent",
        "/rerank",
        "/predict",
    ):
        call = read(path, body)
        assert call.operation == UNREADABLE or isinstance(document, dict)
        assert call.choices >= 1
        assert call.items >= 1


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "options", "Prompt", "model", "x"]), JSON, max_size=4
    )
)
def test_what_is_degraded_asks_for_no_more(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    for name in ("ollama_generate", "tgi", "sglang", "llama_cpp", "gemini", "any"):
        adapter = READERS[name]
        before = read_call(adapter, Target("/"), body)
        after = read_call(adapter, Target("/"), adapter.degrade(body))
        if before.operation == UNREADABLE:
            continue
        assert after.choices <= before.choices
        assert after.max_output is None or after.max_output <= max(OUTPUT, before.max_output or 0)
        assert after.input_bytes == before.input_bytes


@pytest.mark.parametrize(
    ("name", "body", "degraded"),
    [
        (
            "ollama_chat",
            {"messages": [], "options": {"num_predict": 9000, "seed": 1}},
            {"messages": [], "options": {"num_predict": 512, "seed": 1}},
        ),
        ("ollama_chat", {"messages": []}, {"messages": [], "options": {"num_predict": 512}}),
        (
            "gemini",
            {"contents": [], "generationConfig": {"candidateCount": 4, "responseLogprobs": True}},
            {"contents": [], "generationConfig": {"candidateCount": 1, "maxOutputTokens": 512}},
        ),
        (
            "sglang",
            {"text": "a", "sampling_params": [{"max_new_tokens": 9000, "n": 3}, {"n": 2}]},
            {
                "text": "a",
                "sampling_params": [
                    {"max_new_tokens": 512, "n": 1},
                    {"n": 1, "max_new_tokens": 512},
                ],
            },
        ),
        ("tgi", {"inputs": "a"}, {"inputs": "a", "parameters": {"max_new_tokens": 512}}),
        ("llama_cpp", {"prompt": "a", "n_probs": 5}, {"prompt": "a", "n_predict": 512}),
        ("rerank", {"query": "a", "documents": []}, {"query": "a", "documents": []}),
    ],
)
def test_less_is_asked_where_the_server_reads_it(name: str, body: Any, degraded: Any) -> None:
    assert json.loads(READERS[name].degrade(json.dumps(body).encode())) == degraded


def test_the_answers_of_many_prompts_add_up_and_repeated_reports_do_not() -> None:
    totals = native_meter(Call(READERS["tgi"].dialect, "x"), "")
    for name, output in (("a", 1), ("b", 1), ("a", 2), ("b", 5)):
        report = {
            "text": "t",
            "meta_info": {"id": name, "prompt_tokens": 3, "completion_tokens": output},
        }
        totals.feed(b"data: " + msgspec.json.encode(report) + b"\n\n")
    usage = totals.usage()
    assert usage is not None
    assert (usage.input, usage.output) == (6, 7)


@pytest.mark.parametrize(
    ("pattern", "path", "model"),
    [
        ("/m/{model}", "/m/a", "a"),
        ("/m/{model}/run", "/m/a/b/run", "a/b"),
        ("*/models/{model}:go", "/v1/models/a:go", "a"),
        ("*/v2/models/{model}/versions/*/infer", "/v2/models/m/versions/3/infer", "m"),
        ("{model}", "/a", "/a"),
    ],
)
def test_a_model_is_found_where_the_pattern_has_it(pattern: str, path: str, model: str) -> None:
    assert model_in(pattern, path) == model


def test_a_route_reads_as_the_dialect_that_it_names_under_its_own_name() -> None:
    route = GenericRoute(path="/ask/{model}", read="chat", operation="asking")
    adapter = routed(route, "/ask/gpt")
    assert adapter is not None
    call = adapter.parse(Target("/ask/gpt"), b'{"messages": [{"role": "user", "content": "hi"}]}')
    assert (call.operation, call.model, call.input_bytes) == ("asking", "gpt", 2)
    assert routed(route, "/other/gpt") is None


def test_names_are_folded_as_servers_fold_them() -> None:
    assert {
        fold(name) for name in ("maxOutputTokens", "max_output_tokens", "MAX-output-Tokens")
    } == {"maxoutputtokens"}


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b"[1]", b"{"),
        # Texts whose escapes could make up for the second name.
        rb'{"a":1,"a":2,"b":"\u003a"}',
        rb'{"a":1,"a" :2,"b\\ ":"\u0020:"}',
        rb'{"a":1,"a":2,"b":"\u0022"}',
        rb'{"a":1,"a":2,"b":"\u005c\u0022:"}',
        rb'{"a\\":1,"a\\":2}',
        b'{"":1,"":2}',
    ],
)
def test_what_servers_read_differently_is_no_plain_object(body: bytes) -> None:
    with pytest.raises(BodyError):
        read_object(body, "an object")


@pytest.mark.parametrize(
    "text", ['a": b', ":", " :", "\\", '\\"', '\\": x', '{"a":1,"a":2}', 'q"  :']
)
def test_a_text_that_looks_like_members_is_a_text(text: str) -> None:
    assert read_object(json.dumps({"a": text}).encode(), "an object") == {"a": text}


@pytest.mark.parametrize(
    ("path", "body", "choices"),
    [
        (
            "/vertex_generate",
            {"messages": [], "instances": [{"text": "a"}], "parameters": {"n": 9}},
            9,
        ),
        ("/generate", {"inputs": "", "input_embeds": [[0.5]], "sampling_params": {"n": 9}}, 9),
        ("/invocations", {"messages": [], "parameters": {"best_of": 9}}, 9),
        ("/predict", {"prompt": "", "options": {"n": 9}}, 9),
    ],
)
def test_a_member_that_the_server_ignores_hides_nothing_else(
    path: str, body: Any, choices: int
) -> None:
    assert read(path, body).choices == choices


def test_gemini_s_name_of_a_model_is_the_same_with_its_prefix() -> None:
    body = {"model": "models/gem", "content": {"parts": [{"text": "hi"}]}}
    call = read("/v1beta/models/gem:embedContent", body)
    assert (call.model, call.other_models) == ("gem", ())


@pytest.mark.parametrize(("stream", "streams"), [(None, True), (False, False), (True, True)])
def test_ollama_streams_unless_it_is_told_not_to(stream: bool | None, streams: bool) -> None:
    assert read("/api/chat", {"messages": [], "stream": stream}).stream is streams
    assert read("/api/chat", {"messages": []}).stream is True


def test_a_body_with_too_many_names_counts_by_its_size() -> None:
    members = {f"k{number}": "" for number in range(MAX_NAMES + 1)}
    for document in (members, {"messages": [{name: ""} for name in members]}):
        body = json.dumps(document).encode()
        adapter = adapter_for("/api/chat", "POST", ())
        assert adapter is not None
        call = read_call(adapter, Target("/api/chat"), body)
        assert (call.operation, call.input_bytes) == (UNREADABLE, len(body))
        assert degrade_call(adapter, Target("/api/chat"), body) is None


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("/generate", '{"text":"a","sampling_params":['),
        ("/v1beta/models/m:generateContent", '{"generationConfig":['),
    ],
)
def test_a_body_with_too_many_settings_counts_by_its_size(path: str, before: str) -> None:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    for count, is_read in ((MAX_SETTINGS, True), (MAX_SETTINGS + 1, False)):
        body = f"{before}{','.join(['{}'] * count)}]}}".encode()
        call = read_call(adapter, Target(path), body)
        assert (call.operation != UNREADABLE) is is_read
        assert is_read or call.input_bytes == len(body)


def test_a_body_that_is_too_much_as_json_counts_by_its_size_as_a_form_too() -> None:
    members = {f"k{number}": "" for number in range(MAX_NAMES + 1)}
    adapter = adapter_for("/v1/images/edits", "POST", ())
    assert adapter is not None
    form = Target("/v1/images/edits", "", [(b"content-type", b"application/x-www-form-urlencoded")])
    call = read_call(adapter, form, json.dumps(members).encode())
    assert call.operation == UNREADABLE
