"""Requests in OpenAI's dialect: chat completions, responses, completions and embeddings.

Members that no estimate needs are not declared, so skipping them costs next to nothing. As servers
do, nulls count as absent and numbers in quotes as numbers.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from querybudget.adapters.base import Call, Dialect, Meter, Target
from querybudget.adapters.degrade import (
    Members,
    bound,
    drop,
    lower_effort,
    put,
    rewrite,
    single,
    within,
)
from querybudget.adapters.metering import answer_meter
from querybudget.adapters.openai_usage import (
    read_chat_body,
    read_chat_element,
    read_chat_event,
    read_responses_body,
    read_responses_event,
)
from querybudget.adapters.request import (
    NOTHING,
    Content,
    Part,
    alternatives,
    ask_of,
    asks_of,
    choices_of,
    joined,
    json_size,
    measure,
    output_bound,
    read_body,
    template_of,
    utf8_size,
)
from querybudget.errors import BodyError

_LOGPROBS = ("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "return_hidden_states")
"""Members that reveal more than text, including llama.cpp's and SGLang's."""

_BOUNDS = ("max_completion_tokens", "max_tokens", "n_predict")
_TEXT_LOGPROBS = "message.output_text.logprobs"


class _Message(msgspec.Struct):
    role: str | None = None
    content: str | list[Part | str] | Part | None = None
    reasoning_content: str | None = None
    tool_calls: Raw = NOTHING
    function_call: Raw = NOTHING


class _Chat(msgspec.Struct):
    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    n: int | float | None = None
    max_tokens: int | float | None = None
    max_completion_tokens: int | float | None = None
    logprobs: bool | int | float | None = None
    top_logprobs: int | float | None = None
    prompt_logprobs: int | float | None = None
    tools: Raw = NOTHING
    functions: Raw = NOTHING


class _Item(msgspec.Struct):
    """An item of a response's input: a message, a tool call or its result."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part | str] | Part | None = None
    output: Raw = NOTHING
    arguments: Raw = NOTHING
    input: Raw = NOTHING
    action: Raw = NOTHING
    operation: Raw = NOTHING
    tools: Raw = NOTHING
    summary: Raw = NOTHING


class _Response(msgspec.Struct):
    input: str | list[_Item] | None = None
    instructions: str | None = None
    model: str | None = None
    stream: bool | None = None
    background: bool | None = None
    previous_response_id: Raw = NOTHING
    conversation: Raw = NOTHING
    prompt: Raw = NOTHING
    max_output_tokens: int | float | None = None
    top_logprobs: int | float | None = None
    include: list[str] | None = None
    tools: Raw = NOTHING


class _Completion(msgspec.Struct):
    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    model: str | None = None
    stream: bool | None = None
    n: int | float | None = None
    best_of: int | float | None = None
    max_tokens: int | float | None = None
    logprobs: bool | int | float | None = None
    prompt_logprobs: int | float | None = None
    echo: bool | None = None


class _Embedding(msgspec.Struct):
    input: str | list[str | int | list[int]] | None = None
    messages: list[_Message] | None = None
    model: str | None = None


_CHAT = msgspec.json.Decoder(_Chat, strict=False)
_RESPONSE = msgspec.json.Decoder(_Response, strict=False)
_COMPLETION = msgspec.json.Decoder(_Completion, strict=False)
_EMBEDDING = msgspec.json.Decoder(_Embedding, strict=False)
_NAMES = msgspec.json.Decoder(list[str])
_OUTPUT: msgspec.json.Decoder[Content] = msgspec.json.Decoder(Content)


class ChatCompletions:
    """Reads OpenAI's chat completions: ``POST .../chat/completions``."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_body(_CHAT, body, "a chat completions request")
        size, images = _measure_messages(request.messages)
        return Call(
            dialect=Dialect.OPENAI,
            operation="chat",
            model=_model(target.path, request.model),
            stream=bool(request.stream),
            choices=choices_of(request.n),
            max_output=output_bound(request.max_completion_tokens, request.max_tokens),
            input_bytes=size + json_size(request.tools) + json_size(request.functions),
            images=images,
            logprobs=_logprobs(request.logprobs, request.top_logprobs),
            prompt_logprobs=alternatives(request.prompt_logprobs),
            template=template_of(request.messages),
            ask=ask_of(request.messages),
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_chat)


class Responses:
    """Reads OpenAI's Responses API: ``POST .../responses``."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_body(_RESPONSE, body, "a responses request")
        size, images, system, ask = _measure_input(request.input)
        instructions = request.instructions or ""
        return Call(
            dialect=Dialect.OPENAI,
            operation="responses",
            model=_model(target.path, request.model),
            stream=bool(request.stream),
            max_output=output_bound(request.max_output_tokens),
            input_bytes=size + utf8_size(instructions) + json_size(request.tools),
            images=images,
            logprobs=_logprobs(
                bool(request.top_logprobs) or _TEXT_LOGPROBS in (request.include or ()),
                request.top_logprobs,
            ),
            template=joined([text for text in (instructions, system) if text]),
            ask=ask,
            background=bool(request.background),
            stateful=any(
                bytes(kept) not in {b"", b"null"}
                for kept in (request.previous_response_id, request.conversation, request.prompt)
            ),
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_responses_event, read_responses_body)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_response)


class Completions:
    """Reads ``POST .../completions``: prompts as text or token ids, one or many."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_body(_COMPLETION, body, "a completions request")
        items, size, tokens, asks = _measure_prompts(request.prompt)
        logprobs = alternatives(request.logprobs)
        # With echo, the prompt's tokens are returned with log-probabilities too.
        echoed = logprobs if request.echo else 0
        return Call(
            dialect=Dialect.OPENAI,
            operation="completions",
            model=_model(target.path, request.model),
            stream=bool(request.stream),
            items=items,
            choices=choices_of(request.n, request.best_of),
            max_output=output_bound(request.max_tokens),
            input_bytes=size + utf8_size(request.suffix or ""),
            input_tokens=tokens,
            logprobs=logprobs,
            prompt_logprobs=max(echoed, alternatives(request.prompt_logprobs)),
            ask=joined(asks),
            asks=asks_of(asks),
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_completion)


class Embeddings:
    """Reads ``POST .../embeddings``: inputs as text, token ids or (vLLM) messages."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_body(_EMBEDDING, body, "an embeddings request")
        items, size, tokens, asks = _measure_prompts(request.input)
        messages = request.messages or []
        message_size, images = _measure_messages(messages)
        return Call(
            dialect=Dialect.OPENAI,
            operation="embeddings",
            model=_model(target.path, request.model),
            items=items,
            input_bytes=size + message_size,
            input_tokens=tokens,
            images=images,
            template=template_of(messages),
            ask=joined(asks) or ask_of(messages),
            asks=asks_of(asks),
            generates=False,
        )

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return body  # an embedding cannot be asked for less


def _model(path: str, model: str | None) -> str:
    """Return the model requested; a model in the path (Azure's deployments) takes precedence."""
    if "/deployments/" in path:
        return path.split("/deployments/", 1)[1].split("/", 1)[0]
    return model or ""


def _logprobs(flag: float | None, top: float | None) -> int:
    """Return alternatives per output token, from a flag that requests them and their number."""
    count = alternatives(flag)
    return max(count, alternatives(top)) if count else 0


def _measure_messages(messages: list[_Message]) -> tuple[int, int]:
    size = images = 0
    for message in messages:
        content = message.content
        if type(content) is str:  # the usual case, as `measure` does it but without a call
            size += len(content) if content.isascii() else len(content.encode())
        else:
            content_size, content_images = measure(content)
            size += content_size
            images += content_images
        if message.tool_calls is not NOTHING or message.function_call is not NOTHING:
            size += json_size(message.tool_calls) + json_size(message.function_call)
        if message.reasoning_content:
            size += utf8_size(message.reasoning_content)
    return size, images


def _measure_input(items: str | list[_Item] | None) -> tuple[int, int, str, str]:
    """Return the bytes, images, system prompt and ask of a response's input."""
    if items is None or isinstance(items, str):
        return utf8_size(items or ""), 0, "", items or ""
    size = images = 0
    for item in items:
        content_size, content_images = measure(item.content)
        output_size, output_images = _measure_output(item.output)
        size += content_size + output_size
        images += content_images + output_images
        for member in (item.arguments, item.input, item.action, item.operation):
            size += json_size(member)
        size += json_size(item.tools) + json_size(item.summary)
    return size, images, template_of(items), ask_of(items)


def _measure_output(output: Raw) -> tuple[int, int]:
    """Return the bytes and images of a tool's output: text, parts, or any other JSON."""
    if not json_size(output):
        return 0, 0
    try:
        measured = measure(_OUTPUT.decode(output))
    except (ValueError, RecursionError):
        return json_size(output), 0
    return measured if any(measured) else (json_size(output), 0)


def _measure_prompts(
    prompts: str | list[str | int | list[int]] | None,
) -> tuple[int, int, int, list[str]]:
    """Return the items, bytes, exact tokens and texts of prompts sent as text or token ids."""
    if not isinstance(prompts, list):
        return 1, utf8_size(prompts or ""), 0, [prompts or ""]
    kinds = set(map(type, prompts))
    if int in kinds:
        if len(kinds) > 1:
            raise BodyError(
                "Expected one prompt of token ids or several prompts, found both mixed."
            )
        return 1, 0, len(prompts), []
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    tokens = sum(len(prompt) for prompt in prompts if isinstance(prompt, list))
    return max(1, len(prompts)), sum(map(utf8_size, texts)), tokens, texts


def _less_chat(members: Members) -> None:
    drop(members, *_LOGPROBS, "min_tokens")
    single(members, "n", "best_of")
    bound(members, *_BOUNDS, otherwise="max_tokens")
    lower_effort(members, "reasoning_effort")
    within(members, "reasoning", _less_reasoning)
    within(members, "chat_template_kwargs", _no_thinking)


def _less_response(members: Members) -> None:
    drop(members, *_LOGPROBS)
    bound(members, "max_output_tokens", otherwise="max_output_tokens")
    within(members, "reasoning", _less_reasoning)
    included = _names(members.get("include"))
    if _TEXT_LOGPROBS in included:
        kept = [name for name in included if name != _TEXT_LOGPROBS]
        put(members, "include", msgspec.json.encode(kept))


def _less_completion(members: Members) -> None:
    # No limit is added: servers answer completions without one in few tokens.
    drop(members, *_LOGPROBS, "min_tokens")
    single(members, "n", "best_of")
    bound(members, *_BOUNDS)


def _less_reasoning(reasoning: Members) -> None:
    drop(reasoning, "summary", "generate_summary")
    lower_effort(reasoning, "effort")


def _no_thinking(template: Members) -> None:
    """Turn thinking off the way vLLM, SGLang and llama.cpp do for the models they know."""
    put(template, "enable_thinking", b"false")
    put(template, "thinking", b"false")


def _names(value: Raw | None) -> list[str]:
    try:
        return _NAMES.decode(value) if value is not None else []
    except ValueError:
        return []
