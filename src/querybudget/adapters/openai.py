"""Requests in OpenAI's dialect: chat completions, responses, completions and embeddings.

Each member is read for itself, as the servers that accept it read it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from querybudget.adapters import lax
from querybudget.adapters.base import Call, Dialect, Meter, Target
from querybudget.adapters.combined import copied
from querybudget.adapters.content import (
    conversations,
    converse,
    measure,
    measure_prompts,
    text_of,
)
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
from querybudget.adapters.model_names import Models, models_of
from querybudget.adapters.openai_usage import (
    read_chat_body,
    read_chat_element,
    read_chat_event,
    read_responses_body,
    read_responses_event,
)
from querybudget.adapters.request import (
    Request,
    alternatives,
    asks_of,
    choices_of,
    joined,
    output_bound,
    read_request,
    utf8_size,
)

_LOGPROBS = ("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "return_hidden_states")
"""Members that reveal more than text, including llama.cpp's and SGLang's."""

_BOUNDS = ("max_completion_tokens", "max_tokens", "n_predict")
_TEXT_LOGPROBS = "message.output_text.logprobs"


_KEPT = ("previous_response_id", "conversation", "prompt")
"""Members that name text which the server keeps."""

_TOOLS = ("tools", "functions")
_NAMES = msgspec.json.Decoder(list[str])


class ChatCompletions:
    """Reads OpenAI's chat completions: ``POST .../chat/completions``."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a chat completions request")
        items, messages = conversations(request.array("messages"))
        models = _models(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="chat",
            model=models.first,
            other_models=models.others,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            items=items,
            choices=choices_of(request.number("n")),
            max_output=output_bound(
                request.number("max_completion_tokens"), request.number("max_tokens")
            ),
            input_bytes=messages.size + sum([request.size(name) for name in _TOOLS]),
            images=messages.images,
            logprobs=_logprobs(request),
            prompt_logprobs=_alternatives(request, "prompt_logprobs"),
            template=messages.template,
            ask=messages.ask,
            asks=messages.asks,
        )
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_chat)


class Responses:
    """Reads OpenAI's Responses API: ``POST .../responses``."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a responses request")
        asked, instructions = request.value("input"), request.value("instructions")
        messages = converse(asked if isinstance(asked, list) else [asked])
        size, images = measure(instructions)
        texts = (text_of(instructions), messages.template)
        models = _models(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="responses",
            model=models.first,
            other_models=models.others,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            max_output=output_bound(request.number("max_output_tokens")),
            input_bytes=size + messages.size + request.size("tools"),
            images=images + messages.images,
            logprobs=_response_logprobs(request),
            template=joined([text for text in texts if text]),
            ask=messages.ask,
            background=request.flag("background"),
            stateful=any(kept in request for kept in _KEPT),
        )
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_responses_event, read_responses_body)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_response)


class Completions:
    """Reads ``POST .../completions``: prompts as text or token ids, one or many."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a completions request")
        prompts = measure_prompts(request.value("prompt"))
        logprobs = _alternatives(request, "logprobs")
        # With echo, the prompt's tokens are returned with log-probabilities too.
        echoed = logprobs if request.flag("echo") else 0
        models = _models(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="completions",
            model=models.first,
            other_models=models.others,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            items=prompts.items,
            choices=choices_of(request.number("n"), request.number("best_of")),
            max_output=output_bound(request.number("max_tokens")),
            input_bytes=prompts.size + utf8_size(request.text("suffix")),
            input_tokens=prompts.tokens,
            images=prompts.images,
            logprobs=logprobs,
            prompt_logprobs=max(echoed, _alternatives(request, "prompt_logprobs")),
            ask=joined(prompts.texts),
            asks=asks_of(prompts.texts),
        )
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_completion)


class Embeddings:
    """Reads ``POST .../embeddings``: inputs as text, token ids or (vLLM) messages."""

    dialect: Dialect = Dialect.OPENAI

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "an embeddings request")
        prompts = measure_prompts(request.value("input"))
        said = request.value("messages")
        messages = converse(said if isinstance(said, list) else [said])
        models = _models(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="embeddings",
            model=models.first,
            other_models=models.others,
            items=prompts.items,
            input_bytes=prompts.size + messages.size,
            input_tokens=prompts.tokens,
            images=prompts.images + messages.images,
            template=messages.template,
            ask=joined(prompts.texts) or messages.ask,
            asks=asks_of(prompts.texts),
            generates=False,
        )
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return body  # an embedding cannot be asked for less


def _models(target: Target, request: Request) -> Models:
    alternatives = [request.value(name) for name in ("models", "fallbacks") if name in request]
    return models_of(target, request.value("model"), alternatives)


def _alternatives(request: Request, name: str) -> int:
    """Return alternatives for each token, from their number or a flag that requests them."""
    value = request.value(name)
    number = lax.number(value)
    return alternatives(lax.flag(value) if number is None else number)


def _logprobs(request: Request) -> int:
    """Return alternatives per output token, from a flag that requests them and their number."""
    count = _alternatives(request, "logprobs")
    return max(count, _alternatives(request, "top_logprobs")) if count else 0


def _response_logprobs(request: Request) -> int:
    count = _alternatives(request, "top_logprobs")
    if count and request.number("top_logprobs") == 0:
        count = 0
    included = request.value("include")
    return max(count, isinstance(included, list) and _TEXT_LOGPROBS in included)


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
