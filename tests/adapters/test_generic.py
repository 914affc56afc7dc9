"""A route of no known dialect is read by the pointers its policy gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from querybudget.adapters.base import Call, Channel, Dialect, Segment, Target, Usage
from querybudget.adapters.generic import Generic, Pointer
from querybudget.adapters.reading import read_call
from querybudget.adapters.readings import LARGEST_ODD
from querybudget.adapters.request import MAX_CHOICES, MAX_OUTPUT
from querybudget.errors import BodyError, SetupError
from querybudget.policy.model import GenericRoute
from querybudget.testing.contracts.adapter import AdapterContract, Answer, Metered, Recording

GENERATE = GenericRoute(
    path="/generate*",
    operation="generate",
    model="/parameters/model",
    prompt=("/inputs",),
    max_output="/parameters/max_new_tokens",
    stream="/stream",
    choices="/parameters/best_of",
    input_usage="/details/prefill",
    output_usage="/details/generated_tokens",
    text="/token/text",
)
REQUEST = {
    "inputs": "Say ä.",
    "stream": True,
    "parameters": {"model": "tern", "max_new_tokens": 40, "best_of": 2},
}


def events(*documents: dict[str, Any]) -> bytes:
    return "".join(f"data:{json.dumps(document)}\n\n" for document in documents).encode()


TOKENS = [{"token": {"text": text}} for text in ("A", " ä", ".")]
DONE = {"token": {"text": "!"}, "details": {"prefill": 4, "generated_tokens": 4}}
STREAM = "text/event-stream"


class TestGenericRoute(AdapterContract):
    recordings = (
        Recording(
            name="generate",
            path="/generate_stream",
            request=json.dumps(REQUEST).encode(),
            call=Call(
                Dialect.PROBLEM,
                "generate",
                "tern",
                stream=True,
                choices=2,
                max_output=40,
                input_bytes=7,
                segments=(Segment(Channel.SAID, "Say ä."),),
            ),
            answers=(
                Answer(
                    STREAM, events(*TOKENS, DONE), Metered(Usage(4, output=4), 6, complete=True)
                ),
                Answer(STREAM, events(*TOKENS), Metered(None, 5, complete=False)),
                Answer(
                    STREAM,
                    events(TOKENS[0], DONE, TOKENS[1]),
                    Metered(Usage(4, output=4), 5, complete=False),
                ),
                Answer(
                    STREAM, events(*TOKENS) + b"data: [DONE]\n\n", Metered(None, 5, complete=True)
                ),
                Answer(
                    "application/json",
                    json.dumps(DONE).encode(),
                    Metered(Usage(4, output=4), 1, complete=True),
                ),
            ),
        ),
    )

    def adapter(self, path: str) -> Generic:
        return Generic(GENERATE)


def read(route: GenericRoute, body: object) -> Call:
    return Generic(route).parse(Target("/x"), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("value", "items", "size", "token_ids"),
    [
        ("abc", 1, 3, 0),
        (["a", "bc"], 2, 3, 0),
        ([1, 2, 3], 1, 0, 3),
        ([[1, 2], [3]], 2, 0, 3),
        ([{"role": "user", "content": "ab"}, {"content": "c"}], 1, 7, 0),
        (None, 1, 0, 0),
        (7, 1, 0, 0),
    ],
)
def test_a_prompt_may_be_text_texts_token_ids_or_hold_text_further_in(
    value: object, items: int, size: int, token_ids: int
) -> None:
    call = read(GenericRoute(path="*", prompt=("/p",)), {"p": value})
    assert (call.items, call.input_bytes, call.input_tokens) == (items, size, token_ids)


def test_several_prompts_count_together() -> None:
    call = read(GenericRoute(path="*", prompt=("/a", "/b")), {"a": "xy", "b": "z"})
    assert call.input_bytes == 3


@pytest.mark.parametrize(
    "route",
    [
        GenericRoute(path="*", max_output="/x"),
        GenericRoute(path="*", stream="/x"),
        GenericRoute(path="*", choices="/x"),
        GenericRoute(path="*", output_usage="/x"),
        GenericRoute(path="*", text="/x"),
    ],
)
def test_a_route_generates_if_any_pointer_is_about_output(route: GenericRoute) -> None:
    assert read(route, {}).generates


def test_a_route_that_points_to_no_output_generates_nothing() -> None:
    assert not read(GenericRoute(path="*", prompt=("/p",), input_usage="/u"), {}).generates


def test_pointers_that_lead_nowhere_are_absent_members() -> None:
    bodies: list[Any] = [{}, [], "text", 5, None, {"parameters": [1]}, {"parameters": None}]
    for body in bodies:
        call = replace(read(GENERATE, body), segments=(), opaque=())
        assert call == Call(Dialect.PROBLEM, "generate")


@pytest.mark.parametrize(
    ("odd", "choices"),
    [
        *(("many", 1), (True, 1), ([], 1), ({}, 1), (0, 1), (-5, 1)),
        (" 7 ", 7),
        (2.5, 3),
        (10**30, MAX_CHOICES),
    ],
)
def test_a_number_of_answers_is_read_as_the_dearest_server_reads_it(
    odd: object, choices: int
) -> None:
    assert read(GENERATE, {"parameters": {"best_of": odd}}).choices == choices


def test_a_member_of_a_route_counts_in_any_case_and_at_its_dearest() -> None:
    body = b'{"inputs": "a", "INPUTS": "abc", "parameters": {"best_of": 2, "Best_Of": 9}}'
    call = Generic(GENERATE).parse(Target("/generate"), body)
    assert (call.input_bytes, call.choices) == (3, 9)
    twice = b'{"inputs": "abc", "inputs": "a"}'
    assert Generic(GENERATE).parse(Target("/generate"), twice).input_bytes == 3


def test_a_limit_beyond_any_model_is_lowered() -> None:
    assert read(GENERATE, {"parameters": {"max_new_tokens": 1e300}}).max_output == MAX_OUTPUT


@given(body=st.binary(max_size=60))
def test_any_bytes_are_read_or_are_a_body_error(body: bytes) -> None:
    try:
        call = Generic(GENERATE).parse(Target("/generate"), body)
    except BodyError:
        return
    assert call.input_bytes <= len(body)


def test_an_answer_without_pointers_to_text_or_output_counts_by_its_size() -> None:
    for generates, size in ((True, 12), (False, 0)):
        route = GenericRoute(path="*", max_output="/m" if generates else "")
        meter = Generic(route).meter(Call(Dialect.PROBLEM, "x", generates=generates), "")
        meter.feed(b'{"said":"x"}')
        assert (meter.output_bytes, meter.complete) == (size, True)


def test_usage_reported_in_parts_is_put_together() -> None:
    meter = Generic(GENERATE).meter(Call(Dialect.PROBLEM, "generate"), STREAM)
    meter.feed(events({"details": {"prefill": 9}}, {"details": {"generated_tokens": 3}}))
    assert meter.usage() == Usage(9, output=3)
    meter.feed(events({"details": {"generated_tokens": True, "prefill": "x"}}))
    assert meter.usage() == Usage(9, output=3)


@pytest.mark.parametrize("text", ["usage", "usage/x", "/a~", "/a~2b"])
def test_a_malformed_pointer_is_reported_when_the_route_is_made(text: str) -> None:
    with pytest.raises(SetupError, match="pointer"):
        Generic(GenericRoute(path="*", model=text))


# The examples of RFC 6901, section 5.
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/foo/2", None),
        ("/foo/-", None),
        ("/foo/00", None),
        ("/foo/-1", None),
        ("/foo/+1", None),
        ("/foo/\N{ARABIC-INDIC DIGIT ZERO}", None),
        ("/foo/99999999999999999999", None),
        ("/foo/0/b", None),
        ("/none", None),
    ],
)
def test_a_pointer_leads_where_the_standard_says(pointer: str, value: object) -> None:
    assert Pointer(pointer).find(DOCUMENT) == value


def test_an_escaped_tilde_does_not_begin_another_escape() -> None:
    assert Pointer("/~01").find({"~1": "here", "/": "not here"}) == "here"


@pytest.mark.parametrize("odd", [b'"Prompt":"b",', b'"prompt":"b",'])
def test_a_long_body_that_servers_read_differently_counts_by_its_size(odd: bytes) -> None:
    adapter = Generic(GenericRoute(path="/x", prompt=("/prompt",)))
    body = b"{" + odd + b'"prompt":"' + b"a" * LARGEST_ODD + b'"}'
    assert read_call(adapter, Target("/x"), body).input_bytes == len(body)
