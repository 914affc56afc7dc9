"""What a request asks is read as the servers behind would read it, or is a `BodyError`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Channel, Dialect, Segment, Target
from querybudget.adapters.request import MAX_CHOICES, MAX_LOGPROBS, MAX_OUTPUT
from querybudget.errors import BodyError

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
PATHS = [CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES]


def parse(path: str, body: bytes) -> Call:
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    return adapter.parse(Target(path), body)


def read(path: str, /, **members: Any) -> Call:
    if path in (CHAT, MESSAGES):
        members = {"messages": [], **members}
    return parse(path, json.dumps(members).encode())


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


# -- bodies that cannot be read


@pytest.mark.parametrize("path", PATHS)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_are_a_body_error(path: str, body: bytes) -> None:
    try:
        call = parse(path, body)
    except BodyError:
        return
    assert call.input_bytes <= len(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "role", "content", "source", "image_url", "output", "file"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    [
        "messages",
        "model",
        "n",
        "best_of",
        "max_tokens",
        "input",
        "prompt",
        "tools",
        "system",
        "logprobs",
        "include",
    ]
)


@pytest.mark.parametrize("path", PATHS)
@given(body=st.dictionaries(MEMBERS, JSON, max_size=5))
def test_any_json_is_read_or_is_a_body_error(path: str, body: dict[str, Any]) -> None:
    try:
        call = parse(path, json.dumps({"messages": [], **body}).encode())
    except BodyError:
        return
    assert 1 <= call.choices <= MAX_CHOICES
    assert call.max_output is None or 1 <= call.max_output <= MAX_OUTPUT
    assert 0 <= call.logprobs <= MAX_LOGPROBS


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"messages": 7}', "Expected a chat completions request: .*array.*int.*messages"),
        (b"{}", "completions request: the required field `messages` is missing"),
        (b'{"messages": [{"content": "\xe6\x97"}]}', "utf-8"),
        (b'{"messages": [', "truncated"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
        (b'{"messages": [], "n": 1, "n": 2}', "a member is given twice"),
        (b'{"messages": [], "N": 1}', "in their own spelling, found `N`"),
        (b'{"messages": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
        (b'{"messages": [], "tools": [}', "malformed"),
    ],
)
def test_the_message_says_what_was_expected_and_what_was_found(body: bytes, words: str) -> None:
    with pytest.raises(BodyError, match=words):
        parse(CHAT, body)


def test_content_nested_as_deep_as_json_allows_is_measured_without_recursion() -> None:
    depth = 150
    content: Any = "x"
    for _ in range(depth):
        content = [{"type": "tool_result", "text": "y", "content": content}]
    assert read(MESSAGES, messages=[user(content)]).input_bytes == depth + 1


# -- what servers forgive


@pytest.mark.parametrize("path", PATHS)
def test_a_null_is_an_absent_member(path: str) -> None:
    names = "model stream n best_of max_tokens max_completion_tokens max_output_tokens logprobs"
    names += " top_logprobs prompt_logprobs tools functions system instructions input prompt echo"
    assert read(path, **dict.fromkeys(names.split())) == read(path)


def test_a_message_may_hold_nothing() -> None:
    assert read(CHAT, messages=[assistant(None), {"role": None}, {}]).input_bytes == 0


def test_numbers_and_flags_may_come_in_quotes_and_numbers_with_a_point() -> None:
    call = read(CHAT, n="3", max_tokens=5.0, stream="true")
    assert (call.choices, call.max_output, call.stream) == (3, 5, True)


def test_text_that_reads_like_another_value_stays_text() -> None:
    assert read(CHAT, messages=[user("null")]).segments == (Segment(Channel.SAID, "null"),)
    assert read(COMPLETIONS, prompt="5").segments == (Segment(Channel.SAID, "5"),)
    assert read(COMPLETIONS, prompt=["5", "true"]).items == 2


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(CHAT, b'\xef\xbb\xbf{"messages": []}') == read(CHAT)


def test_unknown_roles_and_parts_are_no_errors() -> None:
    messages = [
        user([{"type": "hologram", "text": "a"}, {"beam": 1}]),
        {"role": "critic", "content": "b"},
    ]
    assert read(CHAT, messages=messages).input_bytes == 2


# -- what a caller may ask for


def test_limits_beyond_any_model_are_lowered() -> None:
    assert read(CHAT, max_tokens=10**30).max_output == MAX_OUTPUT


@pytest.mark.parametrize("bound", [0, -1])
def test_a_limit_that_some_servers_take_for_none_is_none(bound: int) -> None:
    assert read(CHAT, max_tokens=bound).max_output is None


def test_the_larger_limit_counts_since_a_server_may_know_only_that_one() -> None:
    assert read(CHAT, max_completion_tokens=7, max_tokens=9).max_output == 9
    assert read(CHAT, max_completion_tokens=None, max_tokens=9).max_output == 9


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({}, 0),
        ({"logprobs": False, "top_logprobs": 5}, 0),
        ({"logprobs": True}, 1),
        ({"logprobs": True, "top_logprobs": 0}, 1),
        ({"logprobs": True, "top_logprobs": 20}, 20),
        ({"logprobs": True, "top_logprobs": -1}, MAX_LOGPROBS),
        ({"logprobs": True, "top_logprobs": 10**30}, MAX_LOGPROBS),
    ],
)
def test_log_probabilities_of_a_chat(members: dict[str, Any], asked: int) -> None:
    assert read(CHAT, **members).logprobs == asked


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({}, 0),
        ({"logprobs": 0}, 1),
        ({"logprobs": 5}, 5),
        ({"logprobs": True}, 1),
        ({"logprobs": False}, 0),
    ],
)
def test_log_probabilities_of_a_completion(members: dict[str, Any], asked: int) -> None:
    assert read(COMPLETIONS, **members).logprobs == asked


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({"include": ["reasoning.encrypted_content"]}, 0),
        ({"include": ["message.output_text.logprobs"]}, 1),
        ({"top_logprobs": 3}, 3),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, 3),
    ],
)
def test_log_probabilities_of_a_response(members: dict[str, Any], asked: int) -> None:
    assert read(RESPONSES, **members).logprobs == asked


def test_an_echo_also_counts_the_prompts_log_probabilities() -> None:
    assert read(COMPLETIONS, echo=True, logprobs=4).prompt_logprobs == 4
    assert read(COMPLETIONS, echo=True, logprobs=4, prompt_logprobs=9).prompt_logprobs == 9
    assert read(COMPLETIONS, echo=True).prompt_logprobs == 0


def test_the_larger_of_n_and_best_of_counts() -> None:
    assert read(COMPLETIONS, n=2, best_of=5).choices == 5
    assert read(COMPLETIONS, n=3).choices == 3


# -- prompts


@pytest.mark.parametrize(
    ("prompt", "items", "size", "token_ids"),
    [
        ("é", 1, 2, 0),
        (["a", "bc"], 2, 3, 0),
        ([], 1, 0, 0),
        ([7, 8, 9], 1, 0, 3),
        ([[7, 8], [9]], 2, 0, 3),
        (["ab", [9, 9]], 2, 2, 2),
    ],
)
@pytest.mark.parametrize(("path", "member"), [(COMPLETIONS, "prompt"), (EMBEDDINGS, "input")])
def test_every_prompt_in_an_array_counts(
    path: str, member: str, prompt: Any, items: int, size: int, token_ids: int
) -> None:
    call = read(path, **{member: prompt})
    assert (call.items, call.input_bytes, call.input_tokens) == (items, size, token_ids)


def test_token_ids_among_prompts_count() -> None:
    call = read(COMPLETIONS, prompt=[1, "ab", [2, "c"]])
    assert (call.items, call.input_tokens, call.input_bytes) == (3, 2, 3)


def test_embeddings_of_messages_count_their_text() -> None:
    call = read(EMBEDDINGS, messages=[user("abc")])
    assert (call.input_bytes, call.generates) == (3, False)


def test_the_template_is_every_system_and_developer_message() -> None:
    system, developer = {"role": "system", "content": "a"}, {"role": "developer", "content": "b"}
    assert read(CHAT, messages=[system, user("x"), developer]).template == "a\nb"
    assert read(RESPONSES, instructions="a", input=[developer]).template == "a\nb"
    assert read(RESPONSES, input=[developer]).template == "b"
    assert read(MESSAGES, system="a", messages=[user("x")]).template == "a"
    assert read(MESSAGES, system=[{"type": "text", "text": "a"}]).template == "a"
    assert read(COMPLETIONS, prompt="x").template == ""


# -- images, audio and files


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"image_url": "https://example.org/a.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "base64", "data": "A" * 5000}},
    ],
)
def test_an_image_counts_as_an_image_and_never_as_text(part: dict[str, Any]) -> None:
    call = read(CHAT, messages=[user([part])])
    assert (call.images, call.input_bytes) == (1, 0)


@pytest.mark.parametrize(
    ("part", "payload"),
    [
        ({"type": "input_audio", "input_audio": {"data": "A" * 1600}}, {"data": "A" * 1600}),
        ({"type": "file", "file": {"file_data": "A" * 1600}}, {"file_data": "A" * 1600}),
        ({"type": "input_file", "file_data": "A" * 1600}, "A" * 1600),
        ({"type": "video_url", "video_url": {"url": "https://v"}}, {"url": "https://v"}),
        ({"type": "document", "source": {"type": "base64", "data": "A" * 1600}},) * 1
        + ({"type": "base64", "data": "A" * 1600},),
        ({"type": "input_file", "file_id": "file-1"}, ""),
    ],
)
def test_an_attachment_counts_as_an_image_and_a_sixteenth_of_its_json(
    part: dict[str, Any], payload: Any
) -> None:
    call = read(CHAT, messages=[user([part])])
    size = len(json.dumps(payload)) // 16 if payload else 0
    assert (call.images, call.input_bytes) == (1, size)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ({"type": "text", "data": "abc"}, 3),
        ({"type": "content", "content": "abcd"}, 4),
        ({"type": "content", "content": [{"type": "text", "text": "abcde"}]}, 5),
    ],
)
def test_a_document_of_text_counts_as_text(source: dict[str, Any], size: int) -> None:
    call = read(MESSAGES, messages=[user([{"type": "document", "source": source}])])
    assert (call.images, call.input_bytes) == (0, size)


def test_a_screenshot_from_a_tool_is_an_image() -> None:
    output = {"type": "computer_screenshot", "image_url": "data:image/png;base64," + "A" * 99}
    call = read(RESPONSES, input=[{"type": "computer_call_output", "output": output}])
    assert (call.images, call.input_bytes) == (1, 0)


def test_a_tools_result_of_any_other_kind_counts_as_its_json() -> None:
    call = read(RESPONSES, input=[{"type": "apply_patch_call_output", "output": [{"diff": "-a"}]}])
    assert call.input_bytes == len('[{"diff":"-a"}]')
    assert read(RESPONSES, input=[{"output": [1, 2, 3]}]).input_bytes == len("[1,2,3]")


# -- the rest


def test_the_deployment_in_the_path_names_the_model() -> None:
    call = parse(f"/openai/deployments/tern-eu{CHAT}", b'{"messages": [], "model": "cheap"}')
    assert call.model == "tern-eu"


def test_an_answer_made_in_the_background_is_known_as_such() -> None:
    assert read(RESPONSES, input="x", background=True).background


@pytest.mark.parametrize(
    ("members", "stateful"),
    [
        ({}, False),
        ({"previous_response_id": None, "conversation": None, "prompt": None}, False),
        ({"previous_response_id": "resp_1"}, True),
        ({"conversation": "conv_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
        ({"prompt": {"id": "pmpt_1", "variables": {}}}, True),
    ],
)
def test_a_response_that_builds_on_what_the_server_keeps_is_known_as_such(
    members: dict[str, Any], stateful: bool
) -> None:
    body = json.dumps({"input": "a", **members}).encode()
    assert parse("/v1/responses", body).stateful is stateful


def test_counting_tokens_costs_none_but_is_still_checked() -> None:
    path = "/v1/messages/count_tokens"
    call = parse(path, json.dumps({"messages": [user("abc")], "model": "m"}).encode())
    assert call == Call(Dialect.ANTHROPIC, "count_tokens", "m", generates=False)
    with pytest.raises(BodyError, match="count tokens"):
        parse(path, b"{}")


# -- where a model is named


@pytest.mark.parametrize(
    ("target", "model", "names"),
    [
        (Target(CHAT), "a", ("a",)),
        (Target(CHAT), "a, b", ("a", "b")),
        (Target(CHAT), ["a", "b"], ("a", "b")),
        (Target(CHAT, "model=q"), "a", ("q", "a")),
        (Target(CHAT, "x=1&Model=q%2Fr"), None, ("q/r",)),
        (Target(f"/engines/e{CHAT}"), "a", ("e", "a")),
        (Target(f"/openai/deployments/d{CHAT}"), "d", ("d",)),
        (Target(CHAT), 7, ("",)),
    ],
)
def test_every_name_of_a_model_counts(target: Target, model: Any, names: tuple[str, ...]) -> None:
    adapter = adapter_for(target.path, "POST", ())
    assert adapter is not None
    call = adapter.parse(target, json.dumps({"messages": [], "model": model}).encode())
    assert (call.model, *call.other_models) == names


def test_each_model_of_a_list_answers_the_whole_request() -> None:
    call = read(CHAT, model="a,b", n=2, messages=[user("abc")])
    assert (call.items * call.choices, call.input_bytes) == (4, 6)


def test_a_fallback_is_a_name_and_no_further_answer() -> None:
    call = read(CHAT, model="a", fallbacks=["b", {"model": "c"}])
    assert (call.model, call.other_models, call.items) == ("a", ("b", "c"), 1)


def test_more_models_than_can_be_told_apart_cannot_be_read() -> None:
    with pytest.raises(BodyError, match="at most 32 models"):
        read(CHAT, model=",".join(map(str, range(40))))


# -- pictures everywhere

PICTURE = "iVBORw0KGgo" + "A" * 400_000


@pytest.mark.parametrize("text", [PICTURE, f"data:image/png;base64,{PICTURE}"])
def test_a_picture_among_the_inputs_of_an_embedder_is_a_picture(text: str) -> None:
    call = read(EMBEDDINGS, input=["abc", text])
    assert (call.items, call.input_bytes, call.images) == (2, 3, 1)


@pytest.mark.parametrize(
    "content",
    [
        f"data:image/png;base64,{PICTURE}",
        [{"inline_data": {"mime_type": "image/png", "data": PICTURE}}],
        [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}],
        [{"image": f"data:image/png;base64,{PICTURE}"}],
    ],
)
def test_a_picture_is_a_picture_everywhere(content: Any) -> None:
    call = read(CHAT, messages=[user(content)])
    assert (call.images, call.input_bytes) == (1, 0)


def test_text_that_only_begins_like_a_picture_is_text() -> None:
    text = "data:image/png;base64,but then some words"
    assert read(CHAT, messages=[user(text)]).input_bytes == len(text)


# -- what cannot be found


def test_arguments_of_a_tool_that_are_an_object_count_by_their_json() -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": "x" * 100}}}]
    call = read(CHAT, messages=[{"role": "assistant", "tool_calls": calls}])
    assert call.input_bytes == len(json.dumps(calls, separators=(",", ":")))


def test_texts_count_where_nothing_is_known() -> None:
    unknown = {"role": "user", "parts": [{"body": "abc"}]}
    assert read(CHAT, messages=[unknown, user([{"type": "x", "body": "de"}])]).input_bytes == 5


def test_an_odd_member_spoils_no_other() -> None:
    call = read(CHAT, messages=[user([{"type": "text", "text": 5}, "abc"])], n={}, max_tokens="9")
    assert (call.input_bytes, call.choices, call.max_output) == (4, 1, 9)


def test_several_conversations_are_several_prompts() -> None:
    call = read(CHAT, messages=[[user("abc")], [user("de")]])
    assert (call.items, call.input_bytes) == (2, 5)
