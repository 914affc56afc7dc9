"""What a body may ask for beside what its dialect names: other models, more answers, other text."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from querybudget.adapters.base import UNREADABLE, Call, Target
from querybudget.adapters.readers import READERS
from querybudget.adapters.reading import read_call
from querybudget.adapters.readings import MOST_SPREAD

HI = [{"role": "user", "content": "hi"}]
CHEAP = {"model": "cheap", "messages": HI, "prompt": "hi", "input": "hi"}
DIALECTS = ["chat", "completions", "responses", "embeddings", "messages"]


def read(reader: str, body: bytes | dict[str, Any], *kinds: str) -> Call:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [(b"content-type", kind.encode("latin-1")) for kind in kinds]
    return read_call(READERS[reader], Target("/v1", "", tuple(headers)), data)


def models(call: Call) -> set[str]:
    return {call.model, *call.other_models}


@pytest.mark.parametrize("reader", DIALECTS)
@pytest.mark.parametrize(
    "more",
    [
        {"models": ["dear"]},
        {"fallbacks": ["dear"]},
        {"fallbacks": [{"model": "dear"}]},
        {"fallbacks": [{"cheap": ["dear"]}], "mock_testing_fallbacks": True},
        {"context_window_fallbacks": [{"cheap": ["dear"]}]},
        {"content_policy_fallbacks": [{"*": [{"model": "dear"}]}]},
        {"router_settings_override": {"fallbacks": [{"cheap": ["dear"]}]}},
        {"engine": "dear"},
        {"deployment_id": "dear"},
        {"lora_path": "dear"},
        {"lora_path": ["dear"]},
        {"extra_body": {"model": "dear"}},
        {"extra_body": {"fallbacks": ["dear"]}},
        {"extra_body": {"extra_body": {"model": "dear"}}},
    ],
    ids=str,
)
def test_every_model_counts_that_some_server_would_ask(reader: str, more: dict[str, Any]) -> None:
    assert models(read(reader, CHEAP | more)) == {"cheap", "dear"}


@pytest.mark.parametrize("reader", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize(
    "more",
    [
        *({name: 9} for name in ("n", "best_of", "num_return_sequences", "num_generations")),
        {"candidate_count": "9"},
        {"candidateCount": 9},
        {"n": 1, "best_of": 9},
        {"extra_body": {"n": 9}},
        {"n": 9, "extra_body": {"n": 1}},
        {"extra_body": {"extra_body": {"n": 9}}},
        {"extra_body": {"n": 9, "extra_body": {"n": 1, "extra_body": {"n": 2}}}},
    ],
    ids=str,
)
def test_every_answer_counts_by_whatever_name_it_is_asked_for(
    reader: str, more: dict[str, Any]
) -> None:
    assert read(reader, CHEAP | more).choices == 9


@pytest.mark.parametrize("reader", ["images", "videos"])
@pytest.mark.parametrize("name", ["n", "sampleCount", "num_images", "num_outputs_per_prompt"])
def test_every_picture_counts_by_whatever_name_it_is_asked_for(reader: str, name: str) -> None:
    asked = {"model": "m", "prompt": "a bird"}
    assert read(reader, asked | {name: 9}).choices == 9
    assert read(reader, asked | {"extra_body": {name: 9}}).choices == 9


@pytest.mark.parametrize("reader", [*DIALECTS, "images", "rerank", "ollama_chat"])
def test_more_members_to_put_in_place_than_proxies_stand_in_a_row_are_not_read(reader: str) -> None:
    more: dict[str, Any] = {"n": 9}
    for _ in range(MOST_SPREAD):
        more = {"extra_body": more}
    assert read(reader, CHEAP | more).operation != UNREADABLE
    for depth in (1, 100, 100_000):
        deep = b'{"extra_body":' * depth
        body = (
            b'{"model": "cheap", "extra_body": ' + deep + json.dumps(more).encode() + b"}" * depth
        )
        assert read(reader, body + b"}").operation == UNREADABLE


@pytest.mark.parametrize("reader", ["chat", "completions", "responses", "messages"])
def test_of_several_limits_the_largest_counts(reader: str) -> None:
    limits = {"max_completion_tokens": 1, "max_tokens": 2, "max_output_tokens": 1, "n_predict": 90}
    assert read(reader, CHEAP | limits).max_output == 90
    assert read(reader, CHEAP | limits | {"max_tokens": -1}).max_output is None


@pytest.mark.parametrize(
    "name", ["documents", "response_format", "prediction", "chat_template", "tools", "functions"]
)
def test_text_that_a_server_writes_into_the_prompt_counts(name: str) -> None:
    assert read("chat", CHEAP | {name: "x" * 9_000}).input_bytes > 9_000


def test_prompts_as_embeddings_are_prompts() -> None:
    embeds = ["A" * 1_600] * 5
    assert read("completions", {"prompt_embeds": embeds}).items == 5
    assert read("completions", {"prompt": ["a", "b"], "prompt_embeds": embeds}).items == 7
    assert read("completions", {"prompt_embeds": "A" * 1_600}).items == 1


def test_each_of_many_requests_may_ask_for_more() -> None:
    one = {"prompt": "hi", "n": 9, "model": "dear"}
    for name in ("requests", "instances", "inputs", "queries"):
        call = read("any", {"model": "cheap", name: [one] * 50})
        assert (call.items, call.choices, models(call)) == (50, 9, {"cheap", "dear"})


def test_a_deep_name_of_a_model_is_found_or_the_body_is_unreadable() -> None:
    for depth in (10, 900, 2_000, 100_000):
        name = b"[" * depth + b'"dear"' + b"]" * depth
        call = read("chat", b'{"messages": [], "model": ' + name + b"}")
        assert call.model == "dear" or call.operation == UNREADABLE


# -- A body that is not JSON in UTF-8, or not to everybody

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=B"


def part(name: str, value: str) -> str:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


@pytest.mark.parametrize("kind", [FORM, FORM.upper(), f"{FORM}; charset=utf-8"])
def test_a_form_asks_what_its_fields_say(kind: str) -> None:
    call = read("completions", b"model=dear&n=9&prompt=hi", kind)
    assert (call.operation, call.model, call.choices) == ("completions", "dear", 9)


@pytest.mark.parametrize("reader", ["chat", "completions", "messages", "images"])
@pytest.mark.parametrize("given", ["n=1&n=9", "n=9&n=1", "n=1&n=2&n=9", "n[]=1&n=9"])
def test_a_field_that_comes_several_times_counts_as_the_dearer(reader: str, given: str) -> None:
    talk = quote(json.dumps(HI))
    form = f"model=cheap&messages={talk}&prompt=hi&max_tokens=5&{given}&model=dear"
    call = read(reader, form.encode(), FORM)
    assert (call.choices, models(call)) == (9, {"cheap", "dear"})


def test_a_form_in_parts_asks_what_its_fields_say() -> None:
    talk = json.dumps(HI)
    body = part("model", "dear") + part("n", "9") + part("messages", talk) + "--B--"
    call = read("chat", body.encode(), PARTS)
    assert (call.operation, call.model, call.choices) == ("chat", "dear", 9)


def test_a_body_that_is_json_and_a_form_asks_for_the_most_of_both() -> None:
    body = b'{"model": "cheap", "prompt": "&model=dear&n=9&prompt=hi&x="}'
    for kinds in [(FORM,), ("application/json", FORM), (FORM, "application/json")]:
        call = read("completions", body, *kinds)
        assert (models(call), call.choices) == ({"cheap", "dear"}, 9)


@pytest.mark.parametrize("kind", [FORM, PARTS])
def test_json_is_read_where_a_form_was_expected(kind: str) -> None:
    call = read("images", b'{"model": "dear", "n": 9, "prompt": "a bird"}', kind)
    assert (call.model, call.choices) == ("dear", 9)


def test_a_charset_is_read_as_servers_read_it_that_go_by_it() -> None:
    hidden = b'{"model": "cheap", "messages": [], "x": "+ACI-,+ACI-model+ACI-:+ACI-dear"}'
    assert models(read("chat", hidden, "application/json; charset=utf-7")) == {"cheap", "dear"}
    asked = json.dumps(CHEAP).encode("utf-16-le")
    assert read("chat", asked, 'application/json; Charset="UTF-16LE"').model == "cheap"


@pytest.mark.parametrize("charset", ["idna", "punycode", "zlib", "utf-9", "cp424", "x" * 99])
def test_a_charset_that_is_not_decoded_makes_a_body_unreadable(charset: str) -> None:
    call = read("chat", CHEAP, f"application/json; charset={charset}")
    assert call.operation == UNREADABLE


@pytest.mark.parametrize("charset", ["utf-32", "shift_jis", "gb18030", "utf-7"])
def test_a_body_that_is_not_in_its_charset_is_unreadable(charset: str) -> None:
    call = read("chat", b'{"messages": [], "x": "\xff\xff+"}', f"text/json; charset={charset}")
    assert call.operation == UNREADABLE


def test_a_body_of_many_types_is_unreadable_rather_than_read_so_often() -> None:
    many = [f"application/json; charset={name}" for name in ("utf-7", "utf-16", "big5")]
    assert read("chat", CHEAP, *many).operation == UNREADABLE
    assert read("chat", CHEAP, "; ".join(many)).operation == UNREADABLE
    assert read("chat", CHEAP, *[many[0]] * 99).operation == "chat"


@pytest.mark.parametrize(
    "kind",
    [
        *("", "application/json", "text/plain", "application/vnd.api+json", "nonsense"),
        *("application/json; charset=UTF-8", "application/json;charset=iso-8859-1"),
        *('application/json; charset="utf-8"', "application/json; charset=us-ascii"),
    ],
)
def test_any_other_type_is_json(kind: str) -> None:
    assert read("chat", CHEAP, kind) == read("chat", CHEAP)
