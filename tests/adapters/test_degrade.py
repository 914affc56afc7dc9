"""A degraded request asks the same for less, and what need not change is byte for byte as sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Target
from querybudget.adapters.degrade import OUTPUT
from querybudget.errors import BodyError
from querybudget.policy.model import GenericRoute

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
RESPONSES = "/v1/responses"
PATHS = [CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, COUNT, RESPONSES]
ROUTE = GenericRoute(
    path="/generate",
    prompt=("/inputs",),
    max_output="/parameters/max_new_tokens",
    choices="/parameters/best_of",
)


def degrade(path: str, body: bytes) -> bytes:
    adapter = adapter_for(path, "POST", (ROUTE,))
    assert adapter is not None
    return adapter.degrade(body)


def less(path: str, /, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(degrade(path, json.dumps(members).encode()))
    return found


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
def test_no_log_probabilities_are_asked_for(path: str) -> None:
    asked = {"logprobs": True, "top_logprobs": 5, "prompt_logprobs": 3, "n_probs": 4}
    found = less(path, **asked, return_hidden_states=True, seed=7)
    assert set(found) - {"max_tokens", "max_output_tokens"} == {"seed"}


def test_a_response_includes_no_log_probabilities_but_all_else_it_did() -> None:
    kept = "reasoning.encrypted_content"
    found = less(RESPONSES, include=[kept, "message.output_text.logprobs"])
    assert found["include"] == [kept]
    for odd in ("text", [3], None):
        assert less(RESPONSES, include=odd)["include"] == odd


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("asked", [2, "3", 4.0, 10**30, -1, [1]])
def test_one_answer_is_asked_for(path: str, asked: Any) -> None:
    found = less(path, n=asked, best_of=asked)
    assert (found["n"], found["best_of"]) == (1, 1)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (CHAT, "max_tokens"),
        (CHAT, "max_completion_tokens"),
        (COMPLETIONS, "n_predict"),
        (COMPLETIONS, "max_tokens"),
        (RESPONSES, "max_output_tokens"),
        (MESSAGES, "max_tokens"),
    ],
)
def test_an_answer_is_limited_and_a_lower_limit_is_kept(path: str, name: str) -> None:
    much: list[Any] = [OUTPUT + 1, 10**30, "4096", 0, -1, "many", [], 1e9]
    for asked in much:
        assert less(path, **{name: asked}) == {name: OUTPUT}
    little: list[Any] = [1, 100, OUTPUT, "16", 12.0]
    for asked in little:
        assert less(path, **{name: asked}) == {name: asked}


@pytest.mark.parametrize(
    ("path", "name"),
    [(CHAT, "max_tokens"), (RESPONSES, "max_output_tokens"), (MESSAGES, "max_tokens")],
)
def test_an_answer_without_a_limit_gets_one(path: str, name: str) -> None:
    assert less(path) == {name: OUTPUT}
    assert less(path, **{name: None}) == {name: OUTPUT}


def test_a_limit_that_only_some_servers_know_does_not_stand_for_the_others() -> None:
    assert less(CHAT, n_predict=9) == {"n_predict": 9, "max_tokens": OUTPUT}
    found = less(MESSAGES, max_new_tokens=9000)
    assert found == {"max_new_tokens": OUTPUT, "max_tokens": OUTPUT}


def test_a_completion_without_a_bound_keeps_its_servers_own_which_is_small() -> None:
    assert less(COMPLETIONS, prompt="Once") == {"prompt": "Once"}


def test_a_floor_above_the_bound_is_dropped() -> None:
    assert less(CHAT, min_tokens=900, max_tokens=1000) == {"max_tokens": OUTPUT}


def test_reasoning_is_lowered_where_it_was_asked_for() -> None:
    bound = {"max_tokens": OUTPUT}
    assert less(CHAT, reasoning_effort="high") == {"reasoning_effort": "low", **bound}
    assert less(CHAT, reasoning_effort=3) == {"reasoning_effort": "low", **bound}
    for effort in ("low", "minimal", "none", None):
        assert less(CHAT, reasoning_effort=effort) == {"reasoning_effort": effort, **bound}
    thinking = {"enable_thinking": True, "thinking": True, "other": 1}
    found = less(CHAT, chat_template_kwargs=thinking)
    assert found["chat_template_kwargs"] == {
        "enable_thinking": False,
        "thinking": False,
        "other": 1,
    }
    found = less(RESPONSES, reasoning={"effort": "high", "summary": "detailed"})
    assert found["reasoning"] == {"effort": "low"}
    found = less(MESSAGES, thinking={"type": "enabled", "budget_tokens": 9000}, max_tokens=9999)
    assert found == {"thinking": {"type": "disabled"}, "max_tokens": OUTPUT}
    assert less(MESSAGES, output_config={"effort": "max"})["output_config"] == {"effort": "low"}


def test_reasoning_is_not_mentioned_where_it_was_not_asked_for() -> None:
    assert set(less(CHAT)) == {"max_tokens"}
    assert set(less(MESSAGES)) == {"max_tokens"}
    assert set(less(RESPONSES)) == {"max_output_tokens"}


@pytest.mark.parametrize("path", [EMBEDDINGS, COUNT])
def test_what_generates_nothing_is_left_alone(path: str) -> None:
    body = b'{"input": "a", "n": 7, "max_tokens": 9000}'
    assert degrade(path, body) is body


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[1]", b'"text"', b'{"n": 2', b'{"n": ' + b"[" * 100_000, b"\xff\xfe{}"],
)
@pytest.mark.parametrize("path", [*PATHS, "/generate"])
def test_what_is_no_object_is_left_alone(path: str, body: bytes) -> None:
    assert degrade(path, body) is body


@pytest.mark.parametrize("path", PATHS)
def test_what_asks_for_little_is_left_byte_for_byte(path: str) -> None:
    body = (
        b'{ "max_tokens":5,"max_output_tokens" : 7, "n": 1.0, "x":1.50, "reasoning": {"a":  1},'
        b' "chat_template_kwargs": {"a" :2}, "include": [ "x" ], "output_config": null}'
    )
    assert degrade(path, body) is body
    assert degrade(path, b"\xef\xbb\xbf" + body)[3:] == body


def test_members_that_stay_keep_their_bytes_and_their_order() -> None:
    body = b'{"big": 123456789012345678901234567890, "n": 3, "text": "\\u00e9", "x": 1.50e2}'
    assert degrade(COMPLETIONS, body) == (
        b'{"big":123456789012345678901234567890,"n":1,"text":"\\u00e9","x":1.50e2}'
    )


def test_a_byte_order_mark_goes_where_the_body_changes() -> None:
    assert degrade(COMPLETIONS, b'\xef\xbb\xbf{"n":2}') == b'{"n":1}'


# -- generic routes


def test_a_generic_route_is_degraded_where_its_pointers_lead() -> None:
    found = less("/generate", inputs="a", parameters={"best_of": 4, "max_new_tokens": 9000})
    assert found == {"inputs": "a", "parameters": {"best_of": 1, "max_new_tokens": OUTPUT}}
    assert less("/generate", parameters={}) == {"parameters": {"max_new_tokens": OUTPUT}}
    assert less("/generate", parameters={"max_new_tokens": "x"}) == {
        "parameters": {"max_new_tokens": OUTPUT}
    }


def test_a_generic_route_is_left_alone_where_there_is_nothing_to_change() -> None:
    for body in (
        b'{"inputs": "a"}',
        b'{"parameters": {"best_of": 1, "max_new_tokens": 9}}',
        b'{"parameters": 7}',
    ):
        assert degrade("/generate", body) is body


def test_a_pointer_into_an_array_or_to_the_whole_is_degraded_where_it_can_be() -> None:
    route = GenericRoute(path="/list", max_output="/0/most", choices="/1")
    adapter = adapter_for("/list", "POST", (route,))
    assert adapter is not None
    assert json.loads(adapter.degrade(b'[{"most": 600}, 4]')) == [{"most": OUTPUT}, 1]
    whole = adapter_for("/w", "POST", (GenericRoute(path="/w", max_output="/9", choices=""),))
    assert whole is not None
    assert whole.degrade(b"[1]") == b"[1]"


# -- any body

NAMES = st.sampled_from(
    [
        "n",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "echo",
        "reasoning",
        "reasoning_effort",
        "chat_template_kwargs",
        "include",
        "thinking",
        "output_config",
        "inputs",
        "parameters",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.sampled_from(["effort", "best_of"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("path", [*PATHS, "/generate"])
@given(members=st.dictionaries(NAMES, VALUES, max_size=6))
def test_degrading_anything_twice_is_degrading_it_once_and_it_asks_for_little(
    path: str, members: dict[str, Any]
) -> None:
    body = json.dumps({"messages": [], "prompt": "a", **members}).encode()
    once = degrade(path, body)
    assert degrade(path, once) == once
    adapter = adapter_for(path, "POST", (ROUTE,))
    assert adapter is not None
    try:
        call = adapter.parse(Target(path), once)
    except BodyError:
        return
    assert call.choices == 1
    assert (call.logprobs, call.prompt_logprobs) == (0, 0)
    assert (call.max_output or 0) <= OUTPUT


@pytest.mark.parametrize("path", [*PATHS, "/generate"])
@given(body=st.binary(max_size=80))
def test_degrading_any_bytes_never_raises(path: str, body: bytes) -> None:
    assert isinstance(degrade(path, body), bytes)
