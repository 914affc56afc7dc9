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
    Prompts,
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
from querybudget.adapters.members import ATTACHMENT_SHARE
from querybudget.adapters.metering import answer_meter
from querybudget.adapters.model_names import models_in
from querybudget.adapters.openai_usage import read_chat_body, read_chat_element, read_chat_event
from querybudget.adapters.plain_chat import plain_chat
from querybudget.adapters.request import (
    COUNTS,
    LIMITS,
    Request,
    alternatives,
    joined,
    read_request,
    utf8_size,
)
from querybudget.adapters.responses_usage import read_responses_body, read_responses_event
from querybudget.adapters.segments import add_texts

_LOGPROBS = ("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "return_hidden_states")
"""Members that reveal more than text, including llama.cpp's and SGLang's."""

_TEXT_LOGPROBS = "message.output_text.logprobs"


_KEPT = ("previous_response_id", "conversation", "prompt")
"""Members that name text which the server keeps."""

_SHOWN = frozenset(
    {
        *("tools", "functions", "documents", "response_format", "text", "prediction"),
        *("chat_template", "chat_template_kwargs"),
    }
)
"""Members besides the messages that servers write into the prompt. They count by their JSON."""

_NAMES = msgspec.json.Decoder(list[str])


class ChatCompletions:
    """Reads OpenAI's chat completions: ``POST .../chat/completions``."""

    dialect: Dialect = Dialect.OPENAI
    has_usage_option = True
    """Its streams end with what they used, if a request asks for that (`usage_request`)."""

    def parse(self, target: Target, body: bytes, /) -> Call:
        return plain_chat(target, body) or self._parse(target, body)

    def _parse(self, target: Target, body: bytes) -> Call:
        request = read_request(body, "a chat completions request")
        said = request.array("messages")
        items, messages = conversations(said)
        models = models_in(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="chat",
            model=models.first,
            other_models=models.others,
            any_model=not models.first,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            items=items,
            choices=request.choices(),
            max_output=request.bound(),
            input_bytes=messages.size + _shown(request),
            images=messages.images,
            logprobs=_logprobs(request),
            prompt_logprobs=_alternatives(request, "prompt_logprobs"),
            template=messages.template,
        )
        add_texts(call, target, request, messages=said)
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
        models = models_in(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="responses",
            model=models.first,
            other_models=models.others,
            any_model=not models.first,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            choices=request.choices(),
            max_output=request.bound(),
            input_bytes=size + messages.size + _shown(request),
            images=images + messages.images,
            logprobs=_response_logprobs(request),
            template=joined([text for text in texts if text]),
            background=request.flag("background"),
            stateful=any(kept in request for kept in _KEPT),
        )
        add_texts(call, target, request, input=asked, instructions=instructions)
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_responses_event, read_responses_body)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, _less_response)


class Completions:
    """Reads ``POST .../completions``: prompts as text or token ids, one or many."""

    dialect: Dialect = Dialect.OPENAI
    has_usage_option = True
    """Its streams end with what they used, if a request asks for that (`usage_request`)."""

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a completions request")
        prompt = request.value("prompt")
        prompts = measure_prompts(prompt)
        _add_embeds(prompts, request)
        logprobs = _alternatives(request, "logprobs")
        # With echo, the prompt's tokens are returned with log-probabilities too.
        echoed = logprobs if request.flag("echo") else 0
        models = models_in(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="completions",
            model=models.first,
            other_models=models.others,
            any_model=not models.first,
            stream=request.flag("stream"),
            ambiguous=request.ambiguous("stream"),
            items=prompts.items,
            choices=request.choices(),
            max_output=request.bound(),
            input_bytes=prompts.size + utf8_size(request.text("suffix")),
            input_tokens=prompts.tokens,
            images=prompts.images,
            logprobs=logprobs,
            prompt_logprobs=max(echoed, _alternatives(request, "prompt_logprobs")),
        )
        add_texts(call, target, request, prompt=prompt)
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
        given = request.value("input")
        prompts = measure_prompts(given)
        said = request.value("messages")
        messages = converse(said if isinstance(said, list) else [said])
        models = models_in(target, request)
        call = Call(
            dialect=Dialect.OPENAI,
            operation="embeddings",
            model=models.first,
            other_models=models.others,
            any_model=not models.first,
            items=prompts.items,
            input_bytes=prompts.size + messages.size,
            input_tokens=prompts.tokens,
            images=prompts.images + messages.images,
            template=messages.template,
            generates=False,
        )
        add_texts(call, target, request, input=given, messages=said)
        return copied(call, models.copies)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, read_chat_event, read_chat_body, read_chat_element)

    def degrade(self, body: bytes, /) -> bytes:
        return body  # an embedding cannot be asked for less


def _add_embeds(prompts: Prompts, request: Request) -> None:
    """Add prompts that vLLM takes as base64 of their embeddings, each an answer of its own."""
    if "prompt_embeds" not in request:
        return
    embeds = request.value("prompt_embeds")
    given = len(embeds) if isinstance(embeds, list) else 1
    asked = request.value("prompt") not in (None, "", [])
    prompts.items = given + (prompts.items if asked else 0) or 1
    prompts.size += request.size("prompt_embeds") // ATTACHMENT_SHARE


def _shown(request: Request) -> int:
    return sum([request.size(name) for name in request.named(_SHOWN)])


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
    single(members, *COUNTS)
    bound(members, *LIMITS)
    bound(members, "max_completion_tokens", "max_tokens", otherwise="max_tokens")
    lower_effort(members, "reasoning_effort")
    within(members, "reasoning", _less_reasoning)
    within(members, "chat_template_kwargs", _no_thinking)


def _less_response(members: Members) -> None:
    drop(members, *_LOGPROBS)
    single(members, *COUNTS)
    bound(members, *LIMITS)
    bound(members, "max_output_tokens", otherwise="max_output_tokens")
    within(members, "reasoning", _less_reasoning)
    included = _names(members.get("include"))
    if _TEXT_LOGPROBS in included:
        kept = [name for name in included if name != _TEXT_LOGPROBS]
        put(members, "include", msgspec.json.encode(kept))


def _less_completion(members: Members) -> None:
    # No limit is added: servers answer completions without one in few tokens.
    drop(members, *_LOGPROBS, "min_tokens")
    single(members, *COUNTS)
    bound(members, *LIMITS)


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
